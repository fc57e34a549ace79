"""The command ``chatapi compare``: what changed between two reports of figures."""

from __future__ import annotations

import argparse

from pytest_chatapi import output
from pytest_chatapi.cli.arguments import Commands, add_format

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    parser = commands.add_parser(
        "compare",
        help="what changed between two reports of figures",
        description="Compare two reports, written by pytest --chatapi-report FILE.json or chatapi "
        "figures --format json: tokens, cost, speed, form and scores of the run, of each model and "
        "of each test.",
        epilog="exit status: 0 within the limits, 1 past one of them or not known, 2 could not run",
    )
    parser.add_argument("base", metavar="BASE", help="the report to compare with")
    parser.add_argument("head", metavar="HEAD", help="the new report")
    parser.add_argument(
        "--max-change",
        action="append",
        default=[],
        metavar="FIGURE=LIMIT",
        help="fail if a figure gets worse by more: total_tokens=5%%, findings=0, test:usd=0.01; "
        "may be repeated",
    )
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="do not fail for responses without usage or price, if as many are in both reports",
    )
    add_format(parser, ("text", "json", "markdown"))
    parser.add_argument("-o", "--output", metavar="FILE", help="write the comparison to FILE")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import json

    from pytest_chatapi.figures.compare import compare, exceeded, limit_of
    from pytest_chatapi.figures.compare_formats import markdown_of, text_of
    from pytest_chatapi.figures.report import read_report

    output.require_writable(arguments.output)
    limits = [limit_of(text) for text in arguments.max_change]
    base, head = ((path, read_report(path)) for path in (arguments.base, arguments.head))
    comparison = compare(base, head, limits, allow_unknown=arguments.allow_unknown)
    if arguments.format == "json":
        text = json.dumps(comparison, indent=2, ensure_ascii=False) + "\n"
    else:
        text = (text_of if arguments.format == "text" else markdown_of)(comparison)
    output.show(text, arguments.output)
    return 1 if exceeded(comparison) else 0
