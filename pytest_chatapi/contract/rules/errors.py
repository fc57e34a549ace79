"""X and H: error answers, and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.wording import ABSENT, Shown, show

__all__ = ["check_error_body", "check_headers", "error_message", "is_error_body"]


def is_error_body(value: Any) -> bool:
    """Whether a body reports an error instead of answering."""
    return (
        isinstance(value, dict)
        and bool(value.get("error"))
        and "choices" not in value
        and value.get("object") not in ("chat.completion", "chat.completion.chunk", "list", "model")
    )


def error_message(value: Any) -> str:
    """The server's own words, wherever it put them."""
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        for key in ("error", "message", "detail", "msg", "error_message"):
            if value.get(key):
                return error_message(value[key])
    return show(value, 200)


def check_error_body(ledger: Ledger, value: Any, status: int) -> None:
    """X01, X02 and X06 for a parsed body."""
    said = error_message(value)
    inner = value.get("error") if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        ledger.add(
            "X01",
            "$" if inner is None else "$.error",
            "{error: {message, type, param, code}}",
            value if inner is None else inner,
            f"the error body has another shape; the server says {said}",
        )
        return
    found, _ = load("error", ledger.as_of).violations(value)
    lacking = [v for v in found if v.problem.keyword == "required"]
    if len(lacking) > 1:
        # One cause, one finding: a body of another make lacks several keys at once.
        names = ", ".join(str(v.path[-1]) for v in lacking)
        ledger.add(
            "X01",
            "$.error",
            "message, type, param and code",
            Shown(f"no {names}"),
            f"the error lacks {names}; the server says {said}",
        )
        found = [v for v in found if v.problem.keyword != "required"]
    shape.report(ledger, found, (), default="X01")
    kind = inner.get("type")
    expected = _STATUS.get(kind) if isinstance(kind, str) else None
    if expected is not None and status not in expected:
        ledger.add(
            "X06",
            "$.error.type",
            f"status {' or '.join(map(str, expected))} for {show(kind)}",
            Shown(f"status {status}"),
            "the status does not fit the error's type",
        )


_STATUS = {
    "invalid_request_error": (400, 401, 403, 404, 405, 409, 413, 415, 422, 429),
    "authentication_error": (401, 403),
    "permission_error": (403,),
    "permission_denied_error": (403,),
    "not_found_error": (404,),
    "rate_limit_error": (429, 503),
    "rate_limit_exceeded": (429,),
    "insufficient_quota": (429, 402),
    "tokens": (429,),
    "requests": (429,),
    "server_error": (500, 502, 503, 504),
    "service_unavailable_error": (503,),
}

_RESET = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s|d))+")
# Azure sends bare seconds as a reset, and -1 where no limit holds.
_AZURE = re.compile(r"\d+(?:\.\d+)?|-1")
_PLACEHOLDER = re.compile(r"(?i)redact|filter|mask|dummy|fake|test|sanitiz|scrub|placeholder")
_COUNT = re.compile(r"\d+")
_RATE = re.compile(r"x-ratelimit-(limit|remaining|reset)-(?:requests|tokens)")


def check_headers(ledger: Ledger, headers: Mapping[str, str], status: int) -> None:
    """H01, H02 and X05. Without any header, none were recorded and nothing is missed."""
    if status in (429, 503) and "retry-after" in headers:
        value = headers["retry-after"].strip()
        if not (value.isascii() and value.isdigit()) and not _is_http_date(value):
            ledger.add(
                "X05",
                "headers.retry-after",
                "whole seconds >= 0, or an HTTP date",
                value,
                "Retry-After cannot be read",
            )
    for name, value in headers.items():
        found = _RATE.fullmatch(name)
        if found is None or _is_placeholder(value):
            continue
        pattern, azure = (_RESET if found[1] == "reset" else _COUNT), ledger.profile.name == "azure"
        if not pattern.fullmatch(value.strip()) and not (azure and _AZURE.fullmatch(value.strip())):
            what = "a duration such as 12ms or 6m0s" if found[1] == "reset" else "a whole number"
            ledger.add("H02", f"headers.{name}", what, value, f"{name} cannot be read")
    if (
        headers
        and "x-request-id" not in headers
        and not headers.keys()
        <= {
            "content-type",
            "content-length",
            "transfer-encoding",
            "date",
        }
    ):
        ledger.add(
            "H01", "headers.x-request-id", "an id", ABSENT, "the response has no x-request-id"
        )


def _is_http_date(value: str) -> bool:
    try:
        parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return True


def _is_placeholder(value: str) -> bool:
    text = value.strip()
    if not text or text[0] in "<[{*$" or set(text) <= set("*xX-#."):
        return True
    # REDACTED, test_requests, dummy: words that a recorder put there.
    return text.isupper() or bool(_PLACEHOLDER.search(text))
