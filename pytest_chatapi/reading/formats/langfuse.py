"""Observations of Langfuse: its API's traces and lists, and its exports, one a line.

A generation has the messages of its request, and the message of its response or the whole
completion, as the integration that logged it had them. Only calls of chat completions are read;
of a message alone, only its text and its calls can be checked.
"""

from __future__ import annotations

import json
import re

from pytest_chatapi.contract.apis import NOT_UNDERSTOOD
from pytest_chatapi.contract.body_tests import objects_in
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.formats.exchange import CHAT_PATH
from pytest_chatapi.reading.formats.otel import conversation, is_known, lone_message, path_of
from pytest_chatapi.reading.registry import NotAnExchange
from pytest_chatapi.reading.shapes import (
    are_messages,
    chat_request,
    is_completion,
    is_of_other_api,
    parsed,
    why_not_json,
)

_TYPES = frozenset(
    "AGENT CHAIN EMBEDDING EVALUATOR EVENT GENERATION GUARDRAIL RETRIEVER SPAN TOOL".split()
)
_MARKS = frozenset(
    "traceId trace_id parentObservationId parent_observation_id usageDetails usage_details "
    "statusMessage status_message output input".split()
)


def _items(document: JSON) -> list[JSON] | None:
    if not isinstance(document, dict):
        return None
    for key in ("observations", "data"):
        items = document.get(key)
        if isinstance(items, list) and items and all(map(_is_observation, items)):
            return items
    return None


def _is_observation(value: JSON) -> bool:
    return isinstance(value, dict) and _matches(value)


def _matches(value: JSONObject) -> bool:
    kind = value.get("type")
    return isinstance(kind, str) and kind in _TYPES and not _MARKS.isdisjoint(value)


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    parameters = _parameters(value)
    is_chat = (
        value["type"] == "GENERATION"
        and are_messages(parameters.get("messages"))
        and isinstance(parameters["model"], str)
    )
    told = value.get("output")
    output = parsed(told)
    if isinstance(told, str) and isinstance(output, dict) and _message(output) is None:
        is_body = is_completion(output) or is_of_other_api(None, Response(body=output))
        output = output if is_body else told  # JSON that the model wrote
    reason = why_not_json(output, "response") if is_chat else ""
    if is_completion(output):
        reason = why_not_json(parameters.get("messages"), "request")
    if reason:
        raise NotAnExchange(reason)
    request = Request(url=CHAT_PATH, partial=True)
    if is_completion(output):
        response = Response(body=output)
    elif is_chat and (parts := _with_parts(output)) is not None:
        request.url = _path(value)
        if not is_known(parts):
            return Exchange(request, lacks=NOT_UNDERSTOOD.name)
        message = lone_message(parts, parts.get("finish_reason"))
        response = Response(body={"message": message, "usage": _usage(value)})
    elif is_chat and (message := _message(output)) is not None:
        response = Response(body={"message": message, "usage": _usage(value)})
    elif is_chat and output is None:
        response = None
    else:  # a span, or a generation of another kind: telemetry, by the path of its API
        return Exchange(Request(url="/api/public/ingestion"))
    if is_of_other_api(parameters, Response(body=output)):
        return Exchange(Request(body=parameters), Response(body=output))
    request.body = _request(parameters) if is_chat else None
    return Exchange(request, response, assembled=True)


def _parameters(value: JSONObject) -> JSONObject:
    """The members of the request, under whichever key they were logged."""
    asked = parsed(value.get("input"))
    members: JSONObject = {}
    for name in ("modelParameters", "model_parameters"):
        parameters = parsed(value.get(name))
        members.update(parameters if isinstance(parameters, dict) else {})
    members.update(asked if isinstance(asked, dict) else {"messages": asked})
    names = ("model", "providedModelName", "provided_model_name")
    members["model"] = next((value[name] for name in names if value.get(name)), None)
    return members


def _path(value: JSONObject) -> str:
    """The path of the API that a span of OpenTelemetry called, which Langfuse has taken in."""
    metadata = parsed(value.get("metadata"))
    attributes = parsed(metadata.get("attributes")) if isinstance(metadata, dict) else None
    return path_of(attributes) if isinstance(attributes, dict) else CHAT_PATH


def _alone(output: JSON) -> JSON:
    return output[0] if isinstance(output, list) and len(output) == 1 else output


def _with_parts(output: JSON) -> JSONObject | None:
    """The message of a response that has parts, as OpenTelemetry has them."""
    message = _alone(output)
    if not isinstance(message, dict) or "role" not in message or "parts" not in message:
        return None
    return message


def _request(parameters: JSONObject) -> JSON:
    """The body of the request; ``None`` if its messages have a form of their own."""
    asked = parameters["messages"]
    if any("parts" in message for message in asked):
        converted = conversation(asked)
        return None if converted is None else chat_request(parameters, converted)
    messages, tools = list[JSON](), list[JSON]()
    for message in asked:
        content = message.get("content")
        is_lone = message["role"] == "tool" and "tool_call_id" not in message
        if is_lone and isinstance(content, dict):
            tools.append(content)  # so LangChain's handler has what was offered
        elif _is_of_sdk(message):
            return None
        else:
            messages.append(_with_calls(message))
    return chat_request({**parameters, "tools": tools} if tools else parameters, messages)


# The types of parts that chat completions have. Those of the AI SDK are `tool-call` and so on.
_PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})


def _is_of_sdk(message: JSONObject) -> bool:
    """Whether a message is as an SDK has it, and not as it was sent: it has parts of other types,
    or is the result of a call that it does not name.
    """
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        return True
    return any(
        isinstance(part.get("type"), str) and part["type"] not in _PARTS
        for part in objects_in(message.get("content"))
    )


def _with_calls(message: JSONObject) -> JSONObject:
    """A message whose calls are as they were sent: LangChain has them so in here, and above in a
    form of its own.
    """
    more = message.get("additional_kwargs")
    calls = more.get("tool_calls") if isinstance(more, dict) else None
    if calls:
        return {**message, "tool_calls": calls}
    calls = objects_in(message.get("tool_calls"))
    if not calls or any(call.get("type") != "tool_call" for call in calls):
        return message
    return {**message, "tool_calls": [_call(call) for call in calls]}


def _call(call: JSONObject) -> JSONObject:
    function = {"name": call.get("name"), "arguments": json.dumps(call.get("args"))}
    return {"id": call.get("id"), "type": "function", "function": function}


def _message(output: JSON) -> JSON:
    output = _alone(output)
    if isinstance(output, str):
        return {"role": "assistant", "content": output}
    is_message = isinstance(output, dict) and (
        output.get("role") == "assistant" or "tool_calls" in output
    )
    return _with_calls(output) if is_message else None


_COUNTS = ("input", "output", "total")


def _usage(value: JSONObject) -> JSON:
    """The counts in OpenAI's spelling; ``None`` where more than those three were counted.

    Langfuse adds up what else was counted (cached input, say) in a way of its own.
    """
    usage = parsed(value.get("usage"))
    details = parsed(value.get("usageDetails", value.get("usage_details")))
    kept = usage if isinstance(usage, dict) and usage else details
    if not isinstance(kept, dict) or kept.get("unit") not in (None, "TOKENS"):
        return None
    if isinstance(details, dict) and not details.keys() <= {*_COUNTS}:
        return None
    counts = [kept.get(name) for name in _COUNTS]
    if not all(type(count) is int for count in counts) or not (counts[0] and counts[1]):
        return None
    return dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), counts, strict=True))


FORMAT = ValueFormat(
    name="Langfuse",
    precedence=57,
    marks=frozenset({"observations", "data", "type"}),
    traces=re.compile(rb'"GENERATION"'),
    items=_items,
    matches=_matches,
    exchange=_exchange,
)
