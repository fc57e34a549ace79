"""Collects the findings of one exchange: levels applied, repeats folded, secrets masked."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.findings import LEVELS, Finding
from pytest_chatapi.contract.profiles import Profile
from pytest_chatapi.contract.wording import Shown, mask, plural, show

__all__ = ["Ledger"]

# Findings of one rule in one exchange; what goes beyond is counted in the last one's message.
_MOST_OF_A_CODE = 100


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
            got: a value (rendered by `show`); already rendered text goes as `Shown`.
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
            got=mask(got) if isinstance(got, Shown) else show(got),
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
                    more = f"(and {plural(count, f'more {what}')})"
                    found = replace(found, message=f"{found.message} {more}", repeats=repeats)
            out.append(found)
        out.sort(key=lambda f: LEVELS.index(f.level))
        return out
