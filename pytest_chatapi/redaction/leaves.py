"""The JSON in a text: all of it, the events of a stream, or whatever else it is part of.

Secrets are replaced in strings alone, where they are written, so that JSON stays the same JSON but
for its texts: numbers, names, order and white space included.
"""

from __future__ import annotations

import contextlib
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias

from pytest_chatapi.redaction.encodings import View, unescaped
from pytest_chatapi.redaction.replacing import REDACTED, Hit

__all__ = ["Document", "Documents", "Leaf", "Node", "StringLeaf", "json_values", "note_all"]


class Leaf:
    """A scalar of a document, or a key of an object.

    Attributes:
        span: its place in the document, without its quotes.
        value: the scalar itself.
        text: a string as it reads, anything else as it is written.
        hits: what is to be replaced, as places in `text`.
        bytes: the place of the bytes that logprobs give beside a token.
        tops: the tokens that were likely in its place.
    """

    __slots__ = ("_source", "_view", "bytes", "hits", "span", "text", "tops", "value")

    def __init__(self, source: str, span: tuple[int, int], value: object) -> None:
        self._source = source
        self._view: View | None = None
        self.span = span
        self.value = value
        self.text = value if isinstance(value, str) else source[slice(*span)]
        self.hits: list[Hit] = []
        self.bytes: tuple[int, int] | None = None
        self.tops: Sequence[StringLeaf] = ()

    @property
    def placeholder(self) -> str:
        """What replaces all of it; ``true``, ``false`` and ``null`` stay."""
        if isinstance(self.value, str):
            return REDACTED
        return self.text if isinstance(self.value, bool | None) else f'"{REDACTED}"'

    def source(self, place: int) -> int:
        """The place in the document of a place in `text`."""
        if self._view is None:
            self._view = unescaped(self._source[slice(*self.span)])
        return self.span[0] + self._view.source(place)


class StringLeaf(Leaf):
    """One that is a string, and not a key."""

    __slots__ = ()


Node: TypeAlias = "Leaf | list[Node] | dict[str, Node]"


class Document(NamedTuple):
    """One JSON value in a text.

    Attributes:
        start, end: its place in the text.
        tree: its objects and lists, with leaves for scalars.
        leaves: of the tree, and its keys, in the order of the text.
    """

    start: int
    end: int
    tree: Node
    leaves: list[Leaf]


class Documents:
    """All documents in a text.

    Attributes:
        leaves: of all of them, in the order of the text.
    """

    def __init__(self, text: str) -> None:
        self._documents = _documents(text)
        self.leaves = [leaf for document in self._documents for leaf in document.leaves]

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    @cached_property
    def _ends(self) -> list[int]:
        return [document.end for document in self._documents]

    @cached_property
    def _leaf_starts(self) -> list[int]:
        return [leaf.span[0] for leaf in self.leaves]

    def _first_after(self, place: int) -> Document | None:
        """The first document that ends after `place`."""
        at = bisect_right(self._ends, place)
        return self._documents[at] if at < len(self._documents) else None

    def contain(self, start: int, end: int) -> bool:
        """Whether one document holds all of a place."""
        document = self._first_after(start)
        return document is not None and document.start <= start and end <= document.end

    def touch(self, start: int, end: int) -> bool:
        """Whether a document holds any of a place."""
        document = self._first_after(start)
        return document is not None and document.start < end

    def leaves_at(self, start: int, end: int) -> list[Leaf]:
        """The leaves that a place touches."""
        first = max(0, bisect_right(self._leaf_starts, start) - 1)
        last = bisect_left(self._leaf_starts, end)
        return [leaf for leaf in self.leaves[first:last] if leaf.span[1] > start]

    def hits(self) -> list[Hit]:
        """What was noted in the leaves, as places in the text."""
        changed = [leaf for leaf in self.leaves if leaf.hits]
        for leaf in changed:
            # A token that goes has to go from the likely ones beside it as well.
            for top in leaf.tops:
                if top.text == leaf.text and not top.hits:
                    top.hits = leaf.hits
                    changed.append(top)
        hits: list[Hit] = []
        for leaf in changed:
            if leaf.bytes:
                hits.append(Hit(*leaf.bytes, "null", leaf.hits[0].kind))
            for start, end, placeholder, kind in leaf.hits:
                hits.append(Hit(leaf.source(start), leaf.source(end), placeholder, kind))
        return hits


def note_all(node: Node) -> None:
    """Note that all texts and numbers in `node` are to be replaced; its nesting stays."""
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif item.text != item.placeholder:
            item.hits.append(Hit(0, len(item.text), item.placeholder, "what a path names"))


# -- reading -------------------------------------------------------------------------------------

_WHOLE = re.compile(r'\ufeff?\s*(?:[\[{]|"(?=[^"\\]*+(?:\\.[^"\\]*+)*+"\s*\Z))', re.DOTALL)
_OBJECT = re.compile(r'\{(?=\s*["}])')
_SCALAR = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"|[^\s{}\[\],:"]++', re.DOTALL)
_BYTES = re.compile(r"\s*:\s*(\[[^\[\]]*\])")

_Decode: TypeAlias = Callable[[str, int], tuple[object, int]]

_decode: _Decode = json.JSONDecoder(strict=False).raw_decode
# Objects become tuples of their members, since a name may be in one twice.
_decode_members: _Decode = json.JSONDecoder(object_pairs_hook=tuple, strict=False).raw_decode


def json_values(text: str) -> Iterator[object]:
    """The JSON in `text`, as Python has it."""
    if text[:5] == "data:" and text.count("\ndata:") == text.count("\n\ndata:"):
        # Each event has one line, so where it begins is known without a search.
        events = text[5:].split("\n\ndata:")
        for event in events:
            start = 1 if event[:1] == " " else 0
            if event[start : start + 1] == "{":
                with contextlib.suppress(ValueError, RecursionError):
                    yield _decode(event, start)[0]
                    continue
            if "{" in event:
                yield from (value for value, _, _ in _values(event, _decode))
        return
    for value, _, _ in _values(_unframed(text), _decode):
        yield value


def _unframed(text: str) -> str:
    """`text` of the same length, without the frames between the lines of an event."""
    return text.replace("\ndata:", "\n     ")


def _values(text: str, decode: _Decode) -> Iterator[tuple[object, int, int]]:
    """The JSON in `text`, with start and end. The effort spent on what is not JSON is bounded."""
    effort = 16 * len(text) + 65536
    opening = _WHOLE.match(text) or _OBJECT.search(text)
    while opening and effort > 0:
        start = opening.end() - 1
        try:
            value, end = decode(text, start)
            yield value, start, end
        except json.JSONDecodeError as error:
            # It has also counted the lines up to itself.
            effort -= 4 * (error.pos - start) + error.pos // 8 + 256
            end = start + 1
        except (ValueError, RecursionError):
            effort -= 65536
            end = start + 1
        opening = _OBJECT.search(text, end)


def _documents(text: str) -> list[Document]:
    text = _unframed(text)
    with contextlib.suppress(RecursionError):
        return [
            _document(text, value, start, end)
            for value, start, end in _values(text, _decode_members)
        ]
    return []


def _document(text: str, value: object, start: int, end: int) -> Document:
    # Keys and scalars come in the same order in the text and in the value.
    scalars = _SCALAR.finditer(text, start, end)
    leaves: list[Leaf] = []

    def build(value: object) -> Node:
        if isinstance(value, tuple):
            return build_object(value)
        if isinstance(value, list):
            return [build(item) for item in value]
        match = next(scalars)
        if isinstance(value, str):
            leaf: Leaf = StringLeaf(text, match.span(1), value)
        else:
            leaf = Leaf(text, match.span(), value)
        leaves.append(leaf)
        return leaf

    def build_object(members: Iterable[tuple[str, object]]) -> dict[str, Node]:
        node: dict[str, Node] = {}
        place = None
        for key, item in members:
            match = next(scalars)
            leaves.append(Leaf(text, match.span(1), key))
            if key == "bytes" and (listed := _BYTES.match(text, match.end())):
                place = listed.span(1)
            if key in node:  # a name that is there twice
                node[key] = [node[key], build(item)]
            else:
                node[key] = build(item)
        token, tops = node.get("token"), node.get("top_logprobs")
        if isinstance(token, StringLeaf):
            token.bytes = place
            if isinstance(tops, list):
                others = [top.get("token") for top in tops if isinstance(top, dict)]
                token.tops = [other for other in others if isinstance(other, StringLeaf)]
        return node

    return Document(start, end, build(value), leaves)
