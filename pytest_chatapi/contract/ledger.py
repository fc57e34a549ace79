"""Collects the findings of one exchange: levels applied, repeats folded, secrets masked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import ParamSpec, TypeAlias, TypeVar

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.exchange import Source
from pytest_chatapi.contract.findings import LEVELS, Finding, Level
from pytest_chatapi.contract.profiles import Profile
from pytest_chatapi.contract.rules.registry import Check, Violation, Violations, code_of
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import ABSENT, Shown, mask, plural, show_member

__all__ = ["Ledger"]

# Findings of one rule in one exchange; further ones are only counted, in the message of the last.
MOST_OF_A_RULE = 100

_P = ParamSpec("_P")
_Facts = TypeVar("_Facts")
_Key: TypeAlias = tuple[str, ...]


class Ledger:
    """Collects the findings of one exchange.

    Attributes:
        profile: sets the levels.
        prefix: path of the part that is being checked, without its ``$`` (such as ``.data[3]``);
            it goes before the paths of all violations.
        as_of: the day whose contract applies; ``None``: today's.
        ceiling: further findings have at most this level; ``None``: that of the profile.
        without: the families whose rules are off, as their letters.
        source: where the exchange was read from.
    """

    def __init__(
        self,
        profile: Profile,
        as_of: date | None = None,
        without: str = "",
        source: Source | None = None,
    ) -> None:
        self.profile = profile
        self.prefix = ""
        self.as_of = as_of
        self.ceiling: Level | None = None
        self.without = without
        self.source = source
        self._day = as_of.isoformat() if as_of else "9999-12-31"
        self._findings: dict[_Key, Finding] = {}
        self._repeats: dict[_Key, int] = {}
        self._last: dict[str, _Key] = {}
        self._counts: dict[str, int] = {}
        self._more: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._findings)

    def has(self, codes: frozenset[str]) -> bool:
        """Whether there is a finding of one of these codes."""
        return not self._counts.keys().isdisjoint(codes)

    def is_off(self, rule: Callable[..., Violations], case: str = "") -> bool:
        """Whether the profile has this rule, or this case of it, off."""
        return self.profile.level(code_of(rule), case) is None

    def full(self, code: str) -> bool:
        """Whether a code has so many findings that this further one is only counted.

        It bounds the memory that a hostile stream can use, and nobody reads the thousandth.
        """
        if self._counts.get(code, 0) < MOST_OF_A_RULE:
            return False
        self._more[code] = self._more.get(code, 0) + 1
        return True

    def run(self, checks: tuple[Check[_Facts], ...], facts: _Facts) -> None:
        """Runs these rules on the facts, and records their violations."""
        for code, rule in checks:
            violations = rule(facts)
            if violations:
                self._record(code, violations)

    def report(self, rule: Callable[_P, Violations], *facts: _P.args, **named: _P.kwargs) -> None:
        """Runs one rule on the facts, and records its violations."""
        violations = rule(*facts, **named)
        if violations:
            self._record(code_of(rule), violations)

    def _record(self, code: str, violations: Violation | list[Violation]) -> None:
        if isinstance(violations, list):
            for violation in violations:
                self.add(code, violation)
        else:
            self.add(code, violations)

    def add(self, code: str, violation: Violation) -> None:
        """Records one violation, unless the profile or the day has its rule off."""
        path, expected, got, message, case, chunk = violation
        if self.prefix:
            path = f"${self.prefix}{path[1:]}"
        level = self.profile.level(code, case)
        if level is None or code[0] in self.without:
            return
        if self.ceiling is not None and LEVELS.index(level) < LEVELS.index(self.ceiling):
            level = self.ceiling
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
        size = len(path) + len(expected) + len(message) + (len(got) if isinstance(got, str) else 0)
        is_short = type(got) in _REPEATED and size < _LONGEST_REPEATED
        words = (_words if is_short else _words.__wrapped__)(path, expected, got, message)
        self._findings[key] = Finding(
            code, rule.name, level, self.profile.name, *words, chunk, case, source=self.source
        )

    def findings(self) -> list[Finding]:
        """All findings by level, then in order; the message says how often one is repeated."""
        findings: list[Finding] = []
        if not self._findings:
            return findings
        for key, finding in self._findings.items():
            code = finding.code
            repeats = self._repeats.get(key, 0)
            places = self._more.get(code, 0) if key == self._last[code] else 0
            for count, noun in ((repeats, "chunk"), (places, "place")):
                if count:
                    message = f"{finding.message} (and {plural(count, f'more {noun}')})"
                    finding = finding._replace(message=message, repeats=repeats)
            findings.append(finding)
        if len(findings) > 1:
            findings.sort(key=lambda finding: LEVELS.index(finding.level))
        return findings


# An application's requests have the same findings again and again. Long ones, and those about
# containers, are rendered each time.
_REPEATED = {str, int, bool, type(None), type(ABSENT), Shown}
_LONGEST_REPEATED = 500


@lru_cache(maxsize=1024, typed=True)
def _words(path: str, expected: str, got: JSON, message: str) -> tuple[str, str, str, str]:
    """The words of a finding as they may be shown, in the order of its fields."""
    shown = mask(got) if isinstance(got, Shown) else show_member(path, got)
    return mask(path), mask(expected), shown, mask(message)
