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
from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.mock.builders import reasoning, reply_that_fits, text, tool_call, tool_calls
from pytest_chatapi.mock.refusals import key_refusal
from pytest_chatapi.mock.replies import Reply
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
        again: what the obedient server sends to another request.
    """

    asked: dict[str, Any]
    request: httpx.Request
    status: int
    headers: dict[str, str]
    body: bytes
    disconnects: int
    again: Callable[[httpx.Request], Answered]

    def instead(self, **changes: Any) -> Answered:
        """What the server sends that takes the request for another one; ``...`` leaves a member
        out.
        """
        asked = {n: value for n, value in {**self.asked, **changes}.items() if value is not ...}
        headers = {n: v for n, v in self.request.headers.items() if n != "content-length"}
        request = httpx.Request("POST", self.request.url, headers=headers, json=asked)
        return self.again(request)

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


def replaces(old: str, new: str) -> Fault:
    """A fault in the text of the body."""

    def fault(answered: Answered) -> None:
        answered.body = answered.body.replace(old.encode(), new.encode())

    return fault


def ignores(*names: str) -> Fault:
    """A server that takes no notice of these members of a request."""

    def fault(answered: Answered) -> Answered:
        return answered.instead(**dict.fromkeys(names, ...)) if answered.asked else answered

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


def _as_told(request: Request) -> Reply:
    """The reply of a model that does what it is told: it calls the tools that the prompt names, if
    it may, and thinks if it is to.
    """
    body, _ = request_json(request)
    ask = Ask(body)
    prompt = str(ask.body["messages"][-1].get("content"))
    told = [name for _, name in ask.tools if name in prompt]
    if told and ask.choice in ("auto", "required"):
        return tool_calls(*map(tool_call, told[:1] if ask.parallel is False else told))
    if ask.body.get("reasoning_effort", "none") != "none":
        return reasoning(reasoning_tokens=32)
    if prompt.startswith("Count"):
        numbers = " ale" * 8 if ask.body.get("logit_bias") else ", ".join(map(str, range(1, 201)))
        return text(numbers)
    if prompt.startswith("Write random"):
        return text(f"letters by seed {ask.body.get('seed')}")
    return reply_that_fits(ask)


class Faulty(httpx.BaseTransport):
    """The obedient server, which wants `KEY`, with a fault in what it sends."""

    disconnects = 0

    def __init__(self, fault: Fault | None) -> None:
        mock = ChatMock("conformance")
        # The mock looks into strict schemas, but not whether they are any.
        no_schema = {"message": "Invalid schema: 123 is not a type.", "code": None}
        mock.chat(content__contains='"type": 123').respond(
            400, json={"error": {**no_schema, "type": "invalid_request_error", "param": None}}
        )
        mock.reply(_as_told)
        self._inner = RecordReplayTransport(open_recorder(None, answers=mock))
        self._fault = fault

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answered = self._answered(request)
        if self._fault is not None:
            answered = self._fault(answered) or answered
        pieces = _Pieces(answered.body, self._on_disconnect)
        return httpx.Response(answered.status, headers=answered.headers, stream=pieces)

    def _answered(self, request: httpx.Request) -> Answered:
        try:
            asked = json.loads(request.read() or b"{}")
        except ValueError:
            asked = {}
        refusal = key_refusal(request.headers, {KEY})
        if refusal is not None:
            response = httpx.Response(refusal[0], json=refusal[1])
        else:
            response = self._inner.handle_request(request)
        return Answered(
            asked if isinstance(asked, dict) else {},
            request,
            response.status_code,
            dict(response.headers),
            response.read(),
            self.disconnects,
            self._answered,
        )

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
