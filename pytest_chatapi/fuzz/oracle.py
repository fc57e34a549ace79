"""What a consumer made of a response, and whether that is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask, shortened
from pytest_chatapi.fuzz.deliveries import UNKNOWN, WEB_PAGE, Delivery
from pytest_chatapi.fuzz.loops import SentBack, calls_of

__all__ = [
    "Outcome",
    "difference",
    "is_equal",
    "is_part",
    "lost_call",
    "lost_refusal",
    "lost_usage",
    "problem_of",
]


@dataclass(frozen=True)
class Outcome:
    """What a consumer returned, or the exception that it raised.

    Attributes:
        sent_back: what is wrong with its further requests.
        requests: how many different requests it sent.
    """

    value: Any = None
    error: BaseException | None = None
    sent_back: SentBack | None = None
    requests: int = 0

    def __str__(self) -> str:
        if self.error is None:
            return f"returned {mask(shortened(repr(self.value), 400))}"
        text = str(self.error).strip().partition("\n")[0]
        name = type(self.error).__name__
        return f"raised {name}" + (f": {mask(shortened(text, 200))}" if text else "")


def problem_of(
    rows: Sequence[Delivery],
    plain: Outcome,
    outcome: Outcome,
    same: Callable[[Any, Any], bool] | None = None,
) -> str:
    """What is wrong with an outcome, to follow on "the consumer"; empty if nothing is.

    Args:
        rows: the deliveries that were applied.
        plain: of the plain delivery of the same response.
        same: compares two results; ``None``: they have to be equal.
    """
    illegal = next((row for row in rows if row.kind == "illegal"), None)
    if illegal is not None:
        # `None` is how many functions say that they have no result.
        if outcome.error is not None or plain.error is not None or outcome.value is None:
            return ""
        if is_equal(plain.value, outcome.value, same):
            has_asked_again = outcome.requests > plain.requests
            if illegal.may_recover or has_asked_again:
                return ""
            return "took an illegal delivery for the response"
        if is_part(outcome.value, plain.value):
            return "took a part of the response for the whole"
        # An error message would say more than the page.
        if any(text.strip() == WEB_PAGE for text in _texts(outcome.value)):
            return "took an illegal delivery for the response"
        if illegal.name == "calls_share_index" and _is_mixed_of(outcome.value, plain.value):
            return "took an illegal delivery for the response"
        return ""
    kind = next((row.kind for row in rows if row.kind != "legal"), "legal")
    if outcome.error is not None:
        is_same = type(outcome.error) is type(plain.error)
        return "" if is_same else f"could not read a {kind} delivery"
    if plain.error is None and is_equal(plain.value, outcome.value, same):
        return ""
    return f"reads a {kind} delivery differently"


def is_equal(one: Any, other: Any, same: Callable[[Any, Any], bool] | None) -> bool:
    """Whether two results are the same but for members that no consumer knows.

    Args:
        same: compares them instead.
    """
    if same is not None:
        return bool(same(one, other))
    return bool(one == other) or _known(one) == _known(other)


def _known(value: Any) -> Any:
    """A result without the members that `unknown_members` adds: many consumers keep them."""
    members = _members(value)
    if members is not None:
        # Pydantic's set of names has theirs too.
        dropped = {*UNKNOWN, "__pydantic_fields_set__"}
        return type(value), {
            key: _known(item) for key, item in members.items() if key not in dropped
        }
    if isinstance(value, list | tuple):
        return type(value), [_known(item) for item in value]
    return value


def difference(one: Any, other: Any, path: str = "") -> tuple[str, Any, Any]:
    """Where two results differ first, as ``choices[0].text``, and what is there in each of them."""
    if type(one) is type(other):
        mine, theirs = _members(one), _members(other)
        if mine is not None and theirs is not None:
            for key in {**mine, **theirs}:
                if key in UNKNOWN or str(key).startswith("__"):
                    continue
                if _known(mine.get(key)) != _known(theirs.get(key)):
                    place = f"{path}.{key}".lstrip(".")
                    return difference(mine.get(key), theirs.get(key), place)
        elif isinstance(one, list | tuple):
            for at, (item, its) in enumerate(zip(one, other, strict=False)):
                if _known(item) != _known(its):
                    return difference(item, its, f"{path}[{at}]")
    return path, one, other


def _is_mixed_of(value: Any, plain: Any) -> bool:
    """Whether all texts of a result are among those of the plain one, or joined of these."""
    known = sorted(filter(None, _words(plain)), key=len, reverse=True)

    def is_joined(text: str) -> bool:
        while text:
            start = next(filter(text.startswith, known), "")
            if not start:
                return False
            text = text[len(start) :]
        return True

    return all(map(is_joined, _words(value)))


def _words(value: Any) -> set[str]:
    """All texts and flags in a result, and the names of its members."""
    names: set[str] = set()

    def add(value: Any) -> None:
        members = _members(value)
        if members is not None:
            names.update(map(str, members))
            value = list(members.values())
        if isinstance(value, list | tuple):
            for item in value:
                add(item)

    add(value)
    return {*names, *_texts(value)}


def is_part(part: Any, whole: Any) -> bool:
    """Whether a result says nothing that the complete one does not say.

    Text may end early or lack a stretch, lists may end early, members may be missing or empty, and
    counts may be lower. Anything else tells the caller that something is wrong.
    """
    if part is None or part is whole:
        return True
    if isinstance(part, bool) or isinstance(whole, bool):
        return part is whole
    if isinstance(part, str) and isinstance(whole, str | None):
        return _is_part_of_text(part.rstrip("\ufffd"), whole or "")
    if isinstance(part, bytes) and isinstance(whole, bytes | None):
        return (whole or b"").startswith(part)
    if isinstance(part, int | float) and isinstance(whole, int | float):
        return bool(part == whole or 0 <= part < whole)
    if isinstance(part, int | float) and whole is None:
        return part == 0
    mine, theirs = _members(part), _members(whole)
    if mine is not None and (theirs is not None or whole is None):
        if whole is not None and type(part) is not type(whole):
            return False
        theirs = theirs or {}
        return all(is_part(value, theirs.get(key)) for key, value in mine.items())
    if isinstance(part, Sequence | set | frozenset) and not isinstance(part, str | bytes):
        if whole is None:
            return not part
        if not isinstance(whole, Sequence | set | frozenset) or isinstance(whole, str | bytes):
            return False
        if isinstance(part, Sequence) and isinstance(whole, Sequence):
            return len(part) <= len(whole) and all(map(is_part, part, whole))
        return set(part) <= set(whole)
    return bool(part == whole)


def lost_refusal(refused: Any, success: Any, *, is_structured: bool) -> bool:
    """Whether the result of a refusal looks like that of a response that says nothing.

    Args:
        refused, success: what the consumer returned for a refusal, and for text.
        is_structured: the request wants JSON: the reference tells clients to expect refusals then.
            Other consumers only promise to read them if their results have a member for them.
    """
    if refused is None or not (is_structured or _has_refusal(success)):
        return False
    known = {*_texts(success), ""}
    return all(text in known for text in _texts(refused))


def lost_usage(value: Any) -> bool:
    """Whether a result has a member ``usage`` that is empty, although usage was sent."""
    members = _members(value)
    if members is None:
        return False
    return any(str(key).lower() == "usage" and not item for key, item in members.items())


def lost_call(value: Any, completion: JSONObject) -> bool:
    """Whether a result has the ids of some of the calls of a response, and not of all."""
    text = repr(value)
    ids = [call["id"] for calls in calls_of(completion) for call in calls]
    return 0 < sum(id_ in text for id_ in ids) < len(ids)


def _has_refusal(value: Any) -> bool:
    members = _members(value)
    if members is not None:
        return any(
            "refus" in str(key).lower() or _has_refusal(item) for key, item in members.items()
        )
    return isinstance(value, list | tuple) and any(map(_has_refusal, value))


def _texts(value: Any) -> Iterator[str]:
    """All texts and flags in a result."""
    if isinstance(value, str | bool):
        yield str(value)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
    elif (members := _members(value)) is not None:
        for item in members.values():
            yield from _texts(item)


def _is_part_of_text(part: str, whole: str) -> bool:
    if len(part) > len(whole):
        return False
    start = 0
    while start < len(part) and part[start] == whole[start]:
        start += 1
    return whole.endswith(part[start:])


def _members(value: Any) -> Mapping[Any, Any] | None:
    """The members of an object or a mapping; ``None`` for anything else."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, str | bytes | int | float | Sequence | set | frozenset | type | None):
        return None
    slots = getattr(type(value), "__slots__", ())
    named = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**named, **vars(value)} if hasattr(value, "__dict__") else named or None
