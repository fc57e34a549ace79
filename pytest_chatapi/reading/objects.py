"""Exchanges from Python objects: the responses and requests that a test already holds.

A response may be a ``dict``, ``str`` or ``bytes``; a response of httpx, httpx2 or requests; a raw
response or a model of the openai SDK; an `Exchange` or a `Response`. A stream may also be SSE
text, or an iterable of chunks (dicts or SDK models), of lines or of ``bytes``.

Objects of other libraries are recognised by their members, so that none of them is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Protocol, TypeGuard, cast

from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wire import JSON

__all__ = ["exchange_from", "is_http_response", "is_stream", "request_from", "stream_from"]

_Bytes = bytes | bytearray | memoryview


class _HTTPResponse(Protocol):
    """What the responses of httpx, httpx2 and requests have in common."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> bytes: ...

    @property
    def request(self) -> object: ...


class _HTTPRequest(Protocol):
    """What the requests of httpx, httpx2 and requests have in common."""

    @property
    def method(self) -> str: ...

    @property
    def url(self) -> object: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class _Model(Protocol):
    """A model of the openai SDK, which is one of pydantic."""

    def model_dump(
        self, *, mode: str, exclude_unset: bool, by_alias: bool, warnings: bool
    ) -> JSON: ...


def exchange_from(value: object, request: object = None) -> Exchange:
    """Return the exchange of a response in any accepted form.

    Args:
        request: the request, if the response does not know it; see `request_from`.

    Raises:
        TypeError: `value` is not a response, or `request` not a request.
    """
    asked = request_from(request) if request is not None else None
    if isinstance(value, Exchange):
        return value if asked is None else replace(value, request=asked)
    value = getattr(value, "http_response", value)  # a raw response of the openai SDK
    if isinstance(value, Response):
        return Exchange(asked, value)
    if is_http_response(value):
        return Exchange(asked or _own_request(value), _response_from(value))
    if isinstance(value, Mapping):
        return Exchange(asked, Response(body=dict(value)))
    if isinstance(value, str):
        return Exchange(asked, Response(body=value))
    if isinstance(value, _Bytes):
        return Exchange(asked, Response(body=bytes(value)))
    if _is_model(value):
        return Exchange(asked, Response(body=_dumped(value)))
    if isinstance(value, Iterable):
        return Exchange(asked, _streamed(value))
    raise TypeError(
        f"cannot read an object of type {type(value).__name__} as a response: pass a dict, str, "
        "bytes, an HTTP response, an openai object, an iterable of chunks, or an Exchange"
    )


def stream_from(value: object, request: object = None) -> Exchange:
    """Return the exchange of a stream: as `exchange_from`, but any iterable is one of chunks."""
    if (
        isinstance(value, Iterable)
        and not isinstance(value, str | _Bytes | Mapping)
        and not is_http_response(value)
        and not _is_model(value)
    ):
        return Exchange(request_from(request) if request is not None else None, _streamed(value))
    return exchange_from(value, request)


def is_stream(value: object) -> bool:
    """Return whether a response in any accepted form is a stream."""
    if isinstance(value, Exchange):
        value = value.response
    if isinstance(value, Response):
        if value.chunks is not None or value.pieces is not None:
            return True
        value = value.body
    if isinstance(value, str):
        return looks_like_sse(value[:512].encode("utf-8", "replace"))
    if isinstance(value, _Bytes):
        return looks_like_sse(bytes(value[:512]))
    if is_http_response(value):
        return "event-stream" in str(value.headers.get("content-type", ""))
    return isinstance(value, Iterable) and not isinstance(value, Mapping) and not _is_model(value)


def is_http_response(value: object) -> TypeGuard[_HTTPResponse]:
    """Return whether this is a response of httpx, httpx2 or requests."""
    return hasattr(value, "status_code") and hasattr(value, "headers")


# -- responses ---------------------------------------------------------------------------


def _response_from(value: _HTTPResponse) -> Response:
    read = getattr(value, "read", None)
    # httpx keeps the body in `_content` once it has been read.
    if read is not None and hasattr(value, "is_stream_consumed") and not hasattr(value, "_content"):
        read()
    # A header that was sent twice is there twice only here.
    pairs = getattr(value.headers, "multi_items", None)
    headers = fold_headers(value.headers if pairs is None else pairs())
    return Response(int(value.status_code), headers, value.content or None)


def _streamed(items: Iterable[object]) -> Response:
    iterator = iter(items)
    first = next(iterator, None)
    if first is None:
        return Response(chunks=[])
    items = chain([first], iterator)
    if isinstance(first, _Bytes):
        return Response(pieces=map(bytes, cast("Iterator[bytes]", items)))
    if isinstance(first, str):
        return Response(pieces=_encoded(cast("Iterator[str]", items)))
    return Response(chunks=map(_dumped, items))


def _encoded(items: Iterator[str]) -> Iterator[bytes]:
    """Encode pieces of text, or lines without their ends as ``iter_lines()`` yields them."""
    first = next(items)
    end = "" if first.endswith(("\n", "\r")) else "\n"
    for item in chain([first], items):
        yield (item + end).encode("utf-8", "surrogatepass")


def _is_model(value: object) -> TypeGuard[_Model]:
    return hasattr(value, "model_dump") and hasattr(type(value), "model_fields")


def _dumped(value: object) -> JSON:
    """Return a model as JSON; anything else is returned as it is."""
    if _is_model(value):
        # Without the defaults of the SDK, which were not on the wire.
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)
    return value


# -- requests ----------------------------------------------------------------------------


def request_from(value: object) -> Request:
    """Return a request in any accepted form: a body (``dict``, ``str``, ``bytes``), a request
    object of httpx, httpx2 or requests, or a `Request`.

    Raises:
        TypeError: this is not a request.
    """
    if isinstance(value, Request):
        return value
    if _is_http_request(value):
        return Request(
            str(value.method).upper(), str(value.url), fold_headers(value.headers), _body(value)
        )
    if isinstance(value, Mapping):
        return Request(body=_plain(value))
    if isinstance(value, str | bytes):
        return Request(body=value)
    raise TypeError(
        f"cannot read an object of type {type(value).__name__} as a request: pass a dict, str, "
        "bytes, a request of httpx or httpx2, or a Request"
    )


def _is_http_request(value: object) -> TypeGuard[_HTTPRequest]:
    return all(hasattr(value, name) for name in ("method", "url", "headers"))


def _own_request(response: _HTTPResponse) -> Request | None:
    try:
        request = response.request
    except RuntimeError:  # httpx raises if a response was made without a request
        return None
    return request_from(request) if request is not None else None


def _body(request: object) -> JSON:
    if not (hasattr(request, "read") and hasattr(request, "stream")):  # not httpx, but requests
        return getattr(request, "body", None) or None
    try:
        return getattr(request, "content", None) or None
    except Exception:  # a streamed upload that was not read: the body is unknown
        return None


def _plain(value: object) -> JSON:
    # Keyword arguments of the SDK may hold its models (a message of an earlier response).
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _dumped(value)
