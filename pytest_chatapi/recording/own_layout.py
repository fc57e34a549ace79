"""Reads what `cassette` writes without a YAML parser, which would take most of a replay's time.

Only plain cases are read here. Anything that could mean something else in YAML gives ``None``
and is left to the parser.
"""

from __future__ import annotations

import re

from pytest_chatapi.contract.exchange import Request, fold_headers
from pytest_chatapi.recording.interaction import OURS, Interaction, from_parts

__all__ = ["own_interaction", "own_request"]

_REQUEST = re.compile(
    rb"- request:\n    method: ([A-Z]+)\n    uri: (https?://[\w./:?=&%~-]+)\n"
    rb"    headers:(?: \{\}\n|\n((?:      [^\n]++\n)++))"
    rb"    body: (?:null\n|\|(-?)\n((?:      [^\n]*+\n|\n)++))"
    rb"(?=  response:\n)"
)
_RESPONSE = re.compile(
    rb"  response:\n    status:\n      code: (\d{3})\n      message: ([A-Z][A-Za-z -]*|'')\n"
    rb"    headers:(?: \{\}\n|\n((?:      [^\n]++\n)++))"
    rb"    body:\n      string: (?:'((?:[^'\n]++|'')*+)'\n|\|([-+]?)\n((?:        [^\n]*+\n|\n)++))"
    rb"    " + OURS.encode() + rb":\n((?:      \w+: [^\n]+\n)+)\Z"
)
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")
_OTHER = b"\"'#&*!|>%@`[{?,"
"""Each begins a scalar that is not plain text."""


def own_request(block: bytes) -> Request | None:
    """The request of a block."""
    match = _REQUEST.match(block)
    return _request(match) if match else None


def own_interaction(block: bytes, request: Request | None = None) -> Interaction | None:
    """The interaction of a whole block.

    Args:
        request: the result of `own_request`, if there is one already.
    """
    head = _REQUEST.match(block)
    rest = _RESPONSE.match(block, head.end()) if head else None
    if head is None or rest is None or b"\r" in block or not _is_plain(block):
        return None
    request = request or _request(head)
    code, reason, lines, quoted, chomp, literal, ours = rest.groups()
    headers = _headers(lines)
    notes = _notes(ours)
    if request is None or headers is None or notes is None:
        return None
    body = quoted.replace(b"''", b"'") if literal is None else _literal(literal, 8, chomp)
    if body is None:
        return None
    message = "" if reason == b"''" else reason.decode()
    return from_parts(request, int(code), message, headers, body, notes)


def _request(match: re.Match[bytes]) -> Request | None:
    method, uri, lines, chomp, literal = match.groups()
    headers = _headers(lines)
    body = b"" if literal is None else _literal(literal, 6, chomp)
    if headers is None or body is None or not _is_plain(match[0]):
        return None
    text = body.decode() if literal is not None else None
    return Request(method.decode(), uri.decode(), fold_headers(headers), text)


def _is_plain(block: bytes) -> bool:
    """Whether it is UTF-8 without the characters that YAML reads as line ends."""
    if block.isascii():
        return True
    try:
        return _BREAKS.search(block.decode()) is None
    except UnicodeDecodeError:
        return False


def _literal(lines: bytes, indent: int, chomp: bytes) -> bytes | None:
    text = lines.replace(b"\n" + b" " * indent, b"\n")
    if text[:indent].isspace() and text[:1] != b"\n":
        text = text[indent:]
    else:
        return None  # it begins with an empty line
    if chomp == b"+":
        return text
    if text.endswith(b"\n\n"):
        return None
    return text[:-1] if chomp else text


def _headers(lines: bytes | None) -> list[tuple[str, str]] | None:
    pairs: list[tuple[str, str]] = []
    name = ""
    for line in (lines or b"").split(b"\n")[:-1]:
        text = line[6:]
        if text[:2] == b"- ":
            value = _scalar(text[2:])
            if value is None or not name:
                return None
            pairs.append((name, value))
        elif text.endswith(b":") and text[:1] not in _OTHER:
            name = text[:-1].decode()
        else:
            return None
    return pairs


def _notes(lines: bytes) -> dict[str, str] | None:
    notes: dict[str, str] = {}
    for line in lines.split(b"\n")[:-1]:
        name, _, rest = line[6:].partition(b": ")
        value = _scalar(rest)
        if value is None:
            return None
        notes[name.decode()] = value
    return notes


def _scalar(text: bytes) -> str | None:
    """The text of one line, plain or in single quotes."""
    if text[:1] == b"'":
        inner = text[1:-1]
        if len(text) < 2 or text[-1:] != b"'" or b"'" in inner.replace(b"''", b""):
            return None
        return inner.replace(b"''", b"'").decode()
    if not text or text[:1] in _OTHER or b" #" in text or b": " in text or text[-1:] in b" :":
        return None
    return text.decode()
