"""Request bodies without their exchanges, and fine-tuning examples, which only look like them."""

from __future__ import annotations

from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.shapes import are_messages

_EXAMPLE = {
    "functions",
    "input",
    "messages",
    "non_preferred_output",
    "parallel_tool_calls",
    "preferred_output",
    "tools",
}


def _matches(value: JSONObject) -> bool:
    if "choices" in value or "object" in value:
        return False
    return _is_request(value) or _is_example(value)


def _is_request(value: JSONObject) -> bool:
    return isinstance(value.get("model"), str) and isinstance(value.get("messages"), list)


def _is_example(value: JSONObject) -> bool:
    messages, inner = value.get("messages"), value.get("input")
    if isinstance(messages, list) and are_messages(messages) and _is_answered(messages):
        return True
    if not value.keys() <= _EXAMPLE:
        return False
    return are_messages(inner.get("messages") if isinstance(inner, dict) else messages)


def _is_answered(messages: list[JSONObject]) -> bool:
    return bool(messages[-1]["role"] == "assistant")


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    if not _is_request(value):
        return Exchange(Request(url="/v1/fine_tuning/examples"))
    return Exchange(Request(body=value))


FORMAT = ValueFormat(
    name="requests",
    precedence=67,
    marks=frozenset({"input", "messages"}),
    matches=_matches,
    exchange=_exchange,
    bare=True,
)
