"""Exchanges of whole documents, and the errors of their damaged parts."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.format import Origin, RecordedFile, ValueFormat
from pytest_chatapi.reading.places import undecodable
from pytest_chatapi.reading.registry import (
    NotAnExchange,
    damaged,
    exchange_of,
    items_of,
    not_a_recording,
)

__all__ = ["decoded", "exchanges_of_document", "exchanges_of_items"]


def decoded(name: str, data: bytes) -> str:
    """The text of a document.

    Raises:
        ReadError: it is not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise damaged(name, data, *undecodable(data, error)) from None


def exchanges_of_document(
    file: RecordedFile, document: JSON, text: bytes = b""
) -> Iterator[Exchange]:
    """The exchanges of a document, or the one that it is itself.

    Args:
        text: of the document, where a raw response body keeps it.

    Raises:
        NotARecording: it is in no known format.
    """
    recognised = items_of(document, bare=True)
    if recognised is None:
        raise not_a_recording(file.name)
    format, items = recognised
    is_item = bool(items) and items[0] is document
    yield from exchanges_of_items(file, format, items, text=text if is_item else b"")


def exchanges_of_items(
    file: RecordedFile,
    format: ValueFormat | None,
    items: list[JSON],
    first: int = 0,
    text: bytes = b"",
) -> Iterator[Exchange]:
    """The exchange of each item; a damaged one is reported and left out.

    Args:
        format: of the document that they are part of.
        first: number of the first item in the file.
        text: of the item, if it is the only one.
    """
    origin = Origin(text, file.path)
    for index, item in enumerate(items, first):
        try:
            exchange = exchange_of(item, origin, format)
        except (BodyProblem, NotAnExchange) as error:
            file.on_error(ReadError(file.name, f"interaction {index}", str(error)))
        else:
            exchange.source = Source(file.name, index)
            yield exchange
