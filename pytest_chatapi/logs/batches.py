"""The seam to the engines that hold logs: an Arrow record batch of rows in, one of findings out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_chatapi.config.checker import Checker
from pytest_chatapi.config.file import Configuration
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.errors import ReadError, SettingError
from pytest_chatapi.logs.rows import UNREAD, CheckedRow, row_hash, row_of, shown, unread
from pytest_chatapi.reading.columns import exchanges_of_row, rows_of
from pytest_chatapi.reading.format import RecordedFile
from pytest_chatapi.reading.mapping import Mapping

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_batch", "finding_schema"]

_TEXTS = ("code", "name", "level", "profile")
_MORE_TEXTS = ("path", "expected", "got", "message", "provider", "model")


def finding_schema() -> pa.Schema:
    """The columns that `check_batch` returns, for engines that ask for them before the first batch.

    ``code`` is of `docs/rules.md`, or ``unread`` (the row cannot be read, level ``error``) or
    ``skipped`` (it is of another API, level ``note``). ``time`` is when the row was logged.
    """
    pa = _pyarrow()
    return pa.schema(
        [
            ("row_id", pa.string()),
            *((name, pa.string()) for name in _TEXTS),
            ("chunk", pa.int64()),
            *((name, pa.string()) for name in _MORE_TEXTS),
            ("time", pa.timestamp("us", tz="UTC")),
        ]
    )


def check_batch(
    batch: pa.RecordBatch, mapping: str | None = None, *, profile: str | None = None
) -> pa.RecordBatch:
    """The findings of a batch of logged exchanges, in the order of its rows.

    They are those of ``chatapi check`` without a settings file, and do not depend on how a log is
    split into batches. Each call stands alone, so it may run in any thread, process or machine.

    Args:
        batch: a row for each exchange: its JSON text in the only column, or a column for each
            member, which may hold JSON text. The column ``row_id`` names the rows; without it the
            row's own id does, else a hash of its content.
        mapping: where the exchanges are, as for ``--map``; ``$`` is the row.
        profile: name of the profile; ``None`` chooses by the host of the request.

    Raises:
        SettingError: the mapping or the profile is wrong, or pyarrow is missing.
    """
    pa = _pyarrow()
    checker = Checker(Configuration(), profile=profile)
    parsed = None if mapping is None else Mapping(mapping)
    rows = [
        _as_row(name, one, finding)
        for name, one in _checked(batch, checker, parsed)
        for finding in _records(one)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=finding_schema())


def _checked(
    batch: pa.RecordBatch, checker: Checker, mapping: Mapping | None
) -> Iterator[tuple[str, CheckedRow]]:
    """Each exchange of a batch of which there is something to say, with the name of its row."""
    for index, row in enumerate(rows_of(batch)):
        errors: list[ReadError] = []
        file = RecordedFile("<rows>", None, errors.append, mapping)
        results = []
        for exchange in exchanges_of_row(file, row, index):
            try:
                result = checker.check(exchange)
            except ReadError as error:
                errors.append(error)
                continue
            if result.findings or result.kind is None:
                results.append(row_of(exchange, result, result.findings))
        results += map(unread, errors)
        for one in results:
            yield row.id or shown(one.id) or row_hash(row.as_text()), one


def _records(one: CheckedRow) -> list[JSONObject]:
    if one.problem:
        return [{"code": UNREAD, "name": "unread-row", "level": "error", "message": one.problem}]
    if one.skipped:
        return [{"code": "skipped", "name": one.skipped, "level": "note"}]
    return [finding.to_json() for finding in one.findings]


def _as_row(name: str, one: CheckedRow, finding: JSONObject) -> dict[str, Any]:
    return {
        "row_id": name,
        **{key: value for key, value in finding.items() if key != "source"},
        "provider": one.provider or None,
        "model": one.model or None,
        "time": None if one.time is None else round(one.time * 1_000_000),
    }


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise SettingError("pyarrow is not installed: pip install 'pytest-chatapi[logs]'") from None
    return pyarrow
