"""Collects recorded exchanges as tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_chatapi.contract.check import check_exchange, endpoint
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import LEVELS, at_least
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import ContractError, ReadError
from pytest_chatapi.plugin import cassette_folders
from pytest_chatapi.plugin.settings import run_settings
from pytest_chatapi.reading.find import SUFFIXES
from pytest_chatapi.reading.reader import NotARecording, read_file
from pytest_chatapi.report import failure_message

__all__ = ["CassetteCollector", "CassetteFile", "ExchangeItem"]


class CassetteCollector:
    """The hooks that are registered only where cassettes are to be collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = run_settings(config)
        self.levels: Counter[str] = Counter()
        self.checked = 0
        self.folders: list[Path] = []
        for folder in cassette_folders(config):
            if not folder.is_dir():
                raise pytest.UsageError(f"chatapi_cassettes: there is no folder {folder}")
            self.folders.append(folder.resolve())
        # Named paths are what somebody wants to run; only a run of everything takes us along.
        if config.args_source is not pytest.Config.ArgsSource.ARGS or config.getoption(
            "--chatapi-cassettes"
        ):
            known = [
                (config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args
            ]
            config.args += [
                str(folder)
                for folder in self.folders
                if not any(folder.is_relative_to(path) for path in known)
            ]

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        path = file_path.resolve()
        inside = [path.relative_to(f).parts for f in self.folders if path.is_relative_to(f)]
        if not inside or any(part.startswith(".") for part in inside[0]):
            return None
        if not path.name.removesuffix(".gz").endswith(SUFFIXES):
            return None
        file: CassetteFile = CassetteFile.from_parent(parent, path=file_path)
        file.collector = self
        return file

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.checked:
            return
        counts = ", ".join(
            plural(self.levels[level], level) for level in LEVELS if self.levels[level]
        )
        terminalreporter.write_sep("-", "chat completions contract")
        terminalreporter.write_line(
            f"{plural(self.checked, 'recorded exchange')} checked: {counts or 'no findings'}"
        )


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
        findings = check_exchange(
            self.exchange, settings["profile"], ignore=settings["ignore"]
        ).findings
        self.collector.checked += 1
        self.collector.levels.update(f.level for f in findings)
        failing = [
            f for f in findings if f.level in at_least("warning" if settings["strict"] else "error")
        ]
        if failing:
            raise ContractError(failure_message(findings, self.name, failing), findings)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ContractError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name
