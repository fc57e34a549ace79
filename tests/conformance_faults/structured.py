"""What a server gets wrong with structured output."""

from __future__ import annotations

import copy
from typing import Any

from conformance_servers import Answered, Fault, edits, ignores, status

_PLAIN: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "plain", "schema": {"type": "object"}},
}


def _fenced(value: dict[str, Any]) -> None:
    """A code fence around the text; in a stream, around its last piece too."""
    for choice in value["choices"]:
        said: dict[str, Any] = choice.get("message") or choice.get("delta") or {}
        if said.get("content"):
            said["content"] = f"```json\n{said['content']}\n```"


def _renamed(old: bytes, new: bytes) -> Fault:
    def fault(answered: Answered) -> None:
        answered.body = answered.body.replace(old, new)

    return fault


def _without_multiples(answered: Answered) -> Answered | None:
    """A server that knows nothing of one keyword."""
    asked = copy.deepcopy(answered.asked)
    schema = asked.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if "multipleOf" not in schema.get("properties", ()):
        return None
    schema["properties"]["multipleOf"] = {"type": "integer", "enum": [50]}
    return answered.instead(**asked)


def _backwards(answered: Answered) -> Answered | None:
    """A server that writes the properties in an order of its own."""
    asked = copy.deepcopy(answered.asked)
    schema = asked.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is None:
        return None
    for name in sorted(schema["properties"]):
        schema["properties"][name] = schema["properties"].pop(name)
    return answered.instead(**asked)


def _not_cut(answered: Answered) -> None:
    answered.body = answered.body.replace(b'"length"', b'"stop"')


def _accepts_all(answered: Answered) -> Answered | None:
    return answered.instead(response_format=_PLAIN) if answered.status == 400 else None


def _is_bad(answered: Answered) -> bool:
    return answered.status == 400


_ANOTHER = "answered with another status"

FAULTS: dict[str, tuple[Fault, str]] = {
    "structured.json-object": (ignores("response_format"), "the content is not JSON"),
    "structured.json-schema": (
        _renamed(b"kq7", b"kq8"),
        '1 of 16 features of the schema are not kept: "const"',
    ),
    "structured.constraints": (_without_multiples, 'are not kept: "multipleOf"'),
    "structured.length": (edits(_fenced), "not the beginning of a JSON object"),
    "structured.bad-schema": (_accepts_all, "an illegal request is accepted"),
    "structured.unknown-type": (_accepts_all, "an illegal request is accepted"),
}

MORE: dict[str, tuple[Fault, str]] = {
    "structured.json-object.whole": (edits(_fenced), "the content is not JSON"),
    "structured.json-schema": (ignores("response_format"), "the content is not JSON"),
    "structured.length": (_not_cut, "finish_reason does not say so"),
    "structured.bad-schema": (status(500, _is_bad), _ANOTHER),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "structured.json-schema": (_backwards, "in another order"),
}
