"""How many steps the validation of a value by a user's schema may take, in each context."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

__all__ = ["STEPS", "NotJudged", "SchemaTrouble", "bounded", "budgeted", "spend"]

STEPS = 100_000
"""Keywords that are applied to values before a value is given up; well under two seconds."""


class SchemaTrouble(Exception):
    """The schema itself cannot be used."""


class NotJudged(SchemaTrouble):
    """The value cannot be validated in a bounded number of steps; says why, as a clause."""


class budgeted:
    """A block with a budget of its own."""

    __slots__ = ("_token", "left")

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> None:
        self._token = _current.set(self)

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)


_current: ContextVar[budgeted | None] = ContextVar("budget", default=None)


def bounded(steps: int = STEPS) -> AbstractContextManager[None]:
    """A block whose validations share a budget of steps; that of an outer block holds.

    Raises:
        NotJudged: it is used up.
    """
    return budgeted(steps) if _current.get() is None else nullcontext()


def spend(steps: int) -> None:
    budget = _current.get()
    if budget is not None:
        budget.left -= steps
        if budget.left < 0:
            raise NotJudged("it takes too many steps")
