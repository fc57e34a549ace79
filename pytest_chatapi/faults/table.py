"""The catalogue as Markdown, for the documentation."""

from __future__ import annotations

from pytest_chatapi.faults.fault import CATALOGUE, Entry, Kind, by_form

__all__ = ["table"]

_TITLES: dict[Kind, str] = {
    "status": "Error statuses",
    "connection": "No response",
    "stream": "Damaged on the way",
    "deviation": "Deviations",
}


def table() -> str:
    """Return a table of all faults for each kind."""
    blocks = []
    for kind, title in _TITLES.items():
        head = ["fault", "what happens", "in the openai SDK"]
        if kind == "deviation":
            head.append("findings, and their level in `compatible`")
        entries = [entry for entry in CATALOGUE.values() if entry.kind == kind]
        rows = [head, ["---"] * len(head), *map(_cells, entries)]
        blocks.append("\n".join([f"### {title}", "", *map(_row, rows)]))
    return "\n\n".join(blocks) + "\n"


def _cells(entry: Entry) -> list[str]:
    parameters = ", ".join(f"{name}={value!r}" for name, value in entry.defaults.items())
    signature = f"{entry.name}({parameters})" if parameters else entry.name
    cells = [f"`{signature}`", entry.summary, entry.sdk_text]
    if entry.kind == "deviation":
        cells.append(by_form({form: text or "legal" for form, text in (entry.finds or {}).items()}))
    return cells


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
