"""What a server gets wrong with requests that it has to refuse."""

from __future__ import annotations

import json

from conformance_servers import Answered, Fault, status


def _is_refused(answered: Answered) -> bool:
    return answered.status == 400


def _has(name: str, *values: object) -> Fault:
    """A server error for requests with such a member; or, without values, with any."""

    def has(answered: Answered) -> bool:
        value = answered.asked.get(name)
        return name in answered.asked and (not values or value in values)

    return status(500, has)


def _without_param(answered: Answered) -> None:
    if answered.status == 400:
        error = json.loads(answered.body)["error"]
        answered.body = json.dumps({"error": {**error, "param": None}}).encode()


def _limit(answered: Answered) -> None:
    if _is_late(answered):
        answered.status, answered.body = 429, b""


def _is_late(answered: Answered) -> bool:
    """Whether it is not the plainest request, without which nothing else is checked."""
    return answered.asked.get("max_completion_tokens") == 1


def _limit_without_time(answered: Answered) -> None:
    error = {"message": "Slow down", "type": "requests", "param": None, "code": "too_many"}
    if _is_late(answered):
        answered.status, answered.body = 429, json.dumps({"error": error}).encode()


_BROKEN = status(500, _is_refused)


def _page(answered: Answered) -> None:
    if answered.status == 400:
        answered.headers["content-type"] = "text/html"
        answered.body = b"<h1>Bad request</h1>"


def _number(answered: Answered) -> None:
    if answered.status == 400:
        error = json.loads(answered.body)["error"]
        answered.body = json.dumps({"error": {**error, "code": 400}}).encode()


def _late(answered: Answered) -> None:
    if answered.status == 400 and answered.asked.get("stream"):
        answered.headers["content-type"] = "text/event-stream"
        answered.status, answered.body = 200, b"data: " + answered.body + b"\n\ndata: [DONE]\n\n"


FAULTS: dict[str, tuple[Fault, str]] = {
    "errors.body": (_page, "the refusal has no error body"),
    **{
        f"errors.{name}": (_BROKEN, "an illegal request is answered with another status")
        for name in ("malformed-json", "array-body", "empty-body", "content-type")
    },
    "errors.messages-type": (_has("messages", ""), '`messages: ""` is a server error'),
    "errors.messages-empty": (_has("messages", []), "`messages: []` is a server error"),
    "errors.message-members": (
        _has("messages", [{"role": "user", "content": 123}]),
        "`messages: [{content: 123}]` is a server error",
    ),
    "errors.n": (status(200, lambda a: a.asked.get("n") == 129), "`n: 129` is accepted"),
    "errors.param": (_has("n"), "`n: 0` is a server error"),
    "errors.max-tokens": (_has("max_tokens"), "`max_tokens: -1` is a server error"),
    "errors.rate-limit": (_limit, "the refusal has no error body"),
}

MORE: dict[str, tuple[Fault, str]] = {
    "errors.messages-empty": (_late, "`messages: []` is an error in a stream"),
    "errors.messages-type": (status(404, _is_refused), "refused, but not for what is wrong"),
    "errors.max-tokens": (_late, "`max_tokens: -1` is an error in a stream"),
}

LOOSE: dict[str, tuple[Fault, str]] = {
    "errors.body": (_number, "`code`"),
    "errors.param": (_without_param, "the error for `n: 0` does not name it"),
    "errors.max-tokens": (status(200, _is_refused), "`max_tokens: -1` is accepted"),
    "errors.rate-limit": (_limit_without_time, "when to come back"),
}

OBEDIENT = {"errors.rate-limit": "not-exercised"}
