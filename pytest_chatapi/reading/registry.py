"""All formats in their order, and which of them a text or a value is in.

A format is a module in ``formats/`` with a ``FORMAT``; nothing else has to name it.
"""

from __future__ import annotations

import functools
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading import formats
from pytest_chatapi.reading.format import (
    NOWHERE,
    Format,
    Origin,
    Side,
    TextFormat,
    ValueFormat,
)
from pytest_chatapi.reading.shapes import are_spans

__all__ = [
    "CONFLICT",
    "NotARecording",
    "NotAnExchange",
    "body_of",
    "conflict",
    "damaged",
    "exchange_of",
    "exchanges_of",
    "format_of",
    "format_of_text",
    "items_of",
    "not_a_recording",
    "registered",
]

_MARKER = b"<<<<<<< "
CONFLICT = "a merge conflict is not resolved (<<<<<<<)"
_COMMENTS = re.compile(rb"\A(?:\s*#[^\n]*\n)*\s*")


class NotARecording(ReadError):
    """The file is in none of the known formats. Callers skip it where they read a folder.

    Attributes:
        kind: for counting: ``in no known format``, ``empty``, or the tool that wrote it (``of
            LangSmith``).
    """

    def __init__(
        self, file: str, place: str, reason: str, kind: str = "in no known format"
    ) -> None:
        super().__init__(file, place, reason)
        self.kind = kind

    def __reduce__(self) -> tuple[type[NotARecording], tuple[str, ...]]:
        return (type(self), (self.file, self.place, self.reason, self.kind))


class NotAnExchange(ValueError):
    """A value in which no exchange is recorded."""


class Registered(NamedTuple):
    """The formats, by precedence.

    Attributes:
        marks: those of all of them.
    """

    texts: list[TextFormat]
    values: list[ValueFormat]
    marks: frozenset[str]

    def every(self) -> list[Format]:
        return [*self.texts, *self.values]


@functools.cache
def registered() -> Registered:
    """The ``FORMAT`` of each module in ``formats/``."""
    every: list[Format] = [
        import_module(f"{formats.__name__}.{module.name}").FORMAT
        for module in pkgutil.iter_modules(formats.__path__)
    ]
    every.sort(key=lambda format: format.precedence)
    values = [format for format in every if isinstance(format, ValueFormat)]
    return Registered(
        [format for format in every if isinstance(format, TextFormat)],
        values,
        frozenset().union(*(format.marks for format in values)),
    )


class _Possible(NamedTuple):
    """The formats that an object may be in, by the names in it.

    Attributes:
        matching: those that tell an exchange, and what tells it.
        bodies: what finds the body of a part.
    """

    values: list[ValueFormat]
    matching: list[tuple[ValueFormat, Callable[[JSONObject], bool]]]
    bodies: list[Callable[[JSONObject, Side], JSON]]


_MOST_NAMES = 100
"""Names up to which is remembered what they leave: the rows of a log have few sets of them."""


def _left_by(names: tuple[JSON, ...]) -> _Possible:
    if len(names) > _MOST_NAMES:
        return _with(registered().marks.intersection(names))
    return _remembered(names)


@functools.lru_cache(maxsize=256)
def _remembered(names: tuple[JSON, ...]) -> _Possible:
    return _with(registered().marks.intersection(names))


@functools.lru_cache(maxsize=256)  # where each row has other names, the marks among them are few
def _with(marks: frozenset[str]) -> _Possible:
    values = [
        format
        for format in registered().values
        if not format.marks or not format.marks.isdisjoint(marks)
    ]
    return _Possible(
        values,
        [(format, format.matches) for format in values if format.matches],
        [format.body for format in values if format.body],
    )


def format_of_text(head: bytes, complete: bool) -> TextFormat | None:
    """The format of a text that begins with `head`; ``None`` if that takes more of it.

    Args:
        complete: there is no more of it, or enough; then the result is a format.
    """
    text = _COMMENTS.sub(b"", head, count=1)
    for format in registered().texts:
        begins = format.begins(text, complete)
        if begins is None:
            return None
        if begins:
            return format
    return None


def items_of(document: JSON, *, bare: bool) -> tuple[ValueFormat | None, list[JSON]] | None:
    """The parts of a document that are one exchange each, and the format of the document.

    ``None`` for a document in no known format. A plain list of exchanges has no format.

    Args:
        bare: also look for response bodies without an exchange around them.
    """
    for format in _left_by(_names(document) if isinstance(document, dict) else ()).values:
        if format.bare and not bare:
            continue
        items = format.items(document) if format.items else None
        if items is None and format.matches and isinstance(document, dict):
            items = [document] if format.matches(document) else None
        if items is not None:
            return format, items
    if isinstance(document, list) and any(format_of(item) for item in document):
        return None, document
    return None


def format_of(value: JSON) -> ValueFormat | None:
    """The format in which `value` is one exchange, if there is one."""
    if isinstance(value, dict):
        for format, matches in _left_by(_names(value)).matching:
            if matches(value):
                return format
    return None


def _names(value: JSONObject) -> tuple[JSON, ...]:
    """Those of the members of an object, and of its request and response."""
    request, response = value.get("request"), value.get("response")
    return (
        *value,
        *(request if isinstance(request, dict) else ()),
        *(response if isinstance(response, dict) else ()),
    )


def exchange_of(
    value: JSON, origin: Origin = NOWHERE, document_format: ValueFormat | None = None
) -> Exchange:
    """The exchange that one interaction, entry or line of a recording is.

    Args:
        value: as it was parsed.
        document_format: of the document that the value is part of.

    Raises:
        NotAnExchange: it is something else.
        BodyProblem: its body is damaged. Both are a `ValueError` with the reason in one line.
    """
    format = document_format if document_format and document_format.exchange else format_of(value)
    exchange = format.exchange(value, origin) if format and format.exchange else None
    if exchange is None:
        raise NotAnExchange('not an exchange: it has neither "request" nor "response"')
    exchange.row = value
    return exchange


def exchanges_of(value: JSON, origin: Origin = NOWHERE) -> list[Exchange]:
    """`exchange_of` a line or row, or of each of its items, if it is a document of its own.

    Raises:
        NotAnExchange, BodyProblem: see `exchange_of`.
    """
    format = format_of(value)
    found = items_of(value, bare=False) if format is None else None
    if format is None and found is None and are_spans(value):
        return [Exchange(Request(url="/v1/traces"))]  # of other work, between those of requests
    if found is None:
        return [exchange_of(value, origin, format)]
    return [exchange_of(item, NOWHERE, found[0]) for item in found[1]]


def body_of(part: JSONObject, side: Side) -> JSON:
    """The body in a ``request`` or ``response`` object of any recorder; ``None`` without one.

    Raises:
        BodyProblem: it is damaged.
    """
    inner = part.get("body")
    names = (*part, *inner) if isinstance(inner, dict) else (*part,)
    for body_by in _left_by(names).bodies:
        body = body_by(part, side)
        if body is not ABSENT:
            return body
    return None


def not_a_recording(name: str) -> NotARecording:
    """The error for a file in no known format."""
    return NotARecording(name, "", "not a recording in a known format (docs/formats.md lists them)")


def conflict(name: str, data: bytes) -> ReadError | None:
    """The error for a file in which a merge left its conflict markers; ``None`` without any."""
    at = 0 if data.startswith(_MARKER) else data.find(b"\n" + _MARKER) + 1
    if not at and not data.startswith(_MARKER):
        return None
    line = data.count(b"\n", 0, at) + 1
    return ReadError(name, f"line {line}", CONFLICT)


def damaged(name: str, data: bytes, place: str, reason: str) -> ReadError:
    """The error for a damaged document: a `NotARecording` if it would not be one undamaged."""
    unresolved = conflict(name, data)
    if unresolved is not None:
        place, reason = unresolved.place, unresolved.reason
    has_traces = any(f.traces and f.traces.search(data) for f in registered().every())
    kind = ReadError if has_traces else NotARecording
    return kind(name, place, reason)
