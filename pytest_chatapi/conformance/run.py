"""Runs checks against a server and gives each a verdict."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, Queue

from pytest_chatapi.conformance.probe import (
    BOTH,
    Check,
    Mode,
    Outcome,
    Verdict,
    harness_error,
    not_exercised,
)
from pytest_chatapi.conformance.probe import checks as every_check
from pytest_chatapi.conformance.rate import Rate
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.conformance.wire import Caps, Sent, Wire
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.errors import ChatAPIError

__all__ = ["Options", "Result", "Run"]

Connect = Callable[[str], Wire]
"""Gives the wire of a check by its id."""

_ENDS = 301, 302, 307, 308, 401, 403, 404, 429
"""Statuses of the plainest request after which no other would be accepted: a redirect, a wrong key,
no such model, no quota. A 400 may be about what another check leaves out.
"""

PLAINEST = "text.basic"
"""The probe that reports what is wrong with any response of the server."""

_WORST_FIRST = [
    Verdict.FAIL,
    Verdict.HARNESS_ERROR,
    Verdict.NON_STRICT,
    Verdict.PASS,
    Verdict.UNSUPPORTED,
    Verdict.NOT_EXERCISED,
]
_UNEXERCISED = Verdict.HARNESS_ERROR, Verdict.UNSUPPORTED, Verdict.NOT_EXERCISED
_FINAL = Verdict.HARNESS_ERROR, Verdict.UNSUPPORTED  # to ask again gives the same

_PATIENCE = 4
"""Of models that reason: how many times the timeout they may take for a response."""

_PLAIN: tuple[tuple[str, Mode, int], ...] = (
    ("measured.plain.whole", "whole", 16),
    ("measured.plain.stream", "stream", 16),
    # A server that generates more than it may does so in any check that asks for little.
    ("measured.plain.cap", "whole", 1),
)
"""The plainest requests, which are measured first: name, mode, most tokens."""

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Options:
    """What a run is asked for, beside where the server is.

    Attributes:
        profile: of the contract; ``None`` chooses by the host.
        as_of: the contract of that day, ``None`` for today's.
        strict: what is non-strict fails.
        repeat: how often checks of tools and structured output are run.
        concurrency: checks at a time.
        declared: capabilities that the server is said to lack.
    """

    model: str
    profile: str | None = None
    as_of: str | None = None
    strict: bool = False
    repeat: int = 1
    concurrency: int = 1
    declared: frozenset[str] = frozenset()


@dataclass
class Result:
    """The verdict on a check.

    Attributes:
        reason: of any verdict but a pass, in one sentence.
        expected, got: of a failure that no finding describes.
        findings: that decided it.
        also: findings that fail another check: that of their rule, or that of the plainest request,
            whose response has them as well.
        sent: the requests, in order; of the run that decided it, where the check was repeated.
        runs, failed, unexercised: how many there were, how many of them failed, and how many came
            to nothing: neither a pass nor a failure.
        sent_by_run: the requests of each run, by its name.
    """

    check: Check
    verdict: Verdict
    reason: str = ""
    expected: str = ""
    got: str = ""
    findings: list[Finding] = field(default_factory=list)
    also: list[Finding] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    runs: int = 1
    failed: int = 0
    unexercised: int = 0
    sent_by_run: dict[str, list[Sent]] = field(default_factory=dict)

    @property
    def rate(self) -> Rate | None:
        """Of the runs that came to something, those that passed; ``None`` for a single run."""
        exercised = self.runs - self.unexercised
        return Rate(exercised - self.failed, exercised) if self.runs > 1 and exercised else None


class Run:
    """One run of checks against one server.

    Args:
        connect: the server, live or recorded.
    """

    def __init__(self, connect: Connect, options: Options, caps: Caps | None = None) -> None:
        self.options, self.caps = options, caps or Caps()
        self._connect = connect
        self._lock = threading.Lock()
        self._systematic: set[tuple[str, str]] | None = None
        self._problems: dict[Mode, str] = {}  # of the plainest request
        self._noise: tuple[Outcome | None] | None = None
        self._reasons = False
        self._codes_of_probes = frozenset[str]().union(*(c.probe.codes for c in every_check()))
        self.measured: dict[str, list[Sent]] = {}
        """What was sent beside the checks, to measure: name to requests."""

    def reach(self, checks: Sequence[Check]) -> None:
        """Send the plainest request, which is measured first, if any check sends one.

        Raises:
            ChatAPIError: there is no server.
        """
        if all(check.probe.capability in self.options.declared for check in checks):
            return
        try:
            self._findings_of_any()
        except Outcome as outcome:
            raise ChatAPIError(str(outcome)) from None

    def results(self, checks: Sequence[Check]) -> Iterator[Result]:
        """Run checks, in order; each result comes as soon as those before it have come."""
        if self.options.concurrency == 1:
            yield from map(self.result, checks)
            return
        # No executor: the process waits for an executor's threads when it ends, and one that
        # Ctrl-C left with a server that hangs would keep it.
        work = Queue[tuple[Check, Future[Result]]]()
        futures = [Future[Result]() for _ in checks]
        for pair in zip(checks, futures, strict=True):
            work.put(pair)
        for _ in range(min(self.options.concurrency, len(checks))):
            threading.Thread(target=self._work, args=(work,), daemon=True).start()
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    def _work(self, work: Queue[tuple[Check, Future[Result]]]) -> None:
        with suppress(Empty):
            while True:
                check, future = work.get_nowait()
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(self.result(check))
                    except BaseException as error:
                        future.set_exception(error)

    def result(self, check: Check) -> Result:
        """Run one check, as often as it is to be repeated: it fails if any run does."""
        if check.probe.capability in self.options.declared:
            return Result(check, Verdict.UNSUPPORTED, "declared")
        results = [self._once(check, 0)]
        if check.probe.depends_on_model and results[0].verdict not in _FINAL:
            results += [self._once(check, number) for number in range(1, self.options.repeat)]
        worst = min(results, key=lambda one: _WORST_FIRST.index(one.verdict))
        counts = Counter(one.verdict for one in results)
        worst.runs, worst.failed = len(results), counts[Verdict.FAIL]
        worst.unexercised = sum(counts[verdict] for verdict in _UNEXERCISED)
        worst.sent_by_run = {_name(check, number): one.sent for number, one in enumerate(results)}
        if worst.runs > 1 and worst.failed:
            worst.reason = f"{worst.failed} of {worst.runs} runs failed: {worst.reason}"
        elif worst.unexercised < worst.runs and worst.unexercised:
            other = next(one for one in results if one.verdict in _UNEXERCISED)
            note = f"{worst.unexercised} of {worst.runs} runs {other.verdict}: {other.reason}"
            worst.reason = f"{worst.reason}; {note}" if worst.reason else note
        return worst

    def _once(self, check: Check, number: int) -> Result:
        name = _name(check, number)
        server = self._server(name, check.mode)
        outcome: Outcome | None = None
        systematic: set[tuple[str, str]] = set()
        try:
            systematic = self._findings_of_any()
            if check.probe.id != PLAINEST:
                self._needs_response(check.mode)
            if self._reasons:
                server.reasons, server.wire.patience = True, _PATIENCE
            server.samples = number > 0
            check.probe.run(server)
            if not server.replies:
                raise not_exercised("nothing was sent")
        except Outcome as error:
            outcome = error
        except ChatAPIError:  # a recording that cannot be read
            raise
        except Exception as error:  # the other checks have their verdicts all the same
            outcome = harness_error(
                f"this check cannot cope with the response, please report it: {error!r}"
            )
        if outcome is not None and any(sent.problem for sent in server.wire.sent):
            self._look_for_server(name)
        result = self._judged(check, server.replies, outcome, systematic)
        if self.options.strict and result.verdict is Verdict.NON_STRICT:
            result.verdict = Verdict.FAIL
        result.sent = list(server.wire.sent)
        return result

    def _judged(
        self,
        check: Check,
        replies: Sequence[Reply],
        outcome: Outcome | None,
        systematic: set[tuple[str, str]],
    ) -> Result:
        """The verdict by what the probe says and by the findings of its replies."""
        probe = check.probe
        findings: list[Finding] = []
        also: list[Finding] = []
        for finding in (one for reply in replies for one in reply.result.findings):
            if finding.level == "note":
                continue
            if finding.code.startswith("Q"):
                if finding.level == "error" and not probe.is_illegal:
                    text = f"our request is wrong: {finding.code}: {finding.message}"
                    return Result(check, Verdict.HARNESS_ERROR, text, findings=[finding])
                continue
            is_own = finding.code in probe.codes
            if probe.id == PLAINEST:
                is_own = is_own or finding.code not in self._codes_of_probes
            elif finding.code.startswith("X"):
                # What is wrong with any error body is a failure of the checks of errors alone.
                is_own = is_own or finding.code not in self._codes_of_probes
            elif finding.level == "error" or finding.code not in self._codes_of_probes:
                # A warning of another probe's rule may depend on when the response came, or on
                # what the model happened to say.
                is_own = is_own or place(finding) not in systematic
            (findings if is_own else also).append(finding)
        errors = [finding for finding in findings if finding.level == "error"]
        verdict, reason, expected, got = Verdict.PASS, "", "", ""
        if outcome is not None:
            verdict, reason = outcome.verdict, outcome.reason
            expected, got = outcome.expected, outcome.got
        if errors and verdict is not Verdict.FAIL:
            verdict, reason, expected, got = Verdict.FAIL, errors[0].message, "", ""
        elif findings and verdict is Verdict.PASS:
            verdict, reason = Verdict.NON_STRICT, findings[0].message
        return Result(check, verdict, reason, expected, got, findings, also)

    # -- what is measured first --------------------------------------------------------------

    def _server(self, name: str, mode: Mode) -> Server:
        options = self.options
        return Server(
            self._connect(name),
            mode,
            options.model,
            self.caps,
            options.profile,
            options.as_of,
            self._noise_floor,
        )

    def _findings_of_any(self) -> set[tuple[str, str]]:
        """Code and place of what is wrong with the plainest response, whole or streamed: each of
        these is one failure, of ``text.basic``, and not one of every check.
        """
        with self._lock:
            if self._systematic is None:
                found: set[tuple[str, str]] = set()
                for name, mode, most in _PLAIN:
                    if mode in self._problems:
                        continue
                    server = self._server(name, mode)
                    try:
                        server.chat(max_completion_tokens=most).accepted()
                    except Outcome as outcome:
                        # Checks will find the same; but a server that is not there ends the run.
                        if outcome.verdict is Verdict.HARNESS_ERROR:
                            raise
                        statuses = [reply.status for reply in server.replies]
                        is_over = most > 1 and statuses and statuses[0] in _ENDS
                        if server.wire.sent and (not statuses or is_over):
                            problem = f"the plainest request fails: {outcome.got or outcome}"
                            self._problems[server.mode] = problem
                    for reply in server.replies:
                        found |= {place(finding) for finding in reply.result.findings}
                        is_read = reply.result.answer is not None and reply.choices
                        if most > 1 and (reply.is_used_up or (is_read and reply.shows_reasoning)):
                            self._reasons = True
                    self.measured[name] = list(server.wire.sent)
                self._systematic = found
            return self._systematic

    def _needs_response(self, mode: Mode) -> None:
        """Go on only if the plainest request had a response: a server that hangs would take the
        whole timeout for each request of each check, and one that wants another key, or does not
        have the model, would fail them all.

        Raises:
            Outcome: it had none in this mode; in neither mode, for a check that has no mode.
        """
        wanted = ("whole", "stream") if mode == "-" else (mode,)
        problems = [self._problems[one] for one in wanted if one in self._problems]
        if len(problems) == len(wanted):
            raise not_exercised(problems[0])

    def _look_for_server(self, name: str) -> None:
        """Find out whether the server is still there, after a check without a response. Where it is
        not, later checks are not run.
        """
        with self._lock:
            if len(self._problems) == len(BOTH):
                return
            at = f"measured.after.{name}"
            server = self._server(at, "whole")
            with suppress(Outcome):
                server.chat(max_completion_tokens=16)
            self.measured[at] = list(server.wire.sent)
            if any(sent.problem for sent in server.wire.sent):
                # Which request it was that the server never got over, is not known.
                self._problems = dict.fromkeys(
                    BOTH, f"the server does not respond any more, since {name} at the latest"
                )

    def _noise_floor(self) -> Outcome | None:
        """``None`` where the same request twice gives the same text."""
        with self._lock:
            if self._noise is None:
                name = "measured.noise"
                server = self._server(name, "whole")
                server.reasons = self._reasons
                ask = partial(
                    server.chat,
                    "Count to five.",
                    seed=7,
                    max_completion_tokens=server.room(16),
                    **server.steady,
                )
                try:
                    first, second = ask().accepted(), ask().accepted()
                    outcome = None
                    if first.text != second.text:
                        outcome = not_exercised(
                            "the server is not deterministic: the same request with temperature 0 "
                            "and a seed gave two texts"
                        )
                    elif not first.text:
                        outcome = not_exercised("the response to a plain request has no text")
                except Outcome as error:
                    outcome = not_exercised(f"the noise floor cannot be measured: {error}")
                self.measured[name] = list(server.wire.sent)
                self._noise = (outcome,)
            return self._noise[0]


def _name(check: Check, number: int) -> str:
    """Of a run of a check."""
    return check.id if number == 0 else f"{check.id}.{number + 1}"


def place(finding: Finding) -> tuple[str, str]:
    """Code and path of a finding, whichever item of a list it is about."""
    return finding.code, _INDEX.sub("[]", finding.path)
