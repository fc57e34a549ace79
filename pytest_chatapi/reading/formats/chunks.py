"""The parsed chunks of one stream, as an SDK gives them: a JSON list, or a chunk a line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pytest_chatapi.contract.exchange import Exchange, Response, Source
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.files import blocks_of_path, lines_of
from pytest_chatapi.reading.format import OnError, Origin, RecordedFile, ValueFormat
from pytest_chatapi.reading.json_text import loads_line
from pytest_chatapi.reading.shapes import is_chunk

__all__ = ["FORMAT", "ChunkLines", "exchange_of_lines", "is_chunk"]


def exchange_of_lines(file: RecordedFile, lines: Iterator[tuple[int, bytes]]) -> Exchange:
    """The stream whose chunks are the lines of a file; a damaged line is reported and left out."""
    chunks: Iterable[JSON] = _chunks(lines, file.name, file.on_error)
    if file.path is None:
        chunks = list(chunks)
    else:
        for _ in chunks:  # reports what is damaged now, and not during the check
            pass
        chunks = ChunkLines(os.path.abspath(file.path), file.name)
    return Exchange(None, Response(chunks=chunks), Source(file.name, 0, 1))


def _chunks(lines: Iterable[tuple[int, bytes]], name: str, on_error: OnError) -> Iterator[JSON]:
    for number, line in lines:
        line = line.strip()
        if line and line != b"[DONE]":
            try:
                yield loads_line(line, name, number)
            except ReadError as error:
                on_error(error)


class ChunkLines:
    """The chunks in a file of JSON lines, read anew at each iteration."""

    __slots__ = ("name", "path")

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name

    def __iter__(self) -> Iterator[JSON]:
        lines = enumerate(lines_of(blocks_of_path(self.path, self.name), self.name))
        return _chunks(lines, self.name, lambda error: None)

    def __repr__(self) -> str:
        return f"ChunkLines({self.path!r})"


def _items(document: JSON) -> list[JSON] | None:
    if isinstance(document, list) and document and all(map(is_chunk, document)):
        return [document]
    return None


def _exchange(value: JSON, origin: Origin) -> Exchange:
    return Exchange(None, Response(chunks=value))


FORMAT = ValueFormat(name="chunks", precedence=20, items=_items, exchange=_exchange, bare=True)
