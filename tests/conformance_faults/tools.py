"""What a server gets wrong with tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from conformance_servers import Answered, Fault, edits

Value = dict[str, Any]


def parts(value: Value) -> Iterator[Value]:
    """The messages of a completion, or the deltas of a chunk."""
    for choice in value["choices"]:
        yield choice.get("message") or choice.get("delta") or {}


def calls(change: Callable[[Value], object]) -> Fault:
    """A fault in each call, or in each fragment of one."""

    def fault(value: Value) -> None:
        for part in parts(value):
            for call in part.get("tool_calls") or ():
                change(call)

    return edits(fault)


def _no_call(value: Value) -> None:
    for part in parts(value):
        part.pop("tool_calls", None)


def finish(reason: str) -> Fault:
    """A fault in why the response ends."""

    def fault(value: Value) -> None:
        for choice in value["choices"]:
            if choice["finish_reason"] is not None:
                choice["finish_reason"] = reason

    return edits(fault)


def _another_name(call: Value) -> None:
    if "name" in call["function"]:
        call["function"]["name"] = "get_weather"


def _same_id(call: Value) -> None:
    if "id" in call:
        call["id"] = "call_1"


def calls_anyway(value: Value) -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    for choice in value["choices"]:
        choice["message"]["tool_calls"] = [{"id": "c1", "type": "function", "function": function}]
        choice["finish_reason"] = "tool_calls"


def _two(value: Value) -> None:
    for part in parts(value):
        part["tool_calls"] = [part["tool_calls"][0], {**part["tool_calls"][0], "id": "call_2"}]


def arguments(text: str) -> Fault:
    """A fault in the arguments of a whole call."""
    return calls(lambda call: call["function"].update(arguments=text))


def _of_another_type(call: Value) -> None:
    text = call["function"].get("arguments", "")
    call["function"]["arguments"] = text.replace("true", "1").replace("false", "0")


def same_count(value: Value) -> None:
    """A count of the prompt's tokens that has nothing to do with them."""
    if value.get("usage"):
        value["usage"]["prompt_tokens"] = 20
        value["usage"]["total_tokens"] = 20 + value["usage"]["completion_tokens"]


def refused(status: int, message: str) -> Fault:
    """A refusal of anything."""

    def fault(answered: Answered) -> None:
        answered.status = status
        answered.headers["content-type"] = "application/json"
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        answered.body = json.dumps({"error": error}).encode()

    return fault


def when(condition: Callable[[Value], object], fault: Fault) -> Fault:
    """A fault in the responses to some requests only."""
    return lambda answered: fault(answered) if condition(answered.asked) else None


def accepted(answered: Answered) -> None:
    message = {"role": "assistant", "content": "Hello!", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000}
    whole = {**head, "model": answered.asked["model"], "choices": [choice], "usage": usage}
    answered.status, answered.body = 200, json.dumps(whole).encode()


def _long_name(asked: Value) -> bool:
    return any(len(tool["function"]["name"]) > 64 for tool in asked.get("tools", ()))


FAULTS: dict[str, tuple[Fault, str]] = {
    "tools.required": (
        edits(_no_call),
        "the response has no call although `tool_choice` requires one",
    ),
    "tools.named": (calls(_another_name), "a tool other than the one that `tool_choice` names"),
    "tools.none": (
        when(lambda asked: asked.get("tool_choice") == "none", edits(calls_anyway)),
        "has calls although `tool_choice` is none",
    ),
    "tools.auto": (finish("tool_calls"), "has no call, but finish_reason says so"),
    "tools.two-calls": (calls(_same_id), "2 calls share one id"),
    "tools.no-parallel": (
        when(lambda asked: asked.get("parallel_tool_calls") is False, edits(_two)),
        "`parallel_tool_calls: false` gets several calls",
    ),
    "tools.strict-schema": (calls(_of_another_type), "do not match the tool's schema"),
    "tools.no-arguments": (arguments("none"), "the arguments are not a JSON object"),
    "tools.round-trip": (edits(same_count), "do not count: it is not read"),
    "tools.unpaired": (
        refused(500, "list index out of range"),
        "an illegal request is answered with another status",
    ),
    "tools.cut": (finish("tool_calls"), "does not end with `length`"),
    "tools.custom": (
        calls(lambda call: call["custom"].update(input={"a": 1})),
        "`input` has the wrong type: object",
    ),
    "tools.many": (
        when(lambda asked: len(asked.get("tools", ())) > 64, refused(400, "over 64 tools")),
        "a legal request is refused",
    ),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "tools.required": (finish("stop"), "does not finish with `tool_calls`"),
    "tools.no-arguments": (arguments(""), "the arguments are empty"),
    "tools.unpaired": (accepted, "a tool message without a call is accepted"),
    "tools.many": (when(_long_name, accepted), "a name of 65 characters is accepted"),
}
