"""What names say: headers, URL parameters and variables that are secret, or are kept at all."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote

from pytest_chatapi.redaction.replacing import REDACTED, Hit

__all__ = [
    "KEPT_OF_REQUESTS",
    "KEPT_OF_RESPONSES",
    "MASKED_HEADERS",
    "WIRE_HEADERS",
    "environment_secrets",
    "header_secrets",
    "is_secret_header",
    "parameter_hits",
    "url_secrets",
    "userinfo",
]

# -- headers -------------------------------------------------------------------------------------

WIRE_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""They describe the bytes on the wire, so they are wrong for a body that was decoded or changed."""

KEPT_OF_REQUESTS = frozenset({"content-type", "accept", "openai-beta"})
KEPT_OF_RESPONSES = frozenset(
    "content-type date location openai-model openai-organization openai-processing-ms "
    "openai-version retry-after retry-after-ms www-authenticate x-request-id "
    "x-should-retry".split()
)
MASKED_HEADERS = {
    "x-request-id": f"req_{REDACTED}",
    "openai-organization": f"org-{REDACTED}",
    "openai-project": f"proj_{REDACTED}",
}
"""Headers whose values always go, and the placeholders that say what they were."""

_SECRET_HEADER = re.compile(
    r"(?:.*[-_])?(?:authorization|cookie2?|(?:api|access|auth|subscription|functions)[-_]?key"
    r"|token|secret|password|signature|credentials?)|openai-organization|openai-project"
)
_COOKIE = re.compile(r"(?:^|[;,])\s*([^=;,\s]+)=\"?([^;,\"]*)")
_COOKIE_SETTINGS = {"path", "domain", "expires", "max-age", "samesite", "priority", "version"}


@lru_cache(1024)
def is_secret_header(name: str) -> bool:
    """Whether the values of a header are secret; `name` is in lower case."""
    return _SECRET_HEADER.fullmatch(name) is not None


def header_secrets(name: str, value: str) -> Iterator[tuple[str, str]]:
    """The secrets in a header that is secret by name, each with its kind."""
    what = f"the {name} header of a request"
    if "cookie" in name:
        for cookie, text in _COOKIE.findall(value):
            if cookie.lower() not in _COOKIE_SETTINGS and any(map(str.isdigit, text)):
                yield text.strip(), "a cookie"
        return
    scheme, _, token = value.strip().partition(" ")
    token = token.strip()
    if not token:
        yield scheme, what
    elif scheme.lower() == "basic":
        yield token, "the password of a request"
        with contextlib.suppress(ValueError):
            password = base64.b64decode(token).decode().partition(":")[2]
            yield password, "the password of a request"
    else:
        yield token, "the bearer token of a request" if scheme.lower() == "bearer" else what


# -- URLs and forms ------------------------------------------------------------------------------

_SECRET_PARAMETER = re.compile(
    r"(?:.*[-_])?(?:api[-_]?key|token|secret|password|signature)|key|sig|code|x-amz-.*",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"(?:^|[?&;#])([^=&;#?]+)=([^&;#]+)")
_USERINFO = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#\s]*)@")
_SIGNED = "-signature", "-credential", "-token"


def _secret_parameters(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Name and match of each secret parameter of a query or a form; its value is group 2."""
    for match in _PARAMETER.finditer(text):
        name = unquote(match[1])
        if _SECRET_PARAMETER.fullmatch(name):
            yield name, match


def parameter_hits(text: str) -> list[Hit]:
    """The values of the secret parameters of a URL or a form."""
    return [
        Hit(*match.span(2), REDACTED, "")
        for _, match in _secret_parameters(text)
        if match[2] != REDACTED
    ]


def userinfo(url: str) -> re.Match[str] | None:
    """User and password of a URL as group 1; the match ends after the ``@``."""
    return _USERINFO.match(url) if "@" in url else None


def url_secrets(url: str) -> Iterator[tuple[str, str]]:
    """The secrets in the parameters, the user and the password of a URL, each with its kind."""
    for name, match in _secret_parameters(url):
        # The other X-Amz-* parameters hold algorithm, date and expiry.
        if not name.lower().startswith("x-amz-") or name.lower().endswith(_SIGNED):
            yield unquote(match[2]), f"the {name} parameter of a URL"
    if user := userinfo(url):
        for part in user[1].split(":"):
            yield unquote(part), "the password of a URL"


# -- variables -----------------------------------------------------------------------------------

_SECRET_VARIABLES = "_API_KEY", "_ADMIN_KEY", "_ACCESS_KEY", "_TOKEN", "_SECRET", "_PASSWORD"
_ACCOUNT_VARIABLES = "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"


def environment_secrets(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The values of variables that are named like keys, each with its kind."""
    for name, value in environ.items():
        if name.endswith(_SECRET_VARIABLES) or name in _ACCOUNT_VARIABLES:
            yield value.strip(), f"the value of {name}"
