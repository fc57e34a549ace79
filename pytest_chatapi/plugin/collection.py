"""Collects recorded exchanges as tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_chatapi.config.baseline import Baseline, Compared, compare, key_of
from pytest_chatapi.config.checker import Globs
from pytest_chatapi.contract.endpoint import checked_row_of
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import LEVELS, Finding, Level
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import plural, without_secrets
from pytest_chatapi.errors import ReadError, SettingError
from pytest_chatapi.plugin.place import shown_path
from pytest_chatapi.plugin.policy import Checked, checker_of, failure_of, findings_of
from pytest_chatapi.plugin.settings import settings_of_run
from pytest_chatapi.plugin.stash import CONFIGURATION
from pytest_chatapi.reading.find import is_recording
from pytest_chatapi.reading.mapping import Mapping
from pytest_chatapi.reading.reader import NotARecording, read_file
from pytest_chatapi.report import (
    Report,
    baseline_lines,
    filled,
    found_instead,
    remarks,
    unreadable_lines,
)

__all__ = ["CassetteCollector", "CassetteFile", "ExchangeItem"]

_MOST_CODES = 6
_IDLE = "chatapi_map: "


class _Worker(Protocol):
    """A worker of pytest-xdist that has ended."""

    workeroutput: dict[str, Any]


class CassetteCollector:
    """The hooks that are registered only where cassettes are to be collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = settings_of_run(config)
        file = config.stash[CONFIGURATION]
        self.is_excluded = Globs(file.values.get("exclude", ()), file.folder)
        self.checked = 0
        # How many findings of each level and code.
        self.counts: Counter[tuple[Level, str]] = Counter()
        # What workers of pytest-xdist found, each of which collects everything.
        self.of_workers: tuple[list[str], list[str]] = [], []
        self.folders = _cassette_folders(config)
        # Whether the command line names them.
        self.are_named = bool(config.getoption("--chatapi-cassettes"))
        self.mapping = _mapping(config)
        # What was collected in each folder, and what was not: `Report.exchanges` counts the items.
        self.collected = {folder: Report() for folder in self.folders}
        # Named paths are what somebody wants to run; only a run of everything takes these along.
        if config.args_source is not pytest.Config.ArgsSource.ARGS or config.getoption(
            "--chatapi-cassettes"
        ):
            config.args += _not_below_arguments(config, self.folders)
        not_run = _not_below_arguments(config, self.folders)
        self.not_run = {folder for folder in self.folders if str(folder) in not_run}

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        path = file_path.resolve()
        inside = [path.relative_to(f).parts for f in self.folders if path.is_relative_to(f)]
        if not inside or any(part.startswith(".") for part in inside[0]):
            return None
        if not is_recording(path.name):
            return None
        if self.is_excluded(file_path):
            self.found(file_path, Report(unread=Counter(["excluded"])))
            return None
        file: CassetteFile = CassetteFile.from_parent(parent, path=file_path)
        file.collector = self
        return file

    def found(self, path: Path, found: Report) -> None:
        """Take note of what is in a file."""
        for folder, report in self.collected.items():
            if path.resolve().is_relative_to(folder):
                report.add(found)

    def add(self, findings: Sequence[Finding]) -> None:
        """Take note of the findings of one exchange."""
        self.checked += 1
        self.counts.update(
            (finding.level, f"{finding.code} {finding.name}") for finding in findings
        )

    def _lines(self) -> tuple[list[str], list[str]]:
        """What fails the run beside findings, and what else was not checked: a line each."""
        whole = Report()
        failing = []
        for folder, report in self.collected.items():
            if not report.exchanges and not report.unreadable and folder not in self.not_run:
                failing.append(f"nothing was checked in {folder}: {found_instead(report)}")
            whole.add(report)
        files = {error.file for error in whole.unreadable}
        if files:
            failing.append(f"{plural(len(files), 'file')} could not be read: see the errors above")
        if self.mapping is not None and not self.not_run:
            failing += [_IDLE + reason for reason in self.mapping.idle(self.mapping.mapped)]
        return failing, [*remarks(whole), *baseline_lines(whole)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            counts = [(*key, count) for key, count in self.counts.items()]
            output["chatapi_recordings"] = (self.checked, counts, self._lines())
        elif session.exitstatus == pytest.ExitCode.OK:
            # A folder that the command names has to hold something to check.
            failing, _ = self._lines_of_run(session.config)
            if any(self.are_named or line.startswith(_IDLE) for line in failing):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _lines_of_run(self, config: pytest.Config) -> tuple[list[str], list[str]]:
        is_controller = config.pluginmanager.has_plugin("dsession")
        return self.of_workers if is_controller else self._lines()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: _Worker) -> None:
        output = getattr(node, "workeroutput", {})  # absent if the worker has crashed
        if "chatapi_recordings" in output:
            checked, counts, self.of_workers = output["chatapi_recordings"]
            self.checked += checked
            for level, name, count in counts:
                self.counts[level, name] += count

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        failing, lines = self._lines_of_run(terminalreporter.config)
        if not self.checked and not failing:
            return
        terminalreporter.write_sep("-", "chat completions contract")
        for line in failing:
            terminalreporter.write_line(line, red=True, bold=True)
        counts = "; ".join(_counted(self.counts)) or "no findings"
        summary = "no recorded exchange was checked"
        if self.checked:
            summary = f"{plural(self.checked, 'recorded exchange')} checked: {counts}"
        for line in [*lines, summary]:
            # What is indented is a place, which is not wrapped.
            terminalreporter.write_line(line if line.startswith(" ") else filled(line))


def _counted(counts: Counter[tuple[Level, str]]) -> Iterator[str]:
    """The number of findings of each level, and how many there are of each code."""
    for level in LEVELS:
        codes = Counter({name: count for (of, name), count in counts.items() if of == level})
        if codes:
            most = codes.most_common(_MOST_CODES)
            listing = ", ".join(f"{name} ({count:,})" for name, count in most)
            if len(codes) > _MOST_CODES:
                listing += ", ..."
            yield f"{plural(codes.total(), level)}: {listing}"


def _cassette_folders(config: pytest.Config) -> list[Path]:
    """The folders to collect: those of the command line, else those of the ini file.

    Raises:
        pytest.UsageError: a folder does not exist.
    """
    flags = config.getoption("--chatapi-cassettes")
    if flags:
        folders = [config.invocation_params.dir / folder for folder in flags]
    else:
        folders = [Path(folder) for folder in config.getini("chatapi_cassettes")]
    for folder in folders:
        if not folder.is_dir():
            raise pytest.UsageError(f"chatapi_cassettes: there is no folder {folder}")
    return [folder.resolve() for folder in folders]


def _mapping(config: pytest.Config) -> Mapping | None:
    """The mapping for JSON in no known format.

    Raises:
        pytest.UsageError: it is not one.
    """
    text = config.getoption("--chatapi-map") or config.getini("chatapi_map")
    text = text or config.stash[CONFIGURATION].values.get("map")
    try:
        return Mapping(text) if text else None
    except SettingError as error:
        raise pytest.UsageError(f"chatapi_map: {error}") from None


def _not_below_arguments(config: pytest.Config, folders: Sequence[Path]) -> list[str]:
    """The folders that what pytest runs anyway does not contain."""
    paths = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return [str(f) for f in folders if not any(f.is_relative_to(path) for path in paths)]


class CassetteFile(pytest.File):
    """One recording."""

    collector: CassetteCollector

    def collect(self) -> list[ExchangeItem]:
        damaged: list[ReadError] = []
        items: list[ExchangeItem] = []
        found = Report(files=1)
        name = shown_path(self.config, self.path)
        for exchange in read_file(
            self.path, damaged.append, name=name, mapping=self.collector.mapping
        ):
            row = checked_row_of(exchange)
            found.count(exchange, row.name if row.check is None else "")
            if row.check is None:
                continue
            item: ExchangeItem = ExchangeItem.from_parent(self, name=title_of(exchange))
            item.exchange, item.collector = exchange, self.collector
            items.append(item)
        if self.collector.settings.baseline is not None:
            self._compare(items, self.collector.settings.baseline, found, damaged)
        errors = [e for e in damaged if not isinstance(e, NotARecording)]
        other = next((e for e in damaged if isinstance(e, NotARecording)), None)
        if other is not None:
            found.unread[other.kind] += 1
        elif not found.exchanges and not found.skipped and not errors:
            found.unread["without an exchange"] += 1
        found.unreadable = errors
        self.collector.found(self.path, found)
        if errors:
            raise self.CollectError("\n".join(map(without_secrets, unreadable_lines(errors))))
        return items

    def _compare(
        self,
        items: Sequence[ExchangeItem],
        baseline: Baseline,
        found: Report,
        damaged: list[ReadError],
    ) -> None:
        """Check the file at once: which findings are known depends on their number in it.

        A test alone may run elsewhere than the others, or without them.
        """
        entries = baseline.of(self.path)
        if not entries:
            return
        checker = checker_of(self.collector.settings)
        findings: list[Finding] = []
        for item in items:
            try:
                findings += checker.check(item.exchange).findings
            except ReadError as error:  # a large body is read from disk during the check
                damaged.append(error)
        kept = checker.keeper(self.path)(findings)
        counts = Counter(map(key_of, findings))
        compared = compare(shown_path(self.config, self.path), entries, kept, counts)
        for item in items:
            item.compared = compared
        found.known, found.exceeded = compared.count, compared.exceeded
        found.stale = [] if damaged else compared.stale


class ExchangeItem(pytest.Item):
    """One recorded exchange."""

    exchange: Exchange
    collector: CassetteCollector
    compared: Compared | None = None

    def runtest(self) -> None:
        settings = self.collector.settings
        findings = findings_of(self.exchange, settings, self.path)
        if self.compared is not None:
            findings = self.compared.new(findings)
        self.collector.add(findings)
        policy = "strict" if settings.strict else "error"
        file = self.path if self.collector.mapping is None else None
        title = title_of(Exchange(self.exchange.request, self.exchange.response))
        message = failure_of([Checked(None, title, findings, file=file)], policy)
        if message:
            pytest.fail(message, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name
