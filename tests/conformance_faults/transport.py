"""What a server gets wrong with its transport and its models."""

from __future__ import annotations

import json
import re
from typing import Any

from conformance_servers import Answered, Fault, body_of, edits, status, streamed


def _twice(answered: Answered) -> None:
    if answered.path.endswith("/models"):
        value = json.loads(answered.body)
        value["data"] *= 2
        answered.body = json.dumps(value).encode()


def _not_listed(answered: Answered) -> None:
    if answered.path.endswith("/models"):
        value = json.loads(answered.body)
        del value["data"][1:]
        answered.body = json.dumps(value).encode()


def _first_model(answered: Answered) -> None:
    if "/models/" in answered.path:
        answered.body = answered.body.replace(b"gpt-4o-mini", b"gpt-4o")


def _other_date(answered: Answered) -> None:
    if "/models/" in answered.path and answered.status == 200:
        answered.body = body_of({**json.loads(answered.body), "created": 1})


def _any_model(answered: Answered) -> None:
    if "/models/" in answered.path and answered.status == 404:
        model = {"id": "a", "object": "model", "created": 1686935002, "owned_by": "me"}
        answered.status, answered.body = 200, body_of(model)


def _has_query(answered: Answered) -> bool:
    return bool(answered.request.url.query)


def _any_key(answered: Answered) -> None:
    if answered.status == 401 and "authorization" in answered.request.headers:
        answered.status = 200


def _is_get(answered: Answered) -> bool:
    return answered.request.method == "GET"


def _has_unknown(answered: Answered) -> bool:
    return "x_unknown" in answered.asked


@streamed
def _one_text(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        if choice["delta"].get("content"):
            choice["delta"]["content"] = re.sub(r"\d", "3", choice["delta"]["content"])


def _plain(answered: Answered) -> None:
    if answered.status == 200:
        answered.headers["content-type"] = "text/plain"


def _anonymous(answered: Answered) -> None:
    if _has_unknown(answered):
        answered.body = answered.body.replace(b"x_unknown", b"something")


FAULTS: dict[str, tuple[Fault, str]] = {
    "transport.models": (_twice, "the id is already used"),
    "transport.model": (_first_model, "another model is returned"),
    "transport.unknown-model": (_any_model, "does not exist is returned"),
    "transport.query": (status(404, _has_query), "a legal request is refused"),
    "transport.wrong-key": (_any_key, "a wrong key is accepted"),
    "transport.wrong-method": (status(500, _is_get), "a GET is a server error"),
    "transport.content-type": (_plain, "has the wrong content type"),
    "transport.unknown-parameter": (status(500, _has_unknown), "a legal request is refused"),
    "transport.concurrency": (_one_text, "a stream has the text of another"),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "transport.models": (_not_listed, "is not listed"),
    "transport.model": (_other_date, "`created` is not the same"),
    "transport.query": (status(400, _has_query), "a query string is refused"),
    "transport.wrong-method": (status(400, _is_get), "unusual status"),
    "transport.unknown-parameter": (_anonymous, "does not name the parameter"),
}

MORE: dict[str, tuple[Fault, str]] = {
    "transport.wrong-key": (status(403, lambda a: a.status == 401), "is not a 401"),
    "transport.concurrency": (edits(lambda value: value.update(id="a")), "have the same id"),
}
