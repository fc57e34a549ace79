"""JSON text to values, with the place of what is damaged."""

from __future__ import annotations

import json
import re

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.places import TextProblem, line_and_column, undecodable

try:  # OpenAI's SDK brings it
    from jiter import from_json  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from_json = None  # type: ignore[assignment,unused-ignore]

__all__ = ["JSONProblem", "loads", "loads_line"]

_HUGE = re.compile(r"\d{4301}")


class JSONProblem(TextProblem):
    """What is wrong with a JSON text, and where."""


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
        place = line_and_column(text, number.start() if number else 0)
        raise JSONProblem("an integer of more than 4300 digits", *place) from None


def loads_line(line: bytes, name: str, number: int) -> JSON:
    """The value of one line of a file.

    Args:
        number: of the line, from 0.

    Raises:
        ReadError: whatever is wrong with it.
    """
    if from_json is not None:
        # What it reads it reads as `json` does, in less than half the time. It refuses lone
        # surrogates, and does not say in the same words what is wrong.
        try:
            return from_json(line)
        except ValueError:
            pass
    try:
        return loads(line.decode())
    except UnicodeDecodeError as error:
        raise ReadError(name, *undecodable(line, error, number)) from None
    except JSONProblem as error:
        raise ReadError(name, error.place(number) or f"line {number + 1}", error.reason) from None
