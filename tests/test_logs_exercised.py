"""What a row of a log exercises: a rate is of the rows that could have had the finding."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from test_format_otel import attributes
from test_format_otel import text as part
from traffic import ANSWER

from pytest_chatapi.contract.catalogue import FAMILIES, rules
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.logs import exercised
from pytest_chatapi.logs.exercised import could_have
from pytest_chatapi.logs.limits import Limits
from pytest_chatapi.logs.rates import Rates
from pytest_chatapi.logs.rows import row_of
from pytest_chatapi.reading.reader import read_file

MESSAGES = [{"role": "user", "content": "As JSON: hi"}]
CHOICE = ANSWER["choices"][0]
USAGE = ANSWER["usage"]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object"}},
}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a"}}
CUSTOM = {"type": "custom", "custom": {"name": "look", "format": GRAMMAR}}
CUSTOM_CALL = {"id": "call_1", "type": "custom", "custom": {"name": "look", "input": "a"}}
Row = dict[str, Any]


def own(response: Any, **asked: Any) -> Row:
    """A row of a home-made log."""
    return {
        "request": {"model": ANSWER["model"], "messages": MESSAGES, **asked},
        "response": response,
    }


def message(**members: Any) -> Row:
    return {"role": "assistant", "content": "{}", **members}


def body(choice: Row | None = None, **members: Any) -> Row:
    return {**ANSWER, "choices": [{**CHOICE, **(choice or {})}], **members}


def langfuse(**members: Any) -> Row:
    kind = {"id": "o", "traceId": "t", "type": "GENERATION", "model": "m", "input": MESSAGES}
    return {**kind, "output": message(), **members}


def several(**more: Any) -> Row:
    row = attributes(part("Hi"), finish="stop", **more)
    row["gen_ai.output.messages"] *= 2
    return row


def http(chunks: list[Any], headers: Row | None = None, status: int = 200, **asked: Any) -> Row:
    """A row with the wire text of a stream."""
    data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    url = "https://vllm-prod/v1/chat/completions"
    request = {"model": ANSWER["model"], "messages": MESSAGES, "stream": True, **asked}
    headers = {"content-type": "text/event-stream", **(headers or {})}
    return {
        "request": {"method": "POST", "url": url, "body": json.dumps(request)},
        "response": {"status": status, "headers": headers, "body": data},
    }


def chunk(delta: Row | None, **members: Any) -> Row:
    choices = [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]
    kept = {**ANSWER, "object": "chat.completion.chunk", "choices": choices}
    del kept["usage"]
    return {**kept, **members}


STREAM = [chunk({"role": "assistant", "content": "Hi"}), chunk({})]
JOINED = own(body(), stream=True)
TEXT = own("{}")
UNREAD = own(body({"message": message(content={"a": "x"}, tool_calls="nope")}), tools=TOOLS)
UNREAD_JSON = own(body({"message": message(content={"a": "x"})}), response_format=SCHEMA)


def rates_of(*rows: Row) -> Rates:
    """Their counts; each exchange has to be read."""
    rates = Rates(files=1)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for exchange in read_file(BytesIO(lines), pytest.fail):
        result = check_exchange(exchange)
        rates.count(row_of(exchange, result, result.findings))
    assert rates.rows == len(rows)
    return rates


def says(rates: Rates, code: str) -> str:
    verdicts = Limits([f"{code}=100%"]).verdicts(rates)
    (said,) = {verdict.says for verdict in verdicts if verdict.code == code}
    return said


def test_each_need_is_that_of_a_rule_or_a_family() -> None:
    assert set(FAMILIES) <= exercised._NEEDS.keys() <= {*FAMILIES, *rules()}


@pytest.mark.parametrize(
    ("codes", "row"),
    [
        ("U U01 U02 U03 U05 U07 K02 S05 S06 S07 S08 S01 S02 S03 S04 S10 L05 K01 K09", TEXT),
        ("K03 K04 K05 K06 K07 K08 K12 K15 J J01 J02 C C03 L L01 H H01 X E T", TEXT),
        ("U U02", langfuse()),
        ("U03 U04 U07 K02", langfuse(usage={"input": 9, "output": 4, "total": 13})),
        ("U01 U02 U03 U04 S07", attributes(part("Hi"), finish="stop")),
        ("U01 U02 U07", several()),
        ("C09", {**attributes(part("Hi")), "gen_ai.tool.definitions": None}),
        ("S06", own({"choices": [{"message": message(), "finish_reason": "stop"}]})),
        ("S02 S03 S04 K09", own({"choices": [CHOICE], "usage": USAGE})),
        ("S07 C07 C08 K03", own(body({"finish_reason": None}, max_tokens=9))),
        ("J J02 J03 S15 S19", UNREAD_JSON),
        ("C C09 C11 K05 S09", UNREAD),
        ("U03 U04 U06 U08", own(body(usage={**USAGE, "prompt_tokens_details": {}}))),
        ("U05 L05 S11", JOINED),
        ("K05 K06 K07 K08", own(body(), tools=TOOLS, tool_choice="auto", parallel_tool_calls=True)),
        ("K05 K06", own(body(), tools=TOOLS, tool_choice=TOOLS[0])),
        ("K02 K03 K04 K11 K12 K13 K14 U09", own(body())),
        ("C05 C06 T T08 T13 S11", own(body({"message": message(tool_calls=[CALL])}), tools=TOOLS)),
        ("J01", own(body(), response_format=SCHEMA)),
        ("J J01 J02", own(body({"finish_reason": "length"}), response_format=SCHEMA)),
        ("L01 L03", own(body(), logprobs=True)),
        ("K15", own(body({"message": message(tool_calls=[CALL])}), tools=TOOLS)),
        ("T13 T15 E S05 S06 U U02 H H01 H02 X X05 D", {"chunks": STREAM}),
        ("T13 T15 U H H01 H02 X05 C05", http(STREAM)),
        ("T14", http(STREAM, stream_options={"include_usage": True})),
    ],
)
def test_a_rule_that_no_row_could_break(codes: str, row: Row) -> None:
    rates = rates_of(row)
    for code in codes.split():
        assert says(rates, code) == "not exercised", code


@pytest.mark.parametrize(
    ("codes", "row"),
    [
        ("S S15 S19 K Q Q00 C09", TEXT),
        ("U U01 U02 U05 S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S14 K01 K09 L05", own(body())),
        ("U01 U02", langfuse(usage={"input": 9, "output": 4, "total": 13})),
        ("S15 C C03 C09 C10", attributes(part("Hi"), finish="stop")),
        ("S05 S07 K01 K02", several(**{"request.max_tokens": 9})),
        ("U03 U06", own(body(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 0}}))),
        (
            "U04 K12",
            own(
                body(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 0}}),
                reasoning_effort="none",
            ),
        ),
        ("U08", own(body(usage={**USAGE, "cost": 0.1}))),
        ("K02 K03 K04", own(body(), max_tokens=99, stop="x")),
        ("K05", own(body(), tools=TOOLS, tool_choice="none")),
        (
            "K06 K08",
            own(
                body({"message": message(tool_calls=[CALL]), "finish_reason": "tool_calls"}),
                tools=TOOLS,
                tool_choice="required",
                parallel_tool_calls=False,
            ),
        ),
        (
            "C C01 C02 C07 C08 C09 C10 K07",
            own(
                body({"message": message(tool_calls=[CALL]), "finish_reason": "tool_calls"}),
                tools=TOOLS,
                tool_choice=TOOLS[0],
            ),
        ),
        ("K15", own(message(tool_calls=[CUSTOM_CALL]), tools=[CUSTOM])),
        ("J J02 J03", own(body(), response_format=SCHEMA)),
        ("J J01 J03", own(message(), response_format={"type": "json_object"})),
        ("J02 S15", own("{}", response_format=SCHEMA)),
        ("T T01 T05 T12", {"chunks": STREAM}),
        ("T T08 T14 T17 T18 E E01 E02 S07 S15", http(STREAM)),
        (
            "T13 T15 U02",
            http(
                [*STREAM, chunk({}, choices=[], usage=USAGE)],
                stream_options={"include_usage": True},
            ),
        ),
        ("H H01 H02", http(STREAM, {"x-request-id": "r", "x-ratelimit-limit-tokens": "9"})),
        ("X X01 X05", http([], {"x-request-id": "r", "retry-after": "1"}, 429)),
    ],
)
def test_a_rule_that_a_row_could_break(codes: str, row: Row) -> None:
    rates = rates_of(row)
    for code in codes.split():
        assert sum(rates.exercised(code).values()) == 1, code


def test_rows_without_usage_do_not_thin_out_the_rate_of_those_with_it() -> None:
    wrong = own(body(usage={**USAGE, "total_tokens": 99}))
    rates = rates_of(*[TEXT] * 95, *[wrong] * 5)
    assert rates.total("U02") == (5, 5)
    assert [v.says for v in Limits(["U02=2%"]).verdicts(rates)] == ["above"]


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("U05", own({key: value for key, value in ANSWER.items() if key != "usage"})),
        ("C09", own(body({"message": message(tool_calls=[CALL])}))),
        ("K06", own(body(), tools=TOOLS, tool_choice="required")),
        ("L05", own(body(), logprobs=True)),
        ("S09", own(body({"message": message(content="")}))),
    ],
)
def test_what_is_missing_is_counted_in_the_rows_that_have_it(code: str, broken: Row) -> None:
    asked = {**broken["request"], "tools": TOOLS}
    called = body({"message": message(tool_calls=[CALL])})
    rates = rates_of(broken, *[{"request": asked, "response": called}] * 9)
    assert rates.total(code).rows == 10


def test_a_row_with_a_finding_could_have_had_it() -> None:
    """Whatever the table says: no rate is above 100%."""
    line = json.dumps(own(body(usage={**USAGE, "total_tokens": 99}))).encode()
    exchange = next(read_file(BytesIO(line), pytest.fail))
    result = check_exchange(exchange)
    assert not could_have(row_of(exchange, result, []).exercised, "T")
    result.findings = [result.findings[0]._replace(code="T08")]
    shown = row_of(exchange, result, []).exercised
    assert could_have(shown, "T08")
    assert could_have(shown, "T")
    assert not could_have(shown, "T05")
    assert not could_have(f"{shown}-T08", "T08")
