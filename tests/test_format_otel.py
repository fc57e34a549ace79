"""Spans and events of OpenTelemetry's GenAI conventions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from read_files import exchanges_in, verdict

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.logs import check_batch

TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CALL = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}}
ASKED = {"role": "user", "parts": [{"type": "text", "content": "How is it in Oslo?"}]}


def attributes(*parts: Any, finish: str = "tool_call", **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.2",
        "gen_ai.response.model": "gpt-5.2",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.input.messages": [ASKED],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": list(parts), "finish_reason": finish}
        ],
        "gen_ai.tool.definitions": [TOOL],
        "server.address": "vllm-prod",
        "server.port": 8000,
        **{f"gen_ai.{name}": value for name, value in more.items()},
    }


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": pairs(value)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    kind = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return {kind[type(value)]: str(value) if type(value) is int else value}


def pairs(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(item)} for key, item in value.items()]


def otlp(*spans: Any, signal: str = "spans") -> dict[str, Any]:
    records = [{**span, "attributes": pairs(span["attributes"])} for span in spans]
    if signal == "spans":
        return {"resourceSpans": [{"scopeSpans": [{"spans": records}]}]}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}


GOOD = attributes(CALL)
WRONG = attributes({**CALL, "arguments": {"town": "Oslo"}})  # not what the tool takes
LEAK = attributes(text("Hello<|im_end|>"), finish="stop")
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
FAULTS = [(GOOD, []), (WRONG, ["C10"]), (LEAK, ["S19"])]


def write(tmp_path: Path, *values: Any) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.mark.parametrize(("told", "codes"), FAULTS)
def test_spans_and_events(told: dict[str, Any], codes: list[str], tmp_path: Path) -> None:
    quoted = {k: json.dumps(v) if isinstance(v, list) else v for k, v in told.items()}
    span = {"name": "chat", "startTimeUnixNano": "1793491200000000000"}
    for value in (
        {**span, "attributes": told},
        {**span, "attributes": quoted},  # the SDK has no lists of objects in spans
        otlp({**span, "attributes": told}),
        otlp({**span, "attributes": quoted}, signal="logs"),
        told,  # columns of a table
    ):
        assert verdict(write(tmp_path, value)) == ([codes], 0, [])


def test_each_line_of_the_collector_has_many(tmp_path: Path) -> None:
    spans = [{"attributes": one} for one in (GOOD, AGENT, WRONG)]
    document = otlp(*spans)
    assert verdict(write(tmp_path, document)) == ([[], ["C10"]], 1, [])
    assert verdict(write(tmp_path, document, document)) == ([[], ["C10"]] * 2, 2, [])
    batch = pa.record_batch({"line": [json.dumps(document)]})
    assert [row["code"] for row in check_batch(batch).to_pylist()] == ["skipped", "C10"]


def test_spans_of_other_work_are_skipped(tmp_path: Path) -> None:
    """However many come first; a line of the collector, or a span, of a web server is no damage."""
    web = {"traceId": "a", "spanId": "b", "attributes": {"http.method": "GET"}}
    chat = {**web, "attributes": attributes(text("Hi"), finish="stop")}
    for first, second in ((otlp(web), otlp(chat)), (web, chat)):
        path = write(tmp_path, *[first] * 30, second, first)
        codes, skipped, errors = verdict(path)
        assert (len(codes), skipped, errors) == (1, 31, [])
        lines = path.read_text().splitlines()
        found = check_batch(pa.record_batch({"line": lines})).to_pylist()
        assert [row["name"] for row in found if row["code"] == "skipped"] == ["telemetry"] * 31
        assert not [row for row in found if row["code"] == "unread"]


def test_what_is_beside_a_call_of_a_model_is_counted(tmp_path: Path) -> None:
    web = {"attributes": {"http.method": "GET"}}
    document = otlp(web, {"attributes": GOOD}, web)
    assert verdict(write(tmp_path, document)) == ([[]], 2, [])
    (scope,) = document["resourceSpans"][0]["scopeSpans"]
    scope["spans"].append(5)
    document["resourceSpans"] += ["x", {"scopeSpans": {"spans": []}}, {"scopeSpans": [None]}, {}]
    document |= otlp(web, signal="logs")
    assert verdict(write(tmp_path, document)) == ([[]], 7, [])


def test_where_and_when_it_was(tmp_path: Path) -> None:
    span = {"startTimeUnixNano": "1793491200000000000", "spanId": "s1", "attributes": LEAK}
    (row,) = check_batch(pa.record_batch({"line": [json.dumps(otlp(span))]})).to_pylist()
    assert [row[name] for name in ("row_id", "provider", "model")] == [
        "s1",
        "vllm-prod:8000",
        "gpt-5.2",
    ]
    assert row["time"].isoformat() == "2026-11-01T00:00:00+00:00"


def test_a_conversation_is_the_request(tmp_path: Path) -> None:
    """What a tool returned, instructions and parameters are part of it."""
    result = {"type": "tool_call_response", "id": "call_1", "response": {"degrees": 3}}
    told = attributes(
        text("3 degrees"),
        finish="stop",
        **{
            "input.messages": [
                ASKED,
                {"role": "assistant", "parts": [CALL]},
                {"role": "tool", "parts": [result]},
            ],
            "system_instructions": [text("Be brief.")],
            "request.max_tokens": 10,
            "request.stop_sequences": ["degrees"],
        },
    )
    assert verdict(write(tmp_path, {"attributes": told})) == ([["K04"]], 0, [])


@pytest.mark.parametrize(
    "more",
    [
        {"gen_ai.provider.name": "anthropic"},
        {"gen_ai.provider.name": "aws.bedrock"},
        {"gen_ai.provider.name": "gcp.vertex_ai"},
        {"gen_ai.provider.name": "cohere"},
        {"openai.api.type": "responses"},
        {"gen_ai.operation.name": "execute_tool"},
    ],
)
def test_other_apis_are_skipped(more: dict[str, str], tmp_path: Path) -> None:
    assert verdict(write(tmp_path, {"attributes": LEAK | more})) == ([], 1, [])


def test_tools_that_were_not_recorded_are_not_missing(tmp_path: Path) -> None:
    """All else of the request is compared."""
    told = attributes({**CALL, "name": "train"}, **{"request.temperature": 3.0})
    del told["gen_ai.tool.definitions"]
    assert verdict(write(tmp_path, {"attributes": told})) == ([["Q00"]], 0, [])


def test_parts_that_no_request_has_are_left_alone(tmp_path: Path) -> None:
    image = {"role": "user", "parts": [{"type": "uri", "uri": "https://h/i.png"}]}
    told = attributes(text("Hello<|im_end|>"), finish="stop", **{"input.messages": [image]})
    assert verdict(write(tmp_path, {"attributes": told})) == ([["S19"]], 0, [])


def test_several_choices(tmp_path: Path) -> None:
    one = {"role": "assistant", "parts": [text("Hi")], "finish_reason": "stop"}
    other = {**one, "parts": [text("Hi<|im_end|>")]}
    told = GOOD | {"gen_ai.output.messages": [one, other], "gen_ai.request.choice.count": 2}
    assert verdict(write(tmp_path, {"attributes": told})) == ([["S19"]], 0, [])


CUT_CALL = {**CALL, "arguments": '{"city": "Os'}


@pytest.mark.parametrize(
    ("finish", "count"),
    [
        ("length", 0),
        ("content_filter", 0),
        ("error", 0),
        ("tool_call", 1),
        ("", 1),
        (["length"], 1),
    ],
)
def test_a_call_that_was_cut_off_need_not_be_whole(finish: Any, count: int, tmp_path: Path) -> None:
    one = {"role": "assistant", "parts": [CUT_CALL], "finish_reason": finish}
    told = GOOD | {"gen_ai.output.messages": [one]}
    beside = attributes(CUT_CALL, finish="", **{"response.finish_reasons": [finish]})
    two = GOOD | {"gen_ai.output.messages": [one, one], "gen_ai.request.choice.count": 2}
    for value, expected in ((told, count), (beside, count), (two, 2 * count)):
        [codes], skipped, errors = verdict(write(tmp_path, {"attributes": value}))
        assert (codes.count("C03"), skipped, errors) == (expected, 0, [])


def test_arguments_that_were_not_recorded(tmp_path: Path) -> None:
    for call in (CALL | {"arguments": None}, {"type": "tool_call", "name": "weather"}):
        told = attributes(call)
        assert verdict(write(tmp_path, {"attributes": told})) == ([[]], 0, [])
        two = told | {"gen_ai.output.messages": told["gen_ai.output.messages"] * 2}
        exchanges, _ = exchanges_in(write(tmp_path, {"attributes": two}))
        assert [check_exchange(one).api for one in exchanges] == ["messages not understood"]
    empty = attributes(CALL | {"arguments": ""})
    assert verdict(write(tmp_path, {"attributes": empty})) == ([["C03"]], 0, [])


@pytest.mark.parametrize(
    "more",
    [
        {"input.messages": [{"role": "user", "content": "Hi"}]},
        {"input.messages": [{"role": "user", "parts": ["Hi"]}]},
        {"input.messages": [{"role": "user", "parts": [{"type": "text"}]}]},
        {
            "input.messages": [
                {"role": "user", "parts": [text("Hi"), {"type": "tool_call_response"}]}
            ]
        },
        {"input.messages": [ASKED, {"role": "assistant", "parts": [{**CALL, "id": None}]}]},
        {"input.messages": [{"role": "tool", "parts": [{"type": "tool_call_response"}]}]},
        {"system_instructions": [{"type": "uri", "uri": "https://h/i.png"}]},
        {"tool.definitions": [{"type": "web_search"}]},
    ],
)
def test_a_request_of_which_only_a_part_is_known_is_left_alone(
    more: dict[str, Any], tmp_path: Path
) -> None:
    told = attributes(text("Hello<|im_end|>"), finish="stop", **more)
    ([exchange], _) = exchanges_in(write(tmp_path, {"attributes": told}))
    assert exchange.request is not None
    assert exchange.request.body is None
    assert verdict(write(tmp_path, {"attributes": told})) == ([["S19"]], 0, [])


PLAIN = {"role": "assistant", "content": "Hello<|im_end|>"}
NOT_UNDERSTOOD: list[Any] = [
    '[{"role": "assistant", "parts": [{"type": "te',
    [PLAIN],
    [PLAIN | {"parts": ["Hello<|im_end|>"]}],
    [PLAIN | {"parts": [{"type": "text"}]}],
    [PLAIN | {"parts": [{"type": "blob", "content": "R0lG"}]}],
    [PLAIN | {"parts": [text("Hello"), {"type": "blob", "content": "R0lG"}]}],
    [PLAIN | {"parts": [text("Hello"), {"type": "server_tool_call", "id": "s1"}]}],
    [PLAIN | {"parts": [text("Hello"), {"content": "Hello"}]}],
    ["Hello<|im_end|>"],
]


@pytest.mark.parametrize("messages", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_skipped(messages: Any, tmp_path: Path) -> None:
    """It is cut off, has no parts or no content, or parts that no message has."""
    told = GOOD | {"gen_ai.output.messages": messages}
    exchanges, errors = exchanges_in(write(tmp_path, {"attributes": told}))
    assert [check_exchange(one).api for one in exchanges] == ["messages not understood"]
    assert errors == []


@pytest.mark.parametrize("name", ["tool.definitions", "input.messages", "system_instructions"])
def test_a_request_that_is_cut_off_is_not_held_against_the_answer(
    name: str, tmp_path: Path
) -> None:
    for told, codes in ((GOOD, []), (LEAK, ["S19"])):
        cut = told | {f"gen_ai.{name}": '[{"type": "fun'}
        assert verdict(write(tmp_path, {"attributes": cut})) == ([codes], 0, [])


@pytest.mark.parametrize(
    "odd",
    [
        {"gen_ai.output.messages": "cut ["},
        {"gen_ai.output.messages": [5, {"parts": 5}]},
        {"gen_ai.input.messages": [{"parts": [{"type": ["x"]}]}]},
        {"gen_ai.usage.input_tokens": "9"},
        {"gen_ai.tool.definitions": [{"type": 5}]},
        {"gen_ai.output.messages": [{"role": "assistant", "parts": [], "finish_reason": [1]}] * 2},
        {"server.port": {"a": 1}},
    ],
)
def test_odd_values_are_no_traceback(odd: dict[str, Any], tmp_path: Path) -> None:
    verdict(write(tmp_path, {"attributes": GOOD | odd}))
    verdict(write(tmp_path, otlp({"attributes": GOOD | odd})))
