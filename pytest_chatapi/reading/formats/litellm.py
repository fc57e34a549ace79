"""LiteLLM's StandardLoggingPayload, which its proxy and its callbacks log for each call, and rows
of the proxy's table LiteLLM_SpendLogs, which are made of it.

It holds what the library returned: of a stream the chunks joined, of an error the exception.
Sources: ``StandardLoggingPayload`` in litellm/types/utils.py, and litellm/proxy/spend_tracking.
"""

from __future__ import annotations

import json
import re

from pytest_chatapi.contract.body_tests import objects_in
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.parts import printable
from pytest_chatapi.reading.registry import NotAnExchange
from pytest_chatapi.reading.shapes import (
    chat_request,
    is_chat_request,
    is_completion,
    is_of_other_api,
    lacks_tools,
    parsed,
    why_no_response,
    why_not_json,
)

_WRAPPER = "standard_logging_object"
_REDACTED = "redacted-by-litellm"
_TRUNCATED = "(litellm_truncated "
"""In a text that was too long for spend logs: in its middle, or of older versions at its end."""

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
    text = origin.text or json.dumps(value).encode()
    is_redacted = _REDACTED.encode() in text
    members = {} if is_redacted else _members(value)
    body = chat_request(members, response=response) if members else None
    if is_redacted or _TRUNCATED.encode() in text:
        uncompared = _cover(response)
        if body is not None:
            uncompared |= _FOR_CALLS if _has_broken_grammar(body) else frozenset()
            body = {name: item for name, item in body.items() if name not in uncompared}
    request = Request(url=url, body=body, partial=lacks_tools(body, members))
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


def _members(value: JSONObject) -> JSONObject:
    """Those of the request, as far as it was logged; none if that is not far enough."""
    model = value.get("model") or value.get("model_group") or None
    messages = parsed(value.get("messages"))
    if reason := why_not_json(messages, "request"):
        raise NotAnExchange(reason)
    if not isinstance(messages, list) or not messages:
        # Spend logs have the prompt in the body that the proxy received.
        received = parsed(value.get("proxy_server_request"))
        if not isinstance(received, dict) or not is_chat_request(received):
            return {}
        return {**received, "model": model or received.get("model")}
    if any(isinstance(message, str) for message in messages):
        return {}  # what its loggers make of an object: "Message(content=...)"
    parameters = parsed(value.get("model_parameters"))
    members = parameters if isinstance(parameters, dict) else {}
    return {**members, "model": model, "messages": messages}


def _cover(response: JSON) -> frozenset[str]:
    """Replace what is incomplete in a completion, and return the parameters of the request that it
    can no longer be compared with.
    """
    uncompared: frozenset[str] = frozenset()
    for choice in objects_in(response.get("choices") if isinstance(response, dict) else None):
        message = choice.get("message")
        if not isinstance(message, dict):
            continue
        if _is_incomplete(message.get("content")) or _is_incomplete(message.get("refusal")):
            choice.pop("logprobs", None)
            uncompared |= _FOR_TEXT
        for call in (message, *objects_in(message.get("tool_calls"))):
            for kind in ("function", "function_call"):
                inner = call.get(kind)
                if isinstance(inner, dict) and _is_incomplete(inner.get("arguments")):
                    inner["arguments"] = "{}"
                    uncompared |= _FOR_CALLS
            custom = call.get("custom")
            if isinstance(custom, dict) and _is_incomplete(custom.get("input")):
                uncompared |= _FOR_CALLS
    return uncompared


_FOR_TEXT = frozenset({"response_format", "logprobs", "top_logprobs"})
_FOR_CALLS = frozenset(
    {"tools", "functions", "tool_choice", "function_call", "parallel_tool_calls"}
)


def _is_incomplete(text: JSON) -> bool:
    return isinstance(text, str) and (_TRUNCATED in text or text == _REDACTED)


def _has_broken_grammar(body: JSONObject) -> bool:
    """Whether the definition of a custom tool is incomplete. Of functions, only descriptions are
    long enough for that.
    """
    tools = objects_in(body.get("tools"))
    return any("custom" in tool and _TRUNCATED in json.dumps(tool["custom"]) for tool in tools)


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
