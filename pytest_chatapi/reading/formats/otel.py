"""Spans and events of OpenTelemetry's conventions for GenAI, if their content was recorded.

They have messages as parts, in a form of their own for all APIs. Of what a model answered, the text
and the calls can be checked, also against the request; of other APIs than chat completions nothing.
Sources: https://opentelemetry.io/docs/specs/semconv/gen-ai/ and, for whole documents of the
collector's file exporter, OTLP/JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pytest_chatapi.contract.apis import NOT_UNDERSTOOD
from pytest_chatapi.contract.body_tests import objects_in
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.logged import SummedUsage
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.formats.exchange import CHAT_PATH
from pytest_chatapi.reading.parts import printable
from pytest_chatapi.reading.shapes import chat_request, parsed

_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"

# Providers of an API of their own, by the beginning of their name, and its path.
_OTHER = {
    "anthropic": "/v1/messages",
    "aws.bedrock": "/model/m/converse",
    "cohere": "/v2/chat",
    "gcp": "/models/m:generateContent",
    "gemini": "/models/m:generateContent",
    "vertex": "/models/m:generateContent",
}
_PARAMETERS = {
    "model": "model",
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop_sequences": "stop",
    "choice.count": "n",
}
# The conventions' own words; after an error a message ends early, as it does at a limit.
_FINISH = {"tool_call": "tool_calls", "error": "length"}
_KINDS = frozenset({"text", "tool_call", "reasoning"})
"""Types of the parts that a message of a model may have in chat completions."""

_Finish = str | None


def _items(document: JSON) -> list[JSON] | None:
    """The spans and events of a document in OTLP, each with plain attributes. Those that are not of
    GenAI are among them, to be counted, if there is any that is.
    """
    if not isinstance(document, dict):
        return None
    found: list[JSON] = []
    for names in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        for one in _inside(document, names):
            flat = {**one, "attributes": _pairs(one.get("attributes"))}
            found.append(flat)
            found += [
                {**flat, **event, "attributes": flat["attributes"] | attributes}
                for event in objects_in(one.get("events"))
                if _OUTPUT in (attributes := _pairs(event.get("attributes")))
            ]
    has_any = any(isinstance(one, dict) and _matches(one) for one in found)
    return found if has_any else None


def _inside(value: JSON, names: tuple[str, ...]) -> Iterator[JSONObject]:
    """What is in lists in lists of these names; an empty object for what is something else."""
    if not isinstance(value, dict):
        yield {}
    elif not names:
        yield value
    elif value.get(names[0]) is not None:
        items = value[names[0]]
        for item in items if isinstance(items, list) else [None]:
            yield from _inside(item, names[1:])


def _list(value: JSON) -> list[JSONObject] | None:
    """The objects of a list, or of the text of one; ``None`` for anything else, such as a text
    that an SDK has cut off as too long.
    """
    items = parsed(value) or []
    objects = objects_in(items)
    return objects if isinstance(items, list) and len(objects) == len(items) else None


def _pairs(value: JSON) -> JSONObject:
    return {printable(item.get("key")): _value(item.get("value")) for item in objects_in(value)}


def _value(value: JSON) -> JSON:
    """What an ``AnyValue`` of OTLP holds."""
    if not isinstance(value, dict):
        return value
    if "arrayValue" in value:
        return [_value(item) for item in objects_in(_at(value["arrayValue"], "values"))]
    if "kvlistValue" in value:
        return _pairs(_at(value["kvlistValue"], "values"))
    if "intValue" in value:  # 64 bits, so a text
        text = printable(value["intValue"])
        return int(text) if re.fullmatch(r"-?\d{1,19}", text) else None
    return next(
        (value[name] for name in ("stringValue", "doubleValue", "boolValue") if name in value), None
    )


def _at(value: JSON, name: str) -> JSON:
    return value.get(name) if isinstance(value, dict) else None


def _attributes(value: JSONObject) -> JSONObject:
    """Those of a span or event; the members themselves, where they are columns of a table."""
    attributes = value.get("attributes")
    if isinstance(attributes, list):
        return _pairs(attributes)
    return attributes if isinstance(attributes, dict) else value


def _matches(value: JSONObject) -> bool:
    attributes = _attributes(value)
    return attributes.get(_OUTPUT) is not None or attributes.get(_INPUT) is not None


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    attributes = _attributes(value)
    path = path_of(attributes)
    operation = attributes.get("gen_ai.operation.name", "chat")
    if operation != "chat" or not _matches(value):  # an agent, a tool: telemetry
        path = "/v1/traces"
    if path != CHAT_PATH:
        return Exchange(Request(url=path))
    # Tools are recorded only on request, by a setting of their own.
    request = Request(url=_url(attributes), body=_body(attributes), partial=True)
    messages = _list(attributes.get(_OUTPUT))
    if messages is None or not all(map(is_known, messages)) or _lack_calls(messages):
        return Exchange(request, lacks=NOT_UNDERSTOOD.name)
    if not messages:
        return Exchange(request, None, assembled=True)
    return Exchange(request, Response(body=_answer(attributes, messages)), assembled=True)


def path_of(attributes: JSONObject) -> str:
    """The path of the API that was called."""
    provider = printable(attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system"))
    if attributes.get("openai.api.type") == "responses":
        return "/v1/responses"
    return next((path for name, path in _OTHER.items() if provider.startswith(name)), CHAT_PATH)


def _url(attributes: JSONObject) -> str:
    host, port = printable(attributes.get("server.address")), attributes.get("server.port")
    if not host:
        return CHAT_PATH
    return f"https://{host}{'' if port in (None, 443) else f':{printable(port)}'}{CHAT_PATH}"


def _body(attributes: JSONObject) -> JSON:
    """The request; ``None`` where it is cut off, or has parts that cannot be put into one."""
    instructions = _list(attributes.get("gen_ai.system_instructions"))
    asked, tools = _list(attributes.get(_INPUT)), _list(attributes.get("gen_ai.tool.definitions"))
    if instructions is None or asked is None or tools is None:
        return None
    if not is_known({"parts": instructions}) or not all(map(_has_name, tools)):
        return None
    messages = conversation(asked)
    if messages is None:
        return None
    if instructions:
        messages.insert(0, {"role": "system", "content": _text(instructions)})
    if not messages:
        return None
    members: JSONObject = {
        name: attributes[f"gen_ai.request.{ours}"]
        for ours, name in _PARAMETERS.items()
        if attributes.get(f"gen_ai.request.{ours}") is not None
    }
    if tools:
        members["tools"] = [_tool(tool) for tool in tools]
    return chat_request(members, messages, {"model": attributes.get("gen_ai.response.model")})


def conversation(asked: list[JSONObject]) -> list[JSON] | None:
    """Messages of a request, with parts, as chat completions have them.

    ``None`` where they have other parts, or calls or results without an id.
    """
    messages: list[JSON] = []
    for message in asked:
        if not is_known(message, _KINDS | {"tool_call_response"}):
            return None
        parts = message["parts"]
        results = [part for part in parts if part["type"] == "tool_call_response"]
        if results and len(results) < len(parts):
            return None
        if not all(isinstance(part.get("id"), str) for part in results + _calls(message)):
            return None
        messages += [
            {"role": "tool", "tool_call_id": part["id"], "content": _as_text(_result(part))}
            for part in results
        ]
        if not results:
            messages.append(_message(message))
    return messages


def _result(part: JSONObject) -> JSON:
    return part.get("response", part.get("result"))


def _has_name(tool: JSONObject) -> bool:
    return "function" in tool or isinstance(tool.get("name"), str)


def _tool(tool: JSONObject) -> JSONObject:
    if "function" in tool:
        return tool
    kept = {name: tool[name] for name in ("name", "description", "parameters") if name in tool}
    return {"type": "function", "function": kept}


def _answer(attributes: JSONObject, messages: list[JSONObject]) -> JSONObject:
    """A message with its usage; a completion, if there are several."""
    counts = [attributes.get(f"gen_ai.usage.{kind}_tokens") for kind in ("input", "output")]
    usage = None
    if all(type(count) is int and count > 0 for count in counts):
        prompt, completion = counts
        usage = SummedUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,  # type: ignore[operator]
        )
    finishes = _finishes(attributes, messages)
    if len(messages) == 1:
        message = lone_message(messages[0], finishes[0])
        return {"message": message, "finish_reason": finishes[0], "usage": usage}
    choices: list[JSON] = []
    for index, (one, finish) in enumerate(zip(messages, finishes, strict=True)):
        message = _message(one)
        finish = finish or ("tool_calls" if "tool_calls" in message else "stop")
        choices.append({"index": index, "message": message, "finish_reason": finish})
    return {"object": "chat.completion", "choices": choices, **({"usage": usage} if usage else {})}


def lone_message(message: JSONObject, finish: JSON) -> JSONObject:
    """The message of a response, without arguments that are not whole or were not recorded."""
    kept = _message(message)
    is_cut = _FINISH.get(printable(finish), finish) in ("length", "content_filter")
    for call, part in zip(kept.get("tool_calls", ()), _calls(message), strict=False):
        if is_cut or part.get("arguments") is None:
            del call["function"]["arguments"]
    return kept


def _finishes(attributes: JSONObject, messages: list[JSONObject]) -> list[_Finish]:
    """Why each message ended, as chat completions say it; ``None`` where that is not known."""
    told = parsed(attributes.get("gen_ai.response.finish_reasons"))
    if not isinstance(told, list) or len(told) != len(messages):
        told = [None] * len(messages)
    reasons = [
        one.get("finish_reason") or reason for one, reason in zip(messages, told, strict=True)
    ]
    return [
        _FINISH.get(reason, reason) if isinstance(reason, str) and reason else None
        for reason in reasons
    ]


def is_known(message: JSONObject, kinds: frozenset[str] = _KINDS) -> bool:
    """Whether `_message` takes all that is in a message.

    Without its content, which some instrumentations leave out, a text has only its type.
    """
    parts = message.get("parts")
    if not isinstance(parts, list) or len(objects_in(parts)) < len(parts):
        return False
    return all(
        printable(part.get("type")) in kinds
        and (part["type"] != "text" or isinstance(part.get("content"), str))
        for part in parts
    )


def _lack_calls(messages: list[JSONObject]) -> bool:
    """Whether calls in several messages have no id or arguments, which a completion must have."""
    return len(messages) > 1 and any(
        call.get(name) is None
        for message in messages
        for call in _calls(message)
        for name in ("id", "arguments")
    )


def _calls(message: JSONObject) -> list[JSONObject]:
    return [part for part in message["parts"] if part["type"] == "tool_call"]


def _message(message: JSONObject) -> JSONObject:
    """A message as chat completions have it."""
    calls = [
        {
            "id": part.get("id"),
            "type": "function",
            "function": {"name": part.get("name"), "arguments": _as_text(part.get("arguments"))},
        }
        for part in _calls(message)
    ]
    texts = [part for part in message["parts"] if part["type"] == "text"]
    content = _text(texts) if texts or not calls else None
    return {
        "role": message.get("role"),
        "content": content,
        **({"tool_calls": calls} if calls else {}),
    }


def _text(parts: list[JSONObject]) -> str:
    return "".join(printable(part.get("content")) for part in parts)


def _as_text(value: JSON) -> str:
    """Arguments and results as text: instrumentations parse what is JSON."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


FORMAT = ValueFormat(
    name="OpenTelemetry",
    precedence=56,
    marks=frozenset({"resourceSpans", "resourceLogs", "attributes", _INPUT, _OUTPUT}),
    traces=re.compile(rb'"gen_ai\.(?:input|output)\.messages"'),
    items=_items,
    matches=_matches,
    exchange=_exchange,
)
