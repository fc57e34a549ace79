"""The lines of a recording at which findings are.

Nothing is counted while recordings are read and checked: a file that has findings to show is read
a second time. What is in no line that can be named for sure gets the line of what it is part of.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.sse import decode_sse
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.files import blocks_of_path, join
from pytest_chatapi.reading.json_text import JSONProblem, loads
from pytest_chatapi.reading.registry import format_of_text, items_of
from pytest_chatapi.reading.shapes import is_chunk
from pytest_chatapi.reading.yaml_events import YAMLProblem, load_all

__all__ = ["with_lines"]

_SCALAR = (str, bytes, int, float, bool, type(None))
_DEEPEST = 4
"""Levels of a document below which no format has its exchanges."""


def with_lines(
    findings: Sequence[Finding],
    path: str | os.PathLike[str],
    *,
    notes: bool = True,
    members: bool = True,
) -> list[Finding]:
    """The findings with the lines at which they are.

    Args:
        findings: of exchanges that were read from the file at `path`.
        notes: of notes too.
        members: look for the line of the member; otherwise for that of its exchange, as where
            a fault has changed what is in the file.
    """
    lines: dict[int, int] = {}
    wanted = [
        at
        for at, finding in enumerate(findings)
        if (notes or finding.level != "note") and not _has_line(finding)
    ]
    if not wanted:
        return list(findings)
    try:
        text = join(blocks_of_path(os.fspath(path), ""), "", os.fspath(path)).decode()
        file = _File(text)
        for at in wanted:
            lines[at] = file.line(findings[at], members=members)
    except (ReadError, OSError, ValueError, RecursionError, MemoryError):
        pass  # as for stdin, or a file that has changed: a finding needs no line
    return [_at(finding, lines.get(at, 0)) for at, finding in enumerate(findings)]


def _has_line(finding: Finding) -> bool:
    """Whether the reader knew the line, as in JSON Lines; a lone stream has lines of its own."""
    source = finding.source
    is_stream = finding.chunk is not None and source is not None and source.index == 0
    return source is None or (source.line != 0 and not is_stream)


def _at(finding: Finding, line: int) -> Finding:
    if not line or finding.source is None:
        return finding
    return finding.at(replace(finding.source, line=line))


class _File:
    def __init__(self, text: str) -> None:
        self._text = text
        self._items: list[Node | None] | None = None
        self._tables: list[int] = []
        self._chunks: list[int] = []
        head = text[:65536].encode()
        format = format_of_text(head, True)
        name = format.name if format is not None else ""
        if name == "SSE body":
            self._chunks = _events(text)
        elif format is not None and ".toml" in format.suffixes:
            self._tables = [_line_of(text, match.start()) for match in _TABLE.finditer(text)]
        elif format is not None and format.values is not None:
            self._read_values(text)

    def _read_values(self, text: str) -> None:
        if text.lstrip()[:1] in ("{", "["):
            try:
                document = loads(text)
            except JSONProblem:
                self._chunks = _chunk_lines(text)
                return
            self._items = _items(document, JSONNode(text, 0, 0))
        else:
            self._items = _blocks(text) or _yaml_items(text)

    def line(self, finding: Finding, *, members: bool) -> int:
        """The line of a finding, from 1; 0 if it is not known."""
        source, chunk = finding.source, finding.chunk
        if source is None:
            return 0
        if self._tables:
            return self._tables[source.index] if source.index < len(self._tables) else 0
        if self._items is None:
            has_line = members and chunk is not None and chunk < len(self._chunks)
            return self._chunks[chunk] if has_line and chunk is not None else 0
        item = self._items[source.index] if source.index < len(self._items) else None
        if item is None:
            return 0
        return (_line_in(item, finding) if members else 0) or item.line


_TABLE = re.compile(r"(?m)^\[\[(?:http_)?interactions\]\]")


def _line_of(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


# -- a value in a text -------------------------------------------------------------------------


class Node(Protocol):
    """A value of a text that is not parsed further than needed."""

    @property
    def line(self) -> int:
        """Where it begins, from 1."""

    def members(self) -> Iterator[tuple[str, Node]]:
        """Those of an object."""

    def items(self) -> Iterator[Node]:
        """Those of a list."""

    @property
    def value(self) -> JSON:
        """A text; anything else where it is none."""

    def lines_of_text(self, starts: Sequence[int]) -> list[int]:
        """The lines of what begins at these characters of a text; empty if they are not known."""


class JSONNode:
    """A value in JSON.

    Args:
        text: valid JSON.
        at: where the value begins, or white space before it.
        above: lines of the file above `text`.
    """

    __slots__ = ("_above", "_at", "_text")

    def __init__(self, text: str, at: int, above: int) -> None:
        self._text, self._above = text, above
        self._at = _skip(text, at)

    @property
    def line(self) -> int:
        return self._above + _line_of(self._text, self._at)

    def members(self) -> Iterator[tuple[str, Node]]:
        text, at = self._text, self._at
        if text[at] != "{":
            return
        at = _skip(text, at + 1)
        while text[at] == '"':
            name, at = json.decoder.scanstring(text, at + 1)  # type: ignore[attr-defined]
            at = _skip(text, _skip(text, at) + 1)
            yield name, JSONNode(text, at, self._above)
            at = _skip(text, _end(text, at))
            if text[at] == ",":
                at = _skip(text, at + 1)

    def items(self) -> Iterator[Node]:
        text, at = self._text, self._at
        if text[at] != "[":
            return
        at = _skip(text, at + 1)
        while text[at] != "]":
            yield JSONNode(text, at, self._above)
            at = _skip(text, _end(text, at))
            if text[at] == ",":
                at = _skip(text, at + 1)

    @property
    def value(self) -> JSON:
        if self._text[self._at] != '"':
            return None
        return _DECODER.raw_decode(self._text, self._at)[0]

    def lines_of_text(self, starts: Sequence[int]) -> list[int]:
        return [self.line] * len(starts)  # no text in JSON has more than one line


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


class YAMLNode:
    """A value in YAML: a node of PyYAML's.

    Args:
        text: that the node is in.
        above: lines of the file above `text`.
    """

    __slots__ = ("_above", "_node", "_text")

    def __init__(self, text: str, node: Any, above: int) -> None:
        self._text, self._node, self._above = text, node, above

    @property
    def line(self) -> int:
        line: int = self._node.start_mark.line
        return self._above + line + 1

    def members(self) -> Iterator[tuple[str, Node]]:
        # PyYAML may be imported twice, so its classes are not compared.
        if isinstance(self._node.value, list):
            for member in self._node.value:
                if isinstance(member, tuple):
                    key, value = member
                    yield str(key.value), _Member(self._text, value, self._above, key)

    def items(self) -> Iterator[Node]:
        if isinstance(self._node.value, list):
            for item in self._node.value:
                if not isinstance(item, tuple):
                    yield YAMLNode(self._text, item, self._above)

    @property
    def value(self) -> JSON:
        is_text = isinstance(self._node.value, str) and "binary" not in self._node.tag
        return self._node.value if is_text else None

    def lines_of_text(self, starts: Sequence[int]) -> list[int]:
        node = self._node
        value, style, first = node.value, node.style, self._above + node.start_mark.line + 1
        if style == "|":  # as it is, below its mark
            return [first + 1 + value.count("\n", 0, start) for start in starts]
        raw = self._text[node.start_mark.index : node.end_mark.index]
        begin = (_IN_QUOTES if style == '"' else _FOLDED).finditer(raw)
        lines = [first + raw.count("\n", 0, match.end()) for match in begin]
        # A line of the value that begins like an event is found in the same order in the file.
        known = [match.start() for match in _DATA.finditer(value)]
        if len(lines) != len(known):
            return []
        line_of = dict(zip(known, lines, strict=True))
        return [line_of.get(start, 0) for start in starts]


class _Member(YAMLNode):
    """A value with its key, on whose line it begins for a reader."""

    __slots__ = ("_key",)

    def __init__(self, text: str, node: Any, above: int, key: Any) -> None:
        super().__init__(text, node, above)
        self._key = key

    @property
    def line(self) -> int:
        line: int = self._key.start_mark.line
        return self._above + line + 1


_DATA = re.compile(r"(?m)^data:")
_IN_QUOTES = re.compile(r'(?:\A"|(?<!\\)(?:\\\\)*\\n)data:')
_FOLDED = re.compile(r"(?:\A['\"]?|\n[ \t]*\n[ \t]*|\A>[^\n]*\n[ \t]*)data:")


# -- the exchanges of a file -------------------------------------------------------------------

_LIST = re.compile(r"(?m)^(?:http_)?interactions:[ \t]*\n(?=- )")
_ITEM = re.compile(r"\n(?=- )")
_END = re.compile(r"\n(?=[^ \n\r-])")


def _blocks(text: str) -> list[Node | None] | None:
    """The interactions of vcrpy's own layout, of which none is parsed before it is looked into."""
    head = _LIST.search(text)
    if head is None or "\n---" in text or ("*" in text and re.search(r"[:-] \*\w+\n", text)):
        return None
    at = head.end()
    end = _END.search(text, at)
    whole = text[: end.start() + 1] if end else text
    above = text.count("\n", 0, at)
    nodes: list[Node | None] = []
    for start, stop in itertools.pairwise(
        [at, *(match.end() for match in _ITEM.finditer(whole, at)), len(whole)]
    ):
        block = whole[start:stop]
        nodes.append(_Block(block, above))
        above += block.count("\n")
    return nodes


class _Block:
    """One interaction, parsed when it is looked into."""

    def __init__(self, text: str, above: int) -> None:
        self._text, self.line = text, above + 1
        self._above = above
        self._node: Node | None = None

    def members(self) -> Iterator[tuple[str, Node]]:
        if self._node is None:
            (self._node,) = _composed(self._text, self._above)[0].items()
        return self._node.members()

    def items(self) -> Iterator[Node]:
        return iter(())

    value = None

    def lines_of_text(self, starts: Sequence[int]) -> list[int]:
        return []


def _composed(text: str, above: int = 0) -> list[YAMLNode]:
    """The documents of a YAML text, as far as it can be read."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [YAMLNode(text, node, above) for node in yaml.compose_all(text, Loader=loader)]
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _yaml_items(text: str) -> list[Node | None]:
    try:
        values = list(load_all(text))
    except YAMLProblem as error:
        raise ValueError(error.reason) from None
    items: list[Node | None] = []
    for value, node in zip(values, _composed(text), strict=True):
        items += _items(value, node, bare=False)
    return items


def _items(document: JSON, root: Node, *, bare: bool = True) -> list[Node | None]:
    """The exchanges of a document; ``None`` for one that is no verbatim part of it."""
    recognised = items_of(document, bare=bare)
    if recognised is None:
        return []
    wanted = {id(item) for item in recognised[1] if not isinstance(item, _SCALAR)}
    nodes: dict[int, Node] = {}
    _find(document, root, wanted, nodes, _DEEPEST)
    return [nodes.get(id(item)) for item in recognised[1]]


def _find(value: JSON, node: Node, wanted: set[int], found: dict[int, Node], depth: int) -> None:
    if id(value) in wanted:
        found.setdefault(id(value), node)
    elif depth and isinstance(value, dict):
        for name, member in node.members():
            if isinstance(value.get(name), dict | list):
                _find(value[name], member, wanted, found, depth - 1)
    elif depth and isinstance(value, list):
        for item, inner in zip(value, node.items(), strict=False):
            _find(item, inner, wanted, found, depth - 1)


def _events(text: str) -> list[int]:
    """The line of each event of a stream, without those whose number is not sure."""
    return [_line_of(text, start) for start in _event_starts(text)]


def _event_starts(text: str) -> list[int]:
    """The character at which each event of a stream begins; empty if that is not sure."""
    known = [match.start() for match in _DATA.finditer(text)]
    starts, at = [], 0
    for data, kind, oddity in decode_sse([text.encode("utf-8", "surrogatepass")]):
        if oddity or kind == b"error":
            break  # from here on, lines and events may differ
        if at >= len(known):
            return []
        starts.append(known[at])
        at += data.count(b"\n") + 1
    return starts


def _chunk_lines(text: str) -> list[int]:
    """The line of each chunk, where a file has one a line; else empty."""
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() not in ("", "[DONE]")
    ]
    try:
        return [number for number, _ in lines] if is_chunk(loads(lines[0][1])) else []
    except (JSONProblem, IndexError):
        return []


# -- the member of an exchange -----------------------------------------------------------------

_BODIES = (
    ("parsed_body", "body", "content", "postData", "json", "data"),
    ("string", "content", "text"),
)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _line_in(item: Node, finding: Finding) -> int:
    """The line of what a finding is about, or of the nearest part around it."""
    side = "request" if finding.code[0] == "Q" else "response"
    part = _member(item, side) or item
    if finding.path.startswith("headers."):
        headers = _member(part, "headers") or part
        name = finding.path.removeprefix("headers.").lower()
        header = next((node for key, node in headers.members() if key.lower() == name), headers)
        return header.line
    body = part
    if part is not item or _member(item, "body"):
        for names in _BODIES:
            body = next((node for name in names if (node := _member(body, name))), body)
    steps = _STEP.findall(finding.path)
    text = body.value
    if finding.chunk is not None:
        if not isinstance(text, str):
            chunks = list(body.items())
            is_known = finding.chunk < len(chunks)
            return _inside(chunks[finding.chunk], steps).line if is_known else body.line
        starts = _event_starts(text)
        lines = body.lines_of_text(starts) if starts else []
        return lines[finding.chunk] if finding.chunk < len(lines) else body.line
    if isinstance(text, str) and "\n" in text.strip() and text.lstrip()[:1] in ("{", "["):
        try:
            loads(text)
        except JSONProblem:
            return body.line
        inner = _inside(JSONNode(text, 0, 0), steps)
        above = body.lines_of_text([0])
        if above and above[0] > body.line:  # a block, whose lines are those of the file
            return above[0] + inner.line - 1
        return body.line
    return _inside(body, steps).line


def _inside(node: Node, steps: Sequence[tuple[str, str]]) -> Node:
    """The value at a path, as far as there is one."""
    for name, index in steps:
        inner = (
            _member(node, name)
            if name
            else next(itertools.islice(node.items(), int(index), None), None)
        )
        if inner is None:
            break
        node = inner
    return node


def _member(node: Node, name: str) -> Node | None:
    return next((value for key, value in node.members() if key == name), None)
