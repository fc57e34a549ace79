"""The Python interface: checks and assertions on whatever people have in hand.

Accepted wherever a response is asked for: a ``dict``, ``str`` or ``bytes``; a response of
httpx, httpx2 or requests; a raw response of the openai SDK; an SDK object; an `Exchange`.
Wherever a stream is asked for also: SSE text, and an iterable of chunks (dicts or SDK objects)
or of ``bytes``. Clients' classes are told by their members, so none of them is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import Any, NoReturn

from pytest_chatapi.contract.assemble import as_completion
from pytest_chatapi.contract.check import Judgement, check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.findings import Finding, Level, at_least
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.profiles import get_profile, profile_for_url
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.errors import error_message
from pytest_chatapi.contract.rules.usage import check_usage
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.selection import parse_date, selects
from pytest_chatapi.contract.sse import looks_like_sse
from pytest_chatapi.contract.wording import show
from pytest_chatapi.errors import ContractError, SettingError

__all__ = [
    "assemble",
    "assert_chat_completion",
    "assert_chat_request",
    "assert_chat_stream",
    "assert_error_body",
    "assert_models",
    "assert_usage",
    "check",
    "exchange_of",
]


def check(
    exchange: Any,
    profile: str | None = None,
    *,
    request: Any = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    select: Iterable[str] = (),
) -> list[Finding]:
    """Holds an exchange (or anything that can be made one) against the contract.

    Args:
        exchange: an `Exchange`, or a response in any accepted form.
        profile: ``documented``, ``openai``, ``azure`` or ``compatible``; ``None`` chooses by the
            host of the request's URL.
        request: the request body or request object; adds the rules of the answer against the
            question.
        as_of: judge by the contract of that day (``YYYY-MM-DD``).
        ignore, select: rule codes, or ``CODE:json.path``.

    Returns:
        All findings, errors first. Empty for traffic of other endpoints.

    Raises:
        SettingError: an unknown profile, rule or day.
        TypeError: nothing here can be read as an exchange.
    """
    made = exchange_of(exchange, request)
    return check_exchange(made, profile, as_of=as_of, ignore=ignore, select=select).findings


def assert_chat_completion(
    response: Any,
    *,
    request: Any = None,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Asserts that this is a chat completion that keeps the contract.

    Args:
        strict: warnings fail too.

    Returns:
        The completion as a ``dict``.

    Raises:
        ContractError: with a message that tells path, expected, got, and what to do.
    """
    __tracebackhide__ = True
    exchange = exchange_of(response, request)
    _expect_success(exchange, "a chat completion")
    if exchange.response is not None and is_stream(exchange.response):
        raise ContractError(
            "this is a stream and no plain chat completion: use assert_chat_stream()"
        )
    judgement = _assert(exchange, "the chat completion", profile, as_of, ignore, strict)
    body = _parsed(exchange)
    if not isinstance(body, dict) or judgement.answer is None:
        _wrong_kind("a chat completion", body)
    return body


def assert_chat_stream(
    stream: Any,
    *,
    request: Any = None,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Asserts that this stream keeps the contract from its first byte to its last.

    Returns:
        The joined completion (see `assemble`).

    Raises:
        ContractError: as `assert_chat_completion`.
    """
    __tracebackhide__ = True
    exchange = _stream_exchange(stream, request)
    _expect_success(exchange, "a stream of chunks")
    judgement = _assert(exchange, "the stream", profile, as_of, ignore, strict, keep=True)
    if judgement.answer is None or not judgement.answer.streamed:
        raise ContractError(
            "this is no event stream: use assert_chat_completion() for a plain answer",
            judgement.findings,
        )
    return as_completion(judgement.answer)


def assert_usage(
    usage: Any,
    *,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Asserts that token counts are complete and add up.

    Args:
        usage: a usage object, or an answer that has one.

    Returns:
        The usage as a ``dict``.
    """
    __tracebackhide__ = True
    value = _parsed(exchange_of(usage, None))
    root = "$"
    if isinstance(value, dict) and ("usage" in value or "choices" in value):
        value, root = value.get("usage"), "$.usage"
    if not isinstance(value, dict):
        raise ContractError(
            f"no usage: expected an object with prompt_tokens, completion_tokens and "
            f"total_tokens at {root}, got {value!r}"
        )
    ledger = Ledger(get_profile(profile or "openai"), parse_date(as_of))
    found, unknown = load("usage", ledger.as_of).violations(value)
    shape.report(ledger, found, unknown, prefix=root[1:])
    check_usage(ledger, value, answered=False, root=root)
    left_out = selects(ignore)
    _fail([f for f in ledger.findings() if not left_out(f)], "the usage", strict)
    return value


def assert_chat_request(
    request: Any,
    *,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Asserts that a request is one that the service accepts.

    Args:
        request: a body (``dict``, ``str``, ``bytes``), a request object of httpx or httpx2, or
            an `Exchange`.

    Returns:
        The body as a ``dict``.
    """
    __tracebackhide__ = True
    made = request.request if isinstance(request, Exchange) else _request_of(request)
    if made is None:
        raise TypeError("the exchange has no request")
    exchange = Exchange(request=made)
    judgement = check_exchange(exchange, profile, as_of=as_of, ignore=ignore)
    if judgement.kind != "chat":
        raise ContractError(f"{made.method} {made.url} is no POST to .../chat/completions")
    _fail(judgement.findings, "the request", strict)
    body = _json(made.body)
    return body if isinstance(body, dict) else {}


def assert_error_body(
    response: Any,
    *,
    status: int | None = None,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Asserts that an error is reported in the documented shape.

    Args:
        status: the HTTP status where `response` does not tell it; 400 if nobody does.

    Returns:
        The inner error object: message, type, param, code.
    """
    __tracebackhide__ = True
    exchange = exchange_of(response, None)
    assert exchange.response is not None
    known = _is_response(response) or isinstance(response, Exchange)
    if status is not None or not known:
        exchange = replace(exchange, response=replace(exchange.response, status=status or 400))
    got = exchange.response.status if exchange.response is not None else 0
    if got < 400:
        raise ContractError(
            f"expected an error status, got {got}: use assert_chat_completion() for an answer"
        )
    _assert(exchange, "the error body", profile, as_of, ignore, strict)
    body = _parsed(exchange)
    inner = body.get("error", body) if isinstance(body, dict) else body
    return inner if isinstance(inner, dict) else {"message": inner}


def assert_models(
    response: Any,
    *,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> dict[str, Any]:
    """Asserts that this is a model list, or a single model.

    Returns:
        The body as a ``dict``.
    """
    __tracebackhide__ = True
    exchange = exchange_of(response, None)
    _expect_success(exchange, "models")
    body = _parsed(exchange)
    one = isinstance(body, dict) and "data" not in body and body.get("object") != "list"
    url = exchange.request.url if exchange.request is not None else ""
    if profile is None:
        profile = profile_for_url(url).name
    # What is asserted decides, and not which path it came from.
    exchange = replace(exchange, request=Request("GET", "/models/one" if one else "/models"))
    _assert(exchange, "the model" if one else "the model list", profile, as_of, ignore, strict)
    return body if isinstance(body, dict) else {}


def assemble(chunks: Any) -> dict[str, Any]:
    """Joins the chunks of a stream to one ``chat.completion``.

    Args:
        chunks: SSE text, or an iterable of chunks (dicts or SDK objects) or of ``bytes``.

    Raises:
        ContractError: there is nothing to join.
    """
    judgement = check_exchange(_stream_exchange(chunks, None), "compatible", keep=True)
    if judgement.answer is None or not judgement.answer.streamed or not judgement.answer.frame:
        raise ContractError("there are no chunks to join", judgement.findings)
    return as_completion(judgement.answer)


# -- what people have in hand ------------------------------------------------------------


def exchange_of(value: Any, request: Any = None) -> Exchange:
    """Makes an exchange of a response in any accepted form.

    Raises:
        TypeError: this is no response.
    """
    if isinstance(value, Exchange):
        if request is not None:
            return Exchange(_request_of(request), value.response, value.source)
        return value
    given = _request_of(request) if request is not None else None
    value = getattr(value, "http_response", value)  # a raw response of the openai SDK
    if isinstance(value, Response):
        return Exchange(given, value)
    if _is_response(value):
        return Exchange(given or _own_request(value), _response_of(value))
    if isinstance(value, Mapping):
        return Exchange(given, Response(body=dict(value)))
    if isinstance(value, str | bytes):
        return Exchange(given, Response(body=value))
    if isinstance(value, bytearray | memoryview):
        return Exchange(given, Response(body=bytes(value)))
    if _is_model(value):
        return Exchange(given, Response(body=_dumped(value)))
    if isinstance(value, Iterable):
        return _stream_exchange(value, request)
    raise TypeError(
        f"cannot read a {type(value).__name__} as a response: pass a dict, str, bytes, an HTTP "
        "response, an openai object, an iterable of chunks, or an Exchange"
    )


def is_stream(value: Any) -> bool:
    """Whether a response in any accepted form is a stream."""
    if isinstance(value, Exchange):
        value = value.response
    if isinstance(value, Response):
        if value.chunks is not None or value.pieces is not None:
            return True
        value = value.body
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if isinstance(value, str | bytes):
        return looks_like_sse(value[:512].encode() if isinstance(value, str) else value[:512])
    if _is_response(value):
        return "event-stream" in str(value.headers.get("content-type", ""))
    return isinstance(value, Iterable) and not isinstance(value, Mapping) and not _is_model(value)


def _stream_exchange(value: Any, request: Any) -> Exchange:
    if (
        not isinstance(value, Iterable)
        or isinstance(value, str | bytes | Mapping)
        or (_is_response(value) or _is_model(value))
    ):
        return exchange_of(value, request)
    given = _request_of(request) if request is not None else None
    iterator = iter(value)
    first = next(iterator, None)
    if first is None:
        return Exchange(given, Response(chunks=[]))
    items = chain([first], iterator)
    if isinstance(first, bytes | bytearray | memoryview):
        return Exchange(given, Response(pieces=map(bytes, items)))
    if isinstance(first, str):
        return Exchange(given, Response(pieces=_lines(items)))
    return Exchange(given, Response(chunks=map(_dumped, items)))


def _lines(items: Iterable[str]) -> Iterator[bytes]:
    # Lines as ``iter_lines()`` gives them, or pieces of text with their line ends.
    first = True
    bare = False
    for item in items:
        if first:
            bare, first = not item.endswith(("\n", "\r")), False
        yield (item + "\n" if bare else item).encode("utf-8", "surrogatepass")


def _is_response(value: Any) -> bool:
    return hasattr(value, "status_code") and hasattr(value, "headers")


def _is_model(value: Any) -> bool:
    return hasattr(value, "model_dump") and hasattr(type(value), "model_fields")


def _dumped(value: Any) -> Any:
    if _is_model(value):
        # Only what was on the wire: the SDK's own defaults are not the server's answer.
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)
    return value


def _response_of(value: Any) -> Response:
    if hasattr(value, "is_stream_consumed") and not hasattr(value, "_content"):
        value.read()
    return Response(
        int(value.status_code), fold_headers(_header_pairs(value)), value.content or None
    )


def _header_pairs(value: Any) -> Any:
    headers = value.headers
    return headers.multi_items() if hasattr(headers, "multi_items") else headers


def _own_request(value: Any) -> Request | None:
    try:
        request = value.request
    except RuntimeError:  # httpx: "The request instance has not been set on this response."
        return None
    return _request_of(request) if request is not None else None


def _request_of(value: Any) -> Request:
    if isinstance(value, Request):
        return value
    if hasattr(value, "method") and hasattr(value, "url") and hasattr(value, "headers"):
        body: Any = None
        if hasattr(value, "read") and hasattr(value, "stream"):
            try:
                body = value.content
            except Exception:  # a streamed upload that is not read: the body is unknown
                body = None
        elif hasattr(value, "body"):
            body = value.body
        return Request(
            str(value.method).upper(), str(value.url), fold_headers(value.headers), body or None
        )
    if isinstance(value, Mapping):
        return Request("POST", "", {}, _plain(value))
    if isinstance(value, str | bytes):
        return Request("POST", "", {}, value)
    raise TypeError(
        f"cannot read a {type(value).__name__} as a request: pass a dict, str, bytes, "
        "a request of httpx or httpx2, or a Request"
    )


def _plain(value: Any) -> Any:
    # Keyword arguments for the SDK may hold SDK objects (a message of an earlier answer).
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return _dumped(value)


def _json(body: Any) -> Any:
    try:
        if isinstance(body, str):
            return loads(body)
        if isinstance(body, bytes):
            return loads_bytes(body)
    except ValueError:
        return None
    return body


def _parsed(exchange: Exchange) -> Any:
    response = exchange.response
    return _json(response.body) if response is not None else None


# -- failing -----------------------------------------------------------------------------


def _expect_success(exchange: Exchange, what: str) -> None:
    __tracebackhide__ = True
    response = exchange.response
    if response is None:
        raise TypeError("the exchange has no response")
    if response.status >= 400:
        body = _parsed(exchange)
        said = error_message(body if body is not None else response.body)
        raise ContractError(
            f"expected {what}, got status {response.status}: the server says {said}\n"
            "use assert_error_body() where an error is expected"
        )


def _wrong_kind(what: str, body: Any) -> NoReturn:
    __tracebackhide__ = True
    raise ContractError(f"expected {what}, got {show(body)}")


def _assert(
    exchange: Exchange,
    what: str,
    profile: str | None,
    as_of: date | str | None,
    ignore: Iterable[str],
    strict: bool,
    *,
    keep: bool = False,
) -> Judgement:
    __tracebackhide__ = True
    judgement = check_exchange(exchange, profile, as_of=as_of, ignore=ignore, keep=keep)
    if judgement.kind is None:
        request = exchange.request
        where = f"{request.method} {request.url}" if request is not None else "this"
        raise SettingError(f"{where} is no endpoint of a Chat Completions API")
    _fail(judgement.findings, what, strict)
    return judgement


def _fail(findings: list[Finding], what: str, strict: bool) -> None:
    __tracebackhide__ = True
    limit: Level = "warning" if strict else "error"
    failing = [f for f in findings if f.level in at_least(limit)]
    if failing:
        from pytest_chatapi.report import failure_message

        raise ContractError(failure_message(findings, what, failing), findings)
