"""Lists cassettes and recordings that no test uses."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from pytest_chatapi.config.options import SETTINGS
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import ChatAPIError
from pytest_chatapi.plugin.place import cassette_folder, cassette_path
from pytest_chatapi.plugin.recorded import is_recorded
from pytest_chatapi.plugin.settings import settings_for, settings_of_run
from pytest_chatapi.reading.find import is_recording

__all__ = ["Orphans"]


class _Worker(Protocol):
    """A worker of pytest-xdist that has ended."""

    workeroutput: dict[str, list[str]]
    config: pytest.Config


class Orphans:
    """The hooks behind ``--chatapi-orphans``, registered only with it.

    Args:
        fails: the run fails if there are any.
    """

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails
        self._orphans: list[str] = []
        self._is_partial = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        # Before anything is deselected: a test that does not run still owns its cassette.
        self._is_partial = _is_partial(config)
        if not self._is_partial:
            self._orphans = sorted(_orphans(config, items))
        output = getattr(config, "workeroutput", None)
        if output is not None:
            output["chatapi_orphans"] = self._orphans

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: _Worker) -> None:
        output = getattr(node, "workeroutput", {})  # absent if the worker has crashed
        self._is_partial = _is_partial(node.config)
        self._orphans = output.get("chatapi_orphans", self._orphans)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        is_worker = hasattr(session.config, "workeroutput")
        if self._fails and self._orphans and not is_worker and session.exitstatus in _GREEN:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_sep("-", "cassettes that no test owns")
        if self._is_partial:
            terminalreporter.write_line("not looked for: name whole files, without :: or --lf")
            return
        is_bad = self._fails and bool(self._orphans)
        for line in self._orphans or ["none"]:
            terminalreporter.write_line(line, red=is_bad)
        if self._orphans:
            terminalreporter.write_line("delete them, or rename them as the tests were renamed")


_GREEN = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def _is_partial(config: pytest.Config) -> bool:
    """Whether tests that are not collected may own a cassette beside those that are."""
    return any("::" in argument for argument in config.args) or bool(config.getoption("lf", False))


def _orphans(config: pytest.Config, items: list[pytest.Item]) -> Iterator[str]:
    """The cassettes that no test owns, and the recordings in shared ones whose test is gone."""
    modules = {item.path for item in items}
    owned = {path for item in items for path in _cassettes_of(item)}
    start = config.invocation_params.dir
    for path in {path for path in _cassettes_beside(modules) if path not in owned}:
        yield os.path.relpath(path, start)
    for path in owned:
        for test, count in _recordings_of_gone(path, config, items):
            yield f"{os.path.relpath(path, start)}: {plural(count, 'recording')} of {test}"


def _recordings_of_gone(
    path: Path, config: pytest.Config, items: list[pytest.Item]
) -> Iterator[tuple[str, int]]:
    """The tests that recorded into a shared cassette and are gone, with how many recordings."""
    from pytest_chatapi.recording.cassette import Cassette

    if not path.is_file():
        return
    try:
        tests = Counter(entry.test for entry in Cassette(path).entries)
    except ChatAPIError:  # the tests say what is wrong with it
        return
    known = {item.nodeid for item in items}
    modules = {nodeid.partition("::")[0] for nodeid in known}
    for test, count in tests.items():
        module, separator, _ = test.partition("::")
        is_seen = module in modules or not (config.rootpath / module).exists()
        if separator and test not in known and is_seen:
            yield test, count


def _cassettes_of(item: pytest.Item) -> Iterable[Path]:
    """The paths at which a test may have its cassette, also with another recorder."""
    if item.get_closest_marker("vcr") is None and not is_recorded(item):
        return
    try:
        settings = settings_for(item, {})
    except pytest.UsageError:  # the marker is wrong, for which the test fails
        settings = settings_of_run(item.config)
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
