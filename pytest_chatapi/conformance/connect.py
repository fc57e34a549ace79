"""A run against a live server, from what either front door was given."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from pytest_chatapi.conformance.probe import CAPABILITIES
from pytest_chatapi.conformance.report import About, shown_headers
from pytest_chatapi.conformance.run import Options, Run
from pytest_chatapi.conformance.wire import Caps, Live
from pytest_chatapi.contract.selection import parse_date
from pytest_chatapi.contract.wording import did_you_mean, without_secrets
from pytest_chatapi.errors import SettingError
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["check_url", "connect", "declared_capabilities"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@contextmanager
def connect(
    url: str,
    options: Options,
    *,
    key_variable: str,
    headers: Sequence[str] = (),
    timeout: float = 30.0,
    caps: Caps | None = None,
) -> Iterator[tuple[Run, About, Redactor]]:
    """A run that sends to a server, what its report is about, and who hides its secrets.

    Args:
        url: base URL, with or without ``/chat/completions``.
        key_variable: environment variable with the key; without one, none is sent.
        headers: sent with every request, each ``NAME:VALUE``.
        timeout: seconds for one response.

    Raises:
        SettingError: the URL or a header is not one.
    """
    caps = caps or Caps()
    base_url = check_url(url)
    sent_headers = _headers(key_variable, headers)
    redactor = Redactor()
    redactor.learn(sent_headers, base_url)
    day = parse_date(options.as_of) or datetime.date.today()
    about = About(
        redactor.url(base_url),
        options.model,
        day.isoformat(),
        options.profile or "",
        key_variable,
        sorted(options.declared),
        shown_headers(sent_headers, key_variable, redactor),
    )
    # A connection for each request: one that is kept may be closed by the server just when the next
    # request is sent, which is nobody's deviation.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(follow_redirects=False, limits=limits) as client:
        run = Run(lambda name: Live(client, base_url, sent_headers, timeout, caps), options, caps)
        yield run, about, redactor


def check_url(url: str) -> str:
    """A base URL as requests are built on it.

    Raises:
        SettingError: it is not one.
    """
    try:
        parts = httpx.URL(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.host)
    except (httpx.InvalidURL, ValueError):
        is_url = False
    if not is_url:
        raise SettingError(f"{without_secrets(url)!r} is not a base URL: use http://HOST:PORT/v1")
    return url.rstrip("/").removesuffix("/chat/completions")


def _headers(key_variable: str, texts: Sequence[str]) -> dict[str, str]:
    headers = {}
    key = os.environ.get(key_variable, "").strip()
    if not key and key_variable != "OPENAI_API_KEY":  # the default
        raise SettingError(f"the environment variable {key_variable}, for the key, is not set")
    if key:
        headers["authorization"] = f"Bearer {key}"
    if not _is_header(key):
        raise SettingError(f"the key in {key_variable} has characters no header may have")
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not _NAME.fullmatch(name.strip()) or not _is_header(value.strip()):
            raise SettingError(f"{without_secrets(text)!r} is not a header: use NAME:VALUE")
        headers[name.strip().lower()] = value.strip()
    return headers


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


def declared_capabilities(texts: Sequence[str]) -> frozenset[str]:
    """The capabilities that a server is said to lack, each as ``CAPABILITY=no``.

    Raises:
        SettingError: a text says something else.
    """
    declared = set()
    for text in texts:
        name, _, value = text.partition("=")
        if name not in CAPABILITIES:
            raise SettingError(f"{name!r} is not a capability{did_you_mean(name, CAPABILITIES)}")
        if value != "no":
            raise SettingError(f"{text!r}: only {name}=no can be declared")
        declared.add(name)
    return frozenset(declared)
