"""Findings as text: hints, folding, the message of a failure. The formats are in test_cli.py."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_chatapi.contract.exchange import Source
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.report import Options, Report, describe, failure_message, render, short

PLAIN = Finding("U02", "usage-total", "error", "openai", "$.usage", "21", "20", "the total is low")


def of(level: Any, code: str = "U02", **changes: Any) -> Finding:
    return PLAIN._replace(level=level, code=code, **changes)


# -- one finding -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("U02", None),  # an error under every profile
        ("S03", "not an error under `--profile compatible`"),
        ("X01", "not an error under `--profile azure` or `compatible`"),
        ("S11", "not an error under `--profile openai`, `azure` or `compatible`"),
    ],
)
def test_the_hint_names_the_profiles_that_are_more_lenient(code: str, hint: str | None) -> None:
    lines = describe(of("error", code)).splitlines()
    assert lines[4:] == ([f"  hint     {hint}"] if hint else [])
    # What is not an error needs no hint.
    assert "hint" not in describe(of("warning", code))


def test_the_hint_is_a_setting_to_paste() -> None:
    text = describe(of("error", "X01"), profile_setting='profile="{}"')
    assert text.endswith('  hint     not an error under `profile="azure"` or `compatible`')
    assert 'under `profile="compatible"`' in failure_message([], "it", [of("error", "S03")])


def test_colours_do_not_change_the_lines() -> None:
    finding = of("error", message="word " * 40)
    plain = describe(finding)
    painted = describe(finding, paint=lambda style, text: f"<{style}>{text}</>")
    assert painted.startswith("<error>error</> <bold>U02</> usage-total: word word")
    assert painted.replace("<error>error</> <bold>U02</>", "error U02") == plain
    assert max(map(len, plain.splitlines())) <= 80


def test_a_place_is_as_exact_as_it_is_known() -> None:
    assert "  at       $.usage\n" in describe(PLAIN)
    assert "  at       chunk 3: $.usage\n" in describe(of("error", chunk=3))
    here = of("error", source=Source("a.yaml", 0), chunk=0)
    head = "error U02 usage-total: the total is low"
    at = "  at       interaction 0, chunk 0: $.usage"
    assert describe(here).splitlines()[:2] == [f"a.yaml: {head}", at]
    there = of("error", source=Source("a.yaml", 0, 12), chunk=0)
    assert describe(there).splitlines()[:2] == [f"a.yaml:12: {head}", at]
    # The first line is never broken before the message, so that the place can be followed.
    deep = of("error", source=Source("a-b " * 20, 0, 12))
    assert describe(deep).splitlines()[:2] == [
        f"{'a-b ' * 20}:12: error U02 usage-total:",
        "  the total is low",
    ]
    assert short(here) == "U02 the total is low"


# -- the message of a failure ------------------------------------------------------------


def test_a_failure_shows_ten_findings_and_counts_the_rest() -> None:
    failing = [of("error", path=f"$.é{chr(97 + number)}") for number in range(12)]
    others = [of("warning"), of("note"), of("note")]
    blocks = failure_message([*failing, *others], "the response", failing).split("\n\n")
    assert blocks[0] == "U02: the response breaks the contract: 12 findings (profile openai)"
    assert blocks[1:11] == [describe(finding) for finding in failing[:10]]
    assert blocks[11:] == [
        "... and 2 more",
        "not failing: 1 warning, 2 notes",
        "explain it: chatapi rules U02\n"
        'ignore all: ignore=["U02:$.éa", "U02:$.éb", "U02:$.éc", "U02:$.éd", "U02:$.ée",\n'
        '                    "U02:$.éf", "U02:$.ég", "U02:$.éh", "U02:$.éi", "U02:$.éj",\n'
        '                    "U02:$.ék", "U02:$.él"]',
    ]
    ten = failure_message(failing[:10], "the response", failing[:10]).split("\n\n")
    assert len(ten) == 12


def test_what_repeats_in_a_failure_is_told_once_and_ignored_at_any_index() -> None:
    failing = [of("error", path=f"$.a[{at}].b", source=Source("a.yaml", 0, 7)) for at in (1, 2)]
    failing += [of("error", "S03", path="$.a[0]"), of("error", "S03", path="$.a[0]")]
    blocks = failure_message(failing, "it", failing, [("sent from", "app.py:4")]).split("\n\n")
    assert blocks[0] == (
        "U02, S03: it breaks the contract: 4 findings (profile openai)\n  sent from app.py:4"
    )
    assert blocks[1] == describe(failing[0], also=["$.a[2].b"], profile_setting='profile="{}"')
    assert blocks[3].endswith('ignore=["U02:$.a[*].b", "S03:$.a[0]"]')


# -- text --------------------------------------------------------------------------------


def lines_of(*findings: Finding, **options: bool) -> list[str]:
    return render(Report(findings=list(findings)), "text", Options(**options)).splitlines()


def test_findings_that_differ_in_numbers_only_are_one() -> None:
    same = [
        of("error", path=f"$.a[{at}].b", message=f"{at} too low", source=Source("a.yaml", at))
        for at in range(5)
    ]
    lines = lines_of(*same)
    assert lines[0] == "a.yaml: error U02 usage-total: 0 too low"
    assert "  also     a.yaml, interaction 1; a.yaml, interaction 2; and 2 more" in lines
    assert sum(": error" in line for line in lines) == 1
    assert lines_of(*same[:3])[4].endswith("interaction 1; a.yaml, interaction 2")
    assert lines_of(*same[:2])[4].endswith("  a.yaml, interaction 1")
    # A path is not broken, even at a space.
    name = f"{'a b ' * 20}.yaml"
    far = same[0]._replace(source=Source(name, 2))
    assert lines_of(*same[:2], far)[4:6] == [
        "  also     a.yaml, interaction 1",
        f"           {name}, interaction 2",
    ]
    # In the same place, the path tells them apart.
    at_once = [finding._replace(source=Source("a.yaml", 0)) for finding in same[:2]]
    assert lines_of(*at_once)[4] == "  also     $.a[1].b"


@pytest.mark.parametrize(
    "change",
    [{"code": "U03"}, {"path": "$.b"}, {"message": "other"}, {"level": "warning"}],
    ids=lambda change: next(iter(change)),
)
def test_other_findings_are_not_folded(change: dict[str, Any]) -> None:
    assert "also" not in "".join(lines_of(PLAIN, PLAIN._replace(**change)))


def test_errors_come_first_and_notes_are_counted() -> None:
    note = of("note", "S10", name="unknown-field")
    findings = (note, of("warning"), of("error"), note)
    lines = lines_of(*findings)
    assert [line.split()[0] for line in lines if "usage-total" in line] == ["error", "warning"]
    assert lines[-4:] == [
        "notes: S10 unknown-field (2); list: --select S10",
        "",
        "0 exchanges checked: 1 error, 1 warning, 2 notes",
        "explain: chatapi rules U02; ignore: --ignore 'U02:$.usage'",
    ]
    shown = lines_of(*findings, notes=True)
    assert "note S10 unknown-field: the total is low" in shown
    assert not any(line.startswith("notes:") for line in shown)
    counted = lines_of(*findings, statistics=True)
    assert not any(line.startswith("notes:") for line in counted)
    assert "      2  S10  note     unknown-field" in counted


@pytest.mark.parametrize(
    ("level", "style"), [("error", "31;1"), ("warning", "33;1"), ("note", "32;1")]
)
def test_the_summary_has_the_colour_of_the_worst_finding(level: Any, style: str) -> None:
    lines = [line for line in lines_of(of(level), coloured=True) if "checked" in line]
    assert lines[-1].endswith(f"\x1b[{style}m1 {level}\x1b[0m")


def test_reports_add_up() -> None:
    report = Report(1, 2, 3, [PLAIN], [("a.yaml", 0, "title")])
    report.add(report)
    assert report == Report(2, 4, 6, [PLAIN] * 2, [("a.yaml", 0, "title")] * 2)
