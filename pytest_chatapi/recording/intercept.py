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
# The function that every request through a library takes, by its module.
_USED_BY = {
    "urllib3.connectionpool": ("HTTPConnectionPool", "urlopen"),  # of requests and botocore too
    "aiohttp.client": ("ClientSession", "_request"),
    "httplib2": ("Http", "request"),
    "tornado.simple_httpclient": ("SimpleAsyncHTTPClient", "fetch_impl"),
    "tornado.curl_httpclient": ("CurlAsyncHTTPClient", "fetch_impl"),
}


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
        watched = (recorder.cassette, recorder.answers, recorder.budget)
        if any(one is not None for one in watched):
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
        lock = threading.RLock()
        is_done = False

        def bridge() -> None:
            nonlocal is_done
            with lock:
                if not is_done:
                    from pytest_chatapi.recording.vcr_bridge import bridged

                    stack.enter_context(bridged(recorder, passes, skip=HTTP_FAMILIES))
                    is_done = True

        def bridge_on_use(module: ModuleType) -> None:
            class_name, name = _USED_BY[module.__name__]
            owner = getattr(module, class_name, None)
            original = getattr(owner, name, None)
            if original is None:
                return

            def first_use(self: object, *args: Any, **more: Any) -> Any:
                if is_done:  # vcrpy may have taken this for the original
                    return original(self, *args, **more)
                bridge()
                now = getattr(owner, name)
                return (original if now is first_use else now)(self, *args, **more)

            def restore() -> None:
                if vars(owner).get(name) is first_use:
                    setattr(owner, name, original)

            setattr(owner, name, first_use)
            stack.callback(restore)

        def refuse_second(module: ModuleType) -> None:
            if on_second is not None:
                stack.enter_context(_no_second(module, on_second))

        # Patching by vcrpy takes longer than a whole replayed request: only where it is needed.
        if any(name in sys.modules for name in _OTHERS):
            bridge()
        waiting: dict[str, Callable[[ModuleType], object]] = {"vcr.cassette": refuse_second}
        if not is_done:
            waiting |= dict.fromkeys(_USED_BY, bridge_on_use)
        for name in [name for name in waiting if name in sys.modules]:
            waiting.pop(name)(sys.modules[name])
        finder = _Finder(waiting)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            with lock:
                is_done = True
            waiting.clear()


@contextlib.contextmanager
def _no_second(cassettes: ModuleType, refuse: Callable[[], NoReturn]) -> Iterator[None]:
    """Refuse cassettes of vcrpy that the code under test opens.

    Args:
        cassettes: the module ``vcr.cassette``.
    """
    decorator = cassettes.CassetteContextDecorator
    enter = decorator.__enter__

    def guarded_enter(self: Any) -> object:
        if not hasattr(self.cls, "chatapi"):  # which our own bridge has
            refuse()
        return enter(self)

    with patched(decorator, "__enter__", guarded_enter):
        yield


class _Finder(importlib.abc.MetaPathFinder):
    """Calls a function with each of the modules it waits for, once it is complete.

    Whatever imports it may be in the middle of its own import, and holds locks of the import system
    until that is done: such a function must not import anything, nor wait for another thread.

    Args:
        waiting: the functions by module name; each is removed when it is called.
    """

    def __init__(self, waiting: dict[str, Callable[[ModuleType], object]]) -> None:
        self._waiting = waiting

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._waiting:
            return None
        spec = self._spec_of_others(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        # Not every spec is executed: `importlib.util.find_spec` only looks whether one exists.
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            execute(module)
            completed = self._waiting.pop(fullname, None)
            if completed is not None:
                completed(module)

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
