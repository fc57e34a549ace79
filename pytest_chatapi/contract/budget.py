"""How many steps the validation of a value by a user's schema may take, in each thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

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


@contextlib.contextmanager
def bounded(steps: int = STEPS) -> Iterator[None]:
    """A block whose validations share a budget of steps; that of an outer block holds.

    Raises:
        NotJudged: it is used up.
    """
    if _budget.left is not None:
        yield
        return
    _budget.left = steps
    try:
        yield
    finally:
        _budget.left = None


@contextlib.contextmanager
def budgeted(steps: int) -> Iterator[None]:
    """A block with a budget of its own."""
    before, _budget.left = _budget.left, steps
    try:
        yield
    finally:
        _budget.left = before


def spend(steps: int) -> None:
    if _budget.left is not None:
        _budget.left -= steps
        if _budget.left < 0:
            raise NotJudged("it takes too many steps")
