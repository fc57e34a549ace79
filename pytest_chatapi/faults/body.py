"""A good answer, parsed so that a fault can change it, and written again as it was framed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.sse import decode_sse, looks_like_sse
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.names import WIRE_HEADERS

__all__ = ["Body", "Event", "dump"]

_EVENT_END = re.compile(rb"(?<=\r\n\r\n)|(?<=\n\n)|(?<=\r\r)")


def dump(value: Any, indent: int | None = None) -> bytes:
    """JSON as the services write it: UTF-8, unless the text has what UTF-8 cannot hold."""
    separators = (",", ": ") if indent else (",", ":")
    try:
        text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, separators=separators).encode()


class Event:
    """One event of a stream, or what stands between two.

    Attributes:
        raw: as it came, with the blank line that ends it.
        value: the chunk, where the data is one; what is changed in it will be written.
        time: seconds from the request to its last byte.
    """

    __slots__ = ("_before", "raw", "time", "value")

    def __init__(self, raw: bytes, time: float = 0.0) -> None:
        self.raw, self.time = raw, time
        self.value: dict[str, Any] | None = None
        for data, _, _ in decode_sse([raw]):
            try:
                value = json.loads(data)
            except (ValueError, RecursionError):
                continue  # [DONE], or what is broken already
            if isinstance(value, dict) and isinstance(value.get("choices"), list):
                self.value = value
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
        """The event with other data; comments and other fields of it stay."""
        parts: list[bytes] = []
        for line in self.raw.splitlines(keepends=True):
            if not line.startswith(b"data:"):
                parts.append(line)
            elif text:
                end = line[len(line.rstrip(b"\r\n")) :]
                parts += [b"data: " if line[5:6] == b" " else b"data:", text, end]
                text = b""
        return b"".join(parts)


class Body:
    """An answer with a 2xx status.

    Attributes:
        ask: what was asked for.
        headers: of the response; to be changed by whoever wants to.
        document: the completion, ``None`` where the answer is a stream or no completion.
        events: of the stream; empty where it is none.
    """

    def __init__(self, answer: Interaction, request: Request, data: bytes) -> None:
        self.answer = answer
        self.ask = Ask(request_json(request)[0])
        self.headers = [(n, v) for n, v in answer.headers if n.lower() not in WIRE_HEADERS]
        self.data = data
        self.streamed = looks_like_sse(data[:512])
        self.document: dict[str, Any] | None = None
        self.events: list[Event] = []
        if self.streamed:
            self._read_events()
            return
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(document, dict) and isinstance(document.get("choices"), list):
            self.document = document

    @classmethod
    def of(cls, answer: Interaction | None, request: Request) -> Body | None:
        """``None`` where there is nothing that a fault could disturb."""
        if answer is None or not 200 <= answer.status < 300:
            return None
        data = b"".join(answer.pieces)
        return cls(answer, request, data) if data.strip() else None

    def _read_events(self) -> None:
        arrived = list(zip(accumulate(map(len, self.answer.pieces)), self.times, strict=True))
        end = at = 0
        for raw in filter(None, _EVENT_END.split(self.data)):
            end += len(raw)
            while arrived[at][0] < end:
                at += 1
            self.events.append(Event(raw, arrived[at][1]))

    @property
    def times(self) -> Sequence[float]:
        return self.answer.times or [0.0] * len(self.answer.pieces)

    # -- what is in it ---------------------------------------------------------------------

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [event.value for event in self.events if event.value is not None]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The completion, or all chunks."""
        return [self.document] if self.document is not None else self.chunks

    def choices(self) -> list[dict[str, Any]]:
        """Each choice of the completion, or of a chunk."""
        found = [choice for document in self.documents for choice in document["choices"]]
        return [choice for choice in found if isinstance(choice, dict)]

    def messages(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each choice that has one with its message, or with its delta."""
        for choice in self.choices():
            inner = choice.get("delta" if self.streamed else "message")
            if isinstance(inner, dict):
                yield choice, inner

    def calls(self) -> Iterator[tuple[tuple[Any, Any], dict[str, Any], bool]]:
        """Each call, or fragment of one, that is a function's: which it is (choice and call),
        itself, and whether it is the call's first.
        """
        seen = set()
        for position, (choice, inner) in enumerate(self.messages()):
            calls = inner.get("tool_calls")
            for at, call in enumerate(calls if isinstance(calls, list) else ()):
                if not isinstance(call, dict):
                    continue
                which: tuple[Any, Any] = (position, at)
                if self.streamed:
                    which = (choice.get("index"), call.get("index"))
                if isinstance(call.get("function"), dict):
                    yield which, call, which not in seen
                    seen.add(which)

    def usages(self) -> list[dict[str, Any]]:
        found = [document.get("usage") for document in self.documents]
        return [usage for usage in found if isinstance(usage, dict)]

    # -- changing it -----------------------------------------------------------------------

    def frame(self) -> dict[str, Any]:
        """A chunk of this stream without choices."""
        first = copy.deepcopy(self.chunks[0])
        first.pop("obfuscation", None)
        return {**first, "choices": []}

    def insert(self, at: int, value: dict[str, Any]) -> None:
        """Puts a chunk before the event `at`, framed as the first one."""
        like = next(event for event in self.events if event.value is not None)
        near = self.events[min(at, len(self.events) - 1)]
        self.events.insert(at, Event(like.with_data(dump(value)), near.time))

    def find(self, is_it: Any) -> int | None:
        """The first event whose chunk has a choice that `is_it`."""
        for at, event in enumerate(self.events):
            choices = event.value["choices"] if event.value is not None else ()
            if any(isinstance(choice, dict) and is_it(choice) for choice in choices):
                return at
        return None

    @property
    def end(self) -> int:
        """The place behind the last chunk."""
        return max(at for at, event in enumerate(self.events) if event.value is not None) + 1

    def join_calls(self) -> bool:
        """Brings each call of a stream whole, in its first fragment. Whether there is one."""
        first: dict[Any, dict[str, Any]] = {}
        for which, call, is_first in self.calls():
            if is_first:
                first[which] = call
            elif isinstance(text := call["function"].get("arguments"), str):
                inner = first[which]["function"]
                inner["arguments"] = (inner.get("arguments") or "") + text
        more = {id(call) for _, call, _ in self.calls()} - {id(call) for call in first.values()}
        for _, inner in self.messages():
            if isinstance(calls := inner.get("tool_calls"), list):
                calls[:] = [call for call in calls if id(call) not in more]
                if not calls:
                    del inner["tool_calls"]
        return bool(first)

    # -- as it is to arrive ----------------------------------------------------------------

    def written(self) -> Interaction:
        """The answer with what was changed, a stream in one piece for each event."""
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
        """The answer with what was changed in its headers."""
        return replace(self.answer, headers=self.headers)

    def arriving(self, pieces: Sequence[bytes], times: Sequence[float]) -> Interaction:
        """The answer with another body."""
        timed = list(times) if self.answer.times is not None else None
        return replace(self.answer, headers=self.headers, pieces=list(pieces), times=timed)
