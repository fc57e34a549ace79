"""How a reply is written on the wire: compact JSON, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.generated import Stamp
from pytest_chatapi.recording.interaction import Interaction

__all__ = ["DONE", "compact", "completion_head", "events", "wire", "written"]

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


def wire(
    *pieces: bytes,
    status: int = 200,
    content_type: str = "text/event-stream; charset=utf-8",
    cut: bool = False,
) -> Interaction:
    """A reply that is these bytes, in these pieces, whatever the request.

    Args:
        pieces: what the client reads at once, one after another.
        cut: the connection breaks after the last piece.

    Raises:
        SettingError: a piece is not bytes.
    """
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise SettingError(f"wire() takes bytes, not {type(piece).__name__}")
    return Interaction(
        Request(),
        status,
        "OK" if status == 200 else "",
        [("content-type", content_type)],
        pieces,
        cut="server" if cut else None,
        error="RemoteProtocolError" if cut else "",
    )
