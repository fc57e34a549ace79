"""Collects the findings of one exchange: levels applied, repeats folded, secrets masked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import ParamSpec, TypeAlias, TypeVar

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.findings import LEVELS, Finding
from pytest_chatapi.contract.profiles import Profile
from pytest_chatapi.contract.rules.registry import Check, Found, Violation, code_of
from pytest_chatapi.contract.wording import Shown, mask, plural, show

__all__ = ["Ledger"]

# Findings of one rule in one exchange; what goes beyond is counted in the last one's message.
_MOST_OF_A_CODE = 100

_P = ParamSpec("_P")
_Facts = TypeVar("_Facts")
_Key: TypeAlias = tuple[str, ...]


class Ledger:
    """The findings of one exchange, in the making."""

    def __init__(self, profile: Profile, as_of: date | None = None) -> None:
        self.profile = profile
        self.as_of = as_of
        self._day = as_of.isoformat() if as_of else "9999-12-31"
        self._findings: dict[_Key, Finding] = {}
        self._repeats: dict[_Key, int] = {}
        self._last: dict[str, _Key] = {}
        self._counts: dict[str, int] = {}
        self._more: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._findings)

    def has(self, codes: frozenset[str]) -> bool:
        """Whether one of these codes was found (and is not off)."""
        return not self._counts.keys().isdisjoint(codes)

    def is_off(self, rule: Callable[..., Found], case: str = "") -> bool:
        """Whether the profile has this rule, or this case of it, off."""
        return self.profile.level(code_of(rule), case) is None

    def full(self, code: str) -> bool:
        """Whether a code has so many findings that further places are only counted.

        It bounds the memory that a hostile stream can take, and nobody reads the thousandth.
        """
        if self._counts.get(code, 0) < _MOST_OF_A_CODE:
            return False
        self._more[code] = self._more.get(code, 0) + 1
        return True

    def run(self, checks: tuple[Check[_Facts], ...], facts: _Facts) -> None:
        """Records what these rules find in the facts."""
        for code, rule in checks:
            found = rule(facts)
            if found:
                self._record(code, found)

    def report(self, rule: Callable[_P, Found], *facts: _P.args, **named: _P.kwargs) -> None:
        """Records what one rule finds in the facts."""
        found = rule(*facts, **named)
        if found:
            self._record(code_of(rule), found)

    def _record(self, code: str, found: Violation | list[Violation]) -> None:
        if isinstance(found, list):
            for violation in found:
                self.add(code, violation)
        else:
            self.add(code, found)

    def add(self, code: str, violation: Violation) -> None:
        """Records one violation, unless the profile or the day has its rule off."""
        path, expected, got, message, case, chunk = violation
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
