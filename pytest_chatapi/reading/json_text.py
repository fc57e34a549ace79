"""JSON text to values, with the place of what is damaged."""

from __future__ import annotations

import json
import re

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError

__all__ = ["JSONProblem", "loads", "loads_line", "undecodable"]

_HUGE = re.compile(r"\d{4301}")


class JSONProblem(Exception):
    """`line` and `column` count from 1; both are 0 where the place is not known."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column

    def place(self, above: int = 0) -> str:
        """Where in the file it is, for a text with `above` lines above it."""
        return f"line {above + self.line}, column {self.column}" if self.line else ""


def loads(text: str) -> JSON:
    """The value as `json.loads` returns it: duplicate names and NaN are allowed.

    Raises:
        JSONProblem: whatever is wrong with the text.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"not valid JSON: {error.msg}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            reason += "; the text is cut off"
        raise JSONProblem(reason, error.lineno, error.colno) from None
    except RecursionError:
        raise JSONProblem("the JSON is nested too deeply") from None
    except ValueError:
        number = _HUGE.search(text)
        start = number.start() if number else 0
        raise JSONProblem(
            "an integer of more than 4300 digits",
            text.count("\n", 0, start) + 1,
            start - text.rfind("\n", 0, start),
        ) from None


def loads_line(line: bytes, name: str, number: int) -> JSON:
    """The value of one line of a file.

    Args:
        number: of the line, from 0.

    Raises:
        ReadError: whatever is wrong with it.
    """
    try:
        return loads(line.decode())
    except UnicodeDecodeError as error:
        raise ReadError(name, *undecodable(line, error, number)) from None
    except JSONProblem as error:
        raise ReadError(name, error.place(number) or f"line {number + 1}", error.reason) from None


def undecodable(data: bytes, error: UnicodeDecodeError, above: int = 0) -> tuple[str, str]:
    """Place and reason for bytes that are not UTF-8, `data` having `above` lines above it."""
    line = above + data.count(b"\n", 0, error.start) + 1
    byte = error.start - data.rfind(b"\n", 0, error.start)
    reason = f"not UTF-8 (0x{data[error.start]:02x}); save the file as UTF-8"
    return f"line {line}, byte {byte}", reason
