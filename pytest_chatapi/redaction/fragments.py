"""Texts that come in fragments: over the chunks of a stream, or over the tokens of logprobs."""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Generic, TypeVar

from pytest_chatapi.redaction.leaves import Document, Leaf, StringLeaf, json_values
from pytest_chatapi.redaction.replacing import Find, Hit, merged

__all__ = ["Fragments", "are_alike", "fragments_of", "note_across"]

# Alternative tokens and their bytes are not parts of one text.
_ALONE = "top_logprobs", "bytes"
# Between the objects of a stream that has one a line, or none at all.
_NEXT_OBJECT = re.compile(r"\}[\s\x1e]*\{")

_Text = TypeVar("_Text", str, StringLeaf)


class Fragments(Generic[_Text]):
    """The strings at each place of a document; for several documents, one after the other."""

    __slots__ = ("_below", "_kind", "_texts")

    def __init__(self, kind: type[_Text]) -> None:
        self._kind: type[_Text] = kind
        self._texts: dict[str | int, list[_Text]] = {}
        self._below: dict[str | int, Fragments[_Text]] = {}

    def add_document(self, value: object) -> None:
        """Add the strings of one more document; a list of objects is as many of them."""
        if isinstance(value, list) and len(value) > 1 and isinstance(value[0], dict):
            for document in value:
                self.add(document)
        else:
            self.add(value)

    def add(self, value: object, joins: bool = False) -> None:
        """Add the strings of one more value at this place.

        Args:
            joins: the items of a list continue each other, as the tokens of logprobs do.
        """
        kind = self._kind
        waiting: list[tuple[Fragments[_Text], Any, bool]] = []
        if isinstance(value, list):
            self._add_items(value, joins, waiting)
        else:
            waiting.append((self, value, joins))
        for fragments, members, joins in waiting:  # which grows meanwhile
            if members.__class__ is not dict:
                continue
            texts, below = fragments._texts, fragments._below
            for key, item in members.items():
                of_item = item.__class__
                if of_item is kind:
                    try:  # most places are not new
                        texts[key].append(item)
                    except KeyError:
                        texts[key] = [item]
                elif of_item is dict:
                    inner = below.get(key) or fragments._at(key)
                    waiting.append((inner, item, joins or key == "logprobs"))
                elif of_item is list and item and key not in _ALONE:
                    inner = below.get(key) or fragments._at(key)
                    inner._add_items(item, joins or key == "logprobs", waiting)

    def _add_items(
        self, items: list[Any], joins: bool, waiting: list[tuple[Fragments[_Text], Any, bool]]
    ) -> None:
        """Add the strings in a list; objects in it are left in `waiting`."""
        for index, item in enumerate(items):
            of_item = item.__class__
            if of_item is dict:
                place = 0 if joins else _own_index(item, index)
                waiting.append((self._below.get(place) or self._at(place), item, joins))
            elif of_item is self._kind:
                self._texts.setdefault(0 if joins else index, []).append(item)
            elif of_item is list:
                place = 0 if joins else index
                inner = self._below.get(place) or self._at(place)
                inner._add_items(item, joins, waiting)

    def _at(self, place: str | int) -> Fragments[_Text]:
        self._below[place] = below = Fragments(self._kind)
        return below

    def __iter__(self) -> Iterator[list[_Text]]:
        """The strings of each place, in the order in which they came."""
        for place in self._places():
            yield from place._texts.values()

    def names(self) -> Iterator[str]:
        """The names of all places that hold strings, or further places."""
        for place in self._places():
            yield from (name for name in place._texts if isinstance(name, str))
            yield from (name for name in place._below if isinstance(name, str))

    def _places(self) -> Iterator[Fragments[_Text]]:
        """This and all below, each before those below it. Nested too deeply for recursion."""
        waiting: list[Fragments[_Text]] = [self]
        while waiting:
            place = waiting.pop()
            yield place
            waiting.extend(reversed(place._below.values()))


def _own_index(item: dict[str, Any], index: int) -> int:
    """Which choice or tool call an item is a fragment of, as it says itself."""
    own = item.get("index")
    own = own.value if isinstance(own, Leaf) else own
    return own if type(own) is int else index


def fragments_of(text: str) -> Fragments[str] | None:
    """The fragments in `text`; ``None`` where nothing in it can be split."""
    if not (
        text.count("data:") > 1
        or '"token"' in text
        or text[:9].lstrip("\ufeff \r\n\t")[:1] == "["
        or "\0" in text
        or _NEXT_OBJECT.search(text)
    ):
        return None
    fragments = Fragments(str)
    with contextlib.suppress(RecursionError):
        for value in json_values(text):
            fragments.add_document(value)
    return fragments


def note_across(documents: Iterable[Document], find: Find) -> None:
    """Note in the leaves what is secret in several of them joined."""
    fragments = Fragments(StringLeaf)
    with contextlib.suppress(RecursionError):
        for document in documents:
            fragments.add_document(document.tree)
    for leaves in fragments:
        if len(leaves) > 1:
            for index, hit in _spanning([leaf.text for leaf in leaves], find):
                leaves[index].hits.append(hit)


def are_alike(texts: list[str]) -> bool:
    """Whether these are not fragments: the id or the model of all chunks."""
    return texts.count(texts[0]) == len(texts)


def _spanning(texts: list[str], find: Find) -> Iterator[tuple[int, Hit]]:
    """What is secret in the joined texts: its part in each of them, by index.

    The placeholder goes where the secret begins.
    """
    if are_alike(texts):
        return
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
