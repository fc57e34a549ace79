"""How secrets are replaced: what is put in their place, and how offsets into the text move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

__all__ = [
    "IN_BASE64",
    "IN_BYTES",
    "REDACTED",
    "Find",
    "Hit",
    "merged",
    "moved",
    "replaced",
    "sizes",
]

REDACTED = "REDACTED"
IN_BASE64 = "UkVEQUNURUQ="
"""`REDACTED`, for a secret that was encoded: what decodes the rest can decode it as well."""

IN_BYTES = ", ".join(str(byte) for byte in REDACTED.encode())
"""The same as the numbers of its bytes, for a secret in a list of them."""


class Hit(NamedTuple):
    """A secret in a text.

    Attributes:
        start, end: its place in the text, in characters.
        placeholder: what replaces it.
        kind: what it is, in words for messages; never the secret itself.
    """

    start: int
    end: int
    placeholder: str
    kind: str


Find: TypeAlias = Callable[[str], list[Hit]]
"""Returns the secrets in a text, in any order."""


def merged(hits: list[Hit]) -> list[Hit]:
    """Hits in order; those that overlap become one, with the placeholder of the first."""
    merged: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.placeholder == REDACTED)):
        if merged and hit.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = last._replace(end=max(last.end, hit.end))
        else:
            merged.append(hit)
    return merged


def replaced(text: str, hits: Iterable[Hit]) -> str:
    """The text with placeholders for `hits`, which are in order and do not overlap."""
    parts: list[str] = []
    last = 0
    for hit in hits:
        parts += (text[last : hit.start], hit.placeholder)
        last = hit.end
    return "".join((*parts, text[last:]))


def sizes(
    text: str, hits: Iterable[Hit], encoding: str = "utf-8"
) -> Iterator[tuple[int, int, int]]:
    """Start and end of each hit in bytes, and the size of its placeholder."""
    place = at = 0
    for start, end, placeholder, _ in hits:
        first = place + len(text[at:start].encode(encoding, "surrogateescape"))
        place = first + len(text[start:end].encode(encoding, "surrogateescape"))
        at = end
        yield first, place, len(placeholder.encode(encoding))


def moved(cuts: Sequence[int], sizes: Iterable[tuple[int, int, int]]) -> list[int]:
    """Ascending offsets after replacing; one inside a secret stays inside its placeholder."""
    moved: list[int] = []
    at = shift = 0
    for start, end, size in sizes:
        while at < len(cuts) and cuts[at] < end:
            moved.append(shift + min(cuts[at], start + size))
            at += 1
        shift += size - (end - start)
    return moved + [cut + shift for cut in cuts[at:]]
