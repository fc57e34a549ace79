"""The event stream of one response, as it came over the wire."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from pytest_chatapi.contract.exchange import Exchange, Response, Source
from pytest_chatapi.reading.files import GZIP, FilePieces, SpooledPieces, starts_with
from pytest_chatapi.reading.format import RecordedFile, TextFormat, first_line

_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
_DATA = re.compile(rb"data:[ \t]*[^\s]")


def _begins(text: bytes, complete: bool) -> bool | None:
    line = first_line(text, complete)
    if line is None:
        return None
    if not _FIELD.match(line):
        return False
    lines = [line for line in text.split(b"\n") if line.strip()]
    if any(_DATA.match(line) for line in lines):
        return True
    if not complete:
        return None
    # The last line may be cut off.
    return all(_FIELD.match(line) for line in lines[:-1] or lines)


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    pieces: Iterable[bytes]
    if file.path is None:
        pieces = SpooledPieces(blocks, file.name)
    else:
        if starts_with(file.path, GZIP, b"\xff\xfe", b"\xfe\xff"):
            for _ in blocks:  # reports damage of a gzip file now, and not during the check
                pass
        pieces = FilePieces(os.path.abspath(file.path), file.name)
    yield Exchange(None, Response(pieces=pieces), Source(file.name, 0, 1))


FORMAT = TextFormat(
    name="SSE body", precedence=30, suffixes=(".sse", ".txt"), begins=_begins, exchanges=_exchanges
)
