"""What a recording format is: the seam between `reader` and the modules in ``formats/``.

Each module in ``formats/`` has one ``FORMAT``, found by `registry`. A `TextFormat` recognises a
file by how its text begins, a `ValueFormat` a value that was parsed from JSON, YAML or TOML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import Pattern
from typing import TYPE_CHECKING, Literal, NamedTuple

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.errors import ReadError

if TYPE_CHECKING:
    from pytest_chatapi.reading.mapping import Mapping

__all__ = [
    "NOWHERE",
    "Format",
    "OnError",
    "Origin",
    "RecordedFile",
    "Side",
    "TextFormat",
    "ValueFormat",
    "first_line",
]

OnError = Callable[[ReadError], None]
Side = Literal["request", "response"]


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """The file that is being read.

    Attributes:
        name: what `Source` and errors call it.
        path: where it can be read again; ``None`` for stdin and pipes.
        on_error: called for each damaged part, after which reading goes on.
        mapping: where the exchanges are in JSON that no format knows.
        share: its number, from 0, and how many there are. It has every n-th line of JSON
            Lines; what is not in lines is in the first share.
        takes: whether to read a line of JSON, or a row of a table, by its text; ``None`` reads all.
    """

    name: str
    path: str | None
    on_error: OnError
    mapping: Mapping | None = None
    share: tuple[int, int] = (0, 1)
    takes: Callable[[bytes], bool] | None = None


class Origin(NamedTuple):
    """Where a parsed value comes from.

    Attributes:
        text: the value as it is in the file, which a raw response body keeps. It is JSON; empty
            if the value is of something else, or its text is not known.
        path: of the file, so that a format may read others beside it; ``None`` if not known.
        around: the JSON that the value is a part of, if `text` is not known.
    """

    text: bytes = b""
    path: str | None = None
    around: bytes = b""

    def is_json_within(self, depth: int) -> bool:
        """Whether the value is known to be of JSON, and nested less deeply than this."""
        text = self.text or self.around
        return text != b"" and text.count(b"{") + text.count(b"[") < depth


NOWHERE = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What all formats have.

    Attributes:
        name: as messages list it; empty for a syntax, which only carries other formats.
        precedence: the format with the lowest number is tried first. Each has its own.
        suffixes: those of its files. Where a folder is read, they decide which files are looked
            at; what a file is, is always decided by its content.
        traces: what a damaged file in this format still contains. A damaged file without
            traces of any format is not reported where a folder is read.
    """

    name: str
    precedence: int
    suffixes: tuple[str, ...] = ()
    traces: Pattern[bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFormat(Format):
    """A format recognised by how the text begins.

    Attributes:
        begins: whether a text that begins like this is in this format; ``None`` if that takes
            more of the text. Blank lines and ``#`` comments before it are left out; the second
            argument says that there is no more of it, or enough.
        exchanges: those of the file. The second argument is its content in blocks, decompressed
            and in UTF-8. It raises a `ReadError` where reading cannot go on.
        values: the parsed documents of a text, for a syntax that carries a `ValueFormat`.
            Arguments: name of the file, text as bytes.
        has_lines: it may have an exchange a line, of which it takes its share of a file.
    """

    begins: Callable[[bytes, bool], bool | None]
    exchanges: Callable[[RecordedFile, Iterator[bytes]], Iterator[Exchange]]
    values: Callable[[str, bytes], Iterator[JSON]] | None = None
    has_lines: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFormat(Format):
    """A format recognised by a parsed value. It has any of the four functions.

    Attributes:
        marks: names of members, of which an object in this format has at least one: itself, or in
            its ``request``, ``response`` or ``body``. So the functions are asked about few objects.
            Empty where any names will do.
        items: the parts of a document that are one exchange each; ``None`` if the document is
            in another format.
        matches: whether an object is one exchange in this format. Such an object may be a
            document, part of one, or a line of a file.
        exchange: the exchange that an object or item is; ``None`` if nothing is recorded in it.
            It raises a `BodyProblem` if a body is damaged, or a `NotAnExchange` that says more.
            Without this function, items are read by whichever format matches them.
        body: the body in a ``request`` or ``response`` object, if this format wrote it, else
            ``ABSENT``. So `formats.exchange` reads what differs in its bodies only.
        bare: a response body without an exchange around it. In YAML nobody writes such a file,
            but other files look like one, so there it is not recognised as a document.
    """

    marks: frozenset[str] = frozenset()
    items: Callable[[JSON], list[JSON] | None] | None = None
    matches: Callable[[JSONObject], bool] | None = None
    exchange: Callable[[JSON, Origin], Exchange | None] | None = None
    body: Callable[[JSONObject, Side], JSON] | None = None
    bare: bool = False


def first_line(text: bytes, complete: bool) -> bytes | None:
    """The first line, without white space at its end; ``None`` if that takes more of the text."""
    line, end, _ = text.partition(b"\n")
    return line.rstrip() if end or complete else None
