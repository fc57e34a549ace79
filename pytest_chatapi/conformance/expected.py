"""Failures that are known, each with a reason: a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_chatapi.conformance.probe import Named
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import did_you_mean
from pytest_chatapi.errors import SettingError

__all__ = ["mark", "read"]

_TABLE = "failures"


def read(path: Path, every: Sequence[Named]) -> dict[str, str]:
    """The reasons of known failures, by the id of the check. The id of a probe stands for its
    checks in both modes.

    Args:
        every: the checks that there are.

    Raises:
        SettingError: the file cannot be read, names a check that does not exist, or gives no
            reason for one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"{path}: not valid TOML: {error}") from None
    for key in content:
        if key != _TABLE:
            hint = did_you_mean(key, [_TABLE]) or f": list checks below [{_TABLE}]"
            raise SettingError(f"{path}: {key!r} is not a known table{hint}")
    table = content.get(_TABLE)
    if not isinstance(table, dict):
        raise SettingError(f"{path}: has no table [{_TABLE}]")
    known: dict[str, str] = {}
    for name, reason in _flat(table):
        named = [check.ids[0] for check in every if name in check.ids]
        if not named:
            names = dict.fromkeys(one for check in every for one in check.ids)
            raise SettingError(f"{path}: {name!r} is not a check{did_you_mean(name, names)}")
        if not isinstance(reason, str) or not reason.strip():
            raise SettingError(f'{path}: {name} has no reason: write "{name}" = "why it fails"')
        known.update(dict.fromkeys(named, reason.strip()))
    return known


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names to values. In TOML a name without quotes is split at its dots: ``a.b = 1``."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def mark(report: JSONObject, known: Mapping[str, str]) -> None:
    """Note in a report which failures are known; see `report.failing`."""
    for check in report["checks"]:
        check["known"] = known.get(check["id"], "")
