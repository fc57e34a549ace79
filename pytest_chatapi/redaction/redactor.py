"""Keeps secrets out of cassettes and logs.

What is secret: the keys, tokens and ids whose shape is known; the values that the environment
and the live requests carry; what a project names itself. They are found as they stand, behind
JSON escapes, percent-encoding, base64 (also of gzip data) and hex, and split over the chunks of
a stream. Each is replaced where it stands, so that JSON stays the same JSON but for its texts.

Almost all text is clean and has to cost almost nothing. Nearly everything that is looked for
holds, or is encoded as, a long run of letters, digits and ``+/_-``. So the runs are found first,
without any regular expression, and only runs that were not seen before are looked at.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fnmatch
import functools
import json
import os
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from urllib.parse import unquote

from pytest_chatapi.errors import SettingError
from pytest_chatapi.redaction.jsonpath import JsonPaths

_SMALL = 16 * 1024 * 1024
"""Bytes that compressed data may expand to, whatever its size."""

__all__ = ["Redactor"]

_REDACTED = "REDACTED"
_IN_BASE64 = "UkVEQUNURUQ="  # REDACTED, as base64

_Hit = tuple[int, int, str, str]
"""Where something secret starts and ends, what to put there, and what it is."""

_Find = Callable[[str], list[_Hit]]

# -- known shapes ------------------------------------------------------------------------------


class _Shape(NamedTuple):
    probe: str
    """Stands in every match."""
    pattern: re.Pattern[str]
    placeholder: str
    kind: str
    test: Callable[[re.Match[str]], bool] | None = None

    def hits(self, text: str) -> list[_Hit]:
        return [
            (*match.span(), self.placeholder, self.kind)
            for match in self.pattern.finditer(text)
            if self.test is None or self.test(match)
        ]


_ESCAPED_NO_LETTER = (
    r"\\[bfnrt]",
    r"\\x[0189A-Fa-f][0-9A-Fa-f]",
    r"\\u00[0189A-Fa-f][0-9A-Fa-f]",
    r"\\u0[1-9A-Fa-f][0-9A-Fa-f]{2}",
    r"\\u[1-9A-Fa-f][0-9A-Fa-f]{3}",
)
_COLOURS = [rf"\[[0-9;]{{{size}}}m" for size in range(6)]


def _at_edge(prefix: str) -> str:
    """`prefix` where a word starts, also behind an escaped character or a terminal's colour."""
    # The prefix comes first, which lets `re` skip to it.
    behind = "|".join(f"(?<={text}{prefix})" for text in (*_ESCAPED_NO_LETTER, *_COLOURS))
    return f"{prefix}(?:(?<![A-Za-z0-9]{prefix})|{behind})"


def _shape(prefix: str, tail: str, kind: str) -> _Shape:
    pattern = re.compile(f"{_at_edge(prefix)}(?:{tail})")
    return _Shape(prefix, pattern, prefix + _REDACTED, f"{kind} ({prefix}...)")


def _is_credentials(match: re.Match[str]) -> bool:
    """Whether this is no prose about basic authentication."""
    (data,) = _unbase64(match[1], 1)
    text = data.decode("utf-8", "surrogateescape")
    return ":" in text and text.isprintable()


def _is_key(match: re.Match[str]) -> bool:
    """Whether this is not just the base64 of a text in which OpenAI stands."""
    # From the marker back in steps of four, without the first: a part of an escape may be in it.
    before = len(match[1])
    (data,) = _unbase64(match[0][before % 4 + (4 if before > 3 else 0) :], 1)
    return any(not 8 <= byte < 127 for byte in data)


# No key is longer. Megabytes of url-safe base64 are, and any short prefix may stand in them.
_SAFE = r"[A-Za-z0-9_-]{%d,512}+(?![A-Za-z0-9_-])"
_ALNUM = r"[A-Za-z0-9]{%d,512}+(?![A-Za-z0-9])"
# Words in lower case are names of packages and functions.
_MIXED = "(?=[a-z_-]*[A-Z0-9])"
_DIGIT = "(?=[A-Za-z]*[0-9])"

_SK = _shape(
    "sk-",
    rf"(?:{_MIXED}|(?=[a-z_-]{{32}})){_SAFE % 16}"
    # As a server quotes it: sk-proj-********a1B2
    r"|[A-Za-z0-9_-]{0,512}+\*{3}[A-Za-z0-9_*-]{0,512}+",
    "an API key",
)
_KEYS = (
    _SK,
    *(
        _shape(prefix, _MIXED + tail, "an API key")
        for prefixes, tail in (
            ("gsk_ csk- xai- pplx- r8_", _ALNUM % 20),
            ("nvapi-", _SAFE % 20),
            ("AIza", r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
            ("AKIA ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9+/])"),
        )
        for prefix in prefixes.split()
    ),
    *(
        _shape(prefix, _MIXED + tail, "a token")
        for prefixes, tail in (
            ("hf_ sess- ghp_ gho_ ghu_ ghs_ ghr_", _ALNUM % 20),
            ("github_pat_ glpat-", _SAFE % 16),
            ("xoxa- xoxb- xoxp- xoxr- xoxs-", _SAFE % 12),
        )
        for prefix in prefixes.split()
    ),
)
# No secrets, but they say whose they are. In base64 they stay: a whole file would go for them.
_IDS = (
    _shape("org-", _MIXED + _ALNUM % 16, "an organization id"),
    _shape("proj_", _MIXED + _ALNUM % 16, "a project id"),
    _shape("user-", _DIGIT + _ALNUM % 16, "a user id"),
    _shape("req_", _DIGIT + _ALNUM % 16, "a request id"),
)
_SHAPES = (*_KEYS, *_IDS)

_PRIVATE = r"[A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"
# Those that need not be part of a long run.
_SPACED = (
    _Shape(
        ".eyJ",
        re.compile(_at_edge("eyJ") + r"[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"),
        _REDACTED,
        "a JSON Web Token",
    ),
    # Base64 of "OpenAI": in the middle of their keys.
    _Shape(
        "T3BlbkFJ",
        re.compile(
            r"(?<![A-Za-z0-9+/_-])([A-Za-z0-9_-]{0,256}?)T3BlbkFJ[A-Za-z0-9_-]{0,256}+(?![+/=])"
        ),
        _REDACTED,
        "an API key",
        _is_key,
    ),
    _Shape(
        "earer",
        re.compile(
            r"[Bb]earer[ \t]+(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{11,}[A-Za-z0-9_~+/-]=*"
        ),
        f"Bearer {_REDACTED}",
        "a bearer token",
    ),
    _Shape(
        "-----BEGIN",
        re.compile(
            rf'-----BEGIN {_PRIVATE}(?:[^"<>{{}}]{{0,16384}}?-----END {_PRIVATE}'
            r"|(?:\s|\\[nr])*[A-Za-z0-9+/=]{40}[A-Za-z0-9+/=\s\\]*(?<![\s\\]))"
        ),
        _REDACTED,
        "a private key",
    ),
    _Shape(
        "asic",
        re.compile(r"[Bb]asic[ \t]+([A-Za-z0-9+/]{8,}+={0,2})"),
        f"Basic {_REDACTED}",
        "a password (Basic ...)",
        _is_credentials,
    ),
    _SK._replace(probe="***"),
)


def _occurrences(text: str, value: str, kind: str) -> Iterator[_Hit]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value), _REDACTED, kind
        at = text.find(value, at + len(value))


# -- what is encoded ---------------------------------------------------------------------------

_DEPTH = 3
"""How many encodings around each other are seen through."""

_ROUNDS = 4
"""How often a text is gone through, as long as something is replaced."""

_ALIGNED = 1 << 16
"""A run that is as long is taken to be base64 from its first character on."""

_MEMO, _MEMO_TEXT = 8192, 256
"""How many clean texts and runs are remembered, and up to which length."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_MARKS = bytes(ord("x") if byte in _ALPHABET else ord(" ") for byte in range(256))
_LONG = b"x" * 16
_RUN = re.compile(r"[A-Za-z0-9+/_-]+")
_HEX = re.compile(r"[0-9A-Fa-f]{16,}")
_LINE = re.compile(r"([A-Za-z0-9+/_-]+)(={0,2})(?:\r?\n[ \t]*)?")
_NEXT_LINE = re.compile(r"(?:\\+r)?\\+n[A-Za-z0-9+/_-]{2}")
_STANDARD = str.maketrans("-_", "+/")


def _allowance(text: str) -> list[int]:
    """How many bytes may be decoded on behalf of `text`: a bomb stays one."""
    return [_SMALL + 8 * len(text)]


def _unbase64(run: str, offsets: int = 4) -> Iterator[bytes]:
    """`run` decoded from each of its first characters on: other text may stand before it."""
    run = run.translate(_STANDARD)
    for offset in range(offsets):
        rest = (len(run) - offset) % 4
        # A lone last character holds no byte. Padding that is not needed does no harm.
        yield binascii.a2b_base64(run[offset : len(run) - (rest == 1)] + "==")


def _unzipped(data: bytes, left: list[int]) -> bytes:
    """`data`, or as much as can be had of what was zipped to it."""
    if data[:2] == b"\x1f\x8b" or (
        len(data) > 8 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
    ):
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            return unzip.decompress(data, min(_SMALL, max(1, left[0])))
        except zlib.error:
            pass
    return data


def _wrapped(text: str, at: int, width: int) -> tuple[str, int]:
    """Lines of one width, and a shorter last one, as a single run; and where it ends."""
    parts, end = [], at
    while line := _LINE.match(text, at):
        if len(line[1]) > width:
            break
        parts.append(line[1])
        end, at = line.end(2), line.end()
        if len(line[1]) < width:
            break
    return "".join(parts), end


class _View:
    """A text without its escapes, and where each place of it stands in the source."""

    __slots__ = ("_at", "_moved", "text")

    def __init__(
        self, source: str, escape: re.Pattern[str], decode: Callable[[re.Match[str]], str]
    ) -> None:
        self._at: list[int] = []
        self._moved: list[int] = []
        parts: list[str] = []
        last = size = moved = 0
        for match in escape.finditer(source):
            char = decode(match)
            start, end = match.span()
            parts += (source[last:start], char)
            size += start - last + len(char)
            moved += end - start - len(char)
            self._at.append(size)
            self._moved.append(moved)
            last = end
        self.text = "".join((*parts, source[last:]))

    def source(self, place: int) -> int:
        at = bisect_right(self._at, place)
        return place + self._moved[at - 1] if at else place

    def hits(self, find: _Find) -> list[_Hit]:
        return [
            (self.source(start), self.source(end), placeholder, kind)
            for start, end, placeholder, kind in find(self.text)
        ]


_ESCAPE = re.compile(
    r"\\(?:u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})"
    r"|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([bfnrt\"\\/]))"
)
_CHARS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PERCENT = re.compile(r"%[0-7][0-9A-Fa-f]|%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f])+")
# Escapes that hide something: where a long run seems to go on, of a letter, a digit or such, and
# of quotes in a stream. Others stand for what is in no secret, and no shape reads over them.
_HIDING = re.compile(
    r"\\(?:(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})[A-Za-z0-9+/_-]{16}"
    r"|u00(?:2[0-57-9A-Fa-f]|3[0-9ABDFabdf]|[4-7])|x[2-7]|/"
    r'|"token\\|(?<=data: \{\\)|(?<=data:\{\\))'
)
# Characters whose escapes hide nothing else.
_HIDDEN = re.compile(r"[^ !#-%'-;=?-\[\]-~]")


def _unescape(match: re.Match[str]) -> str:
    high, low, unit, byte, char = match.groups()
    if char:
        return _CHARS.get(char, char)
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    return chr(int(unit or byte, 16))


def _unpercent(match: re.Match[str]) -> str:
    return unquote(match[0])


# -- JSON and streams --------------------------------------------------------------------------


class _Leaf:
    """A scalar of a document, or a key of an object.

    Attributes:
        span: where it stands in the document, without its quotes.
        hits: what is to be replaced, as places in `text`.
        bytes: where the bytes of a token stand.
        tops: the tokens that were likely instead of this one.
    """

    __slots__ = ("_source", "_view", "bytes", "hits", "span", "text", "tops", "value")

    def __init__(self, source: str, span: tuple[int, int], value: Any) -> None:
        self._source = source
        self._view: _View | None = None
        self.span = span
        self.value = value
        self.text: str = value if isinstance(value, str) else source[slice(*span)]
        self.hits: list[_Hit] = []
        self.bytes: tuple[int, int] | None = None
        self.tops: list[_String] = []

    @property
    def placeholder(self) -> str:
        if isinstance(self.value, str):
            return _REDACTED
        return self.text if isinstance(self.value, bool | None) else f'"{_REDACTED}"'

    def source(self, place: int) -> int:
        """Where a place in `text` stands in the document."""
        if self._view is None:
            self._view = _View(self._source[slice(*self.span)], _ESCAPE, _unescape)
        return self.span[0] + self._view.source(place)


class _String(_Leaf):
    """One that is a string, and no key."""

    __slots__ = ()


class _Document(NamedTuple):
    start: int
    end: int
    tree: Any
    leaves: list[_Leaf]


_WHOLE = re.compile(r'\s*(?:[\[{]|"(?=[^"\\]*+(?:\\.[^"\\]*+)*+"\s*\Z))', re.DOTALL)
_OBJECT = re.compile(r'\{(?=\s*["}])')
_SCALAR = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"|[^\s{}\[\],:"]++', re.DOTALL)
_BYTES = re.compile(r"\s*:\s*(\[[^\[\]]*\])")
_decode = json.JSONDecoder(strict=False).raw_decode
# Objects become tuples of their members, which keeps apart what stands in them twice.
_decode_members = json.JSONDecoder(object_pairs_hook=tuple, strict=False).raw_decode


def _unframed(text: str) -> str:
    """`text` with nothing in the way of JSON that goes over several lines of an event."""
    return text.replace("\ndata:", "\n     ")


def _values(
    text: str, decode: Callable[[str, int], tuple[Any, int]]
) -> Iterator[tuple[Any, int, int]]:
    """The JSON in `text`: all of it, the events of a stream, or whatever else it is part of."""
    effort = 16 * len(text) + 65536
    found = _WHOLE.match(text) or _OBJECT.search(text)
    while found and effort > 0:
        start = found.end() - 1
        try:
            value, end = decode(text, start)
            yield value, start, end
        except json.JSONDecodeError as error:
            # It has also counted the lines up to itself.
            effort -= 4 * (error.pos - start) + error.pos // 8 + 256
            end = start + 1
        except (ValueError, RecursionError):
            effort -= 65536
            end = start + 1
        found = _OBJECT.search(text, end)


def _documents(text: str) -> list[_Document]:
    text = _unframed(text)
    with contextlib.suppress(RecursionError):
        return [_document(text, *found) for found in _values(text, _decode_members)]
    return []


def _document(text: str, value: Any, start: int, end: int) -> _Document:
    # Keys and scalars come in the same order in the text and in the value.
    scalars = _SCALAR.finditer(text, start, end)
    leaves: list[_Leaf] = []

    def build(value: Any) -> Any:
        if value.__class__ is tuple:
            node: dict[str, Any] = {}
            place = None
            for key, item in value:
                match = next(scalars)
                leaves.append(_Leaf(text, match.span(1), key))
                if key == "bytes" and (found := _BYTES.match(text, match.end())):
                    place = found.span(1)
                node[key] = build(item)
            token, tops = node.get("token"), node.get("top_logprobs")
            if isinstance(token, _String):
                token.bytes = place
                if isinstance(tops, list):
                    others = [top.get("token") for top in tops if isinstance(top, dict)]
                    token.tops = [other for other in others if isinstance(other, _String)]
            return node
        if value.__class__ is list:
            return [build(item) for item in value]
        match = next(scalars)
        if isinstance(value, str):
            leaf: _Leaf = _String(text, match.span(1), value)
        else:
            leaf = _Leaf(text, match.span(), value)
        leaves.append(leaf)
        return leaf

    return _Document(start, end, build(value), leaves)


_Texts = dict[Any, Any]
"""Fragments by the key under which they stand; what is below a key, by that key in a tuple."""

# What was likely instead of a token does not read on from what was likely before.
_ALONE = "top_logprobs", "bytes"


def _gather(value: Any, texts: _Texts, kind: type, merge: bool = False) -> None:
    """Adds the strings of a document, which are of `kind`, to those of the ones before it."""
    if value.__class__ is dict:
        for key, item in value.items():
            if item.__class__ is kind:
                texts.setdefault(key, []).append(item)
            elif item.__class__ is dict or (item.__class__ is list and key not in _ALONE):
                below = texts.setdefault((key,), {})
                _gather(item, below, kind, merge or key == "logprobs")
    elif value.__class__ is list:
        for index, item in enumerate(value):
            if item.__class__ is dict and not merge:
                # Choices and tool calls say themselves which one they are a fragment of.
                own = item.get("index")
                own = own.value if isinstance(own, _Leaf) else own
                index = own if own.__class__ is int else index
            place = 0 if merge else index
            if item.__class__ is kind:
                texts.setdefault(place, []).append(item)
            else:
                _gather(item, texts.setdefault((place,), {}), kind, merge)


def _joinable(texts: _Texts) -> Iterator[list[Any]]:
    for parts in texts.values():
        if parts.__class__ is dict:
            yield from _joinable(parts)
        elif len(parts) > 1:
            yield parts


def _spanning(texts: list[str], find: _Find) -> Iterator[tuple[int, _Hit]]:
    """What is secret in the joined texts: its part of each of them, by index."""
    if texts.count(texts[0]) == len(texts):
        return  # the id or the model of all chunks
    hits = find("".join(texts))
    if not hits:
        return
    ends = list(accumulate(map(len, texts)))
    for start, end, placeholder, kind in _merged(hits):
        at = bisect_right(ends, start)
        while start < end:
            begin, stop = ends[at] - len(texts[at]), min(end, ends[at])
            if start < stop:
                yield at, (start - begin, stop - begin, placeholder, kind)
            start, placeholder, at = stop, "", at + 1


def _split(text: str, find: _Find) -> Iterator[_Hit]:
    """What is secret in fragments only once they are joined; `_across` says where it stands."""
    if '"token"' not in text and text.count("data:") < 2:
        return
    texts: _Texts = {}
    with contextlib.suppress(RecursionError):
        for value, _, _ in _values(_unframed(text), _decode):
            _gather(value, texts, str)
    for parts in _joinable(texts):
        for _, hit in _spanning(parts, find):
            yield 0, 0, "", hit[3]


def _across(documents: Iterable[_Document], find: _Find) -> None:
    """Notes in the leaves what is secret in several of them joined."""
    texts: _Texts = {}
    with contextlib.suppress(RecursionError):
        for document in documents:
            _gather(document.tree, texts, _String)
    for parts in _joinable(texts):
        for index, hit in _spanning([part.text for part in parts], find):
            parts[index].hits.append(hit)


def _noted(leaves: Iterable[_Leaf]) -> list[_Hit]:
    """What was noted in the leaves, as places in the document."""
    changed = [leaf for leaf in leaves if leaf.hits]
    for leaf in changed:
        for top in leaf.tops:
            if top.text == leaf.text and not top.hits:
                top.hits = leaf.hits
                changed.append(top)
    hits: list[_Hit] = []
    for leaf in changed:
        if leaf.bytes:
            hits.append((*leaf.bytes, "null", leaf.hits[0][3]))
        for start, end, placeholder, kind in leaf.hits:
            hits.append((leaf.source(start), leaf.source(end), placeholder, kind))
    return hits


def _note_all(container: Any, key: Any) -> None:
    """Notes the texts and numbers at a place that a setting names; its nesting stays."""
    waiting = [container[key]]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif item.text != item.placeholder:
            item.hits.append((0, len(item.text), item.placeholder, "what a path names"))


def _touched(leaves: list[_Leaf], starts: list[int], span: tuple[int, int]) -> list[_Leaf]:
    start, end = span
    first = max(0, bisect_right(starts, start) - 1)
    return [leaf for leaf in leaves[first : bisect_left(starts, end)] if leaf.span[1] > start]


def _inside(leaves: list[_Leaf], starts: list[int], span: tuple[int, int]) -> bool:
    return any(
        leaf.span[0] <= span[0] and span[1] <= leaf.span[1]
        for leaf in _touched(leaves, starts, span)
    )


def _clipped(leaves: list[_Leaf], starts: list[int], span: tuple[int, int]) -> Iterator[_Hit]:
    """What of JSON text may be replaced where a match is not in one string alone."""
    touched = _touched(leaves, starts, span)
    if len(touched) > 1:
        touched = [leaf for leaf in touched if isinstance(leaf, _String)]
    # Over several values it reads on too far, and what has hits was understood without this.
    if len(touched) == 1 and not touched[0].hits and touched[0].text != touched[0].placeholder:
        (leaf,) = touched
        first, last = leaf.span
        if isinstance(leaf.value, str) and last - first == len(leaf.text):
            first, last = max(first, span[0]), min(last, span[1])
        yield first, last, leaf.placeholder, "what a pattern matches"


# -- replacing ---------------------------------------------------------------------------------


def _merged(hits: list[_Hit]) -> list[_Hit]:
    """In order; where some overlap, one over all of them, with the placeholder of the first."""
    merged: list[_Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit[0], -hit[1], hit[2] == _REDACTED)):
        if merged and hit[0] < merged[-1][1]:
            start, end, placeholder, kind = merged[-1]
            merged[-1] = (start, max(end, hit[1]), placeholder, kind)
        else:
            merged.append(hit)
    return merged


def _replaced(text: str, hits: list[_Hit]) -> str:
    parts: list[str] = []
    last = 0
    for start, end, placeholder, _ in hits:
        parts += (text[last:start], placeholder)
        last = end
    return "".join((*parts, text[last:]))


def _sizes(text: str, hits: list[_Hit]) -> Iterator[tuple[int, int, int]]:
    """Start and end of each hit in bytes, and the size of what replaces it."""
    place = at = 0
    for start, end, placeholder, _ in hits:
        first = place + len(text[at:start].encode("utf-8", "surrogateescape"))
        place = first + len(text[start:end].encode("utf-8", "surrogateescape"))
        at = end
        yield first, place, len(placeholder)


def _moved(cuts: Sequence[int], sizes: Iterable[tuple[int, int, int]]) -> list[int]:
    moved: list[int] = []
    at = shift = 0
    for start, end, size in sizes:
        while at < len(cuts) and cuts[at] < end:
            moved.append(shift + min(cuts[at], start + size))
            at += 1
        shift += size - (end - start)
    return moved + [cut + shift for cut in cuts[at:]]


# -- what names and values say -----------------------------------------------------------------

_SECRET_HEADER = re.compile(
    r"(?:.*[-_])?(?:authorization|cookie2?|(?:api|access|auth|subscription|functions)[-_]?key"
    r"|token|secret|password|signature|credentials?)|openai-organization|openai-project"
)
_SECRET_PARAMETER = re.compile(
    r"(?:.*[-_])?(?:api[-_]?key|token|secret|password|signature)|key|sig|code|x-amz-.*",
    re.IGNORECASE,
)
_SECRET_VARIABLES = "_API_KEY", "_ADMIN_KEY", "_ACCESS_KEY", "_TOKEN", "_SECRET", "_PASSWORD"
_ACCOUNT_VARIABLES = "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"
# Words, numbers and paths: what people set where nothing is secret.
_PLAIN = re.compile(
    r"[A-Za-z]?[a-z]{0,13}|[A-Z]{0,14}|[0-9.,:+-]{0,15}"
    r"|(?:~|\.\.?|[A-Za-z]:)?(?:[/\\][A-Z]?[a-z0-9._-]*)+"
)
_PLACEHOLDERS = " ".join([_IN_BASE64, *(shape.placeholder for shape in (*_SHAPES, *_SPACED))])
_COOKIE = re.compile(r"(?:^|[;,])\s*([^=;,\s]+)=\"?([^;,\"]*)")
_COOKIE_SETTINGS = {"path", "domain", "expires", "max-age", "samesite", "priority", "version"}
_USERINFO = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#\s]*)@")
_PARAMETER = re.compile(r"(?:^|[?&;#])([^=&;#?]+)=([^&;#]+)")
_SIGNED = "-signature", "-credential", "-token"

_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}
_KEPT_OF_REQUESTS = {"content-type", "accept", "openai-beta"}
_KEPT_OF_RESPONSES = frozenset(
    "content-type date location openai-model openai-organization openai-processing-ms "
    "openai-version retry-after retry-after-ms www-authenticate x-request-id "
    "x-should-retry".split()
)
_MASKED = {
    "x-request-id": f"req_{_REDACTED}",
    "openai-organization": f"org-{_REDACTED}",
    "openai-project": f"proj_{_REDACTED}",
}


@functools.lru_cache(1024)
def _is_secret_header(name: str) -> bool:
    return _SECRET_HEADER.fullmatch(name) is not None


def _header_secrets(name: str, value: str) -> Iterator[tuple[str, str]]:
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


def _secret_parameters(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Those of a query or a form, by name."""
    for match in _PARAMETER.finditer(text):
        name = unquote(match[1])
        if _SECRET_PARAMETER.fullmatch(name):
            yield name, match


def _url_secrets(url: str) -> Iterator[tuple[str, str]]:
    for name, match in _secret_parameters(url):
        # Others only say how and until when something was signed.
        if not name.lower().startswith("x-amz-") or name.lower().endswith(_SIGNED):
            yield unquote(match[2]), f"the {name} parameter of a URL"
    if user := _USERINFO.match(url):
        for part in user[1].split(":"):
            yield unquote(part), "the password of a URL"


def _parameter_hits(text: str) -> list[_Hit]:
    return [
        (*match.span(2), _REDACTED, "")
        for _, match in _secret_parameters(text)
        if match[2] != _REDACTED
    ]


def _compiled(pattern: str) -> tuple[re.Pattern[str], int | str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingError(f"redact: {pattern!r} is no regular expression: {error}") from None
    return compiled, "secret" if "secret" in compiled.groupindex else 0


def _remember(memo: set[str], text: str) -> None:
    if len(memo) >= _MEMO:
        memo.clear()
    memo.add(text)


# -- the redactor ------------------------------------------------------------------------------


class Redactor:
    """Finds and replaces what is secret.

    Args:
        patterns: a project's own secrets: regular expressions, of which only the group
            ``secret`` is replaced where there is one; and JSON paths (``$.user``,
            ``$.messages[*].name``), whose texts and numbers are replaced in JSON bodies.
        keep_headers: names of headers to keep beyond the usual ones; ``x-litellm-*`` is fine.
        environ: where the values of variables such as ``OPENAI_API_KEY`` are read, once; by
            default the environment of the process.

    Raises:
        SettingError: a pattern is no regular expression, or no path.
    """

    def __init__(
        self,
        patterns: Iterable[str] = (),
        keep_headers: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        patterns = list(patterns)
        self._paths = JsonPaths(text for text in patterns if text.startswith("$"))
        self._patterns = [_compiled(text) for text in patterns if not text.startswith("$")]
        self._keep = [name.lower() for name in keep_headers]
        # None of these is changed in place, but for the memos: other threads may be at them.
        self._known: dict[str, str] = {}
        self._runs: dict[str, str] = {}  # known values by the long run that is in them
        self._others: list[str] = []  # known values without one
        self._hidden = False
        self._learned: set[tuple[str, str]] = set()
        self._clean: set[str] = set()
        self._clean_runs: set[str] = set()
        self._environ = os.environ if environ is None else environ
        self.learn_environment()

    def learn_environment(self) -> None:
        """Remembers what variables that are named like keys hold by now: fixtures set some."""
        self._know(
            (
                (value.strip(), f"the value of {name}")
                for name, value in self._environ.items()
                if name.endswith(_SECRET_VARIABLES) or name in _ACCOUNT_VARIABLES
            ),
            12,
        )

    def learn(self, headers: Mapping[str, str] | Iterable[tuple[str, str]], url: str = "") -> None:
        """Remembers what a live request or response carries: keys, cookies, accounts.

        Short values and plain words, such as the key of a server that needs none, are not
        remembered: they stand in ordinary text as well.
        """
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            name = name.lower()
            if _is_secret_header(name) and (name, value) not in self._learned:
                self._know(_header_secrets(name, value), 8)
                self._learned.add((name, value))
        if ("@" in url or "=" in url) and ("", url) not in self._learned:
            self._know(_url_secrets(url), 8)
            self._learned.add(("", url))
        if len(self._learned) > _MEMO:
            self._learned.clear()

    def _know(self, secrets: Iterable[tuple[str, str]], least: int) -> None:
        new = {
            value: kind
            for value, kind in secrets
            if len(value) >= least
            and value not in self._known
            and _REDACTED not in value
            and value not in _PLACEHOLDERS
            and not _PLAIN.fullmatch(value)
        }
        if not new:
            return
        # What is decoded is read as Latin-1.
        for value, kind in list(new.items()):
            new[value.encode("utf-8", "surrogatepass").decode("latin-1")] = kind
        runs = {value: max(_RUN.findall(value), key=len, default="") for value in new}
        runs = {value: run for value, run in runs.items() if len(run) >= len(_LONG)}
        self._known = {**self._known, **new}
        self._runs = {**self._runs, **runs}
        self._others = [*self._others, *(value for value in new if value not in runs)]
        self._hidden = self._hidden or any(_HIDDEN.search(value) for value in new)
        self._clean, self._clean_runs = set(), set()

    def headers(
        self, headers: Iterable[tuple[str, str]], *, response: bool
    ) -> list[tuple[str, str]]:
        """The headers that are kept, in order, with names in lower case."""
        usual = _KEPT_OF_RESPONSES if response else _KEPT_OF_REQUESTS
        kept = []
        for name, value in headers:
            name = name.lower()
            if name in _OF_THE_WIRE or not (
                name in usual
                or (response and name.startswith("x-ratelimit-"))
                or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._keep)
            ):
                continue
            if name in _MASKED or _is_secret_header(name):
                value = _MASKED.get(name, _REDACTED)
            else:
                value = self.url(value) if name == "location" else self.text(value)
            kept.append((name, value))
        return kept

    def url(self, url: str) -> str:
        """Without user and password, and without the values of secret parameters."""
        if "@" in url and (user := _USERINFO.match(url)):
            url = url[: user.start(1)] + url[user.end() :]
        return self._redacted(url, form="=" in url)[0]

    def text(self, text: str) -> str:
        """Any text, JSON or not."""
        return self._redacted(text)[0]

    def body(self, body: bytes | str | None, content_type: str = "") -> bytes | None:
        """A request or response body. JSON keeps its keys, types and nesting."""
        if body is None:
            return None
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        return self.body_and_cuts(body, [], content_type)[0]

    def body_and_cuts(
        self, body: bytes, cuts: Sequence[int], content_type: str = ""
    ) -> tuple[bytes, list[int]]:
        """As `body`, with offsets into it that move along.

        Args:
            cuts: in ascending order. One inside of what is replaced stays inside of that.
        """
        form = content_type.lower().startswith("application/x-www-form-urlencoded")
        text = body.decode("utf-8", "surrogateescape")
        redacted, moved = self._redacted(text, cuts, self._paths, form)
        if redacted is not text:
            body = redacted.encode("utf-8", "surrogateescape")
        return body, moved if isinstance(moved, list) else list(moved)

    def find_secrets(self, text: str) -> list[str]:
        """What still looks like a secret in a text: the kinds, never the secret itself.

        The project's own patterns are no part of it: they may well match a date in a cassette.
        """
        hits = self._flat(text, _DEPTH, _allowance(text), _SHAPES)
        return list(dict.fromkeys(hit[3] for hit in sorted(hits)))

    def _redacted(
        self,
        text: str,
        cuts: Sequence[int] = (),
        paths: JsonPaths | None = None,
        form: bool = False,
    ) -> tuple[str, Sequence[int]]:
        # What is left may read on to something new, mostly where project patterns are short.
        for _ in range(_ROUNDS):
            hits = self._hits(text, paths) + (_parameter_hits(text) if form else [])
            if not hits:
                break
            hits = _merged(hits)
            if cuts:
                cuts = _moved(cuts, _sizes(text, hits))
            text = _replaced(text, hits)
        return text, cuts

    def _hits(self, text: str, paths: JsonPaths | None = None) -> list[_Hit]:
        """What is to be replaced in `text`: inside of JSON only in its strings."""
        clean = self._clean
        is_short = len(text) <= _MEMO_TEXT
        if is_short and not paths and text in clean:
            return []
        found = self._flat(text, _DEPTH, _allowance(text), _SHAPES)
        hits: list[_Hit] = []
        if found or self._patterns or paths:
            documents = _documents(text)
            leaves = [leaf for document in documents for leaf in document.leaves]
            for leaf in leaves:
                if isinstance(leaf.value, str):
                    leaf.hits += self._hits(leaf.text)
            if paths:
                for document in documents:
                    paths.replace(document.tree, _note_all)
            _across(documents, self._hits)
            hits += _noted(leaves)
            ends = [document.end for document in documents]
            for hit in found:
                at = bisect_right(ends, hit[0])
                within = at < len(ends) and documents[at].start <= hit[0] and hit[1] <= ends[at]
                if hit[0] < hit[1] and not within:
                    hits.append(hit)
            if self._patterns:
                hits += self._own(text, documents, leaves)
        if is_short and not paths and not hits:
            _remember(clean, text)
        return hits

    def _own(self, text: str, documents: list[_Document], leaves: list[_Leaf]) -> Iterator[_Hit]:
        """What the project's patterns match, other than in the strings of JSON alone."""
        starts = [leaf.span[0] for leaf in leaves]
        ends = [document.end for document in documents]
        for pattern, group in self._patterns:
            for match in pattern.finditer(text):
                first, last = match.span(group)
                # What is within a placeholder stays, whatever the pattern is.
                around = text.find(_REDACTED, max(0, last - len(_REDACTED)), first + 8)
                if first >= last or 0 <= around <= first:
                    continue
                at = bisect_right(ends, first)
                if at == len(ends) or last <= documents[at].start:
                    yield first, last, _REDACTED, "what a pattern matches"
                elif not _inside(leaves, starts, match.span()):
                    yield from _clipped(leaves, starts, (first, last))

    def _flat(
        self, text: str, depth: int, left: list[int], shapes: tuple[_Shape, ...]
    ) -> list[_Hit]:
        """What is secret in `text` and, `depth` times over, in what is encoded in it.

        It does not know JSON, so it cannot say what to replace there; but where it finds
        nothing, nothing is.

        Args:
            left: how many bytes may still be decoded.
            shapes: those to look for, beside the known values.
        """
        hits: list[_Hit] = []
        for shape in _SPACED:
            if shape.probe in text:
                hits += shape.hits(text)
        wraps = self._look_at_runs(text, depth, left, shapes, hits)
        for value in self._others:
            if value in text:
                hits += _occurrences(text, value, self._known[value])
        if depth:
            find = functools.partial(self._flat, depth=depth - 1, left=left, shapes=shapes)
            if "\\" in text and (wraps or self._hidden or _HIDING.search(text)):
                hits += _View(text, _ESCAPE, _unescape).hits(find)
            if "%" in text and _PERCENT.search(text):
                hits += _View(text, _PERCENT, _unpercent).hits(find)
            hits += _split(text, find)
        return hits

    def _look_at_runs(
        self, text: str, depth: int, left: list[int], shapes: tuple[_Shape, ...], hits: list[_Hit]
    ) -> bool:
        """Adds to `hits`; whether a run may go on behind the escape of a line's end."""
        clean, runs = self._clean_runs, self._runs
        suspects: dict[_Shape | str, None] = {}
        wraps = False
        block = wrapped = 0
        marks = text.encode("latin-1", "replace").translate(_MARKS)
        at = marks.find(_LONG)
        while at >= 0:
            end = marks.find(b" ", at)
            if end < 0:
                end = len(text)
            run = text[at:end]
            after = text[end : end + 1]
            if after == "\\":
                wraps = wraps or _NEXT_LINE.match(text, end) is not None
            elif after and after in "\r\n" and depth and at >= block:
                lines, last = _wrapped(text, at, len(run))
                if len(lines) > len(run):
                    block = last
                    if len(lines) >= _ALIGNED:
                        wrapped = last  # fewer lines may as well be one thing each
                    for _, _, placeholder, kind in self._encoded(lines, depth, left):
                        hits.append((at, last, placeholder, kind))
            if run not in clean:
                count = len(hits)
                # Longer ones are data, where a prefix says nothing.
                short = shapes if len(run) < _ALIGNED else ()
                new = [shape for shape in short if shape.probe in run]
                suspects.update(dict.fromkeys(new))
                known = [value for value, part in runs.items() if part in run]
                suspects.update(dict.fromkeys(known))
                if depth and at >= wrapped:
                    padding = len(text[end : end + 2]) - len(text[end : end + 2].lstrip("="))
                    for start, stop, placeholder, kind in self._encoded(run, depth, left):
                        if placeholder == _IN_BASE64:
                            stop += padding
                        hits.append((at + start, at + stop, placeholder, kind))
                if (
                    depth == _DEPTH
                    and at >= wrapped
                    and shapes is _SHAPES
                    and len(run) <= _MEMO_TEXT
                    and left[0] > 0
                    and not (new or known or len(hits) > count)
                ):
                    _remember(clean, run)
            at = marks.find(_LONG, end)
        for suspect in suspects:
            if isinstance(suspect, str):
                hits += _occurrences(text, suspect, self._known[suspect])
            else:
                hits += suspect.hits(text)
        return wraps

    def _encoded(self, run: str, depth: int, left: list[int]) -> Iterator[_Hit]:
        """What is secret in a long run, taken for hex and for base64."""

        def kinds(data: bytes) -> dict[str, None]:
            left[0] -= len(data)
            if left[0] < 0:
                return {}
            found = self._flat(data.decode("latin-1"), depth - 1, left, _KEYS)
            return dict.fromkeys(hit[3] for hit in found)

        for match in _HEX.finditer(run):
            for digits in (match[0], match[0][1:]):
                for kind in kinds(bytes.fromhex(digits[: len(digits) // 2 * 2])):
                    yield *match.span(), _REDACTED, kind
        for offset, data in enumerate(_unbase64(run, 4 if len(run) < _ALIGNED else 1)):
            for kind in kinds(_unzipped(data, left)):
                yield offset, len(run), _IN_BASE64, kind
