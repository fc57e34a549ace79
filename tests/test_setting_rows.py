"""Settings: one row each, and which of the places that set one wins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_chatapi.config.file import Configuration
from pytest_chatapi.config.options import ROWS, SETTINGS, Settings, validated
from pytest_chatapi.errors import SettingError
from pytest_chatapi.plugin import ini_and_flags
from pytest_chatapi.plugin.policy import checker_of
from pytest_chatapi.plugin.settings import settings_for, settings_of_run
from pytest_chatapi.plugin.stash import CONFIGURATION
from pytest_chatapi.recording.expiry import age_of, is_older


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


# -- the rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_declared_as_it_says(name: str, pytestconfig: pytest.Config) -> None:
    row = ROWS[name]
    assert row.help == row.help.strip().removesuffix(".")
    assert "\n" not in row.help
    if row.ini is None:
        with pytest.raises(ValueError, match="unknown configuration value"):
            pytestconfig.getini(f"chatapi_{name}")
    else:
        pytestconfig.getini(f"chatapi_{name}")
    if row.flag:
        pytestconfig.getoption(row.flag)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_a_value_that_fits(name: str) -> None:
    default = SETTINGS[name].default
    assert validated({name: default}) == {name: default}
    assert getattr(Settings(), name) == default
    assert name in Settings.__annotations__


class Parser:
    """As much of pytest's parser as declares options."""

    def __init__(self, *taken: str) -> None:
        self.taken, self.flags, self.ini = set(taken), {}, {}  # type: ignore[var-annotated]

    def getgroup(self, name: str, description: str = "") -> Parser:
        return self

    def addoption(self, flag: str, **more: Any) -> None:
        if flag in self.taken:
            raise ValueError(f"option names {{{flag!r}}} already added")
        self.flags[flag] = more

    def addini(self, name: str, help: str, kind: str, default: object) -> None:
        self.ini[name] = (kind, default)


def declared(*taken: str) -> Parser:
    parser = Parser(*taken)
    ini_and_flags.add_options(cast(Any, parser))
    ini_and_flags.add_shared_flags(cast(Any, parser))
    return parser


def test_ini_options() -> None:
    assert declared().ini == {
        "chatapi_profile": ("string", ""),
        "chatapi_ignore": ("linelist", []),
        "chatapi_strict": ("bool", None),
        "chatapi_policy": ("string", ""),
        "chatapi_record_mode": ("string", ""),
        "chatapi_serializer": ("string", ""),
        "chatapi_match_on": ("args", []),
        "chatapi_ignore_body": ("linelist", []),
        "chatapi_allow_playback_repeats": ("bool", None),
        "chatapi_redact": ("linelist", []),
        "chatapi_keep_headers": ("args", []),
        "chatapi_replay_speed": ("string", ""),
        "chatapi_ttft": ("string", ""),
        "chatapi_tokens_per_second": ("string", ""),
        "chatapi_jitter": ("string", ""),
        "chatapi_unplayed": ("string", ""),
        "chatapi_optional": ("linelist", []),
        "chatapi_max_age": ("string", ""),
        "chatapi_on_expiry": ("string", ""),
        "chatapi_record_on_failure": ("bool", None),
        "chatapi_ignore_hosts": ("args", []),
        "chatapi_base_url": ("string", ""),
        "chatapi_organization": ("string", ""),
        "chatapi_project": ("string", ""),
        "chatapi_http_client": ("string", ""),
        "chatapi_virtual_time": ("bool", None),
        "chatapi_cassettes": ("paths", []),
        "chatapi_map": ("string", ""),
        "chatapi_baseline": ("string", ""),
        "chatapi_model": ("string", ""),
        "chatapi_api_key_env": ("string", ""),
        "chatapi_declare": ("linelist", []),
        "chatapi_expected": ("string", ""),
        "chatapi_budget": ("string", ""),
        "chatapi_auto": ("bool", False),
        "chatapi_check_vcr": ("bool", False),
        "chatapi_disable_recording": ("bool", False),
        "chatapi_orphans": ("bool", False),
        "chatapi_orphans_fail": ("bool", False),
    }


def test_flags() -> None:
    flags = declared().flags
    for name, row in ROWS.items():
        if row.flag:
            ini = f" (ini: chatapi_{name})" if row.ini else ""
            assert flags[row.flag].pop("help") == f"{row.help}{ini}"
    assert flags == {
        "--chatapi-profile": {"metavar": "NAME"},
        "--chatapi-ignore": {"metavar": "CODE[:PATH]", "action": "append"},
        "--chatapi-strict": {"action": "store_true", "default": None},
        "--chatapi-policy": {"choices": ("error", "strict", "warn", "off")},
        "--chatapi-replay-speed": {"metavar": "FACTOR"},
        "--chatapi-base-url": {"metavar": "URL"},
        "--chatapi-cassettes": {"metavar": "DIR", "action": "append"},
        "--chatapi-map": {"metavar": "MAPPING"},
        "--chatapi-model": {"metavar": "M"},
        "--chatapi-api-key-env": {"metavar": "NAME"},
        "--chatapi-declare": {"metavar": "CAPABILITY=no", "action": "append"},
        "--chatapi-expected": {"metavar": "FILE"},
        "--chatapi-budget": {"metavar": "LIMITS"},
        "--chatapi-report": {"metavar": "FILE", "action": "append"},
        "--chatapi-orphans": {"action": "store_true", "default": False},
        "--chatapi-orphans=fail": {"action": "store_true", "default": False},
        "--record-mode": {"choices": ("none", "once", "new_episodes", "all", "rewrite")},
        "--disable-recording": {"action": "store_true", "default": False},
    }


def test_a_flag_of_another_plugin_is_left_to_it() -> None:
    flags = declared("--record-mode").flags
    assert "--record-mode" not in flags
    assert "--disable-recording" in flags


@pytest.mark.parametrize(
    ("values", "converted"),
    [
        ({"replay_speed": "2"}, 2.0),
        ({"replay_speed": 0}, 0.0),
        ({"ignore": "S10"}, ["S10"]),
        ({"ignore": ("S10", "U02")}, ("S10", "U02")),
        ({"keep_headers": {"x-a"}}, {"x-a"}),
        ({"cassette": Path("a.yaml")}, Path("a.yaml")),
        ({"cassette": None}, None),
        ({"profile": None}, None),
        ({"normalize_body": str}, str),
        ({"strict": False}, False),
        ({"record_mode": "all"}, "all"),
        ({"max_age": "8 w"}, "8 w"),
        ({"base_url": "http://x"}, "http://x"),
        ({"base_url": "https://x"}, "https://x"),
    ],
)
def test_values_that_fit(values: dict[str, object], converted: object) -> None:
    assert list(validated(values).values()) == [converted]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profil": "openai"}, "unknown setting 'profil': did you mean profile?"),
        ({"profilo": 1}, "unknown setting 'profilo': did you mean profile?"),
        ({"mode_record": 1}, "unknown setting 'mode_record': did you mean record_mode?"),
        ({"pr": 1}, "unknown setting 'pr': use\n  profile, project, "),
        ({"policy": "strikt"}, "policy must be one of error, strict, warn, off, not 'strikt': did"),
        ({"policy": None}, "policy must be one of error, strict, warn, off, not None"),
        (
            {"record_mode": []},
            "record_mode must be one of none, once, new_episodes, all, rewrite, ",
        ),
        ({"strict": 1}, "strict must be True or False, not 1"),
        ({"virtual_time": "no"}, "virtual_time must be True or False, not 'no'"),
        ({"profile": 3}, "profile must be a string, not 3"),
        ({"base_url": Path("x")}, "base_url must be a string, not "),
        ({"cassette": 3}, "cassette must be a name or a path, not 3"),
        ({"ignore": 3}, "ignore must be a list of strings, not 3"),
        ({"ignore": ["S10", 3]}, "ignore must be a list of strings, not "),
        ({"redact": None}, "redact must be a list of strings, not None"),
        ({"normalize_body": "x"}, "normalize_body must be a function of a body, not 'x'"),
        ({"replay_speed": True}, "replay_speed must be 0, 1 or another factor, not True"),
        ({"replay_speed": -1}, "replay_speed must be 0, 1 or another factor, not -1"),
        ({"replay_speed": "nan"}, "replay_speed must be 0, 1 or another factor, not 'nan'"),
        ({"replay_speed": "fast"}, "replay_speed must be 0, 1 or another factor, not 'fast'"),
        ({"replay_speed": 10**400}, "replay_speed must be 0, 1 or another factor, not 1000"),
        ({"replay_speed": None}, "replay_speed must be 0, 1 or another factor, not None"),
        ({"profile": "opennai"}, "unknown profile 'opennai'"),
        ({"ignore": "u2x"}, "unknown rule 'u2x'"),
        ({"match_on": ["headers"]}, "match_on cannot compare 'headers'"),
        ({"ignore_body": "user"}, "'user'"),
        ({"redact": "("}, "redact: '('"),
        ({"redact": "$.a["}, "'$.a['"),
        ({"max_age": "old"}, "max_age must be a number of days, hours or weeks such as 30d, not "),
        ({"max_age": f"{10**12}d"}, "max_age must be a number of days, hours or weeks such as 30d"),
        ({"base_url": "x:1"}, "base_url must begin with http:// or https://, not 'x:1'"),
    ],
)
def test_values_that_do_not_fit(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        validated(values)
    assert str(caught.value).startswith(message)


def test_a_suggestion_replaces_the_list() -> None:
    with pytest.raises(SettingError) as caught:
        validated({"profil": "openai"})
    assert str(caught.value) == "unknown setting 'profil': did you mean profile?"


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind.choices])
def test_the_help_of_a_row_lists_its_choices(name: str) -> None:
    row = ROWS[name]
    assert all(re.search(rf"\b{choice}\b", row.help) for choice in row.kind.choices)
    if name == "on_expiry":
        assert row.help == "what to do about recordings older than max_age: warn or fail"


# -- the places ----------------------------------------------------------------------------------


class Config:
    """As much of pytest's configuration as settings are read from."""

    def __init__(
        self,
        flags: Mapping[str, object],
        ini: Mapping[str, object],
        file: Mapping[str, object] | None = None,
    ) -> None:
        self._flags, self._ini = flags, ini
        self.stash = {CONFIGURATION: Configuration("", dict(file or {}))}

    def getoption(self, name: str, default: object = None) -> object:
        return self._flags.get(name, default)

    def getini(self, name: str) -> object:
        _, default = declared().ini[name]
        return self._ini.get(name, default)


class Item:
    nodeid = "test_it.py::test_a"
    path = Path("test_it.py")

    def __init__(self, config: Config, *markers: pytest.Mark) -> None:
        self.config, self._markers = config, markers

    def iter_markers(self, name: str) -> Iterator[pytest.Mark]:
        return iter(self._markers)  # the nearest first, as pytest has it


def marker(*args: object, **kwargs: object) -> pytest.Mark:
    return pytest.mark.chatapi(*args, **kwargs).mark


def resolve(
    *markers: pytest.Mark,
    configured: object = None,
    flags: Mapping[str, object] | None = None,
    ini: Mapping[str, object] | None = None,
    file: Mapping[str, object] | None = None,
    **more: str,
) -> Settings:
    item = Item(Config(flags or {}, ini or {}, file), *markers)
    return settings_for(cast(Any, item), cast(Any, configured or {}), **more)


def test_the_nearest_place_wins() -> None:
    everywhere: dict[str, Any] = {
        "ini": {"chatapi_base_url": "http://ini"},
        "flags": {"--chatapi-base-url": "http://flag"},
        "configured": {"base_url": "http://fixture"},
    }
    near, far = marker(base_url="http://near"), marker(base_url="http://far")
    assert resolve(near, far, **everywhere).base_url == "http://near"
    assert resolve(far, **everywhere).base_url == "http://far"
    assert resolve(marker(), **everywhere).base_url == "http://fixture"
    del everywhere["configured"]
    assert resolve(**everywhere).base_url == "http://flag"
    del everywhere["flags"]
    assert resolve(**everywhere).base_url == "http://ini"
    assert resolve().base_url is None


def test_what_is_off_in_a_near_place_stays_off() -> None:
    assert resolve(ini={"chatapi_virtual_time": False}).virtual_time is False
    assert resolve(marker(strict=False), flags={"--chatapi-strict": True}).strict is False
    assert resolve(marker(profile=None), ini={"chatapi_profile": "azure"}).profile is None


def test_an_empty_place_sets_nothing() -> None:
    settings = resolve(
        flags={"--chatapi-ignore": [], "--chatapi-strict": None},
        ini={"chatapi_ignore": ["S10"], "chatapi_strict": True, "chatapi_policy": ""},
    )
    assert (settings.ignore, settings.strict) == (["S10"], True)


def test_codes_of_the_run_may_be_joined_by_commas() -> None:
    assert resolve(flags={"--chatapi-ignore": ["S10,U02", "K09,"]}).ignore == ["S10", "U02", "K09"]
    assert resolve(ini={"chatapi_ignore": ["S10,U02"]}).ignore == ["S10", "U02"]
    assert resolve(ini={"chatapi_redact": ["a{1,2}"]}).redact == ["a{1,2}"]


def test_secrets_of_all_places_add_up() -> None:
    settings = resolve(
        marker(redact="near"),
        marker(redact=("far",)),
        configured={"redact": ["fixture"]},
        ini={"chatapi_redact": ["ini"]},
    )
    assert settings.redact == ["ini", "fixture", "far", "near"]


def test_the_policy_follows_strict_and_else_the_kind_of_test() -> None:
    assert resolve().policy == "error"
    assert resolve(policy="off").policy == "off"
    assert resolve(marker(strict=True), policy="off").policy == "strict"
    assert resolve(marker(strict=True, policy="warn")).policy == "warn"
    assert resolve(ini={"chatapi_policy": "warn"}, policy="off").policy == "warn"


def test_the_file_of_settings_is_the_farthest_place() -> None:
    file = {"strict": True, "ignore": ["S10"], "profile": "azure"}
    settings = resolve(marker(ignore=["U02"]), file=file)
    assert (settings.ignore, settings.strict, settings.policy) == (["S10", "U02"], True, "strict")
    assert resolve(file=file, ini={"chatapi_ignore": ["K09"]}).ignore == ["S10", "K09"]
    assert checker_of(settings).profile() == "azure"
    assert checker_of(resolve(marker(profile="openai"), file=file)).profile() == "openai"
    assert resolve(file=file, ini={"chatapi_strict": False}).policy == "error"
    assert resolve(file=file, policy="off").policy == "off"  # of mocks and faults
    assert resolve(marker(policy="warn"), file=file).policy == "warn"


def test_who_sets_the_record_mode() -> None:
    flag = {"--record-mode": "once"}
    assert resolve(flags=flag).mode_from == ""
    assert resolve(marker(), flags=flag, configured={"record_mode": "all"}).mode_from == (
        "the fixture chatapi_config"
    )
    settings = resolve(marker(record_mode="new_episodes"), configured={"record_mode": "all"})
    assert (settings.record_mode, settings.mode_from) == ("new_episodes", "the marker")


@pytest.mark.parametrize(("value", "is_ci"), [("true", True), ("1", True), ("False", False)])
def test_ci_records_only_by_the_command_line(
    monkeypatch: pytest.MonkeyPatch, value: str, is_ci: bool
) -> None:
    monkeypatch.setenv("CI", value)
    settings = resolve(marker(record_mode="all"), ini={"chatapi_record_mode": "once"})
    assert settings.record_mode == ("none" if is_ci else "all")
    assert settings.mode_from == ("" if is_ci else "the marker")
    assert resolve(flags={"--record-mode": "once"}).record_mode == "once"


def test_messages_say_where() -> None:
    at_marker = "test_it.py::test_a: @pytest.mark.chatapi"
    for wrong, message in (
        ((marker(3), None), f"{at_marker} takes keyword arguments only: use\n  profile, ignore, "),
        ((marker(strict=1), None), f"{at_marker}: strict must be True or False, not 1"),
        ((None, {"strict": 1}), "the fixture chatapi_config: strict must be True or False, not 1"),
        ((None, [1]), "the fixture chatapi_config must return a dict, not list"),
    ):
        with pytest.raises(pytest.UsageError) as caught:
            resolve(*filter(None, wrong[:1]), configured=wrong[1])
        assert str(caught.value).startswith(message)
    with pytest.raises(pytest.UsageError, match=r"^chatapi settings: policy must be one of"):
        resolve(ini={"chatapi_policy": "x"})


def test_settings_of_a_run() -> None:
    config = cast(Any, Config({"--chatapi-profile": "azure"}, {"chatapi_strict": True}))
    settings = settings_of_run(config)
    assert (settings.profile, settings.strict, settings.policy) == ("azure", True, "strict")


def test_a_run_that_sets_nothing_needs_no_check() -> None:
    def is_any_set(flags: dict[str, object], ini: dict[str, object]) -> bool:
        return ini_and_flags.is_any_set(cast(Any, Config(flags, ini)))

    assert not is_any_set({}, {})
    assert not is_any_set({"--record-mode": "once", "--chatapi-ignore": []}, {"chatapi_auto": True})
    assert is_any_set({"--chatapi-profile": "x"}, {})
    assert is_any_set({}, {"chatapi_strict": False})
    assert is_any_set({}, {"chatapi_record_mode": "x"})


def test_switches_of_a_run() -> None:
    def is_on(name: str, flags: dict[str, object], ini: dict[str, object]) -> bool:
        return ini_and_flags.is_on(cast(Any, Config(flags, ini)), name)

    assert not is_on("disable_recording", {}, {})
    assert is_on("disable_recording", {"--disable-recording": True}, {})
    assert is_on("disable_recording", {}, {"chatapi_disable_recording": True})
    assert is_on("auto", {}, {"chatapi_auto": True})


# -- ages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), (" 2 w ", 336)])
def test_ages(text: str, hours: int) -> None:
    assert age_of(text).total_seconds() == hours * 3600


def test_what_is_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_chatapi.recording.clock.now", lambda: "2026-11-25T10:00:00.000Z")
    assert not is_older("2026-11-25T08:00:00.000Z", "2h")
    assert is_older("2026-11-25T07:59:59.999Z", "2h")
    assert is_older("2026-11-25T07:59:59", "2h")  # without a zone: UTC
    assert not is_older("2026-11-25T09:30:00+01:00", "2h")
    assert not is_older("", "2h")
