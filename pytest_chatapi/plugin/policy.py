"""Which findings fail a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding, at_least
from pytest_chatapi.plugin.options import Settings
from pytest_chatapi.reading.lines import with_lines
from pytest_chatapi.report import failure_message, short

__all__ = ["Checked", "fail_for_findings", "failure_of", "findings_of"]

_SHOWN = 5


@dataclass(frozen=True)
class Checked:
    """An exchange that was checked.

    Attributes:
        number: among those of its test; ``None`` for one that belongs to no test.
        title: how messages name it: method, path, model.
        story: how it came about, each a label and a text.
        file: that it was read from, if its lines can be told.
        is_changed: the response is not as it is in the file.
    """

    number: int | None
    title: str
    findings: Sequence[Finding]
    story: Sequence[tuple[str, str]] = ()
    file: Path | None = None
    is_changed: bool = False

    def story_alone(self) -> list[tuple[str, str]]:
        """Its story, and its number."""
        number = [] if self.number is None else [("exchange", f"{self.number} of this test")]
        return [*number, *self.story]


def findings_of(exchange: Exchange, settings: Settings) -> list[Finding]:
    """The findings of an exchange, by the settings of a test."""
    return check_exchange(exchange, settings.profile, ignore=settings.ignore).findings


def _failing(findings: Iterable[Finding], policy: str) -> list[Finding]:
    levels = at_least("error" if policy == "error" else "warning")
    return [finding for finding in findings if finding.level in levels]


def failure_of(exchanges: Iterable[Checked], policy: str) -> str:
    """The message about the exchanges that a policy lets fail; ``""`` if it is none of them."""
    told: list[Checked] = []
    failing: list[Finding] = []
    for checked in exchanges:
        located = _located(checked, policy)
        if located:
            told.append(checked)
            failing += located
    if not told:
        return ""
    is_one = len(told) == 1
    return failure_message(
        [finding for checked in told for finding in checked.findings],
        told[0].title if is_one else f"{len(told)} exchanges",
        failing,
        told[0].story_alone() if is_one else _stories(told),
    )


def _located(checked: Checked, policy: str) -> list[Finding]:
    """The findings that fail, with their lines."""
    failing = _failing(checked.findings, policy)
    if checked.file is None:
        return failing
    return with_lines(failing, checked.file, members=not checked.is_changed)


def _stories(exchanges: Sequence[Checked]) -> list[tuple[str, str]]:
    rows = []
    for checked in exchanges[:_SHOWN]:
        parts = [f"{checked.number}: {checked.title}"]
        parts += [f"{label} {text}" for label, text in checked.story]
        rows.append(("exchange", ", ".join(parts)))
    if len(exchanges) > _SHOWN:
        rows.append(("", f"... and {len(exchanges) - _SHOWN} more"))
    return rows


def fail_for_findings(
    exchanges: Iterable[Checked], policy: str, warn: Callable[[str], object]
) -> None:
    """Fail the test for the findings of its exchanges, or warn of them, as the policy says.

    Raises:
        pytest.fail.Exception: a finding fails the test.
    """
    if policy == "warn":
        for checked in exchanges:
            failing = _failing(checked.findings, policy)
            if failing:
                findings = ", ".join(short(finding) for finding in failing[:5])
                warn(f"exchange {checked.number}: {checked.title}: {findings}")
    elif policy != "off":
        message = failure_of(exchanges, policy)
        if message:
            pytest.fail(message, pytrace=False)
