"""How a reply is written on the wire: compact JSON, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.mock.generated import Stamp

__all__ = ["DONE", "compact", "completion_head", "events", "written"]

DONE = b"data: [DONE]\n\n"


def compact(value: JSON) -> str:
    """JSON text without spaces, as the service writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def written(value: JSON) -> bytes:
    """JSON as UTF-8; an unpaired surrogate passes as its three bytes."""
    return compact(value).encode("utf-8", "surrogatepass")


def events(chunks: Iterable[JSONObject]) -> list[bytes]:
    """The pieces of a stream: an event for each chunk, then ``[DONE]``."""
    return [*(b"data: " + written(chunk) + b"\n\n" for chunk in chunks), DONE]


def completion_head(stamp: Stamp) -> bytes:
    """The beginning of a completion: all that differs between two of them for one request."""
    return f'{{"id":"{stamp.id}","object":"chat.completion","created":{stamp.created}'.encode()
