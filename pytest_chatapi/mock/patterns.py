"""Patterns of respx for what chat completion requests have, and for JSON that compares as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from unittest.mock import ANY

import httpx
from respx.patterns import Lookup, Match, Pattern

from pytest_chatapi.contract.wire import JSON

__all__ = ["HasHeaders", "JSONValue", "Model", "Prompt", "comparable", "value_at"]


class _OfBody(Pattern):
    lookups = (Lookup.EQUAL, Lookup.CONTAINS, Lookup.STARTS_WITH, Lookup.REGEX, Lookup.IN)

    def clean(self, value: object) -> object:
        if self.lookup is Lookup.IN:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise TypeError(f"pass a list, such as {self.key}__in=[{value!r}]")
            return tuple(value)
        if self.lookup is Lookup.REGEX and isinstance(value, str | re.Pattern):
            return re.compile(value)
        if self.lookup is Lookup.REGEX or not (isinstance(value, str) or value is ANY):
            several = f"; for one of several, {self.key}__in=[...]"
            kind = type(value).__name__
            raise TypeError(f"it is compared with a str, not {kind}{several}")
        if value is ANY and self.lookup is not Lookup.EQUAL:
            raise TypeError("ANY has no lookup")
        return value

    def _contains(self, value: JSON) -> Match:
        return Match(self.value in value)

    @staticmethod
    def of(body: JSON) -> object:
        """What is compared; raises where a body does not have it."""
        raise NotImplementedError

    def parse(self, request: httpx.Request) -> object:
        return self.of(_json_of(request))


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


class JSONValue(Pattern):
    """``json__temperature=1``, ``json={...}``: respx's, but numbers compare as numbers (1 is 1.0
    and is not ``True``), and ``ANY`` stands for any value that is there, at any depth.

    Args:
        path: the keys and indexes that lead to the value, joined by ``__``.

    Raises:
        NotImplementedError: another lookup than ``eq``.
        TypeError: JSON cannot hold the value.
    """

    lookups = (Lookup.EQUAL,)

    def __init__(self, value: object, lookup: Lookup | None = None, *, path: str = "") -> None:
        self.path = path
        super().__init__(value, lookup)

    def __hash__(self) -> int:
        return hash((type(self), self.path, repr(self.value)))

    def clean(self, value: object) -> object:
        json.dumps(value, default=_any_or_raise)
        return value

    def parse(self, request: httpx.Request) -> JSON:
        return value_at(_json_of(request), self.path)

    def _eq(self, value: JSON) -> Match:
        return Match(_equal(self.value, value))


# Set afterwards, or respx would make it the pattern of all its routers.
JSONValue.key = "json"


class HasHeaders(Pattern):
    """``headers={"x-request-id": ANY}``: the request has these headers, whatever their values."""

    def clean(self, value: Iterable[str]) -> tuple[str, ...]:
        return tuple(value)

    def parse(self, request: httpx.Request) -> httpx.Headers:
        return request.headers

    def _eq(self, value: Mapping[str, str]) -> Match:
        return Match(all(name in value for name in self.value))


HasHeaders.key = "headers"


def value_at(body: JSON, path: str) -> JSON:
    """The value at a path of keys and indexes, joined by ``__``.

    Raises:
        LookupError, TypeError: there is none.
    """
    for step in path.split("__") if path else ():
        is_index = step.isdigit() and not isinstance(body, dict)
        body = body[int(step) if is_index else step]
    return body


def comparable(value: JSON) -> str:
    """A text that is the same for equal JSON, whatever the spelling of its numbers.

    Raises:
        TypeError: JSON cannot hold the value.
    """
    return json.dumps(_plain_numbers(value), sort_keys=True)


def _plain_numbers(value: JSON) -> JSON:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain_numbers(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return value


def _equal(expected: JSON, value: JSON) -> bool:
    if expected is ANY:
        return True
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and expected.keys() == value.keys()
            and all(_equal(member, value[key]) for key, member in expected.items())
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(value, list)
            and len(expected) == len(value)
            and all(map(_equal, expected, value))
        )
    if isinstance(expected, bool) or isinstance(value, bool):
        return expected is value
    return bool(expected == value)


def _any_or_raise(value: object) -> None:
    if value is not ANY:
        raise TypeError(f"JSON has no {type(value).__name__}: pass what json.dumps accepts, or ANY")


def _json_of(request: httpx.Request) -> JSON:
    # A request that the mock routes knows its JSON; respx's own requests do not.
    if hasattr(request, "json"):
        return request.json
    return json.loads(request.read())
