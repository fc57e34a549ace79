"""Secrets in URLs and forms: user and password, and parameters that are named like secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from pytest_chatapi.redaction.names import Rank, rank
from pytest_chatapi.redaction.replacing import REDACTED, Hit
from pytest_chatapi.redaction.values import can_be_password, is_generated, is_opaque

__all__ = ["form_hits", "multipart_hits", "path_hits", "text_hits", "url_secrets", "userinfo"]

_KIND = "a secret in a URL"

# Secret in a URL or a form, beside the names that are secret anywhere.
_SECRET_PARAMETER = re.compile(
    r"(?:.*[-_])?(?:hmac|token|signature)|key|sig|code|x-(?:amz|goog)-.*", re.IGNORECASE
)
_SIGNATURE = re.compile("(?:.*[-_])?(?:hmac|sig|signature)", re.IGNORECASE)
_IF_OPAQUE = re.compile("token|key|code|appid|key-pair-id|policy|sas|ticket", re.IGNORECASE)
_PARAMETER = re.compile(r"(?:^|[?&;#])([^=&;#?]+)=([^&;#]+)")
_USERINFO = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#\s]*)@")
_SIGNED = "-signature", "-credential", "-token"


def _secret_parameters(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Name and match of each secret parameter of a query or a form; its value is group 2."""
    for match in _PARAMETER.finditer(text):
        name = unquote(match[1])
        of_name = rank(name)
        if (
            of_name is Rank.SECRET
            or _SECRET_PARAMETER.fullmatch(name)
            or of_name.covers(unquote(match[2]))
            or (_IF_OPAQUE.fullmatch(name) and is_opaque(unquote(match[2])))
        ):
            yield name, match


def form_hits(text: str) -> list[Hit]:
    """The values of the secret parameters of a URL or a form."""
    return [
        Hit(*match.span(2), REDACTED, "")
        for _, match in _secret_parameters(text)
        if match[2] != REDACTED
    ]


_SECRET_SEGMENT = re.compile(
    r"/(?:(?:api[-_]?)?keys?|k|mcp|s|secrets?|tokens?|(?:(?:web)?hooks?|services)(?:/[A-Z0-9]+){0,2})"
    r"/([A-Za-z0-9_-]{16,})(?=[/?#]|\Z)",
    re.IGNORECASE,
)


def path_hits(url: str) -> list[Hit]:
    """The generated parts of a path that follow a name: ``/webhooks/...``, ``/token/...``."""
    return [
        Hit(*match.span(1), REDACTED, "")
        for match in _SECRET_SEGMENT.finditer(url)
        if is_generated(match[1])
    ]


def userinfo(url: str) -> re.Match[str] | None:
    """User and password of a URL as group 1; the match ends after the ``@``."""
    return _USERINFO.match(url) if "@" in url else None


def url_secrets(url: str) -> Iterator[tuple[str, str]]:
    """The secrets in the parameters, the user and the password of a URL, each with its kind."""
    for name, match in _secret_parameters(url):
        # The other X-Amz-* parameters hold algorithm, date and expiry.
        is_signing = name.lower().startswith(("x-amz-", "x-goog-"))
        if not is_signing or name.lower().endswith(_SIGNED):
            yield unquote(match[2]), f"the {name} parameter of a URL"
    if user := userinfo(url):
        for part in user[1].split(":"):
            yield unquote(part), "the password of a URL"


# -- within other text ---------------------------------------------------------------------------

# In JSON the separators may be escaped, and in HTML an entity ends with one.
_IN_TEXT = re.compile(
    r"(?:[?&;#] ?|\\u0026|\\u003[Ff])([A-Za-z_][A-Za-z0-9_. %\[\]-]{0,60}?)="
    r"([^&;#?\s\"'<>\\`()\[\]{}|,]+)"
)
_USER_IN_TEXT = re.compile(
    r":\\*/\\*/([^/?#\s\"'<>@:\\]*)(?::([^/?#\s\"'<>\\]+))?@(?=[A-Za-z0-9\[])"
)
_ORACLE = re.compile(r"jdbc:oracle:[a-z]{3,4}:\w{1,64}/([^\s\"'@/]{6,64})@")
_AROUND_URLS = ".,:!*_"


def text_hits(text: str) -> list[Hit]:
    """What is secret in the URLs of a text, and in connection strings (``...;Password=...``)."""
    hits = []
    if "=" in text:
        for match in _IN_TEXT.finditer(text):
            value = match[2].rstrip(_AROUND_URLS)
            if _is_secret(match[1], unquote(value)):
                start = match.start(2)
                hits.append(Hit(start, start + len(value), REDACTED, _KIND))
    if "@" in text:
        for match in _USER_IN_TEXT.finditer(text):
            user, password = unquote(match[1]), match[2]
            if password in (None, "x-oauth-basic"):
                if is_opaque(user):
                    hits.append(Hit(*match.span(1), REDACTED, _KIND))
            elif can_be_password(unquote(password)):
                hits.append(Hit(*match.span(2), REDACTED, _KIND))
        if "jdbc:oracle:" in text:
            for match in _ORACLE.finditer(text):
                hits.append(Hit(*match.span(1), REDACTED, _KIND))
    return hits


def _is_secret(name: str, value: str) -> bool:
    name = unquote(name)
    of_name = rank(name)
    if _SIGNATURE.fullmatch(name):
        return can_be_password(value)
    if of_name is Rank.NONE:
        return _IF_OPAQUE.fullmatch(name) is not None and is_opaque(value)
    return of_name.covers(value)


_PART = re.compile(
    r"\bname=\"([^\"\r\n]+)\"[^\r\n]*\r?\n(?:[^\r\n]+\r?\n){0,8}\r?\n([^\r\n]+)", re.IGNORECASE
)


def multipart_hits(text: str) -> list[Hit]:
    """The values of the secret fields of a multipart form."""
    return [
        Hit(*match.span(2), REDACTED, "")
        for match in _PART.finditer(text)
        if rank(match[1]).covers(match[2])
    ]
