"""Where the cassette of a test is, and the command that records it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from pathlib import Path

import pytest

from pytest_chatapi.plugin.options import Settings
from pytest_chatapi.plugin.scenarios import scenario_of

__all__ = [
    "ambiguous_name",
    "cassette_folder",
    "cassette_path",
    "how_to_record",
    "shown_path",
    "shown_place",
]

# Of the formats that hold several exchanges: any other dot in `cassette=` is part of a name.
_CASSETTE_SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".har", ".gz")
_LONGEST_NAME = 255
_DASHES = str.maketrans(dict.fromkeys(r"<>?%*:|\"'/\\", "-"))


def cassette_folder(item: pytest.Item) -> Path:
    """The folder of a test's cassettes, unless a fixture names another: pytest-recording's."""
    return item.path.parent / "cassettes" / item.path.stem


def cassette_path(
    item: pytest.Item, settings: Settings, folder: Path | None = None, name: str | None = None
) -> Path:
    """The path of a test's cassette, in pytest-recording's folders and by its names.

    What the setting `cassette` says is relative to the folder.

    Args:
        folder, name: what the fixtures of pytest-recording return, where it is installed.
    """
    folder = folder or cassette_folder(item)
    if settings.cassette:
        path = Path(settings.cassette)
        if path.suffix not in _CASSETTE_SUFFIXES:
            path = path.with_name(f"{path.name}.{settings.serializer}")
        # Two spellings are one file, also if a folder before `..` does not exist.
        return Path(os.path.normpath(folder / path))
    name = _without_scenario(item, _name_of(item) if name is None else name)
    # pytest-recording leaves room for a suffix that it measures like this.
    room = _LONGEST_NAME - len(".yaml" if settings.serializer == "yaml" else "json")
    if len(name) > room:
        digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        name = f"{name[: room - len(digest) - 3]}...{digest}"
    ending = f".{settings.serializer}"
    return folder / (name if name.endswith(ending) else f"{name}{ending}")


def ambiguous_name(item: pytest.Item, settings: Settings, given: str | None = None) -> str:
    """The name of a test whose cassette is named after it, if another name may make the same file
    name, as ``a[x/y]`` and ``a[x-y]`` do; else ``""``.

    Args:
        given: as the `name` of `cassette_path`.
    """
    if settings.cassette or given not in (None, _name_of(item)):
        return ""
    name = _without_scenario(item, _full_name(item), scenario_of(item))
    return name if "-" in name.translate(_DASHES) else ""


def _name_of(item: pytest.Item) -> str:
    return _full_name(item).translate(_DASHES)


def _full_name(item: pytest.Item) -> str:
    owner = getattr(item, "cls", None)
    return f"{owner.__name__}.{item.name}" if owner else item.name


def _without_scenario(item: pytest.Item, name: str, scenario: str = "") -> str:
    """The name without the scenario's id, which comes last: all scenarios share one cassette."""
    scenario = scenario or scenario_of(item).translate(_DASHES)
    if scenario:
        for end, instead in ((f"[{scenario}]", ""), (f"-{scenario}]", "]")):
            if name.endswith(end):
                return name.removesuffix(end) + instead
    return name


def shown_path(config: pytest.Config, path: Path) -> str:
    """A path as messages show it: relative to where pytest was called, if it is below."""
    with contextlib.suppress(ValueError):
        return path.relative_to(config.invocation_params.dir).as_posix()
    return os.fspath(path)


def shown_place(config: pytest.Config, place: str) -> str:
    """As `shown_path`, for ``FILE:LINE``; empty stays empty."""
    file, colon, line = place.rpartition(":")
    return f"{shown_path(config, Path(file))}:{line}" if colon else place


def how_to_record(item: pytest.Item, mode: str, settings: Settings) -> str:
    """The command that records one test."""
    name = item.nodeid
    with contextlib.suppress(ValueError):
        path = item.path.relative_to(item.config.invocation_params.dir)
        name = f"{path.as_posix()}::{item.nodeid.partition('::')[2]}"
    command = f"pytest {shlex.quote(name)}"
    if settings.mode_from:  # which wins over the flag
        return f"set record_mode={mode!r} in {settings.mode_from}, then {command}"
    return f"{command} --record-mode={mode}"
