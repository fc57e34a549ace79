"""JSON: one document, or one value a line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.documents import decoded, exchanges_of_document
from pytest_chatapi.reading.files import join, lines_of
from pytest_chatapi.reading.format import Origin, RecordedFile, TextFormat
from pytest_chatapi.reading.formats import chunks
from pytest_chatapi.reading.json_text import JSONProblem, loads, loads_line
from pytest_chatapi.reading.mapping import Mapping, exchanges_of_mapped
from pytest_chatapi.reading.refused import refuse, unknown_json
from pytest_chatapi.reading.registry import (
    CONFLICT,
    NotAnExchange,
    damaged,
    exchanges_of,
    format_of,
    items_of,
)
from pytest_chatapi.reading.shapes import are_spans

LOOKED_AT = 20
"""Lines that are looked at to tell JSON Lines from one document, or from no recording."""

_Line = tuple[int, bytes]


def _begins(text: bytes, complete: bool) -> bool:
    return text[:1] in (b"{", b"[")


class _Lookahead:
    """The lines of a file, some of which are looked at before all of them are read."""

    def __init__(self, blocks: Iterable[bytes], name: str) -> None:
        self._lines = enumerate(lines_of(blocks, name))
        self.seen: list[_Line] = []

    def __iter__(self) -> Iterator[_Line]:
        """The lines that have not been looked at yet."""
        for line in self._lines:
            self.seen.append(line)
            yield line

    def filled(self) -> Iterator[_Line]:
        """Those of them that are not blank."""
        return (line for line in self if line[1].strip())

    def all(self) -> Iterator[_Line]:
        """All lines from the first on. After this, no line can be looked at."""
        return itertools.chain(self.seen, self._lines)


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    lines = _Lookahead(blocks, file.name)
    has_lines, exchanges = _told(file, lines)
    return exchanges if has_lines or not file.share[0] else iter(())


def _told(file: RecordedFile, lines: _Lookahead) -> tuple[bool, Iterator[Exchange]]:
    """Whether there is an exchange a line, and the exchanges."""
    number, text = next(lines.filled())
    if file.mapping is not None:
        return _mapped(file, file.mapping, lines, number, text)
    try:
        first = loads_line(text, file.name, number)
    except ReadError:
        first = _recognised_below(lines) if text[:1] == b"{" else None
        if first is None:
            return False, _document(file, lines.all())
    else:
        if are_spans(first) and next(lines.filled(), None) is not None:
            return True, _lines(file, lines.all())  # any of which may be about a model
        refuse(file.name, first)
        format = format_of(first)
        if format is not None and not format.bare:
            return True, _lines(file, lines.all())
        if next(lines.filled(), None) is None:
            return False, _of_document(file, first, text)
    if chunks.is_chunk(first) and _are_chunks(first, lines):
        return False, iter([chunks.exchange_of_lines(file, lines.all())])
    is_known = format_of(first) is not None or items_of(first, bare=False) is not None
    if not is_known and not _is_recognised(lines):
        raise unknown_json(file.name, first)
    return True, _lines(file, lines.all())


def _are_chunks(first: JSON, lines: _Lookahead) -> bool:
    """Whether the lines are the chunks of one stream, whose first one may have no choices.

    The bodies of a log may begin with one without choices, or with a completion of text.
    """
    below = (_value(line) for _, line in itertools.islice(lines.filled(), LOOKED_AT))
    for value in itertools.chain([first], below):
        choices = value.get("choices") if isinstance(value, dict) else None
        if choices:
            return chunks.is_chunk(value) and any(
                "delta" in choice or "text" not in choice for choice in choices
            )
    return True


def _recognised_below(lines: _Lookahead) -> JSON:
    """The first exchange or body on one of the next lines, the first line being damaged.

    ``None`` if there is none: then the first line begins a document of several lines.
    """
    for _, line in itertools.islice(lines, max(0, LOOKED_AT - len(lines.seen))):
        if line[:1] == b"{":
            value = _value(line)
            if format_of(value) is not None:
                return value
    return None


def _is_recognised(lines: _Lookahead) -> bool:
    """Whether one of the first lines is an exchange or body."""
    for _ in itertools.islice(lines, LOOKED_AT):
        pass
    return any(format_of(_value(line)) for _, line in lines.seen)


def _value(line: bytes) -> JSON:
    try:
        return loads(line.decode())
    except (JSONProblem, UnicodeDecodeError):
        return None


def _lines(file: RecordedFile, lines: Iterable[_Line]) -> Iterator[Exchange]:
    for number, line in _resolved(file, lines):
        if not line.strip() or not (file.takes is None or file.takes(line)):
            continue
        try:
            found = exchanges_of(loads_line(line, file.name, number), Origin(line, file.path))
        except ReadError as error:
            file.on_error(error)
        except (BodyProblem, NotAnExchange) as error:
            file.on_error(ReadError(file.name, f"line {number + 1}", str(error)))
        else:
            for exchange in found:
                exchange.source = Source(file.name, number, number + 1)
                yield exchange


_CONFLICT_LINE = re.compile(rb"(?:<{7}|\|{7}|>{7})(?: |\s*\Z)|={7}\s*\Z")


def _resolved(file: RecordedFile, lines: Iterable[_Line]) -> Iterator[_Line]:
    """The lines of this share, without the markers of a merge conflict. The first one is reported,
    by the first share, so that it is counted once.
    """
    mine, shares = file.share
    is_reported = False
    for number, line in lines:
        if line[:1] == b"{" or not _CONFLICT_LINE.match(line):
            if number % shares == mine:
                yield number, line
        elif not is_reported and mine == 0:
            is_reported = True
            file.on_error(ReadError(file.name, f"line {number + 1}", CONFLICT))


def _document(file: RecordedFile, lines: Iterable[_Line]) -> Iterator[Exchange]:
    data = join(_with_newlines(lines), file.name, file.path)
    for document in _values(file.name, data):
        refuse(file.name, document)
        yield from _of_document(file, document, data)


def _of_document(file: RecordedFile, document: JSON, text: bytes) -> Iterator[Exchange]:
    if items_of(document, bare=True) is None:
        raise unknown_json(file.name, document)
    return exchanges_of_document(file, document, text)


def _mapped(
    file: RecordedFile, mapping: Mapping, lines: _Lookahead, number: int, text: bytes
) -> tuple[bool, Iterator[Exchange]]:
    """As `_told`, with the exchanges where `mapping` finds them, else those of a known format."""
    first: JSON = None
    with suppress(ReadError):
        first = loads_line(text, file.name, number)
    if first is None:
        has_lines = text[:1] == b"{" and _is_mapped_below(mapping, lines)
    else:
        has_lines = next(lines.filled(), None) is not None
    of_what = _mapped_lines if has_lines else _mapped_document
    return has_lines, of_what(file, mapping, lines.all())


def _mapped_document(
    file: RecordedFile, mapping: Mapping, lines: Iterable[_Line]
) -> Iterator[Exchange]:
    data = join(_with_newlines(lines), file.name, file.path)
    for document in _values(file.name, data):
        yield from exchanges_of_mapped(file, mapping, document, data)


def _mapped_lines(
    file: RecordedFile, mapping: Mapping, lines: Iterable[_Line]
) -> Iterator[Exchange]:
    for number, line in _resolved(file, lines):
        if not line.strip() or not (file.takes is None or file.takes(line)):
            continue
        try:
            value = loads_line(line, file.name, number)
        except ReadError as error:
            file.on_error(error)
        else:
            yield from exchanges_of_mapped(file, mapping, value, line, number)


def _is_mapped_below(mapping: Mapping, lines: _Lookahead) -> bool:
    """Whether `mapping` finds something on one of the next lines, the first one being damaged."""
    for _, line in itertools.islice(lines, max(0, LOOKED_AT - len(lines.seen))):
        with suppress(NotAnExchange):
            if line[:1] == b"{" and mapping.found(_value(line)):
                return True
    return False


def _with_newlines(lines: Iterable[_Line]) -> Iterator[bytes]:
    between = b""
    for _, line in lines:
        yield between + line
        between = b"\n"


def _values(name: str, data: bytes) -> Iterator[JSON]:
    text = decoded(name, data)
    try:
        yield loads(text)
    except JSONProblem as error:
        raise damaged(name, data, error.place(), error.reason) from None


FORMAT = TextFormat(
    name="",
    precedence=20,
    suffixes=(".json", ".jsonl", ".ndjson"),
    begins=_begins,
    exchanges=_exchanges,
    values=_values,
    has_lines=True,
)
