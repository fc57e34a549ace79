"""How often something held, and how sure one can be of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Rate"]

_Z = 1.959964
"""Of a 95% interval."""


@dataclass(frozen=True)
class Rate:
    """A share of runs, with its 95% interval by Wilson's score: it stays within 0 and 1, and holds
    for few runs and for shares at the ends (doi:10.1080/01621459.1927.10502953).
    """

    passed: int
    runs: int

    @property
    def value(self) -> float:
        return self.passed / self.runs

    @property
    def low(self) -> float:
        return max(0.0, self._middle - self._half)

    @property
    def high(self) -> float:
        return min(1.0, self._middle + self._half)

    @property
    def _middle(self) -> float:
        return (self.passed + _Z**2 / 2) / (self.runs + _Z**2)

    @property
    def _half(self) -> float:
        variance = self.value * (1 - self.value) * self.runs + _Z**2 / 4
        return _Z * math.sqrt(variance) / (self.runs + _Z**2)

    def __str__(self) -> str:
        return f"{self.passed}/{self.runs}, {self.low * 100:.0f}-{self.high * 100:.0f}%"
