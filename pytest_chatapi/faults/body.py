"""A good response, parsed so that a fault can change it, and written as it was framed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.sse import decode_sse, looks_like_sse
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.names import WIRE_HEADERS

__all__ = ["Body", "Call", "Event", "dump"]

_EVENT_END = re.compile(rb"(?<=\r\n\r\n)|(?<=\n\n)|(?<=\r\r)")


def dump(value: JSON, indent: int | None = None) -> bytes:
    """Return JSON as the services write it: UTF-8, escaped only where UTF-8 cannot hold it."""
    separators = (",", ": ") if indent else (",", ":")
    try:
        text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, separators=separators).encode()


def _completion(data: bytes) -> JSONObject | None:
    """Return a completion or a chunk; ``None`` for anything else, such as ``[DONE]``."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(value, dict) and isinstance(value.get("choices"), list)
    return value if is_one else None


class Event:
    """An event of a stream, or whatever is between two of them.

    Attributes:
        raw: as it arrived, including the blank line that ends it.
        value: the chunk, if it is one; changes to it will be written.
        time: arrival of its last byte, in seconds since the request.
    """

    __slots__ = ("_before", "raw", "time", "value")

    def __init__(self, raw: bytes, time: float = 0.0) -> None:
        self.raw, self.time = raw, time
        self.value: JSONObject | None = None
        for data, _, _ in decode_sse([raw]):
            self.value = _completion(data) or self.value
        self._before = dump(self.value)

    @property
    def done(self) -> bool:
        return any(data[:6] == b"[DONE]" for data, _, _ in decode_sse([self.raw]))

    def written(self) -> bytes:
        if self.value is None:
            return self.raw
        text = dump(self.value)
        return self.raw if text == self._before else self.with_data(text)

    def with_data(self, text: bytes) -> bytes:
        """Return the event with other data; its comments and other fields stay."""
        parts: list[bytes] = []
        for line in self.raw.splitlines(keepends=True):
            if not line.startswith(b"data:"):
                parts.append(line)
            elif text:
                end = line[len(line.rstrip(b"\r\n")) :]
                parts += [b"data: " if line[5:6] == b" " else b"data:", text, end]
                text = b""
        return b"".join(parts)


class Call(NamedTuple):
    """A call of a function, or in a stream a fragment of one.

    Attributes:
        choice, key: which choice, and which of its calls.
        value: the object itself; changes to it will be written.
        is_first: it is not a further fragment.
    """

    choice: str
    key: str
    value: JSONObject
    is_first: bool


class Body:
    """The body of a response with a 2xx status.

    Attributes:
        ask: what the request asks for.
        headers: of the response; may be changed.
        document: the completion; ``None`` for a stream, or if the body is not a completion.
        events: of the stream; empty for anything else. May be changed.
    """

    def __init__(self, response: Interaction, request: Request, data: bytes) -> None:
        self.response = response
        self.ask = Ask(request_json(request)[0])
        self.headers = [(n, v) for n, v in response.headers if n.lower() not in WIRE_HEADERS]
        self.data = data
        self.streamed = looks_like_sse(data[:512])
        self.document = None if self.streamed else _completion(data)
        self.events = self._read_events() if self.streamed else []

    @classmethod
    def of(cls, response: Interaction | None, request: Request) -> Body | None:
        """Return the body of a response, or ``None`` if no fault could change anything in it."""
        if response is None or not 200 <= response.status < 300:
            return None
        data = b"".join(response.pieces)
        return cls(response, request, data) if data.strip() else None

    def _read_events(self) -> list[Event]:
        arrivals = list(zip(accumulate(map(len, self.response.pieces)), self.times, strict=True))
        events = []
        end = at = 0
        for raw in filter(None, _EVENT_END.split(self.data)):
            end += len(raw)
            while arrivals[at][0] < end:
                at += 1
            events.append(Event(raw, arrivals[at][1]))
        return events

    @property
    def times(self) -> Sequence[float]:
        """The arrival of each piece, in seconds since the request; zeros if not recorded."""
        return self.response.times or [0.0] * len(self.response.pieces)

    # -- what is in it ---------------------------------------------------------------------

    @property
    def chunks(self) -> list[JSONObject]:
        return [event.value for event in self.events if event.value is not None]

    @property
    def documents(self) -> list[JSONObject]:
        """The completion, or all chunks."""
        return [self.document] if self.document is not None else self.chunks

    def choices(self) -> list[JSONObject]:
        """Return all choices, of the completion or of all chunks."""
        choices = [choice for document in self.documents for choice in document["choices"]]
        return [choice for choice in choices if isinstance(choice, dict)]

    def messages(self) -> list[JSONObject]:
        """Return the message or the delta of each choice that has one."""
        return [message for _, message in self._messages()]

    def _messages(self) -> Iterator[tuple[JSONObject, JSONObject]]:
        for choice in self.choices():
            message = choice.get("delta" if self.streamed else "message")
            if isinstance(message, dict):
                yield choice, message

    def calls(self) -> Iterator[Call]:
        """Yield each call of a function, or each fragment of one."""
        seen: set[tuple[str, str]] = set()
        for position, (choice, message) in enumerate(self._messages()):
            calls = message.get("tool_calls")
            for at, call in enumerate(calls if isinstance(calls, list) else ()):
                if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
                    continue
                which = (str(position), str(at))
                if self.streamed:
                    which = (str(choice.get("index")), str(call.get("index")))
                yield Call(*which, call, which not in seen)
                seen.add(which)

    def usages(self) -> list[JSONObject]:
        usages = [document.get("usage") for document in self.documents]
        return [usage for usage in usages if isinstance(usage, dict)]

    # -- changing it -----------------------------------------------------------------------

    def frame(self) -> JSONObject:
        """Return a chunk of this stream without choices."""
        first = copy.deepcopy(self.chunks[0])
        first.pop("obfuscation", None)
        return {**first, "choices": []}

    def insert(self, at: int, value: JSONObject) -> None:
        """Insert a chunk before the event `at`, framed as the first one."""
        like = next(event for event in self.events if event.value is not None)
        near = self.events[min(at, len(self.events) - 1)]
        self.events.insert(at, Event(like.with_data(dump(value)), near.time))

    def find(self, matches: Callable[[JSONObject], object]) -> int | None:
        """Return the index of the first event that has a choice which `matches`."""
        for at, event in enumerate(self.events):
            choices = event.value["choices"] if event.value is not None else ()
            if any(isinstance(choice, dict) and matches(choice) for choice in choices):
                return at
        return None

    @property
    def end(self) -> int:
        """The index after the last chunk."""
        return max(at for at, event in enumerate(self.events) if event.value is not None) + 1

    def join_calls(self) -> bool:
        """Join each call of a stream in its first fragment; return whether there is a call."""
        first: dict[tuple[str, str], JSONObject] = {}
        others: set[int] = set()
        for call in self.calls():
            if call.is_first:
                first[call.choice, call.key] = call.value
                continue
            others.add(id(call.value))
            if isinstance(text := call.value["function"].get("arguments"), str):
                function = first[call.choice, call.key]["function"]
                function["arguments"] = (function.get("arguments") or "") + text
        for message in self.messages():
            if isinstance(calls := message.get("tool_calls"), list):
                calls[:] = [call for call in calls if id(call) not in others]
                if not calls:
                    del message["tool_calls"]
        return bool(first)

    # -- as it is to arrive ----------------------------------------------------------------

    def written(self) -> Interaction:
        """Return the response with all changes, a stream in one piece for each event."""
        if self.streamed:
            return self.arriving(
                [event.written() for event in self.events], [event.time for event in self.events]
            )
        if self.document is None:
            return self.plain
        indent = 2 if self.data.lstrip()[:2] == b"{\n" else None
        return self.arriving([dump(self.document, indent)], self.times[-1:])

    @property
    def plain(self) -> Interaction:
        """The response with the changes to its headers only."""
        return replace(self.response, headers=self.headers)

    def arriving(self, pieces: Sequence[bytes], times: Sequence[float]) -> Interaction:
        """Return the response with another body."""
        timed = list(times) if self.response.times is not None else None
        return replace(self.response, headers=self.headers, pieces=list(pieces), times=timed)
