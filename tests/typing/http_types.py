"""Held against ``mypy --strict``, and never run: both families have what the package uses."""

from __future__ import annotations

import httpx
import httpx2

from pytest_chatapi import AsyncRecordReplayTransport, RecordReplayTransport
from pytest_chatapi.recording.http_types import (
    AsyncTransport,
    Family,
    HTTPRequest,
    HTTPResponse,
    SyncTransport,
)

families: list[Family] = [httpx, httpx2]
sync_transports: list[SyncTransport] = [
    httpx.HTTPTransport(),
    httpx2.HTTPTransport(),
    httpx.MockTransport(lambda request: httpx.Response(200)),
    RecordReplayTransport("c.yaml", transport=httpx2.HTTPTransport()),
]
async_transports: list[AsyncTransport] = [
    httpx.AsyncHTTPTransport(),
    httpx2.AsyncHTTPTransport(),
    AsyncRecordReplayTransport("c.yaml", transport=httpx.AsyncHTTPTransport()),
]
httpx.Client(transport=RecordReplayTransport("c.yaml", record_mode="once"))
httpx2.AsyncClient(transport=AsyncRecordReplayTransport("c.yaml"))


def takes(request: HTTPRequest, response: HTTPResponse) -> None: ...


def of_both(
    request: httpx.Request, other: httpx2.Request, response: httpx.Response, other2: httpx2.Response
) -> None:
    takes(request, response)
    takes(other, other2)
    takes(response, request)  # type: ignore[arg-type]
