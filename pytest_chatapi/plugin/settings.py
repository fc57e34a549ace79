"""The settings of a test, from all places that can set them.

The nearest wins:

1. the marker ``chatapi`` of the test, then of its class, then of its module
2. the fixture ``chatapi_config``
3. the command line
4. the ini file
5. the file of settings, which the command ``chatapi`` reads too (`pytest_chatapi.config.file`)
6. the default of the row (`options`)

Three exceptions: ``redact`` adds up, since no nearer setting may make a secret public; what
``[tool.chatapi]`` ignores is always ignored; and with the environment variable ``CI`` set, the
record mode is ``none`` unless the command line sets another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from pytest_chatapi.config.baseline import Baseline
from pytest_chatapi.config.file import shown_path
from pytest_chatapi.config.options import SETTINGS, Settings, Values, validated
from pytest_chatapi.contract.wording import use_one_of
from pytest_chatapi.errors import SettingError
from pytest_chatapi.plugin.ini_and_flags import values_of_run
from pytest_chatapi.plugin.stash import BASELINE, CONFIGURATION

__all__ = [
    "marker_arguments",
    "read_baseline",
    "settings_at_run",
    "settings_for",
    "settings_of_run",
]

_CONFIG_FIXTURE = "the fixture chatapi_config"


def settings_for(
    item: pytest.Item, configured: Mapping[str, object], policy: str = "error"
) -> Settings:
    """All settings of one test.

    Args:
        configured: what the fixture ``chatapi_config`` returned.
        policy: used if neither ``policy`` nor ``strict`` is set.

    Raises:
        pytest.UsageError: a setting is wrong.
    """
    layers = [  # the nearest last
        ("", _of_run(item.config)),
        (_CONFIG_FIXTURE, _configured(configured)),
        *(("the marker", arguments) for arguments in marker_arguments(item)),
    ]
    merged: Values = {}
    secrets: list[str] = []
    mode_from = ""
    for source, values in layers:
        merged |= values
        secrets += values.get("redact", ())
        if "record_mode" in values:
            mode_from = source
    if _is_ci() and item.config.getoption("--record-mode", None) is None:
        merged["record_mode"], mode_from = "none", ""
    settings = _merged(item.config, merged | {"redact": secrets}, policy, mode_from)
    settings.files = (item.path,)
    return settings


def settings_at_run(
    item: pytest.Item, configured: Mapping[str, object], policy: str = "error"
) -> Settings:
    """As `settings_for`, while a test is set up: a wrong setting fails it in one line.

    Raises:
        pytest.fail.Exception: a setting is wrong.
    """
    try:
        return settings_for(item, configured, policy)
    except pytest.UsageError as error:
        refusal = str(error)
    pytest.fail(refusal, pytrace=False)  # outside of the handler, which would add its traceback


def settings_of_run(config: pytest.Config) -> Settings:
    """The settings of what belongs to no test, such as a recording that is collected as one.

    Raises:
        pytest.UsageError: a setting is wrong.
    """
    return _merged(config, _of_run(config), "error", "")


def read_baseline(config: pytest.Config) -> None:
    """Keep the known findings, if the ini file or the file of settings names their file.

    Raises:
        pytest.UsageError: it cannot be read.
    """
    name = config.getini("chatapi_baseline")
    folder = config.inipath.parent if config.inipath is not None else config.rootpath
    path = str(folder / name) if name else config.stash[CONFIGURATION].path("baseline")
    try:
        config.stash[BASELINE] = Baseline.read(shown_path(path))
    except SettingError as error:
        raise pytest.UsageError(f"chatapi: {error}") from None


def _merged(config: pytest.Config, values: Values, policy: str, mode_from: str) -> Settings:
    settings = Settings(**values)
    settings.file = config.stash[CONFIGURATION]
    settings.baseline = config.stash.get(BASELINE, None)
    of_file = settings.file.values
    if "policy" not in values:
        settings.policy = "strict" if settings.strict else policy
    if "strict" not in values and of_file.get("strict"):
        settings.strict = True
        # Mocks and faults that are not checked by default are none of that file's concern.
        if "policy" not in values and policy == "error":
            settings.policy = "strict"
    if of_file.get("ignore"):
        settings.ignore = [*of_file["ignore"], *settings.ignore]
    settings.mode_from = mode_from
    return settings


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _of_run(config: pytest.Config) -> Values:
    return _valid(values_of_run(config), "chatapi settings")


def _configured(values: object) -> Values:
    if not isinstance(values, Mapping):
        raise pytest.UsageError(
            f"{_CONFIG_FIXTURE} must return a dict, not {type(values).__name__}"
        )
    return _valid(values, _CONFIG_FIXTURE)


def marker_arguments(item: pytest.Item) -> list[Values]:
    """The arguments of each marker ``chatapi`` of a test, the farthest first.

    Raises:
        pytest.UsageError: an argument is wrong.
    """
    where = f"{item.nodeid}: @pytest.mark.chatapi"
    layers = []
    for marker in reversed(list(item.iter_markers("chatapi"))):
        if marker.args:
            first = marker.args[0]  # a converted @pytest.mark.vcr("name.yaml"), most likely
            is_file = isinstance(first, str) and first.endswith((".yaml", ".yml", ".json"))
            near = f": did you mean cassette={first!r}?" if is_file else use_one_of(SETTINGS)
            raise pytest.UsageError(f"{where} takes keyword arguments only{near}")
        layers.append(_valid(marker.kwargs, where))
    return layers


def _valid(values: Mapping[str, object], where: str) -> Values:
    try:
        return validated(values)
    except SettingError as error:
        raise pytest.UsageError(f"{where}: {error}") from None
