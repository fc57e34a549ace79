"""Collects the findings of one exchange: levels applied, repeats folded, secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.findings import LEVELS, Finding
from pytest_chatapi.contract.profiles import Profile

__all__ = ["ABSENT", "Ledger", "mask", "show"]

_SECRET = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{16,}|Bearer\s+[A-Za-z0-9._~+/=-]{8,})")

# Findings of one rule in one exchange; what goes beyond is counted in the last one's message.
_MOST_OF_A_CODE = 100
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""Stands for a member that is not there, which is not the same as ``null``."""


def mask(text: str) -> str:
    """The text with all that looks like a key masked, and all that would drive a terminal
    (control characters, changes of writing direction) escaped.
    """
    text = _masked(text)
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _masked(text: str) -> str:
    if "sk-" in text or "Bearer" in text:
        return _SECRET.sub(lambda found: found[0][:3] + "***", text)
    return text


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def show(value: Any, limit: int = 80) -> str:
    """A value as people read it: JSON, in one line, shortened, secrets masked."""
    if value is ABSENT:
        return "absent"
    if isinstance(value, bytes):
        value = value[: limit * 4].decode("utf-8", "replace")
    if isinstance(value, str):
        value = _masked(value[: limit * 4])  # first, or half a key would pass for none
        value = value if len(value) <= limit else value[: limit - 3] + "..."
        return mask(json.dumps(value, ensure_ascii=False))
    try:
        text = json.dumps(_pruned(value, 4), ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    text = mask(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _pruned(value: Any, depth: int) -> Any:
    # A hostile value may be huge or deep: no more of it is rendered than can be shown.
    if isinstance(value, dict):
        if not depth:
            return "{...}"
        return {
            str(k)[:80]: _pruned(v, depth - 1)
            for k, v, _ in zip(value.keys(), value.values(), range(20), strict=False)
        }
    if isinstance(value, list):
        return [_pruned(v, depth - 1) for v in value[:20]] if depth else "[...]"
    if isinstance(value, str):
        return value[:200]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    return value


class Ledger:
    """The findings of one exchange, in the making."""

    def __init__(self, profile: Profile, as_of: date | None = None) -> None:
        self.profile = profile
        self.as_of = as_of
        self._day = as_of.isoformat() if as_of else "9999-12-31"
        self._findings: dict[tuple[Any, ...], Finding] = {}
        self._repeats: dict[tuple[Any, ...], int] = {}
        self._last: dict[str, tuple[Any, ...]] = {}
        self._counts: dict[str, int] = {}
        self._more: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._findings)

    def has(self, *codes: str) -> bool:
        """Whether one of these codes was found (and is not off)."""
        return not self._counts.keys().isdisjoint(codes)

    def full(self, code: str) -> bool:
        """Whether a code has so many findings that further places are only counted.

        It bounds the memory that a hostile stream can take, and nobody reads the thousandth.
        """
        if self._counts.get(code, 0) < _MOST_OF_A_CODE:
            return False
        self._more[code] = self._more.get(code, 0) + 1
        return True

    def add(
        self,
        code: str,
        path: str,
        expected: str,
        got: Any,
        message: str,
        *,
        case: str = "",
        chunk: int | None = None,
    ) -> None:
        """Records one violation, unless the profile or the day has its rule off.

        Args:
            got: a value (rendered by `show`); already rendered text goes as `Text`.
            case: the row of the level matrix beside the code's own, such as ``reasoning``.
        """
        level = self.profile.level(code, case)
        if level is None:
            return
        key = (code, path, case) if chunk is not None else (code, path, case, message)
        earlier = self._findings.get(key)
        if earlier is not None:
            if chunk != earlier.chunk:
                self._repeats[key] = self._repeats.get(key, 0) + 1
            return
        if self.full(code):
            return
        rule = rules()[code]
        if rule.since > self._day:
            return
        self._last[code] = key
        self._counts[code] = self._counts.get(code, 0) + 1
        self._findings[key] = Finding(
            code=code,
            name=rule.name,
            level=level,
            profile=self.profile.name,
            path=mask(path),
            expected=mask(expected),
            got=mask(got) if isinstance(got, Text) else show(got),
            message=mask(message),
            chunk=chunk,
            case=case,
        )

    def findings(self) -> list[Finding]:
        """In order of level, then place; the message says how often a finding repeats."""
        out = []
        for key, found in self._findings.items():
            repeats = self._repeats.get(key, 0)
            places = self._more.get(found.code, 0) if key == self._last[found.code] else 0
            for count, what in ((repeats, "chunk"), (places, "place")):
                if count:
                    more = f"(and {count:,} more {what}{'s' * (count > 1)})"
                    found = replace(found, message=f"{found.message} {more}", repeats=repeats)
            out.append(found)
        out.sort(key=lambda f: LEVELS.index(f.level))
        return out


class Text(str):
    """Text for `got` that is shown as it is."""


def listed(values: Iterable[Any], limit: int = 8) -> str:
    """A few values, comma-separated, for `expected`."""
    items = [show(v, 40) for v in values]
    return ", ".join(items[:limit]) + (
        f" and {len(items) - limit} more" if len(items) > limit else ""
    )
