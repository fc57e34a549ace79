"""Lists cassettes that no test owns."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import pytest

from pytest_chatapi.config.options import SETTINGS
from pytest_chatapi.plugin.place import cassette_folder, cassette_path
from pytest_chatapi.plugin.recorded import is_recorded
from pytest_chatapi.plugin.settings import settings_for
from pytest_chatapi.reading.find import is_recording

__all__ = ["Orphans"]


class _Worker(Protocol):
    """A worker of pytest-xdist that has ended."""

    workeroutput: dict[str, list[str]]


class Orphans:
    """The hooks behind ``--chatapi-orphans``, registered only with it."""

    def __init__(self) -> None:
        self._orphans: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        # Before anything is deselected: a test that does not run still owns its cassette.
        modules = {item.path for item in items}
        owned = {path for item in items for path in _cassettes_of(item)}
        orphans = {path for path in _cassettes_beside(modules) if path not in owned}
        self._orphans = sorted(os.path.relpath(p, config.invocation_params.dir) for p in orphans)
        output = getattr(config, "workeroutput", None)
        if output is not None:
            output["chatapi_orphans"] = self._orphans

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: _Worker) -> None:
        output = getattr(node, "workeroutput", {})  # absent if the worker has crashed
        self._orphans = output.get("chatapi_orphans", self._orphans)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_sep("-", "cassettes that no test owns")
        for path in self._orphans or ["none"]:
            terminalreporter.write_line(path)


def _cassettes_of(item: pytest.Item) -> Iterable[Path]:
    """The paths at which a test may have its cassette, also with another recorder."""
    if item.get_closest_marker("vcr") is None and not is_recorded(item):
        return
    settings = settings_for(item, {})
    for settings.serializer in SETTINGS["serializer"].kind.choices:  # a fixture may say which
        yield cassette_path(item, settings)
    for marker in item.iter_markers("vcr"):
        yield from (cassette_folder(item) / str(name) for name in marker.args)


def _cassettes_beside(modules: set[Path]) -> Iterable[Path]:
    """The cassettes in the folders of these modules, and in those whose module is gone."""
    for root in {module.parent / "cassettes" for module in modules}:
        for folder in root.glob("*/") if root.is_dir() else ():
            module = root.parent / f"{folder.name}.py"
            if module in modules or not module.exists():
                yield from (p for p in folder.rglob("*") if p.is_file() and is_recording(p.name))
