"""S00, S16 and E02: the body of a response as a whole, before anything in it is looked at."""

from __future__ import annotations

from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import Shown

__all__ = ["body_missing", "content_type_stream", "is_json_type", "not_json"]


@rule("S00")
def not_json(body: JSON, why_not: str | None = None) -> Violation:
    """Args:
    body: bytes where they are not JSON or begin with a byte-order mark, else what they hold
        instead of an object.
    why_not: why the bytes are not JSON.
    """
    if why_not is not None:
        return Violation("$", "one JSON object", body, f"the body is not JSON: {why_not}")
    if isinstance(body, bytes):
        return Violation(
            "$",
            "JSON without a byte-order mark",
            Shown("a byte-order mark"),
            "the JSON is preceded by a byte-order mark",
            "byte-order-mark",
        )
    return Violation("$", "one JSON object", body, "the body is not a JSON object")


@rule("S16")
def body_missing() -> Violation:
    message = "the recording has no body, so it was not checked"
    return Violation("$", "a body", Shown("nothing"), message)


@rule("E02")
def content_type_stream(
    media_type: str, *, is_stream: bool, asked: bool | None = None, is_error: bool = False
) -> Violation | None:
    """Args:
    media_type: without parameters, in lower case; empty where the header is absent.
    is_stream: the body is an event stream.
    asked: whether the request streams; ``None`` where that cannot be held against the body.
    is_error: the body is a JSON error under an error status.
    """
    if asked is not None and asked != is_stream:
        return Violation(
            "headers.content-type" if media_type else "$",
            "an event stream" if asked else "JSON",
            Shown("an event stream" if is_stream else "no event stream"),
            "the request asks for a stream, but the body is not an event stream"
            if asked
            else "the request does not ask for a stream, but the body is an event stream",
        )
    if not media_type or (
        media_type == "text/event-stream" if is_stream else is_json_type(media_type)
    ):
        return None
    if is_error:
        what, case = "a JSON error body", "error-body"
    else:
        what, case = "an event stream" if is_stream else "a JSON response", ""
    return Violation(
        "headers.content-type",
        "text/event-stream" if is_stream else "application/json",
        media_type,
        f"{what} has the wrong content type",
        case,
    )


def is_json_type(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")
