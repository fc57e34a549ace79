"""YAML 1.1 from the parser's events: no node tree, and no tag is ever executed.

The result agrees with ``yaml.CSafeLoader`` for everything JSON can express. It differs on
purpose where a cassette would otherwise be unreadable: ``!!python/...`` tags and unknown tags
are looked through, timestamps stay text, an anchor may be defined anew, and the ``=`` and
``<<`` scalars are text outside of their special places.
"""

from __future__ import annotations

import base64
import re
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["MAX_ALIASED", "MAX_DEPTH", "MAX_DIGITS", "YAMLProblem", "load_all"]

MAX_DEPTH = 200
"""Levels of nesting."""

MAX_ALIASED = 16 * 1024 * 1024
"""Characters that all aliases of one document may stand for."""

MAX_DIGITS = 2000
"""Characters of one integer: Python refuses to print longer ones."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"
_SHORT = 64


class YAMLProblem(Exception):
    """`line` and `column` count from 1; both are 0 where the place is not known."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column

    @property
    def place(self) -> str:
        return f"line {self.line}, column {self.column}" if self.line else ""

    @property
    def text(self) -> str:
        return f"not valid YAML: {self.reason}"


class _Merge:
    """Stands for the key ``<<``."""


_MERGE = _Merge()
_NO_KEY = _Merge()


def load_all(text: str) -> Iterator[Any]:
    """The documents of a stream, one after the other.

    Raises:
        YAMLProblem: whatever is wrong with the text.
    """
    import yaml

    loader_type: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = None
    try:
        loader = loader_type(text)
        if type(loader.peek_event()) is not yaml.events.StreamStartEvent:
            # `yaml` was imported anew (pytester does that): libyaml still makes the events of
            # the module that it knew first.
            loader.dispose()
            loader = yaml.SafeLoader(text)
        yield from _documents(loader.get_event, yaml)
    except yaml.reader.ReaderError as error:
        found = _UNPRINTABLE.search(text)
        if not found:
            raise YAMLProblem(str(error.reason)) from None
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        reason = f"the control character U+{ord(found[0]):04X} is not allowed in YAML"
        raise YAMLProblem(reason, line, column) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        if "maximum nesting depth" in reason:
            reason = f"nested deeper than {MAX_DEPTH} levels"
        raise YAMLProblem(
            reason or "not YAML", mark.line + 1 if mark else 0, mark.column + 1 if mark else 0
        ) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise YAMLProblem(" ".join(str(error).split())) from None
    finally:
        if loader is not None:
            loader.dispose()


def _problem(reason: str, event: Any) -> YAMLProblem:
    return YAMLProblem(reason, event.start_mark.line + 1, event.start_mark.column + 1)


def _documents(get: Callable[[], Any], yaml: Any) -> Iterator[Any]:
    events = yaml.events
    scalar, alias = events.ScalarEvent, events.AliasEvent
    map_start, seq_start = events.MappingStartEvent, events.SequenceStartEvent
    map_end, seq_end = events.MappingEndEvent, events.SequenceEndEvent
    doc_end, stream_end = events.DocumentEndEvent, events.StreamEndEvent
    scalars = _Scalars(yaml)
    plain, plain_get = scalars.plain, scalars.known.get
    unknown = object()

    # One frame is (container, append, key, start event, `aliased` at its start).
    stack: list[tuple[Any, Any, Any, Any, int]] = []
    roots: list[Any] = []
    container: Any = roots
    append: Any = roots.append  # None inside a mapping
    key: Any = _NO_KEY
    start: Any = None
    before = 0
    anchors: dict[str, tuple[Any, int]] = {}
    open_anchors: set[str] = set()
    aliased = 0

    while True:
        event = get()
        kind = event.__class__
        if kind is scalar:
            value = event.value
            if event.implicit[0]:
                text = value
                value = plain_get(text, unknown)
                if value is unknown:
                    value = plain(text, event)
                if value is _MERGE and (append is not None or key is not _NO_KEY):
                    value = text
            elif event.tag is not None:
                value = scalars.tagged(value, event)
            if event.anchor is not None:
                anchors[event.anchor] = value, len(event.value)
        elif kind is map_start or kind is seq_start:
            if len(stack) >= MAX_DEPTH:
                raise _problem(f"nested deeper than {MAX_DEPTH} levels", event)
            if event.anchor is not None:
                open_anchors.add(event.anchor)
                anchors.pop(event.anchor, None)
            stack.append((container, append, key, start, before))
            start, before, key = event, aliased, _NO_KEY
            if kind is map_start:
                container, append = {}, None
            else:
                container = []
                append = container.append
            continue
        elif kind is map_end or kind is seq_end:
            value = container
            if kind is map_end and _MERGE in value:
                value = _merged(value, event)
            if start.tag is not None:
                value = _look_through(start.tag, value)
            if start.anchor is not None:
                size = event.end_mark.index - start.start_mark.index + aliased - before
                anchors[start.anchor] = value, size
                open_anchors.discard(start.anchor)
            opened = start
            container, append, key, start, before = stack.pop()
            if append is None and key is _NO_KEY and isinstance(value, (dict, list)):
                raise _problem("a mapping key must be a plain value", opened)
        elif kind is alias:
            name = event.anchor
            if name not in anchors:
                if name in open_anchors:
                    raise _problem(f"the alias *{name} refers to itself", event)
                raise _problem(f"the alias *{name} has no anchor", event)
            value, size = anchors[name]
            aliased += size
            if aliased > MAX_ALIASED:
                mib = MAX_ALIASED >> 20
                raise _problem(f"aliases expand to more than {mib} MiB", event)
            if append is None and key is _NO_KEY and isinstance(value, (dict, list)):
                raise _problem("a mapping key must be a plain value", event)
        elif kind is doc_end:
            document = roots.pop()
            anchors.clear()
            aliased = 0
            yield document
            continue
        elif kind is stream_end:
            return
        else:
            continue

        if append is not None:
            append(value)
        elif key is _NO_KEY:
            key = value
        elif key is _MERGE:
            aliased += len(value) if isinstance(value, (dict, list)) else 0
            container.setdefault(_MERGE, []).append(value)
            key = _NO_KEY
        else:
            container[key] = value
            key = _NO_KEY


def _merged(mapping: dict[Any, Any], event: Any) -> dict[Any, Any]:
    """`mapping` with what its ``<<`` keys name; its own keys win, then the first named."""
    result: dict[Any, Any] = {}
    for value in reversed(mapping.pop(_MERGE)):
        for part in reversed(value) if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise _problem("the key << takes a mapping or a list of mappings", event)
            result.update(part)
    result.update(mapping)
    return result


def _look_through(tag: str, value: Any) -> Any:
    """The plain value inside a ``!!python/...`` call, as that of a multidict key; no call is made.

    Anything else is given as it stands.
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


class _Scalars:
    """Untagged and tagged scalars, by the rules of PyYAML's own resolver and constructor."""

    def __init__(self, yaml: Any) -> None:
        self._resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = (
            yaml.SafeLoader.yaml_implicit_resolvers
        )
        self._node = yaml.ScalarNode
        make = yaml.constructor.SafeConstructor()
        self._makers: dict[str, Callable[[Any], Any]] = {
            "null": lambda node: None,
            "bool": make.construct_yaml_bool,
            "int": make.construct_yaml_int,
            "float": make.construct_yaml_float,
        }
        self.known: dict[str, Any] = {}

    def plain(self, text: str, event: Any) -> Any:
        value: Any = text
        for tag, pattern in self._resolvers.get(text[:1], ()):
            if pattern.match(text):
                name = tag[len(_TAG) :]
                if name in self._makers:
                    value = self._make(name, text, event)
                elif name == "merge":
                    value = _MERGE
                break
        if len(text) <= _SHORT:
            self.known[text] = value
        return value

    def tagged(self, text: str, event: Any) -> Any:
        name = event.tag.removeprefix(_TAG).removeprefix("python/")
        if name in ("binary", "bytes"):
            try:
                return base64.decodebytes(text.encode("ascii"))
            except (Base64Error, UnicodeEncodeError):
                raise _problem("this !!binary value is not base64", event) from None
        name = {"none": "null", "long": "int"}.get(name, name)
        if name in self._makers:
            return self._make(name, text, event)
        return text

    def _make(self, name: str, text: str, event: Any) -> Any:
        if name == "int" and len(text) > MAX_DIGITS:
            raise _problem(f"an integer of more than {MAX_DIGITS} digits", event)
        try:
            return self._makers[name](self._node(_TAG + name, text))
        except (ValueError, KeyError, IndexError, OverflowError):
            shown = text if len(text) <= 40 else text[:37] + "..."
            raise _problem(f"{shown!r} is not a valid !!{name} value", event) from None
