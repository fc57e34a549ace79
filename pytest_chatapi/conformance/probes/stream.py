"""Probes of a stream's life cycle, from what may refuse it to its last event."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pytest_chatapi.conformance.probe import (
    BOTH,
    Mode,
    fail,
    non_strict,
    not_exercised,
    probe,
)
from pytest_chatapi.conformance.probes.transport import listed_models
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import show

_LONGEST_CONTEXT = 65_536
"""Tokens. A prompt beyond it is sent at once and refused, or else has to be paid for."""

_WINDOWS = "max_model_len", "context_length", "context_window", "max_context_length", "n_ctx_train"
"""Names that servers have for the length of the context in their lists of models: vLLM and SGLang;
OpenRouter; Groq; Mistral and LM Studio; llama.cpp (in `meta`)."""

_CITY = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def _stream(server: Server, prompt: str = "Say hello.", **members: Any) -> Reply:
    """A response that is a stream.

    Raises:
        Outcome: it is none, or was refused.
    """
    most = {"max_completion_tokens": 16}
    reply = server.chat(prompt, mode="stream", **{**most, **members}).accepted("stream")
    _needs_chunks(reply)
    return reply


def _steady(server: Server, tokens: int = 16) -> dict[str, Any]:
    """Members of a request whose reply should not vary."""
    return {**server.steady, "seed": 7, "max_completion_tokens": server.room(tokens)}


def _needs_chunks(reply: Reply) -> None:
    if not reply.frames:
        raise fail(
            "the response is not a stream of chunks",
            expected="text/event-stream",
            got=reply.headers.get("content-type", "no content type"),
        )


@probe(
    "stream.usage",
    "`include_usage` gets one chunk with usage and without choices, after the last choice",
    codes="T13 T15 T09 T08",
)
def usage(server: Server) -> None:
    _stream(server)


@probe("stream.no-usage", "without `include_usage` no chunk has usage", codes="T14")
def no_usage(server: Server) -> None:
    reply = _stream(server, stream_options=...)
    for frame in reply.frames:
        if not isinstance(frame.get("usage"), dict):
            continue
        if frame.get("choices") == []:
            raise fail(
                "an unrequested usage chunk with empty choices",
                expected="no such chunk",
                got='"choices": []',
            )
        raise non_strict("unrequested usage", expected="no usage", got="usage in a chunk")


@probe(
    "stream.usage-equals-whole",
    "a stream and a whole response count the same tokens",
    codes="U02",
    requests=4,
    tokens=160,
)
def usage_equals_whole(server: Server) -> None:
    whole = server.chat("Count to five.", mode="whole", **_steady(server)).accepted()
    streamed = _stream(server, "Count to five.", **_steady(server))
    if not whole.usage or not streamed.usage:
        raise not_exercised("a response has no usage")
    # The prompt is the same whatever the model says to it.
    _same_counts(whole, streamed, "prompt_tokens")
    server.needs_determinism()
    if (whole.text, whole.finish) != (streamed.text, streamed.finish):
        raise not_exercised("the texts differ, and with them how many tokens they take")
    _same_counts(whole, streamed, "completion_tokens")
    _same_counts(whole, streamed, "total_tokens")


def _same_counts(whole: Reply, streamed: Reply, name: str) -> None:
    expected, got = whole.usage.get(name), streamed.usage.get(name)
    if expected != got:
        raise fail(
            f"the stream has another number of {name} than the whole response",
            expected=str(expected),
            got=str(got),
        )


@probe(
    "stream.equals-whole",
    "a stream has the text and finish_reason of the whole response",
    codes="T16",
    requests=6,
    tokens=160,
)
def equals_whole(server: Server) -> None:
    server.needs_determinism()

    def ask(mode: Mode) -> Reply:
        return server.chat("Count to five.", mode=mode, **_steady(server)).accepted("stream")

    _compare(ask, lambda reply: {"text": reply.text, "finish_reason": reply.finish})


@probe(
    "stream.calls-equal-whole",
    "a stream has the tool call of the whole response",
    codes="T16",
    requests=4,
    tokens=400,
)
def calls_equal_whole(server: Server) -> None:
    def ask(mode: Mode) -> Reply:
        members = _steady(server, 64)
        prompt = "What is the weather in Paris?"
        reply = server.chat(prompt, mode=mode, tools=[_CITY], tool_choice="required", **members)
        if not reply.without("K06").accepted("tool").calls:
            raise not_exercised("a response has no call, though one is required")
        return reply

    def value(reply: Reply) -> JSONObject:
        functions = [call.get("function") for call in reply.calls]
        known = [function for function in functions if isinstance(function, dict)]
        return {
            "function": [function.get("name") for function in known],
            "arguments": [_parsed(function.get("arguments")) for function in known],
            "finish_reason": reply.finish,
        }

    _compare(ask, value)


def _parsed(text: JSON) -> JSON:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _compare(ask: Callable[[Mode], Reply], value: Callable[[Reply], JSONObject]) -> None:
    """Compare whole and streamed responses to the same request. What differs is asked for twice: a
    server may be deterministic for one prompt and not for another.
    """

    def stream() -> JSONObject:
        reply = ask("stream")
        _needs_chunks(reply)
        return value(reply)

    whole, streamed = value(ask("whole")), stream()
    if whole == streamed:
        if not next(iter(whole.values())):
            raise not_exercised("the responses are empty")
        return
    if value(ask("whole")) != whole or stream() != streamed:
        raise not_exercised("the same request twice gives two responses")
    name = next(name for name in whole if whole[name] != streamed[name])
    raise fail(
        f"the stream has another {name} than the whole response",
        expected=show(str(whole[name])),
        got=show(str(streamed[name])),
    )


@probe(
    "stream.life-cycle",
    "a role first, one finish_reason, nothing behind it, one [DONE]",
    codes="T04 T05 T06 T07 T08",
)
def life_cycle(server: Server) -> None:
    _stream(server)


@probe(
    "stream.disconnect",
    "clients that disconnect leave the server as it was",
    requests=4,
    tokens=200,
)
def disconnect(server: Server) -> None:
    for _ in range(3):
        reply = server.chat(
            "Count to a hundred.",
            mode="stream",
            stop_after=2,
            max_completion_tokens=server.room(64),
        ).accepted("stream")
        _needs_chunks(reply)
        if b"[DONE]" in reply.raw:
            raise not_exercised("the stream came all at once")
    server.chat(mode="whole", max_completion_tokens=16).accepted()


@probe(
    "stream.options-without-stream",
    "`stream_options` without `stream` is refused",
    is_illegal=True,
)
def options_without_stream(server: Server) -> None:
    reply = server.chat(
        mode="whole", stream_options={"include_usage": True}, max_completion_tokens=16
    )
    if reply.status == 200:
        raise non_strict("`stream_options` without `stream` is accepted", expected="400", got="200")
    reply.refused()


@probe(
    "stream.refused-before-first",
    "what is refused is refused by the status, not by an error in the stream",
    codes="T10 T18",
    requests=2,
    tokens=100,
    is_illegal=True,
)
def refused_before_first(server: Server) -> None:
    schema = {"name": "bad", "strict": True, "schema": {"type": 123}}
    bad = {"type": "json_schema", "json_schema": schema}
    is_refused = False
    requests: tuple[dict[str, Any], ...] = ({"response_format": bad}, {"messages": []})
    for members in requests:
        reply = server.chat(mode="stream", max_completion_tokens=16, **members)
        reply.without("J01", "J02", "J03")
        if any("error" in frame for frame in reply.frames):
            raise fail(
                "an error comes in the stream, behind a status of success",
                expected="400",
                got=str(reply.status),
            )
        if reply.status >= 500:
            raise fail("a bad request is a server error", expected="400", got=str(reply.status))
        is_refused |= reply.status >= 400
    if not is_refused:
        raise not_exercised("neither a bad schema nor a request without messages is refused")


@probe(
    "stream.context-overflow",
    "a prompt over the context is a 400 `context_length_exceeded`",
    modes=BOTH,
    codes="T10",
    requests=2,
)
def context_overflow(server: Server) -> None:
    own = [one for one in listed_models(server) if one.get("id") == server.model]
    places = [place for one in own for place in (one, one.get("meta")) if isinstance(place, dict)]
    lengths = [place[name] for place in places for name in _WINDOWS if name in place]
    length = next((one for one in lengths if isinstance(one, int) and one > 0), None)
    if length is None:
        raise not_exercised("the list of models does not say how long the context is")
    if length > _LONGEST_CONTEXT:
        raise not_exercised(f"the context of {length:,} tokens is too long to be filled by a check")
    # No tokenizer makes one token of two words.
    words = length + length // 8 + 8
    reply = server.chat(" ".join(str(n % 10) for n in range(words)), max_completion_tokens=16)
    if reply.status == 200:
        count = reply.usage.get("prompt_tokens")
        if isinstance(count, int) and count >= words:
            raise not_exercised(f"the context is longer than the {length:,} tokens that are listed")
        raise fail(
            "a prompt over the context is accepted, so a part of it was not read",
            expected="400",
            got=f"200 with {count} prompt_tokens of at least {words:,}",
        )
    code = reply.refused(400, 413, 422).error.get("code")
    if (reply.status, code) != (400, "context_length_exceeded"):
        raise non_strict(
            "clients do not see that the prompt is too long",
            expected="400 context_length_exceeded",
            got=f"{reply.status} {show(str(code))}",
        )


@probe("stream.framing", "events are `data:` and a blank line, in UTF-8", codes="E01")
def framing(server: Server) -> None:
    reply = _stream(server)
    if reply.raw.startswith(b"\xef\xbb\xbf"):
        raise non_strict("the stream begins with a byte-order mark", expected="data:", got="U+FEFF")
    try:
        reply.raw.decode()
    except UnicodeDecodeError as error:
        raise fail("the stream is not in UTF-8", expected="UTF-8", got=str(error)) from None


@probe("stream.keep-alive", "what keeps a stream alive is a comment, not an event", codes="T11")
def keep_alive(server: Server) -> None:
    lines = _stream(server).raw.splitlines()
    if not any(line.startswith(b":") for line in lines):
        raise not_exercised("nothing came to keep the stream alive")
