"""The command ``chatapi figures``: what exchanges took and cost, by model."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_chatapi import output
from pytest_chatapi.cli.arguments import Commands, add_format
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask, without_secrets

if TYPE_CHECKING:
    from pytest_chatapi.config.file import Configuration
    from pytest_chatapi.errors import ReadError
    from pytest_chatapi.figures.price import Prices

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    parser = commands.add_parser(
        "figures",
        help="tokens, speed and cost of recordings",
        description="Show what recorded exchanges took and cost: tokens as reported, seconds as "
        "recorded, cost by the response, by [tool.chatapi.prices] or by list price (extra "
        "`cost`). What is not known is left blank.",
        epilog="exit status: 0; 2 if input cannot be read or holds no chat completions",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a recording, or - for one on stdin; a report of figures in JSON; a folder or glob "
        "pattern",
    )
    add_format(parser, _FORMATS)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the report to FILE")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.config.file import find
    from pytest_chatapi.errors import ReadError
    from pytest_chatapi.figures.price import Prices
    from pytest_chatapi.report import unreadable_lines

    output.require_writable(arguments.output)
    settings = find(os.getcwd())
    prices = Prices.of(settings.values)
    errors: list[ReadError] = []
    reports = _reports(arguments.paths, settings, prices, errors)
    is_empty = not any(report["exchanges"] for _, report in reports)
    if is_empty and not errors:
        errors.append(ReadError(arguments.paths[0], "", "holds no chat completions"))
    output.show(_FORMATS[arguments.format](reports, prices), arguments.output)
    for line in unreadable_lines(errors):
        print(f"chatapi: {without_secrets(line)}", file=sys.stderr)
    return 2 if errors else 0


# -- reading -------------------------------------------------------------------------------------

_IS_REPORT = re.compile(rb'\s*\{\s*"version"\s*:[^,]*,\s*"run"\s*:')
_MAY_BE_REPORT = re.compile(
    rb'\s*\{\s*"(?:accounts|exchanges|models|run|streams|tests|version)"\s*:'
)


def _reports(
    paths: Sequence[str], settings: Configuration, prices: Prices, errors: list[ReadError]
) -> list[tuple[str, JSONObject]]:
    """The name and content of each report that is named, after one of all recordings."""
    from pytest_chatapi.config.checker import Checker, Globs
    from pytest_chatapi.errors import ReadError
    from pytest_chatapi.figures.frames import Frames
    from pytest_chatapi.figures.measure import Figures, figures_of
    from pytest_chatapi.figures.report import EXCLUDED, OTHER_ENDING, read_report, report_of
    from pytest_chatapi.reading.find import find
    from pytest_chatapi.reading.mapping import Mapping
    from pytest_chatapi.reading.reader import NotARecording, read_file

    values = settings.values
    checker, frames = Checker(settings, ignore=values.get("ignore", ())), Frames()
    is_excluded = Globs(values.get("exclude", ()), settings.folder)
    mapping = Mapping(values["map"]) if values.get("map") else None
    found: list[Figures] = []
    skipped: Counter[str] = Counter()
    unread: list[JSONObject] = []
    reports: list[tuple[str, JSONObject]] = []

    def failed(error: ReadError) -> None:
        is_other = isinstance(error, NotARecording) and error.file not in paths
        if not is_other:
            errors.append(error)
        place = f"{error.place}: " if error.place else ""
        unread.append({"file": error.file, "why": without_secrets(place + error.reason)})

    def passed_over(path: os.PathLike[str], why: str) -> None:
        unread.append({"file": os.fspath(path), "why": why})

    for path in find(paths, failed, lambda path: passed_over(path, OTHER_ENDING)):
        name = str(path)
        if name not in paths and is_excluded(path):
            passed_over(path, EXCLUDED)
            continue
        if _is_report(name):
            try:
                reports.append((name, read_report(name)))
            except ReadError as error:
                failed(error)
            continue
        kept = checker.keeper(name)
        for exchange in read_file(name, failed, mapping=mapping):
            try:
                checked = checker.check(exchange)
            except ReadError as error:  # a large body is read from disk during the check
                failed(error)
                continue
            if checked.kind != "chat":
                skipped[checked.api] += 1
                continue
            findings = frames.of(exchange, kept(checked.findings))
            one = figures_of(exchange, "recorded", checked=checked, findings=findings)
            found.append(one.masked(mask))
    if found or skipped or unread or not reports:
        run = {"kind": "recordings", "skipped": skipped, "unread": unread}
        reports.insert(0, ("recordings", report_of(found, prices, run)))
    return reports


def _is_report(path: str) -> bool:
    from pytest_chatapi.figures.report import is_report

    try:
        with open(path, "rb") as file:
            start = file.read(200)
            if _IS_REPORT.match(start):
                return True
            if not _MAY_BE_REPORT.match(start) or b'"interactions"' in start:
                return False  # recordings are not read twice
            file.seek(0)
            return is_report(json.load(file))  # another tool has sorted it
    except (OSError, ValueError, RecursionError):
        return False


# -- formats -------------------------------------------------------------------------------------

_Reports = Sequence[tuple[str, JSONObject]]


def _one(reports: _Reports, prices: Prices) -> JSONObject:
    from pytest_chatapi.figures.report import merged

    return reports[0][1] if len(reports) == 1 else merged([report for _, report in reports], prices)


def _json(reports: _Reports, prices: Prices) -> str:
    return json.dumps(_one(reports, prices), indent=2) + "\n"


def _text(reports: _Reports, prices: Prices) -> str:
    from pytest_chatapi.figures.text import text_of

    return text_of(_one(reports, prices))


def _html(reports: _Reports, prices: Prices) -> str:
    from pytest_chatapi.figures.page import page

    names = output.short_names([name for name, _ in reports])
    return page([(name, report) for name, (_, report) in zip(names, reports, strict=True)])


_FORMATS: dict[str, Callable[[_Reports, Prices], str]] = {
    "text": _text,
    "json": _json,
    "html": _html,
}
