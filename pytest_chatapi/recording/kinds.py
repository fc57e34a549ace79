"""What values settings take. Imports nothing heavy: pytest reads this module at every start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

__all__ = [
    "DEFAULT_MATCH_ON",
    "FACTOR",
    "HTTP_FAMILIES",
    "MATCHERS",
    "RATE",
    "RECORD_MODE",
    "RECORD_MODES",
    "SECONDS",
    "SHARE",
    "IniKind",
    "Kind",
    "one_of",
]

RECORD_MODES = ("none", "once", "new_episodes", "all", "rewrite")
MATCHERS = ("method", "scheme", "host", "port", "path", "query", "uri", "body")
"""What can be compared, by vcrpy's names. Not headers: they change with each SDK version."""

DEFAULT_MATCH_ON = ("method", "path", "query", "body")
HTTP_FAMILIES = ("httpx", "httpx2")
"""The HTTP libraries whose clients are recorded while they read: the older and the newer."""

IniKind = Literal["string", "bool", "linelist", "args", "paths"]


class Kind:
    """What values a setting takes.

    Attributes:
        wanted: how an error message puts it.
        convert: returns the value as it is used; raises `TypeError` or `ValueError` if it does
            not fit.
        ini: kind of the ini option, as pytest names it; ``None`` if an ini file cannot say it.
        choices: all values, if they can be listed.
    """

    def __init__(
        self,
        wanted: str,
        convert: Callable[[Any], Any],
        ini: IniKind | None,
        choices: Sequence[str] = (),
    ) -> None:
        self.wanted, self.convert, self.ini, self.choices = wanted, convert, ini, choices

    def checked(self, name: str, value: object) -> Any:
        """The value of the setting `name` as it is used.

        Raises:
            SettingError: it does not fit.
        """
        try:
            return self.convert(value)
        except (TypeError, ValueError, OverflowError):
            from pytest_chatapi.contract.wording import did_you_mean, without_secrets
            from pytest_chatapi.errors import SettingError

            near = did_you_mean(str(value), self.choices)
            got = without_secrets(repr(value))
            raise SettingError(f"{name} must be {self.wanted}, not {got}{near}") from None


def one_of(*choices: str) -> Kind:
    """One of a few words."""

    def convert(value: object) -> object:
        if value not in choices:
            raise ValueError
        return value

    return Kind(f"one of {', '.join(choices)}", convert, "string", choices)


def _factor(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not number >= 0:
        raise ValueError
    return number


def _number(is_allowed: Callable[[float], bool]) -> Callable[[Any], float | None]:
    def convert(value: Any) -> float | None:
        if value is None:
            return None
        number = float(value)
        if isinstance(value, bool) or not is_allowed(number) or number == float("inf"):
            raise ValueError
        return number

    return convert


RECORD_MODE = one_of(*RECORD_MODES)
FACTOR = Kind("0, 1 or another factor", _factor, "string")
SECONDS = Kind("a number of seconds (0 or more)", _number(lambda number: number >= 0), "string")
RATE = Kind("a number above 0", _number(lambda number: number > 0), "string")
SHARE = Kind("a number from 0 to 1", _number(lambda number: 0 <= number <= 1), "string")
