"""The catalogue as Markdown, for the documentation."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_chatapi.faults.fault import CATALOGUE, Entry

__all__ = ["sdk_text", "table"]

_TITLES = {
    "status": "An error status",
    "connection": "No response",
    "stream": "On its way",
    "deviation": "Deviations",
}


def sdk_text(entry: Entry) -> str:
    """What the openai SDK makes of a fault, in one line."""
    parts = {}
    for form in ("whole", "stream"):
        if form in entry.sdk:
            older = entry.sdk.get(f"{form} 2")
            parts[form] = entry.sdk[form] + (f" ({older} in openai 2)" if older else "")
    return _in_one(parts)


def _in_one(parts: Mapping[str, str]) -> str:
    """One text where all say the same, else each with its form."""
    if len(set(parts.values())) == 1:
        return next(iter(parts.values()))
    names = {"stream": "streamed", "several": "several calls"}
    return "; ".join(f"{names.get(form, form)}: {text}" for form, text in parts.items())


def table() -> str:
    """Every fault, in one table for each kind."""
    blocks = []
    for kind, title in _TITLES.items():
        entries = [entry for entry in CATALOGUE.values() if entry.kind == kind]
        head = ["name", "what happens", "what the openai SDK makes of it"]
        if kind == "deviation":
            head.append("found, and its level in `compatible`")
        lines = [f"### {title}", "", _row(head), _row(["---"] * len(head))]
        for entry in entries:
            cells = [f"`{_signature(entry)}`", entry.summary, sdk_text(entry)]
            if kind == "deviation":
                finds = {form: text or "legal" for form, text in (entry.finds or {}).items()}
                cells.append(_in_one(finds))
            lines.append(_row(cells))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _signature(entry: Entry) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in entry.defaults.items())
    return f"{entry.name}({given})" if given else entry.name
