"""Traces of Go's httprr: a line with two lengths in bytes, then a request and its response."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.files import join
from pytest_chatapi.reading.format import RecordedFile, TextFormat, first_line
from pytest_chatapi.reading.raw_http import exchanges_of_parts, request_of, response_of

_FIRST_LINE = b"httprr trace v1"
_LENGTHS = re.compile(rb"(\d{1,10}) (\d{1,10})\r?\n")


def _begins(text: bytes, complete: bool) -> bool | None:
    if not text.startswith(_FIRST_LINE[: len(text)]):
        return False
    line = first_line(text, complete)
    return None if line is None else line == _FIRST_LINE


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    return exchanges_of_parts(file, _records(file, blocks), _of_record)


_Record = tuple[bytes, bytes]
"""A request and its response."""


def _of_record(record: _Record) -> list[Exchange]:
    request, response = record
    return [Exchange(request_of(request), response_of(response))]


def _records(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[_Record]:
    data = join(blocks, file.name, file.path)
    at = data.find(b"\n") + 1 or len(data)
    index = 0
    while data[at:].strip():
        lengths = _LENGTHS.match(data, at)
        if lengths is None:
            reason = "the lengths of request and response are missing; record it again"
            raise ReadError(file.name, f"interaction {index}", reason)
        middle = lengths.end() + int(lengths[1])
        end = middle + int(lengths[2])
        if end > len(data):
            reason = f"{end - len(data)} bytes less than its lengths say; record it again"
            raise ReadError(file.name, f"interaction {index}", reason)
        yield data[lengths.end() : middle], data[middle:end]
        at, index = end, index + 1


FORMAT = TextFormat(
    name="httprr", precedence=41, suffixes=(".httprr",), begins=_begins, exchanges=_exchanges
)
