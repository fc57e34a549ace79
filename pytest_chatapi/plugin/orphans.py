"""Lists cassettes that no test owns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_chatapi.plugin import records
from pytest_chatapi.plugin.handle import cassette_path
from pytest_chatapi.plugin.settings import SERIALIZERS, settings_for
from pytest_chatapi.reading.find import SUFFIXES

__all__ = ["Orphans"]


class Orphans:
    """The hooks that are registered only where somebody asks."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        # Before anything is deselected: who is left out of a run still owns a cassette.
        owned: set[Path] = set()
        modules: set[Path] = set()
        for item in items:
            modules.add(item.path)
            if item.get_closest_marker("vcr") is not None or records(item):
                settings = settings_for(item, {})
                for settings.serializer in SERIALIZERS:  # a fixture may say which
                    owned.add(cassette_path(item, settings))
                for marker in item.iter_markers("vcr"):
                    folder = item.path.parent / "cassettes" / item.path.stem
                    owned |= {folder / str(name) for name in marker.args}
        found = set()
        for root in {module.parent / "cassettes" for module in modules}:
            for folder in sorted(root.glob("*/")) if root.is_dir() else ():
                module = root.parent / f"{folder.name}.py"
                if module in modules or not module.exists():
                    found |= {p for p in _cassettes(folder) if p not in owned}
        self._found = sorted(os.path.relpath(p, config.invocation_params.dir) for p in found)
        output = getattr(config, "workeroutput", None)
        if output is not None:
            output["chatapi_orphans"] = self._found

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._found = getattr(node, "workeroutput", {}).get("chatapi_orphans", self._found)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_sep("-", "cassettes that no test owns")
        for path in self._found or ["none"]:
            terminalreporter.write_line(path)


def _cassettes(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES)]
