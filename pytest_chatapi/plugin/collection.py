"""Collects recorded exchanges as tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import LEVELS
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import ContractError, ReadError
from pytest_chatapi.plugin.policy import failure_of, findings_of
from pytest_chatapi.plugin.settings import settings_of_run
from pytest_chatapi.reading.find import is_recording
from pytest_chatapi.reading.reader import NotARecording, read_file

__all__ = ["CassetteCollector", "CassetteFile", "ExchangeItem"]


class CassetteCollector:
    """The hooks that are registered only where cassettes are to be collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = settings_of_run(config)
        self.levels: Counter[str] = Counter()
        self.checked = 0
        self.folders = _cassette_folders(config)
        # Named paths are what somebody wants to run; only a run of everything takes these along.
        if config.args_source is not pytest.Config.ArgsSource.ARGS or config.getoption(
            "--chatapi-cassettes"
        ):
            config.args += _not_below_arguments(config, self.folders)

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        path = file_path.resolve()
        inside = [path.relative_to(f).parts for f in self.folders if path.is_relative_to(f)]
        if not inside or any(part.startswith(".") for part in inside[0]):
            return None
        if not is_recording(path.name):
            return None
        file: CassetteFile = CassetteFile.from_parent(parent, path=file_path)
        file.collector = self
        return file

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.checked:
            return
        counts = ", ".join(
            plural(self.levels[level], level) for level in LEVELS if self.levels[level]
        )
        terminalreporter.write_sep("-", "chat completions contract")
        terminalreporter.write_line(
            f"{plural(self.checked, 'recorded exchange')} checked: {counts or 'no findings'}"
        )


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


def _not_below_arguments(config: pytest.Config, folders: Sequence[Path]) -> list[str]:
    """The folders that what pytest runs anyway does not contain."""
    paths = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return [str(f) for f in folders if not any(f.is_relative_to(path) for path in paths)]


class CassetteFile(pytest.File):
    """One recording."""

    collector: CassetteCollector

    def collect(self) -> Iterator[ExchangeItem]:
        damaged: list[ReadError] = []
        for exchange in read_file(self.path, damaged.append):
            if endpoint(exchange) is not None:
                item: ExchangeItem = ExchangeItem.from_parent(self, name=title_of(exchange))
                item.exchange, item.collector = exchange, self.collector
                yield item
        errors = [e for e in damaged if not isinstance(e, NotARecording)]
        if errors:
            raise self.CollectError("\n".join(str(error) for error in errors))


class ExchangeItem(pytest.Item):
    """One recorded exchange."""

    exchange: Exchange
    collector: CassetteCollector

    def runtest(self) -> None:
        settings = self.collector.settings
        findings = findings_of(self.exchange, settings)
        self.collector.checked += 1
        self.collector.levels.update(f.level for f in findings)
        policy = "strict" if settings.strict else "error"
        message = failure_of((self.name, findings), policy)
        if message:
            raise ContractError(message, findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ContractError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name
