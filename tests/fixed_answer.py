"""A mock with one response for every request. Not a test."""

from __future__ import annotations

from typing import Any

from pytest_chatapi import Request
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.miss import Miss

__all__ = ["FixedAnswer"]


class FixedAnswer:
    """Takes the fields of an `Interaction`; counts how often the response was given back."""

    def __init__(self, **fields: Any) -> None:
        self._interaction = Interaction(Request(), **fields)
        self.given_back = 0
        self.passes_on = False
        self.give_back: Any = self._give_back

    def _give_back(self) -> None:
        self.given_back += 1

    def answer(self, request: Request) -> Interaction | None:
        return self._interaction

    def miss(self, request: Request) -> Miss:
        raise AssertionError("every request has a response")
