"""Patterns of respx for what chat completion requests have: model and prompt."""

from __future__ import annotations

import json
import re
from typing import Any

from respx.patterns import Lookup, Match, Pattern

__all__ = ["Model", "Prompt"]


class _OfBody(Pattern):
    lookups = (Lookup.EQUAL, Lookup.CONTAINS, Lookup.STARTS_WITH, Lookup.REGEX, Lookup.IN)

    def clean(self, value: Any) -> Any:
        if self.lookup is Lookup.REGEX and isinstance(value, str):
            return re.compile(value)
        return tuple(value) if self.lookup is Lookup.IN else value

    def _contains(self, value: Any) -> Any:
        return Match(self.value in value)

    @staticmethod
    def of(body: Any) -> Any:
        raise NotImplementedError

    def parse(self, request: Any) -> Any:
        return self.of(json.loads(request.read()))


class Model(_OfBody):
    """``model="gpt-4o"``, ``model__startswith="gpt-"``."""

    key = "model"

    @staticmethod
    def of(body: Any) -> Any:
        return body["model"]


class Prompt(_OfBody):
    """The text of the last user message: ``prompt__contains="weather"``."""

    key = "prompt"

    @staticmethod
    def of(body: Any) -> Any:
        for message in reversed(body["messages"]):
            if message["role"] == "user":
                content = message["content"]
                if isinstance(content, str):
                    return content
                return "".join(part.get("text", "") for part in content)
        raise LookupError("no user message")
