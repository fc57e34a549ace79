"""A cassette of vcrpy that asks a recorder: the way in for clients not built on httpx or httpx2.

Imports vcrpy, so import this module only where such a client is loaded.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from vcr.cassette import Cassette  # type: ignore[import-untyped]

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.recording.interaction import grouped
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.under_way import Playback, Take

__all__ = ["bridged"]


class _Request(Protocol):
    """vcrpy's request, and those that its stub for aiohttp makes itself."""

    method: str
    uri: str
    host: str
    port: int | None
    headers: Mapping[str | bytes, object]
    body: object
    chatapi: Playback | Take
    """Ours: what `_Bridge.can_play_response_for` decided."""


@contextlib.contextmanager
def bridged(
    recorder: Recorder,
    passes: Callable[[str, int | None], bool],
    *,
    skip: Collection[str],
) -> Iterator[None]:
    """Route the clients that vcrpy knows how to patch through `recorder`.

    Args:
        passes: whether requests to a host and port go out as if nothing were intercepted.
        skip: libraries that are not patched.
    """

    class Bound(_Bridge):
        pass

    Bound.recorder, Bound.passes, Bound.takes = recorder, staticmethod(passes), defaultdict(deque)
    path = str(recorder.cassette.path if recorder.cassette else "")
    with Bound.use(path=path, skip_patchers=skip):
        yield


class _Bridge(Cassette):  # type: ignore[misc]
    """The cassette that vcrpy's patchers take responses from and add live responses to."""

    chatapi = True
    recorder: Recorder
    passes: Callable[[str, int | None], bool]
    takes: dict[tuple[str, str], deque[Take]]

    def can_play_response_for(self, request: _Request) -> bool:
        if self.passes(request.host, request.port):
            return False
        begun = request.chatapi = self._begin(request)
        if isinstance(begun, Take):
            self.takes[request.method, request.uri].append(begun)
        return isinstance(begun, Playback)

    def _begin(self, request: _Request) -> Playback | Take:
        body = request.body_bytes if hasattr(request, "body_bytes") else request.body
        return self.recorder.begin(
            request.method, request.uri, _pairs(request.headers), _bytes(body)
        )

    def play_response(self, request: _Request) -> JSONObject:
        begun = getattr(request, "chatapi", None) or self._begin(request)
        assert isinstance(begun, Playback)  # or vcrpy would not have asked
        interaction = begun.interaction
        if not interaction.status or interaction.cut == "server":
            is_slow = interaction.error.endswith("Timeout")
            reason = interaction.reason or "the connection ended here"
            raise (TimeoutError if is_slow else ConnectionResetError)(reason)
        begun.delivered = len(interaction.pieces)
        return {
            "status": {"code": interaction.status, "message": interaction.reason},
            "headers": grouped(interaction.headers),
            "body": {"string": b"".join(interaction.pieces)},
        }

    def append(self, request: _Request, response: JSONObject) -> None:
        if self.passes(request.host, request.port):
            return
        # aiohttp's stub adds the hops of a redirect without asking for a response first.
        waiting = self.takes[request.method, request.uri]
        take = waiting.popleft() if waiting else self._begin(request)
        if not isinstance(take, Take):
            return
        status = response["status"]
        take.responded(status["code"], status["message"] or "", _pairs(response["headers"]))
        body = _bytes((response.get("body") or {}).get("string"))
        if body:
            take.piece(body)
        take.ended()

    @property
    def write_protected(self) -> bool:
        return False  # what must not be sent has failed in can_play_response_for

    def _load(self) -> None:
        self.rewound = True

    def _save(self, force: bool = False) -> None: ...


def _pairs(headers: Mapping[Any, object]) -> list[tuple[str, str]]:
    pairs = []
    for name, value in headers.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            pairs.append((_str(name), _str(item)))
    return pairs


def _str(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bytes(body: object) -> bytes:
    """A request body, as far as it can be read without taking it from the client."""
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict | list):  # aiohttp's json=...
        with contextlib.suppress(TypeError, ValueError):
            return json.dumps(body).encode()
    if hasattr(body, "read") and hasattr(body, "seek") and hasattr(body, "tell"):
        place = body.tell()
        data = body.read()
        body.seek(place)
        return _bytes(data)
    if body is None:
        return b""
    # Only the client can read a form or an iterator: the name of its type has to do.
    return f"<{type(body).__name__}>".encode()
