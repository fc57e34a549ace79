"""The report of a run: what ``--chatapi-report`` writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_chatapi import output
from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ReadError
from pytest_chatapi.figures.report import report_of

if TYPE_CHECKING:
    from pytest_chatapi.plugin.run import Run

__all__ = ["check_files", "write_report"]

_SUFFIXES = (".json", ".html")


def check_files(files: Sequence[str]) -> None:
    """Stop before anything is run if a report could not be written.

    Raises:
        pytest.UsageError: in one line, why.
    """
    for file in files:
        if Path(file).suffix.lower() not in _SUFFIXES:
            name = without_secrets(file)
            raise pytest.UsageError(f"--chatapi-report {name}: the name must end in .json or .html")
        try:
            output.require_writable(file)
        except ReadError as error:
            raise pytest.UsageError(f"--chatapi-report {error}") from None


def write_report(run: Run, outcomes: Mapping[str, str]) -> Iterator[str]:
    """Write the files; yields what went wrong, a line for each.

    Args:
        outcomes: of the tests, by node id.
    """
    tallies = list(run.tallies.values())
    report = report_of(
        (figures for tally in tallies for figures in tally.figures),
        run.prices,
        {
            "kind": "pytest",
            "started": run.since,
            "skipped": dict(sum((tally.others for tally in tallies), Counter[str]())),
        },
        {tally.test: outcomes.get(nodeid, "") for nodeid, tally in run.tallies.items()},
        [score for tally in tallies for score in tally.scores],
    )
    for file in run.report_files:
        if Path(file).suffix.lower() == ".json":
            text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        else:
            from pytest_chatapi.figures.page import page

            text = page([(Path(file).stem, report)])
        try:
            output.write(file, text)
        except ReadError as error:
            yield f"report not written: {error}"
