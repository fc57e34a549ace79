"""When two requests count as the same, and in what two bodies differ."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, did_you_mean, show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.recording.kinds import DEFAULT_MATCH_ON, MATCHERS
from pytest_chatapi.redaction.jsonpath import JsonPaths, leaves
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Matcher", "differences", "split_url", "streams"]

_ALIASES = {"url": "uri", "raw_body": "body"}
_PORTS = {"https": 443, "http": 80}
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]+)"|([^;\s]+))""", re.IGNORECASE)

Normalizer = Callable[[JSON], JSON]


class Matcher:
    """Turns requests into keys: those with equal keys match the same recordings.

    Args:
        redactor: masks secrets before anything is compared, because recordings are masked too.
        match_on: some of `kinds.MATCHERS`.
        ignore_body: paths in a JSON body that are not compared.
        normalize_body: gets a copy of a JSON body (or the text of any other that is not empty) and
            returns what is compared: the place to normalise dates, ids and temporary
            paths.

    Raises:
        SettingError: a name or a path that does not exist.
    """

    def __init__(
        self,
        redactor: Redactor,
        match_on: Iterable[str] = DEFAULT_MATCH_ON,
        ignore_body: Iterable[str] = (),
        normalize_body: Normalizer | None = None,
    ) -> None:
        self.redactor = redactor
        self.match_on = tuple(_ALIASES.get(name, name) for name in match_on)
        for name in self.match_on:
            if name not in MATCHERS:
                near = did_you_mean(name, MATCHERS) or f": use {', '.join(MATCHERS)}"
                if "," in name:
                    near = ": name each by itself, between spaces in an ini file"
                raise SettingError(f"match_on cannot compare {name!r}{near}")
        self._ignored = JsonPaths(ignore_body)
        self._normalize = normalize_body

    def key(self, request: Request) -> bytes:
        """Equal for requests that count as the same."""
        parts = self._head(request, self.match_on)
        if "body" in self.match_on:
            parts.append(canonical(self.body(request)))
        return _digest(parts)

    def head_key(self, request: Request, match_on: Iterable[str]) -> bytes:
        """As `key`, by the given rules; of the body only ``stream`` is compared."""
        return _digest([*self._head(request, match_on), str(streams(request))])

    def _head(self, request: Request, match_on: Iterable[str]) -> list[str]:
        url = self.redactor.url(request.url)
        split = split_url(url)
        parts = []
        for name in match_on:
            if name == "method":
                parts.append(request.method)
            elif name == "path":
                parts.append(split.path or "/")
            elif name == "query":
                parts.append(repr(sorted(parse_qsl(split.query, True))) if split.query else "")
            elif name == "uri":
                parts.append(url)
            elif name == "host":
                parts.append(split.hostname or "")
            elif name == "scheme":
                parts.append(split.scheme)
            elif name == "port":
                parts.append(str(_port(split)))
        return parts

    def body(self, request: Request) -> JSON:
        """What is compared of a body: parsed JSON, or text."""
        body = request.body
        content_type = request.headers.get("content-type", "")
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        if isinstance(body, bytes):
            body = self.redactor.body(body, content_type)
            value = _parsed(body or b"")
            if value is ABSENT:
                value = _even_boundary(body or b"", content_type)
        else:
            value = "" if body is None else copy.deepcopy(body)
        if isinstance(value, dict) and not value.get("stream", True):
            del value["stream"]  # some clients send false or null, others leave it out
        if self._ignored:
            self._ignored.drop(value)
        if self._normalize is not None and value != "":
            try:
                value = self._normalize(value)
            except Exception as error:  # anything the user's function raises
                name = getattr(self._normalize, "__qualname__", "normalize_body")
                raise SettingError(
                    f"normalize_body: {name} failed on {show(value)}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return value


def canonical(value: JSON) -> str:
    """The same text for all spellings of a JSON value."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _digest(parts: list[str]) -> bytes:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def _number(text: str) -> float | int:
    # Some clients write 0, others 0.0.
    number = float(text)
    return int(number) if number.is_integer() else number


_decode = json.JSONDecoder(parse_float=_number).decode


def _parsed(body: bytes) -> JSON:
    if body[:1] not in (b"{", b"[") and body.lstrip()[:1] not in (b"{", b"["):
        return ABSENT
    try:
        return _decode(body.decode())
    except (ValueError, RecursionError):
        return ABSENT


def _even_boundary(body: bytes, content_type: str) -> str:
    """A body that is not JSON as text, without the random boundary of a multipart form."""
    text = body.decode("utf-8", "backslashreplace")
    match = _BOUNDARY.search(content_type) if "multipart/" in content_type else None
    return text.replace(match[1] or match[2], "boundary") if match else text


def split_url(url: str) -> SplitResult:
    """The parts of a URL; one that is broken is all path."""
    try:
        return urlsplit(url)
    except ValueError:  # a damaged host in a recording
        return SplitResult("", "", url, "", "")


def _port(split: SplitResult) -> int | None:
    try:
        return split.port or _PORTS.get(split.scheme)
    except ValueError:
        return None


def streams(request: Request) -> bool:
    """Whether a request asks for a stream."""
    body = request.body
    if isinstance(body, str | bytes):
        body = _parsed(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body)
    return isinstance(body, Mapping) and bool(body.get("stream"))


def differences(recorded: JSON, sent: JSON) -> list[tuple[str, JSON, JSON]]:
    """(path, recorded, sent) for each place where two bodies differ; `ABSENT` for no value."""
    old, new = leaves(recorded), leaves(sent)
    return [
        (path, old.get(path, ABSENT), new.get(path, ABSENT))
        for path in [*old, *(path for path in new if path not in old)]
        if path not in old or path not in new or not _same(old[path], new[path])
    ]


def _same(one: JSON, other: JSON) -> bool:
    return type(one) is type(other) and bool(one == other)
