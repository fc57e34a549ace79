"""Routes the clients that the code under test builds itself through a recorder.

httpx and httpx2 are patched where they hand a request to the network, so that mock transports,
ASGI apps and whatever wraps a transport stay as they are. Clients on other libraries go through
vcrpy's own patchers, which read a response whole before the client sees it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import ipaddress
import json
import re
import socket
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, NoReturn

from pytest_chatapi.recording.recorder import Playback, Recorder, Take
from pytest_chatapi.recording.transport import ahandle, handle, is_sending

__all__ = ["guarded", "intercepted"]

_FAMILIES = ("httpx", "httpx2")
_OTHERS = ("requests", "urllib3", "aiohttp", "httplib2", "tornado", "boto3")


@contextlib.contextmanager
def intercepted(
    recorder: Recorder,
    *,
    ignore_hosts: Iterable[str] = (),
    on_second: Callable[[], NoReturn] | None = None,
) -> Iterator[None]:
    """While it lasts, all HTTP clients of the process go through `recorder`.

    Args:
        ignore_hosts: names of hosts that are talked to as if nothing were here.
        on_second: called where the code turns on vcrpy as well; must raise.
    """
    ignored = frozenset(host.lower() for host in ignore_hosts)
    with contextlib.ExitStack() as stack:
        for name in _FAMILIES:
            stack.enter_context(_httpx(importlib.import_module(name), recorder, ignored))
        if recorder.cassette is not None or recorder.answers is not None:
            stack.enter_context(_others(recorder, ignored, on_second))
        yield


@contextlib.contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextlib.contextmanager
def _httpx(family: ModuleType, recorder: Recorder, ignored: frozenset[str]) -> Iterator[None]:
    send = family.HTTPTransport.handle_request
    asend = family.AsyncHTTPTransport.handle_async_request
    active = True

    def passes(request: Any) -> bool:
        return (
            request.url.host in ignored
            or is_sending(recorder)
            or _is_served(recorder, request.url.host, request.url.port)
            or _is_mocked(request)
        )

    # Others may keep these functions (vcrpy does, when it is first imported meanwhile), so
    # afterwards they have to do what they replaced.
    def handle_request(self: Any, request: Any) -> Any:
        if active:
            request.read()
        if not active or passes(request):
            return send(self, request)
        return handle(recorder, request, lambda request: send(self, request))

    async def handle_async_request(self: Any, request: Any) -> Any:
        if active:
            await request.aread()
        if not active or passes(request):
            return await asend(self, request)
        return await ahandle(recorder, request, lambda request: asend(self, request))

    with (
        _patched(family.HTTPTransport, "handle_request", handle_request),
        _patched(family.AsyncHTTPTransport, "handle_async_request", handle_async_request),
    ):
        try:
            yield
        finally:
            active = False


def _is_served(recorder: Recorder, host: str, port: int | None) -> bool:
    """Whether a server of our own will ask the recorder."""
    return port in recorder.ports and _is_local(host)


def _is_mocked(request: Any) -> bool:
    """Whether a router of respx, which stands below us, waits for this request."""
    respx = sys.modules.get("respx.mocks")
    return respx is not None and any(
        not route.is_pass_through and route.pattern is not None and route.pattern.match(request)
        for router in respx.HTTPCoreMocker.routers
        for route in router.routes
    )


# -- other HTTP libraries ----------------------------------------------------------------------


@contextlib.contextmanager
def _others(
    recorder: Recorder, ignored: frozenset[str], on_second: Callable[[], NoReturn] | None
) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        waiting: dict[str, Callable[[], object]] = {}

        def bridge() -> None:
            for name in _OTHERS:
                waiting.pop(name, None)
            stack.enter_context(_vcr(recorder, ignored))

        def alone() -> None:
            if on_second is not None:
                stack.enter_context(_no_second(on_second))

        # vcrpy takes longer to patch than a whole replayed request takes: only where needed.
        waiting |= dict.fromkeys(_OTHERS, bridge)
        waiting["vcr.cassette"] = alone
        loaded = [name for name in waiting if name in sys.modules]
        finder = _Finder(waiting)
        sys.meta_path.insert(0, finder)
        try:
            for name in loaded:
                if name in waiting:
                    waiting.pop(name)()
            yield
        finally:
            sys.meta_path.remove(finder)


@contextlib.contextmanager
def _no_second(refuse: Callable[[], NoReturn]) -> Iterator[None]:
    """Lets nobody turn on vcrpy while we are at work."""
    from vcr.cassette import CassetteContextDecorator  # type: ignore[import-untyped]

    enter = CassetteContextDecorator.__enter__

    def guarded_enter(self: Any) -> Any:
        if not hasattr(self.cls, "chatapi"):
            refuse()
        return enter(self)

    with _patched(CassetteContextDecorator, "__enter__", guarded_enter):
        yield


class _Finder(importlib.abc.MetaPathFinder):
    """Calls a function once a module that is waited for has been imported after all."""

    def __init__(self, waiting: dict[str, Callable[[], object]]) -> None:
        self._waiting = waiting

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._waiting:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        found = self._waiting.pop(fullname)
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            found()

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _vcr(recorder: Recorder, ignored: frozenset[str]) -> Iterator[None]:
    from vcr.cassette import Cassette

    taken: dict[tuple[str, str], deque[Take]] = defaultdict(deque)

    class Bridge(Cassette):  # type: ignore[misc]
        """vcrpy's side of a recorder: asked for each request, told each response."""

        chatapi = True

        def can_play_response_for(self, request: Any) -> bool:
            if request.host in ignored or _is_served(recorder, request.host, request.port):
                return False
            request.chatapi = found = self._begin(request)
            return isinstance(found, Playback)

        def _begin(self, request: Any) -> Playback | Take:
            body = request.body_bytes if hasattr(request, "body_bytes") else request.body
            found = recorder.begin(
                request.method, request.uri, _pairs(request.headers), _bytes(body)
            )
            if isinstance(found, Take):
                taken[request.method, request.uri].append(found)
            return found

        def play_response(self, request: Any) -> dict[str, Any]:
            found = getattr(request, "chatapi", None) or self._begin(request)
            assert isinstance(found, Playback)  # or it would not be asked for
            interaction = found.interaction
            if not interaction.status or interaction.cut == "server":
                slow = interaction.error.endswith("Timeout")
                what = interaction.reason or "the connection ended here"
                raise (TimeoutError if slow else ConnectionResetError)(what)
            found.delivered = len(interaction.pieces)
            headers: dict[str, list[str]] = {}
            for name, text in interaction.headers:
                headers.setdefault(name, []).append(text)
            return {
                "status": {"code": interaction.status, "message": interaction.reason},
                "headers": headers,
                "body": {"string": b"".join(interaction.pieces)},
            }

        def append(self, request: Any, response: dict[str, Any]) -> None:
            if request.host in ignored or _is_served(recorder, request.host, request.port):
                return
            # aiohttp's stub makes requests of its own for the hops of a redirect.
            waiting = taken[request.method, request.uri]
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
            return False  # what may not be sent has failed in can_play_response_for

        def _load(self) -> None:
            self.rewound = True

        def _save(self, force: bool = False) -> None: ...

    context = Bridge.use(
        path=str(recorder.cassette.path if recorder.cassette else ""), skip_patchers=_FAMILIES
    )
    with context:
        yield


def _pairs(headers: Any) -> list[tuple[str, str]]:
    pairs = []
    for name, value in headers.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            pairs.append((_str(name), _str(item)))
    return pairs


def _str(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes:
    """A body as far as it can be had without taking it from the client."""
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict | list):  # aiohttp's json=...
        with contextlib.suppress(TypeError, ValueError):
            return json.dumps(body).encode()
    if hasattr(body, "read") and hasattr(body, "seek"):
        place = body.tell()
        data = body.read()
        body.seek(place)
        return _bytes(data)
    if body is None:
        return b""
    # A form or an iterator, which only its client can read: what it is has to do.
    return f"<{type(body).__name__}>".encode()


# -- what no patcher knows ---------------------------------------------------------------------

_LOCAL_NAMES = re.compile(r"(?:.*\.)?localhost\.?|")


@contextlib.contextmanager
def guarded(refuse: Callable[[str, str], object]) -> Iterator[None]:
    """While it lasts, `refuse` is asked before anything leaves this machine: a Python socket that
    connects, a name that is looked up. It gets host and port, and raises to forbid it.
    """
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo
    allowed: set[str] = set()

    def look(address: Any) -> None:
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            return  # a Unix socket
        host = address[0]
        if host not in allowed and not _is_local(host):
            refuse(host.lower(), str(address[1]))

    def guarded_connect(self: socket.socket, address: Any) -> None:
        look(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        look(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(name, str) or _is_local(name) or _is_address(name):
            return getaddrinfo(host, port, *args, **kwargs)
        refuse(name.lower(), str(port))
        found = getaddrinfo(host, port, *args, **kwargs)
        allowed.update(str(item[4][0]) for item in found)
        return found

    with (
        _patched(socket.socket, "connect", guarded_connect),
        _patched(socket.socket, "connect_ex", guarded_connect_ex),
        _patched(socket, "getaddrinfo", guarded_getaddrinfo),
    ):
        yield


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    if _LOCAL_NAMES.fullmatch(host.lower()) or host == socket.gethostname():
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
