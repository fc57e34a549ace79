"""A server that obeys, in this process, and the same with one thing wrong. Not a test.

The obedient one is our own mock, which replies with whatever fits a request. A fault changes what
it sends on the way to the prober, so no socket is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from pytest_chatapi import RecordReplayTransport
from pytest_chatapi.conformance.probe import checks
from pytest_chatapi.conformance.run import Options, Result, Run
from pytest_chatapi.conformance.wire import Caps, Live
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.mock.refusals import key_refusal
from pytest_chatapi.recording.opening import open_recorder

URL = "http://127.0.0.1:1/v1"
MODEL = "gpt-4o-mini"
KEY = "key-of-the-obedient"
HEADERS = {"authorization": f"Bearer {KEY}"}


@dataclass
class Answered:
    """What the server sends, before it is sent.

    Attributes:
        asked: the JSON body of the request, ``{}`` where it has none.
        disconnects: streams that were left before their ends, until now.
    """

    asked: dict[str, Any]
    request: httpx.Request
    status: int
    headers: dict[str, str]
    body: bytes
    disconnects: int = 0

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def body_asked(self) -> bytes:
        return self.request.content

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")


Fault = Callable[[Answered], Answered | None]
"""Changes what is sent, in place or as a whole."""


def edits(change: Callable[[dict[str, Any]], object]) -> Fault:
    """A fault in the JSON: of a completion, or of each chunk of a stream."""

    def fault(answered: Answered) -> None:
        if answered.status != 200:
            return
        if not answered.is_stream:
            value = json.loads(answered.body)
            change(value)
            answered.body = json.dumps(value).encode()
            return
        events = answered.body.decode().split("\n\n")
        for at, event in enumerate(events):
            if event.startswith("data: {"):
                value = json.loads(event[6:])
                change(value)
                events[at] = f"data: {json.dumps(value)}"
        answered.body = "\n\n".join(events).encode()

    return fault


def streamed(change: Callable[[dict[str, Any]], object]) -> Fault:
    """A fault in each chunk of a stream, while whole responses stay as they are."""
    fault = edits(change)
    return lambda answered: fault(answered) if answered.is_stream else None


def status(code: int, applies: Callable[[Answered], bool]) -> Fault:
    """A fault in the status of some responses: an error that should be none, or the reverse."""

    def fault(answered: Answered) -> None:
        if not applies(answered):
            return
        answered.headers["content-type"] = "application/json"
        value: dict[str, Any] = {"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}
        if code == 200:
            is_stream = answered.asked.get("stream")
            message = {"role": "assistant", "content": "Hello!", "refusal": None}
            choice = {"index": 0, "finish_reason": "stop", "logprobs": None}
            value = {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk" if is_stream else "chat.completion",
                "created": 1760000000,
                "model": MODEL,
                "choices": [{**choice, ("delta" if is_stream else "message"): message}],
            }
        answered.status, answered.body = code, body_of(value)
        if code == 200 and answered.asked.get("stream"):
            answered.headers["content-type"] = "text/event-stream"
            answered.body = b"data: " + answered.body + b"\n\ndata: [DONE]\n\n"

    return fault


def body_of(value: object) -> bytes:
    return json.dumps(value).encode()


class _Pieces(httpx.SyncByteStream):
    """A body that arrives event by event."""

    def __init__(self, body: bytes, on_disconnect: Callable[[], None]) -> None:
        self._pieces = re.findall(rb".*?\n\n|.+", body, re.DOTALL)
        self._on_disconnect = on_disconnect

    def __iter__(self) -> Iterator[bytes]:
        while self._pieces:
            yield self._pieces.pop(0)

    def close(self) -> None:
        if self._pieces:
            self._on_disconnect()


class Faulty(httpx.BaseTransport):
    """The obedient server, which wants `KEY`, with a fault in what it sends."""

    disconnects = 0

    def __init__(self, fault: Fault | None) -> None:
        mock = ChatMock("conformance")
        mock.reply()
        self._inner = RecordReplayTransport(open_recorder(None, answers=mock))
        self._fault = fault

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            asked = json.loads(request.read() or b"{}")
        except ValueError:
            asked = {}
        refusal = key_refusal(request.headers, {KEY})
        if refusal is not None:
            response = httpx.Response(refusal[0], json=refusal[1])
        else:
            response = self._inner.handle_request(request)
        answered = Answered(
            asked if isinstance(asked, dict) else {},
            request,
            response.status_code,
            dict(response.headers),
            response.read(),
            self.disconnects,
        )
        if self._fault is not None:
            answered = self._fault(answered) or answered
        pieces = _Pieces(answered.body, self._on_disconnect)
        return httpx.Response(answered.status, headers=answered.headers, stream=pieces)

    def _on_disconnect(self) -> None:
        self.disconnects += 1


def results(names: Sequence[str], fault: Fault | None = None, **options: Any) -> dict[str, Result]:
    """What checks come to, by their id.

    Args:
        names: ids of probes or checks; none for all.
    """
    chosen = [c for c in checks() if not names or c.id in names or c.probe.id in names]
    assert chosen, names
    caps = Caps()
    with httpx.Client(transport=Faulty(fault)) as client:
        run = Run(
            lambda name: Live(client, URL, HEADERS, 5.0, caps), Options(MODEL, **options), caps
        )
        return {result.check.id: result for result in run.results(chosen)}
