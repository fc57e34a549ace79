"""The ASGI application: asks the recorder about each request and does what it decides."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import sending
from pytest_chatapi.recording.under_way import STALL, Playback, Take
from pytest_chatapi.server.connection import Connection, Gone, Receive, Scope, Send
from pytest_chatapi.server.origin import foreign, plain_host, without_dots
from pytest_chatapi.server.pages import OWN, REQUESTS, About, Journal, Seen

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_BODY", "App", "make_app", "recorded_base"]

MAX_BODY = 16 * 1024 * 1024

_CONNECT = 30.0
"""Seconds to reach the upstream. There is no read timeout: generation may take any time."""

_LINGER = 2.0
"""Seconds in which a client that sends too much may go on, so that it reads why it was refused."""

_TURN = 64
"""Pieces that are sent at once before other clients get their turn."""

_QUICK = 16 * 1024
"""Bodies up to this size are handled on the event loop."""

# RFC 9110, 7.6.1: they are about one connection, and each side has its own.
_HOP_BY_HOP = {
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
_SET_BY_OUR_CLIENT = {"accept-encoding", "content-length", "expect", "host"}

_RESETS = {"ConnectError", "ReadError", "WriteError"}
_BASE = re.compile(r"(https?://[^?#]*?)/(?:chat/completions|models)(?:[/?#]|$)")

_T = TypeVar("_T")


def make_app(
    recorder: Recorder,
    *,
    api_key: str | None = None,
    max_body: int = MAX_BODY,
    upstream: str | None = None,
    save: Callable[[], object] | None = None,
    on_exchange: Callable[[str], None] | None = None,
    hosts: Iterable[str] = (),
    about: About | None = None,
) -> App:
    """An API that responds as a recorder decides, to be run by `server.run`.

    Paths below ``/v1`` are taken for paths below the base URL of the first recording. All others
    are looked up as they are. What a browser sends for another site is refused, see `origin`.

    Args:
        recorder: plays recordings or a mock's replies; a miss is a 404 that says why.
        api_key: the key that clients must send; ``None`` for no check.
        max_body: the largest request body, in bytes.
        upstream: base URL, ``/v1`` included, of the service whose responses are recorded.
        save: called after each exchange and at the end, in a thread, never twice at once.
        on_exchange: called with a line for each request, without secrets.
        hosts: names by which clients may reach it, besides its own address and ``localhost``.
        about: what the page under ``/`` says; with it there is also a journal of the requests.

    Raises:
        SettingError: `upstream` is not a base URL.
    """
    if upstream is not None:
        split = urlsplit(upstream)
        if split.scheme not in ("http", "https") or not split.hostname or split.query:
            raise SettingError(
                "upstream must be a base URL such as https://api.openai.com/v1, "
                f"not {mask(upstream)!r}"
            )
    return App(recorder, api_key, max_body, upstream, save, on_exchange, hosts, about)


class _Call:
    """One request as ASGI has it, and the response on its way to the client.

    Attributes:
        path: without dot segments, which upstream would resolve to what is not below its base.
        target: path and query.
        address: of this server, as the client reached it.
        origin: of this server, by that address.
        headers: of the request, names in lower case.
        status, size: of the response so far; status 0 before it starts.
        note: what went wrong, for the line that is printed.
        seen: what the journal keeps of it, if there is one.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, port = scope["server"]
        query = scope["query_string"].decode("latin-1")
        self.method: str = scope["method"]
        self.path = without_dots(scope["raw_path"].decode("latin-1"))
        self.target = f"{self.path}?{query}" if query else self.path
        self.address: str = host
        self.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.headers = [
            (name.decode("latin-1").lower(), text.decode("latin-1"))
            for name, text in scope["headers"]
        ]
        self.connection: Connection = scope["chatapi"]
        self.status = self.size = 0
        self.note = ""
        self.seen: Seen | None = None
        self._receive, self._send = receive, send

    def header(self, name: str) -> str:
        return next((text for other, text in self.headers if other == name), "")

    async def body(self, most: int) -> bytes | None:
        """The body of the request; ``None`` where it is larger than `most` bytes.

        Raises:
            Gone: the client left before it had sent all of it.
        """
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
        if self.seen is not None:  # a client that has its response may ask for the journal at once
            self.seen.status = status
        await self._send(
            {"type": "http.response.start", "status": status, "headers": _on_the_wire(headers)}
        )

    async def piece(self, data: bytes, *, last: bool = False) -> None:
        self.size += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def error(
        self, status: int, message: str, code: str | None, *, kind: str = "invalid_request_error"
    ) -> None:
        """Respond with an error in the API's own shape."""
        error = {"message": message, "type": kind, "param": None, "code": code}
        await self.refuse(status, {"error": error})

    async def refuse(self, status: int, body: JSONObject) -> None:
        """Respond with a whole JSON body."""
        await self.whole(status, json.dumps(body, indent=2), "application/json")

    async def whole(self, status: int, text: str, content_type: str) -> None:
        """Respond with a whole body."""
        data = text.encode("utf-8", "backslashreplace")
        headers = [
            ("content-type", content_type),
            ("content-length", str(len(data))),
        ]
        too_large = status == 413
        if too_large:
            headers.append(("connection", "close"))
        await self.start(status, headers)
        await self.piece(data, last=not too_large)
        if too_large:
            # Closing a connection on which the client still sends resets it, and the client
            # would never read why.
            await self._drain()
            await self.piece(b"", last=True)

    async def _drain(self) -> None:
        """Read the rest of the request body, for at most `_LINGER` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while (await self._receive()).get("more_body"):
                    pass


def _on_the_wire(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers that HTTP can carry: a recording may hold anything."""
    return [
        (name.encode("latin-1", "replace"), _field(text))
        for name, text in headers
        if name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    ]


def _field(text: str) -> bytes:
    """The value of a header in one line, or the rest would be a header of its own."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char == "\t" else " " for char in text)
    return text.strip().encode("latin-1", "replace")


class App:
    """The ASGI application: responds to all requests, until it is closed.

    What takes long under the recorder's lock, or waits for it, is done in one thread, so that
    streams that are under way go on.
    """

    def __init__(
        self,
        recorder: Recorder,
        api_key: str | None,
        max_body: int,
        upstream: str | None,
        save: Callable[[], object] | None,
        on_exchange: Callable[[str], None] | None,
        hosts: Iterable[str],
        about: About | None,
    ) -> None:
        self._recorder, self._api_key, self._max_body = recorder, api_key, max_body
        self._upstream = upstream.rstrip("/") if upstream is not None else None
        self._base = self._upstream or recorded_base(recorder)
        self._save, self._on_exchange = save, on_exchange
        recorder.appends = save is not None
        self._hosts = frozenset(map(plain_host, hosts))
        self._about = about
        self._journal = Journal(recorder.redactor, about.profile) if about is not None else None
        self._client: httpx.AsyncClient | None = None
        self._thread = ThreadPoolExecutor(1, "chatapi-recorder")
        self._faults = 0  # that the journal has told
        self._queued = 0  # calls that wait for the thread, or run in it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _Call(scope, receive, send)
        started = time.perf_counter()
        try:
            await self._respond(call)
        except Gone:
            call.note = "the client left"
        except Exception as error:  # a user's hook failed, or we did: later requests still work
            call.note = f"{type(error).__name__}: {error}"
            if call.status:
                await call.connection.cut()
            else:
                await call.error(500, call.note, None, kind="server_error")
        finally:
            seconds = time.perf_counter() - started
            try:
                await self._keep()
            except ChatAPIError as error:
                call.note = str(error)
            if call.seen is not None:
                call.seen.note = call.note
            if self._on_exchange is not None:
                self._on_exchange(self._line(call, seconds))

    def _line(self, call: _Call, seconds: float) -> str:
        redactor = self._recorder.redactor
        target = redactor.text(redactor.url(call.target))
        fault = f", fault {call.seen.fault}" if call.seen is not None and call.seen.fault else ""
        note = fault + (f", {redactor.text(call.note)}" if call.note else "")
        return mask(
            f"{call.method} {target} {call.status or '-'} {call.size} bytes "
            f"{seconds * 1000:.0f} ms{note}"
        )

    async def close(self) -> None:
        """Close it when no request is under way any more.

        Raises:
            ChatAPIError: the cassette cannot be written.
        """
        if self._client is not None:
            await self._client.aclose()
        try:
            await self._keep()
        finally:
            self._recorder.close()
            self._thread.shutdown()

    async def _keep(self) -> None:
        if self._save is not None:
            await self._in_thread(self._save)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._queued -= 1

    # -- one request -----------------------------------------------------------------------

    async def _respond(self, call: _Call) -> None:
        if refused := foreign(call.headers, call.address, self._hosts):
            await call.error(403, refused, "forbidden")
            return
        is_own = self._about is not None and (call.path == "/" or call.path.startswith(OWN))
        if self._journal is not None and not is_own:
            call.seen = Seen(call.method, call.target, call.headers)
            self._journal.add(call.seen)
        if self._api_key is not None and (refusal := _refusal(call, self._api_key)):
            await call.error(401, *refusal)
            return
        for name, text in call.headers:
            if not text.isascii():
                message = f"The header {name} has characters outside of ASCII"
                await call.error(400, message, "invalid_header")
                return
        if is_own:
            await self._own(call)
            return
        url = self._url(call)
        if url is None:
            from pytest_chatapi.mock.refusals import unknown_url

            await call.refuse(*unknown_url(call.method, call.path))
            return
        body = await call.body(self._max_body)
        if body is None:
            message = f"The request body is larger than {self._max_body} bytes"
            await call.error(413, message, "request_too_large")
            return
        if self._journal is not None and call.seen is not None:
            call.seen.url = url
            self._journal.add_body(call.seen, body)
        try:
            begun = await self._begin(call, url, body)
        except asyncio.CancelledError:
            raise
        except BaseException as miss:  # what `on_miss` raises need not be an `Exception`
            call.note = "no recording or reply"
            await call.error(404, str(miss), "no_recording")
            return
        if isinstance(begun, Playback):
            await self._play(begun, call)
        elif self._upstream is not None:
            await self._relay(begun, call, url, body)
        else:
            begun.unanswered()
            message = "This request would be recorded, but no upstream is set"
            if self._recorder.answers is not None:
                message = "pass_through() has nowhere to send this to: its server is this one"
            await call.error(404, message, None)

    def _url(self, call: _Call) -> str | None:
        """The URL by which the recorder knows it; ``None`` where it is not below upstream's."""
        if self._base is not None and call.target.startswith("/v1/"):
            return self._base + call.target.removeprefix("/v1")
        return None if self._upstream is not None else call.origin + call.target

    async def _begin(self, call: _Call, url: str, body: bytes) -> Playback | Take:
        def begin() -> Playback | Take:
            begun = self._recorder.begin(call.method, url, call.headers, body)
            if call.seen is not None:
                call.seen.answered_by, call.seen.fault = self._responder(begun)
            return begun

        is_quick = not self._queued and len(body) <= _QUICK
        return begin() if is_quick else await self._in_thread(begin)

    def _responder(self, begun: Playback | Take) -> tuple[str, str | None]:
        """What responds, and the fault that it responds with."""
        if isinstance(begun, Take):
            return "upstream", None
        fault = None
        plan = self._recorder.faults
        if plan is not None and len(plan.happened) > self._faults:
            self._faults = len(plan.happened)
            fault = str(plan.happened[-1])
        source = begun.exchange.source
        if source is not None:
            return f"interaction {source.index} of {source.file}", fault
        return "mock" if self._recorder.answers is not None else "fault", fault

    async def _own(self, call: _Call) -> None:
        """Respond under a path of the server's own."""
        assert self._about is not None
        assert self._journal is not None
        if call.path == "/" and call.method in ("GET", "HEAD"):
            host = call.header("host")
            address = f"http://{host}" if host else call.origin
            await call.whole(200, *self._about.page(address, call.header("accept")))
        elif call.path == REQUESTS and call.method == "GET":
            await call.whole(200, await self._in_thread(self._journal.reader()), "application/json")
        elif call.path == REQUESTS and call.method == "DELETE":
            self._journal.clear()
            await call.whole(200, '{"total": 0, "requests": []}', "application/json")
        else:
            message = (
                f"{call.method} {mask(call.path)} is not served: GET / says what is, "
                f"GET {REQUESTS} lists the requests so far, and DELETE forgets them"
            )
            await call.error(404, message, "unknown_url")

    # -- a response that is at hand --------------------------------------------------------

    async def _play(self, playback: Playback, call: _Call) -> None:
        interaction, connection = playback.interaction, call.connection
        stopped = interaction.cut == "client" and not interaction.error
        try:
            with connection.watched():
                if interaction.status:
                    await _play_response(playback, call)
                    if interaction.cut is None:
                        return
                if "Timeout" in interaction.error:
                    await connection.lost
                if stopped:
                    await asyncio.sleep(STALL)
        except Gone:
            playback.closed()
            raise
        if stopped:
            with contextlib.suppress(BaseException):  # whatever `on_miss` raises; it is a miss
                playback.overrun()
        call.note = interaction.error or "cut"
        if interaction.error in _RESETS or not (interaction.status or interaction.error):
            await connection.reset()
        else:
            await connection.cut()

    # -- a response from upstream ----------------------------------------------------------

    async def _relay(self, take: Take, call: _Call, url: str, body: bytes) -> None:
        import httpx

        response: httpx.Response | None = None
        died: httpx.HTTPError | None = None
        end: Callable[[], None] = take.unanswered
        try:
            with call.connection.watched():
                try:
                    response = await self._send(call, url, body)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    call.note = f"{type(error).__name__}: {error}"
                    message = f"No response from the upstream: {call.note}"
                    await call.error(502, message, "upstream_unreachable", kind="server_error")
                    return
                end = take.closed
                headers = response.headers.multi_items()
                take.responded(response.status_code, response.reason_phrase, headers)
                await call.start(response.status_code, _end_to_end(headers))
                try:
                    async for piece in response.aiter_raw():
                        take.piece(piece)
                        await call.piece(piece)
                except httpx.HTTPError as error:
                    died, end = error, partial(take.failed, error, "server")
                else:
                    end = take.ended
                    await call.piece(b"", last=True)
        finally:
            await self._in_thread(end)
            if response is not None:
                await response.aclose()
        if died is not None:
            call.note = f"cut by the upstream: {type(died).__name__}"
            await call.connection.cut()

    async def _send(self, call: _Call, url: str, body: bytes) -> httpx.Response:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(None, connect=_CONNECT),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            )
        headers = [pair for pair in _end_to_end(call.headers) if pair[0] not in _SET_BY_OUR_CLIENT]
        accepted = call.header("accept-encoding")
        # Only what the recorder can decompress, so that the cassette holds readable text.
        headers.append(("accept-encoding", "gzip" if "gzip" in accepted else "identity"))
        request = httpx.Request(call.method, url, headers=headers, content=body or None)
        with sending(self._recorder):
            return await self._client.send(request, stream=True)


async def _play_response(playback: Playback, call: _Call) -> None:
    interaction, outlet = playback.interaction, call.connection.outlet
    pieces, whole = interaction.pieces, interaction.cut is None
    waits = playback.waits
    with outlet.holding():
        await call.start(interaction.status, _played_headers(interaction, call.method))
        for at, piece in enumerate(pieces):
            if waits is not None or at % _TURN == _TURN - 1:
                outlet.flush()
                await asyncio.sleep(0 if waits is None else waits[at])
            await call.piece(piece, last=whole and at == len(pieces) - 1)
            playback.delivered += 1
        if whole and not pieces:
            await call.piece(b"", last=True)


def _played_headers(interaction: Interaction, method: str) -> list[tuple[str, str]]:
    headers = _end_to_end(interaction.headers)
    if method == "HEAD" or interaction.cut is not None:
        return headers  # a length that was announced and not sent is part of the recording
    headers = [pair for pair in headers if pair[0] != "content-length"]
    streams = any(name == "content-type" and "event-stream" in text for name, text in headers)
    if not streams and interaction.status not in (204, 304):
        headers.append(("content-length", str(sum(map(len, interaction.pieces)))))
    return headers


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that a proxy passes on, names in lower case."""
    pairs = [(name.lower(), text) for name, text in headers]
    named = ",".join(text for name, text in pairs if name == "connection").lower().split(",")
    dropped = _HOP_BY_HOP.union(name.strip() for name in named)
    return [(name, text) for name, text in pairs if name not in dropped]


def recorded_base(recorder: Recorder) -> str | None:
    """The base URL of the first recording that has one."""
    for entry in recorder.entries:
        with contextlib.suppress(ChatAPIError):  # damaged: a request that matches it says so
            if match := _BASE.match(entry.request.url):
                return match[1]
    return None


def _refusal(call: _Call, key: str) -> tuple[str, str | None] | None:
    """Message and code for a client without the right key, in the service's own words."""
    scheme, _, sent = call.header("authorization").partition(" ")
    sent = sent.strip()
    if scheme.lower() != "bearer" or not sent:
        return (
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            None,
        )
    if hmac.compare_digest(sent.encode("latin-1"), key.encode()):
        return None
    shown = f"{sent[:3]}*****{sent[-2:]}" if len(sent) > 12 else "*****"
    return f"Incorrect API key provided: {shown}.", "invalid_api_key"
