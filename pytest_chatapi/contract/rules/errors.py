"""X01, X03, X04 and X06: error responses. X05 is in `headers`."""

from __future__ import annotations

from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.rules.registry import Violation, rule
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.validation import SchemaViolation
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import Shown, show

__all__ = [
    "check_error_body",
    "error_message",
    "error_not_json",
    "error_under_2xx",
    "is_error_body",
]


def is_error_body(value: JSON) -> bool:
    """Whether a body reports an error, and is nothing else."""
    return (
        isinstance(value, dict)
        and bool(value.get("error"))
        and "choices" not in value
        and value.get("object") not in ("chat.completion", "chat.completion.chunk", "list", "model")
    )


def error_message(value: JSON) -> str:
    """The server's own message, wherever it is in the body."""
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        for key in ("error", "message", "detail", "msg", "error_message"):
            if value.get(key):
                return error_message(value[key])
    return show(value, 200)


def check_error_body(ledger: Ledger, value: JSON, status: int) -> None:
    """X01, X02 and X06 for a parsed body."""
    inner = value.get("error") if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        ledger.report(error_body, value, [])
        return
    violations, _ = load("error", ledger.as_of).violations(value)
    missing = [v for v in violations if v.problem.keyword == "required"]
    if len(missing) > 1:
        # One cause, one finding: a different kind of body lacks several keys at once.
        ledger.report(error_body, value, missing)
        violations = [v for v in violations if v.problem.keyword != "required"]
    shape.report(ledger, violations, (), default=error_body)
    ledger.report(error_type_status, inner, status)


@rule("X01")
def error_body(value: JSON, missing: list[SchemaViolation]) -> Violation:
    """A body of a different kind, or with several keys missing; one key violates the schema."""
    words = error_message(value)
    if missing:
        names = ", ".join(str(violation.path[-1]) for violation in missing)
        case = "absent" if all(violation.problem.nullable for violation in missing) else ""
        message = f"the error lacks {names}; the server says {words}"
        return Violation(
            "$.error", "message, type, param and code", Shown(f"no {names}"), message, case
        )
    inner = value.get("error") if isinstance(value, dict) else None
    path, got = ("$", value) if inner is None else ("$.error", inner)
    message = f"the error body has a different shape; the server says {words}"
    return Violation(path, "{error: {message, type, param, code}}", got, message)


@rule("X03")
def error_under_2xx(body: JSONObject, status: int) -> Violation:
    words = error_message(body)
    message = f"an error with status {status}: the server says {words}"
    return Violation("$.error", "no error, or an error status", body["error"], message)


@rule("X04")
def error_not_json(body: JSON) -> Violation:
    if body is None:
        return Violation("$", "JSON", Shown("nothing"), "the error has no body")
    return Violation("$", "JSON", body, "the error body is not JSON")


@rule("X06")
def error_type_status(error: JSONObject, status: int) -> Violation | None:
    kind = error.get("type")
    expected = _STATUS.get(kind) if isinstance(kind, str) else None
    if expected is None or status in expected:
        return None
    return Violation(
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
