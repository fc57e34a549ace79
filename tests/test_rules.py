"""Every rule against its two examples: one that breaks it alone, and the nearest legal one."""

from __future__ import annotations

import pytest

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.examples import base, document, example
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.profiles import PROFILES, matrix

CASES = [f"{code}/{case}" for code, rule in rules().items() for case in rule.cases]
ROWS = [*rules(), *CASES]


def found(exchange: Exchange, profile: str, as_of: str | None = None) -> list[Finding]:
    return check_exchange(exchange, profile, as_of=as_of).findings


def told(findings: list[Finding]) -> str:
    return "\n".join(str(finding) for finding in findings)


def test_every_rule_and_every_case_has_an_example() -> None:
    assert list(document()["rules"]) == list(rules())
    assert list(document()["cases"]) == CASES


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", document()["bases"])
def test_a_base_is_silent(name: str, profile: str) -> None:
    findings = found(base(name), profile)
    assert not findings, told(findings)


@pytest.mark.parametrize("row", ROWS)
def test_the_legal_example_is_silent(row: str) -> None:
    shown = example(row)
    findings = found(shown.legal, shown.profile)
    assert not findings, told(findings)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("row", ROWS)
def test_the_broken_example_breaks_this_rule_alone(row: str, profile: str) -> None:
    shown, level = example(row), matrix()[profile][row]
    findings = found(shown.broken, profile)
    code, _, case = row.partition("/")
    expected = {code: level} if level else {}
    for other in shown.beside:
        expected[other] = matrix()[profile][f"{other}/{case}"]
    assert {f.code: f.level for f in findings} == expected, told(findings)
