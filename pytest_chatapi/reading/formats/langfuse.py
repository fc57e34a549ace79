"""Observations of Langfuse: its API's traces and lists, and its exports, one a line.

A generation has the messages of its request, and the message of its response or the whole
completion, as the integration that logged it had them. Only calls of chat completions are read;
of a message alone, only its text and its calls can be checked.
"""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.formats.exchange import CHAT_PATH
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
    body = _request(parameters) if value["type"] == "GENERATION" else None
    told = value.get("output")
    output = parsed(told)
    if isinstance(told, str) and isinstance(output, dict) and _message(output) is None:
        is_body = is_completion(output) or is_of_other_api(None, Response(body=output))
        output = output if is_body else told  # JSON that the model wrote
    reason = why_not_json(output, "response") if body is not None else ""
    if is_completion(output):
        reason = why_not_json(parameters.get("messages"), "request")
    if reason:
        raise NotAnExchange(reason)
    if is_completion(output):
        response = Response(body=output)
    elif body is not None and (message := _message(output)) is not None:
        response = Response(body={"message": message, "usage": _usage(value)})
    elif body is not None and output is None:
        response = None
    else:  # a span, or a generation of another kind: telemetry, by the path of its API
        return Exchange(Request(url="/api/public/ingestion"))
    if is_of_other_api(parameters, Response(body=output)):
        return Exchange(Request(body=parameters), Response(body=output))
    return Exchange(Request(url=CHAT_PATH, body=body), response, assembled=True)


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


def _request(parameters: JSONObject) -> JSON:
    """The body of the request; ``None`` if the input is not one of chat completions."""
    is_chat = are_messages(parameters.get("messages")) and isinstance(parameters["model"], str)
    return chat_request(parameters) if is_chat else None


def _message(output: JSON) -> JSON:
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    if isinstance(output, str):
        return {"role": "assistant", "content": output}
    is_message = isinstance(output, dict) and (
        output.get("role") == "assistant" or "tool_calls" in output
    )
    if not is_message:
        return None
    # LangChain has the calls as they came in here, and its own form of them above.
    more = output.get("additional_kwargs")
    calls = more.get("tool_calls") if isinstance(more, dict) else None
    return {**output, "tool_calls": calls} if calls else output


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
