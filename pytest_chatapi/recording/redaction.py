"""Keeps secrets out of cassettes and messages.

What is masked: keys by their shape, organisation, project, user and request ids, and every value
that a request was authorised with or that the environment calls a key, in any of the encodings
that people meet. Headers are kept by a list of allowed names.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pytest_chatapi.errors import SettingError
from pytest_chatapi.recording.jsonpath import JsonPaths

__all__ = ["MASK", "Redactor"]

MASK = "REDACTED"

_KEPT = {
    True: frozenset(
        "content-type openai-processing-ms openai-version openai-model x-request-id "
        "openai-organization retry-after retry-after-ms x-should-retry date location".split()
    ),
    False: frozenset(("content-type", "accept", "openai-beta")),
}
_KEPT_PREFIX = "x-ratelimit-"
_SECRET_HEADERS = frozenset(
    "authorization proxy-authorization api-key x-api-key x-goog-api-key cookie set-cookie "
    "openai-organization openai-project x-auth-token x-amz-security-token".split()
)
_NO_SECRET = frozenset(("bearer", "basic", "digest", "token", "true", "false", "none", "null"))
_QUERY = re.compile(
    r"([?&;](?:api[-_]?key|key|(?:access[-_]|auth[-_])?token|sig|signature|code|secret|password"
    r"|x-amz-[\w-]+|x-goog-(?:signature|credential))=)([^&#;]*)",
    re.IGNORECASE,
)
_ENVIRONMENT = re.compile(r"(?:_API_KEY|_ADMIN_KEY|_TOKEN|_SECRET|_PASSWORD|_ACCESS_KEY)$")
_ENVIRONMENT_IDS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")

_U = r"[A-Za-z0-9_-]"
_SHAPES = re.compile(
    "|".join(
        (
            # A prefix, and a run that is no prose: with a digit or a capital, or very long.
            rf"(?P<key>(?<![A-Za-z0-9])sk-)(?!{MASK})(?:(?={_U}*[0-9A-Z]){_U}{{16,}}|{_U}{{32,}})",
            r"(?P<org>\borg-)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}",
            r"(?P<project>\bproj_)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}",
            r"(?P<user>\buser-)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}",
            r"(?P<request>\breq_)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}",
            rf"(?P<bearer>\b[Bb]earer\s+)(?!{MASK})(?=[A-Za-z._~+/=-]*[0-9])[A-Za-z0-9._~+/=-]{{12,}}",
            r"(?P<basic>\b[Bb]asic\s+)(?=[A-Za-z+/]*[0-9=])[A-Za-z0-9+/]{12,}=*",
            rf"(?P<vendor>\b(?:gsk_|xai-|r8_|pplx-|hf_|gh[opsur]_|github_pat_|glpat-|xox[baprs]-))"
            rf"(?!{MASK}){_U}{{16,}}",
            r"(?P<google>\bAIza)[A-Za-z0-9_-]{35}",
            r"(?P<aws>\b(?:AKIA|ASIA))[A-Z0-9]{16}\b",
            r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
        )
    )
)
_MARKER = "T3BlbkFJ"
"""Stands inside every key of OpenAI: base64 of its name."""

_MARKED = re.compile(rf"{_U}*{_MARKER}{_U}*")
# The regular expression costs; in most texts none of these stands.
_HINTS = (
    "sk-", "org-", "proj_", "user-", "req_", "earer ", "asic ", "gsk_", "xai-", "r8_",
    "pplx-", "hf_", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox",
    "AIza", "AKIA", "ASIA", "eyJ", "PRIVATE KEY",
)  # fmt: skip
_KINDS = {
    "key": "an API key (sk-...)",
    "org": "an organisation id",
    "project": "a project id",
    "user": "a user id",
    "request": "a request id",
    "bearer": "a bearer token",
    "basic": "a password",
}
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"\b(?:[0-9a-f]{2}){10,}\b|\b(?:[0-9A-F]{2}){10,}\b")
_WRAPPED = re.compile(
    r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{40,80}(?:\\r)?(?:\\n|\r?\n)[ \t]*){2,}[A-Za-z0-9+/]+={0,2}"
)
_ESCAPE = re.compile(r"\\+u00([2-7][0-9a-fA-F])|\\+/")
_MASK64 = base64.b64encode(MASK.encode()).decode()
_MOST_DECODED = 8 << 20

_Cut = tuple[int, int, str]


class Redactor:
    """What is secret in one project and one test.

    Args:
        patterns: of the project: regular expressions (a group named ``secret`` limits what is
            masked), and JSON paths beginning with ``$`` whose value is masked in bodies.
        keep_headers: names to keep besides the usual ones; ``x-litellm-*`` is fine.
        environ: where keys are looked for; the process's own by default.

    Raises:
        SettingError: a pattern is wrong.
    """

    def __init__(
        self,
        patterns: Iterable[str] = (),
        keep_headers: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        patterns = list(patterns)
        self._paths = JsonPaths(p for p in patterns if p.startswith("$"))
        self._own: list[re.Pattern[str]] = []
        for pattern in patterns:
            if not pattern.startswith("$"):
                try:
                    self._own.append(re.compile(pattern))
                except re.error as error:
                    raise SettingError(
                        f"redact: {pattern!r} is no regular expression: {error}"
                    ) from None
        self._keep = [name.lower() for name in keep_headers]
        self._known: dict[str, str] = {}
        self._seen: set[str] = set()
        self._runs: dict[str, bool] = {}
        self._spelled: list[str] = []
        self._values: re.Pattern[str] | None = None
        for name, value in (os.environ if environ is None else environ).items():
            if name in _ENVIRONMENT_IDS or _ENVIRONMENT.search(name):
                self._know(value, f"the value of {name}", 12)
        self._compile()

    # -- what is known -------------------------------------------------------------------------

    def learn(self, headers: Mapping[str, str] | Iterable[tuple[str, str]], url: str = "") -> None:
        """Remembers what a request was authorised with, to mask it wherever else it stands."""
        before = len(self._known)
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            if name in _SECRET_HEADERS and value not in self._seen:
                self._seen.add(value)
                self._learn_header(name, value)
        if url and url not in self._seen and ("@" in url or "=" in url):
            self._seen.add(url)
            for found in _QUERY.finditer(url):
                self._know(unquote(found[2]), "a query parameter of a URL")
            userinfo = url.partition("//")[2].partition("/")[0].rpartition("@")[0]
            for part in userinfo.split(":"):
                self._know(unquote(part), "the password of a URL")
        if len(self._known) != before:
            self._compile()

    def _learn_header(self, name: str, value: str) -> None:
        what = f"the {name} header of a request"
        if name in ("cookie", "set-cookie"):
            for pair in value.split(";"):
                self._know(pair.partition("=")[2].strip(), "a cookie", 12)
            return
        scheme, _, token = value.partition(" ")
        self._know(token.strip() or value, what)
        if scheme.lower() == "basic":
            try:
                password = base64.b64decode(token).decode().partition(":")[2]
            except (ValueError, binascii.Error):
                return
            self._know(password, what)

    def _know(self, value: str, what: str, least: int = 8) -> None:
        value = value.strip()
        is_word = value.isalpha() and (value.islower() or value.isupper() or value.istitle())
        if len(value) < least or value.lower() in _NO_SECRET or MASK in value or is_word:
            return
        if value.isdigit() or value.startswith(("/", "./", "http://", "https://")):
            return
        self._known.setdefault(value, what)

    def _compile(self) -> None:
        spelled: dict[str, None] = {}
        for value in sorted(self._known, key=len, reverse=True):
            data = value.encode()
            for text in (
                value,
                json.dumps(value)[1:-1],
                json.dumps(value)[1:-1].replace("/", "\\/"),
                quote(value, safe=""),
                data.hex(),
                data.hex().upper(),
            ):
                spelled[text] = None
        ordered = self._spelled = sorted(spelled, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._runs.clear()

    # -- masking -------------------------------------------------------------------------------

    def headers(
        self, headers: Iterable[tuple[str, str]], *, response: bool
    ) -> list[tuple[str, str]]:
        """Those that may be recorded, names in lower case."""
        kept = []
        for name, value in headers:
            name = name.lower()
            if (
                name in _KEPT[response]
                or (response and name.startswith(_KEPT_PREFIX))
                or any(fnmatchcase(name, pattern) for pattern in self._keep)
            ):
                kept.append((name, self._header(name, value)))
        return kept

    def _header(self, name: str, value: str) -> str:
        if name == "x-request-id":
            return f"req_{MASK}"
        if name == "openai-organization":
            return f"org-{MASK}"
        return MASK if name in _SECRET_HEADERS else self.text(value)

    def url(self, url: str) -> str:
        """Without user and password, and without the values of parameters that are keys."""
        if "@" in url:
            try:
                parts = urlsplit(url)
                if "@" in parts.netloc:
                    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            except ValueError:
                pass
        if "=" in url:
            url = _QUERY.sub(lambda found: found[1] + MASK, url)
        return self.text(url)

    def text(self, text: str) -> str:
        """With all that is secret masked."""
        cuts = self._cuts(text)
        return _replaced(text, cuts) if cuts else text

    def body(self, body: bytes | str | None, content_type: str = "") -> bytes | None:
        """As `body_and_cuts`, without the cuts."""
        if body is None:
            return None
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        return self.body_and_cuts(data, (), content_type)[0]

    def body_and_cuts(
        self, body: bytes, cuts: Sequence[int], content_type: str = ""
    ) -> tuple[bytes, Sequence[int]]:
        """The body with all that is secret masked; `cuts`, offsets into it, move along."""
        encoding = "utf-8"
        try:
            text = body.decode()
        except UnicodeDecodeError:
            encoding, text = "latin-1", body.decode("latin-1")
        found = self._cuts(text)
        found = _merged(found + self._split(body, text, found, encoding))
        if self._paths:
            text, found = self._by_path(text, found)
            if not found and text.encode(encoding) == body:
                return body, cuts
            if not found:
                return text.encode(encoding), [min(cut, len(text.encode())) for cut in cuts]
        if not found:
            return body, cuts
        masked = _replaced(text, found).encode(encoding)
        if not cuts:
            return masked, cuts
        return masked, _moved(text, found, cuts, encoding, len(masked))

    def _by_path(self, text: str, found: list[_Cut]) -> tuple[str, list[_Cut]]:
        try:
            value = json.loads(_replaced(text, found))
        except ValueError:
            return text, found
        hit = []

        def mask(container: Any, key: Any) -> None:
            hit.append(key)
            container[key] = MASK

        self._paths.replace(value, mask)
        return (json.dumps(value, ensure_ascii=False), []) if hit else (text, found)

    # -- finding -------------------------------------------------------------------------------

    def _cuts(self, text: str) -> list[_Cut]:
        """(start, end, replacement) of each secret."""
        cuts = [(a, b, by) for a, b, by, _ in self._plain(text)]
        for found in _ENCODED.finditer(text):
            if self._is_hiding(found[0]):
                cuts.append((found.start(), found.end(), _MASK64))
        if "\\u00" in text or "\\/" in text:
            cuts += self._escaped(text)
        return _merged(cuts)

    def _plain(self, text: str) -> Iterator[tuple[int, int, str, str]]:
        # Looking for each is quicker than the expression, and mostly none is there.
        if self._values is not None and any(value in text for value in self._spelled):
            for found in self._values.finditer(text):
                yield found.start(), found.end(), MASK, self._known.get(found[0], "a known secret")
        if any(hint in text for hint in _HINTS):
            for found in _SHAPES.finditer(text):
                name = found.lastgroup
                prefix = found[name] if name else ""
                yield (
                    found.start(),
                    found.end(),
                    f"{prefix}{MASK}",
                    _KINDS.get(name or "", "a key or token"),
                )
        if _MARKER in text:
            for found in _MARKED.finditer(text):
                yield found.start(), found.end(), MASK, "an API key"
        for pattern in self._own:
            for found in pattern.finditer(text):
                group = "secret" if "secret" in pattern.groupindex else 0
                if found[group] and found[group] != MASK:
                    yield found.start(group), found.end(group), MASK, "what redact= names"

    def _escaped(self, text: str) -> list[_Cut]:
        """Secrets with JSON escapes of ASCII characters in them."""
        plain, places, at = [], [0], 0
        for found in _ESCAPE.finditer(text):
            for char in text[at : found.start()]:
                plain.append(char)
                places.append(places[-1] + 1)
            plain.append(chr(int(found[1], 16)) if found[1] else "/")
            places[-1] = found.start()
            places.append(found.end())
            at = found.end()
        for char in text[at:]:
            plain.append(char)
            places.append(places[-1] + 1)
        return [(places[a], places[b], by) for a, b, by, _ in self._plain("".join(plain))]

    def _is_hiding(self, run: str) -> bool:
        """As `_hides`, remembered: the ids of a stream stand in each of its chunks."""
        if len(run) > 200:
            return self._hides(run)
        known = self._runs.get(run)
        if known is None:
            if len(self._runs) > 1000:
                self._runs.clear()
            known = self._runs[run] = self._hides(run)
        return known

    def _hides(self, run: str, depth: int = 0) -> bool:
        return any(self._has(view, depth) for view in _views(run))

    def _has(self, text: str, depth: int = 0) -> bool:
        if next(self._plain(text), None) is not None:
            return True
        if depth >= 2:
            return False
        return any(self._hides(found[0], depth + 1) for found in _ENCODED.finditer(text))

    def _split(self, body: bytes, text: str, found: list[_Cut], encoding: str) -> list[_Cut]:
        """Secrets that are spread over the fragments of a stream or the tokens of logprobs."""
        if encoding != "utf-8" or text.count('"', 0, 4096) < 4:
            return []
        spans: dict[str, list[tuple[int, int]]] = {}
        if b"data:" not in body[:512] and b'"token"' not in body:
            return []
        joined: dict[str, list[str]] = {}
        for match in _STRINGS.finditer(text):
            key = match[1]
            spans.setdefault(key, []).append((match.start(2), match.end(2)))
            joined.setdefault(key, []).append(match[2])
        cuts: list[_Cut] = []
        for key, parts in joined.items():
            if len(parts) < 2:
                continue
            whole = "".join(parts)
            for start, end, by, _ in self._plain(whole):
                cuts += _spread(parts, spans[key], start, end, by)
        if any(end - start and not by for start, end, by in cuts) and '"bytes"' in text:
            cuts += [(m.start(1), m.end(1), "null") for m in _BYTES.finditer(text)]
        return cuts

    def find_secrets(self, text: str) -> list[str]:
        """What still looks like a secret, in whatever encoding: kinds, never the secret itself."""
        found = {kind: None for _, _, _, kind in self._plain(text)}
        for view in _decoded_views(text):
            found |= {f"{kind}, encoded": None for _, _, _, kind in self._plain(view)}
        for run in _ENCODED.finditer(text):
            if run[0] != _MASK64 and self._is_hiding(run[0]):
                found["a secret in base64"] = None
        for cut in self._split(text.encode("utf-8", "surrogatepass"), text, [], "utf-8"):
            if cut[2]:
                found["a key in pieces"] = None
        return list(found)


_STRINGS = re.compile(
    r'"(content|arguments|token|text|refusal|reasoning\w*|thinking|input|transcript)": ?'
    r'"((?:[^"\\]|\\.)*)"'
)
_BYTES = re.compile(r'"bytes": ?(\[[0-9, ]+\])')


def _spread(
    parts: list[str], spans: list[tuple[int, int]], start: int, end: int, by: str
) -> list[_Cut]:
    """What a secret at start..end of the joined parts covers in each of them."""
    cuts: list[_Cut] = []
    at = 0
    covered = 0
    for part, (where, _) in zip(parts, spans, strict=True):
        low, high = max(start, at), min(end, at + len(part))
        if low < high:
            cuts.append((where + low - at, where + high - at, "" if covered else by))
            covered += 1
        at += len(part)
        if at >= end:
            break
    return cuts if covered > 1 else []


def _views(run: str) -> Iterator[str]:
    """What a run of base64 characters may say."""
    text = run.rstrip("=").replace("-", "+").replace("_", "/")
    # Other characters of the alphabet may stand before a short one, as in a path; and an image
    # of megabytes is decoded once.
    for skip in range(4 if 24 < len(text) < 10_000 else 1):
        cut = text[skip:]
        if len(cut) % 4 == 1:
            cut = cut[:-1]
        try:
            data = base64.b64decode(cut + "=" * (-len(cut) % 4))
        except (ValueError, binascii.Error):
            continue
        if data[:2] in (b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda"):
            with contextlib.suppress(zlib.error):
                data = zlib.decompressobj(47).decompress(data, _MOST_DECODED)
        yield data.decode("latin-1")


def _decoded_views(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _ESCAPE.sub(lambda f: chr(int(f[1], 16)) if f[1] else "/", text)
    if "%" in text:
        yield unquote(text)
    for found in _HEX.finditer(text):
        yield bytes.fromhex(found[0]).decode("latin-1")
    for found in _WRAPPED.finditer(text):
        yield from _views(re.sub(r"\\[rn]|\s", "", found[0]))


def _merged(cuts: list[_Cut]) -> list[_Cut]:
    """In order, none inside another."""
    result: list[_Cut] = []
    for cut in sorted(cuts, key=lambda cut: (cut[0], -cut[1])):
        if not result or cut[0] >= result[-1][1]:
            result.append(cut)
        elif cut[1] > result[-1][1]:
            result[-1] = (result[-1][0], cut[1], result[-1][2])
    return result


def _replaced(text: str, cuts: list[_Cut]) -> str:
    parts, at = [], 0
    for start, end, by in cuts:
        parts += [text[at:start], by]
        at = end
    return "".join([*parts, text[at:]])


def _moved(
    text: str, found: list[_Cut], cuts: Sequence[int], encoding: str, size: int
) -> list[int]:
    """Offsets in bytes after the replacements."""
    edges: list[tuple[int, int, int]] = []  # old start, old end, growth so far
    at = place = growth = 0
    for start, end, by in found:
        place += len(text[at:start].encode(encoding))
        length = len(text[start:end].encode(encoding))
        edges.append((place, place + length, growth))
        growth += len(by) - length
        place, at = place + length, end
    starts = [edge[0] for edge in edges]
    moved = []
    for cut in cuts:
        index = bisect_right(starts, cut - 1) - 1
        if index < 0:
            moved.append(cut)
            continue
        begin, stop, before = edges[index]
        by_size = len(found[index][2])
        if cut >= stop:
            moved.append(cut + before + by_size - (stop - begin))
        else:
            moved.append(begin + before + min(cut - begin, by_size))
    return [min(cut, size) for cut in moved]
