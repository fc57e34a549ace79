"""LiteLLM's StandardLoggingPayload, which its proxy and its callbacks log for each call.

It holds what the library returned: of a stream the chunks joined, of an error the exception.
Source: ``StandardLoggingPayload`` in litellm/types/utils.py.
"""

from __future__ import annotations

import json
import re

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.parts import printable
from pytest_chatapi.reading.registry import NotAnExchange
from pytest_chatapi.reading.shapes import (
    chat_request,
    is_completion,
    is_of_other_api,
    parsed,
    why_no_response,
    why_not_json,
)

_WRAPPER = "standard_logging_object"
_REDACTED = b"redacted-by-litellm"

# What the names of call types contain, and the path of the API that it is.
_PATHS = {
    "responses": "/responses",
    "embedding": "/embeddings",
    "text_completion": "/completions",
    "image": "/images/generations",
    "transcription": "/audio/transcriptions",
    "speech": "/audio/speech",
    "moderation": "/moderations",
    "rerank": "/rerank",
    "anthropic_messages": "/v1/messages",
    "generate_content": "/models/model:generateContent",
    "realtime": "/realtime",
    "video": "/videos",
    "vector_store": "/vector_stores",
    "fine_tuning": "/fine_tuning/jobs",
    "batch": "/batches",
    "file": "/files",
    "assistant": "/assistants",
    "thread": "/threads",
    "message": "/threads/messages",
}


def _matches(value: JSONObject) -> bool:
    if isinstance(inner := value.get(_WRAPPER), dict):
        value = inner  # the arguments of a callback, as a whole
    return isinstance(value.get("call_type"), str) and (
        "response" in value or "model_parameters" in value or "messages" in value
    )


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    if isinstance(inner := value.get(_WRAPPER), dict):
        value = inner
    call_type = value["call_type"]
    path = _path(call_type)
    url = printable(value.get("api_base")).rstrip("/")
    url = url if url.endswith(path) else url + path
    response = parsed(value.get("response"))
    if call_type not in ("completion", "acompletion"):
        return Exchange(Request(url=url), Response(body=response or None), assembled=True)
    is_redacted = _REDACTED in (origin.text or json.dumps(value).encode())
    request = Request(url=url, body=None if is_redacted else _body(value, response))
    if is_completion(response):
        return Exchange(request, Response(body=response), assembled=True)
    failure = _failure(value)
    if not response or failure is not None or is_redacted:
        return Exchange(request, failure, assembled=True)
    if isinstance(response, dict):  # a completion without its choices, say
        answer = Response(body=response)
        of_other = is_of_other_api(None, answer)
        return Exchange(None if of_other else request, answer, assembled=True)
    raise NotAnExchange(why_no_response(response))


def _path(call_type: str) -> str:
    if call_type in ("completion", "acompletion"):
        return "/chat/completions"
    for part, path in _PATHS.items():
        if part in call_type:
            return path
    return f"/{call_type}"


def _body(value: JSONObject, response: JSON) -> JSON:
    """The request, as far as it was logged; ``None`` if that is not far enough."""
    messages = parsed(value.get("messages"))
    if reason := why_not_json(messages, "request"):
        raise NotAnExchange(reason)
    if not isinstance(messages, list) or not messages:
        return None
    if any(isinstance(message, str) for message in messages):
        return None  # what its loggers make of an object: "Message(content=...)"
    parameters = parsed(value.get("model_parameters"))
    members = parameters if isinstance(parameters, dict) else {}
    model = value.get("model") or value.get("model_group") or None
    return chat_request({**members, "model": model}, messages, response)


def _failure(value: JSONObject) -> Response | None:
    """The error that was raised; ``None`` if there was none, so the response was not logged."""
    details = value.get("error_information")
    details = details if isinstance(details, dict) else {}
    message = details.get("error_message") or value.get("error_str")
    if not message and value.get("status") != "failure":
        return None
    code = printable(details.get("error_code"))
    status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500
    kind = details.get("error_class")
    return Response(status, body={"error": {"message": message, "type": kind, "code": code}})


FORMAT = ValueFormat(
    name="LiteLLM",
    precedence=51,
    marks=frozenset({"call_type", _WRAPPER}),
    traces=re.compile(rb'"call_type"\s*:'),
    matches=_matches,
    exchange=_exchange,
)
