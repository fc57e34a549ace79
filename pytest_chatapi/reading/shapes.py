"""Requests and responses of chat completions told by their shape, for logs that do not label them.

What is found here was written by any logger, so nothing is assumed beyond the shape:
messages with a role, and choices.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache

from pytest_chatapi.contract.apis import UNKNOWN
from pytest_chatapi.contract.endpoint import other_api
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import show
from pytest_chatapi.reading.format import Side
from pytest_chatapi.reading.json_text import JSONProblem, loads
from pytest_chatapi.reading.printed import is_printed

__all__ = [
    "are_messages",
    "are_spans",
    "chat_request",
    "is_chat_request",
    "is_chat_stream",
    "is_chunk",
    "is_completion",
    "is_error",
    "is_of_other_api",
    "lacks_tools",
    "parsed",
    "why_no_response",
    "why_not_json",
]


def parsed(value: JSON) -> JSON:
    """The value in a text that is a JSON object or list, or the text of one; any other as it is."""
    if isinstance(value, str) and value.lstrip()[:2].startswith(_BEGINNINGS):
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if not isinstance(inner, str):
            return inner
        inner = parsed(inner)
        return value if isinstance(inner, str) else inner
    return value


_BEGINNINGS = ("{", "[", '"{', '"[')


# How a body begins, even if it is no longer JSON because it was cut off or printed by Python. The
# text of a message may begin with a brace as well, but rarely with these members. Before them may
# be others, of objects in objects at most: that is what "usage" is.
_BEFORE = r"(?:[^{}\[\]]|\{(?:[^{}]|\{[^{}]*\})*\}|\[[^{}\[\]]*\])*?"
_REQUEST = re.compile(
    rf"""
    \s*\{{{_BEFORE}["'](?:
        messages["']\s*:\s*\[
        |model["']\s*:\s*["']
        |tools["']\s*:\s*\[\s*\{{\s*["'](?:
            type["']\s*:\s*["'](?:custom|function)["']
            |function["']\s*:\s*\{{
        )
    )
    |\s*\[\s*\{{\s*["']role["']\s*:
    """,
    re.VERBOSE,
)
_RESPONSE = re.compile(
    rf"""
    [\s\[]*\{{{_BEFORE}["'](?:
        object["']\s*:\s*["']chat\.completion
        |id["']\s*:\s*["']chatcmpl
        |usage["']\s*:\s*\{{[^{{}}]*["'](?:prompt|completion|total)_tokens["']\s*:
        |choices["']\s*:\s*\[\s*\{{[^{{}}\[\]]*["'](?:
            (?:content_filter_results|finish_reason|logprobs)["']\s*:
            |(?:message|delta)["']\s*:\s*\{{
        )
        |(?P<message>role["']\s*:\s*["']assistant["'])
    )
    |\s*\{{\s*["']error["']\s*:\s*\{{
    """,
    re.VERBOSE,
)

_HEAD = 2000
"""Characters of a text that tell whether it is a body."""


def why_not_json(text: JSON, side: Side) -> str:
    """Why a text that begins as the body of a request or response is not JSON; empty for any other
    value.

    A lone message is one only where it is cut off: models write whole ones, a line each.
    """
    if not isinstance(text, str):
        return ""
    pattern = _REQUEST if side == "request" else _RESPONSE
    if is_printed(text, lambda data: pattern.match(data[:_HEAD])):
        reason = "not JSON, but what Python prints of an object"
    else:
        reason = _why_broken(text, pattern)
    return reason and f"the {side} is not understood: it is {reason}; log the whole body as JSON"


def _why_broken(text: str, pattern: re.Pattern[str]) -> str:
    head = text[:_HEAD].replace("\\", "").lstrip('" ')  # it may be text in a text
    begins = pattern.match(head)
    if begins is None:
        return ""
    try:
        loads(text)
        return ""
    except JSONProblem as error:
        reason = error.reason
        if reason.endswith("Extra data"):
            rest = text.split("\n", error.line - 1)[-1][error.column - 1 :]
            if not pattern.match(rest):
                return ""  # it goes on in words
    if begins.lastgroup == "message" and not reason.endswith("cut off"):
        return ""
    return reason


def why_no_response(value: JSON) -> str:
    """Why a value that is not an object is not the response of a chat completion."""
    reason = why_not_json(value, "response")
    return reason or f"the response is not understood: it is not an object, but {show(value)}"


def are_messages(value: JSON) -> bool:
    """Whether a value is a list of messages, each with a role."""
    if not isinstance(value, list):
        return False
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            return False
    return bool(value)


def is_chat_request(value: JSON) -> bool:
    """Whether a value is the body of a request: it has messages, and is not a response too."""
    return (
        isinstance(value, dict) and are_messages(value.get("messages")) and "choices" not in value
    )


def is_completion(value: JSON) -> bool:
    """Whether a value is a completion: an object with choices, or one that says so."""
    if not isinstance(value, dict):
        return False
    choices, kind = value.get("choices"), value.get("object")
    if isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices):
        return bool(choices) or "object" in value or "usage" in value
    return isinstance(kind, str) and kind.startswith("chat.completion")


def is_chunk(value: JSON) -> bool:
    """Whether a value is a chunk of a stream, or has choices as one has them."""
    if not isinstance(value, dict):
        return False
    kind, choices = value.get("object"), value.get("choices")
    if kind == "chat.completion.chunk":
        return True
    if not isinstance(choices, list):
        return False
    for choice in choices:
        if not isinstance(choice, dict) or "message" in choice:
            return False
    # Some servers call their chunks completions.
    return kind != "chat.completion" or any("delta" in choice for choice in choices)


def is_chat_stream(value: JSON) -> bool:
    """Whether a value is the chunks of a stream: a list of them, or an event stream as text."""
    if isinstance(value, list):
        return bool(value) and all(map(is_chunk, value))
    return isinstance(value, str) and looks_like_sse(value[:512].encode("utf-8", "replace"))


def is_error(value: JSON) -> bool:
    """Whether a value is the body of an error."""
    return isinstance(value, dict) and bool(value.get("error")) and "choices" not in value


def are_spans(value: JSON) -> bool:
    """Whether a value is telemetry of OpenTelemetry: a document in OTLP, or one span or event."""
    if not isinstance(value, dict):
        return False
    if "resourceSpans" in value or "resourceLogs" in value:
        return True
    attributes = value.get("attributes")
    return isinstance(attributes, dict) and (
        {"traceId", "spanId"} <= value.keys()
        or any(str(key).startswith(("gen_ai.", "llm.")) for key in attributes)
    )


def is_of_other_api(request: JSON, response: Response | None) -> bool:
    """Whether the bodies of an exchange are plainly those of another API than chat completions.

    Args:
        request: the body of the request.
    """
    api = other_api(Exchange(Request(body=request), response))
    return api is not None and api != UNKNOWN.name


def chat_request(
    members: Mapping[str, JSON], messages: JSON = None, response: JSON = None
) -> JSONObject | None:
    """The body of a request whose parameters a log wrote among other members.

    ``None`` where nothing says which model it was for.

    Only documented parameters are taken, without those that are null. Numbers, booleans, objects
    and lists that the log wrote as text are parsed; what Python prints of an object or list is left
    out. So are tools in the form of another API, since the library that wrote the log had converted
    them, and what refers to tools that are not there (see `lacks_tools`).

    Args:
        messages: those of the request, if they are not among the members.
        response: names the model where the members do not.
    """
    kinds = _kinds()
    body: JSONObject = {}
    for name, value in members.items():
        if name not in kinds or (name == "messages" and messages is not None):
            continue
        if kinds[name] and isinstance(value, (str, float)):
            value = _typed(kinds[name], value)
        if value is not None and not (name in _CONVERTED and _is_converted(name, value)):
            body[name] = value
    for tools, names in _OF_TOOLS.items():
        if tools not in body:
            for name in names:
                body.pop(name, None)
    if messages is not None:
        body["messages"] = messages
    if "model" not in body:
        body["model"] = _model(response)
    return body if body["model"] is not None else None


def lacks_tools(body: JSONObject | None, members: Mapping[str, JSON]) -> bool:
    """Whether tools that a log has among its members are not in the body made of them, so that it
    is `Request.partial`. (It always is where a log may be without the tools that were sent.)
    """
    return body is not None and any(members.get(name) and name not in body for name in _OF_TOOLS)


_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{0,15})?(?:e[+-]?\d{1,2})?")
_SWITCHES = {"true": True, "false": False}
_OF_TOOLS = {"tools": ("tool_choice", "parallel_tool_calls"), "functions": ("function_call",)}
# What libraries write for a limit that was not set.
_UNSET = frozenset({"", "none", "null", "inf", "-inf", "infinity", "-infinity", "nan"})


@cache
def _kinds() -> dict[str, str]:
    """The parameters, each with what a text in its place has to be parsed to; empty for nothing.

    Of ``text``, only a JSON object or list is parsed.
    """
    kinds = {}
    for name, node in load("request").properties.items():
        if not node.types.isdisjoint(("number", "integer")):
            kinds[name] = "number"
        elif "boolean" in node.types:
            kinds[name] = "boolean"
        elif node.types.isdisjoint(("array", "object")):
            kinds[name] = ""
        else:
            kinds[name] = "text" if "string" in node.types else "json"
    return kinds


def _typed(kind: str, value: str | float) -> JSON:
    """The value of a parameter of a kind; ``None`` where it was not set."""
    if isinstance(value, float):
        return value if kind != "number" or math.isfinite(value) else None
    if kind in ("json", "text"):
        inner = parsed(value)
        return inner if kind == "text" or not isinstance(inner, str) else None
    text = value.strip().lower()
    if text in _UNSET:
        return None
    if kind == "boolean":
        return _SWITCHES.get(text, value)
    if not _NUMBER.fullmatch(text):
        return value
    number = float(text)
    return int(number) if number.is_integer() else number


def _model(response: JSON) -> JSON:
    response = parsed(response)
    first = response[0] if isinstance(response, list) and response else response
    return first.get("model") if isinstance(first, dict) else None


_CONVERTED = frozenset({"tools", "tool_choice", "response_format"})
_CHOSEN = ("function", "custom", "allowed_tools")


def _is_converted(name: str, value: JSON) -> bool:
    if name == "tools":
        return not isinstance(value, list) or not all(
            isinstance(tool, dict) and ("function" in tool or "custom" in tool) for tool in value
        )
    if name == "tool_choice":
        if isinstance(value, str):
            return value.startswith("{")  # printed by Python
        return isinstance(value, dict) and value.get("type") not in _CHOSEN
    return isinstance(value, dict) and value.get("type", "any") in ("any", "tool")
