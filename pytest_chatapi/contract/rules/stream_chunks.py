"""E01, T01 to T04, and T06 to T12: single events and chunks.

The loop in `stream` looks at every chunk and calls these only where something is wrong: a call
for each rule and chunk would cost more than parsing.
"""

from __future__ import annotations

from pytest_chatapi.contract.assemble import Choice
from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, Shown, show

__all__ = [
    "is_done",
    "is_error_object",
    "sse_framing",
    "stream_after_finish",
    "stream_chunk_json",
    "stream_created",
    "stream_done_missing",
    "stream_empty_choices",
    "stream_error_event",
    "stream_finish_twice",
    "stream_first_role",
    "stream_id",
    "stream_index_range",
    "stream_model",
]


@rule("E01")
def sse_framing(skipped: str | bytes, number: int) -> Violation:
    """For what clients skip.

    Args:
        skipped: the name of a field that is misspelt, or text that is in no field.
    """
    if isinstance(skipped, bytes):
        message = "clients skip a line without `data:`"
        return Violation("$", "data:", skipped, message, chunk=number)
    if skipped.startswith("\ufeff"):
        message = "clients skip a line with a byte-order mark before its field name"
    else:
        message = f"clients skip a line with the field name {skipped!r}"
    return Violation("$", "data:", Shown(show(skipped)), message, chunk=number)


@rule("T01")
def stream_id(first: JSON, later: JSON, number: int) -> Violation:
    return _differs("id", first, later, number)


@rule("T02")
def stream_created(first: JSON, later: JSON, number: int) -> Violation:
    return _differs("created", first, later, number)


@rule("T03")
def stream_model(first: JSON, later: JSON, number: int) -> Violation:
    return _differs("model", first, later, number)


def _differs(key: str, first: JSON, later: JSON, number: int) -> Violation:
    message = f"`{key}` differs from the first chunk's"
    return Violation(f"$.{key}", show(first), later, message, chunk=number)


@rule("T04")
def stream_first_role(
    index: int, position: int, role: JSON, number: int, *, first: bool
) -> Violation:
    path = f"$.choices[{position}].delta.role"
    if first:
        message = f"the first delta of choice {index} has no role"
        return Violation(path, '"assistant"', role, message, chunk=number)
    message = "a later role is not `assistant`"
    return Violation(path, '"assistant" or absent', role, message, chunk=number)


@rule("T06")
def stream_finish_twice(choice: Choice, position: int, finish: str, number: int) -> Violation:
    return Violation(
        f"$.choices[{position}].finish_reason",
        "one finish_reason",
        finish,
        f"choice {choice.index} had already finished with {show(choice.finish)}",
        chunk=number,
    )


@rule("T07")
def stream_after_finish(
    choice: Choice, position: int, key: str, value: JSON, number: int
) -> Violation:
    return Violation(
        f"$.choices[{position}].delta.{key}",
        "nothing after finish_reason",
        value,
        f"choice {choice.index} had already finished with {show(choice.finish)}",
        chunk=number,
    )


@rule("T08")
def stream_done_missing(event: bytes | None, *, all_finished: bool = False) -> Violation:
    """For a stream without ``[DONE]``, or with events after it.

    Args:
        event: the data of an event after ``[DONE]``; ``None`` if there is no ``[DONE]``.
        all_finished: every choice has a finish_reason.
    """
    if event is None:
        return Violation(
            "$",
            "data: [DONE] at the end",
            ABSENT,
            "the stream ends without [DONE]",
            "all-finished" if all_finished else "",
        )
    if is_done(event):
        return Violation("$", "data: [DONE] once", "[DONE]", "`data: [DONE]` is sent twice")
    message = "an event follows `data: [DONE]`"
    return Violation("$", "nothing after [DONE]", event, message)


def is_done(data: bytes) -> bool:
    """Whether the data of an event is ``[DONE]``."""
    return data[:6] == b"[DONE]" and not data[6:].strip()


@rule("T09")
def stream_empty_choices(number: int, *, is_filter: bool = False) -> Violation:
    if is_filter:
        got, case = "[] with prompt_filter_results", "content-filter"
        message = "a content-filter chunk without choices, which Azure sends first"
    else:
        got, case = "[]", ""
        message = "`choices` is empty, but this is not a usage chunk"
    return Violation("$.choices", "at least one choice", Shown(got), message, case, number)


@rule("T10")
def stream_error_event(value: JSON, number: int, *, bare: bool = False) -> Violation:
    """For an error among the events.

    Args:
        bare: it is on a line without ``data:``.
    """
    is_object = isinstance(value, dict)
    error = value.get("error", value) if is_object else value
    text = error.get("message", error) if isinstance(error, dict) else error
    where = "on a line without `data:`" if bare else "in the stream"
    return Violation(
        "$.error" if is_object and "error" in value else "$",
        "no error after status 200",
        error,
        f"the server reports an error {where}: {show(text, 200)}",
        chunk=number,
    )


def is_error_object(value: JSONObject) -> bool:
    """Whether an object outside of any event reports an error: the service's form, or another's."""
    if value.get("error"):
        return True
    return "choices" not in value and any(
        type(value.get(key)) is str for key in ("detail", "message", "error_message")
    )


@rule("T11")
def stream_chunk_json(value: JSON, number: int, why_not: str | None = None) -> Violation:
    """For an event that is not JSON, or not an object.

    Args:
        value: the data of the event: bytes if they are not JSON, else parsed.
        why_not: why the bytes are not JSON.
    """
    what = "not an object" if why_not is None else f"not JSON: {why_not}"
    message = f"the data of event {number} is {what}"
    return Violation("$", "one JSON object", value, message, chunk=number)


@rule("T12")
def stream_index_range(
    index: int, position: int, number: int, n: int, *, twice: bool = False
) -> Violation:
    if twice:
        expected = "each index once in a chunk"
        message = f"choice {index} appears twice in one chunk"
    else:
        expected = f"0 to {n - 1}"
        message = f"choice {index} is out of range: the request asks for n = {n}"
    return Violation(f"$.choices[{position}].index", expected, index, message, chunk=number)
