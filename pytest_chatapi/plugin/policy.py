"""Which findings fail a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import pytest

from pytest_chatapi.config.checker import Checker
from pytest_chatapi.config.file import Configuration
from pytest_chatapi.config.options import Settings
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding, at_least
from pytest_chatapi.report import failure_message, short

__all__ = ["TitledFindings", "checker_of", "fail_for_findings", "failure_of", "findings_of"]

TitledFindings: TypeAlias = tuple[str, Sequence[Finding]]
"""How messages name an exchange, and its findings."""


def findings_of(
    exchange: Exchange, settings: Settings, *files: str | os.PathLike[str]
) -> list[Finding]:
    """The findings of an exchange, by the settings of a test.

    Args:
        files: where it was found, beside the files of the test.
    """
    checker = checker_of(settings)
    return checker.keeper(*files, *settings.files)(checker.check(exchange).findings)


def checker_of(settings: Settings) -> Checker:
    """What checks exchanges by the settings of a test."""
    if settings.checker is None:
        settings.checker = Checker(
            settings.file or Configuration(), profile=settings.profile, ignore=settings.ignore
        )
    return settings.checker


def _failing(findings: Iterable[Finding], policy: str) -> list[Finding]:
    levels = at_least("error" if policy == "error" else "warning")
    return [finding for finding in findings if finding.level in levels]


def failure_of(titled: TitledFindings, policy: str) -> str:
    """The message about an exchange that a policy lets fail; ``""`` for any other."""
    title, findings = titled
    failing = _failing(findings, policy)
    return failure_message(findings, title, failing) if failing else ""


def fail_for_findings(
    exchanges: Iterable[TitledFindings], policy: str, warn: Callable[[str], object]
) -> None:
    """Fail the test for the findings of its exchanges, or warn of them, as the policy says.

    Raises:
        pytest.fail.Exception: a finding fails the test.
    """
    if policy == "warn":
        for title, findings in exchanges:
            failing = _failing(findings, policy)
            if failing:
                warn(f"{title}: " + ", ".join(short(finding) for finding in failing[:5]))
    elif policy != "off":
        messages = [message for titled in exchanges if (message := failure_of(titled, policy))]
        if messages:
            pytest.fail("\n\n".join(messages), pytrace=False)
