"""Facts for the rules of several families."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Answer, Choice

__all__ = ["AnswerFacts", "ChoiceFacts"]


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
