"""Probes of structured output.

The names of the properties are those of the features of JSON Schema that they need, so that a reply
says which of them a server does not keep. Every string and list is bounded: a model that talks
nonsense ends too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pytest_chatapi.conformance.probe import BOTH, fail, non_strict, not_exercised, probe
from pytest_chatapi.conformance.probes.text import not_length
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.contract.parse import is_beginning, loads
from pytest_chatapi.contract.userschema import mismatch
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import listed, show

_LACKING = "response_format", "json", "schema", "structured", "grammar", "temperature"


def strict_object(**properties: JSONObject) -> JSONObject:
    """A schema that a strict request may have."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_CORE: dict[str, JSONObject] = {
    "const": {"type": "string", "const": "kq7"},
    "constant number": {"type": "integer", "const": 42},
    "enum": {"type": "string", "enum": ["mauve", "ochre"]},
    "mixed enum": {"enum": [3, "three", None]},
    "integer": {"type": "integer", "enum": [7, 11]},
    "number": {"type": "number", "enum": [2.5, 0.125]},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "list of types": {"type": ["boolean", "null"]},
    "nested": strict_object(
        a=strict_object(b=strict_object(c={"type": "string", "const": "deep"}))
    ),
    "no properties": strict_object(),
    "array": {
        "type": "array",
        "items": {"type": "string", "enum": ["x", "y"]},
        "minItems": 1,
        "maxItems": 2,
    },
    "array of objects": {
        "type": "array",
        "items": strict_object(id={"type": "integer", "enum": [1, 2]}),
        "minItems": 1,
        "maxItems": 1,
    },
    "anyOf": {
        "anyOf": [
            strict_object(kind={"type": "string", "const": "cat"}),
            strict_object(kind={"type": "string", "const": "dog"}),
        ]
    },
    "$ref": {"$ref": "#/$defs/colour"},
    "escapes": {"type": "string", "const": 'a "b" \\ \n é'},
}
"""What every engine for structured output has."""

_COLOUR: JSONObject = {"type": "string", "enum": ["teal", "puce"]}

_CONSTRAINTS: dict[str, JSONObject] = {
    "minimum and maximum": {"type": "integer", "minimum": 10, "maximum": 99},
    "exclusiveMinimum": {"type": "integer", "exclusiveMinimum": 3, "maximum": 5},
    "multipleOf": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 99},
    "pattern": {"type": "string", "pattern": "^[a-c]{2}-[0-9]{3}$"},
    "format date": {"type": "string", "format": "date"},
    "minItems and maxItems": {
        "type": "array",
        "items": {"type": "boolean"},
        "minItems": 3,
        "maxItems": 3,
    },
    "recursive $ref": {"$ref": "#/$defs/node"},
}
"""What a strict schema may have as well, by the guide to structured outputs."""

_NODE = strict_object(
    leaf={"type": "string", "const": "n"},
    next={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
)

CORE: JSONObject = {**strict_object(**_CORE), "$defs": {"colour": _COLOUR}}
CONSTRAINTS: JSONObject = {**strict_object(**_CONSTRAINTS), "$defs": {"node": _NODE}}


def _format(schema: JSONObject) -> JSONObject:
    inner = {"name": "features", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": inner}


@probe(
    "structured.json-object",
    "`json_object` gives one JSON object, bare",
    modes=BOTH,
    codes="J01 J03",
    requests=2,
    tokens=200,
)
def json_object(server: Server) -> None:
    ask = partial(
        server.chat,
        "Reply with a short JSON object that says hello.",
        response_format={"type": "json_object"},
        max_completion_tokens=server.room(128),
    )
    reply = ask(**server.steady).accepted(*_LACKING)
    if reply.finish == "length" and not server.reasons:
        # A model that goes round in circles finds an end more easily by chance.
        _begins(reply.with_text())
        reply = ask(temperature=1.5, seed=7).accepted(*_LACKING)
    _whole(reply)


@probe(
    "structured.json-schema",
    "a strict schema is kept: types, const, enum, anyOf, $ref, nested objects and arrays",
    modes=BOTH,
    codes="J02 J03",
    tokens=500,
)
def json_schema(server: Server) -> None:
    _is_kept(server, CORE, 480)


@probe(
    "structured.constraints",
    "the constraints of a strict schema are kept: ranges, pattern, format, lengths, recursion",
    modes=BOTH,
    codes="J02 J03",
    tokens=350,
)
def constraints(server: Server) -> None:
    _is_kept(server, CONSTRAINTS, 320)


def _is_kept(server: Server, schema: JSONObject, cap: int) -> None:
    # The prompt says nothing of the schema: a model that is not held to it cannot guess it.
    reply = server.chat(
        "Say hello.",
        response_format=_format(schema),
        max_completion_tokens=server.room(cap),
        **server.steady,
    ).accepted(*_LACKING)
    value = _whole(reply)
    if not isinstance(value, dict):
        raise fail("the content is not a JSON object", got=show(reply.text))
    names = schema["properties"]
    broken = [name for name in names if not _keeps(value, name, schema)]
    if broken:
        raise fail(
            f"{len(broken)} of {len(names)} features of the schema are not kept: "
            f"{listed(broken, 4)}",
            expected=show({name: names[name] for name in broken[:1]}, 160),
            got=show({name: value[name] for name in broken[:1] if name in value}),
        )
    if list(value) != list(names):
        raise non_strict(
            "the properties are in another order than in the schema",
            expected=listed(names),
            got=listed(value),
        )


def _keeps(value: JSONObject, name: str, schema: JSONObject) -> bool:
    part = {**schema["properties"][name], "$defs": schema["$defs"]}
    return name in value and mismatch(part, value[name]) is None


def _whole(reply: Reply) -> JSON:
    """The content as JSON.

    Raises:
        Outcome: it is not JSON; or it was cut, so that nobody can tell.
    """
    reply.with_text()
    if reply.finish == "length":
        _begins(reply)
        raise not_exercised("the limit of tokens cut the JSON")
    try:
        return loads(reply.text)
    except ValueError:
        raise fail("the content is not JSON", expected="JSON", got=show(reply.text)) from None


def _begins(reply: Reply) -> None:
    """Raise an `Outcome` where a text is not the beginning of a JSON object."""
    if not begins_object(reply.text):
        raise fail(
            "the content is cut, and is not the beginning of a JSON object",
            expected='{"...',
            got=show(reply.text),
        )


def begins_object(text: str) -> bool:
    """Whether more text could make it a JSON object, or it is one."""
    text = text.lstrip()
    return text[:1] in ("", "{") and (is_beginning(text) or _is_json(text))


def _is_json(text: str) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True


@probe(
    "structured.length",
    "structured output that the limit cuts ends with `length`, and is the beginning of JSON",
    modes=BOTH,
    codes="J02 K03",
    requests=2,
    tokens=80,
)
def length(server: Server) -> None:
    schema = strict_object(
        line={
            "type": "string",
            "const": "The ferry leaves at nine in the morning, and it comes back from the island "
            "at half past five in the afternoon.",
        }
    )
    # Some hold the first characters back.
    for cap in (3, 12):
        reply = server.chat(response_format=_format(schema), max_completion_tokens=cap)
        reply.accepted(*_LACKING)
        _begins(reply)
        if reply.finish != "length":
            raise not_length(reply, cap)
        if reply.text:
            return
    reply.with_text()


# -- what is refused -----------------------------------------------------------------------------


@probe(
    "structured.bad-schema",
    "a schema that is none is refused",
    requests=2,
    is_illegal=True,
)
def bad_schema(server: Server) -> None:
    ask = partial(server.chat, max_completion_tokens=1)
    # Where no schema is accepted, to refuse a bad one shows nothing.
    ask(response_format=_format(strict_object(ok={"type": "boolean"}))).accepted(*_LACKING)
    bad: dict[str, Any] = {"type": 123}
    ask(response_format=_format(strict_object(ok=bad))).refused()


@probe(
    "structured.unknown-type",
    "a `response_format` of the type `text` is accepted, of an unknown type refused",
    requests=2,
    is_illegal=True,
)
def unknown_type(server: Server) -> None:
    ask = partial(server.chat, max_completion_tokens=1)
    ask(response_format={"type": "text"}).accepted("response_format")
    ask(response_format={"type": "sound"}).refused()
