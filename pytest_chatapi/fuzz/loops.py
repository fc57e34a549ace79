"""Tool loops: whether what a consumer sends back to the model is right.

Each call of a response has to come back as it was made, and has to be answered exactly once, by its
id, in a tool message right behind it. The order of the tool messages is free, arguments may be
written as other JSON of the same value, and one assistant message may come back as several.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pytest_chatapi.contract.parse import loads
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import listed, plural, show

__all__ = ["MOST_REQUESTS", "SentBack", "Turn", "calls_of", "endless", "wrong_loop"]

MOST_REQUESTS = 50
"""Of a consumer for one result: one that sends more does not come to an end."""


class Turn(NamedTuple):
    """A request of a consumer, and what the model said to it.

    Attributes:
        completion: ``None`` if the request was refused.
        refusal: why it was.
    """

    body: JSONObject
    completion: JSONObject | None
    refusal: str = ""


class SentBack(NamedTuple):
    """What is wrong with the requests of a tool loop.

    Attributes:
        problem: to follow on "the consumer".
        detail: the place, in a sentence without its final stop.
        request: the number of the request, from 0.
        messages: what that request has on top of the one before.
        calls: what the responses before it called.
        changed: the id of a call that came back as another one.
        is_open: there should have been one request more.
    """

    problem: str
    detail: str
    request: int
    messages: Sequence[JSONObject] = ()
    calls: Sequence[JSONObject] = ()
    changed: str = ""
    is_open: bool = False


def wrong_loop(turns: Sequence[Turn], value: Any, *, is_endless: bool) -> SentBack | None:
    """What is wrong with the further requests of a consumer.

    Args:
        value: its result.
        is_endless: it was going to send more than `MOST_REQUESTS`.
    """
    if wrong := _wrong_follow_up(turns):
        return wrong
    return endless(turns[:MOST_REQUESTS]) if is_endless else _left_open(turns, value)


def _wrong_follow_up(turns: Sequence[Turn]) -> SentBack | None:
    """What is wrong with the first request that does not continue the conversation right."""
    known = set(_ids_in(turns[0].body)) if turns else set()
    made: dict[str, JSONObject] = {}
    for at, turn in enumerate(turns):
        if at:
            wrong = _wrong(turn.body, made, known) or _dropped(turns[:at], turn.body)
            if wrong:
                problem, detail, *changed = wrong
                return _sent_back(problem, detail, turns[: at + 1], *changed)
            if turn.refusal:
                problem = "sent back a request that the API refuses"
                return _sent_back(problem, turn.refusal, turns[: at + 1])
        for choice in calls_of(turn.completion):
            made.update({call["id"]: call for call in choice})
    return None


def _sent_back(problem: str, detail: str, turns: Sequence[Turn], changed: str = "") -> SentBack:
    *before, last = turns
    messages = _messages(last.body)
    old = _messages(before[-1].body) if before else []
    new = messages[len(old) :] if messages[: len(old)] == old else messages
    calls = [call for turn in before for call in next(iter(calls_of(turn.completion)), [])]
    return SentBack(problem, detail, len(before), new, calls, changed)


def endless(turns: Sequence[Turn]) -> SentBack:
    """What is wrong with a consumer that sends so many requests."""
    last, before = turns[-1], turns[-2] if len(turns) > 1 else None
    choice = last.body.get("tool_choice")
    if before is None:
        why = "and all are the same"
    elif any(calls_of(last.completion)) and choice not in (None, "auto"):
        why = f"and `tool_choice` is {show(choice)} in each, which forces the model to call again"
    elif last.completion is not None and not any(calls_of(last.completion)):
        why = "and goes on after responses without calls"
    else:
        why = f"{len(turns)} of them different"
    detail = f"it sent {MOST_REQUESTS} requests, {why}"
    if before is None and any(calls_of(last.completion)):
        turns = [last, last]  # the second request should have been another one
    return _sent_back("does not come to an end", detail, turns[:2])


def _left_open(turns: Sequence[Turn], value: Any) -> SentBack | None:
    """Whether a loop ended at a response with calls, and its result says nothing of them."""
    if len(turns) < 2 or value is None:
        return None
    calls = [call for choice in calls_of(turns[-1].completion) for call in choice]
    is_loop = any(id_ in _ids_in(turns[-1].body) for id_ in _ids(turns[:-1]))
    said = repr(value)
    if not calls or not is_loop or any(call["id"] in said or _name(call) in said for call in calls):
        return None
    return SentBack(
        "returned a result although the model waits for tools",
        f"response {len(turns)} has {plural(len(calls), 'call')}, and no request follows",
        len(turns) - 1,
        is_open=True,
    )


def calls_of(completion: JSONObject | None) -> list[list[JSONObject]]:
    """The calls of each choice of a response."""
    choices = completion["choices"] if completion is not None else ()
    return [list(choice["message"].get("tool_calls") or ()) for choice in choices]


def _ids_in(body: JSONObject) -> Iterator[str]:
    """The ids of the calls that a request sends back."""
    for message in _messages(body):
        for call in _calls_in(message):
            if isinstance(call.get("id"), str):
                yield call["id"]


def _ids(turns: Sequence[Turn]) -> list[str]:
    return [call["id"] for turn in turns for made in calls_of(turn.completion) for call in made]


def _messages(body: JSONObject) -> list[JSONObject]:
    messages = body.get("messages")
    return [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []


def _calls_in(message: JSONObject) -> list[JSONObject]:
    calls = message.get("tool_calls") if message.get("role") == "assistant" else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _name(call: JSONObject) -> str:
    return str(call[call["type"]]["name"])


def _wrong(
    body: JSONObject, made: dict[str, JSONObject], known: set[str]
) -> tuple[str, ...] | None:
    """What is wrong with the messages, read in their order: problem, detail, changed call."""
    waiting: dict[str, str] = {}
    seen: dict[str, str] = {}
    answered: dict[str, str] = {}
    for at, message in enumerate(_messages(body)):
        place = f"messages[{at}]"
        role, id_ = message.get("role"), message.get("tool_call_id")
        if role == "tool":
            if not isinstance(id_, str):
                return "answered a call without its id", f"{place} has no `tool_call_id`"
            if waiting.pop(id_, None) is None:
                return _stray(id_, place, answered, made)
            answered[id_] = place
            continue
        if waiting:
            one = next(iter(waiting))
            problem = "left a call unanswered"
            if role not in ("assistant", "system", "developer"):
                problem = f"answered a call in the role {show(role)}"
            return problem, (
                f"{place} has the role {show(role)}, and {waiting[one]} still waits for a tool "
                f"message with the id {show(one)}"
            )
        for number, call in enumerate(_calls_in(message)):
            path = f"{place}.tool_calls[{number}]"
            id_ = call.get("id")
            if not isinstance(id_, str):
                continue  # the request is refused for it
            if id_ in seen:
                return "sent back a call twice", f"{seen[id_]} and {path} have the id {show(id_)}"
            if id_ not in made and id_ not in known:
                return "sent back a call that no response made", f"{path} has the id {show(id_)}"
            if id_ in made and (changed := _changed(call, made[id_])):
                return f"sent back a call with {changed[0]}", f"{path}: {changed[1]}", id_
            seen[id_] = waiting[id_] = path
    for id_, path in waiting.items():
        return "left a call unanswered", f"{path} waits for a tool message with the id {show(id_)}"
    return None


def _stray(
    id_: str, place: str, answered: dict[str, str], made: dict[str, JSONObject]
) -> tuple[str, str]:
    if id_ in answered:
        return "answered a call twice", f"{answered[id_]} and {place} have the id {show(id_)}"
    if id_ in made:
        return (
            "answered a call that it did not send back",
            f"no assistant message before {place} has the call {show(id_)}",
        )
    return "answered a call that no response made", f"{place} has the id {show(id_)}"


def _changed(call: JSONObject, made: JSONObject) -> tuple[str, str] | None:
    kind = made["type"]
    mine, theirs = call.get(kind), made[kind]
    if not isinstance(mine, dict):
        return "another type", f"sent {show(call.get('type'))}, received {show(kind)}"
    key = "input" if kind == "custom" else "arguments"
    if mine.get("name") != theirs["name"]:
        return "another name", f"sent {show(mine.get('name'))}, received {show(theirs['name'])}"
    if isinstance(mine.get(key), str) and not _is_same(mine[key], theirs[key], kind):
        return f"other {key}", f"sent {show(mine[key])}, received {show(theirs[key])}"
    return None


def _is_same(one: str, other: str, kind: str) -> bool:
    if one == other or kind == "custom":
        return one == other
    try:
        return bool(_plain(loads(one)) == _plain(loads(other)))
    except ValueError:
        return False


def _plain(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)


def _dropped(before: Sequence[Turn], body: JSONObject) -> tuple[str, str] | None:
    """Whether the request has only some of the calls of a response, or none of the last one."""
    present = set(_ids_in(body))
    for at, turn in enumerate(before):
        for calls in calls_of(turn.completion):
            ids = [call["id"] for call in calls]
            missing = [id_ for id_ in ids if id_ not in present]
            if missing and len(missing) < len(ids):
                return (
                    "dropped a call",
                    f"response {at + 1} made {plural(len(ids), 'call')}; not sent back: "
                    f"{listed(missing)}",
                )
    last = before[-1]
    ids = [call["id"] for call in next(iter(calls_of(last.completion)), [])]
    if ids and present.isdisjoint(ids) and _continues(body, last.body):
        return (
            "left the calls out of the conversation",
            f"neither they nor tool messages follow, though response {len(before)} has "
            f"{plural(len(ids), 'call')}",
        )
    return None


def _continues(body: JSONObject, before: JSONObject) -> bool:
    """Whether a request has the conversation of another one, and more."""
    mine, theirs = (
        [m for m in _messages(b) if m.get("role") not in ("system", "developer")]
        for b in (body, before)
    )
    return len(mine) > len(theirs) and mine[: len(theirs)] == theirs
