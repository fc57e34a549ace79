"""How many steps the validation of a value by a user's schema may take, in each thread."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

__all__ = ["STEPS", "NotJudged", "SchemaTrouble", "bounded", "budgeted", "spend"]

STEPS = 100_000
"""Keywords that are applied to values before a value is given up; well under two seconds."""


class SchemaTrouble(Exception):
    """The schema itself cannot be used."""


class NotJudged(SchemaTrouble):
    """The value cannot be validated in a bounded number of steps; says why, as a clause."""


class _Budget(threading.local):
    left: int | None = None


_budget = _Budget()


class budgeted:
    """A block with a budget of its own."""

    __slots__ = ("_before", "_steps")

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __enter__(self) -> None:
        self._before, _budget.left = _budget.left, self._steps

    def __exit__(self, *error: object) -> None:
        _budget.left = self._before


def bounded(steps: int = STEPS) -> AbstractContextManager[None]:
    """A block whose validations share a budget of steps; that of an outer block holds.

    Raises:
        NotJudged: it is used up.
    """
    return budgeted(steps) if _budget.left is None else nullcontext()


def spend(steps: int) -> None:
    left = _budget.left
    if left is not None:
        _budget.left = left = left - steps
        if left < 0:
            raise NotJudged("it takes too many steps")
