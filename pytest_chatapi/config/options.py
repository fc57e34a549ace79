"""The settings, one row each: what a setting takes, its default, where it can be set, its help.

Keys of ``[tool.chatapi]``, options of ``chatapi check``, ini options and flags of pytest, arguments
of the marker, validation and the tables of the documentation are made from these rows. pytest
imports this module at every start, so checks import what they need when they run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_chatapi.recording.kinds import (
    DEFAULT_MATCH_ON,
    FACTOR,
    HTTP_FAMILIES,
    MATCHERS,
    RATE,
    RECORD_MODE,
    SECONDS,
    SHARE,
    Kind,
    one_of,
)

if TYPE_CHECKING:
    from pytest_chatapi.config.baseline import Baseline
    from pytest_chatapi.config.checker import Checker
    from pytest_chatapi.config.file import Configuration

__all__ = ["ROWS", "RUN_SETTINGS", "SETTINGS", "Setting", "Settings", "Values", "validated"]

Values: TypeAlias = dict[str, Any]
"""Validated settings by name, each of the type that its row says."""


class Setting:
    """One row.

    Attributes:
        kind: what values it takes.
        default: its value if it is set nowhere.
        help: one line for ``pytest --help`` and the documentation; after a final colon, the
            choices of the kind are added.
        ini: kind of the ini option ``chatapi_NAME``; ``None`` if there is none.
        flag: on the command line of pytest, or ``""``.
        option: of ``chatapi check``, or ``""``.
        in_file: it is a key of ``[tool.chatapi]``, with dashes for underscores.
        metavar: what the flag and the option take, for their help.
        is_shared: other plugins declare the same flag; if one of them is installed, it is theirs.
        has_commas: on the command line and in the ini file, commas may separate values.
        only_checks: it sets how exchanges are checked, and does not ask for a recorder.
        check: raises `SettingError` for a value that fits but names what does not exist.
        shown: the default in words, for the documentation, if the value does not explain itself.
    """

    # A dataclass would take longer to make than all the rest of this module.
    def __init__(
        self,
        kind: Kind,
        default: object,
        help: str,
        *,
        in_ini: bool = True,
        flag: str = "",
        option: str = "",
        in_file: bool = False,
        metavar: str | None = None,
        is_shared: bool = False,
        has_commas: bool = False,
        only_checks: bool = False,
        check: Callable[[Any], object] | None = None,
        shown: str = "",
    ) -> None:
        self.kind, self.default, self.help = kind, default, help
        if help.endswith(":"):
            self.help = f"{help} {', '.join(kind.choices[:-1])} or {kind.choices[-1]}"
        self.ini = kind.ini if in_ini else None
        self.flag, self.option, self.in_file = flag, option, in_file
        self.metavar, self.is_shared = metavar, is_shared
        self.has_commas, self.only_checks = has_commas, only_checks
        self.check, self.shown = check, shown


def _setting(kind: Kind, default: object, help: str, **more: Any) -> Any:
    """A row; for the type checker a value of the type with which the setting is annotated."""
    return Setting(kind, default, help, **more)


# -- kinds ---------------------------------------------------------------------------------------


def _instance_of(*types: type) -> Callable[[object], object]:
    def convert(value: object) -> object:
        if not isinstance(value, types):
            raise TypeError
        return value

    return convert


def _texts(value: object) -> Sequence[str] | set[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple | set) or not all(isinstance(v, str) for v in value):
        raise TypeError
    return value


def _day(value: object) -> str | None:
    # TOML has dates of its own. A `datetime` is one, too, but names an hour.
    if type(value).__name__ == "date":
        return str(value)
    if not isinstance(value, str | None):
        raise TypeError
    return value


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _function(value: object) -> object:
    if value is not None and not callable(value):
        raise TypeError
    return value


TEXT = Kind("a string", _instance_of(str, type(None)), "string")
PATH = Kind("a name or a path", _instance_of(str, os.PathLike, type(None)), None)
SWITCH = Kind("True or False", _instance_of(bool), "bool")
UNSET_SWITCH = Kind("True or False", _instance_of(bool, type(None)), "bool")
LINES = Kind("a list of strings", _texts, "linelist")
WORDS = Kind("a list of strings", _texts, "args")
FOLDERS = Kind("a list of paths", _texts, "paths")
DAY = Kind("a date such as 2026-01-31", _day, None)
HOST_PROFILES = Kind('a table such as {"*.example.com" = "compatible"}', _table, None)
FILE_CODES = Kind('a table such as {"tests/bad_*.yaml" = ["S10"]}', _table, None)
MODEL_PRICES = Kind('a table such as {"my-*" = {input = 0.5, output = 1.5}}', _table, None)
MODEL_INDEXES = Kind('a table such as {"my-*" = {value = 60, source = "..."}}', _table, None)
FUNCTION = Kind("a function of a body", _function, None)


# -- checks --------------------------------------------------------------------------------------


def _check_profile(name: str | None) -> None:
    from pytest_chatapi.contract.profiles import get_profile

    if name is not None:
        get_profile(name)


def _check_rules(codes: Sequence[str]) -> None:
    from pytest_chatapi.contract.selection import selects

    selects(codes)


def _check_day(text: str | None) -> None:
    from pytest_chatapi.contract.selection import parse_date

    parse_date(text)


def _check_mapping(text: str | None) -> None:
    from pytest_chatapi.reading.mapping import Mapping

    if text is not None:
        Mapping(text)


def _check_host_profiles(table: Mapping[str, object]) -> None:
    from pytest_chatapi.errors import SettingError

    for host, name in table.items():
        if "/" in host:
            raise SettingError(f"{host!r} is not a host: use a name such as *.example.com")
        _check_profile(TEXT.checked(repr(host), name))


def _check_file_codes(table: Mapping[str, object]) -> None:
    for pattern, codes in table.items():
        _check_rules(LINES.checked(repr(pattern), codes))


def _check_prices(table: Mapping[str, object]) -> None:
    from pytest_chatapi.figures.price import own_rates

    for pattern, rates in table.items():
        own_rates(pattern, rates)


def _check_indexes(table: Mapping[str, object]) -> None:
    from pytest_chatapi.figures.price import own_index

    for pattern, index in table.items():
        own_index(pattern, index)


def _check_matchers(names: Sequence[str]) -> None:
    from pytest_chatapi.recording.matching import Matcher
    from pytest_chatapi.redaction.redactor import Redactor

    Matcher(Redactor(environ={}), names)


def _check_paths(paths: Sequence[str]) -> None:
    from pytest_chatapi.redaction.jsonpath import JsonPaths

    JsonPaths(paths)


def _check_patterns(patterns: Sequence[str]) -> None:
    from pytest_chatapi.redaction.redactor import Redactor

    Redactor(patterns, environ={})


def _check_age(text: str | None) -> None:
    from pytest_chatapi.recording.expiry import age_of

    if text:
        age_of(text)


def _check_url(url: str | None) -> None:
    from pytest_chatapi.contract.wording import without_secrets
    from pytest_chatapi.errors import SettingError

    if url and not url.startswith(("http://", "https://")):
        raise SettingError(
            f"base_url must begin with http:// or https://, not {without_secrets(url)!r}"
        )


# -- the rows ------------------------------------------------------------------------------------


class Settings:
    """The settings of one test, one attribute each: what the marker ``chatapi`` takes.

    Attributes:
        mode_from: what sets `record_mode` and wins over the command line, or ``""``.
        file: the file of settings; what it says of `ignore` and `strict` is in these.
        files: where the test and its cassette are, for ``per-file-ignores``.
        checker: made of all these by the first check.
        baseline: the known findings of recordings.
    """

    profile: str | None = _setting(
        TEXT,
        None,
        "check by this profile, not the host's: documented, openai, azure or compatible",
        flag="--chatapi-profile",
        option="--profile",
        in_file=True,
        metavar="NAME",
        only_checks=True,
        check=_check_profile,
        shown="by host",
    )
    ignore: Sequence[str] = _setting(
        LINES,
        (),
        "findings to ignore, such as S10 or U02:$.usage.total_tokens",
        flag="--chatapi-ignore",
        option="--ignore",
        in_file=True,
        metavar="CODE[:PATH]",
        has_commas=True,
        only_checks=True,
        check=_check_rules,
    )
    strict: bool = _setting(
        SWITCH,
        False,
        "fail on warnings too",
        flag="--chatapi-strict",
        option="--strict",
        in_file=True,
        only_checks=True,
    )
    policy: str = _setting(
        one_of("error", "strict", "warn", "off"),
        "error",
        "which findings fail a test: error, strict (warnings too), warn (none) or off (no checks)",
        flag="--chatapi-policy",
        only_checks=True,
        shown="`error`; `off` with a mock or faults",
    )
    cassette: str | os.PathLike[str] | None = _setting(
        PATH, None, "name or path of the cassette", shown="named after the test"
    )
    record_mode: str = _setting(
        RECORD_MODE,
        "none",
        "when to record:",
        flag="--record-mode",
        is_shared=True,
    )
    serializer: str = _setting(one_of("yaml", "json"), "yaml", "format of new cassettes:")
    match_on: Sequence[str] = _setting(
        WORDS,
        DEFAULT_MATCH_ON,
        f"what requests are matched by: {', '.join(MATCHERS)}",
        check=_check_matchers,
    )
    ignore_body: Sequence[str] = _setting(
        LINES, (), "JSON paths in request bodies to leave out of matching", check=_check_paths
    )
    normalize_body: Callable[[Any], Any] | None = _setting(
        FUNCTION, None, "function that gets a request body and returns what to match by"
    )
    allow_playback_repeats: bool = _setting(
        SWITCH, False, "replay the last recording of a request any number of times"
    )
    redact: Sequence[str] = _setting(
        LINES,
        (),
        "further secrets, as regular expressions or JSON paths; all places add up",
        check=_check_patterns,
    )
    keep_headers: Sequence[str] = _setting(
        WORDS, (), "headers to record besides the usual ones, such as x-litellm-*"
    )
    replay_speed: float = _setting(
        FACTOR,
        0,
        "pace of replayed streams: 0 at once, 1 as recorded, 2 twice as fast",
        flag="--chatapi-replay-speed",
        metavar="FACTOR",
    )
    ttft: float | None = _setting(
        SECONDS,
        None,
        "seconds until the first token of a response from a mock or a cassette",
        shown="as recorded",
    )
    tokens_per_second: float | None = _setting(
        RATE,
        None,
        "tokens per second of a response from a mock or a cassette",
        shown="as recorded",
    )
    jitter: float = _setting(
        SHARE, 0, "share by which waits for tokens vary, the same in each run: 0 to 1"
    )
    unplayed: str = _setting(
        one_of("fail", "warn", "ignore"),
        "fail",
        "what to do about unused recordings and mock replies:",
    )
    optional: Sequence[str] = _setting(
        LINES,
        (),
        "URLs, with *, whose recordings need not be used, such as a download that a process "
        "makes only once",
    )
    max_age: str | None = _setting(
        TEXT,
        None,
        "age from which recordings are too old, such as 30d, 12h or 8w",
        check=_check_age,
    )
    on_expiry: str = _setting(
        one_of("warn", "fail"),
        "warn",
        "what to do about recordings older than max_age:",
    )
    record_on_failure: bool = _setting(SWITCH, False, "write the cassette of a failing test too")
    ignore_hosts: Sequence[str] = _setting(
        WORDS, (), "hosts to let through, neither recorded nor replayed"
    )
    base_url: str | None = _setting(
        TEXT,
        None,
        "base URL of the client fixtures, and of the server that conformance checks",
        flag="--chatapi-base-url",
        metavar="URL",
        check=_check_url,
        shown="`OPENAI_BASE_URL`",
    )
    api_key: str | None = _setting(
        TEXT, None, "API key of the client fixtures", in_ini=False, shown="`OPENAI_API_KEY`"
    )
    organization: str | None = _setting(
        TEXT, None, "organization of the client fixtures", shown="`OPENAI_ORG_ID`"
    )
    project: str | None = _setting(
        TEXT, None, "project of the client fixtures", shown="`OPENAI_PROJECT_ID`"
    )
    http_client: str = _setting(
        one_of(*HTTP_FAMILIES),
        HTTP_FAMILIES[0],
        "library of the fixture chatapi_client:",
    )
    virtual_time: bool | None = _setting(
        UNSET_SWITCH,
        None,
        "let sleeping take no time: if set, also on replay and beside chatapi_server",
        shown="`True` with a mock or faults, without `chatapi_server`",
    )

    def __init__(self, **values: object) -> None:
        for name, row in SETTINGS.items():
            setattr(self, name, values.get(name, row.default))
        self.mode_from = ""
        self.file: Configuration | None = None
        self.files: tuple[str | os.PathLike[str], ...] = ()
        self.checker: Checker | None = None
        self.baseline: Baseline | None = None


SETTINGS: dict[str, Setting] = {
    name: row for name, row in vars(Settings).items() if isinstance(row, Setting)
}
"""The rows of `Settings`, by name."""

RUN_SETTINGS: dict[str, Setting] = {
    "cassettes": _setting(
        FOLDERS,
        (),
        "collect each exchange recorded below DIR as a test",
        flag="--chatapi-cassettes",
        metavar="DIR",
    ),
    "map": _setting(
        TEXT,
        None,
        "where request and response are in JSON of an unknown format, such as "
        "request=$.input,response=$.output",
        flag="--chatapi-map",
        option="--map",
        in_file=True,
        metavar="MAPPING",
        check=_check_mapping,
    ),
    "select": _setting(
        LINES,
        (),
        "report only these findings, such as U, S10 or U02:$.usage.total_tokens",
        in_ini=False,
        option="--select",
        in_file=True,
        metavar="CODE[:PATH]",
        has_commas=True,
        check=_check_rules,
        shown="all",
    ),
    "as_of": _setting(
        DAY,
        None,
        "use the contract as of this date, such as 2026-01-31",
        in_ini=False,
        option="--as-of",
        in_file=True,
        metavar="DATE",
        check=_check_day,
        shown="today",
    ),
    "profiles": _setting(
        HOST_PROFILES,
        {},
        "hosts, with *, and the profile of each; the first that matches wins",
        in_ini=False,
        in_file=True,
        check=_check_host_profiles,
    ),
    "per_file_ignores": _setting(
        FILE_CODES,
        {},
        "files, with *, and the findings to ignore in each",
        in_ini=False,
        in_file=True,
        check=_check_file_codes,
    ),
    "exclude": _setting(
        LINES,
        (),
        "files and folders, with *, that are not read",
        in_ini=False,
        option="--exclude",
        in_file=True,
        metavar="GLOB",
    ),
    "prices": _setting(
        MODEL_PRICES,
        {},
        "models, with *, and what each costs in USD per million tokens",
        in_ini=False,
        in_file=True,
        check=_check_prices,
    ),
    "quality_index": _setting(
        MODEL_INDEXES,
        {},
        "models, with *, and the quality index that somebody published for each, with its source",
        in_ini=False,
        in_file=True,
        check=_check_indexes,
    ),
    "baseline": _setting(
        TEXT,
        None,
        "file of known findings, which are only counted",
        option="--baseline",
        in_file=True,
        metavar="FILE",
    ),
    "model": _setting(
        TEXT, None, "model that conformance checks", flag="--chatapi-model", metavar="M"
    ),
    "api_key_env": _setting(
        TEXT,
        "OPENAI_API_KEY",
        "environment variable with the key of the server that conformance checks",
        flag="--chatapi-api-key-env",
        metavar="NAME",
    ),
    "declare": _setting(
        LINES,
        (),
        "what the server that conformance checks does not have, such as tools=no",
        flag="--chatapi-declare",
        metavar="CAPABILITY=no",
    ),
    "expected": _setting(
        TEXT,
        None,
        "file with the known failures of the server that conformance checks",
        flag="--chatapi-expected",
        metavar="FILE",
    ),
    "budget": _setting(
        TEXT,
        None,
        "what the run may spend on requests that it sends, such as 'total_tokens=200000 usd=1.50'",
        flag="--chatapi-budget",
        metavar="LIMITS",
    ),
    "report": _setting(
        LINES,
        (),
        "write what the run took, and how fast models answered, to FILE, .json or .html",
        in_ini=False,
        flag="--chatapi-report",
        metavar="FILE",
    ),
    "auto": _setting(SWITCH, False, "record and replay every test, as if each had the marker"),
    "check_vcr": _setting(
        SWITCH, False, "check tests with pytest.mark.vcr too, which another recorder plays"
    ),
    "disable_recording": _setting(
        SWITCH,
        False,
        "talk to the real server; record and replay nothing",
        flag="--disable-recording",
        is_shared=True,
    ),
    "orphans": _setting(
        SWITCH, False, "list cassettes that no test owns", flag="--chatapi-orphans"
    ),
    # A flag of its own for argparse: one that may have a value would take the next path for it.
    "orphans_fail": _setting(
        SWITCH, False, "list them, and fail if there are any", flag="--chatapi-orphans=fail"
    ),
}
"""What holds for a whole run, and is not set for a test."""

ROWS: dict[str, Setting] = {**SETTINGS, **RUN_SETTINGS}
"""All rows, by name."""


def validated(values: Mapping[str, object]) -> Values:
    """Settings of one place, each converted to the form in which it is used.

    Raises:
        SettingError: there is no such setting, or its value does not fit.
    """
    from pytest_chatapi.contract.wording import use_instead
    from pytest_chatapi.errors import SettingError

    converted: Values = {}
    for name, value in values.items():
        row = SETTINGS.get(name)
        if row is None:
            near = use_instead(str(name), SETTINGS)
            raise SettingError(f"unknown setting {name!r}{near}")
        converted[name] = row.kind.checked(name, value)
        if row.check is not None:
            row.check(converted[name])
    return converted
