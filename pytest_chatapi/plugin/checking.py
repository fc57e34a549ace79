"""What fails a test whose own assertions hold, checked at the end of each of its phases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_chatapi.contract.endpoint import endpoint
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import plural, without_secrets, wrapped
from pytest_chatapi.errors import ChatAPIError
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.place import how_to_record, shown_place
from pytest_chatapi.plugin.policy import Checked, checker_of, fail_for_findings, failure_of
from pytest_chatapi.plugin.recorded import is_marked_itself
from pytest_chatapi.plugin.run import KNOWN, NEAR, NOT_RECORDED, RECORDED, UNSEEN
from pytest_chatapi.plugin.stash import RUN, RUN_BUDGET
from pytest_chatapi.plugin.tally import tally_of
from pytest_chatapi.plugin.unanswered import instead_of, remember_unanswered
from pytest_chatapi.recording.cassette import Entry
from pytest_chatapi.recording.expiry import is_older
from pytest_chatapi.recording.matching import streams
from pytest_chatapi.recording.miss import describe

if TYPE_CHECKING:
    from pytest_chatapi.contract.check import CheckResult
    from pytest_chatapi.faults import Fault

__all__ = ["Checks"]

_SHOWN = 10


class Checks:
    """The checks of one test: missed requests, findings, unused and old recordings.

    Attributes:
        handle: what the test sent and received.
    """

    def __init__(self, handle: ChatAPI, item: pytest.Item) -> None:
        self.handle = handle
        self._recorder, self._settings = handle.recorder, handle.settings
        self._item = item
        self._is_marked = is_marked_itself(item)  # unittest drops the function before the end
        self._passed = False
        self._has_ended_phase = self._has_forked = False
        self._checked = self._budgeted = 0  # exchanges
        self._results: dict[int, tuple[CheckResult, list[Finding]]] = {}
        self._reported = 0  # misses
        self._is_refused = False  # what was recorded could not be written

    # -- the ends of the phases ------------------------------------------------------------------

    def call_passed(self) -> None:
        """Fail the test for misses, findings and unused recordings, and write what it recorded."""
        self._end_phase()
        try:
            self._fail_for_misses()
            self._fail_for_findings()
            self._check_unplayed("")
            self._check_age()
            self._check_unused_replies()
            self._check_budget()
        except pytest.fail.Exception:
            for refusal in self._save_failed(list(map(describe, self._recorder.misses))):
                self._item.add_report_section("call", "chatapi", refusal)
            raise
        self._save()
        self._skip_idle_faults()
        self._passed = True

    def call_failed(self, error: BaseException) -> None:
        """Add to the report what explains a failure, or fail for a better reason.

        Raises:
            pytest.fail.Exception: instead of `error`.
        """
        self._end_phase()
        messages = [str(leaf) for leaf in _leaves(error)]
        misses = list(map(describe, self._recorder.misses))
        unreported = [text for text in misses if text not in messages]
        unreported += self._save_failed(misses)
        is_skip = isinstance(error, pytest.skip.Exception)
        # A skip hides what was missing; a group hides it in the frames of libraries.
        is_hidden = is_skip or (
            isinstance(error, BaseExceptionGroup) and set(messages) <= set(misses)
        )
        if misses and is_hidden:
            raise pytest.fail.Exception("\n\n".join(misses), pytrace=False) from None
        if is_skip:
            self.skipped()
            return
        message = failure_of(self._unchecked(), self._settings.policy)
        unreported += [message] if message else []
        unreported += self._injected()
        if unreported:
            self._item.add_report_section("call", "chatapi", "\n\n".join(unreported))

    def skipped(self) -> None:
        """Write what was recorded before a skip, or the command that records it could not."""
        self._end_phase()
        count = self._recorder.unwritten
        if not count:
            return
        refusal = self._refusal_to_save()
        if refusal:
            self._warn(refusal)
        else:
            exchanges = plural(count, "exchange")
            self._warn(f"skipped after {exchanges}, recorded anyway: replays skip there too")

    def torn_down(self, error: BaseException | None) -> None:
        """Check what fixtures did after a test that passed.

        Args:
            error: what the teardown raised.
        """
        self._end_phase()
        try:
            if error is None and self._passed:
                self._fail_for_misses()
                self._fail_for_findings()
                self._check_unplayed("teardown")
                if len(self._recorder.exchanges) > self._budgeted:
                    self._check_budget()
                self._save()
                self._note_unseen()
        finally:
            self._note_recordings()
            self._note_figures()

    # -- what is checked -------------------------------------------------------------------------

    def _warn(self, text: str) -> None:
        """Show something at the end of the run."""
        self._item.user_properties.append(("chatapi", text))

    def _note_recordings(self) -> None:
        """Leave to `Run` what it sums up at the end of the run."""
        recorder, properties = self._recorder, self._item.user_properties
        # Those of a try before this one are no longer true.
        properties[:] = [p for p in properties if p[0] not in (RECORDED, NOT_RECORDED)]
        if recorder.cassette is not None and recorder.written:
            properties.append((RECORDED, [recorder.written, recorder.cassette.name]))
        if recorder.unwritten and not self._is_refused:
            properties.append((NOT_RECORDED, recorder.unwritten))
        if recorder.shares_with and recorder.cassette is not None:
            others = ", ".join(sorted(recorder.shares_with))
            self._warn(
                f"{recorder.cassette.name} is also the cassette of {others}, whose file "
                "name is the same; each test replays its own recordings"
            )

    def _note_unseen(self) -> None:
        """Leave to `Run` that the recorder, for which the test asks, saw no request of it."""
        if self._recorder.exchanges or self._has_forked or self._settings.unplayed == "ignore":
            return
        names = getattr(self._item, "fixturenames", ())
        arguments = getattr(getattr(self._item, "_fixtureinfo", None), "argnames", ())
        if "chatapi_fuzz" in names:
            if "chatapi_fuzz" in arguments and not self.handle.is_fuzzed:  # it keeps no exchange
                self._warn("the test never calls its argument chatapi_fuzz")
        # With these a test can look for itself; fixtures of clients bring `chatapi` along.
        elif self._is_marked and "chatapi_mock" not in names and "chatapi" not in arguments:
            self._item.user_properties.append((UNSEEN, True))

    def _note_figures(self) -> None:
        """Leave to `Run` what the test sent."""
        run = self._item.config.stash[RUN]
        nodeid = self._item.nodeid
        frames = run.frames if run.report_files else None
        tally = run.tallies[nodeid] = tally_of(self.handle, nodeid, self._results, frames)
        tally.earlier = run.paid.pop(nodeid, [])

    def _end_phase(self) -> None:
        recorder = self._recorder
        recorder.finish()
        recorder.phase = "teardown"
        for text in recorder.warnings[:1]:
            more = len(recorder.warnings) - 1
            self._warn(text + (f"\n  ... and {plural(more, 'more request')}" if more else ""))
        # A later phase adds to this; it does not say that all was well.
        has_news = bool(recorder.unanswered) or not self._has_ended_phase
        if has_news and recorder.sends and recorder.cassette is not None:
            remember_unanswered(self._item, recorder.unanswered)
        self._has_ended_phase = True
        if recorder.unanswered:
            self._warn(
                "\n  ".join(
                    [
                        f"{plural(len(recorder.unanswered), 'request')} got no response, "
                        "so there is nothing to replay:",
                        *recorder.unanswered[:3],
                        "a replay fails there, unless the client then sent it again;",
                        instead_of(recorder.unanswered[0]),
                    ]
                )
            )
        if recorder.still_read:
            self._warn(
                "\n  ".join(
                    [
                        "the test ended while another thread was reading, so the recording ends "
                        "there too:",
                        *recorder.still_read[:3],
                        "wait for the thread in the test, or a replay that reads on fails",
                    ]
                )
            )
        forked = recorder.of_forks()
        if forked:
            self._has_forked = True
            self._warn(
                f"a forked process sent {forked}: not recorded, nor counted as replayed;\n"
                "  to record it, give the process the base URL of the fixture chatapi_server"
            )
        recorder.warnings, recorder.unanswered, recorder.still_read = [], [], []

    def _fail_for_misses(self) -> None:
        unreported = self._recorder.misses[self._reported :]
        self._reported = len(self._recorder.misses)
        if unreported:
            pytest.fail("\n\n".join(map(describe, unreported)), pytrace=False)

    def _unchecked(self) -> list[Checked]:
        """The exchanges that no phase has checked yet, with their findings."""
        first, self._checked = self._checked, len(self._recorder.exchanges)
        if self._settings.policy == "off":
            return []
        new = self._recorder.exchanges[first:]
        cassette = self._recorder.cassette
        return [
            Checked(
                at,
                _title(exchange),
                self._without_known(at, exchange),
                self._story_of(exchange),
                cassette.path if cassette is not None and exchange.source is not None else None,
                bool(exchange.fault),
            )
            for at, exchange in enumerate(new, first)
        ]

    def _without_known(self, at: int, exchange: Exchange) -> list[Finding]:
        """The findings of an exchange without those that the baseline has of its cassette.

        Their number is up to the check of the whole cassette: a test may play a recording twice.
        """
        checker = checker_of(self._settings)
        result = checker.check(exchange)
        findings = checker.keeper(*self._settings.files)(result.findings)
        self._results[at] = result, findings
        baseline = self._settings.baseline
        if baseline is None or self._recorder.cassette is None or not findings:
            return findings
        from pytest_chatapi.config.baseline import Compared

        known = frozenset(key for file in self._settings.files for key in baseline.of(file))
        new = Compared(known).new(findings)
        if len(new) < len(findings):
            self._item.user_properties.append((KNOWN, len(findings) - len(new)))
        return new

    def _story_of(self, exchange: Exchange) -> list[tuple[str, str]]:
        """Where a request was sent from, what responded, and what was injected."""
        source, story = exchange.source, []
        if exchange.sent_from:
            story.append(("sent from", self._sender_of(exchange)))
        if source is not None:
            story.append(("replayed", f"interaction {source.index} of {source.file}"))
        if exchange.fault:
            story.append(("injected", _fault_in_words(exchange.fault)))
        return story

    def _injected(self) -> list[str]:
        """What was injected where: a failing test does not say so itself."""
        lines = [
            _filled(
                f"exchange {at}, sent from {self._sender_of(exchange)}: "
                f"{_fault_in_words(exchange.fault)}"
            )
            for at, exchange in enumerate(self._recorder.exchanges)
            if exchange.fault
        ]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"  ... and {len(lines) - _SHOWN} more"]
        return ["\n".join(["injected faults:", *lines])] if lines else []

    def _sender_of(self, exchange: Exchange) -> str:
        return shown_place(self._item.config, exchange.sent_from) or "an unknown place"

    def _fail_for_findings(self) -> None:
        fail_for_findings(self._unchecked(), self._settings.policy, self._warn)

    def _save_failed(self, misses: list[str]) -> list[str]:
        """Write what a failing test recorded, if it is to be written, and explain an xfail.

        Returns:
            what is to be added to the report.
        """
        is_expected = self._item.get_closest_marker("xfail") is not None
        if is_expected and misses:
            is_over = self._recorder.misses[0].is_over_budget
            why = "the budget of the run is used up" if is_over else "a recording is missing"
            self._warn(f"xfail because {why}\n{misses[0]}")
        if self._settings.record_on_failure or (is_expected and not misses):
            refusal = self._refusal_to_save()
            return [refusal] if refusal else []
        return []

    def _check_age(self) -> None:
        cassette, max_age = self._recorder.cassette, self._settings.max_age
        if cassette is None or not max_age:
            return
        dates = [entry.recorded_at for entry in self._recorder.entries]
        old = [date for date in dates if is_older(date, max_age)]
        if old:
            text = (
                f"{cassette.name} was recorded on {min(old)[:10]}, over {max_age} ago; "
                f"record again: {self._how_to_record_again()}"
            )
            if self._settings.on_expiry == "fail":
                pytest.fail(text, pytrace=False)
            self._warn(text)

    def _check_budget(self) -> None:
        run = self._item.config.stash.get(RUN_BUDGET, None)
        is_timed = run is not None and bool(run.times)
        if self._item.get_closest_marker("chatapi_budget") is None and not is_timed:
            return
        from pytest_chatapi.figures.summary import Group
        from pytest_chatapi.plugin.budget import breaches, limits_of, near_end, uncounted_api

        self._budgeted = len(self._recorder.exchanges)
        priced = dict(self.handle.numbered_figures())
        others = [api for one in self._recorder.exchanges if (api := uncounted_api(one))]
        group = Group("", list(priced.values()))
        limits = limits_of(self._item)
        found = list(breaches(limits, group, others, list(priced)))
        # A replay takes the same each time, so it is not worth a line.
        is_live = any(one.figures.source == "live" for one in group.exchanges)
        near = near_end(limits, group) if is_live and not found else ()
        properties = self._item.user_properties
        properties[:] = [p for p in properties if p[0] != NEAR]
        properties.extend((NEAR, text) for text in near)
        if run is not None and is_timed:
            live = {n: one for n, one in priced.items() if one.figures.source == "live"}
            group = Group("", list(live.values()))
            found += [f"{text} of the run" for text in breaches(run.times, group, (), list(live))]
        if found:
            pytest.fail("over budget\n  " + "\n  ".join(found), pytrace=False)

    def _check_unplayed(self, phase: str) -> None:
        cassette = self._recorder.cassette
        if cassette is None or not self._reports_unused:
            return
        unplayed = [entry for entry in self._recorder.unplayed(phase=phase) if entry.own]
        if unplayed:
            self._report_unused(
                f"{plural(len(unplayed), 'unused recording')} in {cassette.name}:",
                [
                    f"interaction {e.index}: {_title(Exchange(e.request))}"
                    for e in unplayed[:_SHOWN]
                ],
                len(unplayed),
                f"\nrecord again: {self._how_to_record_again()}{_optional_of(unplayed)}",
                "or allow it: unplayed='ignore'",
            )

    def _check_unused_replies(self) -> None:
        mock = self.handle.mock
        if mock is not None and self._reports_unused and (unused := mock.unused):
            self._report_unused(
                "unused mock replies:",
                unused[:_SHOWN],
                len(unused),
                "",
                "remove them, or allow them: unplayed='ignore'",
            )

    @property
    def _reports_unused(self) -> bool:
        # A client that gets a fault instead of a response may well give up.
        return self._settings.unplayed != "ignore" and self._recorder.faults is None

    def _report_unused(
        self, head: str, shown: list[str], count: int, remedy: str, permission: str
    ) -> None:
        lines = [head, *(f"  {text}" for text in shown)]
        if count > len(shown):
            lines.append(f"  ... and {count - len(shown)} more")
        text = "\n".join(lines) + remedy
        if self._settings.unplayed == "fail":
            pytest.fail(f"{text}\n{permission}", pytrace=False)
        self._warn(text)

    def _how_to_record_again(self) -> str:
        return how_to_record(self._item, "rewrite", self._settings)

    def _save(self) -> None:
        refusal = self._refusal_to_save()
        if refusal:
            pytest.fail(refusal, pytrace=False)

    def _refusal_to_save(self) -> str:
        """Write what was recorded; return the reason if that is refused, else ``""``."""
        try:
            self._recorder.save()
        except ChatAPIError as error:
            self._is_refused = True
            return f"chatapi: {without_secrets(str(error))}"
        return ""

    def _skip_idle_faults(self) -> None:
        """Skip a test in which no fault happened: it did not exercise what it is for."""
        if self._recorder.faults is None:
            return
        from pytest_chatapi.faults import Plan

        plan, exchanges = self._recorder.faults, self._recorder.exchanges
        if not isinstance(plan, Plan) or plan.happened or not plan.left:
            return
        if not any(exchange.fault for exchange in exchanges):  # of a plan before this one
            pytest.skip(f"{plan.text}: {_why_idle(plan.text, exchanges)}")


def _why_idle(plan: str, exchanges: Sequence[Exchange]) -> str:
    """Why no fault of a plan happened."""
    from pytest_chatapi.faults import parse

    chats = [e for e in exchanges if e.request and endpoint(Exchange(e.request)) == "chat"]
    if not chats:
        return "the test requested no chat completion"
    steps = parse(plan)
    first = next(at for at, step in enumerate(steps) if step.kind != "none")
    if len(chats) <= first:
        return f"its turn did not come in {plural(len(chats), 'chat completion')}"
    if all(exchange.live for exchange in chats):
        return "what a server responds is not changed, only what a recording or a mock does"
    is_streamed = any(e.request and streams(e.request) for e in chats)
    hints = {_what_it_changes(fault, is_streamed): None for fault in steps if fault.kind != "none"}
    return f"there is nothing in this traffic that it could change; {'; '.join(hints)}"


def _fault_in_words(text: str) -> str:
    from pytest_chatapi.faults import parse

    return f"{text} ({parse(text)[0].summary.rstrip('.')})"


def _filled(text: str) -> str:
    """One line of a list, wrapped for the terminal."""
    return "\n".join(wrapped(text, "    ", first="  "))


def _what_it_changes(fault: Fault, is_streamed: bool) -> str:
    """What a response needs so that a fault can change it."""
    if "whole" not in fault.entry.sdk and not is_streamed:
        return "it changes streams only: request with stream=True"
    return f"what it does: {fault.summary}"


def _optional_of(unplayed: Sequence[Entry]) -> str:
    """The setting for requests that a client library makes once a process, if any may be that."""
    urls = dict.fromkeys(entry.request.url.partition("?")[0] for entry in unplayed)
    others = [url for url in urls if not url.endswith("/chat/completions")]
    return f"\nor, if a process requests it only once: optional={others[:3]}" if others else ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _title(exchange: Exchange) -> str:
    """The title without the number that the exchange has in its cassette."""
    return title_of(Exchange(exchange.request, exchange.response))
