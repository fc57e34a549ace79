"""Write docs/servers.md from the reports of real runs. Not a test.

write_servers.py run NAME DIR                           starts a server, leaves DIR/NAME.json
write_servers.py DIR/llama.json DIR/aimock.json ...     writes the page
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import real_servers
from conform_runs import KNOWN, OPTIONS, conform

__all__ = ["verdicts_on"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "servers.md"
PINS = ROOT / ".ci" / "servers" / "pins"
SERVERS = {
    "llama": "llama-server with a tiny model of random weights",
    "aimock": "aimock with a fixture for any prompt",
    "litserve": "LitServe's OpenAISpec with an app that says the same words to every prompt",
}
"""What each is, by the name that `tests/real` has for it."""

REST = {
    "non-strict": "Accepted by mainstream clients, but not as documented",
    "unsupported": "Not supported, and said so",
    "not-exercised": "Not exercised",
}


def section(name: str, report: Any) -> str:
    """What a run of one server found."""
    known = tomllib.loads((KNOWN / f"{name}.toml").read_text(encoding="utf-8"))["failures"]
    flags = " ".join(OPTIONS[name])
    lines = [f"## {SERVERS[name]} <!-- {name} -->", ""]
    lines += [f"{version(name)}, {report['tool']}, `{flags}`: **{report['summary']['badge']}**", ""]
    of = {verdict: [c for c in report["checks"] if c["verdict"] == verdict] for verdict in REST}
    lines += ["| fail | the report | by hand |", "|---|---|---|"]
    for check in report["checks"]:
        if check["verdict"] == "fail":
            probe = check["id"].removesuffix(f".{check['mode']}")
            note = known.get(check["id"]) or known[probe]
            lines.append(f"| `{check['id']}` | {_cell(check['reason'])} | {_cell(note)} |")
    for verdict, title in REST.items():
        if of[verdict]:
            lines += ["", f"| {verdict} | {title} |", "|---|---|"]
            lines += [f"| `{c['id']}` | {_cell(c['reason'])} |" for c in of[verdict]]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def version(name: str) -> str:
    """The version of a server, as it is pinned."""
    text = (PINS / f"{name}.txt").read_text(encoding="utf-8").split("source: ")[-1].split()[0]
    if "==" not in text and "@" not in text:
        pins = (PINS / "constraints.txt").read_text(encoding="utf-8").splitlines()
        text = next(line for line in pins if line.startswith(f"{text}=="))
    return text.replace("==", " ")


def verdicts_on(page: str, name: str) -> dict[str, str]:
    """The checks that the page has of a server, and their verdicts."""
    _, _, rest = page.partition(f"<!-- {name} -->")
    verdicts, verdict = {}, ""
    for line in rest.partition("\n## ")[0].splitlines():
        if row := re.match(r"\| `([^`]+)` \|", line):
            verdicts[row[1]] = verdict
        elif head := re.match(r"\| ([a-z-]+) \|", line):
            verdict = head[1]
    return verdicts


def main(arguments: list[str]) -> None:
    if arguments[0] == "run":
        name, folder = arguments[1], Path(arguments[2])
        with real_servers.running(name, folder / f"{name}.log") as url:
            conform(name, url, folder)
        return
    reports = {Path(path).stem: json.loads(Path(path).read_text()) for path in arguments}
    head, _, _ = PAGE.read_text(encoding="utf-8").partition("\n## ")
    sections = [section(name, reports[name]) for name in SERVERS]
    PAGE.write_text("\n\n".join([head.rstrip(), *sections]).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
