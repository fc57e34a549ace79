"""Patterns of respx for what chat completion requests have: model and prompt."""

from __future__ import annotations

import json
import re

import httpx
from respx.patterns import Lookup, Match, Pattern

from pytest_chatapi.contract.wire import JSON

__all__ = ["Model", "Prompt"]


class _OfBody(Pattern):
    lookups = (Lookup.EQUAL, Lookup.CONTAINS, Lookup.STARTS_WITH, Lookup.REGEX, Lookup.IN)

    def clean(self, value: JSON) -> object:
        if self.lookup is Lookup.REGEX and isinstance(value, str):
            return re.compile(value)
        return tuple(value) if self.lookup is Lookup.IN else value

    def _contains(self, value: JSON) -> Match:
        return Match(self.value in value)

    @staticmethod
    def of(body: JSON) -> object:
        """What is compared; raises where a body does not have it."""
        raise NotImplementedError

    def parse(self, request: httpx.Request) -> object:
        # A request that the mock routes is parsed already; respx's own requests are not.
        body: JSON = getattr(request, "body", None)
        return self.of(json.loads(request.read()) if body is None else body)


class Model(_OfBody):
    """``model="gpt-4o"``, ``model__startswith="gpt-"``."""

    key = "model"

    @staticmethod
    def of(body: JSON) -> object:
        return body["model"]


class Prompt(_OfBody):
    """The text of the last user message: ``prompt__contains="weather"``."""

    key = "prompt"

    @staticmethod
    def of(body: JSON) -> object:
        for message in reversed(body["messages"]):
            if message["role"] == "user":
                content = message["content"]
                if isinstance(content, str):
                    return content
                return "".join(part.get("text", "") for part in content)
        raise LookupError("no user message")
