"""What the openai SDK makes of each builder's reply, whole and streamed: runs with 2.x and 3.x."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import openai
import pytest

from pytest_chatapi import AsyncRecordReplayTransport, RecordReplayTransport, check
from pytest_chatapi.mock import (
    BUILDERS,
    ChatMock,
    audio,
    choices,
    content_filter,
    custom_tool_call,
    length_cut,
    reasoning,
    refusal,
    structured,
    text,
    tool_call,
    tool_calls,
)
from pytest_chatapi.recording.opening import open_recorder

FAMILY = importlib.import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {"name": "sum", "strict": True, "schema": ADD["function"]["parameters"]}  # type: ignore[index]
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
TWO = tool_calls(tool_call("add", {"a": 1, "b": 2}), tool_call("add", {"a": 3, "b": 4}))

# Builder: the reply, parameters of the request, what the SDK then has at `Builder.sdk`.
CASES: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "text": (text("Hello!"), {}, "Hello!"),
    "tool_call": (tool_call("add", {"a": 1, "b": 2}), {"tools": [ADD]}, '{"a":1,"b":2}'),
    "custom_tool_call": (
        custom_tool_call("shell", "ls -l"),
        {"tools": [{"type": "custom", "custom": {"name": "shell"}}]},
        "ls -l",
    ),
    "tool_calls": (TWO, {"tools": [ADD]}, "add"),
    "structured": (
        structured({"a": 1, "b": 2}),
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        '{"a":1,"b":2}',
    ),
    "refusal": (refusal("No, sorry."), {}, "No, sorry."),
    "length_cut": (length_cut(), {}, True),
    "content_filter": (content_filter(), {}, True),
    "audio": (audio("Good day."), SPOKEN, "Good day."),
    "reasoning": (reasoning("Hm.", 64), {}, 64),
    "choices": (choices(text("one"), text("two")), {"n": 2}, "one"),
}
# The SDK's models of chunks have no custom tools, and its helper concatenates the ids of audio.
NOT_JOINED = {"custom_tool_call", "audio"}


class Run:
    def __init__(self, reply: Any) -> None:
        self.mock = ChatMock("test_builders")
        self.mock.reply(reply)
        self.recorder = open_recorder(None, answers=self.mock)

    def sync(self) -> Any:
        transport = RecordReplayTransport(self.recorder)
        return openai.OpenAI(api_key="x", http_client=FAMILY.Client(transport=transport))

    def asynchronous(self) -> Any:
        transport = AsyncRecordReplayTransport(self.recorder)
        return openai.AsyncOpenAI(api_key="x", http_client=FAMILY.AsyncClient(transport=transport))

    def check(self) -> None:
        assert [check(e, profile="documented") for e in self.recorder.exchanges] == [[]]


def ask(more: dict[str, Any]) -> dict[str, Any]:
    return {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], **more}


def at(answer: Any, name: str) -> Any:
    return eval(BUILDERS[name].sdk, {"choice": answer.choices[0], "usage": answer.usage})


def test_each_builder_is_here() -> None:
    assert list(CASES) == list(BUILDERS)


@pytest.mark.parametrize("name", CASES)
def test_whole(name: str) -> None:
    reply, more, expected = CASES[name]
    run = Run(reply)
    assert at(run.sync().chat.completions.create(**ask(more)), name) == expected
    run.check()


@pytest.mark.parametrize("name", CASES)
def test_async(name: str) -> None:
    reply, more, expected = CASES[name]
    run = Run(reply)

    async def main() -> Any:
        async with run.asynchronous() as client:
            return await client.chat.completions.create(**ask(more))

    assert at(asyncio.run(main()), name) == expected


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("name", CASES)
def test_streamed(name: str) -> None:
    """The chunks of a plain iteration, joined by hand."""
    reply, more, expected = CASES[name]
    run = Run(reply)
    seen: dict[str, Any] = {"finish": None}
    for chunk in run.sync().chat.completions.create(**ask({**more, **STREAMED})):
        for choice in [c for c in chunk.choices if c.index == 0]:
            delta = choice.delta
            seen["finish"] = choice.finish_reason or seen["finish"]
            for key in ("content", "refusal"):
                if getattr(delta, key):
                    seen[key] = seen.get(key, "") + getattr(delta, key)
            spoken = getattr(delta, "audio", None)
            if spoken:
                said = spoken if isinstance(spoken, dict) else spoken.model_dump()
                seen["audio"] = seen.get("audio", "") + (said.get("transcript") or "")
            for call in delta.tool_calls or ():
                raw = call.model_dump()
                inner = raw.get("custom") or raw.get("function") or {}
                key = f"call {call.index}"
                made = seen.setdefault(key, {"name": "", "text": ""})
                made["name"] += inner.get("name") or ""
                made["text"] += inner.get("arguments") or inner.get("input") or ""
        seen["usage"] = chunk.usage or seen.get("usage")
    found = {
        "text": lambda: seen["content"],
        "tool_call": lambda: seen["call 0"]["text"],
        "custom_tool_call": lambda: seen["call 0"]["text"],
        "tool_calls": lambda: seen["call 1"]["name"],
        "structured": lambda: seen["content"],
        "refusal": lambda: seen["refusal"],
        "length_cut": lambda: seen["finish"] == "length",
        "content_filter": lambda: seen["finish"] == "content_filter",
        "audio": lambda: seen["audio"],
        "reasoning": lambda: seen["usage"].completion_tokens_details.reasoning_tokens,
        "choices": lambda: seen["content"],
    }[name]()
    assert found == expected
    run.check()


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_JOINED])
def test_joined_by_the_sdk(name: str) -> None:
    reply, more, expected = CASES[name]
    run = Run(reply)
    options = {"stream_options": {"include_usage": True}}
    ending = {
        "length_cut": openai.LengthFinishReasonError,
        "content_filter": openai.ContentFilterFinishReasonError,
    }.get(name)
    with run.sync().chat.completions.stream(**ask({**more, **options})) as stream:
        if ending is not None:  # so the helper says what `finish_reason` says
            with pytest.raises(ending):
                stream.get_final_completion()
            return
        answer = stream.get_final_completion()
    assert at(answer, name) == expected
    run.check()
