"""YAML 1.1 from the parser's events: no node tree, and no tag is ever executed.

The result agrees with ``yaml.CSafeLoader`` for everything JSON can express. It differs on
purpose where a cassette would otherwise be unreadable: of ``!!python/...`` and unknown tags only
the value below them is read, timestamps stay text, an anchor may be defined again, and the scalars
``=`` and ``<<`` are text except where YAML gives them a meaning.
"""

from __future__ import annotations

import base64
import re
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.reading.places import TextProblem, line_and_column

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

__all__ = ["MAX_ALIASED", "MAX_DEPTH", "MAX_DIGITS", "YAMLProblem", "load_all"]

MAX_DEPTH = 200
"""Levels of nesting."""

MAX_ALIASED = 16 * 1024 * 1024
"""Characters that all aliases of one document may stand for, with the members of all merges."""

MAX_DIGITS = 2000
"""Characters of one integer, since Python refuses to print long ones."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"
_SHORT = 64
"""Characters of a scalar up to which its value is remembered."""

_REMEMBERED = 4096
"""Scalars that are remembered, from one text to the next."""


class YAMLProblem(TextProblem):
    """What is wrong with a YAML text, and where."""


_MERGE = object()
"""The value of the plain scalar ``<<``, which is a merge only as a key."""

_MERGE_TEXT = "<<"
_UNKNOWN = object()
_CONTAINERS = frozenset({dict, list})


class _Event(Protocol):
    """Any event of PyYAML's: what is read of it depends on its class."""

    anchor: str | None
    tag: str | None
    value: str
    implicit: tuple[bool, bool]
    start_mark: Any
    end_mark: Any


_GetEvent = Callable[[], _Event]


def load_all(text: str) -> Iterator[JSON]:
    """The documents of a stream, one after the other; ``!!binary`` scalars become ``bytes``.

    Raises:
        YAMLProblem: whatever is wrong with the text.
    """
    import yaml

    loader_type: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = None
    try:
        loader = loader_type(text)
        if type(loader.peek_event()) is not yaml.events.StreamStartEvent:
            # `yaml` was imported a second time, as pytester does: libyaml still makes events of
            # the first module's classes.
            loader.dispose()
            loader = yaml.SafeLoader(text)
        yield from _Composer(loader.get_event, yaml).documents()
    except yaml.reader.ReaderError as error:
        raise _unprintable(text) or YAMLProblem(str(error.reason)) from None
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise YAMLProblem(" ".join(str(error).split())) from None
    finally:
        if loader is not None:
            loader.dispose()


def _unprintable(text: str) -> YAMLProblem | None:
    character = _UNPRINTABLE.search(text)
    if character is None:
        return None
    reason = f"the control character U+{ord(character[0]):04X} is not allowed in YAML"
    return YAMLProblem(reason, *line_and_column(text, character.start()))


def _marked(error: MarkedYAMLError) -> YAMLProblem:
    reason = ", ".join(part for part in (error.context, error.problem) if part) or "not YAML"
    if "maximum nesting depth" in reason:
        reason = f"nested deeper than {MAX_DEPTH} levels"
    mark = error.problem_mark or error.context_mark
    return YAMLProblem(reason, mark.line + 1, mark.column + 1) if mark else YAMLProblem(reason)


def _problem(reason: str, event: _Event) -> YAMLProblem:
    return YAMLProblem(reason, event.start_mark.line + 1, event.start_mark.column + 1)


class _Composer:
    """Values out of the parser's events.

    `_mapping` and `_sequence` call each other, one call for each level of nesting.
    """

    def __init__(self, get: _GetEvent, yaml: ModuleType) -> None:
        events = yaml.events
        self._get = get
        self._stream_end = events.StreamEndEvent
        self._map_end, self._seq_end = events.MappingEndEvent, events.SequenceEndEvent
        self._build: dict[type, Callable[[_Event, int], JSON]] = {
            events.ScalarEvent: self._scalar,
            events.AliasEvent: self._alias,
            events.MappingStartEvent: self._mapping,
            events.SequenceStartEvent: self._sequence,
        }
        self._scalars = _scalars(yaml)
        self._known = self._scalars.known.get
        self._anchors: dict[str, tuple[JSON, int]] = {}  # with the characters behind each
        self._open_anchors: set[str] = set()
        self._aliased = 0

    def documents(self) -> Iterator[JSON]:
        """The value of each document."""
        while (event := self._get()).__class__ is not self._stream_end:
            build = self._build.get(event.__class__)
            if build is not None:
                value = build(event, 0)
                self._get()  # the end of the document, which is damaged if other text is there
                self._anchors.clear()
                self._aliased = 0
                yield _MERGE_TEXT if value is _MERGE else value

    def _scalar(self, event: _Event, depth: int) -> JSON:
        value = event.value
        if event.implicit[0]:
            text = value
            value = self._known(text, _UNKNOWN)
            if value is _UNKNOWN:
                value = self._scalars.plain(text, event)
        elif event.tag is not None:
            value = self._scalars.tagged(value, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, len(event.value)
        return value

    def _alias(self, event: _Event, depth: int) -> JSON:
        name = event.anchor
        if name not in self._anchors:
            what = "refers to itself" if name in self._open_anchors else "has no anchor"
            raise _problem(f"the alias *{name} {what}", event)
        value, size = self._anchors[name]
        self._expand(size, event)
        return value

    def _expand(self, size: int, event: _Event) -> None:
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise _problem(f"aliases and merges expand to more than {MAX_ALIASED >> 20} MiB", event)

    def _mapping(self, start: _Event, depth: int) -> JSON:
        get, build, end = self._get, self._build, self._map_end
        before, depth = self._aliased, depth + 1
        if depth > MAX_DEPTH or start.anchor is not None:
            self._open(start, depth)
        mapping: dict[JSON, JSON] = {}
        merged: list[JSON] = []
        while (event := get()).__class__ is not end:
            key = build[event.__class__](event, depth)
            if key.__class__ in _CONTAINERS:
                raise _problem("a mapping key must be a plain value", event)
            item = get()
            value = build[item.__class__](item, depth)
            if value is _MERGE:
                value = _MERGE_TEXT
            if key is _MERGE:
                # Counts too, since merges in merges copy the same members again and again.
                self._expand(len(value) if value.__class__ in _CONTAINERS else 0, item)
                merged.append(value)
            else:
                mapping[key] = value
        if merged:
            mapping = _merged(mapping, merged, event)
        if start.tag is None and start.anchor is None:
            return mapping
        return self._close(mapping, start, event, before)

    def _sequence(self, start: _Event, depth: int) -> JSON:
        get, build, end = self._get, self._build, self._seq_end
        before, depth = self._aliased, depth + 1
        if depth > MAX_DEPTH or start.anchor is not None:
            self._open(start, depth)
        items: list[JSON] = []
        while (event := get()).__class__ is not end:
            value = build[event.__class__](event, depth)
            items.append(_MERGE_TEXT if value is _MERGE else value)
        if start.tag is None and start.anchor is None:
            return items
        return self._close(items, start, event, before)

    def _open(self, start: _Event, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _problem(f"nested deeper than {MAX_DEPTH} levels", start)
        if start.anchor is not None:
            self._open_anchors.add(start.anchor)
            self._anchors.pop(start.anchor, None)

    def _close(self, value: JSON, start: _Event, end: _Event, before: int) -> JSON:
        if start.tag is not None:
            value = _look_through(start.tag, value)
        if start.anchor is not None:
            size = end.end_mark.index - start.start_mark.index + self._aliased - before
            self._anchors[start.anchor] = value, size
            self._open_anchors.discard(start.anchor)
        return value


def _merged(mapping: dict[JSON, JSON], merged: list[JSON], end: _Event) -> dict[JSON, JSON]:
    """`mapping` with what its ``<<`` keys name; its own keys win, then the first one named."""
    result: dict[JSON, JSON] = {}
    for value in reversed(merged):
        for part in reversed(value) if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise _problem("the key << takes a mapping or a list of mappings", end)
            result.update(part)
    result.update(mapping)
    return result


def _look_through(tag: str, value: JSON) -> JSON:
    """The one argument of a ``!!python/object/...`` call, such as a multidict's key, else `value`.

    No call is made.
    """
    name = tag.removeprefix(_TAG)
    if not name.startswith("python/object/"):
        return value
    inner = value
    if isinstance(inner, dict):
        inner = inner.get("args")
    if isinstance(inner, list) and len(inner) == 1 and not isinstance(inner[0], (dict, list)):
        return inner[0]
    return value


@lru_cache(maxsize=2)
def _scalars(yaml: ModuleType) -> _Scalars:
    """One for all texts: a cassette is read an interaction at a time, with the same few keys."""
    return _Scalars(yaml)


class _Scalars:
    """Untagged and tagged scalars, by the rules of PyYAML's own resolver and constructor."""

    def __init__(self, yaml: ModuleType) -> None:
        self._resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = (
            yaml.SafeLoader.yaml_implicit_resolvers
        )
        self._node = yaml.ScalarNode
        make = yaml.constructor.SafeConstructor()
        self._makers: dict[str, Callable[[object], JSON]] = {
            "null": lambda node: None,
            "bool": make.construct_yaml_bool,
            "int": make.construct_yaml_int,
            "float": make.construct_yaml_float,
        }
        self.known: dict[str, JSON] = {}

    def plain(self, text: str, event: _Event) -> JSON:
        """The value of a scalar without a tag or quotes."""
        value: JSON = text
        for tag, pattern in self._resolvers.get(text[:1], ()):
            if pattern.match(text):
                name = tag[len(_TAG) :]
                if name in self._makers:
                    value = self._make(name, text, event)
                elif name == "merge":
                    value = _MERGE
                break
        if len(text) <= _SHORT:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[text] = value
        return value

    def tagged(self, text: str, event: _Event) -> JSON:
        """The value of a scalar with a tag; its text if the tag is unknown."""
        name = (event.tag or "").removeprefix(_TAG).removeprefix("python/")
        if name in ("binary", "bytes", "!binary"):  # Ruby writes `!binary`
            try:
                return base64.decodebytes(text.encode("ascii"))
            except (Base64Error, UnicodeEncodeError):
                raise _problem("this !!binary value is not base64", event) from None
        name = {"none": "null", "long": "int"}.get(name, name)
        if name in self._makers:
            return self._make(name, text, event)
        return text

    def _make(self, name: str, text: str, event: _Event) -> JSON:
        if name == "int" and len(text) > MAX_DIGITS:
            raise _problem(f"an integer of more than {MAX_DIGITS} digits", event)
        try:
            return self._makers[name](self._node(_TAG + name, text))
        except (ValueError, KeyError, IndexError, OverflowError):
            shown = text if len(text) <= 40 else text[:37] + "..."
            raise _problem(f"{shown!r} is not a valid !!{name} value", event) from None
