"""YAML: any number of documents. Text in no other format counts as YAML, since nearly all does."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.documents import decoded, exchanges_of_items
from pytest_chatapi.reading.files import join
from pytest_chatapi.reading.format import RecordedFile, TextFormat
from pytest_chatapi.reading.formats import cassetter
from pytest_chatapi.reading.refused import refuse
from pytest_chatapi.reading.registry import NotARecording, damaged, items_of, not_a_recording
from pytest_chatapi.reading.yaml_events import YAMLProblem, load_all


def _begins(text: bytes, complete: bool) -> bool:
    return True


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    documents = _values(file.name, join(blocks, file.name, file.path))
    first, recognised = 0, False
    while True:
        try:
            document = next(documents)
        except StopIteration:
            break
        except NotARecording:
            raise
        except ReadError as error:
            if not recognised:
                raise
            file.on_error(error)
            return
        of_document = items_of(document, bare=False)
        if of_document is None and not recognised:
            refuse(file.name, document)
        elif of_document is not None:
            recognised = True
            format, items = of_document
            yield from exchanges_of_items(file, format, items, first)
            first += len(items)
            for other in cassetter.other_traffic(document):
                other.source = Source(file.name, first)
                first += 1
                yield other
    if not recognised:
        raise not_a_recording(file.name)


def _values(name: str, data: bytes) -> Iterator[JSON]:
    try:
        yield from load_all(decoded(name, data))
    except YAMLProblem as error:
        if name.lower().endswith(".txt"):  # prose, perhaps with an example of a response
            raise not_a_recording(name) from None
        raise damaged(name, data, error.place(), f"not valid YAML: {error.reason}") from None


FORMAT = TextFormat(
    name="",
    precedence=1000,
    suffixes=(".yaml", ".yml"),
    begins=_begins,
    exchanges=_exchanges,
    values=_values,
)
