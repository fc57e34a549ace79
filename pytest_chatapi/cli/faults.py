"""The command ``chatapi faults``: the catalogue of faults, as a list or as documentation."""

from __future__ import annotations

import argparse
import sys
import textwrap

from pytest_chatapi.cli.arguments import Commands, add_format

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    faults = commands.add_parser(
        "faults",
        help="list the available faults",
        description="List the faults that chatapi.inject(), chatapi serve --fault and "
        "@pytest.mark.chatapi_faults accept: all of them, or the named ones.",
    )
    faults.add_argument("names", nargs="*", metavar="NAME", help="a fault or a set of faults")
    add_format(faults, ("text", "markdown"))
    faults.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.faults import SETS, parse, table

    if arguments.format == "markdown":
        sys.stdout.write(table())
        return 0
    named = arguments.names or [*SETS]
    summaries = {fault.name: fault.summary for name in named for fault in parse(name)}
    width = max(map(len, summaries)) + 2
    for name, summary in summaries.items():
        lines = textwrap.fill(
            summary, 80, initial_indent=f"{name:<{width}}", subsequent_indent=" " * width
        )
        sys.stdout.write(f"{lines}\n")
    return 0
