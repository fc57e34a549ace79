"""Exchanges out of recordings of any format, recognised by content and never by file name.

`format` defines what a format is, the formats in ``formats/``. Every file may be compressed
with gzip, in UTF-16, or begin with a byte-order mark.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.files import BLOCK, blocks_of, blocks_of_path, os_reason
from pytest_chatapi.reading.find import AnyPath, find
from pytest_chatapi.reading.format import OnError, RecordedFile
from pytest_chatapi.reading.mapping import Mapping
from pytest_chatapi.reading.refused import refuse, refuse_text
from pytest_chatapi.reading.registry import (
    NotARecording,
    format_of_text,
    items_of,
    not_a_recording,
)

__all__ = ["NotARecording", "read", "read_file", "values_of"]

_MOST_BLANK = 16 * BLOCK
"""White space at the beginning of a file that is read before its format is guessed."""


def read(path: AnyPath | BinaryIO, *, name: str | None = None) -> Iterator[Exchange]:
    """The exchanges of a file, a folder, a pattern such as ``logs/*.jsonl``, or ``-`` for stdin.

    Everything readable comes first. In a folder, files that are not recordings are skipped.

    Args:
        path: or a file opened in binary mode.
        name: what to call the file in `Source` and in errors.

    Raises:
        ReadError: at the end, for the first part that could not be read.
    """
    errors: list[ReadError] = []
    if not isinstance(path, (str, os.PathLike)) or _is_one_file(os.fspath(path)):
        yield from read_file(path, errors.append, name=name)
    else:
        yield from _read_all(path, errors)
    if errors:
        raise errors[0]


def _is_one_file(path: str) -> bool:
    return path == "-" or (os.path.exists(path) and not os.path.isdir(path))


def _read_all(path: AnyPath, errors: list[ReadError]) -> Iterator[Exchange]:
    """The exchanges of all files in a folder, or of all that match a pattern."""

    def report(error: ReadError) -> None:
        if not isinstance(error, NotARecording):
            errors.append(error)

    is_empty = True
    for file in find([path], errors.append):
        for exchange in read_file(file, report):
            is_empty = False
            yield exchange
    if is_empty and not errors:
        errors.append(NotARecording(os.fspath(path), "", "contains no recordings"))


def read_file(
    path: AnyPath | BinaryIO,
    on_error: OnError,
    *,
    name: str | None = None,
    mapping: Mapping | None = None,
    share: tuple[int, int] = (0, 1),
    takes: Callable[[bytes], bool] | None = None,
) -> Iterator[Exchange]:
    """The exchanges of one file; a damaged line or interaction does not end the reading.

    Args:
        path: a file, ``-`` for stdin, or a file opened in binary mode.
        on_error: called for each part that cannot be read; nothing is raised. For a file in an
            unknown format it gets a `NotARecording`.
        name: what to call the file in `Source` and in errors.
        mapping: where the exchanges are in JSON that no format knows.
        share: see `RecordedFile`.
        takes: whether to read a line of JSON, or a row of a table, by its text; ``None`` reads all.
    """
    if not isinstance(path, (str, os.PathLike)):
        file = RecordedFile(name or _name_of(path), None, on_error, mapping, share, takes)
        blocks = blocks_of(path, file.name)
    elif os.fspath(path) == "-":
        file = RecordedFile(name or "<stdin>", None, on_error, mapping, share, takes)
        blocks = blocks_of(sys.stdin.buffer, file.name)
    else:
        real = os.fspath(path)
        where = real if os.path.isfile(real) else None
        file = RecordedFile(name or real, where, on_error, mapping, share, takes)
        blocks = blocks_of_path(real, file.name)
    try:
        yield from _exchanges(file, blocks)
    except ReadError as error:
        error.ends_file = True
        on_error(error)
    except OSError as error:
        on_error(ReadError(file.name, "", os_reason(error)))
    except RecursionError:
        on_error(ReadError(file.name, "", "nested too deeply"))
    except MemoryError:
        on_error(ReadError(file.name, "", "too large for the memory of this machine"))


def _name_of(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)  # may be a number
    if isinstance(name, str):
        return name
    return "<stdin>" if stream is sys.stdin.buffer else "<file>"


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    head = b""
    format = None
    while format is None:
        block = next(blocks, b"")
        head += block
        if head.strip() or len(head) > _MOST_BLANK:
            refuse_text(file.name, head)
            format = format_of_text(head, not block or len(head) >= BLOCK)
        elif not block:
            raise NotARecording(file.name, "", "is empty", "empty")
    if file.share[0] and not format.has_lines:
        return iter(())
    return format.exchanges(file, itertools.chain([head], blocks))


def values_of(data: bytes, name: str) -> list[JSON]:
    """The interactions of one document (a cassette, a HAR file), as they were parsed.

    Raises:
        ReadError: it is damaged.
        NotARecording: it is something else.
    """
    format = format_of_text(data, True)
    document = next(format.values(name, data), None) if format and format.values else None
    recognised = items_of(document, bare=False)
    if recognised is None:
        refuse(name, document)
        raise not_a_recording(name)
    return recognised[1]
