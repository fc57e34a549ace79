"""TOML: one document."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.documents import decoded, exchanges_of_document
from pytest_chatapi.reading.files import join
from pytest_chatapi.reading.format import RecordedFile, TextFormat, first_line
from pytest_chatapi.reading.registry import damaged

_LINE = re.compile(rb"[\w.'\"-]+[ \t]*=|\[\[?[ \t]*[A-Za-z_\"'][\w.\"' \t-]*\]?\][ \t]*(?:#|$)")


def _begins(text: bytes, complete: bool) -> bool | None:
    if text[:1] == b"{":
        return False
    line = first_line(text, complete)
    return None if line is None else bool(_LINE.match(line))


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    data = join(blocks, file.name, file.path)
    for document in _values(file.name, data):
        yield from exchanges_of_document(file, document)


def _values(name: str, data: bytes) -> Iterator[JSON]:
    import tomllib

    text = decoded(name, data)
    try:
        yield tomllib.loads(text)
    except RecursionError:
        raise damaged(name, data, "", "not valid TOML: nested too deeply") from None
    except ValueError as error:
        raise _problem(name, data, str(error)) from None


def _problem(name: str, data: bytes, message: str) -> ReadError:
    reason, _, place = message.partition(" (at ")
    if "integer string conversion" in reason:
        reason = "an integer of more than 4300 digits"
    reason, place = f"not valid TOML: {reason}", place.rstrip(")")
    if place == "end of document":
        return damaged(name, data, "", f"{reason}; the file is cut off")
    return damaged(name, data, place, reason)


FORMAT = TextFormat(
    name="",
    precedence=10,
    suffixes=(".toml",),
    begins=_begins,
    exchanges=_exchanges,
    values=_values,
)
