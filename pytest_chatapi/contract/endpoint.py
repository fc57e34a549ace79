"""Which contract an exchange belongs to: a row of `apis`, found by request or body."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from pytest_chatapi.contract.apis import (
    CHAT,
    ENDPOINTS,
    NOT_UNDERSTOOD,
    OTHER_APIS,
    UNANSWERED,
    UNKNOWN,
    Endpoint,
)
from pytest_chatapi.contract.body_tests import asks_chat, is_list, may_be_chat, objects_in
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.logged import is_logged_message, is_understood
from pytest_chatapi.contract.sse import decode_sse, looks_like_sse
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = [
    "checked_row_of",
    "endpoint",
    "find_endpoint",
    "first_object",
    "named",
    "other_api",
    "path_of",
    "row_of",
]

_BY_NAME = {row.name: row for row in ENDPOINTS}
# In the order of the table: the rows under one path.
_BY_PATH = {
    re.compile(path): [row for row in ENDPOINTS if row.path == path]
    for path in dict.fromkeys(row.path for row in ENDPOINTS)
}
_BY_BODY = [(row.body, row) for row in (*ENDPOINTS, *OTHER_APIS) if row.body is not None]
_BY_REQUEST = [(row.asked, row) for row in OTHER_APIS if row.asked is not None]
_BY_MEDIA = [(row.media, row) for row in OTHER_APIS if row.media]
_BY_EVENT = [(re.compile(row.events), row) for row in OTHER_APIS if row.events]
# A list has the name of what is in it.
_LISTS = {"chat": "completion_list", "model": "model_list"}
_SUFFIX = "/chat/completions"

# Events of a stream that are looked at: the first ones may be pings, or Azure's empty choices.
_MOST_EVENTS = 8
# Bytes in which their beginning has to be.
_HEAD = 64 * 1024
# A text with the first two and without the third is a completion, and no list of them.
_KIND, _CHOICES, _DATA = '"chat.completion"', '"choices"', '"data"'
# A stream with this in its first event is one of chunks.
_CHUNK = '"chat.completion.chunk"'


# -- the search --------------------------------------------------------------------------


def row_of(exchange: Exchange) -> Endpoint:
    """The row of what was called: of `ENDPOINTS`, of `OTHER_APIS`, or `UNKNOWN`."""
    request, response = exchange.request, exchange.response
    if request is None or not request.url:
        return _by_body(request, response, addressed=False)
    url, method = request.url, request.method.upper()
    if method == "POST" and url.endswith(_SUFFIX) and _has_plain_path(url):
        return CHAT
    return _by_path(exchange, request, path_of(url), method)


def checked_row_of(exchange: Exchange) -> Endpoint:
    """As `row_of`, but `UNANSWERED` where there is nothing to check: no response, no body; and
    `NOT_UNDERSTOOD` for a message of a log that cannot be.

    Where the recording says what it lacks, the row has that as its name.
    """
    if exchange.lacks:
        row = row_of(exchange)
        return row if row.check is None else Endpoint(exchange.lacks, "")
    request, response = exchange.request, exchange.response
    if exchange.assembled and response is not None and is_logged_message(response.body):
        row = row_of(exchange)
        return row if row.check is None or is_understood(response.body) else NOT_UNDERSTOOD
    if response is None and (request is None or request.body is None):
        row = row_of(exchange)
        return row if row.check is None else UNANSWERED
    return row_of(exchange)


def named(name: str) -> Endpoint:
    """The row of `ENDPOINTS` with this name."""
    return _BY_NAME[name]


def find_endpoint(exchange: Exchange) -> Endpoint | None:
    """The row of what was called; ``None`` for traffic that is not checked."""
    row = row_of(exchange)
    return row if row.check is not None else None


def endpoint(exchange: Exchange) -> str | None:
    """The name of what was called, as `ENDPOINTS` has it; ``None`` for traffic not checked."""
    row = row_of(exchange)
    return row.name if row.check is not None else None


def other_api(exchange: Exchange) -> str | None:
    """The name of the API of an exchange that is not checked, as `OTHER_APIS` has it.

    Returns:
        ``unknown`` where no row fits, ``None`` for what is checked.
    """
    row = row_of(exchange)
    return row.name if row.check is None else None


def _by_path(exchange: Exchange, request: Request, path: str, method: str) -> Endpoint:
    is_ours = False
    for pattern, rows in _BY_PATH.items():
        if pattern.search(path) is not None:
            for row in rows:
                if method in row.methods and row.unless not in request.headers:
                    return _of_other(exchange.response) or row if row.unless else row
            is_ours = True
            break
    for row in OTHER_APIS:
        if row.header in request.headers if row.header else row.path and re.search(row.path, path):
            return CHAT if _is_chat_call(request, exchange.response) else row
    # Under a path of ours, a method that it does not have is not a completion either.
    return UNKNOWN if is_ours else _by_body(request, exchange.response, addressed=True)


def _of_other(response: Response | None) -> Endpoint | None:
    """The row of another API that responds under a path of ours, as the body tells."""
    row = _of_response(response)
    return row if row is not None and row.check is None else None


def _is_chat_call(request: Request, response: Response | None) -> bool:
    """Whether a call under the path of another API is a chat completion anyway."""
    body = response.body if response is not None else None
    if isinstance(body, str | bytes):
        mark: str | bytes = "chat.completion" if isinstance(body, str) else b"chat.completion"
        if mark not in body:  # type: ignore[operator]
            return False
    asked = _lenient(request.body)
    if isinstance(asked, dict) and not asks_chat(asked):
        return False
    return any(
        str(value.get("object")).startswith("chat.completion")
        for value, _ in _samples(response)
        if isinstance(value, dict)
    )


def _has_plain_path(url: str) -> bool:
    """Whether the end of a URL is the end of its path for sure: `path_of` is slower."""
    return url[-len(_SUFFIX) - 1 : -len(_SUFFIX)].isalnum() and "?" not in url and "#" not in url


def path_of(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return url.partition("?")[0].rstrip("/")


def _by_body(request: Request | None, response: Response | None, *, addressed: bool) -> Endpoint:
    """The row that the bodies tell, where the address does not.

    Args:
        addressed: there is an address, which no row knows: then only what is plainly a chat
            completion, or another document of ours, is checked.
    """
    row = _of_response(response)
    if row is not None:
        return row
    asked = _lenient(request.body) if request is not None else None
    if isinstance(asked, dict):
        for belongs, row in _BY_REQUEST:
            if belongs(asked):
                return row
        if asks_chat(asked):
            return CHAT if not addressed or _is_plain_call(request, asked, response) else UNKNOWN
    if addressed:
        return UNKNOWN
    if response is not None:
        return _of_list(response) or (CHAT if _is_broken_or_chat(response) else UNKNOWN)
    return CHAT if not isinstance(asked, dict) or "model" in asked or not asked else UNKNOWN


def _of_response(response: Response | None) -> Endpoint | None:
    """The row that a response belongs to without doubt."""
    if response is None:
        return None
    body = response.body
    # Parsing twice would double the cost of a lone response. In a text inside of JSON, the
    # quotes would be escaped.
    if isinstance(body, str):
        if _is_plainly_chat(body):
            return CHAT
    elif isinstance(body, bytes) and _is_plainly_chat(body.decode("latin-1")):
        return CHAT
    media_type = fold_headers(response.headers).get("content-type", "").lower()
    for media, row in _BY_MEDIA if media_type else ():
        if media_type.startswith(media):
            return row
    for value, event in _samples(response):
        for pattern, row in _BY_EVENT:
            if event and pattern.fullmatch(event):
                return row
        if isinstance(value, dict):
            found = _of_value(value)
            if found is not None:
                return found
    return None


def _is_plainly_chat(body: str) -> bool:
    # A long stream is not searched to its end, nor the beginning of a completion for a chunk.
    if body[:1] != "{" and _CHUNK in body[:512]:
        return True
    return (_KIND in body and _CHOICES in body and _DATA not in body) or _CHUNK in body[:512]


def _of_value(value: JSONObject) -> Endpoint | None:
    row = _of_object(value)
    if row is not None:
        return row
    rows = [_of_object(item) for item in objects_in(value.get("data"))]
    if rows and rows[0] is not None and all(row is rows[0] for row in rows):
        name = rows[0].name
        return _BY_NAME[_LISTS[name]] if name in _LISTS else rows[0]
    return None


def _of_object(value: JSONObject) -> Endpoint | None:
    for belongs, row in _BY_BODY:
        if belongs(value):
            return row
    return None


def _is_plain_call(request: Request | None, asked: JSONObject, response: Response | None) -> bool:
    """Whether a request with messages, to an address that no row knows, asks for a completion."""
    if not _is_broken_or_chat(response):
        return False
    if request is not None and "/" not in request.url:  # a placeholder, which says nothing
        return True
    # The request of an application to its own server may have messages, too (so a mock or a fault
    # keeps to paths), and no server says about a path that it does not know what is wrong with a
    # completion.
    is_there = response is not None and response.status not in (404, 405)
    return is_there and isinstance(asked.get("model"), str)


def _of_list(response: Response) -> Endpoint | None:
    """The row of a list whose items do not tell: one in pages, else most likely one of models."""
    value, _ = next(_samples(response), (None, ""))
    if not isinstance(value, dict) or not is_list(value):
        return None
    items = objects_in(value.get("data"))
    if not items and not _PAGE.isdisjoint(value):
        return _BY_NAME["completion_list"]
    is_messages = bool(items) and all(map(_is_message, items))
    return _BY_NAME["message_list" if is_messages else "model_list"]


_PAGE = {"first_id", "last_id", "has_more"}


def _is_message(item: JSONObject) -> bool:
    return "role" in item and "content" in item and "object" not in item


def _is_broken_or_chat(response: Response | None) -> bool:
    """Whether a response that belongs to no row may be a completion that is broken, or an error."""
    if response is None or response.status >= 400:
        return True
    values = [value for value, _ in _samples(response)]
    objects = [value for value in values if isinstance(value, dict)]
    return not objects or any(map(may_be_chat, objects))


def first_object(response: Response | None) -> JSONObject:
    """The body, or the first event of a stream that is an object; empty without one."""
    values = (value for value, _ in _samples(response))
    return next((value for value in values if isinstance(value, dict)), {})


def _samples(response: Response | None) -> Iterator[tuple[JSON, str]]:
    """The body, or the first events of a stream, each with its type; nothing if it is neither."""
    if response is None:
        return
    body: JSON = response.body
    if body is None and response.pieces is not None:
        body = _head(response.pieces)
    if body is None and response.chunks is not None:
        if not isinstance(response.chunks, Iterator):
            for chunk in itertools.islice(response.chunks, _MOST_EVENTS):
                yield chunk, ""
        return
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, bytes):
        yield (body[0] if isinstance(body, list) and body else body), ""
    elif looks_like_sse(body[:512].lstrip()):
        for data, event, _ in itertools.islice(decode_sse([body[:_HEAD]]), _MOST_EVENTS):
            yield _lenient(data), event.decode("utf-8", "replace")
    else:
        value = _lenient(body)
        if value is None:  # perhaps one object a line
            value = _lenient(body.lstrip().partition(b"\n")[0])
        yield (value[0] if isinstance(value, list) and value else value), ""


def _head(pieces: Iterable[bytes]) -> bytes | None:
    """The beginning of a body in pieces; ``None`` where they can be read only once."""
    if isinstance(pieces, Iterator):
        return None
    parts, size = [], 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= _HEAD:
            break
    return b"".join(parts)


def _lenient(body: JSON) -> JSON:
    """The parsed body; ``None`` where it is not JSON. Errors in it do not matter here."""
    if not isinstance(body, str | bytes):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
