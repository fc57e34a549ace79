"""Settings of a test, resolved in one place.

The nearest wins: marker of the test, of its class, of its module, then the fixture
``chatapi_config``, the command line, the ini file, the default. Only ``redact`` adds up: no
nearer setting may make a secret public.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_chatapi.contract.profiles import get_profile
from pytest_chatapi.contract.selection import selects
from pytest_chatapi.errors import SettingError
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.redaction.redactor import Redactor

__all__ = [
    "JUDGING",
    "Settings",
    "age_of",
    "marker_arguments",
    "run_settings",
    "scenarios_of",
    "settings_for",
    "settings_of",
]

JUDGING = ("profile", "ignore", "strict")
"""Settings of the assertions; with these alone a marker turns no recorder on where another is."""

POLICIES = ("error", "strict", "warn", "off")
UNPLAYED = ("fail", "warn", "ignore")
ON_EXPIRY = ("warn", "fail")
SERIALIZERS = ("yaml", "json")
HTTP_CLIENTS = ("httpx", "httpx2")
_MODES = ("none", "once", "new_episodes", "all", "rewrite")
_AGE = re.compile(r"(\d+)\s*(d|h|w)")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass
class Settings:
    """What the marker takes, and with the prefix ``chatapi_`` the ini file too.

    Attributes:
        profile, ignore, strict: how findings are judged.
        policy: ``error`` fails a test on errors, ``strict`` on warnings too, ``warn`` shows both
            and fails nothing, ``off`` does not look.
        cassette: name or path, instead of the one after the test.
        record_mode: ``none``, ``once``, ``new_episodes``, ``all`` or ``rewrite``.
        serializer: ``yaml`` or ``json``, for cassettes named after their test.
        match_on, ignore_body, normalize_body: see `recording.matching.Matcher`.
        allow_playback_repeats: the last recording of a request is given again and again.
        redact, keep_headers: see `recording.redaction.Redactor`.
        replay_speed: 0 at once, 1 as recorded, else a factor.
        unplayed: what to do about recordings, and replies of a mock, that a test did not ask for.
        max_age, on_expiry: ``30d``, ``12h``, ``8w``, and what to do about older recordings.
        record_on_failure: write what a failing test recorded.
        ignore_hosts: hosts that are talked to as if there were no recorder.
        base_url, api_key, organization, project: of the clients that the fixtures give.
        http_client: which library the fixture ``chatapi_client`` is of.
        virtual_time: with a mock or faults, sleeping takes no time.
    """

    profile: str | None = None
    ignore: Any = ()
    strict: bool = False
    policy: str | None = None
    cassette: str | None = None
    record_mode: str | None = None
    serializer: str = "yaml"
    match_on: Any = ("method", "path", "query", "body")
    ignore_body: Any = ()
    normalize_body: Any = None
    allow_playback_repeats: bool = False
    redact: Any = ()
    keep_headers: Any = ()
    replay_speed: Any = 0
    unplayed: str = "fail"
    max_age: str | None = None
    on_expiry: str = "warn"
    record_on_failure: bool = False
    ignore_hosts: Any = ()
    base_url: str | None = None
    api_key: str | None = None
    organization: str | None = None
    project: str | None = None
    http_client: str = "httpx"
    virtual_time: bool = True
    mode_from: str = field(default="", init=False)
    """Who sets `record_mode` and thereby wins over the command line, or ``""``."""


ARGUMENTS = tuple(field.name for field in fields(Settings) if field.init)
_CHOICES = {
    "policy": POLICIES,
    "record_mode": _MODES,
    "serializer": SERIALIZERS,
    "unplayed": UNPLAYED,
    "on_expiry": ON_EXPIRY,
    "http_client": HTTP_CLIENTS,
}
_LISTS = ("ignore", "match_on", "ignore_body", "redact", "keep_headers", "ignore_hosts")
_FLAGS = ("strict", "allow_playback_repeats", "record_on_failure", "virtual_time")
_TEXTS = ("profile", "cassette", "max_age", "base_url", "api_key", "organization", "project")
_FROM_INI = tuple(
    name for name in ARGUMENTS if name not in ("cassette", "api_key", "normalize_body")
)


def run_settings(config: pytest.Config) -> dict[str, Any]:
    """Profile, ignores and strictness of the run: the command line before the ini file.

    Raises:
        pytest.UsageError: a setting names what does not exist.
    """
    given = _of_run(config)
    return {name: given.get(name, getattr(Settings, name)) for name in JUDGING}


def _of_run(config: pytest.Config) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in _FROM_INI:
        value = config.getini(f"chatapi_{name}")
        if value not in (None, "", []):
            given[name] = value
    for name in ("profile", "ignore", "strict", "policy", "replay_speed", "base_url"):
        value = config.getoption(f"--chatapi-{name.replace('_', '-')}")
        if value not in (None, []):
            given[name] = value
    mode = config.getoption("--record-mode", None)
    if mode is not None:
        given["record_mode"] = mode
    if "ignore" in given:
        given["ignore"] = [
            part for value in given["ignore"] for part in value.split(",") if part.strip()
        ]
    return _valid(given, "chatapi settings")


def marker_arguments(item: pytest.Item) -> list[dict[str, Any]]:
    """What each marker ``chatapi`` of a test says, the farthest first.

    Raises:
        pytest.UsageError: a marker has an argument that does not exist.
    """
    where = f"{item.nodeid}: @pytest.mark.chatapi"
    found = []
    for marker in reversed(list(item.iter_markers("chatapi"))):
        if marker.args:
            raise pytest.UsageError(f"{where} takes named arguments only: {', '.join(ARGUMENTS)}")
        for name in marker.kwargs:
            if name not in ARGUMENTS:
                raise pytest.UsageError(f"{where} has no argument {_unknown(name)}")
        found.append(_valid(dict(marker.kwargs), where))
    return found


def scenarios_of(item: Any, marker: pytest.Mark) -> list[str]:
    """What ``@pytest.mark.chatapi_faults`` names, each as the text of a plan; sets expanded.

    Raises:
        pytest.UsageError: a name is wrong, or there is none.
    """
    from pytest_chatapi.faults import SETS, parse

    where = f"{item.nodeid}: @pytest.mark.chatapi_faults"
    if marker.kwargs or not marker.args:
        raise pytest.UsageError(f"{where} takes names of faults, plans or sets: {', '.join(SETS)}")
    found: list[str] = []
    for given in marker.args:
        try:
            steps = parse(str(given))
        except SettingError as error:
            raise pytest.UsageError(f"{where}: {error}") from None
        found += map(str, steps) if given in SETS else [str(given)]
    return list(dict.fromkeys(found))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(str(name), ARGUMENTS, 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"{name!r}{meant}: it takes {', '.join(ARGUMENTS)}"


def settings_of(item: pytest.Item, configured: Mapping[str, Any]) -> dict[str, Any]:
    """Profile, ignores and strictness of one test.

    Args:
        configured: what the fixture ``chatapi_config`` gave.

    Raises:
        pytest.UsageError: a setting is wrong.
    """
    merged = _of_run(item.config) | _configured(configured)
    for given in marker_arguments(item):
        merged |= given
    return {name: merged.get(name, getattr(Settings, name)) for name in JUDGING}


def settings_for(
    item: pytest.Item, configured: Mapping[str, Any], policy: str = "error"
) -> Settings:
    """All settings of one test.

    Args:
        configured: what the fixture ``chatapi_config`` gave.
        policy: where nothing is set.

    Raises:
        pytest.UsageError: a setting is wrong.
    """
    merged: dict[str, Any] = {}
    redact: list[str] = []
    layers = [_of_run(item.config), _configured(configured), *marker_arguments(item)]
    for given in layers:
        redact += given.get("redact", ())
        merged |= given
    if os.environ.get("CI", "").lower() not in ("", "0", "false") and not item.config.getoption(
        "--record-mode", None
    ):
        merged["record_mode"] = "none"
        layers[1:] = [{}]  # whatever these say of the mode does not count
    settings = Settings(**{**merged, "redact": redact})
    if any("record_mode" in given for given in layers[2:]):
        settings.mode_from = "the marker"
    elif "record_mode" in layers[1]:
        settings.mode_from = _CONFIG
    settings.record_mode = settings.record_mode or "none"
    settings.policy = settings.policy or ("strict" if settings.strict else policy)
    return settings


_CONFIG = "the fixture chatapi_config"


def _configured(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise pytest.UsageError(f"{_CONFIG} returns a dict, not {type(value).__name__}")
    for name in value:
        if name not in ARGUMENTS:
            raise pytest.UsageError(f"{_CONFIG} has no {_unknown(name)}")
    return _valid(dict(value), _CONFIG)


def _valid(given: dict[str, Any], where: str) -> dict[str, Any]:
    for name, value in given.items():
        if name in _LISTS:
            if isinstance(value, str):
                given[name] = value = [value]
            what = "a list of rule codes" if name == "ignore" else "a list of texts"
            fits = isinstance(value, list | tuple | set) and all(isinstance(v, str) for v in value)
        elif name in _FLAGS:
            fits, what = isinstance(value, bool), "True or False"
        elif name in _CHOICES:
            fits, what = value in _CHOICES[name], f"one of {', '.join(_CHOICES[name])}"
        elif name in _TEXTS:
            fits = value is None or isinstance(value, str | os.PathLike)
            what = "the name of a profile" if name == "profile" else "a text"
        elif name == "normalize_body":
            fits, what = value is None or callable(value), "a function of a body"
        else:
            fits, what = _is_speed(value), "0, 1 or another factor"
            if fits:
                given[name] = float(value)
        if not fits:
            raise pytest.UsageError(f"{where}: {name} is {what}, not {value!r}")
    try:
        if given.get("profile") is not None:
            get_profile(given["profile"])
        selects(given.get("ignore", ()))
        if given.get("max_age"):
            age_of(given["max_age"])
        redactor = Redactor(given.get("redact", ()), environ={})
        Matcher(redactor, given.get("match_on", ()), given.get("ignore_body", ()))
        url = given.get("base_url")
        if url and not url.startswith(("http://", "https://")):
            raise SettingError(f"base_url begins with http:// or https://, not {url!r}")
    except SettingError as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return given


def _is_speed(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(value) >= 0
    except (TypeError, ValueError):
        return False


def age_of(text: str) -> timedelta:
    """``30d``, ``12h`` or ``8w``.

    Raises:
        SettingError: it is none of these.
    """
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise SettingError(f"max_age is a number of days, hours or weeks such as 30d, not {text!r}")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def is_older(recorded_at: str, age: str) -> bool:
    """Whether a recording is older than that; ``False`` where nobody noted when it was made."""
    try:
        made = datetime.fromisoformat(recorded_at)
    except ValueError:
        return False
    today = datetime.fromisoformat(clock.now())
    return today - made.replace(tzinfo=made.tzinfo or UTC) > age_of(age)
