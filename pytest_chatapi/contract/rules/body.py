"""S00, S16 and E02: the body of a response as a whole."""

from __future__ import annotations

from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import Shown

__all__ = ["EVENT_STREAM", "body_missing", "content_type_stream", "not_json"]

EVENT_STREAM = "text/event-stream"


@rule("S00")
def not_json(body: JSON, why_not: str | None = None) -> Violation:
    """Where a body that has to be one JSON object is not.

    Args:
        body: bytes that are not JSON, or begin with a byte-order mark; else the parsed JSON.
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
    media_type: str, is_stream: bool, requested: bool | None = None, *, is_error: bool = False
) -> Violation | None:
    """Where content type, body and request do not fit together.

    Args:
        media_type: without parameters, in lower case; empty if there is no such header.
        is_stream: the body is an event stream.
        requested: whether the request asks for a stream; ``None`` if it cannot be compared.
        is_error: the body is JSON under an error status.
    """
    if requested is not None and requested != is_stream:
        asks = "asks for a stream" if requested else "does not ask for a stream"
        kind = "an event stream" if is_stream else "not an event stream"
        return Violation(
            "headers.content-type" if media_type else "$",
            "an event stream" if requested else "JSON",
            Shown("an event stream" if is_stream else "no event stream"),
            f"the request {asks}, but the body is {kind}",
        )
    if not media_type or (media_type == EVENT_STREAM if is_stream else _is_json(media_type)):
        return None
    if is_error:
        what, case = "a JSON error body", "error-body"
    else:
        what, case = "an event stream" if is_stream else "a JSON response", ""
    expected = EVENT_STREAM if is_stream else "application/json"
    message = f"{what} has the wrong content type"
    return Violation("headers.content-type", expected, media_type, message, case)


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")
