"""What the fixtures give, and how a test's settings are found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_chatapi import assertions
from pytest_chatapi.contract.check import selects
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.profiles import get_profile
from pytest_chatapi.errors import SettingError

__all__ = ["ChatContract", "run_settings", "settings_of"]

_ARGUMENTS = ("profile", "ignore", "strict")


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
        if assertions.is_stream(response):
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


def run_settings(config: pytest.Config) -> dict[str, Any]:
    """Profile, ignores and strictness of the run: the command line before the ini file.

    Raises:
        pytest.UsageError: a setting names what does not exist.
    """
    flag = config.getoption("--chatapi-strict")
    ignore = config.getoption("--chatapi-ignore") or config.getini("chatapi_ignore")
    return _valid(
        {
            "profile": config.getoption("--chatapi-profile")
            or config.getini("chatapi_profile")
            or None,
            "ignore": [part for value in ignore for part in value.split(",") if part.strip()],
            "strict": bool(config.getini("chatapi_strict") if flag is None else flag),
        },
        "chatapi settings",
    )


def settings_of(item: pytest.Item) -> dict[str, Any]:
    """Settings of one test: nearest marker, then those of the run.

    Raises:
        pytest.UsageError: the marker has an argument that does not exist.
    """
    settings = run_settings(item.config)
    marker = item.get_closest_marker("chatapi")
    if marker is None:
        return settings
    where = f"{item.nodeid}: @pytest.mark.chatapi"
    if marker.args:
        raise pytest.UsageError(f"{where} takes named arguments only: {', '.join(_ARGUMENTS)}")
    for name in marker.kwargs:
        if name not in _ARGUMENTS:
            raise pytest.UsageError(
                f"{where} has no argument {name!r}: it takes {', '.join(_ARGUMENTS)}"
            )
    given = dict(marker.kwargs)
    if isinstance(given.get("ignore"), str):
        given["ignore"] = [given["ignore"]]
    return _valid({**settings, **given}, where)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple | set) and all(isinstance(v, str) for v in value)


def _valid(settings: dict[str, Any], where: str) -> dict[str, Any]:
    profile, ignore, strict = (settings[name] for name in _ARGUMENTS)
    for name, fits, what in (
        ("profile", profile is None or isinstance(profile, str), "the name of a profile"),
        ("ignore", _is_texts(ignore), "a list of rule codes"),
        ("strict", isinstance(strict, bool), "True or False"),
    ):
        if not fits:
            raise pytest.UsageError(f"{where}: {name} is {what}, not {settings[name]!r}")
    try:
        if settings["profile"] is not None:
            get_profile(settings["profile"])
        selects(settings["ignore"])
    except SettingError as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return settings
