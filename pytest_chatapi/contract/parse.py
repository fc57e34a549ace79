"""Strict JSON (RFC 8259): some of what `json.loads` accepts is an error here.

Duplicate keys, ``NaN``, ``Infinity`` and numbers that overflow break other parsers, or lose data
silently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, without_secrets

__all__ = ["first_value", "is_beginning", "loads", "loads_bytes"]


def _no_duplicates(pairs: list[tuple[str, JSON]]) -> JSONObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {_short(key)} appears twice in one object")
            seen.add(key)
    return members


def _no_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"the number {_short(text)} overflows")
    return number


def _short(text: str) -> str:
    text = without_secrets(text[:4096])
    return repr(text if len(text) <= 40 else text[:37] + "...")


_decoder = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
)
_SPACE = " \t\n\r"
_scan: Callable[[str, int], tuple[JSON, int]] = _decoder.scan_once  # type: ignore[attr-defined]


def _decode(text: str) -> JSON:
    """As `JSONDecoder.decode`, which always searches for white space around the value."""
    try:
        value, end = _scan(text, 0)
        if end == len(text) or not text[end:].strip(_SPACE):
            return value
    except StopIteration:  # it begins with white space, or is not JSON
        pass
    return _decoder.decode(text)


def loads(text: str) -> JSON:
    """Parses one JSON text.

    Raises:
        ValueError: it is not; one line says what is wrong and where.
    """
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        near = text[error.pos : error.pos + 20]
        raise ValueError(
            f"{error.msg} at line {error.lineno}, column {error.colno}"
            + (f", near {near!r}" if near else ", at the end of the text")
        ) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("a number has more than 4,300 digits") from None
        raise


def loads_bytes(body: bytes) -> JSON:
    """As `loads`, for UTF-8 bytes (RFC 8259, 8.1)."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not UTF-8: byte 0x{body[error.start]:02x} at offset {error.start}"
        ) from None
    return loads(text)


def first_value(text: bytes) -> JSON:
    """The JSON value that a text begins with, whatever follows it; `ABSENT` where none does."""
    try:
        return _decoder.raw_decode(text.decode("utf-8", "replace").strip())[0]
    except (ValueError, RecursionError):
        return ABSENT


_CUT_NUMBER = re.compile(r"(?<![^\s\[:,])(-?(?:0|[1-9]\d*))(?:\.|(?:\.\d+)?[eE][+-]?)\Z")
# With the escapes before it: the decoder does not take a text that ends with a whole one either.
_CUT_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})*\\(?:u[0-9a-fA-F]{0,4})?\Z")
_CUT_WORD = re.compile(r"\s*(?:t|tr|tru|f|fa|fal|fals|n|nu|nul|-)?")
_NOTHING = re.compile(r"\s*")


def is_beginning(text: str) -> bool:
    """Whether a text is not JSON only because it ends too early."""
    number = _CUT_NUMBER.search(text)
    text = text if number is None else text[: number.end(1)]
    whole = _CUT_ESCAPE.sub("", text)
    try:
        json.loads(whole)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            return True
        left = _CUT_WORD if error.msg == "Expecting value" else _NOTHING
        return whole == text and left.fullmatch(text, error.pos) is not None
    except (ValueError, RecursionError):
        return False
    return number is not None
