"""The command ``chatapi figures``: what recorded exchanges took and cost, by model."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_chatapi.cli.arguments import Commands, add_format
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import plural, without_secrets

if TYPE_CHECKING:
    from pytest_chatapi.figures.measure import Figures
    from pytest_chatapi.figures.summary import Group

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    parser = commands.add_parser(
        "figures",
        help="tokens, speed and cost of recordings",
        description="Show what recorded exchanges took and cost: tokens as reported, seconds as "
        "recorded, cost by the response or by list price (extra `cost`). What is not known is "
        "left blank.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a recording, or a folder of them")
    add_format(parser, ("text", "json"))
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.contract.endpoint import checked_row_of
    from pytest_chatapi.errors import ReadError
    from pytest_chatapi.figures.measure import figures_of
    from pytest_chatapi.figures.price import Prices
    from pytest_chatapi.figures.summary import Priced, by_model
    from pytest_chatapi.reading.find import find
    from pytest_chatapi.reading.reader import read_file
    from pytest_chatapi.reading.registry import NotARecording

    errors: list[ReadError] = []
    found: list[Figures] = []
    skipped: Counter[str] = Counter()
    for file in find(arguments.paths, errors.append):
        for exchange in read_file(file, errors.append):
            row = checked_row_of(exchange)
            if row.name != "chat":
                skipped[row.name] += 1
            else:
                found.append(figures_of(exchange, "recorded"))
    errors = [one for one in errors if not isinstance(one, NotARecording)]
    if not found and not errors:
        errors.append(ReadError(arguments.paths[0], "", "holds no chat completions"))
    prices = Prices()
    groups = by_model(Priced(one, prices.cost(one)) for one in found)
    if arguments.format == "json":
        data = {"version": 1, "models": [group.to_json() for group in groups]}
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    elif found:
        sys.stdout.write(_text(groups, found, skipped))
    for error in errors:
        print(f"chatapi: {without_secrets(str(error))}", file=sys.stderr)
    return 2 if errors or not found else 0


def _text(groups: Sequence[Group], found: Sequence[Figures], skipped: Counter[str]) -> str:
    lines = [
        f"{'model':<26}{'calls':>6}{'prompt':>10}{'completion':>11}{'USD':>9}"
        f"{'first token':>12}{'tok/s':>6}"
    ]
    for group in groups:
        data = group.to_json()
        lines.append(
            f"{group.name[:25]:<26}{len(group.exchanges):>6}{_whole(data['prompt_tokens']):>10}"
            f"{_whole(data['completion_tokens']):>11}{_usd(group.usd):>9}"
            f"{_seconds(data['ttft_seconds']):>12}{_speed(data['tokens_per_second']):>6}".rstrip()
        )
    lines.append("")
    unreported = sum(group.unreported for group in groups)
    if unreported:
        lines.append(f"{plural(unreported, 'response')} reported no usage")
    unpriced = sum(group.unpriced for group in groups)
    if unpriced:
        lines.append(f"{plural(unpriced, 'response')} at an unknown price")
    if skipped:
        total = sum(skipped.values())
        kinds = ", ".join(f"{count} {name}" for name, count in skipped.most_common())
        lines.append(f"{plural(total, 'exchange')} skipped: {kinds}")
    lines.append(f"{plural(len(found), 'exchange')} of {plural(len(groups), 'model')}")
    return "\n".join(lines) + "\n"


def _whole(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _usd(usd: float | None) -> str:
    return "" if usd is None else f"{usd:.4f}" if usd >= 0.0001 or not usd else "<0.0001"


def _seconds(spread: JSONObject | None) -> str:
    return "" if spread is None else f"{spread['median']:.2f} s"


def _speed(spread: JSONObject | None) -> str:
    return "" if spread is None else f"{spread['median']:.0f}"
