"""What a check returns: values that carry data. Rendering is done elsewhere."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pytest_chatapi.contract.exchange import Source
from pytest_chatapi.contract.wire import JSONObject

__all__ = ["LEVELS", "Finding", "Level", "at_least"]

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


class Finding(NamedTuple):  # a frozen dataclass takes eight times as long to make
    """One violation.

    Attributes:
        code: public code of the rule, such as ``U02``; never changes its meaning.
        name: kebab-case name of the rule.
        level: ``error``, ``warning`` or ``note``, as the profile sets it.
        profile: name of the profile that set the level.
        path: JSON path of the place. ``$`` is the response body; the chunk where `chunk` is set;
            the request body for the Q family. A header is ``headers.retry-after``.
        expected: what the contract asks for, in a few words.
        got: what was there, shortened, with secrets masked.
        message: one sentence, without the path.
        chunk: number of the chunk, counted from 0, or ``None``.
        case: the case of the rule in the level matrix, such as ``reasoning``, or empty.
        repeats: how many more chunks of the exchange have the same violation.
        source: file, line and index, where the exchange came from a file.
    """

    code: str
    name: str
    level: Level
    profile: str
    path: str
    expected: str
    got: str
    message: str
    chunk: int | None = None
    case: str = ""
    repeats: int = 0
    source: Source | None = None

    def at(self, source: Source | None) -> Finding:
        return self._replace(source=source)

    def to_json(self) -> JSONObject:
        """The public JSON form of ``chatapi check --format json``."""
        return {
            "code": self.code,
            "name": self.name,
            "level": self.level,
            "profile": self.profile,
            "source": None
            if self.source is None
            else {
                "file": self.source.file,
                "line": self.source.line or None,
                "index": self.source.index,
            },
            "chunk": self.chunk,
            "path": self.path,
            "expected": self.expected,
            "got": self.got,
            "message": self.message,
        }


def at_least(level: Level) -> frozenset[Level]:
    """The levels as severe as `level`, itself included."""
    return frozenset(LEVELS[: LEVELS.index(level) + 1])
