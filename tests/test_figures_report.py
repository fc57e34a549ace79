"""The report of figures: rows and back, sums, the schema, as text, and `chatapi figures`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.cli.main import main
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.errors import ReadError
from pytest_chatapi.figures.frames import Frames
from pytest_chatapi.figures.measure import Figures, Form, Timing, Tokens
from pytest_chatapi.figures.price import UNKNOWN, Prices, Rates
from pytest_chatapi.figures.report import (
    Score,
    figures_of_row,
    merged,
    read_report,
    report_of,
    row_of,
)
from pytest_chatapi.figures.summary import Priced
from pytest_chatapi.figures.text import text_of

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "schemas" / "figures.json").read_text())
EXAMPLE = ROOT / "docs" / "example"
PRICES = Prices({"m*": Rates(2.0, 8.0)})
RUN = {"kind": "pytest", "started": "2026-01-31T12:00:00+00:00"}


def valid(report: Any) -> Any:
    """The report as it is read back."""
    report = json.loads(json.dumps(report, allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def figures(**more: Any) -> Figures:
    values: dict[str, Any] = {
        "source": "live",
        "model": "m",
        "requested_model": "m",
        "host": "api.example.org",
        "is_stream": False,
        "status": 200,
        "tokens": Tokens(1000, 100, 1100),
        "timing": Timing(),
    }
    return Figures(**{**values, **more})


COUNTS = st.none() | st.integers(0, 10**9)
SECONDS = st.none() | st.floats(0, 1e6)
ANY_FIGURES = st.builds(
    Figures,
    source=st.sampled_from(["live", "recorded", "replayed", "mock"]),
    model=st.text(),
    requested_model=st.text(),
    host=st.text(),
    is_stream=st.booleans(),
    status=st.sampled_from([0, 200, 429]),
    tokens=st.builds(Tokens, *[COUNTS] * 8),
    timing=st.builds(
        Timing,
        total=SECONDS,
        first_token=SECONDS,
        tokens_per_second=SECONDS,
        first_chunk_tokens=COUNTS,
        marks=st.lists(st.tuples(st.floats(0, 9), st.sampled_from(["role", "tool"]))).map(tuple),
    ),
    server_tokens_per_second=SECONDS,
    wire_usd=SECONDS,
    test=st.text(),
    form=st.builds(Form, tool_calls=st.integers(0, 9), cut=st.integers(0, 9)),
    findings=st.just(({"code": "U02"},)),
    response_id=st.text(),
    finishes=st.lists(st.text()).map(tuple),
)


@given(ANY_FIGURES)
def test_a_row_is_read_back(one: Figures) -> None:
    row = json.loads(json.dumps(row_of(Priced(one, PRICES.cost(one)))))
    assert figures_of_row(row) == one


def test_what_is_not_known_is_null() -> None:
    row = row_of(Priced(figures(tokens=Tokens(), is_stream=True), UNKNOWN))
    known = "source model requested_model host stream status form findings attributes"
    texts = "test organization project tier unmeasured"  # empty
    assert {name for name, value in row.items() if value is not None} == {
        *f"{known} {texts}".split()
    }


def test_a_report() -> None:
    slow = Timing(total=9.0, first_token=3.0, marks=((1.0, "role"), (3.0, "answer")))
    exchanges = [
        figures(test="t::a", source="replayed", timing=slow, is_stream=True),
        figures(
            test="t::a",
            timing=Timing(first_token=2.0),
            form=Form(answers=2, tool_calls=4, valid_tool_calls=3, cut=1),
        ),
        figures(model="x", test="t::b", tokens=Tokens()),
    ]
    scores = [Score("t::a", "s", 1.0), Score("t::a", "s", 0.5), Score("t::b", "s", 0.0, "x")]
    run = {**RUN, "skipped": {"embeddings": 2}}
    report = valid(report_of(exchanges, PRICES, run, {"t::a": "passed"}, scores))
    assert report["run"]["total_tokens"] == 2200
    assert (report["run"]["spent_usd"], report["run"]["saved_usd"]) == (0.0028, 0.0028)
    assert [row["model"] for row in report["exchanges"]] == ["m", "m", "x"]
    assert report["streams"] == [{"exchange": 0, "marks": [[1.0, "role"], [3.0, "answer"]]}]
    assert not any("marks" in row for row in report["exchanges"])
    one, other = report["models"]
    assert one["form"]["valid_tool_calls_per_1000"] == 750
    assert (one["form"]["cut_per_1000"], one["form"]["valid_json_per_1000"]) == (500, None)
    assert one["scores"]["s"]["n"] == 2
    assert one["scores"]["s"]["mean"] == 0.75
    assert other["scores"]["s"]["low"] == 0
    first, second = report["tests"]
    assert (first["outcome"], first["ttft_seconds"], first["scores"]) == (
        "passed",
        3.0,
        {"s": 0.75},
    )
    assert (second["outcome"], second["unreported"], second["total_tokens"]) == (None, 1, None)


def test_who_was_billed() -> None:
    exchanges = [figures(organization="acme"), figures(), figures(organization="acme")]
    exchanges.append(figures(organization="acme", project="p", tokens=Tokens()))
    report = valid(report_of(exchanges, PRICES, RUN))
    one, other = report["accounts"]
    assert (one["organization"], one["project"], one["total_tokens"]) == ("acme", "", 2200)
    assert (other["project"], other["total_tokens"], other["unreported"]) == ("p", None, 1)
    lines = text_of(report).split("\n\n")[1].splitlines()
    assert [line.split() for line in lines] == [
        ["account", "calls", "prompt", "output", "USD"],
        ["acme", "2", "2,000", "200", "0.0056"],
        ["acme,", "p", "1"],
    ]


def test_a_report_of_nothing() -> None:
    report = valid(report_of([], PRICES, RUN))
    assert (report["run"]["exchanges"], report["run"]["usd"]) == (0, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not a report: it is not JSON"),
        ("[]", "is not a report of figures: make one with --chatapi-report"),
        (
            '{"version": 2, "run": {}, "models": [], "tests": [], "exchanges": []}',
            "is a report of version 2, and this reads 1",
        ),
        (
            json.dumps({**report_of([], PRICES, RUN), "tests": [{"test": "t"}]}),
            "is not as schemas/figures.json says: expected string or null",
        ),
        (
            json.dumps({**report_of([], PRICES, RUN), "streams": [{"exchange": 0, "marks": []}]}),
            "there is no exchange 0",
        ),
    ],
)
def test_what_is_not_a_report(tmp_path: Path, text: str, why: str) -> None:
    (path := tmp_path / "r.json").write_text(text)
    with pytest.raises(ReadError) as caught:
        read_report(path)
    assert caught.value.reason == why


def test_a_report_is_read(tmp_path: Path) -> None:
    report = report_of([figures()], PRICES, RUN)
    (path := tmp_path / "r.json").write_text(json.dumps(report))
    assert read_report(path) == valid(report)
    with pytest.raises(ReadError, match="cannot be read"):
        read_report(tmp_path / "other.json")


def test_reports_are_merged() -> None:
    timing = Timing(total=1.0, marks=((0.5, "answer"),))
    one = report_of([figures(), figures(model="m-2", timing=timing)], PRICES, RUN)
    run = {**RUN, "kind": "recordings", "skipped": {"embeddings": 1}}
    other = report_of([figures(test="t", timing=timing)], PRICES, run, {"t": "failed"})
    other["tests"][0]["scores"] = {"s": 0.5}
    # What something cost then stays, whatever the price is now.
    report = valid(merged([one, other, other], Prices()))
    assert report["run"]["usd"] == pytest.approx(4 * 0.0028)
    assert (report["run"]["kind"], report["run"]["skipped"]) == ("recordings", {"embeddings": 2})
    assert [stream["exchange"] for stream in report["streams"]] == [1, 2, 3]
    (test,) = report["tests"]
    assert (test["outcome"], test["exchanges"], test["scores"]) == ("failed", 2, {"s": 0.5})
    assert merged([one], PRICES)["run"]["kind"] == "pytest"
    assert "marks" not in one["exchanges"][1]  # the reports are as they were


def test_only_the_slowest_streams_of_a_model_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def timing(seconds: float) -> Timing:
        return Timing(total=seconds, marks=((seconds, "answer"),))

    exchanges = [figures(timing=timing(seconds)) for seconds in (1.0, 5.0, 2.0, 4.0, 3.0)]
    exchanges.append(figures(model="x", timing=timing(0.1)))
    streams = report_of(exchanges, PRICES, RUN)["streams"]
    assert [stream["exchange"] for stream in streams] == [1, 3, 4, 5]
    monkeypatch.setattr("pytest_chatapi.figures.report._MARKS", 2)
    long = Timing(total=1.0, marks=((0.1, "role"), (0.2, "answer"), (0.3, "answer")))
    (stream,) = report_of([figures(timing=long)], PRICES, RUN)["streams"]
    assert stream["marks"] == [[0.1, "role"], [0.2, "answer"]]


def test_names_of_open_telemetry() -> None:
    one = figures(
        host="me.openai.azure.com:443",
        tokens=Tokens(10, 5, 15, cached=2, cache_write=3, reasoning=4),
        timing=Timing(first_chunk=0.5),
        response_id="c-1",
        finishes=("stop",),
        tier="flex",
    )
    (row,) = report_of(
        [
            one,
        ],
        PRICES,
        RUN,
    )["exchanges"]
    assert row["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "server.address": "me.openai.azure.com",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": False,
        "gen_ai.response.model": "m",
        "gen_ai.response.id": "c-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 4,
        "gen_ai.openai.response.service_tier": "flex",
    }


# -- frames --------------------------------------------------------------------------------------

KEY = "sk-proj-" + "aB3dE5gH7jK9mN1p" * 3


def frames(*exchanges: Exchange) -> list[dict[str, Any]]:
    shown = Frames()
    return [f for one in exchanges for f in shown.of(one, check_exchange(one).findings)]


def exchange(**usage: int) -> Exchange:
    body = {"id": "c", "object": "chat.completion", "created": 1790000000, "model": "m"}
    message = {"role": "assistant", "content": KEY, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body["choices"] = [choice]  # type: ignore[assignment]
    body["usage"] = usage  # type: ignore[assignment]
    return Exchange(Request("POST", "https://x.test/v1/chat/completions"), Response(body=body))


def test_a_frame_is_the_object_around_a_place() -> None:
    wrong = exchange(prompt_tokens=1, completion_tokens=2, total_tokens=4)
    found = [f for f in frames(*[wrong] * 5) if f["code"] == "U02"]
    frame = '{"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 4}'
    assert [f.get("frame") for f in found] == [frame] * 3 + [None] * 2


def test_a_frame_of_a_request() -> None:
    wrong = exchange()
    assert wrong.request
    wrong.request.body = {"model": "m", "messages": [{"role": "user"}], "n": "x"}
    (frame,) = (f["frame"] for f in frames(wrong) if f["path"] == "$.n")
    assert frame == '{"model": "m", "messages": [{"role": "user"}], "n": "x"}'


def test_a_frame_of_a_stream_is_the_chunk_without_secrets() -> None:
    chunks = ['{"error":\n\n'] + [
        f'data: {{"id":"{i}","object":"chat.completion.chunk","created":1790000000,"model":"m",'
        f'"choices":[{{"index":0,"delta":{{"role":"assistant","content":"{KEY}"}}}}]}}\n\n'
        for i in range(2)
    ]
    response = Response(
        200, {"content-type": "text/event-stream"}, pieces=[c.encode() for c in chunks]
    )
    found = frames(Exchange(Request("POST", "https://x.test/v1/chat/completions"), response))
    (frame,) = (f["frame"] for f in found if f["code"] == "T01")
    assert '"id\\":\\"1' in frame.replace('"id":"1', '"id\\":\\"1')
    assert KEY not in frame
    assert not any(KEY in json.dumps(f) for f in found)


# -- text ----------------------------------------------------------------------------------------


def test_the_text() -> None:
    timing = Timing(first_token=0.25, tokens_per_second=40.0, stalls=1, longest_gap=2.5)
    exchanges: list[Figures] = [
        figures(
            is_stream=True,
            timing=timing,
            server_tokens_per_second=60.0,
            form=Form(1, 3, 2, 0, 0, 1, 1),
            findings=({"level": "error"}, {"level": "note"}),
        ),
        figures(source="replayed", is_stream=True, timing=Timing(unmeasured="no times")),
        figures(model="unpriced\x1b[2J", tokens=Tokens(7, None, 7)),
        figures(model="x" * 90, tokens=Tokens(), status=429),
        figures(model="silent", tokens=Tokens()),
    ]
    prices = Prices({"m": Rates(2.0, 8.0)}, {"m": {"value": 61.5, "source": "Somebody, 2026"}})
    unread = [{"file": name, "why": "is empty"} for name in ("a", "b", "b", "c", "d")]
    run = {**RUN, "skipped": {"responses": 1, "embeddings": 2}, "unread": unread}
    scores = [Score("t", "right", of, "m") for of in (1.0, 0.5)]
    report = report_of(exchanges, prices, run, scores=scores)
    assert text_of(report) == (
        """\
model                       calls  prompt  output      USD  USD/M    TTFT  tok/s
m                               2   2,000     200   0.0056   2.55  0.25 s     40
unpriced?[2J                    1       7
xxxxxxxxxxxxxxxxxxxxxxx...      1
silent                          1
total                           5  2,007+    200+  0.0056+

model                 valid calls  cut  refused  findings  index
m                             2/3    1        1         1   61.5

5 exchanges of 4 models: 4 live, 1 replayed; 1 failed
spent 0.0028 USD, saved 0.0028 USD (spent live, saved by replay)
1 response reported no usage
1 response at an unknown price: unpriced?[2J; set it in [tool.chatapi.prices]
+ marks sums that leave out what is not known
1 stream without tok/s: no times
tok/s of 1 stream: the first chunk is counted as one token, as its own count is
  not reported
1 stream stalled, for up to 2.5 s
warning: m: the server's own tok/s is over a fifth from the measured one in 1
  stream (medians 60 and 40)
m: right 0.75 (0.20-0.97, n=2)
index: Somebody, 2026
3 exchanges skipped: 2 embeddings, 1 responses
4 files not read: a, b, c and 1 more; --format json says why
"""
    )


# -- the command ---------------------------------------------------------------------------------


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", str(EXAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["lit", "2", "42", "104", "0.02", "s"]
    assert lines[4].split() == ["lit", "0/1", "3"]
    assert lines[6:8] == [
        "2 exchanges of 1 model",
        "2 responses at an unknown price: lit; set it in [tool.chatapi.prices]",
    ]
    assert all(len(line) <= 80 for line in lines)
    assert main(["figures", str(EXAMPLE), "--format", "json"]) == 0
    report = valid(json.loads(capsys.readouterr().out))
    (model,) = report["models"]
    assert (model["name"], model["total_tokens"], model["usd"]) == ("lit", 146, None)
    codes = {f["code"]: f for row in report["exchanges"] for f in row["findings"]}
    assert codes["K02"]["frame"].startswith('{"prompt_tokens"')


def test_settings_recordings_reports_and_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chatapi.toml").write_text(
        "exclude = ['old']\nignore = ['S10']\nper-file-ignores = {'a.yaml' = ['K02']}\n"
        "[prices.lit]\ninput = 1\noutput = 10\n"
    )
    (cassette, *_) = sorted(EXAMPLE.rglob("test_short_answer.yaml"))
    for name in ("in/a.yaml", "in/old/b.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(cassette.read_bytes())
    Path("in/run.json").write_text(json.dumps(report_of([figures()], PRICES, RUN)))
    Path("in/notes.json").write_text("[]")
    Path("in/log.bin").write_text("")
    assert main(["figures", "in", "--format", "json", "-o", "out.json"]) == 0
    report = valid(json.loads(Path("out.json").read_text()))
    assert [model["name"] for model in report["models"]] == ["m", "lit"]
    lit = report["models"][1]
    assert [row["findings"] for row in report["exchanges"] if row["model"] == "lit"] == [[]]
    assert lit["usd"] == pytest.approx((lit["prompt_tokens"] + 10 * lit["completion_tokens"]) / 1e6)
    assert {one["file"]: one["why"] for one in report["run"]["unread"]} == {
        "in/log.bin": "has another ending",
        "in/notes.json": "not a recording in a known format (docs/formats.md lists them)",
        "in/old/b.yaml": "is excluded",
    }
    assert main(["figures", "in/run.json", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["started"] == RUN["started"]
    sorted_report = json.loads(Path("in/run.json").read_text())
    Path("sorted.json").write_text(json.dumps(sorted_report, sort_keys=True))
    assert main(["figures", "sorted.json", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == sorted_report
    # A file that is named is read, and an error if it is nothing known.
    assert main(["figures", "in/old/b.yaml", "in/notes.json", "--format", "json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["run"]["exchanges"] == 1
    assert captured.err.startswith("chatapi: in/notes.json: not a recording in a known format")
    Path("chatapi.toml").write_text("map = 'response=$.a.b'")
    body = {"object": "chat.completion", "model": KEY}
    Path("log.json").write_text(json.dumps({"a": {"b": body}}))
    assert main(["figures", "log.json", "--format", "json"]) == 0
    assert KEY not in capsys.readouterr().out
    assert main(["figures", "in", "-o", "nowhere/out.json"]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_nothing_to_show(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("nothing")
    assert main(["figures", "."]) == 2
    captured = capsys.readouterr()
    assert captured.err == "chatapi: .: holds no chat completions\n"
    assert captured.out == "1 file not read: notes.txt; --format json says why\n"
    Path("new.json").write_text(
        '{"version": 2, "run": {}, "models": [], "tests": [], "exchanges": []}'
    )
    assert main(["figures", "new.json"]) == 2
    assert "new.json: is a report of version 2, and this reads 1" in capsys.readouterr().err
