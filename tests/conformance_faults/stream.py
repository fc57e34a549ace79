"""What a server gets wrong between the first and the last event of a stream."""

from __future__ import annotations

import json
from typing import Any

from conformance_servers import Answered, Fault, body_of, edits, status, streamed


def _no_usage(value: dict[str, Any]) -> None:
    value["usage"] = None


def _unasked(choices: str) -> Fault:
    chunk = (
        b'data: {"id":"a","object":"chat.completion.chunk","created":1760000000,"model":"m",'
        b'"choices":%s,"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
    )

    def fault(answered: Answered) -> None:
        if answered.is_stream and "stream_options" not in answered.asked:
            done = b"data: [DONE]"
            answered.body = answered.body.replace(done, chunk % choices.encode() + done)

    return fault


@streamed
def _one_more(value: dict[str, Any]) -> None:
    if value.get("usage"):
        value["usage"]["completion_tokens"] += 1
        value["usage"]["total_tokens"] += 1


@streamed
def _longer_prompt(value: dict[str, Any]) -> None:
    if value.get("usage"):
        value["usage"]["prompt_tokens"] += 1
        value["usage"]["total_tokens"] += 1


@streamed
def _other_text(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        if choice["delta"].get("content"):
            choice["delta"]["content"] += "!"


@streamed
def _other_call(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        for call in choice["delta"].get("tool_calls", []):
            if "Paris" in call["function"].get("arguments", ""):
                call["function"]["arguments"] = call["function"]["arguments"].replace("Par", "Rom")


@streamed
def _no_finish(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        choice["finish_reason"] = None


def _no_done(answered: Answered) -> None:
    answered.body = answered.body.replace(b"data: [DONE]\n\n", b"")


def _refused_late(answered: Answered) -> None:
    if answered.asked.get("stream") and answered.status == 400:
        answered.headers["content-type"] = "text/event-stream"
        answered.status, answered.body = 200, b"data: " + answered.body + b"\n\ndata: [DONE]\n\n"


def context(length: int, refusal: dict[str, Any] | None = None, code: int = 400) -> Fault:
    """A context of so many tokens: what is beyond is refused, or else cut off."""

    def fault(answered: Answered) -> None:
        if answered.path.endswith("/models"):
            value = json.loads(answered.body)
            for model in value["data"]:
                model["max_model_len"] = length
            answered.body = body_of(value)
        elif answered.status == 200 and len(answered.body_asked) > 2 * length:
            if refusal is None:
                _cut(answered)
            else:
                answered.status, answered.body = code, body_of({"error": refusal})
                answered.headers["content-type"] = "application/json"

    def read(value: dict[str, Any]) -> None:
        if value.get("usage"):
            value["usage"] |= {"prompt_tokens": length - 2, "completion_tokens": 2}
            value["usage"]["total_tokens"] = length

    _cut = edits(read)
    return fault


TOO_LONG = {
    "message": "This model's maximum context length is 300 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}


def _capital(answered: Answered) -> None:
    answered.body = answered.body.replace(b"data: {", b"Data: {", 1)


def _ping(answered: Answered) -> None:
    if answered.is_stream:
        answered.body = b"data: : ping\n\n" + answered.body


def _comment(answered: Answered) -> None:
    if answered.is_stream:
        answered.body = b": ping\n\n" + answered.body


def _mark(answered: Answered) -> None:
    if answered.is_stream:
        answered.body = b"\xef\xbb\xbf" + answered.body


def _options_alone(answered: Answered) -> bool:
    return "stream_options" in answered.asked and not answered.asked.get("stream")


FAULTS: dict[str, tuple[Fault, str]] = {
    "stream.usage": (edits(_no_usage), "`include_usage` was requested, but no chunk has usage"),
    "stream.no-usage": (_unasked("[]"), "an unrequested usage chunk with empty choices"),
    "stream.usage-equals-whole": (_one_more, "another number of completion_tokens"),
    "stream.equals-whole": (_other_text, "the stream has another text than the whole response"),
    "stream.calls-equal-whole": (
        _other_call,
        "the stream has another arguments than the whole response",
    ),
    "stream.life-cycle": (_no_finish, "choice 0 never finishes"),
    "stream.disconnect": (
        status(503, lambda answered: answered.disconnects > 2),
        "a legal request is refused",
    ),
    "stream.options-without-stream": (
        status(500, _options_alone),
        "an illegal request is answered with another status",
    ),
    "stream.refused-before-first": (_refused_late, "an error comes in the stream"),
    "stream.context-overflow": (context(300), "a part of it was not read"),
    "stream.framing": (_capital, "clients skip a line with the field name 'Data:'"),
    "stream.keep-alive": (_ping, "the data of event 0 is not JSON"),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "stream.no-usage": (_unasked('[{"index":0,"delta":{}}]'), "unrequested usage"),
    "stream.options-without-stream": (status(200, _options_alone), "is accepted"),
    "stream.framing": (_mark, "byte-order mark"),
    "stream.life-cycle": (_no_done, "[DONE]"),
    "stream.context-overflow": (context(300, TOO_LONG, 413), "clients do not see"),
}

OBEDIENT = {"stream.context-overflow": "not-exercised", "stream.keep-alive": "not-exercised"}

MORE: dict[str, tuple[Fault, str]] = {
    "stream.usage-equals-whole": (_longer_prompt, "another number of prompt_tokens"),
    "stream.refused-before-first": (
        status(500, lambda answered: answered.status == 400),
        "a bad request is a server error",
    ),
}

PASS: dict[str, Fault] = {
    "stream.context-overflow": context(300, TOO_LONG),
    "stream.keep-alive": _comment,
}
