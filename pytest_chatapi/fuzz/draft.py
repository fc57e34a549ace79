"""One response on its way to the wire: a layout, then chunks, then events, then bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Literal

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.mock.tokens import tokens

__all__ = ["STAGES", "Draft", "Event", "Layout", "Stage"]

Stage = Literal["layout", "chunks", "events", "bytes"]
STAGES: tuple[Stage, ...] = ("layout", "chunks", "events", "bytes")


@dataclass
class Layout:
    """How a completion is divided into chunks.

    Attributes:
        pieces: how each text is cut: into tokens, into characters, not at all, or at these
            positions (characters).
        opening: where the role is: ``alone`` in the first delta, ``joined`` to the first text, on
            ``each`` delta.
        closing: ``finish_reason`` comes ``alone`` or ``joined`` to the last text.
        calls: ``in turn``, ``interleaved``, or ``together`` in each delta.
        arguments: a call opens with the ``first`` piece of its arguments, or an ``empty`` one.
        choices: ``interleaved`` or ``in turn``.
        usage_null: chunks have ``usage: null`` where usage was requested.
        padded: chunks have ``obfuscation``.
        reverse_calls: a later call opens before an earlier one.
        merged: a choice has one delta.
    """

    pieces: Literal["tokens", "characters", "whole"] | tuple[int, ...] = "tokens"
    opening: Literal["alone", "joined", "each"] = "alone"
    closing: Literal["alone", "joined"] = "alone"
    calls: Literal["in turn", "interleaved", "together"] = "in turn"
    arguments: Literal["empty", "first"] = "empty"
    choices: Literal["interleaved", "in turn"] = "interleaved"
    usage_null: bool = True
    padded: bool = False
    reverse_calls: bool = False
    merged: bool = False

    @classmethod
    def compact(cls) -> Layout:
        """As few chunks as possible: one for each choice."""
        return cls("whole", "joined", "joined", "together", "first", merged=True)


@dataclass
class Event:
    """A block of lines that a blank line ends; its data is JSON, or text."""

    data: JSONObject | bytes | None = None
    before: list[bytes] = field(default_factory=list)
    after: list[bytes] = field(default_factory=list)
    spread: bool = False

    @property
    def is_chunk(self) -> bool:
        return isinstance(self.data, dict) and "choices" in self.data


@dataclass
class Draft:
    """A response that deliveries change, stage after stage.

    Attributes:
        completion: the ``chat.completion`` that the response is.
        ask: what the request asks for.
        streamed: in chunks and not as a whole.
        chunks: from the stage of that name on; for a whole response, the completion.
        events: from the stage of that name on.
        newline, space: how lines end, and whether a space follows ``data:``.
        escaped: JSON has ASCII only.
        is_spaced, is_reversed: JSON has spaces between its tokens; the last member comes first,
            but not in what applications pass on as it is.
        head, tail: bytes before the first event and after the last.
        has_done: ``[DONE]`` follows on the chunks.
        replaced: another body, that has nothing of the response.
        body: from the stage ``bytes`` on.
        cuts: where `body` is divided into pieces; ``None``: after each event.
        reset: the connection breaks after the last piece, and does not end in order.
    """

    completion: JSONObject
    ask: Ask
    streamed: bool
    layout: Layout = field(default_factory=Layout)
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[JSONObject] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    newline: bytes = b"\n"
    space: bytes = b" "
    escaped: bool = True
    is_spaced: bool = False
    is_reversed: bool = False
    indent: int | None = None
    head: bytes = b""
    tail: bytes = b""
    has_done: bool = True
    replaced: bytes | None = None
    body: bytes = b""
    ends: list[int] = field(default_factory=list)
    cuts: tuple[int, ...] | None = None
    reset: bool = False
    stage: Stage = "layout"

    def __post_init__(self) -> None:
        if not self.headers:
            kind = "text/event-stream; charset=utf-8" if self.streamed else "application/json"
            self.headers = [("content-type", kind), ("x-request-id", "req_fuzz")]

    # -- stages ----------------------------------------------------------------------------

    def reach(self, stage: Stage) -> None:
        """Go on to a stage; nothing happens if it is reached already."""
        while STAGES.index(self.stage) < STAGES.index(stage):
            self.stage = STAGES[STAGES.index(self.stage) + 1]
            if self.stage == "chunks":
                whole = [copy.deepcopy(self.completion)]
                self.chunks = _chunks(self) if self.streamed else whole
            elif self.stage == "events" and self.streamed:
                self.events = list(map(Event, self.chunks))
                if self.has_done:
                    self.events.append(Event(b"[DONE]"))
            elif self.stage == "bytes":
                self._write()

    def _write(self) -> None:
        if self.replaced is not None:
            self.body, self.ends = self.replaced, [len(self.replaced)]
            return
        if not self.streamed:
            self.body = self.head + self.dump(self.chunks[0], self.indent) + self.tail
            self.ends = [len(self.body)]
            return
        parts = [self.head]
        ends = []
        size = len(self.head)
        for event in self.events:
            parts.append(self._block(event))
            size += len(parts[-1])
            ends.append(size)
        self.body = b"".join(parts) + self.tail
        self.ends = [end for end in ends if end < len(self.body)] + [len(self.body)]

    def _block(self, event: Event) -> bytes:
        lines = list(event.before)
        if event.data is not None:
            data = event.data
            if isinstance(data, dict):
                data = self.dump(data, 0 if event.spread else None)
            lines += [b"data:" + self.space + line for line in data.split(b"\n")]
        lines += event.after
        return b"".join(line + self.newline for line in [*lines, b""])

    def dump(self, value: JSONObject, indent: int | None = None) -> bytes:
        separators = (",", ":") if indent is None else (",", ": ")
        if self.is_spaced:
            separators = (" , ", " : ")
        if self.is_reversed:
            value = _reversed(value)
        text = json.dumps(value, ensure_ascii=self.escaped, indent=indent, separators=separators)
        return text.encode("utf-8", "surrogatepass")

    @property
    def pieces(self) -> list[bytes]:
        """The body in the pieces in which it arrives."""
        self.reach("bytes")
        size = len(self.body)
        cuts = self.ends if self.cuts is None else self.cuts
        marks = [0, *sorted({cut for cut in cuts if 0 < cut < size}), size]
        return [self.body[a:b] for a, b in pairwise(marks) if b > a]

    # -- where things are ------------------------------------------------------------------

    @property
    def finishing(self) -> int:
        """The index of the first chunk with a ``finish_reason``; of events too, before any
        delivery adds some.
        """
        items: Sequence[object] = self.events or self.chunks
        for at, item in enumerate(items):
            value = item.data if isinstance(item, Event) else item
            if isinstance(value, dict) and any(
                choice.get("finish_reason") for choice in value.get("choices", ())
            ):
                return at
        return len(items)

    def size(self, of: str) -> int:
        """How many positions there are in what a parameter counts."""
        if of == "characters":
            return max(map(len, self.texts), default=0)
        if of == "bytes":
            return len(self.body)
        if of == "unfinished bytes":
            at = self.finishing
            return self.ends[at - 1] if 0 < at <= len(self.ends) else len(self.head)
        if of == "unfinished":
            return self.finishing
        return len(self.events or self.chunks)

    @property
    def texts(self) -> Iterator[str]:
        """Each text of the response that is divided into fragments."""
        for choice in self.completion["choices"]:
            message = choice["message"]
            for key in ("content", "refusal"):
                if message.get(key):
                    yield message[key]
            for call in message.get("tool_calls") or ():
                yield _argument_text(call)


# -- chunks --------------------------------------------------------------------------------


def _reversed(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {
            key: value[key] if key in ("usage", "logprobs") else _reversed(value[key])
            for key in reversed(value)
        }
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def _argument_text(call: JSONObject) -> str:
    return str(
        call["custom"]["input"] if call["type"] == "custom" else call["function"]["arguments"]
    )


def _frame(completion: JSONObject, **more: object) -> JSONObject:
    """A chunk; without choices, if these are not among the members."""
    kept = ("id", "created", "model", "service_tier", "system_fingerprint")
    head = {key: completion[key] for key in kept if key in completion}
    return {**head, "object": "chat.completion.chunk", "choices": [], **more}


def _chunks(draft: Draft) -> list[JSONObject]:
    layout, ask, completion = draft.layout, draft.ask, draft.completion
    streams = [list(_streamed(choice, layout, ask)) for choice in completion["choices"]]
    if layout.choices == "in turn":
        choices: Iterable[JSONObject] = (choice for stream in streams for choice in stream)
    else:
        choices = (choice for turn in zip_longest(*streams) for choice in turn if choice)
    chunks = [_frame(completion, choices=[choice]) for choice in choices]
    if ask.include_usage:
        if layout.usage_null:
            for chunk in chunks:
                chunk["usage"] = None
        chunks.append(_frame(completion, usage=completion["usage"]))
    if "moderation" in completion:
        chunks.append(_frame(completion, moderation=completion["moderation"]))
    if layout.padded:
        for number, chunk in enumerate(chunks):
            chunk["obfuscation"] = "aZ3kQ9xYt2LmVb7"[: 3 + number * 5 % 12]
    return chunks


def _streamed(choice: JSONObject, layout: Layout, ask: Ask) -> Iterator[JSONObject]:
    """The choice of each chunk."""
    message = choice["message"]
    parts = list(_parts(choice, layout, ask))
    keys = [key for delta, _ in parts for key in delta]
    if layout.merged and parts and len(keys) == len(set(keys)):
        probabilities = next((logprobs for _, logprobs in parts if logprobs), None)
        parts = [({key: part for delta, _ in parts for key, part in delta.items()}, probabilities)]
    # Services begin with these, so readers that merge whatever comes have them in each result.
    opening: JSONObject = {
        "content": "" if message.get("content") is not None else None,
        "refusal": None,
    }
    if layout.opening == "alone" or not parts:
        parts.insert(0, (opening, None))
    else:
        parts[0] = {**opening, **parts[0][0]}, parts[0][1]
    for delta, _ in parts[: 1 if layout.opening != "each" else None]:
        delta["role"] = "assistant"
    if layout.closing == "alone":
        parts.append(({}, None))
    for at, (delta, logprobs) in enumerate(parts):
        is_last = at == len(parts) - 1
        streamed = {
            "index": choice["index"],
            "delta": {key: delta[key] for key in ("role", *delta) if key in delta},
            "finish_reason": choice["finish_reason"] if is_last else None,
        }
        if logprobs is not None or ask.logprobs:
            streamed["logprobs"] = logprobs
        yield streamed


def _parts(
    choice: JSONObject, layout: Layout, ask: Ask
) -> Iterator[tuple[JSONObject, JSONObject | None]]:
    """Each delta with text, and its log probabilities."""
    message, probabilities = choice["message"], choice.get("logprobs") or {}
    for key in ("content", "refusal"):
        text = message.get(key)
        if not text:
            continue
        entries = probabilities.get(key)
        if ask.logprobs and isinstance(entries, list):
            other = "refusal" if key == "content" else "content"
            for group in _groups(entries, layout):
                piece = "".join(entry["token"] for entry in group)
                yield {key: piece}, {key: group, other: None}
        else:
            for piece in _fragments(text, layout):
                yield {key: piece}, None
    if call := message.get("function_call"):
        pieces = _fragments(call["arguments"], layout)
        first = pieces.pop(0) if layout.arguments == "first" and pieces else ""
        yield {"function_call": {"name": call["name"], "arguments": first}}, None
        for piece in pieces:
            yield {"function_call": {"arguments": piece}}, None
    for fragments in _call_turns(message.get("tool_calls") or [], layout):
        yield {"tool_calls": fragments}, None


def _call_turns(calls: Sequence[JSONObject], layout: Layout) -> Iterator[list[JSONObject]]:
    streams = [list(_call_fragments(at, call, layout)) for at, call in enumerate(calls)]
    if layout.reverse_calls:
        streams.reverse()
    if layout.calls == "in turn":
        yield from ([fragment] for stream in streams for fragment in stream)
        return
    for turn in zip_longest(*streams):
        fragments = [fragment for fragment in turn if fragment]
        if layout.calls == "together":
            yield fragments
        else:
            yield from ([fragment] for fragment in fragments)


def _call_fragments(index: int, call: JSONObject, layout: Layout) -> Iterator[JSONObject]:
    kind = call["type"]
    key = "input" if kind == "custom" else "arguments"
    pieces = _fragments(_argument_text(call), layout)
    first = pieces.pop(0) if layout.arguments == "first" and pieces else ""
    yield {
        "index": index,
        "id": call["id"],
        "type": kind,
        kind: {"name": call[kind]["name"], key: first},
    }
    for piece in pieces:
        yield {"index": index, kind: {key: piece}}


def _fragments(text: str, layout: Layout) -> list[str]:
    if layout.pieces == "whole":
        return [text] if text else []
    if layout.pieces == "tokens":
        return list(tokens(text))
    if layout.pieces == "characters":
        return list(text)
    marks = [0, *sorted({at for at in layout.pieces if 0 < at < len(text)}), len(text)]
    return [text[a:b] for a, b in pairwise(marks) if b > a]


def _groups(entries: list[JSONObject], layout: Layout) -> list[list[JSONObject]]:
    """Log probabilities by fragment: a fragment is made of whole tokens."""
    return [entries] if layout.pieces == "whole" else [[entry] for entry in entries]
