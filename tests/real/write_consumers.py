"""Write docs/consumers.md from the reports of real runs. Not a test.

write_consumers.py run DIR [NAME ...]     tries the consumers, all without a name; DIR/NAME.json
write_consumers.py DIR                    writes the page
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from conform_runs import KNOWN
from consumer_runs import CONSUMERS, conform_consumer, version

from pytest_chatapi.contract.wording import mask, plural

__all__ = ["failures_on"]

PAGE = Path(__file__).parents[2] / "docs" / "consumers.md"
PIECE = 90  # characters of a piece that is shown
HERE = 160


def known(name: str) -> dict[str, str]:
    """What was found by hand of each failure."""
    file = KNOWN / "consumers" / f"{name}.toml"
    if not file.is_file():
        return {}
    reasons: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["failures"]
    return reasons


def row(name: str, report: Any) -> str:
    failed = sum(check["verdict"] == "fail" for check in report["checks"])
    title = CONSUMERS[name][0]
    title = f"[{title}](#{anchor(title)})" if failed else title
    return (
        f"| {title} | {version(name)} | {report['contract']} | {failed or 'none'} | "
        f"{report['summary']['badge']} |"
    )


def anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def section(name: str, report: Any) -> str:
    """What was found of one consumer; empty if nothing was."""
    title, environment, file, _ = CONSUMERS[name]
    failures = [check for check in report["checks"] if check["verdict"] == "fail"]
    if not failures:
        return ""
    notes = known(name)
    program = "node" if environment == "node" else "python"
    lines = [f"## {title}", "", f"<!-- {name} -->", ""]
    lines += [
        "```sh",
        f"chatapi conform client --keep-alive --only CASE -- {program} {file}",
        "```",
    ]
    lines += ["", "| case | on the wire | what it printed | by hand |", "|---|---|---|---|"]
    for check in failures:
        last = report["exchanges"][check["exchange"][-1]]
        both = check["id"].removesuffix(f".{check['mode']}")
        note = notes.get(check["id"]) or notes.get(both) or "TODO"
        cells = f"`{check['id']}`", wire(last), printed(check["got"]), escape(note)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def wire(exchange: Any) -> str:
    """The first pieces that differ from the plain delivery."""
    before = exchange["wire_before"]
    shown = [f"after {plural(before, 'piece')}:"] if before else []
    for piece in exchange["wire"][:2]:
        text = piece if len(piece) <= PIECE else f"{piece[:22]}...{piece[25 - PIECE :]}"
        shown.append(code(text))
    if exchange["wire_after"] or len(exchange["wire"]) > 2:
        shown.append("...")
    return " ".join([*shown, *([exchange["problem"]] if exchange["problem"] else [])])


def printed(text: str) -> str:
    return code(text if len(text) <= HERE else f"{text[:HERE]}...")


def code(text: str) -> str:
    text = mask(text).replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def failures_on(page: str, name: str) -> set[str]:
    """The cases that the page says a consumer fails."""
    _, _, rest = page.partition(f"<!-- {name} -->")
    return set(re.findall(r"^\| `([^`]+)` \|", rest.partition("\n## ")[0], re.MULTILINE))


def main(arguments: list[str]) -> None:
    if arguments[0] == "run":
        for name in arguments[2:] or CONSUMERS:
            status, report = conform_consumer(name, Path(arguments[1]))
            print(name, status, report["summary"]["badge"])
        return
    reports = {
        name: json.loads((Path(arguments[0]) / f"{name}.json").read_text()) for name in CONSUMERS
    }
    head, _, _ = PAGE.read_text(encoding="utf-8").partition("\n| consumer |")
    table = "| consumer | version | tried on | failures | all cases |\n|---|---|---|---|---|\n"
    table += "\n".join(row(name, report) for name, report in reports.items()) + "\n"
    sections = filter(None, (section(name, report) for name, report in reports.items()))
    PAGE.write_text("\n".join([head.rstrip() + "\n", table, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
