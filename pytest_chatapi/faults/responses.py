"""Faults that replace a response: an error status, or no response at all."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from email.utils import format_datetime

from pytest_chatapi.contract.ask import request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.faults.fault import WORDLESS, connection, responding, status
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.interaction import Interaction

__all__ = [
    "bad_gateway",
    "conflict",
    "connect_error",
    "connect_timeout",
    "context_length_exceeded",
    "disconnect",
    "forbidden",
    "insufficient_quota",
    "invalid_key",
    "model_not_found",
    "overloaded",
    "rate_limit",
    "rate_limit_date",
    "read_timeout",
    "request_timeout",
    "reset",
    "server_error",
]


def _error(
    request: Request,
    code: int,
    message: str,
    kind: str,
    name: str | None = None,
    param: str | None = None,
    **headers: str,
) -> Interaction:
    request_id = hashlib.sha256(f"{code} {name}".encode()).hexdigest()[:32]
    return responding(
        request,
        code,
        {"error": {"message": message, "type": kind, "param": param, "code": name}},
        "application/json",
        x_request_id=f"req_{request_id}",
        openai_version="2020-10-01",
        openai_processing_ms="14",
        **headers,
    )


def _model(request: Request) -> JSON:
    body = request_json(request)[0]
    return body.get("model") if isinstance(body, dict) else None


def _rate_limited(request: Request, seconds: int, retry_after: str) -> Interaction:
    return _error(
        request,
        429,
        f"Rate limit reached for {_model(request)} on requests per min (RPM): Limit 500, Used 500,"
        f" Requested 1. Please try again in {seconds}s."
        " Visit https://platform.openai.com/account/rate-limits to learn more.",
        "requests",
        "rate_limit_exceeded",
        retry_after=retry_after,
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests=f"{seconds}s",
        x_ratelimit_limit_tokens="200000",
        x_ratelimit_remaining_tokens="199984",
        x_ratelimit_reset_tokens="4ms",
    )


@status(
    retried=True,
    finds="",
    sdk="RateLimitError after 3 tries",
    least={"retry_after": 1},
)
def rate_limit(request: Request, /, *, retry_after: int = 1) -> Interaction:
    """429 with `Retry-After` in seconds."""
    return _rate_limited(request, retry_after, str(retry_after))


@status(
    retried=True,
    finds="",
    sdk="RateLimitError after 3 tries",
    least={"retry_after": 1},
)
def rate_limit_date(request: Request, /, *, retry_after: int = 1) -> Interaction:
    """429 with `Retry-After` as a date, `retry_after` seconds from now."""
    now = datetime.fromisoformat(clock.now()).timestamp()
    then = datetime.fromtimestamp(math.ceil(now) + retry_after, UTC)
    return _rate_limited(request, retry_after, format_datetime(then, usegmt=True))


@status(retried=True, finds="", sdk="RateLimitError after 3 tries")
def insufficient_quota(request: Request, /) -> Interaction:
    """429, quota exhausted: retrying cannot help, but the SDK retries anyway."""
    return _error(
        request,
        429,
        "You exceeded your current quota, please check your plan and billing details. For more"
        " information on this error, read the docs:"
        " https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "insufficient_quota",
        "insufficient_quota",
    )


@status(finds="", sdk="BadRequestError after 1 try")
def context_length_exceeded(request: Request, /) -> Interaction:
    """400: the messages are too long for the model."""
    return _error(
        request,
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in"
        " 128042 tokens. Please reduce the length of the messages.",
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    )


@status(finds="", sdk="AuthenticationError after 1 try")
def invalid_key(request: Request, /) -> Interaction:
    """401: the API key is wrong."""
    return _error(
        request,
        401,
        "Incorrect API key provided. You can find your API key at"
        " https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        "invalid_api_key",
    )


@status(finds="", sdk="PermissionDeniedError after 1 try")
def forbidden(request: Request, /) -> Interaction:
    """403: the country is not supported."""
    return _error(
        request,
        403,
        "Country, region, or territory not supported",
        "request_forbidden",
        "unsupported_country_region_territory",
    )


@status(finds="", sdk="NotFoundError after 1 try")
def model_not_found(request: Request, /) -> Interaction:
    """404: the model does not exist."""
    return _error(
        request,
        404,
        f"The model `{_model(request)}` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    )


@status(retried=True, finds="", sdk="APIStatusError after 3 tries")
def request_timeout(request: Request, /) -> Interaction:
    """408: the server did not receive the request in time."""
    return _error(request, 408, "Request timed out.", "timeout", "request_timeout")


@status(retried=True, finds="", sdk="ConflictError after 3 tries")
def conflict(request: Request, /) -> Interaction:
    """409: the request conflicts with another one."""
    return _error(
        request,
        409,
        "Another request is updating this resource. Please try again.",
        "invalid_request_error",
        "conflict",
    )


@status(retried=True, finds="", sdk="InternalServerError after 3 tries")
def server_error(request: Request, /) -> Interaction:
    """500: the server failed."""
    return _error(
        request,
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
    )


@status(
    retried=True,
    finds="X04: warning",
    sdk=WORDLESS,
)
def bad_gateway(request: Request, /) -> Interaction:
    """502 with the HTML page of a proxy."""
    page = (
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
        "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return responding(request, 502, page, "text/html")


@status(retried=True, finds="", sdk="InternalServerError after 3 tries")
def overloaded(request: Request, /) -> Interaction:
    """503: the server is overloaded."""
    return _error(
        request,
        503,
        "The server is currently overloaded with other requests. Sorry about that!"
        " Please try again later.",
        "service_unavailable_error",
        "server_is_overloaded",
    )


# -- no response ---------------------------------------------------------------------------


@connection("ConnectError", sdk="APIConnectionError after 3 tries")
def connect_error(request: Request, /) -> str:
    """The connection is refused: nothing listens at the address."""
    return "[Errno 111] Connection refused"


@connection("ConnectTimeout", sdk="APITimeoutError after 3 tries")
def connect_timeout(request: Request, /) -> str:
    """No connection within the client's connect timeout."""
    return "timed out"


@connection("ReadTimeout", sdk="APITimeoutError after 3 tries")
def read_timeout(request: Request, /) -> str:
    """No response within the client's read timeout."""
    return "The read operation timed out"


@connection("ReadError", sdk="APIConnectionError after 3 tries")
def reset(request: Request, /) -> str:
    """The connection is reset before the headers arrive."""
    return "[Errno 104] Connection reset by peer"


@connection("RemoteProtocolError", sdk="APIConnectionError after 3 tries")
def disconnect(request: Request, /) -> str:
    """The server closes the connection before the headers, like a stale kept-alive one."""
    return "Server disconnected without sending a response."
