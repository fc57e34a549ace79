"""The Python interface: check a response, a stream or a request, or assert that it is valid.

What counts as a response, a stream or a request: see `pytest_chatapi.reading.objects`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any, NoReturn

from pytest_chatapi.contract.assemble import as_completion
from pytest_chatapi.contract.check import CheckResult, check_exchange
from pytest_chatapi.contract.endpoint import other_api
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.findings import Finding, at_least
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.parse import loads, loads_bytes
from pytest_chatapi.contract.profiles import get_profile, profile_for_url
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.errors import error_message
from pytest_chatapi.contract.rules.usage import check_usage
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.selection import parse_date, selects
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import ABSENT, mask, show
from pytest_chatapi.errors import ContractError, SettingError
from pytest_chatapi.reading.objects import (
    exchange_from,
    is_http_response,
    is_stream,
    request_from,
    stream_from,
)

__all__ = [
    "assemble",
    "assert_chat_completion",
    "assert_chat_request",
    "assert_chat_stream",
    "assert_error_body",
    "assert_models",
    "assert_usage",
    "check",
]


def check(
    exchange: object,
    profile: str | None = None,
    *,
    request: object = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    select: Iterable[str] = (),
) -> list[Finding]:
    """Check an exchange, or a response or stream in any accepted form, against the contract.

    Args:
        profile: ``documented``, ``openai``, ``azure`` or ``compatible``; ``None`` chooses by the
            host of the request's URL.
        request: the request body or request object, which adds the rules that compare the
            response with its request.
        as_of: use the contract as of this date (``YYYY-MM-DD``).
        ignore, select: rule codes, or ``CODE:json.path``.

    Returns:
        All findings, errors first. Empty for traffic of other APIs; a response that is in no
        known shape is checked as a chat completion.

    Raises:
        SettingError: the profile, a rule or the date does not exist.
        TypeError: the first argument cannot be read as an exchange, or `request` as a request.
    """
    __tracebackhide__ = True
    checked = exchange_from(exchange, request)
    # A response that somebody passes here is meant to be checked; an exchange may be any traffic.
    lone = not isinstance(exchange, Exchange) and other_api(checked) == "unknown"
    return _checked(
        checked, profile, as_of=as_of, ignore=ignore, select=select, kind="chat" if lone else ""
    ).findings


def assert_chat_completion(
    response: object,
    *,
    request: object = None,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> JSONObject:
    """Assert that this is a valid chat completion.

    Args:
        response: in any accepted form.
        request, profile, as_of, ignore: as for `check`.
        strict: fail on warnings, too.

    Returns:
        The completion as a ``dict``.

    Raises:
        ContractError: with path, expected, got and next step in its message.
    """
    __tracebackhide__ = True
    exchange = exchange_from(response, request)
    _expect_success(exchange, "a chat completion")
    if is_stream(exchange):
        raise ContractError("expected a chat completion, got a stream: use assert_chat_stream()")
    result = _assert(exchange, "the chat completion", profile, as_of, ignore, strict)
    body = _body_of(exchange)
    if not isinstance(body, dict) or result.answer is None:
        _wrong_kind("a chat completion", body)
    return body


def assert_chat_stream(
    stream: object,
    *,
    request: object = None,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> JSONObject:
    """Assert that a stream is valid from its first byte to its last.

    Args:
        stream: in any accepted form; an iterable is read once, and lazily.

    Returns:
        The chunks joined to one completion (see `assemble`).

    Raises:
        ContractError: as `assert_chat_completion`.
    """
    __tracebackhide__ = True
    exchange = stream_from(stream, request)
    _expect_success(exchange, "a stream of chunks")
    result = _assert(exchange, "the stream", profile, as_of, ignore, strict, keep=True)
    if result.answer is None or not result.answer.streamed:
        raise ContractError(
            "expected an event stream, got a plain response: use assert_chat_completion()",
            result.findings,
        )
    return as_completion(result.answer)


def assert_usage(
    usage: object,
    *,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> JSONObject:
    """Assert that token counts are complete and add up.

    Args:
        usage: a usage object, or a response that has one.

    Returns:
        The usage as a ``dict``.

    Raises:
        ContractError: as `assert_chat_completion`.
    """
    __tracebackhide__ = True
    value = _body_of(exchange_from(usage))
    root = "$"
    if isinstance(value, dict) and ("usage" in value or "choices" in value):
        value, root = value.get("usage", ABSENT), "$.usage"
    if not isinstance(value, dict):
        raise ContractError(
            "expected a usage object with prompt_tokens, completion_tokens and total_tokens at "
            f"{root}, got {show(value)}"
        )
    ledger = Ledger(get_profile(profile or "openai"), parse_date(as_of))
    violations, unknown = load("usage", ledger.as_of).violations(value)
    shape.report(ledger, violations, unknown, prefix=root[1:])
    check_usage(ledger, value, answered=False, root=root)
    is_ignored = selects(ignore)
    _fail([f for f in ledger.findings() if not is_ignored(f)], "the usage", strict)
    return value


def assert_chat_request(
    request: object,
    *,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> JSONObject:
    """Assert that the service would accept a request.

    Args:
        request: a body (``dict``, ``str``, ``bytes``), a request object of httpx or httpx2, or
            an `Exchange`.

    Returns:
        The body as a ``dict``.

    Raises:
        ContractError: as `assert_chat_completion`.
    """
    __tracebackhide__ = True
    sent = request.request if isinstance(request, Exchange) else request_from(request)
    if sent is None:
        raise TypeError("the exchange has no request")
    result = check_exchange(Exchange(sent), profile, as_of=as_of, ignore=ignore, kind="chat")
    if result.kind != "chat":
        raise ContractError(
            f"expected a POST to .../chat/completions, got {mask(f'{sent.method} {sent.url}')}"
        )
    _fail(result.findings, "the request", strict)
    body = _json(sent.body)
    return body if isinstance(body, dict) else {}


def assert_error_body(
    response: object,
    *,
    status: int | None = None,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> JSONObject:
    """Assert that an error is reported in the documented shape.

    Args:
        response: in any accepted form.
        status: the HTTP status, if `response` does not know it (default: 400).

    Returns:
        The inner error object: message, type, param, code.

    Raises:
        ContractError: as `assert_chat_completion`.
    """
    __tracebackhide__ = True
    exchange = exchange_from(response)
    answer = exchange.response
    if answer is None:
        raise TypeError("the exchange has no response")
    _expect_no_chunks(exchange, "an error body")
    has_status = is_http_response(response) or isinstance(response, Exchange)
    if status is not None or not has_status:
        answer = replace(answer, status=status or 400)
    if answer.status < 400:
        raise ContractError(
            f"expected an error status, got {answer.status}: use assert_chat_completion() for a "
            "successful response"
        )
    exchange = replace(exchange, response=answer)
    _assert(exchange, "the error body", profile, as_of, ignore, strict)
    body = _body_of(exchange)
    inner = body.get("error", body) if isinstance(body, dict) else body
    return inner if isinstance(inner, dict) else {"message": inner}


def assert_models(
    response: object,
    *,
    profile: str | None = None,
    as_of: date | str | None = None,
    ignore: Iterable[str] = (),
    strict: bool = False,
) -> JSONObject:
    """Assert that this is a valid list of models, or a valid model.

    Args:
        response: in any accepted form.

    Returns:
        The body as a ``dict``.

    Raises:
        ContractError: as `assert_chat_completion`.
    """
    __tracebackhide__ = True
    exchange = exchange_from(response)
    _expect_success(exchange, "models")
    _expect_no_chunks(exchange, "models")
    body = _body_of(exchange)
    is_model = isinstance(body, dict) and "data" not in body and body.get("object") != "list"
    if profile is None:
        profile = profile_for_url(exchange.request.url if exchange.request is not None else "").name
    # The body decides which of the two it has to be, whatever path it came from.
    exchange = replace(exchange, request=Request("GET", "/models/one" if is_model else "/models"))
    _assert(exchange, "the model" if is_model else "the model list", profile, as_of, ignore, strict)
    return body if isinstance(body, dict) else {}


def assemble(chunks: object) -> JSONObject:
    """Join the chunks of a stream to one ``chat.completion``.

    Args:
        chunks: a stream in any accepted form.

    Raises:
        ContractError: there is nothing to join.
    """
    result = check_exchange(stream_from(chunks), "compatible", keep=True, kind="chat")
    if result.answer is None or not result.answer.streamed or not result.answer.frame:
        raise ContractError("there are no chunks to join", result.findings)
    return as_completion(result.answer)


def _json(body: JSON) -> JSON:
    try:
        if isinstance(body, str):
            return loads(body)
        if isinstance(body, bytes):
            return loads_bytes(body)
    except ValueError:
        return None
    return body


def _body_of(exchange: Exchange) -> JSON:
    return _json(exchange.response.body) if exchange.response is not None else None


# -- failing -----------------------------------------------------------------------------


def _expect_success(exchange: Exchange, what: str) -> None:
    __tracebackhide__ = True
    response = exchange.response
    if response is None:
        raise TypeError("the exchange has no response")
    if response.status >= 400:
        body = _body_of(exchange)
        message = error_message(body if body is not None else response.body)
        raise ContractError(
            f"expected {what}, got status {response.status}: the server says {message}\n"
            "use assert_error_body() if an error is expected"
        )


def _expect_no_chunks(exchange: Exchange, what: str) -> None:
    __tracebackhide__ = True
    if exchange.response is not None and exchange.response.chunks is not None:
        raise ContractError(f"expected {what}, got a list or a stream: pass the response itself")


def _wrong_kind(what: str, body: JSON) -> NoReturn:
    __tracebackhide__ = True
    raise ContractError(f"expected {what}, got {show(body)}")


def _checked(exchange: Exchange, profile: str | None, **options: Any) -> CheckResult:
    """As `check_exchange`; a wrong setting is reported without the frames that found it."""
    __tracebackhide__ = True
    try:
        return check_exchange(exchange, profile, **options)
    except SettingError as error:
        raise SettingError(str(error)) from None


def _assert(
    exchange: Exchange,
    what: str,
    profile: str | None,
    as_of: date | str | None,
    ignore: Iterable[str],
    strict: bool,
    *,
    keep: bool = False,
) -> CheckResult:
    __tracebackhide__ = True
    result = _checked(exchange, profile, as_of=as_of, ignore=ignore, keep=keep, kind="chat")
    if result.kind is None:
        request = exchange.request
        where = mask(f"{request.method} {request.url}") if request is not None else "this"
        raise SettingError(f"{where} is not an endpoint of the Chat Completions API")
    _fail(result.findings, what, strict)
    return result


def _fail(findings: list[Finding], what: str, strict: bool) -> None:
    __tracebackhide__ = True
    limit = at_least("warning" if strict else "error")
    failing = [finding for finding in findings if finding.level in limit]
    if failing:
        from pytest_chatapi.report import failure_message

        raise ContractError(failure_message(findings, what, failing), findings)
