"""A server that obeys, in this process, and the same with one thing wrong. Not a test.

The obedient one is our own mock, which replies with whatever fits a request. A fault changes what
it sends on the way to the prober, so no socket is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from pytest_chatapi import RecordReplayTransport
from pytest_chatapi.conformance.probe import checks
from pytest_chatapi.conformance.run import Options, Result, Run
from pytest_chatapi.conformance.wire import Caps, Live
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.recording.opening import open_recorder

URL = "http://127.0.0.1:1/v1"
MODEL = "gpt-4o-mini"


@dataclass
class Answered:
    """What the server sends, before it is sent.

    Attributes:
        asked: the JSON body of the request, ``{}`` where it has none.
    """

    asked: dict[str, Any]
    request: httpx.Request
    status: int
    headers: dict[str, str]
    body: bytes

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


def _says(request: Request) -> str:
    """What the obedient server says, where it is not told in detail."""
    asked = json.loads(request.body or b"{}")
    if asked.get("logit_bias"):
        return " ale" * 8
    if asked.get("seed") and asked.get("temperature"):
        return f"letters by seed {asked['seed']}"
    return ", ".join(map(str, range(1, 201)))


class Faulty(httpx.BaseTransport):
    """The obedient server, with a fault in what it sends."""

    def __init__(self, fault: Fault | None) -> None:
        mock = ChatMock("conformance")
        mock.chat(prompt__regex="^(Count|Write random)").reply(_says)
        # The mock looks into strict schemas, but not whether they are any.
        no_schema = {"message": "Invalid schema: 123 is not a type.", "code": None}
        mock.chat(content__contains='"type": 123').respond(
            400, json={"error": {**no_schema, "type": "invalid_request_error", "param": None}}
        )
        mock.reply()
        self._inner = RecordReplayTransport(open_recorder(None, answers=mock))
        self._fault = fault

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            asked = json.loads(request.read() or b"{}")
        except ValueError:
            asked = {}
        response = self._inner.handle_request(request)
        body = response.read()
        headers = dict(response.headers)
        answered = Answered(
            asked if isinstance(asked, dict) else {}, request, response.status_code, headers, body
        )
        if self._fault is not None:
            answered = self._fault(answered) or answered
        return httpx.Response(answered.status, headers=answered.headers, content=answered.body)


def results(names: Sequence[str], fault: Fault | None = None, **options: Any) -> dict[str, Result]:
    """What checks come to, by their id.

    Args:
        names: ids of probes or checks; none for all.
    """
    chosen = [c for c in checks() if not names or c.id in names or c.probe.id in names]
    assert chosen, names
    caps = Caps()
    with httpx.Client(transport=Faulty(fault)) as client:
        run = Run(lambda name: Live(client, URL, {}, 5.0, caps), Options(MODEL, **options), caps)
        return {result.check.id: result for result in run.results(chosen)}
