"""What is checked at the ends of a test's phases, with a recorder that only says what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from traffic import ANSWER

from pytest_chatapi.config.options import Settings
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.errors import WriteError
from pytest_chatapi.faults import Plan, rate_limit, tool_id_empty
from pytest_chatapi.plugin import run as plugin_run
from pytest_chatapi.plugin.checking import Checks
from pytest_chatapi.plugin.config_fixture import config_scope, config_so_far
from pytest_chatapi.plugin.policy import Checked, fail_for_findings, findings_of
from pytest_chatapi.plugin.stash import RUN
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.redaction.redactor import Redactor

REQUEST = Request(
    "POST",
    "https://api.openai.com/v1/chat/completions",
    body={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
)
GOOD = Exchange(REQUEST, Response(body=ANSWER))
WRONG = Exchange(REQUEST, Response(body={**ANSWER, "object": "x"}))  # S03, an error
EMBEDDED = Exchange(Request("POST", "https://api.openai.com/v1/embeddings"), Response(body={}))
LIVE = replace(GOOD, live=True)
WARNED = Exchange(  # the same where it is a warning
    Request("POST", "http://localhost/v1/chat/completions", body=REQUEST.body), WRONG.response
)


class Recorder:
    """What happened to a test, and whether its cassette was written."""

    def __init__(self) -> None:
        self.cassette: object = SimpleNamespace(name="c.yaml", path=Path("c.yaml"))
        self.exchanges: list[Exchange] = []
        self.misses: list[Miss] = []
        self.warnings: list[str] = []
        self.unanswered: list[str] = []
        self.still_read: list[str] = []
        self.shares_with: set[str] = set()
        self.sends = True
        self.forked = ""
        self.entries: list[Any] = []
        self.unplayed_in: dict[str, list[Any]] = {}
        self.faults: object = None
        self.phase = ""
        self.finished = self.saved = 0
        self.written = self.unwritten = 0
        self.refuses = False
        self.redactor = Redactor()

    def finish(self) -> None:
        self.finished += 1

    def of_forks(self) -> str:
        line, self.forked = self.forked, ""
        return line

    def unplayed(self, *, phase: str) -> list[Any]:
        return self.unplayed_in.get(phase, [])

    def save(self) -> None:
        if self.refuses:
            raise WriteError("c.yaml", "not written")
        self.saved += 1


class Item:
    nodeid = "test_it.py::test_a"
    path = Path("/home/me/test_it.py")

    def __init__(self, is_xfail: bool) -> None:
        self.config = SimpleNamespace(
            invocation_params=SimpleNamespace(dir=Path("/home/me")), stash=pytest.Stash()
        )
        self.config.stash[RUN] = plugin_run.Run()
        self.user_properties: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self._is_xfail = is_xfail

    def get_closest_marker(self, name: str) -> bool | None:
        return True if self._is_xfail and name == "xfail" else None

    def add_report_section(self, when: str, key: str, text: str) -> None:
        self.sections.append(text)


class Run:
    """The checks of a test, and what they had to say."""

    def __init__(
        self,
        *,
        is_xfail: bool = False,
        unused: list[str] | None = None,
        **settings: object,
    ) -> None:
        self.recorder, self.item = Recorder(), Item(is_xfail)
        handle = SimpleNamespace(
            recorder=self.recorder,
            settings=Settings(**{"profile": None, **settings}),
            mock=None if unused is None else SimpleNamespace(unused=unused),
            exchanges=self.recorder.exchanges,
            scores=(),
            source_of=lambda exchange: "mock",
        )
        self.checks = Checks(cast(Any, handle), cast(Any, self.item))

    @property
    def notes(self) -> list[str]:
        return [text for name, text in self.item.user_properties if name == "chatapi"]


def failure(check: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(pytest.fail.Exception) as caught:
        check(*arguments)
    return str(caught.value)


def entry(index: int = 0, *, own: bool = True, recorded_at: str = "") -> SimpleNamespace:
    return SimpleNamespace(index=index, own=own, request=REQUEST, recorded_at=recorded_at)


def miss(what: str = "POST x") -> Miss:
    return Miss(what, "there is no cassette")


# -- a call that passed --------------------------------------------------------------------------


def test_a_good_test_is_written_when_its_call_passed() -> None:
    run = Run()
    run.recorder.exchanges = [GOOD]
    run.checks.call_passed()
    assert (run.recorder.saved, run.recorder.finished, run.recorder.phase) == (1, 1, "teardown")
    run.checks.torn_down(None)
    assert (run.recorder.saved, run.recorder.finished) == (2, 2)
    assert run.notes == run.item.sections == []


def test_nothing_is_written_after_a_teardown_that_failed() -> None:
    run = Run()
    run.checks.call_passed()
    run.checks.torn_down(ValueError())
    assert run.recorder.saved == 1


def test_a_miss_is_reported_once() -> None:
    run = Run()
    run.recorder.misses = [miss("POST one")]
    assert "POST one" in failure(run.checks.call_passed)
    assert run.recorder.saved == 0
    run.checks.torn_down(None)  # the call has failed by now, and has said so
    assert run.recorder.saved == 0


def test_a_teardown_reports_what_is_new() -> None:
    run = Run()
    run.recorder.exchanges = [GOOD]
    run.checks.call_passed()
    run.recorder.exchanges.append(WRONG)
    assert failure(run.checks.torn_down, None).startswith("S03: POST chat/completions")
    run = Run()
    run.checks.call_passed()
    run.recorder.misses.append(miss())
    assert failure(run.checks.torn_down, None) == describe(miss())


def test_a_refusal_to_write_fails_the_call() -> None:
    run = Run()
    run.recorder.refuses = True
    assert failure(run.checks.call_passed) == "chatapi: c.yaml: not written"


# -- findings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "exchange", "outcome"),
    [
        ("error", WRONG, "fails"),
        ("error", WARNED, ""),
        ("strict", WARNED, "fails"),
        ("warn", WARNED, "warns"),
        ("warn", WRONG, "warns"),
        ("warn", GOOD, ""),
        ("off", WRONG, ""),
    ],
)
def test_a_policy_says_which_findings_fail(policy: str, exchange: Exchange, outcome: str) -> None:
    run = Run(policy=policy)
    run.recorder.exchanges = [GOOD, exchange]
    if outcome == "fails":
        text = failure(run.checks.call_passed)
        assert text.startswith("S03: POST chat/completions gpt-4o-mini breaks the contract: 1")
        assert "\n  exchange  1 of this test\n" in text
    else:
        run.checks.call_passed()
        run.checks.torn_down(None)
    assert len(run.notes) == (outcome == "warns")
    assert all(
        n.startswith("exchange 1: POST chat/completions gpt-4o-mini: S03 ") for n in run.notes
    )
    assert bool(run.recorder.saved) == (outcome != "fails")


def test_exchanges_with_the_same_finding_are_one_message() -> None:
    run = Run()
    run.recorder.exchanges = [WRONG, GOOD, *[WRONG] * 6]
    lines = failure(run.checks.call_passed).splitlines()
    head = "S03: 7 exchanges break the contract: 7 findings (profile openai)"
    assert lines[:2] == [head, "  exchange  0: POST chat/completions gpt-4o-mini"]
    assert lines[5:8] == [
        "  exchange  5: POST chat/completions gpt-4o-mini",
        "            ... and 2 more",
        "",
    ]
    assert sum(line.startswith("error ") for line in lines) == 1


def test_a_note_names_five_findings_at_most() -> None:
    run = Run(policy="warn")
    body = {**ANSWER, "object": "x", "id": 1, "created": "x", "model": 2, "usage": 3, "choices": 4}
    run.recorder.exchanges = [Exchange(REQUEST, Response(body=body))]
    run.checks.call_passed()
    (note,) = run.notes
    assert note.count("S0") == 5


def test_exchanges_of_another_recorder_have_the_same_policies() -> None:
    exchanges = [Checked(0, "x", findings_of(WRONG, Settings()))]
    notes: list[str] = []
    fail_for_findings(exchanges, "off", notes.append)
    assert notes == []
    fail_for_findings(exchanges, "warn", notes.append)
    assert [note[:19] for note in notes] == ["exchange 0: x: S03 "]
    assert failure(fail_for_findings, exchanges, "error", notes.append).startswith("S03: x breaks ")


def test_settings_of_the_test_say_what_is_found() -> None:
    run = Run(ignore=["S03"])
    run.recorder.exchanges = [WRONG]
    run.checks.call_passed()
    run = Run(profile="openai")
    run.recorder.exchanges = [WARNED]
    failure(run.checks.call_passed)


# -- a call that failed --------------------------------------------------------------------------


def test_a_failure_is_explained_by_what_it_does_not_say() -> None:
    run = Run()
    run.recorder.misses = [miss("POST one"), miss("POST two")]
    run.recorder.exchanges = [GOOD, WRONG]
    run.checks.call_failed(AssertionError(describe(miss("POST one"))))
    (section,) = run.item.sections
    assert "POST one" not in section
    assert section.startswith(describe(miss("POST two")) + "\n\nS03: POST chat/")
    run.checks.torn_down(None)
    assert run.recorder.saved == 0


def test_a_failure_that_says_everything_stays_alone() -> None:
    run = Run(policy="off")
    run.recorder.misses = [miss()]
    run.recorder.exchanges = [WRONG]
    run.checks.call_failed(AssertionError(describe(miss())))
    assert run.item.sections == []


def test_a_skip_hides_no_miss() -> None:
    run = Run()
    run.recorder.misses = [miss()]
    assert failure(run.checks.call_failed, pytest.skip.Exception("")) == describe(miss())
    run = Run()
    run.recorder.exchanges = [WRONG]
    run.checks.call_failed(pytest.skip.Exception(""))
    assert run.item.sections == []


def test_a_group_of_nothing_but_misses_is_shown_without_its_frames() -> None:
    text = describe(miss())
    told = BaseExceptionGroup("", [pytest.fail.Exception(text)])
    run = Run()
    run.recorder.misses = [miss()]
    assert failure(run.checks.call_failed, BaseExceptionGroup("", [told])) == text
    run.checks.call_failed(BaseExceptionGroup("", [told, ValueError("of its own")]))
    run = Run()
    run.checks.call_failed(BaseExceptionGroup("", [ValueError()]))  # no miss


@pytest.mark.parametrize(
    ("is_xfail", "misses", "record_on_failure", "saved"),
    [
        (False, [], False, 0),
        (False, [], True, 1),
        (False, [miss()], True, 1),
        (True, [], False, 1),
        (True, [miss()], False, 0),
    ],
)
def test_what_a_failing_test_writes(
    is_xfail: bool, misses: list[Miss], record_on_failure: bool, saved: int
) -> None:
    run = Run(is_xfail=is_xfail, record_on_failure=record_on_failure)
    run.recorder.misses = misses
    run.checks.call_failed(AssertionError())
    assert run.recorder.saved == saved
    notes = [f"xfail because a recording is missing\n{describe(m)}" for m in misses if is_xfail]
    assert run.notes == notes


def test_a_refusal_to_write_is_added_to_a_failure() -> None:
    run = Run(record_on_failure=True)
    run.recorder.refuses = True
    run.checks.call_failed(AssertionError())
    assert run.item.sections == ["chatapi: c.yaml: not written"]


# -- cassettes -----------------------------------------------------------------------------------


def test_unused_recordings() -> None:
    run = Run()
    run.recorder.unplayed_in = {"": [entry(0, own=False), *(entry(at) for at in range(1, 13))]}
    assert failure(run.checks.call_passed).splitlines() == [
        "12 unused recordings in c.yaml:",
        *(f"  interaction {at}: POST chat/completions gpt-4o-mini" for at in range(1, 11)),
        "  ... and 2 more",
        "record again: pytest test_it.py::test_a --record-mode=rewrite",
        "or allow it: unplayed='ignore'",
    ]


def test_unused_recordings_of_a_teardown_are_its_own_matter() -> None:
    run = Run()
    run.recorder.unplayed_in = {"teardown": [entry()]}
    run.checks.call_passed()
    assert failure(run.checks.torn_down, None).startswith("1 unused recording in c.yaml:\n")


@pytest.mark.parametrize("unplayed", ["warn", "ignore"])
def test_unused_recordings_that_are_allowed(unplayed: str) -> None:
    run = Run(unplayed=unplayed, unused=["chat(): never asked"])
    run.recorder.unplayed_in = {"": [entry()]}
    run.checks.call_passed()
    notes = [
        "1 unused recording in c.yaml:\n"
        "  interaction 0: POST chat/completions gpt-4o-mini\n"
        "record again: pytest test_it.py::test_a --record-mode=rewrite",
        "unused mock replies:\n  chat(): never asked",
    ]
    assert run.notes == notes * (unplayed == "warn")


def test_nobody_minds_unused_recordings_of_others_or_behind_a_fault() -> None:
    run = Run()
    run.recorder.unplayed_in = {"": [entry(own=False)]}
    run.checks.call_passed()
    run = Run(unused=["chat(): never asked"])
    run.recorder.faults = Plan()
    run.recorder.unplayed_in = {"": [entry()]}
    run.checks.call_passed()
    run = Run()
    run.recorder.cassette = None
    run.recorder.unplayed_in = {"": [entry()]}
    run.checks.call_passed()
    assert run.notes == []


def test_unused_replies_of_a_mock() -> None:
    run = Run(unused=[f"route {at}" for at in range(11)])
    assert failure(run.checks.call_passed).splitlines() == [
        "unused mock replies:",
        *(f"  route {at}" for at in range(10)),
        "  ... and 1 more",
        "remove them, or allow them: unplayed='ignore'",
    ]


def test_old_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_chatapi.recording.clock.now", lambda: "2026-11-25T10:00:00.000Z")
    days = ["2026-11-24T00:00:00Z", "2026-10-02T00:00:00Z", "2026-10-01T00:00:00Z", ""]
    text = (
        "c.yaml was recorded on 2026-10-01, over 30d ago; "
        "record again: pytest test_it.py::test_a --record-mode=rewrite"
    )
    run = Run(max_age="30d")
    run.recorder.entries = [entry(recorded_at=day) for day in days]
    run.checks.call_passed()
    assert run.notes == [text]
    run = Run(max_age="30d", on_expiry="fail")
    run.recorder.entries = [entry(recorded_at=day) for day in days]
    assert failure(run.checks.call_passed) == text
    for settings, there in (({}, days), ({"max_age": "30d"}, days[:1])):
        run = Run(**settings)
        run.recorder.entries = [entry(recorded_at=day) for day in there]
        run.checks.call_passed()
        assert run.notes == []


# -- notes ---------------------------------------------------------------------------------------


def test_what_differs_or_got_no_response_is_noted_once() -> None:
    run = Run()
    run.recorder.warnings = ["another body", "another body again", "and again"]
    run.recorder.unanswered = ["a: ConnectError", "b", "c", "d"]
    run.checks.call_passed()
    run.checks.torn_down(None)
    assert run.notes == [
        "another body\n  ... and 2 more requests",
        "4 requests got no response, so there is nothing to replay:\n  a: ConnectError\n  b\n"
        "  c\n  a replay fails there, unless the client then sent it again;\n"
        "  inject it with chatapi.inject('connect_error') instead",
    ]
    run = Run()
    run.recorder.warnings = ["another body"]
    run.checks.call_failed(AssertionError())
    assert run.notes == ["another body"]


# -- faults that do not happen ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "exchanges", "why"),
    [
        ("rate_limit", [], "the test requested no chat completion"),
        (
            "2*tool_id_empty",
            [GOOD],
            "there is nothing in this traffic that it could change; "
            f"what it does: {tool_id_empty().summary}",
        ),
        (
            "sse_crlf, tool_id_empty",
            [GOOD],
            "there is nothing in this traffic that it could change; "
            "it changes streams only: request with stream=True; "
            f"what it does: {tool_id_empty().summary}",
        ),
        ("rate_limit", [EMBEDDED], "the test requested no chat completion"),
        ("2*ok, rate_limit", [GOOD, GOOD, EMBEDDED], "its turn did not come in 2 chat completions"),
        (
            "ok, cut",
            [LIVE, LIVE],
            "what a server responds is not changed, only what a recording or a mock does",
        ),
    ],
)
def test_a_plan_of_which_nothing_happened_is_skipped(
    plan: str, exchanges: list[Exchange], why: str
) -> None:
    run = Run()
    run.recorder.faults = idle = Plan(plan)
    run.recorder.exchanges = exchanges
    with pytest.raises(pytest.skip.Exception) as caught:
        run.checks.call_passed()
    assert str(caught.value) == f"{plan}: {why}"
    assert run.recorder.saved == 1
    idle.done(rate_limit())
    with not_skipped():
        run.checks.call_passed()


def test_a_plan_may_have_nothing_that_happens() -> None:
    run = Run()
    for plan in (Plan(), Plan("ok")):
        run.recorder.faults = plan
        with not_skipped():
            run.checks.call_passed()
    run.recorder.faults = Plan("cut")  # after a plan that was carried out
    run.recorder.exchanges = [replace(GOOD, fault="rate_limit")]
    with not_skipped():
        run.checks.call_passed()


@contextmanager
def not_skipped() -> Iterator[None]:
    try:
        yield
    except pytest.skip.Exception as error:
        pytest.fail(f"skipped: {error}")


# -- what the run sums up ------------------------------------------------------------------------


def test_recordings_are_left_to_the_run() -> None:
    run = Run()
    run.recorder.written, run.recorder.unwritten = 3, 2
    run.checks.torn_down(ValueError())
    assert run.item.user_properties == [
        ("chatapi_recorded", [3, "c.yaml"]),
        ("chatapi_not_recorded", 2),
    ]
    nothing = Run()
    nothing.checks.torn_down(None)
    assert nothing.item.user_properties == []


def test_a_rerun_replaces_what_was_left_to_the_run() -> None:
    run = Run()
    run.recorder.unwritten = 2
    run.checks.torn_down(ValueError())
    run.recorder.written, run.recorder.unwritten = 2, 0
    run.checks.torn_down(None)
    assert run.item.user_properties == [("chatapi_recorded", [2, "c.yaml"])]


def test_what_could_not_be_written_needs_no_other_setting() -> None:
    run = Run()
    run.recorder.refuses, run.recorder.unwritten = True, 2
    assert failure(run.checks.call_passed) == "chatapi: c.yaml: not written"
    run.checks.torn_down(None)
    assert run.item.user_properties == []


# -- chatapi_config before the test has it -------------------------------------------------------


def item_that_sees(*definitions: object) -> Any:
    def getfixturedefs(name: str, node: object) -> object:
        return {"chatapi_config": definitions}[name]

    manager = SimpleNamespace(getfixturedefs=getfixturedefs)
    return SimpleNamespace(session=SimpleNamespace(_fixturemanager=manager))


def definition(result: object = None, scope: str = "module") -> SimpleNamespace:
    return SimpleNamespace(cached_result=result, scope=scope)


def test_the_definition_that_a_test_sees_says_what_is_set() -> None:
    far = definition(({"profile": "azure"}, 0, None), "session")
    near = definition(({"profile": "openai"}, 0, None))
    assert config_so_far(item_that_sees(far, near)) == {"profile": "openai"}
    assert config_so_far(item_that_sees(far, definition())) == {}  # not set up yet
    failed = definition((None, 0, (ValueError(), None)))
    assert config_so_far(item_that_sees(far, failed)) == {}
    assert config_so_far(SimpleNamespace(session=object())) == {}  # type: ignore[arg-type]
    assert config_scope(item_that_sees(far, near)) == "module"
    assert config_scope(item_that_sees(far)) == "session"
