"""What the fixture `chat_contract` gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_chatapi import assertions
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.reading.objects import is_stream

__all__ = ["ChatContract"]


class ChatContract:
    """The assertions of `pytest_chatapi`, with profile, ignores, strictness and day of one test.

    Each takes what the function of the same name takes; an argument of the call wins.
    """

    def __init__(
        self,
        profile: str | None = None,
        ignore: Iterable[str] = (),
        strict: bool = False,
        as_of: str | None = None,
    ) -> None:
        self.profile = profile
        self.ignore = tuple(ignore)
        self.strict = strict
        self.as_of = as_of

    def _bound(self, arguments: dict[str, Any]) -> dict[str, Any]:
        own = {
            "profile": self.profile,
            "ignore": self.ignore,
            "strict": self.strict,
            "as_of": self.as_of,
        }
        return {**own, **arguments}

    def __call__(self, response: object, **arguments: Any) -> JSONObject:
        """Assert that a plain response, or a stream, keeps the contract."""
        __tracebackhide__ = True
        if is_stream(response):
            return self.assert_chat_stream(response, **arguments)
        return self.assert_chat_completion(response, **arguments)

    def check(self, exchange: object, **arguments: Any) -> list[Finding]:
        __tracebackhide__ = True
        bound = self._bound(arguments)
        bound.pop("strict")
        return assertions.check(exchange, **bound)

    def assert_chat_completion(self, response: object, **arguments: Any) -> JSONObject:
        __tracebackhide__ = True
        return assertions.assert_chat_completion(response, **self._bound(arguments))

    def assert_chat_stream(self, stream: object, **arguments: Any) -> JSONObject:
        __tracebackhide__ = True
        return assertions.assert_chat_stream(stream, **self._bound(arguments))

    def assert_usage(self, usage: object, **arguments: Any) -> JSONObject:
        __tracebackhide__ = True
        return assertions.assert_usage(usage, **self._bound(arguments))

    def assert_chat_request(self, request: object, **arguments: Any) -> JSONObject:
        __tracebackhide__ = True
        return assertions.assert_chat_request(request, **self._bound(arguments))

    def assert_error_body(self, response: object, **arguments: Any) -> JSONObject:
        __tracebackhide__ = True
        return assertions.assert_error_body(response, **self._bound(arguments))

    def assert_models(self, response: object, **arguments: Any) -> JSONObject:
        __tracebackhide__ = True
        return assertions.assert_models(response, **self._bound(arguments))
