"""Probes of errors: requests that no server may accept, or stumble over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_chatapi.conformance.probe import Outcome, fail, non_strict, not_exercised, probe
from pytest_chatapi.conformance.server import CHAT, Reply, Server
from pytest_chatapi.contract.wording import show

_JSON = "application/json"
_REFUSED = 400, 422


def _sends(server: Server, body: bytes, content_type: str = _JSON) -> None:
    reply = server.send("POST", CHAT, body, headers={"content-type": content_type})
    reply.refused(400, 415, 422)


@probe(
    "errors.body",
    "an error has message, type, param and code",
    codes="X01 X02 X04 X06",
    tokens=0,
    is_illegal=True,
)
def body(server: Server) -> None:
    server.chat(messages=None, max_completion_tokens=1).refused()


@probe(
    "errors.malformed-json",
    "a body that is not JSON is a 400",
    tokens=0,
    is_illegal=True,
)
def malformed_json(server: Server) -> None:
    _sends(server, b'{"model": "x", "messages": [')


@probe(
    "errors.array-body",
    "a body that is an array is a 400",
    tokens=0,
    is_illegal=True,
)
def array_body(server: Server) -> None:
    _sends(server, b"[]")


@probe(
    "errors.empty-body",
    "an empty body is a 400",
    tokens=0,
    is_illegal=True,
)
def empty_body(server: Server) -> None:
    _sends(server, b"")


@probe(
    "errors.content-type",
    "a form in place of JSON is a 400 or 415",
    tokens=0,
    is_illegal=True,
)
def content_type(server: Server) -> None:
    _sends(server, b"model=x&messages=hello", "application/x-www-form-urlencoded")


def _refuses(server: Server, requests: Iterable[dict[str, Any]]) -> None:
    """Send requests that have to be refused. A server that accepts one is left at once, so that it
    has not to generate much.
    """
    for members in requests:
        name, value = next(iter(members.items()))
        body = {"max_completion_tokens": 1, "stream": True, **members}
        if "max_tokens" in members:
            del body["max_completion_tokens"]
        reply = server.chat(stop_after=1, **body)
        what = f"`{name}: {_shown(value)}`"
        if reply.status == 429:
            raise not_exercised("rate limited")
        if reply.status not in _REFUSED:
            raise fail(f"{what} {_became(reply)}", expected="400", got=str(reply.status))
        reply.refused(reply.status)


def _became(reply: Reply) -> str:
    if reply.status >= 500:
        return "is a server error"
    if reply.status >= 400:
        return "is refused, but not for what is wrong"
    has_error = any("error" in frame for frame in reply.frames)
    return "is an error in a stream, behind a status of success" if has_error else "is accepted"


def _shown(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        members = [f"{name}: {one}" for name, one in value[0].items() if not isinstance(one, str)]
        return f"[{{{', '.join(members)}}}]"
    return "null" if value is None else '""' if value == "" else str(value)


@probe(
    "errors.messages-type",
    "`messages` that are not a list are refused",
    requests=2,
    tokens=0,
    is_illegal=True,
)
def messages_type(server: Server) -> None:
    _refuses(server, ({"messages": None}, {"messages": ""}))


@probe(
    "errors.messages-empty",
    "`messages` without a message are refused",
    tokens=0,
    is_illegal=True,
)
def messages_empty(server: Server) -> None:
    _refuses(server, ({"messages": []},))


@probe(
    "errors.message-members",
    "messages without a role, or with a number for role or content, are refused",
    requests=3,
    tokens=0,
    is_illegal=True,
)
def message_members(server: Server) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {},
        {"role": 123, "content": "hello"},
        {"role": "user", "content": 123},
    )
    _refuses(server, ({"messages": [message]} for message in wrong))


@probe(
    "errors.n",
    "`n` below 1 or over 128 is refused",
    requests=3,
    tokens=0,
    is_illegal=True,
)
def n(server: Server) -> None:
    _refuses(server, ({"n": 0}, {"n": -1}, {"n": 129}))


@probe(
    "errors.param",
    "an error names the parameter that is wrong",
    tokens=0,
    is_illegal=True,
)
def param(server: Server) -> None:
    _refuses(server, ({"n": 0},))
    named = server.replies[-1].error.get("param")
    if named != "n":
        raise non_strict(
            "the error for `n: 0` does not name it in `param`", expected="n", got=show(str(named))
        )


@probe(
    "errors.max-tokens",
    "a negative `max_tokens` is refused",
    tokens=0,
    is_illegal=True,
)
def max_tokens(server: Server) -> None:
    try:
        _refuses(server, ({"max_tokens": -1},))
    except Outcome as outcome:
        # llama.cpp, LM Studio and Ollama have documented -1 for "no limit".
        if server.replies and _became(server.replies[-1]) == "is accepted":
            raise non_strict(str(outcome), expected="400", got="200") from None
        raise


@probe(
    "errors.rate-limit",
    "a 429 has an error body, and says when to come back",
    codes="X05 H02",
)
def rate_limit(server: Server) -> None:
    reply = server.chat(max_completion_tokens=1)
    if reply.status != 429:
        raise not_exercised("no rate limit was met")
    reply.refused(429)
    if "retry-after" not in reply.headers:
        raise non_strict("a 429 does not say when to come back", expected="Retry-After", got="none")
