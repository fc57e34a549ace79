"""``chatapi check --rates``: logs of many exchanges, judged by how often each finding occurs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_chatapi import output
from pytest_chatapi.cli.jobs import WORTH_PROCESSES, jobs_for, shares, size_of
from pytest_chatapi.config.checker import Checker
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask, without_secrets
from pytest_chatapi.errors import ReadError, SettingError

if TYPE_CHECKING:
    from pytest_chatapi.logs.files import FilePart, FileTask, State
    from pytest_chatapi.logs.rates import Rates
    from pytest_chatapi.logs.shown import Outcome
    from pytest_chatapi.reading.mapped import Mapped

__all__ = ["FORMATS", "Run", "add_options", "are_wanted", "run"]

FORMATS = ("text", "json", "html", "parquet")
"""Those of the rates."""

_OPTIONS = ("max_rate", "sample", "since", "until", "state", "engine", "address")
_NOT_WITH = ("write_baseline", "statistics", "baseline")


def add_options(check: argparse.ArgumentParser) -> None:
    """Add the options of rates to ``chatapi check``."""
    group = check.add_argument_group(
        "logs of many exchanges", "any of these options asks for rates instead of single findings"
    )
    group.add_argument(
        "--rates",
        action="store_true",
        help="show how often each finding is in the rows, by provider, model and day; as a page "
        "with --format html",
    )
    group.add_argument(
        "--max-rate",
        action="append",
        default=[],
        metavar="[CODE=]RATE",
        help="fail only if more rows than this have a finding, such as U02=0.1%%; may be repeated",
    )
    group.add_argument(
        "--sample", metavar="RATE", help="check this part of the rows, such as 1%%, drawn by hash"
    )
    group.add_argument("--since", metavar="TIME", help="check rows from this date or time on (UTC)")
    group.add_argument("--until", metavar="TIME", help="check rows before this date or time (UTC)")
    group.add_argument(
        "--state", metavar="FILE", help="keep the rates of each file, and go on from those in FILE"
    )
    group.add_argument(
        "--engine", choices=("dask", "ray"), help="check the files on a cluster of Dask or Ray"
    )
    group.add_argument("--address", help="address of the cluster, such as tcp://scheduler:8786")


def are_wanted(arguments: argparse.Namespace) -> bool:
    """Whether the options ask for rates.

    Raises:
        SettingError: one of them excludes it.
    """
    named = [name for name in _OPTIONS if getattr(arguments, name)]
    if not arguments.rates and not named:
        if arguments.format in ("html", "parquet"):
            raise SettingError(f"--format {arguments.format} is for rates: add --rates")
        if url := next((path for path in arguments.paths if "://" in path), None):
            raise SettingError(f"{url}: add --rates, which reads URLs")
        return False
    reason = _flag(named[0]) if named and not arguments.rates else "--rates"
    for name in _NOT_WITH:
        if getattr(arguments, name):
            raise SettingError(f"{_flag(name)} and {reason} cannot be combined")
    if arguments.format not in FORMATS:
        raise SettingError(f"{reason} has no format {arguments.format}: use {', '.join(FORMATS)}")
    if arguments.format == "parquet" and not arguments.output:
        raise SettingError("--format parquet needs a file: add --output FILE")
    if arguments.address and not arguments.engine:
        raise SettingError("--address needs --engine dask or --engine ray")
    return True


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


class Run(NamedTuple):
    """What the settings of a run say.

    Attributes:
        excluded: whether a file is not to be read.
        strict: warnings count as errors.
        settings: all that decides what is found, for the state.
        shown_name: a path as reports have it.
        idle: an error for each path of the mapping that has found nothing anywhere.
    """

    checker: Checker
    excluded: Callable[[Path], bool]
    mapping: str | None
    strict: bool
    settings: JSONObject
    shown_name: Callable[[str], str]
    idle: Callable[[Mapped], list[ReadError]]


def run(arguments: argparse.Namespace, about: Run) -> int:
    """Check the logs, and print the rates.

    Returns:
        0 if no rate is too high, 1 if one is, 2 if something could not be read, or nothing was
        checked.
    """
    from pytest_chatapi.logs.changes import changes_of
    from pytest_chatapi.logs.limits import Limits
    from pytest_chatapi.logs.rows import UNREAD
    from pytest_chatapi.logs.shown import NOTHING, as_json, as_text, write_parquet
    from pytest_chatapi.report import coloured_text, plain, unreadable_lines

    limits = Limits(arguments.max_rate)
    if code := next(filter(about.checker.leaves_out, limits.codes), None):
        raise SettingError(
            f"--max-rate {code}: the settings for select and ignore leave {code} out"
        )
    output.require_writable(arguments.output)
    outcome = _outcome(arguments, about)
    # The URL of an object may be signed.
    outcome.errors = [
        ReadError(without_secrets(e.file), e.place, mask(e.reason)) for e in outcome.errors
    ]
    outcome.verdicts = limits.verdicts(outcome.rates, "warning" if about.strict else "error")
    outcome.changes = changes_of(outcome.rates)
    if not (outcome.rates.rows or outcome.errors or arguments.allow_unchecked):
        reason = f"{NOTHING}: all rows were left out" if outcome.rates.left_out else NOTHING
        outcome.errors.append(ReadError(arguments.paths[0], "", reason))
    if arguments.format == "parquet":
        write_parquet(outcome, arguments.output)
    elif arguments.format == "json":
        output.show(as_json(outcome), arguments.output)
    elif arguments.format == "html":
        from pytest_chatapi.logs.page import page

        output.show(page(outcome), arguments.output)
    else:
        is_coloured = output.wants_colour(arguments.output)
        paint = coloured_text if is_coloured else plain
        output.show(as_text(outcome, paint, notes=bool(arguments.select)), arguments.output)
    for line in unreadable_lines(outcome.errors):
        print(f"chatapi: {line}", file=sys.stderr)
    if outcome.errors or any(verdict.code == UNREAD for verdict in outcome.failing):
        return 2
    return int(bool(outcome.failing))


def _outcome(arguments: argparse.Namespace, about: Run) -> Outcome:
    from pytest_chatapi.logs.engines import results
    from pytest_chatapi.logs.files import State, rates_of_file
    from pytest_chatapi.logs.rates import Rates
    from pytest_chatapi.logs.shown import NOTHING, Outcome

    outcome = Outcome(Rates())
    named, tasks = _tasks(arguments, about, outcome)
    with_rows: set[str] = set()
    state = None
    if arguments.state:
        drawn = [arguments.sample, arguments.since, arguments.until]
        state = State(arguments.state, {**about.settings, "map": about.mapping, "drawn": drawn})
    waiting: list[FileTask] = []
    versions: dict[str, str] = {}
    for task in tasks:
        if state is not None and task.path != "-":
            known = _known(state, task, versions)
            if known is not None:
                outcome.rates.add(known)
                outcome.resumed += 1
                if _has_rows(known):
                    with_rows.add(task.path)
                continue
        waiting.append(task)
    progress = output.Progress(len(waiting))
    # What is elsewhere is enough for all processors.
    jobs = arguments.jobs or jobs_for(size_of(task.path, WORTH_PROCESSES) for task in waiting)
    shared = [task._replace(share=share) for task in waiting for share in shares(task.path, jobs)]
    done = results(
        shared,
        rates_of_file,
        engine=arguments.engine or "",
        address=arguments.address,
        jobs=min(jobs, len(shared)),
    )
    for task, part in _whole_files(done):
        outcome.rates.add(part.rates)
        if part.errors or _has_rows(part.rates):
            with_rows.add(task.path)
        outcome.errors += part.errors
        outcome.unread[part.unread] += bool(part.unread)
        if state is not None and task.path in versions and not part.errors and not part.unread:
            state.keep(task.path, versions[task.path], part.rates)
        progress.step()
    progress.clear()
    if not arguments.allow_unchecked:
        outcome.errors += [
            ReadError(path, "", NOTHING)
            for path, files in named.items()
            if with_rows.isdisjoint(files)
        ]
        if arguments.sample is None:  # what was not drawn may have it
            outcome.errors += about.idle(outcome.rates.mapped)
    outcome.unread = +outcome.unread
    outcome.errors.sort(key=lambda error: (error.file, error.place))
    return outcome


def _has_rows(rates: Rates) -> bool:
    """Whether rows were checked, cannot be read, or were not asked for."""
    return bool(rates.rows or rates.unread or rates.left_out)


def _known(state: State, task: FileTask, versions: dict[str, str]) -> Rates | None:
    from pytest_chatapi.logs.sources import version_of

    try:
        # Before the file is read, so that a change during the check is noticed by the next run.
        versions[task.path] = version_of(task.path)
    except ReadError:
        return None  # said when it is read
    return state.known(task.path, versions[task.path])


def _tasks(
    arguments: argparse.Namespace, about: Run, outcome: Outcome
) -> tuple[dict[str, list[str]], list[FileTask]]:
    """The files of each path, and a task for each file; what cannot be found is noted in
    `outcome`.
    """
    from pytest_chatapi.logs.files import FileTask
    from pytest_chatapi.logs.limits import as_rate

    sample = 1.0
    if arguments.sample is not None:
        sample = as_rate(arguments.sample) or 0.0
        if not sample:
            raise SettingError(f"--sample: {arguments.sample!r} is not a part: use 1% or 0.01")
    since, until = _moment("--since", arguments.since), _moment("--until", arguments.until)
    if since is not None and until is not None and since >= until:
        raise SettingError("--until: it has to be later than --since")
    files: dict[str, bool] = {}
    named: dict[str, list[str]] = {}
    spelled: dict[str, str] = {}  # a file may be named in two ways, or linked to
    for path in dict.fromkeys(map(os.fspath, arguments.paths)):
        errors = len(outcome.errors)
        of_path = []
        try:
            for found, is_named in _files(path, about, outcome):
                is_local = os.path.isfile(found)
                file = spelled.setdefault(os.path.realpath(found), found) if is_local else found
                files[file] = is_named or files.get(file, False)
                of_path.append(file)
        except ReadError as error:
            outcome.errors.append(error)
        if len(outcome.errors) == errors:
            named[path] = of_path
    return named, [
        FileTask(
            file,
            "<stdin>" if file == "-" else without_secrets(about.shown_name(file)),
            is_named and not arguments.allow_unchecked,
            about.checker,
            about.mapping,
            sample,
            since,
            until,
        )
        for file, is_named in files.items()
    ]


def _files(path: str, about: Run, outcome: Outcome) -> Iterator[tuple[str, bool]]:
    """The files of a path, and whether it names them."""
    from pytest_chatapi.logs.sources import expanded, is_url
    from pytest_chatapi.reading.find import find

    if is_url(path):
        urls, others = expanded(path)
        outcome.unread["with another ending"] += others
        yield from ((url, url == path) for url in urls)
        return
    is_named = path == "-" or os.path.isfile(path)
    other: list[Path] = []
    for file in find([path], outcome.errors.append, other.append):
        if not is_named and about.excluded(file):
            outcome.unread["excluded"] += 1
        else:
            yield str(file), is_named
    outcome.unread["with another ending"] += sum(not about.excluded(file) for file in other)


def _whole_files(
    done: Iterable[tuple[FileTask, FilePart]],
) -> Iterator[tuple[FileTask, FilePart]]:
    """The result of each file, once all of its shares are done."""
    from pytest_chatapi.logs.files import joined

    parts: dict[str, list[FilePart]] = {}
    for task, part in done:
        of_file = parts.setdefault(task.path, [])
        of_file.append(part)
        if len(of_file) == task.share[1]:
            yield task, joined(parts.pop(task.path))


def _moment(option: str, text: str | None) -> float | None:
    from pytest_chatapi.logs.rows import time_of

    seconds = time_of(text)
    if text is not None and seconds is None:
        raise SettingError(
            f"{option}: {text!r} is not a date or time: use 2026-11-03 or 2026-11-03T06:00Z"
        )
    return seconds
