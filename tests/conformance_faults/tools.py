"""What a server gets wrong with tools."""

from __future__ import annotations

from typing import Any

from conformance_servers import Fault, edits


def _no_call(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        for part in ("message", "delta"):
            if part in choice:
                choice[part].pop("tool_calls", None)


FAULTS: dict[str, tuple[Fault, str]] = {
    "tools.required": (edits(_no_call), "has no call"),
}
