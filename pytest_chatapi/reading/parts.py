"""Parts of an exchange in the spellings that recorders have for them."""

from __future__ import annotations

import base64
from binascii import Error as Base64Error

from pytest_chatapi.contract.exchange import fold_headers
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.reading.bodies import BodyProblem

__all__ = ["from_base64", "header_pairs", "headers_of", "printable", "status_code", "status_of"]


def headers_of(headers: JSON) -> dict[str, str]:
    """`header_pairs`, folded to one value for each name in lower case."""
    if not headers:
        return fold_headers(None)
    if type(headers) is dict and _are_plain(headers):
        return fold_headers(headers)
    return fold_headers(header_pairs(headers))


def _are_plain(headers: JSONObject) -> bool:
    """Whether `header_pairs` would take each member as it is."""
    try:
        names, values = "".join(headers), "".join(headers.values())
    except TypeError:
        return False
    return ":" not in names and names.isascii() and values.isascii()


def header_pairs(headers: JSON) -> list[tuple[str, str]]:
    """Names and values out of a mapping, HAR's list of objects, or a list of pairs.

    HTTP/2's pseudo-headers are left out.
    """
    pairs: list[tuple[str, str]] = []
    if isinstance(headers, dict):
        for name, value in headers.items():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if item is not None:
                    pairs.append((printable(name), printable(item)))
    elif isinstance(headers, list):
        for item in headers:
            if isinstance(item, dict) and "name" in item:
                pairs.append((printable(item["name"]), printable(item.get("value", ""))))
            elif isinstance(item, (list, tuple)) and len(item) == 2:
                pairs.append((printable(item[0]), printable(item[1])))
    return [(name, value) for name, value in pairs if name[:1] != ":"]


def status_of(part: JSONObject) -> int:
    """The status code of a response; 200 where none is recorded, below 100 where none came."""
    status = status_code(part.get("status", part.get("status_code", part.get("statusCode"))))
    return 200 if status is None else status


def status_code(status: JSON) -> int | None:
    """The status code that a value is, as a number, a text or an object; else ``None``."""
    if isinstance(status, dict):
        status = status.get("code", status.get("status_code"))
    if isinstance(status, str) and status.strip()[:3].isdecimal():
        status = int(status.strip()[:3])
    if isinstance(status, float) and status == status // 1:
        status = int(status)
    if isinstance(status, int) and not isinstance(status, bool) and 0 <= status <= 999:
        return status
    return None


def from_base64(text: JSON) -> bytes:
    """The bytes of a base64 text, which may have line breaks.

    Raises:
        BodyProblem: it is not base64.
    """
    data = text if isinstance(text, bytes) else printable(text).encode()
    try:
        return base64.b64decode(data.translate(None, b" \t\r\n"), validate=True)
    except (Base64Error, ValueError):
        raise BodyProblem("the body is not base64") from None


def printable(value: JSON) -> str:
    """A text or number as text without lone surrogates; empty for any other value."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    text = value if isinstance(value, str) else repr(value) if _is_number(value) else ""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _is_number(value: JSON) -> bool:
    # A huge integer cannot be printed.
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64)
