"""Which findings to keep, and the day whose contract applies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from pytest_chatapi.contract.catalogue import FAMILIES, get_rule
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.errors import SettingError

__all__ = ["parse_date", "selects"]


def parse_date(value: date | str | None) -> date | None:
    """A date written as ``YYYY-MM-DD``.

    Raises:
        SettingError: it is not a date.
    """
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise SettingError(f"{value!r} is not a date: use YYYY-MM-DD") from None


# A name, an index (any, where it is empty or a star), or a name in quotes: see `json_path`.
_NAME, _STEP = r"[^.\[\]\s\"]+", r"\[(?:\d*|\*|\"(?:[^\"\\]|\\.)*\")\]"
_PATH = re.compile(rf"\$?\.?(?:{_NAME})?(?:\.{_NAME}|{_STEP})*")


class selects:
    """Predicate of ``--select`` and ``--ignore``: whether a finding matches one of the patterns.

    A pattern is ``CODE``, ``CODE:json.path``, a family letter or a rule's name. A path matches
    itself and everything below it; ``[*]`` matches any index; a leading ``$.`` is optional.

    Raises:
        SettingError: there is no such rule, or no path of such a form.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._codes: list[tuple[str, re.Pattern[str] | None]] = []
        for pattern in patterns:
            code, _, path = pattern.strip().partition(":")
            self._codes.append((self._code(code), _path_pattern(path) if path else None))

    @staticmethod
    def _code(text: str) -> str:
        if text.upper() in FAMILIES:
            return text.upper()
        return get_rule(text).code

    def __bool__(self) -> bool:
        return bool(self._codes)

    def __call__(self, finding: Finding) -> bool:
        return any(
            finding.code.startswith(code) and (path is None or path.match(finding.path) is not None)
            for code, path in self._codes
        )

    def has_some(self, code: str) -> bool:
        """Whether a finding of a rule or family may match."""
        return any(code.startswith(known) or known.startswith(code) for known, _ in self._codes)

    def has_all(self, code: str) -> bool:
        """Whether each finding of a rule or family matches."""
        return any(code.startswith(known) and path is None for known, path in self._codes)


def _path_pattern(path: str) -> re.Pattern[str]:
    if not _PATH.fullmatch(path):
        raise SettingError(
            f"no finding has a path such as {path!r}: use $.usage or choices[*].message"
        )
    path = path.removeprefix("$").removeprefix(".")
    if not path:
        return re.compile("")
    escaped = re.escape(path).replace(r"\[\*\]", r"\[\d+\]").replace(r"\[\]", r"\[\d+\]")
    escaped = escaped.replace(r"\.\*", r"\.[^.\[]+")
    prefix = "" if path.startswith("headers.") else r"\$" + (r"" if path[0] == "[" else r"\.")
    return re.compile(prefix + escaped + r"(?=$|[.\[])")
