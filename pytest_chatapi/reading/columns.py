"""Rows of Arrow record batches as the values that other logs have as lines of JSON.

A batch has one column with the JSON text of each row, or a column for each member. What a logger
wrote as text into a column stays a text: the formats and the mapping parse it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem
from pytest_chatapi.reading.format import NOWHERE, Origin, RecordedFile
from pytest_chatapi.reading.json_text import loads_line
from pytest_chatapi.reading.mapping import Mapping, exchanges_of_mapped
from pytest_chatapi.reading.refused import refuse, unknown_json
from pytest_chatapi.reading.registry import NotAnExchange, exchanges_of, format_of, items_of
from pytest_chatapi.reading.shapes import are_spans, parsed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROW_ID", "Row", "exchanges_of_row", "require_known", "rows_of"]

ROW_ID = "row_id"
"""The column that names a row, and is no part of it."""


class Row(NamedTuple):
    """One row.

    Attributes:
        id: as the column `ROW_ID` has it; empty without.
        text: the row as JSON text; ``None`` where it has a column for each member.
        value: its members by the names of the columns, if there is no text.
        is_nested: a column has structs, which have null for what is absent.
    """

    id: str
    text: bytes | None
    value: JSON
    is_nested: bool

    def as_text(self) -> bytes:
        """The row as text, from which its name and its draw in a sample are made."""
        if self.text is not None:
            return self.text
        return json.dumps(self.value, default=_text).encode()  # a column may be of bytes


def rows_of(batch: pa.RecordBatch, source: str = "<rows>") -> Iterator[Row]:
    """The rows of a batch, in their order.

    Args:
        source: what errors call the batch.

    Raises:
        ReadError: two columns have the same name, but not the same values.
    """
    from pyarrow import types

    columns: dict[str, pa.Array] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        first = columns.setdefault(name, column)
        if first is column or first.equals(column):
            continue
        if repr(_values(first)) != repr(_values(column)):  # NaN, and texts of two types, are equal
            reason = f"two different columns are called {name!r}: rename or drop one"
            raise ReadError(source, "", reason)
    ids: list[Any] = [""] * batch.num_rows
    if ROW_ID in columns:
        ids = [_text(value) for value in columns.pop(ROW_ID).to_pylist()]
    if len(columns) == 1 and _is_text((column := next(iter(columns.values()))).type):
        for name, value in zip(ids, column.to_pylist(), strict=True):
            text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            yield Row(name, text or b"", None, False)
        return
    is_nested = any(types.is_nested(column.type) for column in columns.values())
    for name, *values in zip(ids, *map(_values, columns.values()), strict=True):
        yield Row(name, None, dict(zip(columns, values, strict=True)), is_nested)


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)  # as DuckDB has its type JSON
    kind = kind.value_type if types.is_dictionary(kind) else kind  # as pandas has categories
    return any(
        is_one(kind)
        for is_one in (
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_binary,
            types.is_large_binary,
        )
    )


def _values(column: pa.Array) -> list[JSON]:
    from pyarrow import timestamp, types

    if types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's `datetime` has no nanoseconds; pandas writes them.
        column = column.cast(timestamp("us", column.type.tz), safe=False)
    try:
        values = column.to_pylist(maps_as_pydicts="lossy")
    except OverflowError:  # a time that Python's calendar does not have, or several
        values = [_or_none(value) for value in column]
    return values if _is_text(column.type) else [_json(value) for value in values]


def _or_none(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except OverflowError:
        return None


def _json(value: Any) -> JSON:
    """A value of Arrow as JSON has it; a member that is null may have been absent, so it is."""
    if isinstance(value, dict):
        return {_text(key): _json(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def exchanges_of_row(file: RecordedFile, row: Row, index: int) -> Iterator[Exchange]:
    """The exchanges of a row, as `chatapi check` reads them from a line; usually one.

    What cannot be read is reported.

    Args:
        index: of the row, from 0.
    """
    mapping: Mapping | None = file.mapping
    try:
        value = row.value if row.text is None else loads_line(row.text, file.name, index)
        if mapping is not None:
            exchanges = exchanges_of_mapped(file, mapping, value, row.text or b"", index)
        else:
            origin = NOWHERE if row.text is None else Origin(row.text)
            exchanges = iter(_exchanges(file, value, origin))
        for exchange in exchanges:
            exchange.assembled = exchange.assembled or row.is_nested
            yield exchange
    except ReadError as error:
        # What a file says of itself, a row says of a row.
        file.on_error(ReadError(file.name, error.place or f"line {index + 1}", error.reason))
    except (BodyProblem, NotAnExchange) as error:
        file.on_error(ReadError(file.name, f"line {index + 1}", str(error)))


def require_known(name: str, rows: Iterable[Row]) -> None:
    """Look whether one of the first rows is an exchange, as is done with lines.

    Raises:
        NotARecording: none is, so it is a table of something else.
    """
    values = [row.value if row.text is None else parsed(_text(row.text)) for row in rows]
    for value in values:
        if format_of(value) is not None or items_of(value, bare=False) is not None:
            refuse(name, value)
            return
    if values:
        refuse(name, values[0])
        raise unknown_json(name, values[0])


def _exchanges(file: RecordedFile, value: JSON, origin: Origin) -> list[Exchange]:
    format = format_of(value)
    if (format is None or format.bare) and not are_spans(value):
        refuse(file.name, value)  # as in a file, where a tool is known before a mere shape
    return exchanges_of(value, origin)
