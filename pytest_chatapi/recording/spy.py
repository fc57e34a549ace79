"""Notes requests that no recorder sees, without touching them."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from pytest_chatapi.recording.guard import patched
from pytest_chatapi.recording.http_types import HTTPRequest
from pytest_chatapi.recording.kinds import HTTP_FAMILIES

__all__ = ["spied"]

Note = Callable[[str, str, str], object]
"""Gets method, host and path of a request."""


@contextlib.contextmanager
def spied(note: Note) -> Iterator[None]:
    """Call `note` for each request of httpx, httpx2, requests, urllib3 and aiohttp while the block
    runs.
    """
    putrequest = http.client.HTTPConnection.putrequest

    def noted_putrequest(self: Any, method: str, url: str, *args: Any, **more: Any) -> None:
        note(method, self.host, url)
        putrequest(self, method, url, *args, **more)

    with contextlib.ExitStack() as stack:
        stack.enter_context(patched(http.client.HTTPConnection, "putrequest", noted_putrequest))
        for name in HTTP_FAMILIES:
            family = importlib.import_module(name)
            for kind, send in (
                ("HTTPTransport", "handle_request"),
                ("AsyncHTTPTransport", "handle_async_request"),
            ):
                transport = getattr(family, kind)
                stack.enter_context(
                    patched(transport, send, _noting(getattr(transport, send), note))
                )
        if "aiohttp" in sys.modules:
            session: Any = sys.modules["aiohttp"].ClientSession
            stack.enter_context(patched(session, "_request", _noting_url(session._request, note)))
        yield


def _noting_url(send: Callable[..., Any], note: Note) -> Callable[..., Any]:
    def noted(self: object, method: str, url: object, **more: Any) -> Any:
        split = urlsplit(str(url))
        note(method, split.hostname or "", split.path)
        return send(self, method, url, **more)

    return noted


def _noting(send: Callable[..., Any], note: Note) -> Callable[..., Any]:
    # For both kinds: what an async `send` returns is awaited by its caller.
    def noted(self: object, request: HTTPRequest) -> Any:
        note(request.method, request.url.host, urlsplit(str(request.url)).path)
        return send(self, request)

    return noted
