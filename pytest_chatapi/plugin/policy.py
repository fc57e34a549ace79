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


def findings_of(exchange: Exchange, settings: Settings) -> list[Finding]:
    """The findings of an exchange, by the settings of a test."""
    return check_exchange(exchange, settings.profile, ignore=settings.ignore).findings


def _failing(findings: Iterable[Finding], policy: str) -> list[Finding]:
    levels = at_least("error" if policy == "error" else "warning")
    return [finding for finding in findings if finding.level in levels]


def failure_of(checked: Checked, policy: str) -> str:
    """The message about an exchange that a policy lets fail; ``""`` for any other."""
    failing = _failing(checked.findings, policy)
    if not failing:
        return ""
    if checked.file is not None:
        failing = with_lines(failing, checked.file, members=not checked.is_changed)
    story = [*checked.story]
    if checked.number is not None:
        story.insert(0, ("exchange", f"{checked.number} of this test"))
    return failure_message(checked.findings, checked.title, failing, story)


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
        messages = [message for checked in exchanges if (message := failure_of(checked, policy))]
        if messages:
            pytest.fail("\n\n".join(messages), pytrace=False)
