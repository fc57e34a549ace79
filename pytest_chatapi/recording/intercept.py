"""Routes every HTTP client in the process through a recorder, wherever it was built.

httpx and httpx2 are patched where they hand a request to the network, so mock transports, ASGI
apps and anything that wraps a transport stay as they are. Clients on other libraries go through
vcrpy's own patchers (`vcr_bridge`), which read a whole response before the client sees it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, NoReturn

from pytest_chatapi.recording.guard import is_local, patched
from pytest_chatapi.recording.http_types import Family, HTTPRequest, HTTPResponse
from pytest_chatapi.recording.kinds import HTTP_FAMILIES
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import ahandle, handle, is_sending

__all__ = ["intercepted"]

_OTHERS = ("requests", "urllib3", "aiohttp", "httplib2", "tornado", "boto3")
# These import each other, and vcrpy imports all of them that are installed.
_CONNECTED = frozenset((*_OTHERS, "botocore", "httpx_curl_cffi", "pyreqwest", "vcr"))


@contextlib.contextmanager
def intercepted(
    recorder: Recorder,
    *,
    ignore_hosts: Iterable[str] = (),
    on_second: Callable[[], NoReturn] | None = None,
) -> Iterator[None]:
    """Route all HTTP clients of the process through `recorder` while the block runs.

    Args:
        ignore_hosts: hosts whose requests are neither recorded nor replayed.
        on_second: called where the code turns on vcrpy as well; must raise.
    """
    ignored = frozenset(host.lower() for host in ignore_hosts)

    def passes(host: str, port: int | None) -> bool:
        # A server of our own asks the recorder itself.
        return host in ignored or (port in recorder.ports and is_local(host))

    with contextlib.ExitStack() as stack:
        for name in HTTP_FAMILIES:
            family: Any = importlib.import_module(name)
            stack.enter_context(_httpx(family, recorder, passes))
        if recorder.cassette is not None or recorder.answers is not None:
            stack.enter_context(_others(recorder, passes, on_second))
        yield


_Passes = Callable[[str, int | None], bool]
"""Whether requests to a host and port go out as if nothing were intercepted."""


@contextlib.contextmanager
def _httpx(family: Family, recorder: Recorder, passes: _Passes) -> Iterator[None]:
    send = family.HTTPTransport.handle_request
    asend = family.AsyncHTTPTransport.handle_async_request
    active = True

    def goes_out(request: HTTPRequest) -> bool:
        return (
            passes(request.url.host, request.url.port)
            or is_sending(recorder)
            or _is_mocked(request)
        )

    # Other code may keep these functions (vcrpy does, when it is first imported inside the
    # block), so after the block they have to do what the originals do.
    def handle_request(self: object, request: HTTPRequest) -> HTTPResponse:
        if active:
            request.read()
        if not active or goes_out(request):
            return send(self, request)  # type: ignore[no-any-return]
        return handle(recorder, request, lambda request: send(self, request))

    async def handle_async_request(self: object, request: HTTPRequest) -> HTTPResponse:
        if active:
            await request.aread()
        if not active or goes_out(request):
            return await asend(self, request)  # type: ignore[no-any-return]
        return await ahandle(recorder, request, lambda request: asend(self, request))

    with (
        patched(family.HTTPTransport, "handle_request", handle_request),
        patched(family.AsyncHTTPTransport, "handle_async_request", handle_async_request),
    ):
        try:
            yield
        finally:
            active = False


def _is_mocked(request: HTTPRequest) -> bool:
    """Whether a router of respx, which intercepts below this module, expects the request."""
    respx = sys.modules.get("respx.mocks")
    return respx is not None and any(
        not route.is_pass_through and route.pattern is not None and route.pattern.match(request)
        for router in respx.HTTPCoreMocker.routers
        for route in router.routes
    )


# -- other HTTP libraries ----------------------------------------------------------------------


@contextlib.contextmanager
def _others(
    recorder: Recorder, passes: _Passes, on_second: Callable[[], NoReturn] | None
) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        waiting: dict[str, Callable[[], object]] = {}
        claimed = threading.Lock()  # by the thread that bridges, or because the block is over

        def bridge() -> None:
            try:
                from pytest_chatapi.recording.vcr_bridge import bridged
            except ImportError:
                # Two threads import what vcrpy imports too, and Python broke the deadlock: the
                # one that is importing vcrpy bridges afterwards.
                if _is_half_loaded(__package__ + ".vcr_bridge") or _is_half_loaded("vcr"):
                    return
                raise
            if not claimed.acquire(blocking=False):
                return
            for name in _OTHERS:
                waiting.pop(name, None)
            stack.enter_context(bridged(recorder, passes, skip=HTTP_FAMILIES))

        def alone() -> None:
            if on_second is not None:
                stack.enter_context(_no_second(on_second))

        # Patching by vcrpy takes longer than a whole replayed request: only where it is needed.
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
            claimed.acquire(blocking=False)


def _is_half_loaded(name: str) -> bool:
    """Whether a module is being imported, in this or another thread."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


@contextlib.contextmanager
def _no_second(refuse: Callable[[], NoReturn]) -> Iterator[None]:
    """Refuse cassettes of vcrpy that the code under test opens."""
    from vcr.cassette import CassetteContextDecorator  # type: ignore[import-untyped]

    enter = CassetteContextDecorator.__enter__

    def guarded_enter(self: Any) -> object:
        if not hasattr(self.cls, "chatapi"):  # which our own bridge has
            refuse()
        return enter(self)

    with patched(CassetteContextDecorator, "__enter__", guarded_enter):
        yield


class _Finder(importlib.abc.MetaPathFinder):
    """Calls a function after one of the modules it waits for is imported.

    Not before all modules of `_CONNECTED` that the same thread is importing are complete: vcrpy
    imports these libraries, and fails on one that is half loaded (urllib3 is imported by requests,
    and by botocore).

    Args:
        waiting: the functions by module name; each is removed when its module is complete.
    """

    def __init__(self, waiting: dict[str, Callable[[], object]]) -> None:
        self._waiting = waiting
        self._thread = _ThreadImports()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not self._waiting or fullname.partition(".")[0] not in _CONNECTED:
            return None
        spec = self._spec_of_others(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        # Not every spec is executed: `importlib.util.find_spec` only looks whether one exists.
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            with self._thread.importing() as complete:
                execute(module)
                complete(self._waiting.pop(fullname, None))

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _spec_of_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that the finders behind this one have: of editable installs, say."""
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :] if self in finders else ():
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


class _ThreadImports(threading.local):
    """The imports that the current thread has under way, and what is called after the outermost."""

    def __init__(self) -> None:
        self._depth = 0
        self._callbacks: list[Callable[[], object]] = []

    @contextlib.contextmanager
    def importing(self) -> Iterator[Callable[[Callable[[], object] | None], None]]:
        def complete(callback: Callable[[], object] | None) -> None:
            if callback is not None:
                self._callbacks.append(callback)

        self._depth += 1
        try:
            try:
                yield complete
            finally:
                # What a callback imports may add further ones: they are called after it.
                while self._depth == 1 and self._callbacks:
                    self._callbacks.pop(0)()
        finally:
            self._depth -= 1
