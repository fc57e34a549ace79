"""The mock's replies: what every builder makes, whole and streamed, the contract accepts."""

from __future__ import annotations

import base64
import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_chatapi import Exchange, Request, Response, SettingError, assemble, check
from pytest_chatapi.contract.userschema import validator_of
from pytest_chatapi.mock import BUILDERS, Reply, builders, schema_values
from pytest_chatapi.mock.generated import stamp_of
from pytest_chatapi.mock.schema_values import fitting_json, fitting_value
from pytest_chatapi.mock.tokens import tokens

STAMP = stamp_of("tests/test_shop.py::test_order", 0)
URL = "https://api.openai.com/v1/chat/completions"
ORDER = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"type": "integer", "minimum": 2}},
    "required": ["item", "count"],
    "additionalProperties": False,
}
BODY: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Answer as JSON, please."}],
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "order", "parameters": ORDER, "strict": True},
    },
    {"type": "function", "function": {"name": "list_items"}},
    {"type": "custom", "custom": {"name": "run_code"}},
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "order", "schema": ORDER, "strict": True},
}
SPEECH = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}


def body_with(**more: Any) -> dict[str, Any]:
    return copy.deepcopy({**BODY, **more})


def streamed(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "stream": True}


def findings(body: dict[str, Any], answer: dict[str, Any] | list[dict[str, Any]]) -> list[str]:
    """All findings about a response on the wire, by the strictest profile, a line each."""
    if isinstance(answer, list):
        body = streamed(body)
        events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in answer]
        wire, kind = "".join([*events, "data: [DONE]\n\n"]), "text/event-stream"
    else:
        wire, kind = json.dumps(answer, ensure_ascii=False), "application/json"
    response = Response(headers={"content-type": kind, "x-request-id": "req_1"}, body=wire.encode())
    request = Request("POST", URL, {"content-type": "application/json"}, json.dumps(body))
    every = check(Exchange(request, response), profile="documented")
    # Findings about the request itself do not concern the reply.
    return [f"{f.code} {f.path}: {f.message}" for f in every if not f.code.startswith("Q")]


def both(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    """The completion, after a check that it and its stream are legal and equal."""
    whole = reply.completion(body, STAMP)
    assert findings(body, whole) == []
    for include_usage in (False, True):
        stream = {**streamed(body), "stream_options": {"include_usage": include_usage}}
        chunks = reply.chunks(stream, STAMP)
        assert findings(stream, chunks) == []
        joined = assemble(chunks)
        same = copy.deepcopy(whole)
        for choice in same["choices"]:
            assert choice["message"].pop("annotations") == []
        if not include_usage:
            del same["usage"]
        assert joined == same
    return whole


CASES = {
    "text": (builders.text(), {}),
    "text-reasoning": (builders.text("Yes.", reasoning_tokens=9, cached_tokens=100), {}),
    "reasoning": (builders.reasoning(), {}),
    "tool_call": (builders.tool_call("order"), {"tools": TOOLS}),
    "tool_call-arguments": (
        builders.tool_call("order", {"item": "chäir", "count": 2}),
        {"tools": TOOLS},
    ),
    "tool_call-legacy": (
        builders.tool_call("order"),
        {"functions": [{"name": "order", "parameters": ORDER}]},
    ),
    "tool_call-named": (
        builders.tool_call("order"),
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "order"}}},
    ),
    "custom_tool_call": (builders.custom_tool_call("run_code", "print('hi')\n"), {"tools": TOOLS}),
    "tool_calls": (
        builders.tool_calls(
            builders.tool_call("order"),
            builders.custom_tool_call("run_code", ""),
            builders.tool_call("list_items"),
            content="One moment.",
        ),
        {"tools": TOOLS},
    ),
    "tool_calls-silent": (
        builders.tool_calls(builders.tool_call("order"), builders.tool_call("order"), content=""),
        {"tools": TOOLS, "tool_choice": "required"},
    ),
    "structured": (builders.structured(), {"response_format": SCHEMA}),
    "structured-value": (
        builders.structured({"item": "sofa", "count": 3}),
        {"response_format": SCHEMA},
    ),
    "structured-object": (builders.structured(), {"response_format": {"type": "json_object"}}),
    "refusal": (builders.refusal(), {"response_format": SCHEMA, "tools": TOOLS}),
    "length_cut": (builders.length_cut(), {"response_format": SCHEMA}),
    "content_filter": (builders.content_filter(), {}),
    "content_filter-empty": (builders.content_filter(""), {}),
    "audio": (builders.audio("Hello, how are you today?"), SPEECH),
}
ASKED = {
    "plain": {},
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 3, "n": 2},
    "cap": {"max_completion_tokens": 3},
    "nothing": {"max_completion_tokens": 0},
    "stop": {"stop": ["ZZ", "QQ"]},
    "bare": {"stream_options": {"include_obfuscation": False}},
    "priority": {"service_tier": "fast"},
}


@pytest.mark.parametrize("more", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_reply_is_legal(case: tuple[Reply, dict[str, Any]], more: dict[str, Any]) -> None:
    reply, needed = case
    body = body_with(**needed, **more)
    both(reply, body)


def test_every_builder_has_a_case_and_a_summary() -> None:
    assert {name.partition("-")[0] for name in CASES} | {"choices"} == set(BUILDERS)
    for name, (build, summary, _) in BUILDERS.items():
        assert build is getattr(builders, name)
        assert summary.endswith(".")
        assert "\n" not in summary


# -- what the parts say ------------------------------------------------------------------


def only(answer: dict[str, Any]) -> dict[str, Any]:
    (choice,) = answer["choices"]
    return choice


def test_text_and_its_usage() -> None:
    body = body_with(messages=[{"role": "user", "content": "x" * 40}])
    answer = both(builders.text("One two, three."), body)
    assert only(answer) == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "One two, three.",
            "refusal": None,
            "annotations": [],
        },
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert answer["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert (answer["model"], answer["service_tier"]) == ("gpt-4o-mini", "default")


def test_sound_and_images_in_a_prompt_are_in_the_usage() -> None:
    """Sound alone brings the details: requests with images only have none."""
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}}
    image = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}

    def details(*parts: Any) -> Any:
        body = body_with(messages=[{"role": "user", "content": list(parts)}])
        usage = both(builders.text("One two"), body)["usage"]
        return usage["prompt_tokens_details"], usage["completion_tokens_details"]

    prompt, completion = details(sound, image, {"type": "text", "text": "Hi"})
    assert prompt == {
        "cached_tokens": 0,
        "audio_tokens": 1,
        "text_tokens": 12,
        "image_tokens": 8500,
    }
    assert completion["text_tokens"] == 2
    prompt, completion = details(image)
    assert "image_tokens" not in prompt
    assert "text_tokens" not in completion


@pytest.mark.parametrize(
    ("requested", "tier"),
    [(None, "default"), ("auto", "default"), ("fast", "priority"), ("flex", "flex")],
)
def test_service_tier(requested: str | None, tier: str) -> None:
    body = body_with(service_tier=requested)
    assert builders.text().completion(body, STAMP)["service_tier"] == tier
    assert {c["service_tier"] for c in builders.text().chunks(body, STAMP)} == {tier}


def test_usage_counts_reasoning_and_cache() -> None:
    usage = both(builders.text("Yes.", reasoning_tokens=9, cached_tokens=100), body_with())["usage"]
    assert usage["completion_tokens"] == 9 + 2
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 9
    assert usage["prompt_tokens"] == usage["prompt_tokens_details"]["cached_tokens"] == 100
    twice = both(builders.reasoning("Yes.", 9), body_with(n=2))["usage"]
    assert twice["completion_tokens"] == 2 * (9 + 2)
    assert twice["completion_tokens_details"]["reasoning_tokens"] == 18


def test_prompt_tokens_count_all_parts_of_a_request() -> None:
    def prompt(**more: Any) -> int:
        return builders.refusal().completion(body_with(**more), STAMP)["usage"]["prompt_tokens"]

    plain = prompt()
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    words = {"type": "text", "text": BODY["messages"][0]["content"]}
    assert prompt(messages=[{"role": "user", "content": [words]}]) == plain
    assert prompt(messages=[{"role": "user", "content": [words, picture]}]) > plain
    assert prompt(tools=TOOLS) > plain
    assert prompt(functions=[TOOLS[0]["function"]]) > plain
    assert prompt(response_format=SCHEMA) > plain
    body = body_with(messages=[{"role": "user", "content": [words, sound]}], **SPEECH)
    details = both(builders.audio(), body)["usage"]["prompt_tokens_details"]
    assert details["audio_tokens"] > 0
    assert details["audio_tokens"] + details["text_tokens"] > plain
    calls = [{"id": "c", "type": "function", "function": {"name": "a", "arguments": "{}" * 99}}]
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    assert prompt(messages=[BODY["messages"][0], turn]) > plain + 40
    legacy = {"role": "assistant", "content": None, "function_call": calls[0]["function"]}
    assert prompt(messages=[BODY["messages"][0], legacy]) > plain + 40


def test_a_cap_cuts_and_says_so() -> None:
    reply = builders.text("One two, three.")
    cut = only(both(reply, body_with(max_completion_tokens=3)))
    assert (cut["message"]["content"], cut["finish_reason"]) == ("One two,", "length")
    assert only(both(reply, body_with(max_tokens=5)))["finish_reason"] == "length"
    assert only(both(reply, body_with(max_completion_tokens=6)))["finish_reason"] == "stop"
    thought = both(builders.reasoning("Yes.", 64), body_with(max_completion_tokens=64))
    assert only(thought)["message"]["content"] == ""
    assert only(thought)["finish_reason"] == "length"
    assert thought["usage"]["completion_tokens"] == 64
    refused = only(both(builders.refusal("No, no."), body_with(max_tokens=1)))
    assert (refused["message"]["refusal"], refused["finish_reason"]) == ("No", "length")


def test_a_cap_cuts_calls() -> None:
    pair = builders.tool_calls(builders.tool_call("order"), builders.tool_call("order"))
    for cap in range(1, 40):
        choice = only(both(pair, body_with(tools=TOOLS, max_completion_tokens=cap)))
        calls = choice["message"]["tool_calls"]
        if cap == 1:
            assert [call["function"]["arguments"] for call in calls] == [""]
        if choice["finish_reason"] == "tool_calls":
            assert json.loads(calls[1]["function"]["arguments"]) == {"item": "text", "count": 2}
            break
        assert choice["finish_reason"] == "length"
    else:
        raise AssertionError("never whole")
    assert cap > 10
    call = both(builders.tool_call("order"), body_with(tools=TOOLS))
    assert call["usage"]["completion_tokens"] == len(tokens('order{"item":"text","count":2}'))


def test_a_stop_sequence_ends_the_text() -> None:
    reply = builders.text("One two, three.", finish_reason="length")
    choice = only(both(reply, body_with(stop=["three", ", "], logprobs=True)))
    assert (choice["message"]["content"], choice["finish_reason"]) == ("One two", "stop")
    assert [token["token"] for token in choice["logprobs"]["content"]] == ["One", " two"]
    assert only(both(reply, body_with(stop="wo")))["message"]["content"] == "One t"


def test_log_probabilities_as_asked() -> None:
    body = body_with(logprobs=True, top_logprobs=4)
    logprobs = only(both(builders.text("Grüß Gott"), body))["logprobs"]
    assert logprobs["refusal"] is None
    assert "".join(token["token"] for token in logprobs["content"]) == "Grüß Gott"
    for token in logprobs["content"]:
        best = token["top_logprobs"]
        assert len({other["token"] for other in best}) == 4
        assert best[0] == {key: token[key] for key in ("token", "logprob", "bytes")}
        values = [other["logprob"] for other in best]
        assert values == sorted(values, reverse=True)
        assert max(values) < 0
    logprobs = only(both(builders.refusal("No."), body_with(logprobs=True)))["logprobs"]
    assert logprobs["content"] is None
    assert [token["top_logprobs"] for token in logprobs["refusal"]] == [[], []]
    most = only(both(builders.text(" the, a"), body_with(logprobs=True, top_logprobs=20)))[
        "logprobs"
    ]
    for token in most["content"]:
        assert len({other["token"] for other in token["top_logprobs"]}) == 20
    assert len({token["logprob"] for token in most["content"]}) == 3


def test_log_probabilities_are_the_same_in_every_run() -> None:
    answer = builders.text("Hello!").completion(body_with(logprobs=True, top_logprobs=2), STAMP)
    tokens = only(answer)["logprobs"]["content"]
    assert [(t["token"], t["logprob"]) for t in tokens] == [("Hello", -0.077962), ("!", -0.105361)]
    assert [t["top_logprobs"][1]["logprob"] for t in tokens] == [-3.283409, -2.995728]


def test_choices_differ() -> None:
    reply = builders.choices(
        builders.text("One."), builders.refusal("No."), builders.tool_call("order")
    )
    answer = both(reply, body_with(n=3, tools=TOOLS))
    assert [c["finish_reason"] for c in answer["choices"]] == ["stop", "stop", "tool_calls"]
    assert answer["choices"][1]["message"]["refusal"] == "No."


def test_choices_take_turns_in_a_stream() -> None:
    chunks = builders.text("a b c").chunks(body_with(n=2, stream=True), STAMP)
    order = [chunk["choices"][0]["index"] for chunk in chunks]
    assert order == [0, 1] * (len(order) // 2)
    assert len(order) == 2 * (1 + 3 + 1)


def test_a_stream_chunk_by_chunk() -> None:
    body = body_with(stream=True, stream_options={"include_usage": True})
    chunks = builders.text("Hello, world").chunks(body, STAMP)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello"},
        {"content": ","},
        {"content": " world"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * 4 + ["stop"]
    assert [c["usage"] for c in chunks[:-1]] == [None] * 5
    assert chunks[-1]["choices"] == []
    assert {(c["id"], c["created"], c["system_fingerprint"]) for c in chunks} == {STAMP}


def test_obfuscation_hides_lengths_unless_turned_off() -> None:
    reply = builders.text("I see: extraordinarily")
    padded = reply.chunks(body_with(stream=True), STAMP)
    assert len({len(json.dumps(chunk)) % 16 for chunk in padded[1:-1]}) == 1
    assert len({chunk["obfuscation"] for chunk in padded}) == len(padded)
    for setting in (True, None):
        body = body_with(stream=True, stream_options={"include_obfuscation": setting})
        assert reply.chunks(body, STAMP) == padded
    bare = body_with(stream=True, stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in chunk for chunk in reply.chunks(bare, STAMP))


def test_a_single_call_begins_with_the_role() -> None:
    chunks = builders.tool_call("order", '{"item":"x"', id="call_1").chunks(
        body_with(tools=[{"type": "function", "function": {"name": "order"}}], stream=True), STAMP
    )
    first, *fragments, last = (chunk["choices"][0] for chunk in chunks)
    assert first["delta"]["role"] == "assistant"
    assert first["delta"]["tool_calls"] == [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "order", "arguments": ""},
        }
    ]
    assert len(fragments) > 2
    pieces = [f["delta"]["tool_calls"][0]["function"]["arguments"] for f in fragments]
    assert "".join(pieces) == '{"item":"x"'
    assert (last["delta"], last["finish_reason"]) == ({}, "tool_calls")


def test_a_call_behind_text_begins_after_the_role() -> None:
    reply = builders.tool_calls(builders.tool_call("list_items", {}), content="So")
    chunks = reply.chunks(body_with(tools=TOOLS, stream=True), STAMP)
    first, text, call, *_ = (chunk["choices"][0]["delta"] for chunk in chunks)
    assert first == {"role": "assistant", "content": "", "refusal": None}
    assert text == {"content": "So"}
    assert call["tool_calls"][0]["function"] == {"name": "list_items", "arguments": ""}


def test_calls_finish_as_the_service_does() -> None:
    call = builders.tool_call("order")
    named = {"type": "function", "function": {"name": "order"}}
    assert only(both(call, body_with(tools=TOOLS, tool_choice=named)))["finish_reason"] == "stop"
    legacy = body_with(functions=[{"name": "order", "parameters": ORDER}])
    choice = only(both(call, legacy))
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {
        "name": "order",
        "arguments": '{"item":"text","count":2}',
    }
    assert "tool_calls" not in choice["message"]


def test_calls_have_ids_of_their_own() -> None:
    pair = builders.tool_calls(builders.tool_call("order"), builders.tool_call("order", id="mine"))
    answer = pair.completion(body_with(tools=TOOLS, n=2), STAMP)
    ids = [call["id"] for c in answer["choices"] for call in c["message"]["tool_calls"]]
    assert ids.count("mine") == 2
    generated = [id_ for id_ in ids if id_ != "mine"]
    assert len(set(generated)) == 2
    assert all(re.fullmatch("call_[A-Za-z0-9]{24}", id_) for id_ in generated)
    other = pair.completion(body_with(tools=TOOLS), stamp_of("test", 1))
    assert only(other)["message"]["tool_calls"][0]["id"] not in ids


def test_allowed_tools() -> None:
    def body(mode: str, *names: str) -> dict[str, Any]:
        named = [{"type": "function", "function": {"name": name}} for name in names]
        allowed = {"mode": mode, "tools": named}
        return body_with(
            tools=TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": allowed}
        )

    both(builders.tool_call("order"), body("required", "order"))
    both(builders.text(), body("auto", "order"))
    misfit(builders.tool_call("list_items"), body("auto", "order"), 'allows "order"')
    nameless = body("auto")
    nameless["tool_choice"]["allowed_tools"]["tools"] = [{"type": "function", "function": {}}]
    misfit(builders.tool_call("order"), nameless, "its tool_choice allows no tools; call one")
    misfit(builders.text(), body("required", "order"), "tool_choice is required")


def test_audio_is_silence_in_the_format_asked_for() -> None:
    answer = both(builders.audio("Hello there."), body_with(**SPEECH))
    sound = only(answer)["message"]["audio"]
    data = base64.b64decode(sound["data"], validate=True)
    assert (data[:4], data[8:12]) == (b"RIFF", b"WAVE")
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[40:44], "little") == len(data) - 44
    assert sound["transcript"] == "Hello there."
    assert sound["expires_at"] == STAMP.created + 3600
    assert only(answer)["message"]["content"] is None
    details = answer["usage"]["completion_tokens_details"]
    assert details["audio_tokens"] + details["text_tokens"] == answer["usage"]["completion_tokens"]
    assert (details["audio_tokens"], details["text_tokens"]) == (2 * 3, 3)
    for format_ in ("pcm16", "mp3"):
        body = body_with(modalities=["audio"], audio={"voice": "alloy", "format": format_})
        raw = base64.b64decode(only(both(builders.audio(), body))["message"]["audio"]["data"])
        assert raw.strip(b"\0") == (
            b"" if format_ == "pcm16" else b"silence that is not encoded as mp3"
        )


def test_empty_speech_is_not_empty_sound() -> None:
    body = body_with(modalities=["audio"], audio={"voice": "alloy", "format": "pcm16"})
    sound = only(builders.audio("").completion(body, STAMP))["message"]["audio"]
    assert base64.b64decode(sound["data"]) == bytes(24_000 * 2 // 100)  # a hundredth of a second


def test_audio_in_a_stream() -> None:
    chunks = builders.audio("Hello there.").chunks(body_with(**SPEECH, stream=True), STAMP)
    first, *rest, finish, update = (chunk["choices"][0] for chunk in chunks)
    assert first["delta"]["audio"].keys() == {"id", "transcript"}
    assert not any("id" in c["delta"]["audio"] for c in rest)  # clients append a repeated id
    assert (finish["delta"], finish["finish_reason"]) == ({}, "stop")
    assert update == {"index": 0, "delta": {"audio": {"expires_at": STAMP.created + 3600}}}
    pieces = [c["delta"]["audio"]["data"] for c in rest if "data" in c["delta"]["audio"]]
    assert len(pieces) == 2
    assert all(base64.b64decode(piece, validate=True) for piece in pieces)


def test_replies_and_stamps_are_the_same_each_time() -> None:
    body = body_with(n=2, logprobs=True, top_logprobs=2)
    reply = builders.text("Hello, world")
    first = reply.completion(body, STAMP)
    first["choices"][0]["logprobs"]["content"].clear()
    first["choices"][0]["message"]["content"] = "spoiled"
    again = builders.text("Hello, world").completion(
        body, stamp_of("tests/test_shop.py::test_order", 0)
    )
    assert again == reply.completion(body, STAMP)
    assert again["choices"][0]["message"]["content"] == "Hello, world"
    assert body == body_with(n=2, logprobs=True, top_logprobs=2)
    with pytest.raises(AttributeError):
        reply.label = "other"  # type: ignore[misc]


def test_stamps() -> None:
    first, second, other = stamp_of("a", 0), stamp_of("a", 1), stamp_of("b", 0)
    assert re.fullmatch("chatcmpl-[A-Za-z0-9]{29}", first.id)
    assert re.fullmatch("fp_[0-9a-f]{10}", first.fingerprint)
    assert len({first.id, second.id, other.id}) == 3
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert second.created == first.created + 1


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_tokens_are_about_four_characters() -> None:
    english = "The quick brown fox jumps over the lazy dog, and nobody knows why it does so. " * 9
    assert 3 < len(english) / len(tokens(english)) < 5


# -- any content, any request ------------------------------------------------------------

_TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd<["), max_size=60
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    body = body_with(
        messages=draw(
            st.lists(
                st.fixed_dictionaries({"role": st.just("user"), "content": _TEXTS}),
                min_size=1,
                max_size=3,
            )
        )
    )
    options: dict[str, Any] = {
        "n": st.integers(1, 4),
        "max_completion_tokens": st.integers(1, 20),
        "max_tokens": st.integers(1, 20),
        "stop": st.one_of(_TEXTS, st.lists(_TEXTS, min_size=1, max_size=4)),
        "logprobs": st.booleans(),
        "service_tier": st.sampled_from(["auto", "default", "flex", "scale", "priority", "fast"]),
        "parallel_tool_calls": st.just(True),
        "tools": st.just(TOOLS),
        "tool_choice": st.just("auto"),
        "temperature": st.just(0.5),
    }
    for name in draw(st.sets(st.sampled_from(sorted(options)))):
        body[name] = draw(options[name])
    if body.get("logprobs"):
        body["top_logprobs"] = draw(st.integers(0, 20))
    return body


@given(bodies(), _TEXTS, st.integers(0, 30))
def test_any_text_answers_any_request(body: dict[str, Any], content: str, thoughts: int) -> None:
    reply = builders.text(content, reasoning_tokens=thoughts)
    whole = reply.completion(body, STAMP)
    # An empty reply without a reason is the one thing that breaks a rule, and is still allowed.
    silent = whole["choices"][0]["message"]["content"] == "" and not thoughts
    legal = {"S09"} if silent and whole["choices"][0]["finish_reason"] == "stop" else set()
    assert {finding[:3] for finding in findings(body, whole)} == legal
    chunks = reply.chunks({**streamed(body), "stream_options": {"include_usage": True}}, STAMP)
    stream = {**streamed(body), "stream_options": {"include_usage": True}}
    assert {finding[:3] for finding in findings(stream, chunks)} == legal
    joined = assemble(chunks)
    for choice in whole["choices"]:
        del choice["message"]["annotations"]
    assert joined == whole


@given(bodies(), _TEXTS.filter(bool), st.dictionaries(_TEXTS, _TEXTS, max_size=3))
def test_any_refusal_and_any_call(
    body: dict[str, Any], text: str, arguments: dict[str, str]
) -> None:
    both(builders.refusal(text), body)
    body["tools"] = TOOLS
    call = builders.tool_call("list_items", arguments)
    both(builders.tool_calls(call, builders.custom_tool_call("run_code", text)), body)


# -- what does not fit -------------------------------------------------------------------


def misfit(reply: Reply, body: dict[str, Any], message: str) -> None:
    for answer in (reply.completion, reply.chunks):
        with pytest.raises(SettingError, match=re.escape(message)) as caught:
            answer(body, STAMP)
        assert "\n" not in str(caught.value)
        assert " does not fit this request: " in str(caught.value)


NAMED = {"type": "function", "function": {"name": "order"}}
ONE = builders.tool_call("list_items", {})
MISFITS = {
    "not-offered": (
        builders.tool_call("odrer", {}),
        {"tools": TOOLS},
        "or call one of these: did you mean order?",
    ),
    "no-tools": (ONE, {}, "it offers no tools; offer the tool in `tools`, or reply with text()"),
    "custom": (builders.tool_call("run_code"), {"tools": TOOLS}, "use custom_tool_call()"),
    "function": (builders.custom_tool_call("order", ""), {"tools": TOOLS}, "use tool_call()"),
    "strict": (
        builders.tool_call("order", {"item": "x"}),
        {"tools": TOOLS},
        'the tool is strict, and "{\\"item\\":\\"x\\"}" does not fit its schema: \'count\' is',
    ),
    "strict-text": (builders.tool_call("order", "{"), {"tools": TOOLS}, "is not JSON"),
    "none": (ONE, {"tools": TOOLS, "tool_choice": "none"}, "its tool_choice is none"),
    "other": (ONE, {"tools": TOOLS, "tool_choice": NAMED}, 'its tool_choice forces "order"'),
    "required": (
        builders.text(),
        {"tools": TOOLS, "tool_choice": "required"},
        "its tool_choice is required; reply with tool_call('order')",
    ),
    "forced": (builders.text(), {"tools": TOOLS, "tool_choice": NAMED}, 'forces "order"; reply'),
    "parallel": (
        builders.tool_calls(ONE, ONE),
        {"tools": TOOLS, "parallel_tool_calls": False},
        "its parallel_tool_calls is false; make one call",
    ),
    "legacy-parallel": (
        builders.tool_calls(ONE, ONE),
        {"functions": [{"name": "list_items"}]},
        "called one at a time",
    ),
    "audio": (builders.audio(), {}, 'its modalities are ["text"]; request'),
    "audio-format": (builders.audio(), {"modalities": ["audio"]}, "it has no `audio` parameter"),
    "structured": (builders.structured({}), {}, "it has no response_format; send one"),
    "structured-text": (
        builders.structured(),
        {"response_format": {"type": "text"}},
        "it has no response_format",
    ),
    "structured-broken": (
        builders.structured({"item": "x", "count": 1}),
        {"response_format": SCHEMA},
        "does not fit its schema at $.count: 1 is less than the minimum of 2",
    ),
    "structured-object": (
        builders.structured([1]),
        {"response_format": {"type": "json_object"}},
        "[1] is not of type 'object'",
    ),
    "structured-stop": (
        builders.structured(),
        {"response_format": SCHEMA, "stop": ","},
        "is not JSON",
    ),
    "text-for-json": (
        builders.text(),
        {"response_format": SCHEMA},
        'its response_format is json_schema, and "Hello!" is not JSON',
    ),
    "audio-for-json": (builders.audio(), {**SPEECH, "response_format": SCHEMA}, "is not JSON"),
    "choices": (
        builders.choices(builders.text(), builders.text()),
        {},
        "it asks for n = 1, and the reply has 2 choices; request n = 2, or reply with 1 choice",
    ),
    "choices-few": (
        builders.choices(builders.text()),
        {"n": 3},
        "the reply has 1 choice; request n = 1, or reply with 3 choices",
    ),
    "arguments": (
        builders.tool_call("order"),
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "order",
                        "parameters": {
                            "properties": {"a": {"type": "string", "pattern": "^(?!x)(?=x)$"}},
                            "required": ["a"],
                        },
                    },
                }
            ]
        },
        "at #/properties/a/pattern: cannot generate a string that matches '^(?!x)(?=x)$'; pass",
    ),
    "schema": (
        builders.structured(),
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"not": {}}},
            }
        },
        "cannot generate a value for the schema at #: no candidate fits; pass the value",
    ),
}


@pytest.mark.parametrize("case", MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit(case: tuple[Reply, dict[str, Any], str]) -> None:
    reply, more, message = case
    misfit(reply, body_with(**more), message)


def test_a_choice_without_tools_requires_nothing() -> None:
    answer = builders.text().completion(body_with(tool_choice="required"), STAMP)
    assert only(answer)["message"]["content"] == "Hello!"


def test_what_is_not_strict_may_be_broken() -> None:
    """It lets tests of a client's error handling send it; the contract warns."""
    loose = [{"type": "function", "function": {"name": "order", "parameters": ORDER}}]
    body = body_with(tools=loose)
    broken = builders.tool_call("order", '{"item": "x')
    assert [f[:3] for f in findings(body, broken.completion(body, STAMP))] == ["C03"]
    body = body_with(
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": ORDER}}
    )
    answer = builders.structured({"item": 1}).completion(body, STAMP)
    assert [f[:3] for f in findings(body, answer)] == ["J02"]


BAD_CALLS = {
    "text": (lambda: builders.text({"a": 1}), "takes a str; for JSON use structured()"),
    "surrogate": (lambda: builders.text("ab\ud83d"), "unpaired surrogate at character 2"),
    "finish": (
        lambda: builders.text("", finish_reason="stopped"),
        "must be one of stop, length, content_filter, not",
    ),
    "tokens": (
        lambda: builders.reasoning("", -1),
        "reasoning_tokens must be an integer of at least 0",
    ),
    "cached": (lambda: builders.text("", cached_tokens=True), "cached_tokens must be an integer"),
    "nan": (lambda: builders.structured(float("nan")), "is not JSON (Out of range"),
    "object": (lambda: builders.tool_call("a", {"b": {1}}), "pass a value that json.dumps accepts"),
    "input": (lambda: builders.custom_tool_call("a", {}), "takes a str"),
    "refusal": (lambda: builders.refusal(""), "needs a text that is not empty"),
    "calls": (lambda: builders.tool_calls(builders.text()), 'takes tool calls, not text("Hello!")'),
    "no-calls": (lambda: builders.tool_calls(), "at least one"),
    "choices": (lambda: builders.choices(), "one reply for each choice"),
    "no-reply": (lambda: builders.tool_calls("One"), 'takes replies, not "One"; use text(...)'),
    "nested": (lambda: builders.choices(builders.choices(builders.text())), "no choices() inside"),
}


@pytest.mark.parametrize("case", BAD_CALLS.values(), ids=BAD_CALLS)
def test_wrong_arguments_of_builders(case: tuple[Any, str]) -> None:
    build, message = case
    with pytest.raises(SettingError, match=re.escape(message)):
        build()


def test_structured_takes_pydantic_models() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Order", item=(str, ...), count=(int, ...))
    choice = only(
        both(builders.structured(model(item="sofa", count=2)), body_with(response_format=SCHEMA))
    )
    assert choice["message"]["content"] == '{"item":"sofa","count":2}'


# -- values for schemas ------------------------------------------------------------------

NODE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["next", "kids"],
        },
        "Loop": {
            "type": "object",
            "properties": {"self": {"$ref": "#/$defs/Loop"}},
            "required": ["self"],
        },
        "Base": {"properties": {"a": {"const": 1}}, "required": ["a"]},
        "More": {"allOf": [{"$ref": "#/$defs/Base"}, {"required": ["b"]}]},
    }
}
VALUES: list[tuple[Any, Any]] = [
    (True, "text"),
    ({}, "text"),
    ({"type": "object", "properties": {"a": {}}}, {}),
    ({"type": ["null", "integer"], "minimum": 5}, 5),
    ({"type": "null"}, None),
    ({"type": "boolean"}, True),
    ({"const": {"a": None}}, {"a": None}),
    ({"enum": [None, "b"]}, "b"),
    ({"enum": ["a", "b"], "not": {"const": "a"}}, "b"),
    ({"type": "string", "examples": [1, "Paris"], "default": "Rome"}, "Paris"),
    ({"type": "string", "default": "Rome"}, "Rome"),
    ({"minimum": 3}, 3),
    ({"type": "integer", "exclusiveMinimum": -4, "maximum": -2}, -2),
    ({"type": "integer", "minimum": 1.5, "exclusiveMaximum": 2.5}, 2),
    ({"type": "integer", "multipleOf": 7, "minimum": 100, "maximum": 106}, 105),
    ({"type": "integer", "multipleOf": 1.5}, 3),
    ({"type": "number"}, 1.5),
    ({"type": "number", "exclusiveMinimum": 5}, 6),
    ({"type": "number", "exclusiveMaximum": -5}, -6),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001}, 0.0005),
    ({"type": "number", "multipleOf": 0.1, "minimum": 0.25, "maximum": 0.4}, 0.4),
    ({"type": "string", "minLength": 6}, "textte"),
    ({"type": "string", "maxLength": 2}, "te"),
    ({"type": "string", "maxLength": 0}, ""),
    ({"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"}, "AAA-1111"),
    ({"type": "string", "pattern": "^[a-z]+-[a-z]+$", "minLength": 8, "maxLength": 8}, "ffffff-f"),
    ({"type": "string", "pattern": r"^(?!a)\w+$"}, "bb"),
    ({"type": "string", "pattern": r"^(\d)-\1[^\w-]$"}, "1-1 "),
    ({"type": "string", "pattern": "^(?:x|y)[^a].?$"}, "xb"),
    ({"type": "string", "format": "date"}, "2025-01-15"),
    ({"type": "string", "format": "made-up"}, "text"),
    ({"type": "array"}, ["text"]),
    ({"type": "array", "maxItems": 0.0}, []),
    ({"type": "array", "minItems": 2.0}, ["text", "text"]),
    ({"type": "string", "minLength": 5.0, "maxLength": 5.0}, "textt"),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
    (
        {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
        [1, 2, 0],
    ),
    (
        {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True},
        ["a", "b"],
    ),
    (
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
        ["text", "text2"],
    ),
    (
        {"items": {"type": "string", "maxLength": 4}, "minItems": 2, "uniqueItems": True},
        ["text", "tex2"],
    ),
    ({"type": "string", "pattern": "^[a-z]{1,2}[0-9]*$", "minLength": 5}, "ee444"),
    ({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}]}, [None, True]),
    ({"type": "array", "contains": {"const": 5}, "minContains": 2}, [5, 5]),
    ({"type": "object", "minProperties": 1, "properties": {"a": {"type": "null"}}}, {"a": None}),
    (
        {"minProperties": 2, "propertyNames": {"pattern": r"^k\d+$"}, "additionalProperties": {}},
        {"k1": "text", "k22": "text"},
    ),
    (
        {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {"^x-": {"type": "integer"}},
            "additionalProperties": False,
        },
        {"x-": 1},
    ),
    ({"required": ["a"], "dependentRequired": {"a": ["b"]}}, {"a": "text", "b": "text"}),
    (
        {
            "properties": {"kind": {"enum": ["a", "b"]}},
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["x"]},
        },
        {"kind": "a", "x": "text"},
    ),
    ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
    ({"anyOf": [{"type": "string", "pattern": "^(?=x)$"}, {"type": "integer"}]}, 1),
    ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 1.5),
    ({"not": {"type": "string"}}, {}),
    ({"type": "object", "properties": {"a": {"type": "null"}}, "not": {"const": {}}}, {"a": None}),
    ({"type": "array", "not": {"minItems": 1}}, []),
    ({"type": "array", "items": {"enum": ["a", "b"]}, "not": {"const": ["a"]}}, ["b"]),
    (
        {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 2,
            "not": {"prefixItems": [{"const": 1}]},
        },
        [2, 1],
    ),
    ({"type": "number", "not": {"enum": [1.5, 1, 0]}}, 2),
    ({"allOf": [{"type": "number"}, {"type": "integer"}]}, 1),
    ({"allOf": [{"type": "integer"}, {"type": ["number", "null"]}]}, 1),
    ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, "b"),
    (
        {
            "allOf": [
                {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            ]
        },
        1,
    ),
    (NODE | {"$ref": "#/$defs/Node"}, {"next": None, "kids": []}),
    (
        NODE | {"allOf": [{"$ref": "#/$defs/Base"}, {"$ref": "#/$defs/More"}], "type": "object"},
        {"a": 1, "b": "text"},
    ),
]


@pytest.mark.parametrize(("schema", "expected"), VALUES, ids=[str(v[0])[:60] for v in VALUES])
def test_a_value_fits(schema: Any, expected: Any) -> None:
    value = fitting_value(schema)
    assert value == expected
    assert type(value) is type(expected)
    Draft202012Validator(schema).validate(value)


def test_unique_items_are_generated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    same = schema_values._same

    def counted(one: Any, other: Any) -> bool:
        nonlocal compared
        compared += 1
        return same(one, other)

    monkeypatch.setattr(schema_values, "_same", counted)
    items = fitting_value(
        {"type": "array", "items": {"type": "integer"}, "minItems": 60, "uniqueItems": True}
    )
    assert len(set(items)) == 60
    assert compared <= 60 * 60


@pytest.mark.parametrize("name", schema_values._FORMATS)
def test_formats(name: str) -> None:
    schema = {"type": "string", "format": name}
    value = fitting_value(schema)
    assert value == schema_values._FORMATS[name]
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (False, "at #: no value is allowed here"),
        ({"enum": []}, "at #: no candidate fits"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "at #: no candidate"),
        ({"type": "wat"}, "at #: 'wat' is not valid"),
        ({"$ref": "https://example.com/x"}, "at #: Unresolvable"),
        ({"$ref": "#/$defs/gone"}, "at #: "),
        (
            {"$ref": "#x", "$defs": {"a": {"$anchor": "x", "type": "null"}}},
            "at #: '#x' points outside of the schema",
        ),
        (
            {"allOf": [{"type": "number"}, {"type": "string"}]},
            "at #: no value is allowed here",
        ),
        (NODE | {"$ref": "#/$defs/Loop"}, "at #/properties/self: #/$defs/Loop refers to itself"),
        ({"$ref": "#"}, "endless recursion"),
        (
            {
                "properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}, {"type": "null"}]}},
                "required": ["a"],
            },
            "at #: the search was given up: endless recursion",
        ),
        ({"type": "string", "minLength": 10**7}, "at #/minLength: 10000000 characters"),
        ({"type": "array", "minItems": 10**7}, "at #/minItems: 10000000 items"),
        (
            {"type": "string", "pattern": "abc", "maxLength": 2},
            "at #/pattern: cannot generate a string that matches 'abc'",
        ),
        (
            {
                "properties": {"a": {"type": "array", "items": {"enum": []}, "minItems": 1}},
                "required": ["a"],
            },
            "at #/properties/a/items: no candidate",
        ),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
            "at #: no candidate",
        ),
        (
            {"properties": {"a": False}, "required": ["a"]},
            "at #/properties/a: no value is allowed here",
        ),
        (
            {
                "properties": {"a": {"anyOf": [{"enum": []}, {}]}, "b": {"enum": []}},
                "required": ["a", "b"],
            },
            "at #/properties/b: no candidate",
        ),
    ],
)
def test_no_value_fits(schema: Any, message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
        fitting_value(schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [11, 12])
def test_a_member_has_a_dozen_values(number: int) -> None:
    """More than that are not tried, since the numbers of members multiply."""
    schema = {
        "properties": {"a": {"enum": list(range(20))}},
        "required": ["a"],
        "not": {"properties": {"a": {"maximum": number - 1}}},
    }
    if number < 12:
        assert fitting_value(schema) == {"a": number}
    else:
        with pytest.raises(SettingError, match="no candidate fits"):
            fitting_value(schema)


def test_a_search_without_end_is_given_up() -> None:
    names = "abcdefgh"
    every = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    node = {"type": "object", "properties": every, "anyOf": [{"required": [n]} for n in names]}
    with pytest.raises(SettingError, match="at #: the search takes too many steps"):
        fitting_value({"$defs": dict.fromkeys(names, node), "$ref": "#/$defs/a"})


def test_a_message_that_quotes_a_schema_is_short() -> None:
    with pytest.raises(SettingError, match=r"#: PointerToNowhere.*\.\.\.$") as caught:
        fitting_value({"$ref": "#/gone", "$defs": {str(n): {} for n in range(999)}})
    message = str(caught.value).partition("at #: ")[2]
    assert len(message) == schema_values._MESSAGE


def test_a_panic_below_jsonschema_is_a_schema_that_is_too_deep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The panic of a Rust library is not an `Exception`."""

    class PanicException(BaseException):
        pass

    def panic(*_: Any) -> bool:
        raise PanicException

    monkeypatch.setattr(type(validator_of({})), "is_valid", panic)
    with pytest.raises(SettingError, match="nested too deeply"):
        fitting_value({"enum": [1]})


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas that some value fits."""

    def bounded(low: str, high: str, numbers: st.SearchStrategy[Any]) -> Any:
        pairs = st.tuples(numbers, numbers).map(sorted)
        return pairs.map(lambda pair: {low: pair[0], high: pair[1]}) | st.just({})

    sizes = st.integers(0, 9)
    leaves = st.one_of(
        st.just({"type": "null"}),
        st.just({"type": "boolean"}),
        bounded("minimum", "maximum", st.integers(-50, 50)).map({"type": "integer"}.__or__),
        bounded("minimum", "maximum", st.floats(-1e6, 1e6)).map({"type": "number"}.__or__),
        st.integers(1, 40).map(lambda step: {"type": "integer", "multipleOf": step, "minimum": 7}),
        bounded("minLength", "maxLength", sizes).map({"type": "string"}.__or__),
        st.sampled_from(sorted(schema_values._FORMATS)).map(
            lambda name: {"type": "string", "format": name}
        ),
        st.lists(st.integers() | st.text(max_size=3) | st.none(), min_size=1, max_size=3).map(
            lambda values: {"enum": values}
        ),
        st.sampled_from([r"^\d{3}$", "^a+b?$", r"^[A-F0-9]{2,4}$", r"\w+@\w+\.com"]).map(
            lambda pattern: {"type": "string", "pattern": pattern}
        ),
        st.just({}),
    )

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        members = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
        objects = st.tuples(members, st.sets(st.sampled_from("abcd")), st.booleans()).map(
            lambda drawn: {
                "type": "object",
                "properties": drawn[0],
                "required": sorted(drawn[1] & drawn[0].keys()),
                "additionalProperties": drawn[2],
            }
        )
        lists = st.tuples(inner, bounded("minItems", "maxItems", sizes)).map(
            lambda drawn: {"type": "array", "items": drawn[0], **drawn[1]}
        )
        either = st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts})
        every = inner.map(lambda part: {"allOf": [part, {"description": "x"}]})
        return st.one_of(objects, lists, either, every)

    return st.recursive(leaves, nested, max_leaves=8)


@settings(max_examples=100)
@given(schemas())
def test_any_schema_gets_a_value(schema: dict[str, Any]) -> None:
    value = fitting_value(schema)
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=checker).validate(value)
    assert fitting_json(json.dumps(schema)) == fitting_json(json.dumps(schema))
    assert json.loads(fitting_json(json.dumps(schema))) == value


@given(schemas(), st.booleans())
def test_any_schema_in_a_request(schema: dict[str, Any], strict: bool) -> None:
    inner = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    tool = {"name": "use", "parameters": inner, "strict": strict}
    both(builders.tool_call("use"), body_with(tools=[{"type": "function", "function": tool}]))
    json_schema = {"name": "made", "schema": schema, "strict": strict}
    body = body_with(response_format={"type": "json_schema", "json_schema": json_schema})
    both(builders.structured(), body)
