"""What a server gets wrong with plain text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from conformance_servers import Answered, Fault, edits, ignores, replaces, status, streamed

Message = dict[str, Any]


def _messages(change: Callable[[list[Message]], list[Message]]) -> Fault:
    """A server that makes other messages of those of a request."""
    return lambda answered: answered.instead(messages=change(answered.asked["messages"]))


def _without(role: str) -> Fault:
    return _messages(lambda messages: [m for m in messages if m["role"] != role])


def _parts(change: Callable[[list[Any]], str]) -> Fault:
    def changed(message: Message) -> Message:
        content = message["content"]
        return {**message, "content": change(content)} if isinstance(content, list) else message

    return _messages(lambda messages: [changed(message) for message in messages])


def _joined(parts: list[Any]) -> str:
    return "".join(part["text"] for part in parts)


def _older_cap(answered: Answered) -> Answered | None:
    is_both = "max_tokens" in answered.asked
    return answered.instead(max_completion_tokens=...) if is_both else None


def _stops_late(answered: Answered) -> Answered | None:
    """The first character of the stop sequence is sent before the rest of it is seen."""
    stops = answered.asked.get("stop")
    return answered.instead(stop=[stops[0][1:]]) if stops else None


def _no_stop(answered: Answered) -> None:
    if answered.asked.get("stop"):
        answered.body = answered.body.replace(b'"stop"', b'"length"')


def _has_stops(count: int) -> Callable[[Answered], bool]:
    return lambda answered: len(answered.asked.get("stop", ())) == count


def _counts_one(value: dict[str, Any]) -> None:
    usage = value.get("usage")
    if usage:
        usage["completion_tokens"] //= 2
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]


def _counts_none(value: dict[str, Any]) -> None:
    usage = value.get("usage")
    if usage and usage["completion_tokens"] == 1:
        usage["completion_tokens"], usage["total_tokens"] = 0, usage["prompt_tokens"]


def _ids() -> Fault:
    numbers = itertools.count()
    return streamed(lambda value: value.update(id=f"chatcmpl-{next(numbers)}"))


def _dates() -> Fault:
    seconds = itertools.count(1_760_000_000)
    return streamed(lambda value: value.update(created=next(seconds)))


def _seeds() -> Fault:
    seeds = itertools.count()
    return lambda a: a.instead(seed=next(seeds)) if "seed" in a.asked else None


def _refuses(message: str, applies: Callable[[Answered], bool]) -> Fault:
    def fault(answered: Answered) -> None:
        if applies(answered):
            status(400, lambda _: True)(answered)
            answered.body = answered.body.replace(b'"m"', json.dumps(message).encode())

    return fault


def _warm(answered: Answered) -> Answered | None:
    if answered.asked.get("temperature") == 3:
        return answered.instead(temperature=2)
    return None


def _first_stop(answered: Answered) -> Answered | None:
    """A server that takes a single stop sequence for a list of them: of its characters."""
    stop = answered.asked.get("stop")
    return answered.instead(stop=list(stop)[:4]) if isinstance(stop, str) else None


_NOT_CUT = replaces('"length"', '"stop"')
_LISTED = _parts(lambda parts: json.dumps(parts))

FAULTS: dict[str, tuple[Fault, str]] = {
    "text.basic": (edits(lambda value: value.pop("model")), "the key `model` is absent"),
    "text.roles": (_without("system"), "does not count the system message"),
    "text.developer": (_without("developer"), "does not count the developer message"),
    "text.parts": (_LISTED, "the model may see JSON in place of text"),
    "text.null-content": (
        _refuses("content must be a string", lambda a: a.asked["messages"][1:2] != []),
        "a legal request is refused",
    ),
    "text.max-tokens": (_NOT_CUT, "finish_reason does not say so"),
    "text.max-completion-tokens": (_NOT_CUT, "finish_reason does not say so"),
    "text.both-caps": (_older_cap, "more completion tokens than the request allows"),
    "text.long": (
        replaces('"finish_reason":"length"', '"finish_reason":null'),
        "choice 0 never finishes",
    ),
    "text.stop": (ignores("stop"), "does not end right before the stop sequence"),
    "text.stop-across-tokens": (_stops_late, "does not end right before the stop sequence"),
    "text.stop-limit": (status(500, _has_stops(5)), "answered with another status"),
    "text.n": (ignores("n"), "`n` is ignored"),
    "text.seed": (status(500, lambda a: "seed" in a.asked), "a legal request is refused"),
    "text.logit-bias": (ignores("logit_bias"), "logit_bias is not obeyed"),
    "text.sampling-bounds": (
        _refuses("bad penalty", lambda a: a.asked.get("presence_penalty") in (2, -2)),
        "a legal request is refused",
    ),
    "text.sampling-range": (
        status(500, lambda a: a.asked.get("top_p") == 2),
        "answered with another status",
    ),
    "text.unicode": (replaces("ü", "Ã¼"), "characters of the text were changed"),
}

MORE: dict[str, tuple[Fault, str]] = {
    "text.basic.whole": (edits(lambda value: value.pop("usage")), "has no usage"),
    "text.roles.whole": (_messages(lambda m: [*m[:1], m[-1]]), "count the earlier messages"),
    "text.parts": (_parts(lambda parts: parts[0]["text"]), "parts may have been left out"),
    "text.max-completion-tokens": (edits(_counts_none), "does not count the token"),
    "text.max-tokens": (ignores("max_tokens"), "the limit of 1 token is not kept"),
    "text.stop.whole": (_first_stop, "does not end right before the stop sequence"),
    "text.stop.stream": (_no_stop, "ends at a stop sequence, but finish_reason"),
    "text.stop-limit": (status(400, _has_stops(4)), "a legal request is refused"),
    "text.n": (edits(_counts_one), "completion_tokens counts one choice of two"),
    "text.sampling-range": (
        status(500, lambda a: a.asked.get("temperature") == 3),
        "answered with another status",
    ),
}

PASS: dict[str, Fault] = {"text.parts": _parts(lambda parts: "\n".join(p["text"] for p in parts))}

LOOSE: dict[str, tuple[Fault, str]] = {
    "text.long": (_ids(), "`id` differs"),
    "text.long.stream": (_dates(), "`created` differs"),
    "text.parts": (_parts(lambda parts: _joined(parts) + " so"), "not quite the same prompt"),
    "text.stop-limit": (
        lambda a: a.instead(stop=a.asked["stop"][:4]) if "stop" in a.asked else None,
        "accepts 5 stop sequences",
    ),
    "text.seed": (_seeds(), "the same seed gives two texts"),
    "text.sampling-bounds": (
        _refuses("top_p must be over 0", lambda a: a.asked.get("top_p") == 0),
        "refuses `top_p: 0`",
    ),
    "text.sampling-range": (_warm, "accepts a temperature of 3"),
}
