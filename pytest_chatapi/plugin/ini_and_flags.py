"""The settings in pytest's ini file and on its command line, declared and read from their rows."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_chatapi.config.options import ROWS, RUN_SETTINGS, SETTINGS, Setting

__all__ = [
    "add_options",
    "add_shared_flags",
    "check_switches",
    "is_any_set",
    "is_on",
    "value_of_run",
    "values_of_run",
]

_GROUP = "chatapi"


def add_options(parser: pytest.Parser) -> None:
    """Declare all ini options, and the flags that are ours alone."""
    group = parser.getgroup(_GROUP, "contract tests of Chat Completions APIs")
    for name, row in ROWS.items():
        if row.flag and not row.is_shared:
            _add_flag(group, name, row)
        if row.ini is not None:
            parser.addini(f"chatapi_{name}", row.help, row.ini, default=_unset(name, row))


def add_shared_flags(parser: pytest.Parser) -> None:
    """Declare the flags that other recorders declare too, where none of them has by now."""
    group = parser.getgroup(_GROUP)
    for name, row in ROWS.items():
        if row.is_shared:
            try:
                _add_flag(group, name, row)
            except ValueError:  # pytest refuses to have a flag twice
                continue


def _add_flag(group: pytest.OptionGroup, name: str, row: Setting) -> None:
    ini = f" (ini: chatapi_{name})" if row.ini is not None else ""
    arguments: dict[str, Any] = {"help": f"{row.help}{ini}"}
    if row.ini == "bool":
        arguments |= {"action": "store_true", "default": _unset(name, row)}
    elif row.kind.choices:
        arguments["choices"] = row.kind.choices
    else:
        arguments["metavar"] = row.metavar
        if isinstance(row.default, tuple):
            arguments["action"] = "append"
    group.addoption(row.flag, **arguments)


def _unset(name: str, row: Setting) -> object:
    """The value by which an option is known to be set nowhere."""
    if row.ini == "bool":  # of a test, it may be on by default, or on in the ini file
        return None if name in SETTINGS else False
    return "" if row.ini == "string" else []


def is_on(config: pytest.Config, name: str) -> bool:
    """Whether a switch of the run is on, by its flag or in the ini file."""
    row = RUN_SETTINGS[name]
    on_command_line = bool(row.flag and config.getoption(row.flag, False))
    return on_command_line or bool(_in_ini(config, name, row))


def value_of_run(config: pytest.Config, name: str) -> Any:
    """What the run sets: the command line before the ini file; ``None`` if neither does."""
    row = RUN_SETTINGS[name]
    value = _on_command_line(config, row)
    return _in_ini(config, name, row) if value is None else value


def check_switches(config: pytest.Config) -> None:
    """Read all switches of the run, whether they are needed or not.

    Raises:
        pytest.UsageError: one is neither true nor false.
    """
    for name, row in RUN_SETTINGS.items():
        if row.ini == "bool":
            _in_ini(config, name, row)


def is_any_set(config: pytest.Config) -> bool:
    """Whether the run sets anything; a flag that is shared may be meant for another recorder."""
    return any(
        _in_ini(config, name, row) is not None
        or (not row.is_shared and _on_command_line(config, row) is not None)
        for name, row in SETTINGS.items()
    )


def values_of_run(config: pytest.Config) -> dict[str, object]:
    """What the run sets: the command line before the ini file; not validated yet."""
    values: dict[str, object] = {}
    for name, row in SETTINGS.items():
        value = _on_command_line(config, row)
        if value is None:
            value = _in_ini(config, name, row)
        if value is not None:
            if row.has_commas and isinstance(value, list):
                value = [part for item in value for part in item.split(",") if part.strip()]
            values[name] = value
    return values


def _on_command_line(config: pytest.Config, row: Setting) -> object:
    value = config.getoption(row.flag, None) if row.flag else None
    return None if value == [] else value


def _in_ini(config: pytest.Config, name: str, row: Setting) -> object:
    if row.ini is None:
        return None
    try:
        value = config.getini(f"chatapi_{name}")
    except (pytest.UsageError, ValueError) as error:  # which does not name the option
        raise pytest.UsageError(f"chatapi_{name} must be {row.kind.wanted}: {error}") from None
    return None if value in ("", []) else value
