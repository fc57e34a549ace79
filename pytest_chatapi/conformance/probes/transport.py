"""Probes of the transport and of models: what any endpoint of this API has."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from pytest_chatapi.conformance.probe import (
    BOTH,
    fail,
    non_strict,
    not_exercised,
    probe,
    unsupported,
)
from pytest_chatapi.conformance.server import CHAT, Reply, Server
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import show

WRONG_KEY = "wrong-key"

_STREAMS = 8
_UNKNOWN_MODEL = "no-such-model-0"


def listed_models(server: Server) -> list[JSONObject]:
    """What ``GET /models`` lists.

    Raises:
        Outcome: the server has no such list.
    """
    reply = server.get("/models")
    _needs_route(reply, "GET /models")
    data = reply.accepted().json
    models = data.get("data") if isinstance(data, dict) else None
    return [one for one in models if isinstance(one, dict)] if isinstance(models, list) else []


def _needs_route(reply: Reply, route: str) -> None:
    if reply.status in (404, 405, 501) and reply.error and not _knows_models(reply):
        raise unsupported(f"the server has no {route}: {reply.status}")


def _knows_models(reply: Reply) -> bool:
    """Whether a 404 is about a model, and not about the path."""
    error = reply.error
    text = f"{error.get('code')} {error.get('message')}".lower()
    return re.search(r"(?<![/\w])model(?![/\w])|model_not_found", text) is not None


@probe(
    "transport.models",
    "`GET /models` lists the model that is probed",
    codes="D01 D02 D03",
    tokens=0,
)
def models(server: Server) -> None:
    ids = [one.get("id") for one in listed_models(server)]
    if server.model not in ids:
        raise non_strict(
            "the model that is probed is not listed",
            expected=server.model,
            got=show(", ".join(map(str, ids))),
        )


@probe(
    "transport.model",
    "`GET /models/ID` has the model as the list has it",
    codes="D02",
    requests=2,
    tokens=0,
)
def model(server: Server) -> None:
    listed = next((one for one in listed_models(server) if one.get("id") == server.model), None)
    if listed is None:
        raise not_exercised("the model that is probed is not listed")
    reply = server.get(f"/models/{quote(server.model, safe='')}")
    _needs_route(reply, "GET /models/ID")
    single = reply.accepted().json
    if not isinstance(single, dict) or single.get("id") != server.model:
        got = single.get("id") if isinstance(single, dict) else single
        raise fail("another model is returned", expected=server.model, got=show(str(got)))
    for name in ("created", "owned_by"):
        if single.get(name) != listed.get(name):
            raise non_strict(
                f"`{name}` is not the same as in the list",
                expected=show(str(listed.get(name))),
                got=show(str(single.get(name))),
            )


@probe(
    "transport.unknown-model",
    "`GET /models/ID` of a model that does not exist is a 404",
    requests=2,
    tokens=0,
)
def unknown_model(server: Server) -> None:
    # Without this route every path is a 404, which would pass.
    known = server.get(f"/models/{quote(server.model, safe='')}")
    _needs_route(known, "GET /models/ID")
    if known.status != 200:
        raise not_exercised("the model that is probed has no page of its own")
    reply = server.get(f"/models/{_UNKNOWN_MODEL}")
    if reply.status == 200:
        raise fail("a model that does not exist is returned", expected="404", got="200")
    reply.refused(404)


@probe("transport.query", "a query string does not change where a request goes")
def query(server: Server) -> None:
    reply = server.chat(query="?x=1", max_completion_tokens=16)
    if reply.status in (400, 403, 422):
        raise non_strict("a query string is refused", expected="200", got=str(reply.status))
    reply.accepted()


@probe("transport.wrong-key", "a wrong key is a 401", requests=2)
def wrong_key(server: Server) -> None:
    names = ("authorization", "api-key", "x-api-key")  # the others are Azure's and Anthropic's
    wrong = dict(zip(names, (f"Bearer {WRONG_KEY}", WRONG_KEY, WRONG_KEY), strict=True))
    reply = server.chat(headers=wrong, max_completion_tokens=1)
    if reply.status == 200:
        without = server.chat(headers=dict.fromkeys(names, ""), max_completion_tokens=1)
        if without.status == 200:
            raise not_exercised("the server wants no key")
        raise fail("a wrong key is accepted, though a key is wanted", expected="401", got="200")
    if reply.status == 429:
        raise not_exercised("rate limited")
    if reply.status != 401:
        raise fail("a wrong key is not a 401", expected="401", got=str(reply.status))
    reply.refused(401)


@probe(
    "transport.wrong-method",
    "`GET /chat/completions` is a 404 or 405, or the list of stored completions",
    tokens=0,
)
def wrong_method(server: Server) -> None:
    reply = server.get(CHAT)
    if reply.status >= 500:
        raise fail("a GET is a server error", expected="404 or 405", got=str(reply.status))
    if reply.status == 200:
        if not isinstance(reply.json, dict) or reply.json.get("object") != "list":
            got = show(reply.raw.decode("utf-8", "replace"))
            raise fail("a GET gets neither an error nor a list", expected="404 or 405", got=got)
    elif reply.status not in (404, 405):
        raise non_strict(
            "a GET has an unusual status", expected="404 or 405", got=str(reply.status)
        )


@probe(
    "transport.content-type",
    "a response is `application/json`, a stream `text/event-stream`",
    modes=BOTH,
    codes="E02",
)
def content_type(server: Server) -> None:
    server.chat(max_completion_tokens=16).accepted()


@probe(
    "transport.unknown-parameter",
    "a parameter that does not exist is ignored, or refused by its name",
)
def unknown_parameter(server: Server) -> None:
    reply = server.chat(x_unknown=1, max_completion_tokens=16)
    if reply.status in (400, 422):
        if "x_unknown" not in json.dumps(reply.error):
            raise non_strict(
                "the error does not name the parameter",
                expected="x_unknown",
                got=show(str(reply.error.get("message", ""))),
            )
        return
    reply.accepted()


@probe(
    "transport.concurrency",
    f"{_STREAMS} streams at the same time do not mix",
    codes="T01 S02",
    requests=_STREAMS,
    tokens=_STREAMS * 60,
)
def concurrency(server: Server) -> None:
    marks = [f"stream-{number}" for number in range(_STREAMS)]
    # The longer the prompt, the more tokens it has, whatever the tokenizer.
    prompts = [f"Repeat exactly: {mark}{' ok' * at * 4}" for at, mark in enumerate(marks)]
    usage = {"include_usage": True}
    most = server.room(64)
    shared = {"stream": True, "stream_options": usage, "max_completion_tokens": most}
    replies = server.chat_at_once(
        prompts, [{**shared, "response_format": _says(mark)} for mark in marks]
    )
    if any(reply.status in (400, 422) for reply in replies):  # no structured output
        replies = server.chat_at_once(prompts, [shared for _ in marks])
    for reply in replies:
        reply.without("J01", "J02", "J03").accepted()
    ids = [str(reply.completion.get("id")) for reply in replies]
    if len(set(ids)) < len(ids):
        repeated = next(one for one in ids if ids.count(one) > 1)
        raise fail(
            "streams have the same id", expected=f"{_STREAMS} ids", got=f"{repeated} repeated"
        )
    for own, reply in zip(marks, replies, strict=True):
        for other in marks:
            if other != own and other in reply.text:
                raise fail("a stream has the text of another", expected=own, got=show(reply.text))
    counts = [reply.usage.get("prompt_tokens") for reply in replies]
    numbers = [count for count in counts if isinstance(count, int)]
    if numbers != sorted(numbers):
        raise fail(
            "the usage of a stream does not fit its prompt: each prompt is longer than the last",
            expected="prompt_tokens that do not fall",
            got=", ".join(map(str, numbers)),
        )
    if not all(own in reply.text for own, reply in zip(marks, replies, strict=True)):
        raise not_exercised(
            "ids and usage do not mix, but the model does not say what tells the texts apart"
        )


def _says(mark: str) -> JSONObject:
    """A response format that has one value only."""
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string", "enum": [mark]}},
        "required": ["code"],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "code", "strict": True, "schema": schema},
    }
