"""Parquet files, by pyarrow (extra ``logs``): a row an exchange, see `reading.columns`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.columns import Row, exchanges_of_row, require_known, rows_of
from pytest_chatapi.reading.format import RecordedFile, TextFormat
from pytest_chatapi.reading.formats.json_lines import LOOKED_AT
from pytest_chatapi.reading.registry import NotARecording

_ROWS = 256
"""Rows that are in memory at a time; pyarrow itself holds the pages that they are in."""


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        reason = "a Parquet file: pip install 'pytest-chatapi[logs]' to read it"
        raise NotARecording(file.name, "", reason, "of Parquet") from None
    with _opened(file, blocks) as stream:
        try:
            table = pq.ParquetFile(stream)
            if file.mapping is None:
                for head in islice(table.iter_batches(batch_size=LOOKED_AT), 1):
                    require_known(file.name, rows_of(head, file.name))
            for index, row in _rows(table, file):
                if file.takes is None or file.takes(row.as_text()):
                    for exchange in exchanges_of_row(file, row, index):
                        exchange.source = Source(file.name, index, index + 1)
                        yield exchange
        except (OSError, ValueError) as error:  # pyarrow's own errors are of these
            if isinstance(error, ReadError):
                raise
            reason = f"damaged Parquet data: {str(error).splitlines()[0]}"
            raise ReadError(file.name, "", reason) from None


def _rows(table: Any, file: RecordedFile) -> Iterator[tuple[int, Row]]:
    """The rows of a share, which has each n-th row group, with their numbers in the table."""
    mine, shares = file.share
    first = 0
    for group in range(table.num_row_groups):
        index = first
        first += table.metadata.row_group(group).num_rows
        if group % shares == mine:
            for batch in table.iter_batches(batch_size=_ROWS, row_groups=[group]):
                for row in rows_of(batch, file.name):
                    yield index, row
                    index += 1


def _opened(file: RecordedFile, blocks: Iterator[bytes]) -> BinaryIO:
    """The file, which has to be read from its end; what comes through a pipe is kept on disk."""
    if file.path is not None:
        return open(file.path, "rb")
    spooled = tempfile.TemporaryFile()  # noqa: SIM115
    for block in blocks:
        spooled.write(block)
    spooled.seek(0)
    return spooled


FORMAT = TextFormat(
    name="Parquet",
    precedence=5,
    suffixes=(".parquet",),
    begins=lambda text, complete: text.startswith(b"PAR1"),
    exchanges=_exchanges,
    has_lines=True,
)
