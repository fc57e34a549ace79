"""Which shapes may be in a long run: found by its words, as trying each shape would be slow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_chatapi.redaction.shapes import Shape

__all__ = ["Index"]

# Before a run whose first letters may belong to an escape, or to a terminal's colour.
_ESCAPES = frozenset("\\[;")
# Before a run that may be the second part of a shape.
_ENDS = frozenset(".~:")

_START = 4
_LONGEST_END = 12
_WORD = re.compile("[A-Za-z0-9]+")


class Index:
    """Shapes by what shows that a run may hold one."""

    def __init__(self, shapes: Iterable[Shape]) -> None:
        self._shapes = tuple(shapes)
        self._by_word: dict[str, list[Shape]] = {}
        self._by_start: dict[str, list[Shape]] = {}
        self._anywhere: list[Shape] = []
        self._after: list[Shape] = []
        for shape in self._shapes:
            self._add(shape)

    def _add(self, shape: Shape) -> None:
        first = _WORD.match(shape.probe)
        word = first[0] if first else ""
        if not _ENDS.isdisjoint(shape.probe):
            self._after.append(shape)
        elif shape.words or word != shape.probe:
            for name in shape.words or (word, f"bot{word}"):
                self._by_word.setdefault(name, []).append(shape)
        elif len(word) >= _START and shape.regex.startswith(word):
            self._by_start.setdefault(word[:_START], []).append(shape)
        else:
            self._anywhere.append(shape)

    def around(self, text: str, start: int, run: str) -> Iterator[Shape]:
        """The shapes that the run at `start` may hold or end, some of them twice."""
        behind = text[start - 1 : start]
        if behind in _ENDS:
            before = text[max(0, start - _LONGEST_END) : start + _START]
            yield from (shape for shape in self._after if shape.probe in before)
        elif behind in _ESCAPES:
            yield from (shape for shape in self._shapes if shape.probe in run)
            return
        words = run.replace("_", "-").replace("/", "-").replace("+", "-").split("-")
        if not self._by_word.keys().isdisjoint(words):
            for word in words:
                for shape in self._by_word.get(word, ()):
                    if len(run) >= shape.shortest and shape.probe in run:
                        yield shape
        starts = [word[:_START] for word in words]
        if not self._by_start.keys().isdisjoint(starts):
            for first in starts:
                yield from self._by_start.get(first, ())
        for shape in self._anywhere:
            if shape.probe in run:
                yield shape
