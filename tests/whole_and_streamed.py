"""One answer in both forms: as a whole, and as a stream of the same fragments."""

from __future__ import annotations

import json
from typing import Any

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.findings import Finding

OPENAI = "https://api.openai.com/v1/chat/completions"
VLLM = "http://127.0.0.1:8000/v1/chat/completions"
USAGE = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
HEAD = {"id": "chatcmpl-9", "created": 1790000000, "model": "small-model"}


def exchange(
    ask: dict[str, Any],
    message: dict[str, Any],
    finish: str = "stop",
    *,
    streamed: bool,
    url: str = VLLM,
    usage: dict[str, Any] | None = USAGE,
    **choice: Any,
) -> Exchange:
    """What a server answers to `ask`: `message`, with these other members of its choice."""
    body = {"model": "small-model", "messages": [{"role": "user", "content": "JSON, please."}]}
    body.update(ask)
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    last = {"finish_reason": finish, "logprobs": None, **choice}
    if not streamed:
        answer = {
            **HEAD,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": said, **last}],
        }
        if usage is not None:
            answer["usage"] = usage
        response = Response(200, {"content-type": "application/json"}, json.dumps(answer))
        return Exchange(Request("POST", url, {}, body), response)
    body["stream"] = True
    if usage is not None:
        body["stream_options"] = {"include_usage": True, **body.get("stream_options", {})}
    calls = [{"index": at, **call} for at, call in enumerate(said.pop("tool_calls", []))]
    if calls:
        said["tool_calls"] = calls
    chunks = [
        {"choices": [{"index": 0, "delta": said, "logprobs": None, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, **last}]},
    ]
    if usage is not None:
        chunks.append({"choices": [], "usage": usage})
    events = [json.dumps({**HEAD, "object": "chat.completion.chunk", **c}) for c in chunks]
    text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    response = Response(200, {"content-type": "text/event-stream"}, text)
    return Exchange(Request("POST", url, {}, body), response)


def findings(
    ask: dict[str, Any], message: dict[str, Any], finish: str = "stop", **options: Any
) -> list[Finding]:
    """The errors and warnings, which have to be the same in both forms."""
    whole, streamed = (
        [
            finding
            for finding in check_exchange(
                exchange(ask, message, finish, streamed=streamed, **options)
            ).findings
            if finding.level != "note"
        ]
        for streamed in (False, True)
    )
    assert [(f.code, f.level, f.path) for f in streamed] == [
        (f.code, f.level, f.path) for f in whole
    ], (whole, streamed)
    return whole


def verdict(
    ask: dict[str, Any], message: dict[str, Any], finish: str = "stop", **options: Any
) -> dict[str, str]:
    """Code to level of the errors and warnings, the same in both forms."""
    return {f.code: f.level for f in findings(ask, message, finish, **options)}
