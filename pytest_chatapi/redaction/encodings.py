"""What secrets hide in: base64, hex, gzip, lists of bytes, the escapes of JSON, HTML and URLs.

Nearly everything that is looked for holds, or is encoded as, a long run of letters, digits and
``+/_-``. So the long runs of a text are found first, without any regular expression, and what
holds none of them is hardly looked at.
"""

from __future__ import annotations

import binascii
import html
import json
import re
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from pytest_chatapi.redaction.replacing import Find, Hit

__all__ = [
    "ALIGNED",
    "LONG",
    "MOST_UNZIPPED",
    "View",
    "WrappedLines",
    "byte_lists",
    "continues_escaped",
    "encoding_of",
    "entities_read",
    "from_hex",
    "has_long_run",
    "long_runs",
    "longest_run",
    "may_hide",
    "needs_unescaping",
    "unbase64",
    "unescaped",
    "unquoted",
    "unzipped",
    "without_nulls",
]

MOST_UNZIPPED = 16 * 1024 * 1024
"""Bytes that compressed data may expand to, whatever its size."""

LONG = 16
"""Characters of a run that is looked at."""

ALIGNED = 1 << 16
"""A run that is as long as this counts as base64 from its first character on."""

# -- long runs -----------------------------------------------------------------------------------

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_MARKS = bytes(ord("x") if byte in _ALPHABET else ord(" ") for byte in range(256))
_LONG_MARKS = b"x" * LONG
_RUN = re.compile(r"[A-Za-z0-9+/_-]+")
_LINE = re.compile(r"([A-Za-z0-9+/_-]+)(={0,2})(?:\r?\n[ \t]*)?")
_NEXT_LINE = re.compile(r"(?:\\+r)?\\+n[A-Za-z0-9+/_-]{2}")


def long_runs(text: str) -> Iterator[tuple[int, int]] | None:
    """Start and end of each run that is at least `LONG`; ``None`` where there is none."""
    marks = text.encode("latin-1", "replace").translate(_MARKS)
    first = marks.find(_LONG_MARKS)
    return _runs_from(first, marks) if first >= 0 else None


def _runs_from(start: int, marks: bytes) -> Iterator[tuple[int, int]]:
    while start >= 0:
        end = marks.find(b" ", start)
        if end < 0:
            end = len(marks)
        yield start, end
        start = marks.find(_LONG_MARKS, end)


def has_long_run(data: bytes) -> bool:
    """Whether there is a run of at least `LONG` in what was decoded."""
    return _LONG_MARKS in data.translate(_MARKS)


def longest_run(text: str) -> str:
    """The longest run in `text` if it is at least `LONG`, else an empty string."""
    run = max(_RUN.findall(text), key=len, default="")
    return run if len(run) >= LONG else ""


def continues_escaped(text: str, end: int) -> bool:
    """Whether a run that ends at `end` may go on after the escape of a line end."""
    return _NEXT_LINE.match(text, end) is not None


class WrappedLines:
    """Finds runs of a text that are the lines of a longer one, as base64 is often wrapped.

    Attributes:
        data_end: runs that start before it are lines of what is at least `ALIGNED`.
    """

    data_end = 0
    _end = 0

    def __init__(self, text: str) -> None:
        self._text = text

    def joined(self, start: int, end: int) -> tuple[str, int] | None:
        """The lines that begin with the run from `start` to `end` as one run, and its end.

        ``None`` where no other line follows, or the run is one of those that were joined already.
        """
        if start < self._end:
            return None
        run, last = self._join(start, end - start)
        if len(run) <= end - start:
            return None
        self._end = last
        if len(run) >= ALIGNED:
            self.data_end = last  # shorter ones may as well be one thing a line
        return run, last

    def _join(self, at: int, width: int) -> tuple[str, int]:
        """Lines of one width and a shorter last one as a single run, and where it ends."""
        parts, end = [], at
        while line := _LINE.match(self._text, at):
            if len(line[1]) > width:
                break
            parts.append(line[1])
            end, at = line.end(2), line.end()
            if len(line[1]) < width:
                break
        return "".join(parts), end


# -- bytes in a run ------------------------------------------------------------------------------

_HEX = re.compile(r"[0-9A-Fa-f]{16,}")
_STANDARD = str.maketrans("-_", "+/")


def unbase64(run: str, offsets: int = 4) -> Iterator[bytes]:
    """`run` decoded from each of its first `offsets` characters: other text may come before it."""
    run = run.translate(_STANDARD)
    for offset in range(offsets):
        rest = (len(run) - offset) % 4
        # A single last character holds no byte. Padding that is not needed does no harm.
        yield binascii.a2b_base64(run[offset : len(run) - (rest == 1)] + "==")


def from_hex(run: str) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and bytes of the hex in `run`, read from its first and its second digit on."""
    for match in _HEX.finditer(run):
        for digits in (match[0], match[0][1:]):
            yield *match.span(), bytes.fromhex(digits[: len(digits) // 2 * 2])


def unzipped(data: bytes, most: int) -> bytes:
    """What gzip or zlib compressed to `data`, up to `most` bytes; `data` where neither did."""
    if data[:2] == b"\x1f\x8b" or (
        len(data) > 8 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
    ):
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            return unzip.decompress(data, min(MOST_UNZIPPED, max(1, most)))
        except zlib.error:
            pass
    return data


_SPACE = r"(?:\s|\\[nrt])*"  # also where it is escaped
_BYTE_LIST = re.compile(
    rf"\[{_SPACE}([0-9]{{1,3}}(?:{_SPACE},{_SPACE}[0-9]{{1,3}}){{7,4095}}){_SPACE}\]"
)
_NUMBER = re.compile("[0-9]+")


def byte_lists(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and bytes of each list of numbers in `text` that may be bytes."""
    for match in _BYTE_LIST.finditer(text):
        numbers = list(map(int, _NUMBER.findall(match[1])))
        if max(numbers) < 256:
            yield *match.span(1), bytes(numbers)


def encoding_of(body: bytes) -> str:
    """``utf-8``, or the UTF-16 or UTF-32 of a text, with its byte order."""
    start = body[:4]
    if b"\0" not in start and start[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-8"
    encoding: str = json.detect_encoding(body)
    if encoding in ("utf-16", "utf-32"):  # with a mark, which is kept as a character
        encoding += "-le" if start[:1] == b"\xff" else "-be"
    try:
        body.decode(encoding)
    except ValueError:
        return "utf-8"
    return encoding


# -- escapes -------------------------------------------------------------------------------------


class View:
    """A text without its escapes, which knows where each place of it is in the source."""

    __slots__ = ("_at", "_moved", "text")

    def __init__(
        self, source: str, escape: re.Pattern[str], decode: Callable[[re.Match[str]], str]
    ) -> None:
        self._at: list[int] = []
        self._moved: list[int] = []
        parts: list[str] = []
        last = size = moved = 0
        for match in escape.finditer(source):
            char = decode(match)
            start, end = match.span()
            parts += (source[last:start], char)
            size += start - last + len(char)
            moved += end - start - len(char)
            self._at.append(size)
            self._moved.append(moved)
            last = end
        self.text = "".join((*parts, source[last:]))

    def source(self, place: int) -> int:
        """The place in the source of a place in `text`."""
        at = bisect_right(self._at, place)
        return place + self._moved[at - 1] if at else place

    def hits(self, find: Find) -> list[Hit]:
        """What `find` finds in the text, as places in the source."""
        return [
            Hit(self.source(start), self.source(end), placeholder, kind)
            for start, end, placeholder, kind in find(self.text)
        ]


_ESCAPE = re.compile(
    r"\\(?:u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})"
    r"|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([bfnrt\"\\/]))"
)
_CHARS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PERCENT = re.compile(r"%[0-7][0-9A-Fa-f]|%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f])+")
# Escapes that hide something: where a long run seems to go on, of a letter, a digit or the like,
# and of quotes in a stream. The others stand for characters that no secret holds, and no shape
# reads over them.
_HIDING = re.compile(
    r"\\(?:(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})[A-Za-z0-9+/_-]{16}"
    r"|u00(?:2[0-57-9A-Fa-f]|3[0-9ABDFabdf]|[4-7])|x[2-7]|/"
    r'|"token\\|(?<=data: \{\\)|(?<=data:\{\\))'
)
# Characters whose escapes do not count there: they are common where nothing is hidden.
_COMMONLY_ESCAPED = re.compile(r"[^ !#-%'-;=?-\[\]-~]")


def unescaped(text: str) -> View:
    """`text` without the escapes of JSON and Python strings."""
    return View(text, _ESCAPE, _unescape)


def unquoted(text: str) -> View | None:
    """`text` without percent-encoding; ``None`` where there is none."""
    return View(text, _PERCENT, _unpercent) if _PERCENT.search(text) else None


_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[a-z]{2,8});")
_NULLS = re.compile("\0+")


def entities_read(text: str) -> View | None:
    """`text` with characters in place of HTML's entities; ``None`` where there is none."""
    return View(text, _ENTITY, lambda match: html.unescape(match[0])) if "&#" in text else None


def without_nulls(text: str) -> View:
    """`text` without null characters: UTF-16 and UTF-32 that were read byte by byte."""
    return View(text, _NULLS, lambda match: "")


def may_hide(text: str) -> bool:
    """Whether an escape in `text` may hide a part of a secret, or where a stream begins."""
    return _HIDING.search(text) is not None


def needs_unescaping(secret: str) -> bool:
    """Whether `secret` may be written with escapes that `may_hide` does not count."""
    return _COMMONLY_ESCAPED.search(secret) is not None


def _unescape(match: re.Match[str]) -> str:
    high, low, unit, byte, char = match.groups()
    if char:
        return _CHARS.get(char, char)
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    return chr(int(unit or byte, 16))


def _unpercent(match: re.Match[str]) -> str:
    return unquote(match[0])
