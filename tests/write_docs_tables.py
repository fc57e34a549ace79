"""Write what is made from the code into the documentation: run it after a change."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from conformance_faults import joined

from pytest_chatapi import faults
from pytest_chatapi.cli import rules
from pytest_chatapi.config.file import FILE_KEYS
from pytest_chatapi.config.options import RUN_SETTINGS, SETTINGS, Setting
from pytest_chatapi.conformance.client import client_checks
from pytest_chatapi.conformance.probe import checks
from pytest_chatapi.contract.catalogue import rules as catalogue
from pytest_chatapi.contract.explanation import page
from pytest_chatapi.fuzz import deliveries
from pytest_chatapi.mock.builders import builders_table

DOCS = Path(__file__).resolve().parent.parent / "docs"


def settings_table(*, only_checks: bool = False) -> str:
    """The settings of a test as a Markdown table, or only those of its checks."""
    lines = ["| setting | default | | also set by |", "|---|---|---|---|"]
    for name, row in SETTINGS.items():
        if only_checks and not row.only_checks:
            continue
        also = [f"`{row.flag}`"] * bool(row.flag) + ["ini"] * (row.ini is not None)
        also += ["[file](configuration.md)"] * row.in_file
        lines.append(f"| `{name}` | {_default(row)} | {row.help} | {', '.join(also)} |")
    return "\n".join(lines) + "\n"


def run_settings_table() -> str:
    """The settings of a run as a Markdown table."""
    lines = ["| ini | flag | |", "|---|---|---|"]
    for name, row in RUN_SETTINGS.items():
        if row.ini is None:
            continue
        flag = f"{row.flag} {row.metavar or ''}".strip() if row.flag else ""
        lines.append(f"| `chatapi_{name}` | {f'`{flag}`' if flag else ''} | {row.help} |")
    return "\n".join(lines) + "\n"


def file_settings_table() -> str:
    """The keys of ``[tool.chatapi]`` as a Markdown table."""
    lines = ["| key | | default | `chatapi check` | pytest |", "|---|---|---|---|---|"]
    for key, (name, row) in FILE_KEYS.items():
        ini = [f"`chatapi_{name}`"] if row.ini is not None else []
        pytest = [f"`{row.flag}`"] * bool(row.flag) + ini
        option = f"`{row.option}`" if row.option else ""
        cells = [f"`{key}`", row.help, _default(row), option, ", ".join(pytest)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _default(row: Setting) -> str:
    if row.shown or row.default in (None, (), {}):
        return row.shown
    default = " ".join(row.default) if isinstance(row.default, tuple) else row.default
    return f"`{default}`"


def rule_pages() -> dict[Path, str]:
    """File to text of the page of each rule."""
    return {DOCS / "rules" / f"{rule.code}.md": page(rule) for rule in catalogue().values()}


def probes_table() -> str:
    """The probes in Markdown, each with what the report says of the server that breaks it."""
    faults, obedient = joined("FAULTS"), joined("OBEDIENT")
    modes: dict[str, list[str]] = {}
    for check in checks():
        modes.setdefault(check.probe.id, []).append(check.mode)
    rows = [
        "| probe | what holds if it passes | a server with this fault fails: |",
        "|---|---|---|",
    ]
    for probe in {check.probe.id: check.probe for check in checks()}.values():
        how = "".join(f", {mode}" for mode in modes[probe.id] if mode != "-")
        reason = faults[probe.id][1].replace("|", "\\|")
        note = f" (not forced here: {obedient[probe.id]})" if probe.id in obedient else ""
        rows.append(f"| `{probe.id}`{how} | {probe.title}{note} | {reason} |")
    return "\n".join(rows) + "\n"


def cases_table() -> str:
    """The cases of consumers in Markdown; those that differ in parameters share a row."""
    modes: dict[str, list[str]] = {}
    rows: dict[tuple[str, str], list[str]] = {}
    for check in client_checks():
        both = check.ids[1]
        modes.setdefault(both, []).extend([check.mode] if check.id != both else [])
        rows.setdefault((check.capability, check.title), []).append(both)
    lines = ["| case | what is on the wire |", "|---|---|"]
    for (_, title), names in rows.items():
        cases = [", ".join([f"`{name}`", *modes[name]]) for name in dict.fromkeys(names)]
        lines.append(f"| {'<br>'.join(cases)} | {title} |")
    return "\n".join(lines) + "\n"


TABLES = {
    "cases": ("conform-client.md", cases_table),
    "probes": ("conform.md", probes_table),
    "builders": ("mock.md", builders_table),
    "faults": ("faults.md", faults.table),
    "deliveries": ("fuzz.md", deliveries.table),
    "check-settings": ("pytest.md", partial(settings_table, only_checks=True)),
    "settings": ("record-and-replay.md", settings_table),
    "file-settings": ("configuration.md", file_settings_table),
    "run-settings": ("record-and-replay.md", run_settings_table),
}


def with_table(name: str) -> tuple[Path, str, str]:
    """The page, its text now, and its text with the table made anew."""
    file, make = TABLES[name]
    page = DOCS / file
    text = page.read_text(encoding="utf-8")
    block = f"<!-- {name}:start -->\n{make()}<!-- {name}:end -->"
    pattern = re.compile(f"<!-- {name}:start -->.*?<!-- {name}:end -->", re.DOTALL)
    return page, text, pattern.sub(lambda _: block, text)


if __name__ == "__main__":
    (DOCS / "rules.md").write_text(rules.markdown(), encoding="utf-8")
    (DOCS / "rules").mkdir(exist_ok=True)
    for file, text in rule_pages().items():
        file.write_text(text, encoding="utf-8")
    for table in TABLES:
        file, _, text = with_table(table)
        file.write_text(text, encoding="utf-8")
