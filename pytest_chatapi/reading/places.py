"""Places in text: the line and column of what is damaged."""

from __future__ import annotations

__all__ = ["TextProblem", "line_and_column", "undecodable"]


class TextProblem(Exception):
    """What is wrong with a text, in one line.

    Attributes:
        line, column: where, counted from 1; both are 0 if the place is not known.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column

    def place(self, above: int = 0) -> str:
        """Where in the file, for a text with `above` lines before it; empty if not known."""
        return f"line {above + self.line}, column {self.column}" if self.line else ""


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """Of the character at `index`, both counted from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def undecodable(data: bytes, error: UnicodeDecodeError, above: int = 0) -> tuple[str, str]:
    """Place and reason for bytes that are not UTF-8, with `above` lines before them."""
    line = above + data.count(b"\n", 0, error.start) + 1
    byte = error.start - data.rfind(b"\n", 0, error.start)
    place = f"line {line}, byte {byte}"
    if b"\0" in data:
        return place, "binary data, which is no recording"
    return place, f"not UTF-8 (0x{data[error.start]:02x}); save the file as UTF-8"
