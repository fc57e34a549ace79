"""What the fixture `chat_contract` gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_chatapi import assertions
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.reading.objects import is_stream

__all__ = ["ChatContract"]


class ChatContract:
    """The assertions of `pytest_chatapi`, with profile, ignores and strictness of one test.

    Each takes what the function of the same name takes; an argument given in the call wins.
    """

    def __init__(
        self, profile: str | None = None, ignore: Iterable[str] = (), strict: bool = False
    ) -> None:
        self.profile = profile
        self.ignore = tuple(ignore)
        self.strict = strict

    def _bound(self, given: dict[str, Any]) -> dict[str, Any]:
        own = {"profile": self.profile, "ignore": self.ignore, "strict": self.strict}
        return {**own, **given}

    def __call__(self, response: Any, **given: Any) -> dict[str, Any]:
        """Asserts a plain answer or a stream, whichever it is."""
        __tracebackhide__ = True
        if is_stream(response):
            return self.assert_chat_stream(response, **given)
        return self.assert_chat_completion(response, **given)

    def check(self, exchange: Any, **given: Any) -> list[Finding]:
        bound = self._bound(given)
        bound.pop("strict")
        return assertions.check(exchange, **bound)

    def assert_chat_completion(self, response: Any, **given: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        return assertions.assert_chat_completion(response, **self._bound(given))

    def assert_chat_stream(self, stream: Any, **given: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        return assertions.assert_chat_stream(stream, **self._bound(given))

    def assert_usage(self, usage: Any, **given: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        return assertions.assert_usage(usage, **self._bound(given))

    def assert_chat_request(self, request: Any, **given: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        return assertions.assert_chat_request(request, **self._bound(given))

    def assert_error_body(self, response: Any, **given: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        return assertions.assert_error_body(response, **self._bound(given))

    def assert_models(self, response: Any, **given: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        return assertions.assert_models(response, **self._bound(given))
