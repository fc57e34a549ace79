"""Good answers, on which faults are tried out: whole and streamed, as the contract's examples."""

from __future__ import annotations

import json
from typing import Any

from pytest_chatapi.contract.examples import changed
from pytest_chatapi.contract.exchange import Exchange, Request, fold_headers
from pytest_chatapi.recording.interaction import Interaction

_CHOICE = "response.body.choices[0]"
_SECOND = {
    "id": "call_b2",
    "type": "function",
    "function": {"name": "get_time", "arguments": '{"zone":"CET"}'},
}
_FRAGMENTS = [{"index": 1, **_SECOND}]
# Broken arguments of a strict tool are C10, and what a fault causes is said of the usual tool.
_LOOSE: dict[str, Any] = {"request.body.tools[0].function.strict": False}
_NAMED: dict[str, Any] = {
    **_LOOSE,
    "request.body.tool_choice": {"type": "function", "function": {"name": "get_weather"}},
}


def _chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    frame = changed("stream", {}).response
    assert frame is not None
    first = json.loads(str(frame.body).partition("\n")[0].removeprefix("data: "))
    return {**first, "choices": choices}


def _delta(index: int, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


_TOKENS = [
    {"token": "Hello", "logprob": -0.25, "bytes": [72, 101, 108, 108, 111], "top_logprobs": []},
    {"token": "!", "logprob": -0.125, "bytes": [33], "top_logprobs": []},
]
_EVENTS = "response.events"

EXCHANGES: dict[str, Exchange] = {
    "text": changed("text", {}),
    "stream": changed("stream", {}),
    "stream-usage": changed("stream-usage", {}),
    "tools": changed("tools", _LOOSE),
    "tools-stream": changed("tools-stream", _LOOSE),
    "parallel": changed(
        "tools", {**_LOOSE, f"{_CHOICE}.message.tool_calls": {"$append": [_SECOND]}}
    ),
    "parallel-stream": changed(
        "tools-stream",
        {**_LOOSE, f"{_EVENTS}[3]": {"$insert": [_chunk([_delta(0, tool_calls=_FRAGMENTS)])]}},
    ),
    "named": changed("tools", {**_NAMED, f"{_CHOICE}.finish_reason": "tool_calls"}),
    "named-stream": changed("tools-stream", _NAMED),
    "logprobs": changed("logprobs", {}),
    "logprobs-stream": changed(
        "stream",
        {
            "request.body.logprobs": True,
            f"{_EVENTS}[1].choices[0].logprobs": {"content": _TOKENS[:1], "refusal": None},
            f"{_EVENTS}[2].choices[0].logprobs": {"content": _TOKENS[1:], "refusal": None},
        },
    ),
    "two": changed(
        "text",
        {
            "request.body.n": 2,
            "response.body.choices": {
                "$append": [
                    {
                        "index": 1,
                        "message": {"role": "assistant", "content": "Hi!", "refusal": None},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ]
            },
        },
    ),
    "two-stream": changed(
        "stream",
        {
            "request.body.n": 2,
            f"{_EVENTS}[3]": {
                "$insert": [
                    _chunk([_delta(1, role="assistant", content="Hi")]),
                    _chunk([_delta(1, content=" there.")]),
                    _chunk([_delta(1, "stop")]),
                ]
            },
        },
    ),
}
"""Valid exchanges by name; those whose name ends with ``stream`` or ``usage`` are streamed."""


def interaction(exchange: Exchange) -> Interaction:
    """As a recording or a mock gives it: a stream in one piece for each event, 0.1 s apart."""
    request, response = exchange.request, exchange.response
    assert request is not None
    assert response is not None
    body = response.content
    pieces = [event + b"\n\n" for event in body.split(b"\n\n")[:-1]] or [body]
    return Interaction(
        Request(request.method, request.url, fold_headers(request.headers), request.body),
        response.status,
        "OK",
        list(fold_headers(response.headers).items()),
        pieces,
        [round(0.1 * (at + 1), 1) for at in range(len(pieces))],
    )


ANSWERS = {name: interaction(exchange) for name, exchange in EXCHANGES.items()}
