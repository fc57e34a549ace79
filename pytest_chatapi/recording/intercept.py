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

        def bridge() -> None:
            for name in _OTHERS:
                waiting.pop(name, None)
            from pytest_chatapi.recording.vcr_bridge import bridged

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

    Where such a module imports another (requests imports urllib3), only after the outer one:
    vcrpy patches both, and cannot patch one that is still incomplete.

    Args:
        waiting: the functions by module name; each is called once and removed before that.
    """

    def __init__(self, waiting: dict[str, Callable[[], object]]) -> None:
        self._waiting = waiting
        self._imports_under_way = 0
        self._pending: list[Callable[[], object]] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._waiting:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        imported = self._waiting.pop(fullname)
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            self._imports_under_way += 1
            try:
                execute(module)
                self._pending.append(imported)
            finally:
                self._imports_under_way -= 1
                if not self._imports_under_way:
                    callbacks, self._pending = dict.fromkeys(self._pending), []
                    for callback in callbacks:
                        callback()

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
