"""The catalogue of faults: what each makes of good answers, their text form, plans and tables."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import zlib
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fault_answers import ANSWERS
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_chatapi import SettingError, faults
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.findings import LEVELS, Finding
from pytest_chatapi.contract.profiles import PROFILES
from pytest_chatapi.faults import CATALOGUE, SETS, Fault, Plan, parse, table
from pytest_chatapi.faults.body import Body
from pytest_chatapi.faults.fault import Entry, stream
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.interaction import Interaction

ENTRIES = [entry for entry in CATALOGUE.values() if entry.kind != "none"]
STREAMS = [name for name in ANSWERS if name.endswith(("stream", "usage"))]

# What an answer with more in it cannot but break as well, since a part of it is gone.
BESIDE = {
    "ends_early": {"stream-usage": {"T13"}, "two-stream": {"K01"}},
}

by_name = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def text_of(answer: Interaction) -> bytes:
    return b"".join(answer.pieces)


def applied(fault: Fault | str, name: str) -> Interaction | None:
    answer = ANSWERS[name]
    found = fault if isinstance(fault, Fault) else parse(fault)[0]
    return found.apply(answer, answer.request)


def must(fault: Fault | str, name: str) -> Interaction:
    changed = applied(fault, name)
    assert changed is not None
    return changed


def found(answer: Interaction, profile: str) -> list[Finding]:
    response = Response(
        answer.status,
        fold_headers(answer.headers),
        pieces=answer.pieces,
        cut=answer.cut,
        times=answer.times,
    )
    return check_exchange(Exchange(answer.request, response), profile).findings


# -- what a check finds --------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_are_good(name: str, profile: str) -> None:
    assert found(ANSWERS[name], profile) == []


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.finds is not None], ids=lambda entry: entry.name
)
def test_a_check_finds_what_the_catalogue_says(entry: Entry) -> None:
    assert entry.finds is not None
    seen = set()
    for sample in entry.samples:
        for name in ANSWERS:
            changed = applied(Fault(entry.name, sample), name)
            if changed is None:
                continue
            form = "stream" if name in STREAMS else "whole"
            if name.startswith("parallel") and "several" in entry.finds:
                form = "several"
            seen.add(form)
            codes, _, level = entry.finds[form].partition(": ")
            beside = BESIDE.get(entry.name, {}).get(name, set())
            assert {f.code for f in found(changed, "documented")} == {*codes.split(), *beside}, name
            levels = [f.level for f in found(changed, "compatible") if f.code not in beside]
            assert min(levels, key=LEVELS.index, default="silent") == (level or "silent"), name
    assert seen == set(entry.finds)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("azure_head_chunk", set()),
        ("azure_filter_chunk", set()),
        ("filtered_without_message", {"warning"}),
    ],
)
def test_azure_is_known_for_its_filter(name: str, level: set[str]) -> None:
    changed = applied(name, "stream") or must(name, "text")
    assert {finding.level for finding in found(changed, "azure")} == level


@by_name
def test_what_the_sdk_makes_of_it_is_told_for_what_can_be_changed(entry: Entry) -> None:
    forms = {
        "stream" if name in STREAMS else "whole"
        for sample in entry.samples
        for name in ANSWERS
        if applied(Fault(entry.name, sample), name) is not None
    }
    assert {form for form in entry.sdk if " " not in form} == forms


# -- what comes of an answer ---------------------------------------------------------------


@by_name
def test_an_answer_is_not_changed_in_place_and_each_piece_has_its_time(entry: Entry) -> None:
    for name, answer in ANSWERS.items():
        before = copy.deepcopy(answer)
        changed = applied(Fault(entry.name, entry.samples[0]), name)
        assert answer == before
        assert changed is None or changed != answer
        if changed is None or changed.times is None:
            assert changed is None or entry.alone
            continue
        assert len(changed.times) == len(changed.pieces)
        assert list(changed.times) == sorted(changed.times)
        assert all(changed.pieces)


def test_without_times_none_are_invented() -> None:
    answer = replace(ANSWERS["stream"], times=None)
    for entry in ENTRIES:
        changed = Fault(entry.name, entry.samples[0]).apply(answer, answer.request)
        assert changed is None or changed.times is None or entry.name == "stall", entry.name


@pytest.mark.parametrize(
    "name",
    [
        "parallel",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("parallel-stream", "stream-usage")),
    ],
)
def test_a_fault_meets_any_deviation_of_a_server(name: str) -> None:
    for first in SETS["compatible-servers"]:
        answer = applied(first, name)
        if answer is not None:
            for second in SETS["compatible-servers"] + SETS["resilience"]:
                second.apply(answer, answer.request)


@pytest.mark.parametrize(
    "answer",
    [
        Interaction(Request("POST", "/v1/chat/completions"), 500, pieces=[b'{"choices": []}']),
        Interaction(Request("POST", "/v1/chat/completions"), 200),
        Interaction(Request("POST", "/v1/chat/completions"), 204, pieces=[b" "]),
        None,
    ],
    ids=["error", "empty", "blank", "none"],
)
def test_where_there_is_no_good_answer_nothing_is_changed(answer: Interaction | None) -> None:
    request = Request("POST", "/v1/chat/completions")
    for entry in ENTRIES:
        changed = Fault(entry.name, entry.samples[0]).apply(answer, request)
        assert (changed is not None) == entry.alone, entry.name


@pytest.mark.parametrize(
    "body",
    [
        b"[1]",
        b"null",
        b"{",
        b'{"choices": null}',
        b'{"choices": [null, {"message": 1}, {"message": {"tool_calls": [1, {}]}}]}',
        b"data: [DONE]\n\n",
        b"data: {\n\n",
        b'data: {"choices": [1, {"delta": {"tool_calls": {"a": 1}}}]}\n\n',
        b": nothing\n\n",
        b'data: {"error": 1}\n\ndata: 1\n\n',
        b"[" * 100_000,
    ],
    ids=lambda body: body[:40].decode(),
)
def test_a_body_of_any_shape_is_survived(body: bytes) -> None:
    request = Request("POST", "/v1/chat/completions", body={"n": "x", "messages": 1})
    for entry in ENTRIES:
        Fault(entry.name, entry.samples[0]).apply(Interaction(request, 200, pieces=[body]), request)


NOTHING_TO_CHANGE = [
    ("tool_index_missing", "tools"),
    ("tool_index_missing", "stream"),
    ("tool_index_shared", "tools-stream"),
    ("tool_id_shared", "tools"),
    ("tool_type_missing", "text"),
    ("content_parts", "tools"),
    ("content_missing", "text"),
    ("usage_total_larger", "stream"),
    ("usage_unasked", "stream-usage"),
    ("usage_null", "stream-usage"),
    ("usage_on_choice", "stream"),
    ("named_tool_stop", "tools"),
    ("done_missing", "text"),
    ("json_as_stream", "stream"),
    ("stream_as_json", "text"),
    ("sse_crlf", "text"),
    ("cut(chunks=1)", "text"),
    ("cut(chunks=0)", "text"),
    ("cut(chunks=5)", "stream"),
    ("cut(bytes=100000)", "text"),
    ("ends_early(chunks=4)", "stream"),
    ("stall(chunks=9)", "stream"),
    ("choice_index_counts_tokens", "two-stream"),
    ("ok", "text"),
]


@pytest.mark.parametrize(("text", "name"), NOTHING_TO_CHANGE)
def test_none_where_there_is_nothing_to_change(text: str, name: str) -> None:
    assert applied(text, name) is None


@settings(deadline=None)
@given(st.data())
def test_the_pieces_of_an_answer_do_not_matter(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from([e for e in ENTRIES if e.kind == "deviation"]))
    answer = ANSWERS[data.draw(st.sampled_from(list(ANSWERS)))]
    body = text_of(answer)
    ends = sorted({*data.draw(st.sets(st.integers(1, len(body)), max_size=6)), len(body)})
    starts = [0, *ends]
    again = replace(
        answer,
        pieces=[body[a:b] for a, b in zip(starts, ends, strict=False)],
        times=[float(at) for at in range(len(ends))],
    )
    one, other = (Fault(entry.name).apply(a, a.request) for a in (answer, again))
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert text_of(one) == text_of(other)
        assert entry.alone or set(other.times or ()) <= set(again.times or ())


def test_what_is_not_changed_stays_as_it_came() -> None:
    body = (
        b": hello\r\n\r\n"
        b'id: 7\r\ndata:{ "id": "a", "choices" : [{"index": 0, "delta": {"content": "\xc3\xa9"},'
        b' "finish_reason": null}]}\r\n\r\n'
        b'event: x\r\ndata:{"id": "a", "choices": [{"index": 0, "delta": {},'
        b' "finish_reason": "stop"}]}\r\n\r\n'
        b"data:[DONE]\r\n\r\n"
    )
    answer = replace(ANSWERS["stream"], pieces=[body], times=[0.5])
    changed = faults.finish_reason_unknown(reason="eos").apply(answer, answer.request)
    assert changed is not None
    head, _, tail = body.partition(b"event: x\r\n")
    assert changed.pieces == [
        b": hello\r\n\r\n",
        head.removeprefix(b": hello\r\n\r\n"),
        b'event: x\r\ndata:{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"eos"}]}'
        b"\r\n\r\n",
        b"data:[DONE]\r\n\r\n",
    ]
    assert tail.endswith(changed.pieces[3])
    assert changed.times == [0.5] * 4


def test_a_text_that_utf8_cannot_hold_is_escaped() -> None:
    body = b'{"id": "a", "choices": [{"index": 0, "message": {"content": "\\ud83d"}}]}'
    answer = replace(ANSWERS["text"], pieces=[body], times=[0.5])
    changed = faults.id_empty().apply(answer, answer.request)
    assert changed is not None
    assert text_of(changed).decode() == (
        '{"id":"","choices":[{"index":0,"message":{"content":"\\ud83d"}}]}'
    )


def test_headers_of_the_wire_do_not_outlive_the_body() -> None:
    headers = [("Content-Length", "12"), ("content-type", "application/json"), ("x-a", "1")]
    answer = replace(ANSWERS["text"], headers=headers)
    for fault in (faults.id_empty(), faults.cut(bytes=9), faults.json_as_stream()):
        changed = fault.apply(answer, answer.request)
        assert changed is not None
        assert {name for name, _ in changed.headers} == {"content-type", "x-a"}


# -- on its way ----------------------------------------------------------------------------


def test_a_cut_after_chunks_and_bytes() -> None:
    pieces = ANSWERS["stream"].pieces
    for text, expected in [
        ("cut(chunks=3)", b"".join(pieces[:3])),
        ("cut(chunks=0)", b""),
        ("cut", pieces[0]),
        ("cut(bytes=300)", text_of(ANSWERS["stream"])[:300]),
        ("cut(chunks=1, bytes=30)", pieces[0][:30]),
        ("cut(chunks=1, bytes=3000)", pieces[0]),
    ]:
        changed = must(text, "stream")
        assert text_of(changed) == expected, text
        assert (changed.cut, changed.error) == ("server", "RemoteProtocolError")


@pytest.mark.parametrize("name", ["text", "stream", "tools", "tools-stream"])
def test_a_cut_inside_a_character(name: str) -> None:
    body = text_of(must("cut_mid_character", name))
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        body.decode()
    assert len(body) > 100


def test_a_cut_inside_a_character_that_is_there() -> None:
    answer = replace(ANSWERS["text"], pieces=["{'é'}".encode()], times=[0.1])
    changed = faults.cut_mid_character().apply(answer, answer.request)
    assert changed is not None
    assert text_of(changed) == "{'é".encode()[:-1]


def test_a_cut_inside_json() -> None:
    body = text_of(must("cut_mid_json", "stream"))
    first = ANSWERS["stream"].pieces[0]
    assert body.startswith(first + b'data: {"')
    assert body[-1:] not in (b"\n", b"}")


def test_gzip_that_ends_early() -> None:
    changed = must("gzip_cut", "stream")
    assert ("content-encoding", "gzip") in changed.headers
    unzip = zlib.decompressobj(31)
    plain = unzip.decompress(text_of(changed))
    assert plain.startswith(b"".join(ANSWERS["stream"].pieces[:2]))
    assert text_of(ANSWERS["stream"]).startswith(plain)
    assert not unzip.eof
    assert changed.cut is None


def test_a_stall_counts_from_the_chunk() -> None:
    changed = must("stall(seconds=9.5, chunks=2)", "stream")
    assert (changed.times, changed.stalls) == ([0, 0, 9.5, 9.5, 9.5], True)
    changed = must("stall(seconds=9)", "text")
    assert (changed.times, changed.stalls) == ([9], True)


@pytest.mark.parametrize(("now", "seconds"), [("00.000", 20), ("00.001", 21), ("00.999", 21)])
def test_a_date_to_retry_after_is_never_too_early(
    now: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: f"2026-11-25T10:45:{now}Z")
    date = dict(must("rate_limit_date(retry_after=20)", "text").headers)["retry-after"]
    assert date == f"Wed, 25 Nov 2026 10:45:{seconds} GMT"


def test_no_response_names_the_error_of_the_client() -> None:
    errors = {}
    for entry in ENTRIES:
        if entry.kind == "connection":
            changed = must(Fault(entry.name), "text")
            assert (changed.status, changed.pieces, changed.headers) == (0, (), ())
            assert changed.reason
            assert issubclass(getattr(httpx, changed.error), httpx.TransportError)
            errors[entry.name] = changed.error
    assert errors.items() >= {
        ("connect_error", "ConnectError"),
        ("connect_timeout", "ConnectTimeout"),
        ("read_timeout", "ReadTimeout"),
        ("reset", "ReadError"),
        ("disconnect", "RemoteProtocolError"),
    }


# -- names, parameters, text ---------------------------------------------------------------


@by_name
def test_each_is_a_function_with_a_sentence(entry: Entry) -> None:
    function = getattr(faults, entry.name)
    assert function is entry.function
    assert entry.summary.endswith(".")
    assert len(entry.summary) < 100
    assert list(inspect.signature(function).parameters) == list(entry.defaults)
    fault = function(**entry.samples[0])
    assert fault == Fault(entry.name, entry.samples[0])
    assert (fault.alone, fault.retried, fault.lasting) == (
        entry.alone,
        entry.retried,
        entry.lasting,
    )
    assert (fault.kind, fault.summary) == (entry.kind, entry.summary)
    assert pickle.loads(pickle.dumps(fault)) == fault
    assert len({fault, function(**entry.samples[0])}) == 1


def test_kinds() -> None:
    for entry in ENTRIES:
        assert entry.alone == (
            entry.kind in ("status", "connection")
            or (entry.name[:6] == "error_" and entry.kind == "deviation")
        ), entry.name
        assert entry.lasting == (entry.kind == "deviation" and not entry.alone), entry.name
        assert not (entry.lasting and entry.retried), entry.name
    assert not faults.stall().retried
    assert faults.cut(chunks=1).retried


def values(entry: Entry, name: str) -> st.SearchStrategy[Any]:
    least = entry.least.get(name, 0)
    kind = entry.types[name]
    if kind is str:
        return st.text()
    if kind is float:
        return st.floats(least, allow_infinity=False, allow_nan=False) | st.integers(int(least))
    return st.integers(int(least)) | st.just(entry.defaults[name])


@st.composite
def some_fault(draw: st.DrawFn) -> Fault:
    with_parameters = [entry for entry in CATALOGUE.values() if entry.defaults]
    entry = draw(st.sampled_from([*CATALOGUE.values()]) | st.sampled_from(with_parameters))
    names = draw(
        st.lists(st.sampled_from([*entry.defaults]), unique=True) if entry.defaults else st.just([])
    )
    return Fault(entry.name, {name: draw(values(entry, name)) for name in names})


@settings(deadline=None)
@given(st.lists(some_fault(), min_size=1, max_size=4))
def test_text_and_parse_are_inverse(several: list[Fault]) -> None:
    assert parse(", ".join(map(str, several))) == several
    assert [parse(str(fault)) for fault in several] == [[fault] for fault in several]


@settings(deadline=None)
@given(st.text(alphabet="abc_(=)*-,'\"\\ 1\n[{"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_the_text_of_a_fault_is_short() -> None:
    assert str(faults.rate_limit(retry_after=2)) == "rate_limit(retry_after=2)"
    assert str(faults.rate_limit()) == "rate_limit"
    assert str(faults.cut(bytes=100)) == "cut(bytes=100)"
    assert str(faults.finish_reason_unknown(reason="eos")) == "finish_reason_unknown(reason='eos')"
    assert faults.rate_limit() == faults.rate_limit(retry_after=1)


def test_repetitions_and_sets() -> None:
    assert parse("2*rate_limit(retry_after=1), cut(chunks=3), ok,") == [
        faults.rate_limit(),
        faults.rate_limit(),
        faults.cut(chunks=3),
        faults.ok(),
    ]
    assert parse("1*ok") == [faults.ok()]
    assert parse("1000*ok") == [faults.ok()] * 1000
    assert parse("resilience") == SETS["resilience"]
    assert parse("ok,\n compatible-servers") == [faults.ok(), *SETS["compatible-servers"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate_limt", "unknown fault 'rate_limt': did you mean rate_limit?"),
        ("rate_limt(retry_after=1)", "unknown fault 'rate_limt': did you mean rate_limit?"),
        ("compatible-server", "unknown fault 'compatible-server': did you mean compatible-servers"),
        ("qqqqqq", "unknown fault 'qqqqqq': `chatapi faults` lists them"),
        ("cut(chunk=3)", "fault cut has no parameter 'chunk': did you mean chunks?"),
        ("forbidden(a=1)", "fault forbidden has no parameter 'a': it has none"),
        ("cut(chunks=-1)", "fault cut: chunks must be a whole number of at least 0, got -1"),
        ("cut(chunks=1.5)", "fault cut: chunks must be a whole number of at least 0, got 1.5"),
        ("cut(chunks=True)", "fault cut: chunks must be a whole number of at least 0, got True"),
        ("rate_limit(retry_after=0)", "retry_after must be a whole number of at least 1, got 0"),
        ("rate_limit(retry_after=True)", "a whole number of at least 1, got True"),
        ("rate_limit(retry_after=None)", "a whole number of at least 1, got None"),
        ("stall(seconds=1e999)", "fault stall: seconds must be a number of at least 0, got inf"),
        ("stall(seconds='9')", "fault stall: seconds must be a number of at least 0, got '9'"),
        ("finish_reason_unknown(reason=1)", "reason must be a string, got 1"),
        ("0*ok", "'0 * ok': repeat a fault 1 to 1000 times"),
        ("x*ok", "'x * ok': repeat a fault 1 to 1000 times"),
        ("1001*ok", "repeat a fault 1 to 1000 times"),
        ("cut(3)", "'cut(3)' is not a list of faults: separate names with commas"),
        ("cut(chunks=x)", "is not a list of faults"),
        ("cut(chunks=3", "is not a list of faults"),
        ("", "'' is not a list of faults"),
        ("(" * 9000, "is not a list of faults"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_functions_refuse_the_same() -> None:
    with pytest.raises(SettingError, match="chunks must be a whole number"):
        faults.cut(chunks=-1)


# -- plans ---------------------------------------------------------------------------------

CHAT = Request("POST", "https://api.example.org/v1/chat/completions?x=1")
TEXT, STREAM = ANSWERS["text"], ANSWERS["stream"]


def play(plan: Plan, answer: Interaction, request: Request = CHAT) -> str:
    """One answer, as the recorder does it: the fault that struck, or nothing."""
    fault = plan.next(request)
    if fault is None or fault.apply(answer, answer.request) is None:
        return ""
    plan.done(fault)
    return fault.name


def test_steps_come_in_order() -> None:
    plan = Plan("2*rate_limit, cut(chunks=3)", faults.ok(), faults.error_event())
    limit, event = faults.rate_limit(), faults.error_event()
    assert plan.left == [limit, limit, faults.cut(chunks=3), event]
    came = [play(plan, STREAM) for _ in range(6)]
    assert came == ["rate_limit", "rate_limit", "cut", "", "error_event", ""]
    assert plan.happened == [limit, limit, faults.cut(chunks=3), event]
    assert plan.left == []


def test_other_requests_pass() -> None:
    plan = Plan("server_error")
    for method, path in [
        ("GET", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/chat/completions/chatcmpl-1"),
    ]:
        assert play(plan, TEXT, Request(method, f"https://x{path}")) == ""
    assert play(plan, TEXT) == "server_error"


def test_a_step_waits_for_an_answer_that_it_can_change() -> None:
    plan = Plan("cut(chunks=1), ok, server_error")
    assert [play(plan, answer) for answer in (TEXT, STREAM, TEXT, TEXT)] == [
        "",
        "cut",
        "",
        "server_error",
    ]


def test_a_lasting_fault_goes_on_when_it_is_the_last() -> None:
    plan = Plan("id_missing, sse_crlf")
    came = [play(plan, answer) for answer in (STREAM, STREAM, TEXT, STREAM)]
    assert came == ["id_missing", "sse_crlf", "", "sse_crlf"]
    assert (len(plan.happened), plan.left) == (3, [])


def test_a_lasting_fault_that_has_not_come_is_left() -> None:
    plan = Plan("2*id_missing")
    play(plan, TEXT)
    assert plan.left == [faults.id_missing()]
    play(plan, TEXT)
    assert plan.left == []


def test_a_wrong_step_is_refused_at_once() -> None:
    with pytest.raises(SettingError, match="did you mean overloaded"):
        Plan("ok", "overlaoded")


# -- a new one ---------------------------------------------------------------------------------


def test_a_new_fault_is_one_function() -> None:
    @stream(sdk={"stream": "late"})
    def slow_start(body: Body, /, *, seconds: float = 2.0) -> Interaction | None:
        """The stream starts late.

        This is not in the table.
        """
        return body.arriving([body.data], [seconds]) if body.streamed else None

    try:
        assert parse("slow_start, 2*slow_start(seconds=3)") == [
            slow_start(),
            *[slow_start(seconds=3)] * 2,
        ]
        assert must("slow_start(seconds=3.5)", "stream").times == [3.5]
        assert applied("slow_start", "text") is None
        with pytest.raises(SettingError, match="seconds must be a number of at least 0, got -1"):
            slow_start(seconds=-1)
        with pytest.raises(SettingError, match=r"slow_start takes keyword .* slow_start\(seconds="):
            slow_start(3)  # type: ignore[call-arg]
        row = "| `slow_start(seconds=2.0)` | The stream starts late. | late |"
        assert row in table().splitlines()
        assert slow_start().kind == "stream"
        assert slow_start().retried
    finally:
        del CATALOGUE["slow_start"]


# -- sets and tables -----------------------------------------------------------------------


def test_sets_hold_every_fault_once() -> None:
    resilience = {fault.name for fault in SETS["resilience"]}
    servers = {fault.name for fault in SETS["compatible-servers"]}
    assert resilience == {e.name for e in ENTRIES if e.kind != "deviation"}
    assert servers == {e.name for e in ENTRIES if e.kind == "deviation"}
    assert {faults.cut(), faults.cut(bytes=400)} <= set(SETS["resilience"])


def test_the_table_has_a_row_for_each() -> None:
    rows = re.findall(r"^\| `(\w+)", table(), re.M)
    assert sorted(rows) == sorted(entry.name for entry in ENTRIES)
    for row in (
        "| `rate_limit(retry_after=1)` | 429 with `Retry-After` in seconds."
        " | RateLimitError after 3 tries |",
        "| `usage_missing` | There is no `usage`, not even in a stream that requested it"
        " (Cloudflare, Ollama). | `usage` is None | whole: U05: warning; streamed: T13: error |",
        "| `sse_crlf` | Lines end with CR LF, which is legal (Perplexity, AI21). | unnoticed"
        " | legal |",
    ):
        assert row in table().splitlines()


def test_a_fault_says_what_the_sdk_makes_of_it() -> None:
    assert faults.rate_limit().sdk == "RateLimitError after 3 tries"
    assert faults.cut(chunks=1).sdk == (
        "whole: APIConnectionError after 3 tries; streamed: APIConnectionError in mid-stream"
        " (httpx.RemoteProtocolError in mid-stream in openai 2)"
    )


def test_methods_of_unittest_are_refused(run: Any) -> None:
    test = """
import unittest

@pytest.mark.chatapi_faults("rate_limit", "server_error")
class TestSync(unittest.TestCase):
    def test_a(self): ...

class TestAsync(unittest.IsolatedAsyncioTestCase):
    @pytest.mark.chatapi_faults("rate_limit")
    async def test_a(self): ...

class TestOther(unittest.TestCase):
    def test_a(self): ...

@pytest.mark.chatapi_faults("rate_limit")
class TestPlain:
    def test_a(self, chatapi_mock):
        chatapi_mock.reply("Hi")
        with pytest.raises(openai.RateLimitError):
            openai.OpenAI(max_retries=0).chat.completions.create(**ask())
"""
    result = run(test)
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.chatapi_faults cannot run a method of the unittest.TestCase "
            f"{name} once for each fault: use a test function, or a class that is not a "
            "unittest.TestCase"
            for name in ("TestSync", "TestAsync")
        ]
    )
