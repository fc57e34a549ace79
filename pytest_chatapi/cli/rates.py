"""``chatapi check --rates``: logs of many exchanges, judged by how often each finding occurs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_chatapi import output
from pytest_chatapi.config.checker import Checker
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ReadError, SettingError

if TYPE_CHECKING:
    from pytest_chatapi.logs.files import FilePart, FileTask, State
    from pytest_chatapi.logs.rates import Rates
    from pytest_chatapi.logs.shown import Outcome

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
    """

    checker: Checker
    excluded: Callable[[Path], bool]
    mapping: str | None
    strict: bool
    settings: JSONObject
    shown_name: Callable[[str], str]


def run(arguments: argparse.Namespace, about: Run) -> int:
    """Check the logs, and print the rates.

    Returns:
        0 if no rate is too high, 1 if one is, 2 if something could not be read, or nothing was
        checked.
    """
    from pytest_chatapi.logs.changes import changes_of
    from pytest_chatapi.logs.limits import Limits
    from pytest_chatapi.logs.rows import UNREAD
    from pytest_chatapi.logs.shown import as_json, as_text, write_parquet
    from pytest_chatapi.report import coloured_text, plain, unreadable_lines

    limits = Limits(arguments.max_rate)
    output.require_writable(arguments.output)
    outcome = _outcome(arguments, about)
    outcome.verdicts = limits.verdicts(outcome.rates, "warning" if about.strict else "error")
    outcome.changes = changes_of(outcome.rates)
    if not outcome.rates.rows and not outcome.errors:
        outcome.errors.append(ReadError(arguments.paths[0], "", "nothing was checked"))
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
    from pytest_chatapi.logs.shown import Outcome

    outcome = Outcome(Rates())
    tasks = _tasks(arguments, about, outcome)
    state = None
    if arguments.state:
        drawn = [arguments.sample, arguments.since, arguments.until]
        state = State(arguments.state, {**about.settings, "map": about.mapping, "drawn": drawn})
    waiting: list[FileTask] = []
    versions: dict[str, str] = {}
    for task in tasks:
        if state is not None and task.path != "-":
            known = _known(state, task, versions, outcome)
            if known is not None:
                outcome.rates.add(known)
                outcome.resumed += 1
                continue
        waiting.append(task)
    progress = output.Progress(len(waiting))
    jobs = arguments.jobs or _jobs(waiting)
    shared = [share for task in waiting for share in _shares(task, jobs)]
    done = results(
        shared,
        rates_of_file,
        engine=arguments.engine or "",
        address=arguments.address,
        jobs=min(jobs, len(shared)),
    )
    for task, part in _whole_files(done):
        outcome.rates.add(part.rates)
        outcome.errors += part.errors
        outcome.unread[part.unread] += bool(part.unread)
        if state is not None and task.path in versions and not part.errors and not part.unread:
            state.keep(task.path, versions[task.path], part.rates)
        progress.step()
    progress.clear()
    outcome.unread = +outcome.unread
    outcome.errors.sort(key=lambda error: (error.file, error.place))
    return outcome


def _known(
    state: State, task: FileTask, versions: dict[str, str], outcome: Outcome
) -> Rates | None:
    from pytest_chatapi.logs.sources import version_of

    try:
        # Before the file is read, so that a change during the check is noticed by the next run.
        versions[task.path] = version_of(task.path)
    except ReadError:
        return None  # said when it is read
    return state.known(task.path, versions[task.path])


def _tasks(arguments: argparse.Namespace, about: Run, outcome: Outcome) -> list[FileTask]:
    """A task for each file; what cannot be found is noted in `outcome`."""
    from pytest_chatapi.logs.files import FileTask
    from pytest_chatapi.logs.limits import as_rate

    sample = 1.0
    if arguments.sample is not None:
        sample = as_rate(arguments.sample) or 0.0
        if not sample:
            raise SettingError(f"--sample: {arguments.sample!r} is not a part: use 1% or 0.01")
    since, until = _moment("--since", arguments.since), _moment("--until", arguments.until)
    files: dict[str, bool] = {}
    for path in map(os.fspath, arguments.paths):
        try:
            for file, is_named in _files(path, about, outcome):
                files[file] = is_named or files.get(file, False)
        except ReadError as error:
            outcome.errors.append(error)
    return [
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


def _shares(task: FileTask, jobs: int) -> list[FileTask]:
    """The task; a large file in shares, one for each process."""
    is_large = os.path.isfile(task.path) and os.path.getsize(task.path) > _WORTH_SHARES
    if not is_large:
        return [task]
    return [task._replace(share=(share, jobs)) for share in range(jobs)]


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


# Below this many bytes, starting processes costs more than it saves.
_WORTH_PROCESSES = 32 * 1024 * 1024

# And below this many bytes of a file, so does sharing its rows.
_WORTH_SHARES = 16 * 1024 * 1024


def _jobs(tasks: Iterable[FileTask]) -> int:
    """One process for each processor, if there is enough to do; what is elsewhere is enough."""
    size = 0
    for task in tasks:
        size += os.path.getsize(task.path) if os.path.isfile(task.path) else _WORTH_PROCESSES
    return (os.cpu_count() or 1) if size > _WORTH_PROCESSES else 1
