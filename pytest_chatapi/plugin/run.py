"""What the tests of one run have in common, on every worker of it."""

from __future__ import annotations

import pytest

from pytest_chatapi.plugin.stash import REFUSED
from pytest_chatapi.recording import clock

__all__ = ["Run"]


class Run:
    """Hooks that refuse tests, and collect what is shown at the end of the run.

    Attributes:
        since: when the run began: the same moment for all its workers.
        failed: ids of the tests that failed, also if only a report says so.
    """

    def __init__(self, since: str = "") -> None:
        self.since = since or clock.now()
        self.failed: set[str] = set()
        self._notes: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        refusal = item.stash.get(REFUSED, "")
        if refusal:
            pytest.fail(refusal, pytrace=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        if report.when == "teardown":
            self._notes += [
                f"{report.nodeid}: {text}"
                for name, text in report.user_properties
                if name == "chatapi"
            ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._notes:
            terminalreporter.write_sep("-", "chat completions")
            for text in self._notes:
                terminalreporter.write_line(text)
