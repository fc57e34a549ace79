"""Bodies in cassettes of vcr for R: ``{encoding, file, string}``."""

from __future__ import annotations

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.format import Side, ValueFormat
from pytest_chatapi.reading.parts import printable

_KEYS = {"encoding", "file", "string"}


def _body(part: JSONObject, side: Side) -> JSON:
    body = part.get("body")
    if not isinstance(body, dict) or "file" not in body or not body.keys() <= _KEYS:
        return ABSENT
    if body["file"] is True:
        raise BodyProblem(f"the body is in another file, {printable(body.get('string'))!r}")
    return body.get("string")


FORMAT = ValueFormat(name="vcr for R", precedence=39, marks=frozenset({"file"}), body=_body)
