"""Finds what is secret in a text, in plain form and in whatever is encoded in it.

Almost all text is clean and has to cost almost nothing. So long runs are found first, only those
that were not seen before are looked at, and a shape is tried only where its probe is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from pytest_chatapi.redaction.assigned import assigned_hits
from pytest_chatapi.redaction.encodings import (
    ALIGNED,
    MOST_UNZIPPED,
    WrappedLines,
    byte_lists,
    continues_escaped,
    entities_read,
    from_hex,
    has_long_run,
    long_runs,
    may_hide,
    unbase64,
    unescaped,
    unquoted,
    unzipped,
    without_nulls,
)
from pytest_chatapi.redaction.fragments import Fragments, are_alike, fragments_of
from pytest_chatapi.redaction.known import Known, KnownValue
from pytest_chatapi.redaction.members import may_be_secret, may_hold
from pytest_chatapi.redaction.names import BY_NAME
from pytest_chatapi.redaction.prefixes import Index
from pytest_chatapi.redaction.replacing import IN_BASE64, IN_BYTES, REDACTED, Find, Hit
from pytest_chatapi.redaction.shapes import KEYS, MASKED, SHAPES, SPACED, Shape
from pytest_chatapi.redaction.urls import text_hits

__all__ = ["Search"]

_NEWLINES = "\r", "\n"
_STREAM = "data:", "event:"

_ALL, _OF_KEYS = Index(SHAPES), Index(KEYS)
# What decoded data without a long run has to hold for a secret to be in it.
_MAY_HOLD = re.compile(
    rb"\.eyJ|T3BlbkFJ|earer|-----BEGIN|asic|\*\*\*|\\[ux/]|%[0-9A-Fa-f]{2}|&#|\[\s*[0-9]"
    rb'|\{\s*"'
)
_NAMED = Hit(0, 0, "", BY_NAME)
"""What may be secret by name: where it is, only a parsed document says."""

_DEPTH = 3
"""How many encodings around each other are looked through."""


class Search:
    """One search of one text.

    It does not know JSON, so it cannot say what to replace there; but where it finds nothing,
    nothing has to be replaced.

    Args:
        known: values to look for, beside the known shapes.
        size: of the text. It bounds all that is decoded on its behalf: a bomb stays one.
    """

    def __init__(self, known: Known, size: int) -> None:
        self._known = known
        self._bytes_left = MOST_UNZIPPED + 8 * size

    def hits(
        self, text: str, depth: int = _DEPTH, shapes: Index = _ALL, names: bool = False
    ) -> list[Hit]:
        """What is secret in `text` and, `depth` times over, in what is encoded in it.

        Several hits may be at one place; one of no width only says that there may be something.

        Args:
            names: look also for what is secret by its name.
        """
        hits: list[Hit] = []
        for shape in SPACED:
            if shape.probe in text:
                hits += shape.hits(text)
        if "*" in text and MASKED.probe in text:
            hits += MASKED.hits(text)
        in_runs, continues = self._in_runs(text, depth, shapes)
        hits += in_runs
        for value in self._known.others:
            if value.text in text:
                hits += value.hits(text)
        if names:
            hits += text_hits(text)
        fragments = None
        if depth:
            find = partial(self.hits, depth=depth - 1, shapes=shapes, names=names)
            if "\\" in text and (continues or self._known.needs_unescaping or may_hide(text)):
                hits += unescaped(text).hits(find)
            if "%" in text and (view := unquoted(text)):
                hits += view.hits(find)
            if "&" in text and (view := entities_read(text)):
                hits += view.hits(find)
            if "\0" in text and 3 * text.count("\0") > len(text):
                hits += without_nulls(text).hits(find)
            if "[" in text:
                hits += self._in_byte_lists(text, depth)
            if "{" in text and (fragments := fragments_of(text)):
                hits += _split_hits(fragments, find, names)
        if names:
            # The texts of a stream were looked through without the JSON around them.
            if not fragments or not text.startswith(_STREAM):
                hits += assigned_hits(text)
            if not fragments and may_hold(text):
                hits.append(_NAMED)
        return hits

    def _in_byte_lists(self, text: str, depth: int) -> Iterator[Hit]:
        for start, end, data in byte_lists(text):
            for kind in self._kinds(data, depth - 1):
                yield Hit(start, end, IN_BYTES, kind)

    def _in_runs(self, text: str, depth: int, shapes: Index) -> tuple[list[Hit], bool]:
        """Hits in long runs, and whether a run may go on after the escape of a line end."""
        runs = long_runs(text)
        if runs is None:
            return [], False
        clean = self._known.clean_runs
        hits: list[Hit] = []
        suspects: dict[Shape | KnownValue, None] = {}
        lines = WrappedLines(text)
        continues = False
        for start, end in runs:
            after = text[end : end + 1]
            if after == "\\":
                continues = continues or continues_escaped(text, end)
            elif after in _NEWLINES and depth and (joined := lines.joined(start, end)):
                hits += self._in_lines(start, *joined, depth)
            run = text[start:end]
            if run in clean:
                continue
            suspects_here = self._suspects(text, start, run, shapes)
            suspects |= suspects_here
            is_decoded = depth > 0 and start >= lines.data_end
            encoded = self._in_run(text, start, end, depth) if is_decoded else []
            hits += encoded
            # Only a run that was looked at to full depth, and within the budget, is known as clean.
            is_complete = is_decoded and depth == _DEPTH and self._bytes_left > 0
            if is_complete and not suspects_here and not encoded:
                clean.remember(run)
        for suspect in suspects:
            hits += suspect.hits(text)
        return hits, continues

    def _suspects(
        self, text: str, start: int, run: str, shapes: Index
    ) -> dict[Shape | KnownValue, None]:
        """The shapes and values that may be in the run at `start`, or end with it, in order."""
        suspects: dict[Shape | KnownValue, None] = {}
        if len(run) < ALIGNED:  # longer ones are data, where a prefix says nothing
            suspects = dict.fromkeys(shapes.around(text, start, run))
        for value in self._known.in_runs:
            if value.run in run:
                suspects[value] = None
        return suspects

    def _in_lines(self, start: int, run: str, end: int, depth: int) -> list[Hit]:
        """What is encoded in lines, joined to `run`: all of them have to go for it."""
        return [Hit(start, end, hit.placeholder, hit.kind) for hit in self._encoded(run, depth)]

    def _in_run(self, text: str, start: int, end: int, depth: int) -> list[Hit]:
        """What is encoded in a run, its padding included."""
        behind = text[end : end + 2]
        padding = len(behind) - len(behind.lstrip("="))
        hits = []
        for first, last, placeholder, kind in self._encoded(text[start:end], depth):
            if placeholder == IN_BASE64:
                last += padding
            hits.append(Hit(start + first, start + last, placeholder, kind))
        return hits

    def _encoded(self, run: str, depth: int) -> Iterator[Hit]:
        """What is secret in a long run that is read as hex and as base64."""
        for start, end, data in from_hex(run):
            for kind in self._kinds(data, depth - 1):
                yield Hit(start, end, REDACTED, kind)
        for offset, data in enumerate(unbase64(run, 4 if len(run) < ALIGNED else 1)):
            for kind in self._kinds(unzipped(data, self._bytes_left), depth - 1):
                yield Hit(offset, len(run), IN_BASE64, kind)

    def _kinds(self, data: bytes, depth: int) -> dict[str, None]:
        """The kinds of secrets in decoded bytes; none once too much was decoded."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            return {}
        known = self._known
        if not (
            has_long_run(data)
            or known.others
            or known.needs_unescaping
            or 3 * data.count(0) > len(data)
            or _MAY_HOLD.search(data)
        ):
            return {}
        # What only may be secret by its name is not worth a whole file.
        hits = self.hits(data.decode("latin-1"), depth, _OF_KEYS, names=data.isascii())
        return dict.fromkeys(hit.kind for hit in hits if hit is not _NAMED)


def _split_hits(fragments: Fragments[str], find: Find, names: bool) -> Iterator[Hit]:
    """What is secret only once fragments are joined, or by the name of a fragment."""
    for texts in fragments:
        if len(texts) > 1 and not are_alike(texts):
            yield from (hit._replace(start=0, end=0) for hit in find("".join(texts)))
        elif names and (may_hold(texts[0]) or assigned_hits(texts[0])):
            yield _NAMED
    if names and may_be_secret(set(fragments.names())):
        yield _NAMED
