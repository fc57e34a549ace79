"""When a recording is too old."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pytest_chatapi.errors import SettingError
from pytest_chatapi.recording import clock

__all__ = ["age_of", "is_older"]

_AGE = re.compile(r"(\d{1,6})\s*(d|h|w)")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def age_of(text: str) -> timedelta:
    """The age that ``30d``, ``12h`` or ``8w`` stands for.

    Raises:
        SettingError: the text is not of this form.
    """
    match = _AGE.fullmatch(text.strip())
    if not match:
        raise SettingError(
            f"max_age must be a number of days, hours or weeks such as 30d, not {text!r}"
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def is_older(recorded_at: str, age: str) -> bool:
    """Whether a recording is older than that; ``False`` if its cassette holds no usable date."""
    try:
        moment = datetime.fromisoformat(recorded_at)
    except ValueError:
        return False
    now = datetime.fromisoformat(clock.now())
    return now - moment.replace(tzinfo=moment.tzinfo or UTC) > age_of(age)
