"""One row of a log, checked: what it is, and what was found in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import urlsplit

from pytest_chatapi.contract.check import CheckResult
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import mask, shortened
from pytest_chatapi.errors import ReadError
from pytest_chatapi.logs.exercised import exercised_by

__all__ = [
    "UNREAD",
    "CheckedRow",
    "row_hash",
    "row_of",
    "shown",
    "time_of",
    "time_of_exchange",
    "unread",
]

UNREAD = "unread"
"""The code under which a row counts that could not be read."""

_LIMIT = 80
"""Characters of a name that are kept."""


class CheckedRow(NamedTuple):
    """A row after its check.

    Attributes:
        id: what the log calls it, secrets included (see `shown`): to mask it takes longer than all
            else, and few are shown. Empty without, and for a checked row without findings.
        time: seconds since 1970; ``None`` where nothing tells.
        provider: the host that was called, else what the log calls the provider; empty without.
        model: as requested, else as the response has it; empty without.
        findings: those that the settings keep.
        skipped: why it was not checked (see `Report.skipped`); empty if it was.
        problem: why it could not be read; empty if it was.
        exercised: the rules whose finding it could have had (see `exercised_by`), then each one
            that is left out for the row's file, after a ``-``.
        is_assembled: see `Exchange.assembled`.
        is_unanswered: it has no response, so only its request was checked.
        is_unasked: see `Exchange.is_unasked`.
    """

    id: str
    time: float | None
    provider: str
    model: str
    findings: list[Finding]
    skipped: str = ""
    problem: str = ""
    exercised: str = ""
    is_assembled: bool = False
    is_unanswered: bool = False
    is_unasked: bool = False


def row_of(
    exchange: Exchange, result: CheckResult, kept: list[Finding], ignored: str = ""
) -> CheckedRow:
    """What a log is to know of a checked exchange.

    Args:
        kept: the findings that the settings keep.
        ignored: the rules that are left out for its file, as `CheckedRow.exercised` has them.
    """
    row = _row(exchange)
    is_shown = bool(kept) or result.kind is None  # else nobody asks for its name
    model = _model(row, exchange)
    if not model and result.answer is not None:
        model = shown(_text(result.answer.model))
    return CheckedRow(
        _first_text(map(row.get, _IDS)) if is_shown else "",
        _time(row, exchange),
        _provider(row, exchange),
        model,
        kept,
        result.api if result.kind is None else "",
        "",
        exercised_by(exchange, result) + ignored,
        exchange.assembled,
        exchange.response is None,
        exchange.is_unasked,
    )


def unread(error: ReadError) -> CheckedRow:
    """A row that could not be read."""
    return CheckedRow("", None, "", "", [], problem=mask(error.reason))


def shown(name: str) -> str:
    """A name as reports have it: short, and without secrets."""
    return mask(shortened(name, _LIMIT))


def row_hash(text: bytes) -> str:
    """16 hexadecimal digits of a row's text: they name and draw it, wherever it is."""
    return blake2b(text, digest_size=8).hexdigest()


_IDS = ("id", "request_id", "custom_id", "span_id", "spanId")
_TIMES = (
    "time",
    "startTime",
    "start_time",
    "startedDateTime",
    "request_created_at",
    "timestamp",
    "@timestamp",
    "ts",
    "created_at",
    "createdAt",
    "recorded_at",
    "date",
    "startTimeUnixNano",
    "start_time_unix_nano",
    "timeUnixNano",
)  # fmt: skip
_PROVIDERS = ("provider", "custom_llm_provider", "provider_name", "providerName")
_HAS_NO_TIME = frozenset(_TIMES).isdisjoint
_CREATED = re.compile(rb'"created"\s*:\s*(\d{9,10})\b')
_LOOKED_AT = 4096


def _first_text(values: Iterable[JSON]) -> str:
    return next(filter(None, map(_text, values)), "")


def _text(value: JSON) -> str:
    """A text or number as a text; empty for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _row(exchange: Exchange) -> JSONObject:
    row = exchange.row if isinstance(exchange.row, dict) else {}
    inner = row.get("standard_logging_object")  # of LiteLLM
    return inner if isinstance(inner, dict) else row


def time_of_exchange(exchange: Exchange) -> float | None:
    """When an exchange was logged, in seconds since 1970, else when its response was ``created``.

    ``None`` where nothing tells.
    """
    return _time(_row(exchange), exchange)


def _time(row: JSONObject, exchange: Exchange) -> float | None:
    if not _HAS_NO_TIME(row):
        for name in _TIMES:
            if row.get(name) is not None and (seconds := time_of(row[name])) is not None:
                return seconds
    response = exchange.response
    if response is None:
        return None
    if isinstance(response.body, dict):
        return time_of(response.body.get("created"))
    if isinstance(response.body, (bytes, str)):
        head = response.body[:_LOOKED_AT]
        data = head if isinstance(head, bytes) else head.encode("utf-8", "replace")
        match = _CREATED.search(data)
        return float(match[1]) if match else None
    return None


_FIRST, _LAST = 946_684_800, 4_102_444_800  # the years 2000 and 2100
_SCALES = [(_FIRST * scale, _LAST * scale, scale) for scale in (1, 10**3, 10**6, 10**9)]
_NUMBER = re.compile(r"\d{9,20}(?:\.\d{1,9})?")


def time_of(value: JSON) -> float | None:
    """Seconds since 1970 out of a number of them (or of milli-, micro- or nanoseconds), the same
    as text, or a date and time by ISO 8601 or RFC 5322, in UTC unless it says otherwise.

    ``None`` for anything else, and outside of this century.
    """
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return _iso(value)
        value = float(value)
    if isinstance(value, (int, float)):  # `true` is neither of this century
        for first, last, scale in _SCALES:
            if first <= value < last:
                return value / scale
    return None


_OF_JAVASCRIPT = re.compile(r"\b(?:GMT|UTC)(?=[+-]\d)")  # as in 'GMT-0500'
_ZONE = re.compile(r":\d\d(?:\.\d+)?\s*[A-Za-z]")


@lru_cache(256)
def _iso(text: str) -> float | None:
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text.removesuffix("UTC").rstrip())  # as of BigQuery
    except ValueError:
        try:
            moment = parsedate_to_datetime(_OF_JAVASCRIPT.sub("", text))
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if moment.tzinfo is None and _ZONE.search(text):
            return None  # a zone that it does not know, such as CEST
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds if _FIRST <= seconds < _LAST else None


def _provider(row: JSONObject, exchange: Exchange) -> str:
    if row.get("provider"):
        return shown(_text(row["provider"]))
    request = exchange.request
    return (_host(request.url) if request else "") or shown(_first_text(map(row.get, _PROVIDERS)))


@lru_cache(256)
def _host(url: str) -> str:
    """Host and port of a URL, without its credentials."""
    try:
        parts = urlsplit(url)
        name = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return ""
    return mask(name[:_LIMIT])


def _model(row: JSONObject, exchange: Exchange) -> str:
    model = row.get("model")
    if not isinstance(model, str):
        request = exchange.request
        body = request.body if request is not None else None
        model = body.get("model") if isinstance(body, dict) else None
    return shown(_text(model))
