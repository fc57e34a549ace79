"""What the tests of one run have in common, on every worker of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_chatapi.plugin.stash import REFUSED, RUN_BUDGET
from pytest_chatapi.recording import clock

if TYPE_CHECKING:
    from pytest_chatapi.figures.frames import Frames
    from pytest_chatapi.figures.measure import Figures
    from pytest_chatapi.figures.price import Prices
    from pytest_chatapi.plugin.tally import Tally

__all__ = ["KNOWN", "NEAR", "NOTE", "NOT_RECORDED", "RECORDED", "UNSEEN", "Run", "WorkerReports"]

# Names of properties of a test, which a worker of pytest-xdist reports with it.
NOTE = "chatapi"
"""A line for the end of the run."""

RECORDED = "chatapi_recorded"
"""How many exchanges, and the name of the cassette."""

NOT_RECORDED = "chatapi_not_recorded"
"""How many exchanges: the test did not pass."""

KNOWN = "chatapi_known"
"""How many findings: the baseline knows them."""

NEAR = "chatapi_budget"
"""A limit of the test's own budget that is nearly used up, in words."""

UNSEEN = "chatapi_unseen"
"""The test passed, and the recorder that its marker turns on saw no request."""

_LISTED = 3


class Run:
    """Hooks that refuse tests, and collect what is shown at the end of the run.

    Attributes:
        since: when the run began: the same moment for all its workers.
        failed: ids of the tests that failed, also if only a report says so.
        tallies: what each test sent, by node id; of its last try.
        paid: what a test sent live in earlier tries, by node id, while it runs again.
        file_settings: what the file of settings says.
        report_files: where the figures of the run are written.
        has_properties: tests have properties, for ``--junitxml``.
    """

    def __init__(self, since: str = "") -> None:
        self.since = since or clock.now()
        self.failed: set[str] = set()
        self.tallies: dict[str, Tally] = {}
        self.paid: dict[str, list[Figures]] = {}
        self.file_settings: Mapping[str, Any] = {}
        self.report_files: Sequence[str] = ()
        self.has_properties = False
        self._outcomes: dict[str, str] = {}
        self._reported: list[str] = []  # where, or why not
        self._properties: dict[str, list[tuple[str, object]]] = {}

    @cached_property
    def prices(self) -> Prices:
        """Of models; each is looked up once."""
        from pytest_chatapi.figures.price import Prices

        return Prices.of(self.file_settings)

    @cached_property
    def frames(self) -> Frames:
        """Of findings, for the report; a few a rule."""
        from pytest_chatapi.figures.frames import Frames

        return Frames()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if (tally := self.tallies.pop(item.nodeid, None)) is not None:  # of an earlier try
            self.paid[item.nodeid] = tally.paid
        refusal = item.stash.get(REFUSED, "")
        if refusal:
            pytest.fail(refusal, pytrace=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        if self.report_files:
            self._note_outcome(report)
        if report.when == "teardown":
            self._take_tally(report)
            properties = [item for item in report.user_properties if item[0].startswith(NOTE)]
            if properties:  # those of an earlier try of a test come again with the next
                self._properties[report.nodeid] = properties

    def _note_outcome(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        elif report.failed and report.when != "call":
            outcome = "error"
        if report.when == "setup" or outcome != "passed":
            self._outcomes[report.nodeid] = outcome

    def _take_tally(self, report: pytest.TestReport) -> None:
        data = getattr(report, WorkerReports.ATTRIBUTE, None)
        if data is not None:
            from pytest_chatapi.plugin.tally import Tally

            self.tallies[report.nodeid] = Tally.from_json(data)
        if self.has_properties and (tally := self.tallies.get(report.nodeid)):
            from pytest_chatapi.plugin.run_summary import properties_of

            report.user_properties.extend(properties_of(tally, self.prices))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.report_files and not session.config.option.collectonly:
            from pytest_chatapi.plugin.run_report import write_report

            problems = list(write_report(self, self._outcomes))
            self._reported = problems or [f"report: {file}" for file in self.report_files]
            if problems and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        # Now that the plugins that write files have what they need, and before pytest shows it.
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        if terminal is None or not session.config.get_terminal_writer().hasmarkup:
            return
        for report in [*terminal.getreports("failed"), *terminal.getreports("error")]:
            _paint(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [
            f"{nodeid}: {value}"
            for nodeid, properties in self._properties.items()
            for name, value in properties
            if name == NOTE
        ]
        is_quiet = terminalreporter.verbosity < 0
        budget = terminalreporter.config.stash.get(RUN_BUDGET, None)
        if (self.tallies or budget is not None) and not is_quiet:
            from pytest_chatapi.plugin.run_summary import RunFigures

            figures = RunFigures(self.tallies.values(), self.prices)
            lines += figures.lines(is_verbose=terminalreporter.verbosity > 0)
            lines += self._near_budget()
            if budget is not None:
                lines += budget.lines(one.figures for one in figures.exchanges)
        lines += self._recorded(is_quiet=is_quiet)
        lines += self._unseen()
        lines += self._reported
        if lines:
            terminalreporter.write_sep("-", "chat completions")
            for text in lines:
                terminalreporter.write_line(text)

    def _near_budget(self) -> Iterator[str]:
        near = [
            f"budget of {nodeid}: {value}"
            for nodeid, properties in self._properties.items()
            for name, value in properties
            if name == NEAR
        ]
        yield from near[:_LISTED]
        if near[_LISTED:]:
            yield f"{len(near) - _LISTED:,} more budgets of tests are nearly used up"

    def _recorded(self, *, is_quiet: bool) -> Iterator[str]:
        """What the run recorded, what it did not because tests did not pass, and what is known."""
        from pytest_chatapi.contract.wording import plural

        lost, known, failed = 0, 0, set()
        cassettes: Counter[str] = Counter()
        for nodeid, properties in self._properties.items():
            for name, value in properties:
                if name == RECORDED and isinstance(value, list | tuple):
                    cassettes[value[1]] += value[0]
                elif name == KNOWN and isinstance(value, int):
                    known += value
                elif name == NOT_RECORDED and isinstance(value, int):
                    lost += value
                    failed.add(nodeid)
        if not is_quiet:
            recorded = [*cassettes.items()]
            yield from (f"{count} recorded, {name}" for name, count in recorded[:_LISTED])
            if recorded[_LISTED:]:
                more = plural(len(recorded) - _LISTED, "more cassette")
                yield f"{sum(count for _, count in recorded[_LISTED:])} recorded in {more}"
        if failed:
            tests = plural(len(failed), "test")
            yield f"not recorded: {plural(lost, 'exchange')} of {tests} that did not pass"
            yield "  to record anyway: chatapi_record_on_failure = true"
        if known:
            yield f"{plural(known, 'known finding')} in the baseline"

    def _unseen(self) -> Iterator[str]:
        from pytest_chatapi.contract.wording import plural

        tests = [
            nodeid
            for nodeid, properties in self._properties.items()
            if any(name == UNSEEN for name, _ in properties)
        ]
        if tests:
            count = plural(len(tests), "test")
            yield f"{count} with @pytest.mark.chatapi sent no request that was seen:"
            yield from (f"  {nodeid}" for nodeid in tests[:_LISTED])
            if tests[_LISTED:]:
                yield f"  ... and {len(tests) - _LISTED:,} more"
            yield "  unknown clients and other processes go unseen; to allow it: unplayed='ignore'"


class WorkerReports:
    """Adds what a test sent to its report, on a worker of pytest-xdist.

    Args:
        run: of the worker.
    """

    ATTRIBUTE = "chatapi_tally"

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown" and (tally := self._run.tallies.get(item.nodeid)):
            setattr(report, self.ATTRIBUTE, tally.to_json())
        return report


def _paint(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Colour the findings in a report, as ``chatapi check`` does."""
    from pytest_chatapi.report import painted

    for link in getattr(report.longrepr, "chain", ()):
        for entry in link[0].reprentries:
            if entry.style == "value":  # no code above it: the message of a failure
                entry.lines[:] = map(painted, entry.lines)
    report.sections = [
        (name, painted(text) if "chatapi" in name else text) for name, text in report.sections
    ]
