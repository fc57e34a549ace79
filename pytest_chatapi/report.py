"""Findings as text and as the formats that other tools read. Pure functions, no I/O."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pytest_chatapi import __version__
from pytest_chatapi.contract.catalogue import FAMILIES, Rule, rules
from pytest_chatapi.contract.findings import LEVELS, Finding, Level, at_least
from pytest_chatapi.contract.profiles import PROFILES, get_profile
from pytest_chatapi.contract.wording import plural

__all__ = [
    "FORMATS",
    "Report",
    "describe",
    "failure_message",
    "render",
    "rules_markdown",
    "short",
    "statistics_text",
]

WIDTH = 80


@dataclass
class Report:
    """What a run found.

    Attributes:
        exchanges: how many were checked.
        skipped: how many were no traffic of a Chat Completions API.
        files: how many files were read.
        findings: in the order of reading.
        cases: (file, index, name) of each checked exchange; only where the format asks for it.
    """

    exchanges: int = 0
    skipped: int = 0
    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    cases: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.exchanges += other.exchanges
        self.skipped += other.skipped
        self.files += other.files
        self.findings += other.findings
        self.cases += other.cases


def accepted_by(finding: Finding) -> list[str]:
    """The profiles in which the same finding is less severe."""
    order = [*LEVELS, None]
    return [
        name
        for name in PROFILES
        if order.index(get_profile(name).level(finding.code, finding.case))
        > order.index(finding.level)
    ]


def place(finding: Finding) -> str:
    """File, interaction and chunk, as far as they are known."""
    parts = []
    if finding.source is not None:
        parts += [finding.source.file, f"interaction {finding.source.index}"]
    if finding.chunk is not None:
        parts.append(f"chunk {finding.chunk}")
    return ", ".join(parts)


def describe(finding: Finding, *, more: str = "", paint: Any = None) -> str:
    """One finding as a block of lines, for a terminal of 80 columns."""
    paint = paint or _plain
    head = (
        f"{paint(finding.level, finding.level)} {paint('bold', finding.code)} "
        f"{finding.name}: {finding.message}"
    )
    lines = textwrap.wrap(head, WIDTH + len(head) - len(_uncoloured(head)), subsequent_indent="  ")
    where = place(finding)
    lines += _row("at", f"{where}: {finding.path}" if where else finding.path)
    lines += _row("expected", finding.expected)
    lines += _row("got", finding.got)
    if more:
        lines += _row("also", more)
    lenient = accepted_by(finding)
    if lenient and finding.level == "error":
        lines += _row("profile", f"no error in {', '.join(lenient)}")
    return "\n".join(lines)


def _row(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH - 2,
        initial_indent=f"  {label:<8} ",
        subsequent_indent=" " * 11,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [f"  {label:<8}"]


def _plain(style: str, text: str) -> str:
    return text


_STYLES = {"error": "31;1", "warning": "33;1", "note": "36", "bold": "1", "good": "32;1"}


def colour(style: str, text: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def failure_message(findings: Sequence[Finding], what: str, failing: Sequence[Finding]) -> str:
    """The message of a `ContractError`: the findings that failed, and what to do."""
    count = len(failing)
    first = failing[0]
    head = f"{what} breaks the contract: {plural(count, 'finding')} (profile {first.profile})"
    blocks = [describe(f) for f in failing[:10]]
    if count > 10:
        blocks.append(f"... and {count - 10} more")
    rest = Counter(f.level for f in findings if f not in failing)
    if rest:
        blocks.append("not failing: " + _counts(rest))
    blocks.append(
        f"explain it: chatapi rules {first.code}\n"
        f"ignore it:  ignore=[{json.dumps(f'{first.code}:{first.path}', ensure_ascii=False)}]"
    )
    return "\n\n".join([head, *blocks])


def short(finding: Finding) -> str:
    """One finding in one line."""
    return f"{finding.code} {finding.message}"


def _counts(levels: Counter[Level]) -> str:
    return ", ".join(plural(levels[level], level) for level in LEVELS if levels[level])


def render(report: Report, form: str, **options: Any) -> str:
    """The report in one of `FORMATS`."""
    return FORMATS[form](report, **options)


def _text(
    report: Report, *, coloured: bool = False, statistics: bool = False, notes: bool = False
) -> str:
    paint = colour if coloured else _plain
    folded: dict[tuple[Level, str, str, str], list[Finding]] = {}
    for found in report.findings:
        if found.level != "note" or notes:
            path = re.sub(r"\[\d+\]", "[*]", found.path)
            key = (
                found.level,
                found.code,
                path,
                re.sub(r"\d+", "#", found.message.split(" (and ")[0]),
            )
            folded.setdefault(key, []).append(found)
    blocks = []
    for level in LEVELS:
        for key, same in folded.items():
            if key[0] == level:
                blocks.append(describe(same[0], more=_others(same), paint=paint))
    levels = Counter(f.level for f in report.findings)
    if statistics:
        blocks.append(statistics_text(report))
    elif levels["note"] and not notes:
        codes = Counter(f"{f.code} {f.name}" for f in report.findings if f.level == "note")
        listing = ", ".join(f"{name} ({n:,})" for name, n in codes.most_common(6))
        blocks.append("\n".join(textwrap.wrap(f"notes: {listing}", WIDTH, subsequent_indent="  ")))
    summary = f"{plural(report.exchanges, 'exchange')} checked"
    if report.files:
        summary += f" in {plural(report.files, 'file')}"
    if report.skipped:
        summary += f", {report.skipped:,} skipped"
    verdict = _counts(levels) or "no findings"
    style = "error" if levels["error"] else "warning" if levels["warning"] else "good"
    blocks.append(f"{summary}: {paint(style, verdict)}")
    return "\n\n".join(blocks) + "\n"


def _others(same: Sequence[Finding]) -> str:
    if len(same) < 2:
        return ""
    here = place(same[0])
    shown = "; ".join(place(f) if place(f) != here else f.path for f in same[1:3])
    return shown + (f"; and {len(same) - 3:,} more" if len(same) > 3 else "")


def statistics_text(report: Report) -> str:
    """How often each rule was found, most frequent first."""
    counts = Counter((f.code, f.level) for f in report.findings)
    order = {code: position for position, code in enumerate(rules())}
    lines = [
        f"{n:>7,}  {code}  {level:<7}  {rules()[code].name}"
        for (code, level), n in sorted(counts.items(), key=lambda i: (-i[1], order[i[0][0]]))
    ]
    return "\n".join(lines) if lines else "no findings to count"


def _json(report: Report, **_: Any) -> str:
    data = {
        "version": 1,
        "exchanges": report.exchanges,
        "skipped": report.skipped,
        "findings": [f.to_json() for f in report.findings],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _jsonl(report: Report, **_: Any) -> str:
    return "".join(json.dumps(f.to_json(), ensure_ascii=False) + "\n" for f in report.findings)


def _xml(text: str) -> str:
    # XML 1.0 knows no control characters, not even escaped ones.
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _junit(report: Report, *, strict: bool = False, **_: Any) -> str:
    by_exchange: dict[tuple[str, int], list[Finding]] = {}
    for found in report.findings:
        if found.source is not None:
            by_exchange.setdefault((found.source.file, found.source.index), []).append(found)
    limit = at_least("warning" if strict else "error")
    failures = 0
    cases = []
    for file, index, name in report.cases:
        found_here = by_exchange.get((file, index), [])
        failing = [f for f in found_here if f.level in limit]
        failures += bool(failing)
        head = f"  <testcase classname={quoteattr(_xml(file))} name={quoteattr(_xml(name))}"
        inner = ""
        if failing:
            text = "\n\n".join(describe(f) for f in failing)
            title = f"{failing[0].code} {failing[0].name}: {failing[0].message}"
            inner += (
                f"    <failure message={quoteattr(_xml(title))}>{escape(_xml(text))}</failure>\n"
            )
        rest = [f for f in found_here if f.level not in limit]
        if rest:
            text = "\n\n".join(describe(f) for f in rest)
            inner += f"    <system-out>{escape(_xml(text))}</system-out>\n"
        cases.append(f"{head}>\n{inner}  </testcase>" if inner else f"{head}/>")
    return "\n".join(
        [
            '<?xml version="1.0" encoding="utf-8"?>',
            f'<testsuites><testsuite name="chatapi" tests="{len(report.cases)}" '
            f'failures="{failures}" errors="0" skipped="0">',
            *cases,
            "</testsuite></testsuites>",
            "",
        ]
    )


def _github(report: Report, **_: Any) -> str:
    kinds = {"error": "error", "warning": "warning", "note": "notice"}
    lines = []
    for found in report.findings:
        file = found.source.file if found.source is not None else ""
        where = place(found)
        text = (
            f"{found.message} | {where}: {found.path} | expected {found.expected} | got {found.got}"
        )
        title = f"{found.code} {found.name}"
        lines.append(
            f"::{kinds[found.level]} file={_property(file)},title={_property(title)}::{_data(text)}"
        )
    return "".join(line + "\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif(report: Report, **_: Any) -> str:
    used = [code for code in rules() if any(f.code == code for f in report.findings)]
    results = [
        {
            "ruleId": f.code,
            "ruleIndex": used.index(f.code),
            "level": f.level,
            "message": {"text": f"{f.message}; expected {f.expected}, got {f.got}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(f.source.file if f.source else "")}
                    },
                    "logicalLocations": [
                        {"fullyQualifiedName": f"{place(f)}: {f.path}", "kind": "member"}
                    ],
                }
            ],
        }
        for f in report.findings
    ]
    data = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "chatapi",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": code,
                                "name": rules()[code].name,
                                "shortDescription": {"text": rules()[code].statement},
                            }
                            for code in used
                        ],
                    }
                },
                "results": results,
            }
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _uri(file: str) -> str:
    from urllib.parse import quote

    return quote(file.replace("\\", "/"))


FORMATS = {
    "text": _text,
    "json": _json,
    "jsonl": _jsonl,
    "junit": _junit,
    "github": _github,
    "sarif": _sarif,
}


def level_row(rule: Rule) -> str:
    """``error (compatible: warning)``: the common level, and who differs."""
    return _levels(rule.levels)


def _levels(letters: str) -> str:
    words = {"E": "error", "W": "warning", "N": "note", "-": "off"}
    common = Counter(letters).most_common(1)[0][0]
    others = [
        f"{name}: {words[letter]}"
        for name, letter in zip(PROFILES, letters, strict=True)
        if letter != common
    ]
    return words[common] + (f" ({', '.join(others)})" if others else "")


def rules_text() -> str:
    """The catalogue as a list, one line a rule."""
    lines = []
    for family, title in FAMILIES.items():
        lines.append(f"{family}: {title}")
        lines += [
            f"  {rule.code}  {rule.name:<26} {level_row(rule)}"
            for code, rule in rules().items()
            if code[0] == family
        ]
        lines.append("")
    lines.append("chatapi rules CODE explains one.")
    return "\n".join(lines) + "\n"


def rules_json() -> str:
    data = [
        {
            "code": rule.code,
            "name": rule.name,
            "statement": rule.statement,
            "basis": rule.basis,
            "since": rule.since or None,
            "levels": {n: get_profile(n).level(rule.code) or "off" for n in PROFILES},
        }
        for rule in rules().values()
    ]
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


_BASIS = {
    "doc": "stated in the reference",
    "ex": "only in the reference's examples",
    "obs": "always so in recorded traffic of the reference service",
    "client": "mainstream clients depend on it",
    "derived": "follows from what the reference states",
}


def rule_text(rule: Rule, examples: Iterable[tuple[str, dict[str, Any]]] = ()) -> str:
    """One rule, explained. `examples`: title and changed places (path to value) of each."""
    lines = [f"{rule.code} {rule.name}", ""]
    lines += textwrap.wrap(rule.statement, WIDTH)
    lines += ["", f"level:  {level_row(rule)}"]
    for levels, what in rule.cases.values():
        lines += textwrap.wrap(
            f"        {what}: {_levels(levels)}", WIDTH, subsequent_indent=" " * 10
        )
    lines.append(f"basis:  {_BASIS.get(rule.basis, rule.basis)}")
    if rule.since:
        lines.append(f"since:  {rule.since}")
    for title, changes in examples:
        lines += ["", f"{title}:"]
        for path, value in changes.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text = text if len(text) <= 300 else text[:297] + "..."
            lines += textwrap.wrap(
                f"{path} = {text}",
                WIDTH - 2,
                initial_indent="  ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            )
    lines += [
        "",
        f"ignore: --ignore {rule.code}, or --ignore {rule.code}:$.json.path for one place",
    ]
    return "\n".join(lines) + "\n"


def rules_markdown() -> str:
    """The catalogue as the documentation page ``docs/rules.md``."""
    lines = [
        "# Rules",
        "",
        "Codes are public: they stand in `--ignore` and in bug reports, and never change their",
        "meaning. This page is made by `chatapi rules --format markdown`.",
        "",
    ]
    for family, title in FAMILIES.items():
        lines += [
            f"## {family}: {title}",
            "",
            f"| code | name | {' | '.join(PROFILES)} | the contract |",
            "|---|---|" + "---|" * len(PROFILES) + "---|",
        ]
        for code, rule in rules().items():
            if code[0] != family:
                continue
            rows = [(rule.name, rule.levels, rule.statement)]
            rows += [(f"... {case}", levels, what) for case, (levels, what) in rule.cases.items()]
            words = {"E": "error", "W": "warning", "N": "note", "-": "off"}
            for position, (name, letters, what) in enumerate(rows):
                cells = " | ".join(words[letter] for letter in letters)
                escaped = what.replace("|", "\\|")
                lines.append(f"| {code if not position else ''} | {name} | {cells} | {escaped} |")
        lines.append("")
    return "\n".join(lines)
