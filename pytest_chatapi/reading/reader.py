"""Exchanges out of recordings of any format, recognised by content and never by suffix.

vcrpy and cassetter cassettes, single-exchange files, HAR, JSON Lines, raw JSON and SSE bodies
and raw chunk lines; each also with gzip, as UTF-16, or with a byte-order mark.
"""

from __future__ import annotations

import base64
import glob
import itertools
import json
import os
import re
import sys
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source, fold_headers
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.files import (
    BLOCK,
    GZIP,
    FilePieces,
    SpooledPieces,
    blocks_of,
    blocks_of_path,
    join,
    lines_of,
    os_reason,
    starts_with,
)
from pytest_chatapi.reading.yaml_events import YAMLProblem, load_all

__all__ = [
    "SUFFIXES",
    "NotARecording",
    "exchange_of",
    "find",
    "header_pairs",
    "read",
    "read_file",
    "values_of",
]

SUFFIXES = (".yaml", ".yml", ".json", ".jsonl", ".ndjson", ".toml", ".har", ".txt", ".sse")
"""Of the files that are looked into when a folder is named; each also with ``.gz``."""

AnyPath = str | os.PathLike[str]
OnError = Callable[[ReadError], None]

_ENDINGS = (*SUFFIXES, *(suffix + ".gz" for suffix in SUFFIXES))
_LOOKED_AT = 20
"""Lines that are looked at to tell a file of JSON lines from one JSON document."""

_COMMENTS = re.compile(rb"(?:\s*#[^\n]*\n)*\s*")
_SSE_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
_SSE_DATA = re.compile(rb"data:[ \t]*[^\s]")
_TOML = re.compile(rb"[\w.'\"-]+[ \t]*=|\[\[?[ \t]*[A-Za-z_\"'][\w.\"' \t-]*\]?\][ \t]*(?:#|$)")
_RECORDING = re.compile(
    rb"(?m)^[ \t-]*(?:interactions|http_interactions|request|response)[ \t]*:"
    rb"|^\[\[interactions\]\]"
    rb'|"(?:interactions|request|response|entries|choices)"\s*:|chat\.completion'
)
_HUGE = re.compile(r"\d{4301}")


class NotARecording(ReadError):
    """The file is none of the known formats. Callers pass over it where they walk a folder."""


class _Problem(Exception):
    """A `ReadError` whose place the caller knows."""


class _Unknown(Exception):
    """A value in which no exchange can be recognised."""


# --- which files ------------------------------------------------------------------------------


def find(paths: Iterable[AnyPath], on_error: OnError | None = None) -> list[Path]:
    """The files to read: files as named, folders walked, patterns expanded, ``-`` as it is.

    A folder gives its files with one of `SUFFIXES`, hidden ones left out, in sorted order.
    No file is given twice.

    Args:
        on_error: called for each path that does not exist and each folder that cannot be
            read, and the search goes on; without it the first such error is raised.
    """

    def report(error: ReadError) -> None:
        if on_error is None:
            raise error
        on_error(error)

    found: dict[Path, None] = {}
    for path in paths:
        text = os.fspath(path)
        if os.path.isdir(text):
            found.update(dict.fromkeys(_walk(text, report)))
        elif text == "-" or os.path.exists(text):
            found[Path(text)] = None
        elif glob.has_magic(text):
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                report(ReadError(text, "", "no file matches"))
            for match in matches:
                if os.path.isdir(match):
                    found.update(dict.fromkeys(_walk(match, report)))
                else:
                    found[Path(match)] = None
        else:
            report(ReadError(text, "", _missing(text)))
    return list(found)


def _missing(path: str) -> str:
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        return os_reason(error)
    return "no such file or folder"


def _walk(folder: str, report: OnError) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        report(ReadError(str(error.filename or folder), "", os_reason(error)))

    for place, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and name.lower().endswith(_ENDINGS) and path.is_file():
                yield path


# --- reading ----------------------------------------------------------------------------------


def read(path: AnyPath | BinaryIO, *, name: str | None = None) -> Iterator[Exchange]:
    """The exchanges of a file, a folder, a pattern such as ``logs/*.jsonl``, or ``-`` for stdin.

    Everything readable is given first. In a folder, files that are no recordings are passed over.

    Args:
        path: or a file opened in binary mode.
        name: what to call the file in `Source` and in errors.

    Raises:
        ReadError: at the end, the first of what could not be read.
    """
    errors: list[ReadError] = []
    given = False
    folder = False
    files: list[Any] = [path]
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        folder = text != "-" and (os.path.isdir(text) or not os.path.exists(text))
        if folder:  # or a pattern
            files = list(find([path], errors.append))
    for file in files:
        problems: list[ReadError] = []
        for exchange in read_file(file, problems.append, name=None if folder else name):
            given = True
            yield exchange
        for problem in problems:
            if not (folder and isinstance(problem, NotARecording)):
                errors.append(problem)
    if errors:
        raise errors[0]
    if folder and not given:
        raise NotARecording(str(path), "", "holds no recordings")


def read_file(
    path: AnyPath | BinaryIO, on_error: OnError, *, name: str | None = None
) -> Iterator[Exchange]:
    """The exchanges of one file, read on after each line or interaction that is damaged.

    Args:
        path: a file, ``-`` for stdin, or a file opened in binary mode.
        on_error: called with whatever cannot be read; nothing is raised. A file of an unknown
            format is a `NotARecording`.
        name: what to call the file in `Source` and in errors.
    """
    real: str | None = None
    file: BinaryIO | None = None
    if not isinstance(path, (str, os.PathLike)):
        file = path
        shown = name or _name_of(path)
    elif os.fspath(path) == "-":
        file, shown = sys.stdin.buffer, name or "<stdin>"
    else:
        real = os.fspath(path)
        shown = name or real
    reader = _Reader(shown, real, on_error)
    try:
        blocks = blocks_of_path(real, shown) if file is None else blocks_of(file, shown)  # type: ignore[arg-type]
        yield from reader.exchanges(blocks)
    except ReadError as error:
        on_error(error)
    except OSError as error:
        on_error(ReadError(shown, "", os_reason(error)))
    except RecursionError:
        on_error(ReadError(shown, "", "nested too deeply"))
    except MemoryError:
        on_error(ReadError(shown, "", "too large for the memory of this machine"))


def values_of(data: bytes, name: str) -> list[Any]:
    """The interactions of one document (a cassette, a HAR file) as they were parsed.

    Raises:
        ReadError: it is damaged.
        NotARecording: it is something else.
    """

    def failed(error: ReadError) -> None:
        raise error

    return _Reader(name, None, failed).values(data)


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "<stdin>" if file is sys.stdin.buffer else "<file>"


class _Reader:
    """One file on its way to exchanges."""

    def __init__(self, name: str, path: str | None, on_error: OnError) -> None:
        self.name, self.on_error = name, on_error
        self.path = path if path is not None and os.path.isfile(path) else None

    def exchanges(self, blocks: Iterator[bytes]) -> Iterator[Exchange]:
        head, ended, kind = b"", False, None
        while kind is None:
            block = next(blocks, b"")
            ended = not block
            head += block
            kind = _kind(head, ended or len(head) >= BLOCK)
            if kind == "empty" and not ended:  # blank so far
                kind = None
            if kind is None and len(head) > 16 * BLOCK:
                kind = "yaml"
        if kind == "empty":
            raise ReadError(self.name, "", "is empty")
        whole = itertools.chain([head], blocks)
        if kind == "sse":
            return self._sse(whole)
        if kind == "json":
            return self._json(whole)
        return self._document(join(whole, self.name, self.path), kind)

    # Raw streams.

    def _sse(self, blocks: Iterator[bytes]) -> Iterator[Exchange]:
        pieces: Iterable[bytes]
        if self.path is None:
            pieces = SpooledPieces(blocks, self.name)
        else:
            if starts_with(self.path, GZIP, b"\xff\xfe", b"\xfe\xff"):
                for _ in blocks:  # a damaged gzip file is reported here, not in mid-check
                    pass
            pieces = FilePieces(os.path.abspath(self.path), self.name)
        yield Exchange(None, Response(pieces=pieces), Source(self.name, 0))

    def _chunk_lines(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[Exchange]:
        chunks: Iterable[Any]
        if self.path is None:
            chunks = list(_chunks(lines, self.name, self.on_error))
        else:
            for _ in _chunks(lines, self.name, self.on_error):
                pass
            chunks = _ChunkLines(os.path.abspath(self.path), self.name)
        yield Exchange(None, Response(chunks=chunks), Source(self.name, 0))

    # JSON, in one document or in lines.

    def _json(self, blocks: Iterator[bytes]) -> Iterator[Exchange]:
        lines = enumerate(lines_of(blocks, self.name))
        ahead: list[tuple[int, bytes]] = []  # lines as they stand
        first, first_line = None, b""
        failed = False
        for number, line in lines:
            ahead.append((number, line))
            if line.strip():
                first_line = line
                try:
                    first = _json_value(line, self.name, number)
                except ReadError:
                    failed = True
                break
        if isinstance(first, dict) and _has_exchange(first):
            yield from self._lines(itertools.chain(ahead, lines))
            return
        followed = known = False
        for number, line in lines:
            ahead.append((number, line))
            if not line.strip():
                continue
            followed = True
            if not failed or first_line[:1] != b"{" or len(ahead) > _LOOKED_AT:
                break
            if line[:1] == b"{":
                try:
                    value = _json_value(line, self.name, number)
                except ReadError:
                    continue
                if _is_known(value):
                    known, first = True, value
                    break
        everything = itertools.chain(ahead, lines)
        if failed and not known:
            text = join(_with_newlines(everything), self.name, self.path)
            yield from self._document(text, "json")
        elif not failed and not followed:
            yield from self._value(first, first_line)
        elif isinstance(first, dict) and _is_chunk(first):
            yield from self._chunk_lines(everything)
        else:
            if not known and not _is_known(first):
                for number, line in itertools.islice(lines, _LOOKED_AT):
                    ahead.append((number, line))
                everything = itertools.chain(ahead, lines)
                if not any(_known_line(line) for _, line in ahead):
                    raise self._not_a_recording()
            yield from self._lines(everything)

    def _lines(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[Exchange]:
        for number, line in lines:
            if not line.strip():
                continue
            try:
                value = _json_value(line, self.name, number)
                exchange = _from_value(value, line)
            except ReadError as error:
                self.on_error(error)
            except (_Problem, BodyProblem) as error:
                self.on_error(ReadError(self.name, f"line {number + 1}", str(error)))
            except _Unknown:
                reason = 'holds no exchange: there is neither "request" nor "response"'
                self.on_error(ReadError(self.name, f"line {number + 1}", reason))
            else:
                exchange.source = Source(self.name, number)
                yield exchange

    # Whole documents.

    def values(self, data: bytes) -> list[Any]:
        kind = _kind(data, True)
        text = self._decoded(data)
        value: Any = None
        if kind == "json":
            value = self._parsed(text, data)
        elif kind == "toml":
            value = self._toml(text, data)
        elif kind == "yaml":
            try:
                value = next(load_all(text), None)
            except YAMLProblem as error:
                raise self._damaged(data, error.place, error.text) from None
        try:
            return _items(value, raw=False)
        except _Unknown:
            raise self._not_a_recording() from None

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._damaged(data, *_bad_byte(data, error, 0)) from None

    def _parsed(self, text: str, data: bytes) -> Any:
        try:
            return _loads(text)
        except _Damage as error:
            raise self._damaged(data, error.place(), error.reason) from None

    def _document(self, data: bytes, kind: str) -> Iterator[Exchange]:
        text = self._decoded(data)
        if kind == "json":
            yield from self._value(self._parsed(text, data), data)
        elif kind == "toml":
            yield from self._value(self._toml(text, data), b"")
        else:
            yield from self._yaml(text, data)

    def _toml(self, text: str, data: bytes) -> Any:
        import tomllib

        try:
            return tomllib.loads(text)
        except RecursionError:
            raise self._damaged(data, "", "not valid TOML: nested too deeply") from None
        except ValueError as error:
            reason, _, place = str(error).partition(" (at ")
            if "integer string conversion" in reason:
                reason = "an integer of more than 4300 digits"
            place = place.rstrip(")")
            reason = f"not valid TOML: {reason}"
            if place == "end of document":
                place, reason = "", f"{reason}; the file is cut off"
            raise self._damaged(data, place, reason) from None

    def _yaml(self, text: str, data: bytes) -> Iterator[Exchange]:
        documents = load_all(text)
        first = 0
        known = False
        while True:
            try:
                value = next(documents)
            except StopIteration:
                break
            except YAMLProblem as error:
                problem = self._damaged(data, error.place, error.text)
                if known and not isinstance(problem, NotARecording):
                    self.on_error(problem)
                    return
                raise problem from None
            try:
                items = _items(value, raw=False)
            except _Unknown:
                continue
            known = True
            yield from self._numbered(items, first)
            first += len(items)
        if not known:
            raise self._not_a_recording()

    def _value(self, value: Any, data: bytes) -> Iterator[Exchange]:
        try:
            if isinstance(value, list) and value and all(_is_chunk(item) for item in value):
                yield Exchange(None, Response(chunks=value), Source(self.name, 0))
                return
            items = _items(value, raw=True)
        except _Unknown:
            raise self._not_a_recording() from None
        if items and items[0] is value:
            yield from self._numbered(items, 0, data)
        else:
            yield from self._numbered(items, 0)

    def _numbered(self, items: list[Any], first: int, data: bytes = b"") -> Iterator[Exchange]:
        for index, item in enumerate(items, first):
            place = f"interaction {index}"
            try:
                exchange = _from_value(item, data)
            except (_Problem, BodyProblem) as error:
                self.on_error(ReadError(self.name, place, str(error)))
            except _Unknown:
                reason = "holds neither a request nor a response"
                self.on_error(ReadError(self.name, place, reason))
            else:
                exchange.source = Source(self.name, index)
                yield exchange

    # Errors.

    def _not_a_recording(self) -> NotARecording:
        return NotARecording(
            self.name,
            "",
            "no known recording format (vcrpy, cassetter, HAR, JSON Lines, JSON or SSE body)",
        )

    def _damaged(self, data: bytes, place: str, reason: str) -> ReadError:
        """A file that would not be a recording even if it were whole is none of our business."""
        kind = ReadError if _RECORDING.search(data) else NotARecording
        return kind(self.name, place, reason)


def _with_newlines(lines: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    between = b""
    for _, line in lines:
        yield between + line
        between = b"\n"


# --- formats ----------------------------------------------------------------------------------


def _kind(head: bytes, enough: bool) -> str | None:
    """The family a file belongs to by its beginning; ``None`` while more of it is needed."""
    comments = _COMMENTS.match(head)
    text = head[comments.end() if comments else 0 :]
    if not text:
        return "empty" if not head.strip() else "yaml" if enough else None
    if text[:1] == b"{":
        return "json"
    line, end, _ = text.partition(b"\n")
    line = line.rstrip()
    if not end and not enough:
        return None
    if _TOML.match(line):
        return "toml"
    if text[:1] == b"[":
        return "json"
    if _SSE_FIELD.match(line):
        if _SSE_DATA.match(line):
            return "sse"
        others = [other for other in text.split(b"\n") if other.strip()]
        if any(_SSE_DATA.match(other) for other in others):
            return "sse"
        if not enough:
            return None
        if all(_SSE_FIELD.match(other) for other in others[: -1 if len(others) > 1 else None]):
            return "sse"
    return "yaml"


def _has_exchange(value: dict[str, Any]) -> bool:
    return isinstance(value.get("request"), dict) or isinstance(value.get("response"), dict)


def _is_chunk(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("object") == "chat.completion.chunk":
        return True
    choices = value.get("choices")
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and "message" not in choice for choice in choices
    )


def _is_raw(value: Any) -> bool:
    """A completion, a chunk, a list of models or an error, as a response body has them."""
    if not isinstance(value, dict):
        return False
    kind = value.get("object")
    return (
        isinstance(value.get("choices"), list)
        or (isinstance(kind, str) and (kind.startswith("chat.completion") or kind in _KINDS))
        or isinstance(value.get("error"), (dict, str))
    )


_KINDS = {"list", "model", "error"}


def _is_known(value: Any) -> bool:
    return isinstance(value, dict) and (_has_exchange(value) or _is_raw(value))


def _known_line(line: bytes) -> bool:
    try:
        return _is_known(_loads(line.decode()))
    except (_Damage, UnicodeDecodeError):
        return False


def _items(value: Any, *, raw: bool) -> list[Any]:
    """The parts of a document that stand for one exchange each."""
    if isinstance(value, dict):
        for key in ("interactions", "http_interactions"):
            if key in value and isinstance(value[key], (list, type(None))):
                return value[key] or []
        log = value.get("log")
        if isinstance(log, dict) and isinstance(log.get("entries"), list):
            return list(log["entries"])
        if _has_exchange(value) or (raw and _is_raw(value)):
            return [value]
    elif isinstance(value, list) and any(_is_known(item) for item in value):
        return value
    raise _Unknown


def exchange_of(interaction: dict[str, Any]) -> Exchange:
    """One interaction of a cassette, as it was parsed.

    Raises:
        ValueError: in one line, why it is none.
    """
    try:
        return _from_value(interaction)
    except _Unknown:
        raise ValueError("holds neither a request nor a response") from None
    except (_Problem, BodyProblem) as error:
        raise ValueError(str(error)) from None


def _from_value(value: Any, data: bytes = b"") -> Exchange:
    """One exchange; `data` is the text of `value` where that may be a raw body."""
    if isinstance(value, dict):
        if _has_exchange(value):
            exchange = Exchange(_request(value.get("request")), _response(value))
            if exchange.request or exchange.response:
                return exchange
        elif _is_raw(value):
            failed = "choices" not in value and (
                value.get("object") == "error" or isinstance(value.get("error"), (dict, str))
            )
            body = plain_body(data.strip() or value)
            return Exchange(None, Response(400 if failed else 200, {}, body))
    raise _Unknown


def _request(part: Any) -> Request | None:
    if not isinstance(part, dict):
        return None
    headers = _headers(part.get("headers"))
    try:
        body = plain_body(_request_body(part), headers.get("content-encoding", ""))
    except BodyProblem as error:
        raise _Problem(f"request: {error}") from None
    method = _text(part.get("method")).strip().upper() or "POST"
    url = next((_text(part[key]) for key in ("uri", "url", "path") if part.get(key)), "")
    return Request(method, url, headers, body)


def _request_body(part: dict[str, Any]) -> Any:
    body = _body(part, "body")
    if body is None:
        posted = part.get("postData")  # HAR
        if isinstance(posted, dict):
            return _har_text(posted)
    return body


def _response(value: dict[str, Any]) -> Response | None:
    part = value.get("response")
    if not isinstance(part, dict):
        return None
    headers = _headers(part.get("headers"))
    try:
        body = plain_body(_response_body(part), headers.get("content-encoding", ""))
    except BodyProblem as error:
        raise _Problem(f"response: {error}") from None
    status = _status(part)
    if 0 <= status < 100:
        if body is None and status == 0:
            return None  # HAR has this for a request that was never answered
        status = 200
    ours = part.get("chatapi")
    cut = (ours if isinstance(ours, dict) else part).get("cut", value.get("cut"))
    side: Literal["server", "client"] | None = cut if cut in ("server", "client") else None
    return Response(status, headers, body, cut=side)


def _response_body(part: dict[str, Any]) -> Any:
    body = _body(part, "body")
    content = part.get("content")
    if body is None and content is not None:
        if isinstance(content, dict):
            return _har_text(content)
        return content  # vcrpy with the first httpx
    return body


def _body(part: dict[str, Any], key: str) -> Any:
    """What vcrpy, cassetter and others have as the body of a request or response."""
    if "body_type" in part:  # cassetter, TOML
        return _cassetter(part["body_type"], part.get("body_content"), text=True)
    body = part.get(key)
    if isinstance(body, dict):
        names = body.keys()
        if "type" in body and body["type"] in _TYPES and names <= {"type", "content"}:
            return _cassetter(body["type"], body.get("content"), text=False)  # cassetter, YAML
        if names and names <= _WRAPPERS:
            if "base64_string" in body:
                return _base64(body["base64_string"])
            if "string" in body:
                body = body["string"]
            elif "encoding" in body:
                body = None
    if (body is None or body == "") and "parsed_body" in part:
        return part["parsed_body"]
    return body


_TYPES = ("json", "text", "binary", "none")
_WRAPPERS = {"string", "base64_string", "encoding"}


def _cassetter(kind: Any, content: Any, *, text: bool) -> Any:
    if kind == "none":
        return None
    if kind == "binary" and isinstance(content, str):
        try:
            return bytes.fromhex(content)
        except ValueError:
            raise BodyProblem("the binary body is not hexadecimal") from None
    if kind == "json" and not text and isinstance(content, str):
        return json.dumps(content)  # a JSON string; a text would be taken as the wire's
    return content


def _har_text(content: dict[str, Any]) -> Any:
    text = content.get("text")
    if content.get("encoding") == "base64" and isinstance(text, str):
        return _base64(text)
    return text


def _base64(text: Any) -> bytes:
    data = text if isinstance(text, bytes) else _text(text).encode()
    try:
        return base64.b64decode(data.translate(None, b" \t\r\n"), validate=True)
    except (Base64Error, ValueError):
        raise BodyProblem("the body is not base64") from None


def _status(part: dict[str, Any]) -> int:
    status = part.get("status", part.get("status_code", part.get("statusCode")))
    if isinstance(status, dict):
        status = status.get("code")
    if isinstance(status, str) and status.strip()[:3].isdecimal():
        status = int(status.strip()[:3])
    if isinstance(status, float) and status == status // 1:
        status = int(status)
    if isinstance(status, int) and not isinstance(status, bool) and 0 <= status <= 999:
        return status
    return 200


def _headers(headers: Any) -> dict[str, str]:
    return fold_headers(header_pairs(headers))


def header_pairs(headers: Any) -> list[tuple[str, str]]:
    """Of a mapping, of HAR's list of names and values, or of a list of pairs."""
    pairs: list[tuple[str, str]] = []
    if isinstance(headers, dict):
        for name, value in headers.items():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if item is not None:
                    pairs.append((_text(name), _text(item)))
    elif isinstance(headers, list):
        for item in headers:
            if isinstance(item, dict) and "name" in item:
                pairs.append((_text(item["name"]), _text(item.get("value", ""))))
            elif isinstance(item, (list, tuple)) and len(item) == 2:
                pairs.append((_text(item[0]), _text(item[1])))
    return [(name, value) for name, value in pairs if name[:1] != ":"]


def _text(value: Any) -> str:
    """Text that can be printed."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    text = value if isinstance(value, str) else repr(value) if _is_number(value) else ""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64)


# --- JSON -------------------------------------------------------------------------------------


class _Damage(Exception):
    """`line` and `column` count from 1, 0 where unknown."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.reason, self.line, self.column = reason, line, column

    def place(self, line: int = 0) -> str:
        if not self.line:
            return f"line {line + 1}" if line else ""
        return f"line {line + self.line}, column {self.column}"


def _loads(text: str) -> Any:
    """As `json.loads`, duplicate names and NaN allowed, and every failure a `_Damage`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"not valid JSON: {error.msg}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            reason += "; the text is cut off"
        raise _Damage(reason, error.lineno, error.colno) from None
    except RecursionError:
        raise _Damage("the JSON is nested too deeply") from None
    except ValueError:
        found = _HUGE.search(text)
        at = found.start() if found else 0
        raise _Damage(
            "an integer of more than 4300 digits",
            text.count("\n", 0, at) + 1,
            at - text.rfind("\n", 0, at),
        ) from None


def _json_value(line: bytes, name: str, number: int) -> Any:
    """A line of JSON; `number` counts from 0."""
    try:
        return _loads(line.decode())
    except UnicodeDecodeError as error:
        raise ReadError(name, *_bad_byte(line, error, number)) from None
    except _Damage as error:
        place = error.place(number) or f"line {number + 1}"
        raise ReadError(name, place, error.reason) from None


def _bad_byte(data: bytes, error: UnicodeDecodeError, line: int) -> tuple[str, str]:
    """Place and reason; `line` is that of the beginning of `data`, from 0."""
    line += data.count(b"\n", 0, error.start) + 1
    byte = error.start - data.rfind(b"\n", 0, error.start)
    return f"line {line}, byte {byte}", (
        f"not UTF-8 (0x{data[error.start]:02x}); save the file as UTF-8"
    )


def _chunks(lines: Iterable[tuple[int, bytes]], name: str, on_error: OnError) -> Iterator[Any]:
    for number, line in lines:
        line = line.strip()
        if line and line != b"[DONE]":
            try:
                yield _json_value(line, name, number)
            except ReadError as error:
                on_error(error)


class _ChunkLines:
    """The chunks of a file of JSON lines, read anew at each iteration."""

    __slots__ = ("name", "path")

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name

    def __iter__(self) -> Iterator[Any]:
        lines = enumerate(lines_of(blocks_of_path(self.path, self.name), self.name))
        return _chunks(lines, self.name, lambda error: None)

    def __repr__(self) -> str:
        return f"_ChunkLines({self.path!r})"
