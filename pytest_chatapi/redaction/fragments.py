"""Texts that come in fragments: over the chunks of a stream, or over the tokens of logprobs."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Generic, TypeVar

from pytest_chatapi.redaction.leaves import Document, Leaf, StringLeaf, json_values
from pytest_chatapi.redaction.replacing import Find, Hit, merged

__all__ = ["note_across", "split_hits"]

# Alternative tokens and their bytes are not parts of one text.
_ALONE = "top_logprobs", "bytes"

_Text = TypeVar("_Text", str, StringLeaf)


class _Fragments(Generic[_Text]):
    """The strings at each place of a document; for several documents, one after the other."""

    __slots__ = ("_below", "_kind", "_texts")

    def __init__(self, kind: type[_Text]) -> None:
        self._kind: type[_Text] = kind
        self._texts: dict[str | int, list[_Text]] = {}
        self._below: dict[str | int, _Fragments[_Text]] = {}

    def add(self, value: object, joins: bool = False) -> None:
        """Add the strings of one more document.

        Args:
            joins: the items of a list continue each other, as the tokens of logprobs do.
        """
        kind = self._kind
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, kind):
                    self._texts.setdefault(key, []).append(item)
                elif item.__class__ is dict or (item.__class__ is list and key not in _ALONE):
                    self._at(key).add(item, joins or key == "logprobs")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                place = 0 if joins else _own_index(item, index)
                if isinstance(item, kind):
                    self._texts.setdefault(place, []).append(item)
                else:
                    self._at(place).add(item, joins)

    def _at(self, place: str | int) -> _Fragments[_Text]:
        below = self._below.get(place)
        if below is None:
            below = self._below[place] = _Fragments(self._kind)
        return below

    def joinable(self) -> Iterator[list[_Text]]:
        """The strings of each place that has several."""
        for texts in self._texts.values():
            if len(texts) > 1:
                yield texts
        for below in self._below.values():
            yield from below.joinable()


def _own_index(item: object, index: int) -> int:
    """Which choice or tool call an item is a fragment of, as it says itself."""
    own = item.get("index") if isinstance(item, dict) else None
    own = own.value if isinstance(own, Leaf) else own
    return own if type(own) is int else index


def split_hits(text: str, find: Find) -> list[Hit]:
    """What is secret in fragments only once they are joined: its kinds, at no place.

    `note_across` says where it is.
    """
    if '"token"' not in text and text.count("data:") < 2:
        return []
    fragments = _Fragments(str)
    with contextlib.suppress(RecursionError):
        for value in json_values(text):
            fragments.add(value)
    return [
        Hit(0, 0, "", hit.kind)
        for texts in fragments.joinable()
        for _, hit in _spanning(texts, find)
    ]


def note_across(documents: Iterable[Document], find: Find) -> None:
    """Note in the leaves what is secret in several of them joined."""
    fragments = _Fragments(StringLeaf)
    with contextlib.suppress(RecursionError):
        for document in documents:
            fragments.add(document.tree)
    for leaves in fragments.joinable():
        for index, hit in _spanning([leaf.text for leaf in leaves], find):
            leaves[index].hits.append(hit)


def _spanning(texts: list[str], find: Find) -> Iterator[tuple[int, Hit]]:
    """What is secret in the joined texts: its part in each of them, by index.

    The placeholder goes where the secret begins.
    """
    if texts.count(texts[0]) == len(texts):
        return  # the id or the model of all chunks
    hits = find("".join(texts))
    if not hits:
        return
    ends = list(accumulate(map(len, texts)))
    for start, end, placeholder, kind in merged(hits):
        at = bisect_right(ends, start)
        while start < end:
            begin, stop = ends[at] - len(texts[at]), min(end, ends[at])
            if start < stop:
                yield at, Hit(start - begin, stop - begin, placeholder, kind)
            start, placeholder, at = stop, "", at + 1
