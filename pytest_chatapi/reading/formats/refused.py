"""Files that hold no text in a known format, but can be named: archives, databases, captures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.reading.format import RecordedFile, TextFormat
from pytest_chatapi.reading.registry import NotARecording

_KINDS = (
    (rb"PK\x03\x04", "a zip file (Fiddler's .saz is one): unpack it, or save the traffic as HAR"),
    (rb"SQLite format 3\x00", "an SQLite database: export the rows as JSON Lines"),
    (
        # The first four bytes of pcapng are line breaks, which are left out.
        rb"\xd4\xc3\xb2\xa1|\xa1\xb2[\xc3\x3c][\xd4\x4d]|\x4d\x3c\xb2\xa1"
        rb"|.{4}(?:\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d)",
        "a packet capture (pcap): record with a proxy that decrypts, and save as HAR",
    ),
    (rb"PAR1", "a Parquet file: export the rows as JSON Lines"),
    (
        rb"(?:<\?xml[^>]*>\s*)?<(?:jmeterTestPlan|testResults)\b",
        "a file of JMeter: record through a proxy, and save as HAR",
    ),
    (
        rb"(?:<\?xml[^>]*>\s*(?:<!DOCTYPE[^>]*\[.*?\]>\s*)?)?<items burpVersion",
        "an export of Burp: save the traffic as HAR",
    ),
    (
        rb"(?:<\?xml[^>]*>\s*(?:<\?[^>]*>\s*)*)?<charles-session\b",
        "an XML session of Charles: save it as HAR, or as JSON (.chlsj)",
    ),
)
_PATTERNS = [(re.compile(pattern, re.DOTALL), kind) for pattern, kind in _KINDS]


def _kind(text: bytes) -> str | None:
    return next((kind for pattern, kind in _PATTERNS if pattern.match(text)), None)


def _begins(text: bytes, complete: bool) -> bool:
    return _kind(text) is not None


def _exchanges(file: RecordedFile, blocks: Iterator[bytes]) -> Iterator[Exchange]:
    raise NotARecording(file.name, "", _kind(next(blocks).lstrip()) or "not a recording")


FORMAT = TextFormat(name="", precedence=5, begins=_begins, exchanges=_exchanges)
