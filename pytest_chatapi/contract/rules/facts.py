"""Facts for the rules of several families."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice

__all__ = ["AnswerFacts", "ChoiceFacts", "RequestFacts"]


@dataclass(slots=True)
class ChoiceFacts:
    """One choice, the answer that it belongs to, and what the request asks for."""

    ask: Ask
    answer: Answer
    choice: Choice


@dataclass(slots=True)
class AnswerFacts:
    """An answer, what the request asks for, and the profile's name."""

    ask: Ask
    answer: Answer
    profile: str


@dataclass(slots=True)
class RequestFacts:
    """What a request asks for, and of whom.

    Attributes:
        as_of: the day whose contract applies; ``None``: today's.
        live: it has just been sent, and is not one of a recording.
        url: where it is sent; empty for a body alone.
    """

    ask: Ask
    as_of: date | None
    live: bool
    url: str

    @property
    def day(self) -> str:
        """`as_of` as ``YYYY-MM-DD``; a day far off for ``None``."""
        return self.as_of.isoformat() if self.as_of else "9999-12-31"
