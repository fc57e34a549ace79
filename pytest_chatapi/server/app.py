"""The ASGI application: each request to the recorder, and what it decides to the client."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import Route

from pytest_chatapi.contract.wording import mask
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import sending
from pytest_chatapi.recording.under_way import Playback, Take
from pytest_chatapi.server.connection import Connection, Gone

if TYPE_CHECKING:
    import httpx
    from starlette.types import Receive, Scope, Send

__all__ = ["MAX_BODY", "make_app"]

MAX_BODY = 16 * 1024 * 1024

_STALL = 10.0
"""Seconds that a client gets to stop where it had stopped in the recording."""

_CONNECT = 30.0
"""Seconds to reach the upstream; how long it then thinks is its own business."""

_LINGER = 2.0
"""Seconds in which a client that sends too much may still do so, to learn that it is too much."""

_TURN = 64
"""Pieces that go out at once before it is another client's turn."""

_QUICK = 16 * 1024
"""Bytes of a body that a recorder is done with at once."""

# RFC 9110, 7.6.1: they are about one connection, and each side has its own.
_OF_A_CONNECTION = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_MADE_ANEW = {"accept-encoding", "content-length", "expect", "host"}

_RESETS = {"ConnectError", "ReadError", "WriteError"}
_BASE = re.compile(r"(https?://[^?#]*?)/(?:chat/completions|models)(?:[/?#]|$)")


def make_app(
    recorder: Recorder,
    *,
    api_key: str | None = None,
    max_body: int = MAX_BODY,
    upstream: str | None = None,
    save: Callable[[], object] | None = None,
    on_exchange: Callable[[str], None] | None = None,
) -> Starlette:
    """The API that a recorder answers for, to be run by `server.run`.

    Below ``/v1`` stands what was recorded below the base URL of the first recording; any path is
    found as it was recorded, too.

    Args:
        recorder: answers; what it has no answer for is a 404 that says why.
        api_key: what clients have to send; ``None`` takes them all.
        max_body: bytes of a request body.
        upstream: base URL, ``/v1`` included, where that goes what the recorder is to record.
        save: called after each exchange and at the end, in a thread, never twice at once.
        on_exchange: gets a line for each request, without secrets.

    Raises:
        SettingError: `upstream` is no URL.
    """
    if upstream is not None:
        split = urlsplit(upstream)
        if split.scheme not in ("http", "https") or not split.hostname or split.query:
            raise SettingError(
                f"upstream is a base URL such as https://api.openai.com/v1, not {mask(upstream)!r}"
            )
    endpoint = _Endpoint(recorder, api_key, max_body, upstream, save, on_exchange)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await endpoint.close()

    return Starlette(routes=[Route("/{path:path}", endpoint)], lifespan=lifespan)


class _Answer:
    """The response to one request, on its way to the client."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, port = scope["server"]
        query = scope["query_string"].decode("latin-1")
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("latin-1")
        self.target = f"{self.path}?{query}" if query else self.path
        self.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.headers = [
            (name.decode("latin-1").lower(), text.decode("latin-1"))
            for name, text in scope["headers"]
        ]
        self.connection: Connection = scope["chatapi"]
        self.status = self.size = 0
        self.note = ""
        self._receive, self._send = receive, send

    def header(self, name: str) -> str:
        return next((text for other, text in self.headers if other == name), "")

    async def body(self, most: int) -> bytes | None:
        """The body of the request; ``None`` where it is larger."""
        length = self.header("content-length")
        if length.isdigit() and int(length) > most:
            return None
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            most -= len(parts[-1])
            if most < 0:
                return None
            if not message.get("more_body"):
                return b"".join(parts)

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.status = status
        await self._send(
            {"type": "http.response.start", "status": status, "headers": _on_the_wire(headers)}
        )

    async def piece(self, data: bytes, *, last: bool = False) -> None:
        self.size += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def error(
        self, status: int, message: str, code: str | None, *, kind: str = "invalid_request_error"
    ) -> None:
        """An error in the API's own shape."""
        error = {"message": message, "type": kind, "param": None, "code": code}
        body = json.dumps({"error": error}, indent=2).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
        ]
        too_large = status == 413
        if too_large:
            headers.append(("connection", "close"))
        await self.start(status, headers)
        await self.piece(body, last=not too_large)
        if too_large:
            # A connection that is closed while its client still sends is reset, and the client
            # would never read why.
            await self._drain()
            await self.piece(b"", last=True)

    async def _drain(self) -> None:
        """Takes what is still to come of the body, for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while (await self._receive()).get("more_body"):
                    pass


def _on_the_wire(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    # A recording may hold anything, and a line end would begin a header of its own.
    return [
        (name.encode("latin-1", "replace"), _field(text))
        for name, text in headers
        if name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    ]


def _field(text: str) -> bytes:
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char == "\t" else " " for char in text)
    return text.strip().encode("latin-1", "replace")


class _Endpoint:
    """Answers all requests.

    What takes long under the recorder's lock, or waits for it, is done in one thread, so that
    streams that are under way go on meanwhile.
    """

    def __init__(
        self,
        recorder: Recorder,
        api_key: str | None,
        max_body: int,
        upstream: str | None,
        save: Callable[[], object] | None,
        on_exchange: Callable[[str], None] | None,
    ) -> None:
        self._recorder, self._api_key, self._max_body = recorder, api_key, max_body
        self._upstream = upstream.rstrip("/") if upstream is not None else None
        self._base = self._upstream or _recorded_base(recorder)
        self._save, self._on_exchange = save, on_exchange
        self._client: httpx.AsyncClient | None = None
        self._thread = ThreadPoolExecutor(1, "chatapi-recorder")
        self._in_hand = 0  # of the thread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(scope, receive, send)
        started = time.perf_counter()
        try:
            await self._answer(answer)
        except Gone:
            answer.note = "the client left"
        except Exception as error:  # of a hook of the user's, or ours: the next request goes on
            answer.note = f"{type(error).__name__}: {error}"
            if answer.status:
                await answer.connection.cut()
            else:
                await answer.error(500, answer.note, None, kind="server_error")
        finally:
            seconds = time.perf_counter() - started
            try:
                await self._keep()
            except ChatAPIError as error:
                answer.note = str(error)
            if self._on_exchange is not None:
                self._on_exchange(self._line(answer, seconds))

    def _line(self, answer: _Answer, seconds: float) -> str:
        redactor = self._recorder.redactor
        target = redactor.text(redactor.url(answer.target))
        note = f", {redactor.text(answer.note)}" if answer.note else ""
        return mask(
            f"{answer.method} {target} {answer.status or '-'} {answer.size} bytes "
            f"{seconds * 1000:.0f} ms{note}"
        )

    async def close(self) -> None:
        """When no request is under way any more.

        Raises:
            ChatAPIError: the cassette cannot be written.
        """
        if self._client is not None:
            await self._client.aclose()
        try:
            await self._keep()
        finally:
            self._thread.shutdown()

    async def _keep(self) -> None:
        if self._save is not None:
            await self._in_thread(self._save)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        self._in_hand += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._in_hand -= 1

    # -- one request -----------------------------------------------------------------------

    async def _answer(self, answer: _Answer) -> None:
        if self._api_key is not None and (wrong := _refusal(answer, self._api_key)):
            await answer.error(401, *wrong)
            return
        url = self._url(answer)
        if url is None:
            await answer.error(404, f"Invalid URL ({answer.method} {answer.path})", None)
            return
        body = await answer.body(self._max_body)
        if body is None:
            text = f"The body of the request is larger than {self._max_body} bytes."
            await answer.error(413, text, "request_too_large")
            return
        try:
            found = await self._begin(answer, url, body)
        except asyncio.CancelledError:
            raise
        except BaseException as miss:  # what `on_miss` raises is no `Exception`
            answer.note = "no answer"
            await answer.error(404, str(miss), "no_recording")
            return
        if isinstance(found, Playback):
            await self._play(found, answer)
        elif self._upstream is not None:
            await self._relay(found, answer, url, body)
        else:
            found.unanswered()
            await answer.error(404, "This is to be recorded, but there is no upstream.", None)

    def _url(self, answer: _Answer) -> str | None:
        """As the recorder is to know it; ``None`` for what has no place upstream."""
        if self._base is not None and answer.target.startswith("/v1/"):
            return self._base + answer.target.removeprefix("/v1")
        return None if self._upstream is not None else answer.origin + answer.target

    async def _begin(self, answer: _Answer, url: str, body: bytes) -> Playback | Take:
        def begin() -> Playback | Take:
            return self._recorder.begin(answer.method, url, answer.headers, body)

        is_quick = not self._in_hand and len(body) <= _QUICK
        return begin() if is_quick else await self._in_thread(begin)

    # -- an answer that is there -----------------------------------------------------------

    async def _play(self, playback: Playback, answer: _Answer) -> None:
        interaction, connection = playback.interaction, answer.connection
        stopped = interaction.cut == "client" and not interaction.error
        try:
            with connection.watched():
                if interaction.status:
                    await _play_response(playback, answer)
                    if interaction.cut is None:
                        return
                if "Timeout" in interaction.error:
                    await connection.lost
                if stopped:
                    await asyncio.sleep(_STALL)
        except Gone:
            playback.closed()
            raise
        if stopped:
            with contextlib.suppress(BaseException):  # as above: a miss, told by `on_miss`
                playback.overrun()
        answer.note = interaction.error or "cut"
        if interaction.error in _RESETS or not (interaction.status or interaction.error):
            await connection.reset()
        else:
            await connection.cut()

    # -- an answer that has to be fetched --------------------------------------------------

    async def _relay(self, take: Take, answer: _Answer, url: str, body: bytes) -> None:
        import httpx

        response: httpx.Response | None = None
        died: httpx.HTTPError | None = None
        end: Callable[[], None] = take.unanswered
        try:
            with answer.connection.watched():
                try:
                    response = await self._send(answer, url, body)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    answer.note = f"{type(error).__name__}: {error}"
                    text = f"The upstream does not answer: {answer.note}"
                    await answer.error(502, text, "upstream_unreachable", kind="server_error")
                    return
                end = take.closed
                headers = response.headers.multi_items()
                take.responded(response.status_code, response.reason_phrase, headers)
                await answer.start(response.status_code, _end_to_end(headers))
                try:
                    async for piece in response.aiter_raw():
                        take.piece(piece)
                        await answer.piece(piece)
                except httpx.HTTPError as error:
                    died, end = error, partial(take.failed, error, "server")
                else:
                    end = take.ended
                    await answer.piece(b"", last=True)
        finally:
            await self._in_thread(end)
            if response is not None:
                await response.aclose()
        if died is not None:
            answer.note = f"cut by the upstream: {type(died).__name__}"
            await answer.connection.cut()

    async def _send(self, answer: _Answer, url: str, body: bytes) -> httpx.Response:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(None, connect=_CONNECT),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            )
        headers = [pair for pair in _end_to_end(answer.headers) if pair[0] not in _MADE_ANEW]
        accepted = answer.header("accept-encoding")
        # What the recorder cannot decompress would stand in the cassette as it came.
        headers.append(("accept-encoding", "gzip" if "gzip" in accepted else "identity"))
        request = httpx.Request(answer.method, url, headers=headers, content=body or None)
        with sending(self._recorder):
            return await self._client.send(request, stream=True)


async def _play_response(playback: Playback, answer: _Answer) -> None:
    interaction, outlet = playback.interaction, answer.connection.outlet
    pieces, whole = interaction.pieces, interaction.cut is None
    waits = playback.waits
    with outlet.holding():
        await answer.start(interaction.status, _played_headers(interaction, answer.method))
        for at, piece in enumerate(pieces):
            if waits is not None or at % _TURN == _TURN - 1:
                outlet.flush()
                await asyncio.sleep(0 if waits is None else waits[at])
            await answer.piece(piece, last=whole and at == len(pieces) - 1)
            playback.delivered += 1
        if whole and not pieces:
            await answer.piece(b"", last=True)


def _played_headers(interaction: Interaction, method: str) -> list[tuple[str, str]]:
    headers = _end_to_end(interaction.headers)
    if method == "HEAD" or interaction.cut is not None:
        return headers  # a length that was promised and not kept is part of the recording
    headers = [pair for pair in headers if pair[0] != "content-length"]
    streams = any(name == "content-type" and "event-stream" in text for name, text in headers)
    if not streams and interaction.status not in (204, 304):
        headers.append(("content-length", str(sum(map(len, interaction.pieces)))))
    return headers


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    pairs = [(name.lower(), text) for name, text in headers]
    named = ",".join(text for name, text in pairs if name == "connection").lower().split(",")
    dropped = _OF_A_CONNECTION.union(name.strip() for name in named)
    return [(name, text) for name, text in pairs if name not in dropped]


def _recorded_base(recorder: Recorder) -> str | None:
    """The base URL of what was recorded first."""
    for entry in recorder.entries:
        with contextlib.suppress(ChatAPIError):  # damaged; whoever asks for it is told
            if found := _BASE.match(entry.request.url):
                return found[1]
    return None


def _refusal(answer: _Answer, key: str) -> tuple[str, str | None] | None:
    """Message and code for a client without the right key, in the service's own words."""
    scheme, _, given = answer.header("authorization").partition(" ")
    given = given.strip()
    if scheme.lower() != "bearer" or not given:
        return (
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            None,
        )
    if hmac.compare_digest(given.encode("latin-1"), key.encode()):
        return None
    shown = f"{given[:3]}*****{given[-2:]}" if len(given) > 12 else "*****"
    return f"Incorrect API key provided: {shown}.", "invalid_api_key"
