"""The command ``chatapi check``: recorded traffic in, a report out."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_chatapi.cli.arguments import Commands, add_format, whole_number
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.findings import at_least
from pytest_chatapi.contract.profiles import PROFILES
from pytest_chatapi.contract.selection import parse_date, selects
from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ReadError
from pytest_chatapi.report import (
    FORMATS,
    Options,
    Report,
    found_instead,
    render,
    statistics_text,
)

if TYPE_CHECKING:
    from pytest_chatapi.reading.mapping import Mapping

__all__ = ["add_to"]

# Below this many bytes of input, starting processes costs more than it saves.
_WORTH_PROCESSES = 32 * 1024 * 1024

# Fewer files are checked before anybody could read a progress bar.
_WORTH_PROGRESS = 21


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    check = commands.add_parser(
        "check",
        help="check recorded traffic against the contract",
        description="Check recorded traffic against the Chat Completions contract: cassettes of "
        "vcrpy and cassetter, HAR, JSONL, raw JSON and SSE bodies. The format is detected from "
        "the content.",
        epilog="exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 unreadable "
        "input, a path in which nothing was checked, or bad usage",
    )
    check.add_argument(
        "paths", nargs="+", metavar="PATH", help="a file, folder or glob pattern, or - for stdin"
    )
    add_format(check, FORMATS)
    check.add_argument(
        "--map",
        metavar="MAPPING",
        help="where request and response are in other JSON, e.g. request=$.input,response=$.output",
    )
    check.add_argument("-o", "--output", metavar="FILE", help="write the report to FILE")
    check.add_argument(
        "--profile", choices=PROFILES, help="use this profile (default: chosen by host)"
    )
    check.add_argument(
        "--as-of", metavar="DATE", help="use the contract as of this date (YYYY-MM-DD)"
    )
    check.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="CODE[:PATH]",
        help="ignore these findings, e.g. S10 or U02:$.usage.total_tokens; may be repeated",
    )
    check.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="CODE[:PATH]",
        help="report only these findings; a single letter selects a whole family",
    )
    check.add_argument("--strict", action="store_true", help="fail on warnings, too")
    check.add_argument(
        "--jobs",
        type=whole_number("a number of processes", least=1),
        metavar="N",
        help="number of processes (default: by the size of the input)",
    )
    check.add_argument(
        "--allow-unchecked",
        action="store_true",
        help="do not fail for a path in which nothing was checked; for lists of changed files",
    )
    check.add_argument("--statistics", action="store_true", help="count findings by rule")
    check.set_defaults(run=_run)


class _Task(NamedTuple):
    """What a process needs to check one file. Crosses a process border, so it holds plain data.

    Attributes:
        named: the user named this file, instead of a folder that it is in.
        titles: the report needs the title of each exchange, see `Report.cases`.
        mapping: where exchanges are in JSON of an unknown format, see `reading.mapping`.
    """

    path: str
    named: bool
    profile: str | None
    as_of: str | None
    ignore: list[str]
    select: list[str]
    titles: bool
    mapping: str | None


def _run(arguments: argparse.Namespace) -> int:
    report = Report()
    paths, tasks = _tasks(arguments, report.unreadable)
    progress = _Progress(len(tasks))
    named_by: dict[str, list[_Path]] = {}
    for path in paths:
        for file in path.files:
            named_by.setdefault(file, []).append(path)
    for task, part in zip(tasks, _results(tasks, arguments.jobs), strict=True):
        report.add(part)
        for path in named_by[task.path]:
            path.add(part)
        progress.step()
    progress.clear()
    for path in paths:
        report.unread += path.others
        if not arguments.allow_unchecked:
            report.unreadable += path.nothing_checked()
    # Parts of a damaged file are quoted.
    report.unreadable = [
        ReadError(e.file, e.place, without_secrets(e.reason)) for e in report.unreadable
    ]
    for error in report.unreadable:
        print(f"chatapi: {error}", file=sys.stderr)
    _print(report, arguments)
    if report.unreadable:
        return 2
    failing = at_least("warning" if arguments.strict else "error")
    return int(any(finding.level in failing for finding in report.findings))


class _Path:
    """A path that was named, and what was found there.

    Attributes:
        files: those to read.
        others: number of files in the folder that are not looked into, by the reason.
    """

    def __init__(self, path: str) -> None:
        from pytest_chatapi.reading.find import find

        self.name = path
        self.errors: list[ReadError] = []
        self.others: Counter[str] = Counter()
        self._found = Report()
        files = find([path], self.errors.append, lambda _: self.others.update(_OTHER_ENDING))
        self.files = dict.fromkeys(map(str, files))
        self._failed = bool(self.errors)

    def add(self, part: Report) -> None:
        """Take note of what is in one of the files."""
        self._found.exchanges += part.exchanges
        self._found.skipped += part.skipped
        self._found.unread += part.unread
        self._failed = self._failed or bool(part.unreadable)

    def nothing_checked(self) -> Iterator[ReadError]:
        """Yield what was found instead, where nothing was checked and no error says why."""
        if not self._found.exchanges and not self._failed:
            self._found.unread += self.others
            name = "<stdin>" if self.name == "-" else self.name
            yield ReadError(name, "", f"nothing was checked: {found_instead(self._found)}")


_OTHER_ENDING = ("with another ending",)


def _tasks(
    arguments: argparse.Namespace, unreadable: list[ReadError]
) -> tuple[list[_Path], list[_Task]]:
    """Return what was named, and one task for each file.

    Wrong settings are refused before any work is done.
    """
    parse_date(arguments.as_of)
    ignore, select = _split(arguments.ignore), _split(arguments.select)
    selects(ignore), selects(select)
    _mapping(arguments.map)
    named = {os.fspath(path) for path in arguments.paths}
    paths = [_Path(path) for path in dict.fromkeys(map(os.fspath, arguments.paths))]
    for path in paths:
        unreadable += path.errors
    files = dict.fromkeys(file for path in paths for file in path.files)
    return paths, [
        _Task(
            file,
            file in named and not arguments.allow_unchecked,
            arguments.profile,
            arguments.as_of,
            ignore,
            select,
            arguments.format == "junit",
            arguments.map,
        )
        for file in files
    ]


def _split(values: Iterable[str]) -> list[str]:
    return [part for value in values for part in value.split(",") if part.strip()]


def _mapping(text: str | None) -> Mapping | None:
    from pytest_chatapi.reading.mapping import Mapping

    return None if text is None else Mapping(text)


# -- checking ----------------------------------------------------------------------------


def _results(tasks: list[_Task], jobs: int | None) -> Iterator[Report]:
    if jobs is None:
        size = sum(os.path.getsize(task.path) for task in tasks if os.path.isfile(task.path))
        jobs = (os.cpu_count() or 1) if size > _WORTH_PROCESSES else 1
    jobs = min(jobs, len(tasks))
    return map(_check_file, tasks) if jobs < 2 else _in_processes(tasks, jobs)


def _in_processes(tasks: list[_Task], jobs: int) -> Iterator[Report]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_check_file, tasks, chunksize=max(1, len(tasks) // (jobs * 8)))


def _check_file(task: _Task) -> Report:
    from pytest_chatapi.contract.titles import title_of
    from pytest_chatapi.reading.reader import NotARecording, read_file

    report = Report(files=1)
    errors = report.unreadable
    ignore, select = selects(task.ignore), selects(task.select)
    for exchange in read_file(task.path, errors.append, mapping=_mapping(task.mapping)):
        try:
            result = check_exchange(
                exchange, task.profile, as_of=task.as_of, ignore=ignore, select=select
            )
        except ReadError as error:  # a large body is read from disk during the check
            errors.append(error)
            report.exchanges += 1
            continue
        report.count(exchange, result.api if result.kind is None else "")
        if result.kind is None:
            continue
        report.findings += result.findings
        if task.titles and exchange.source is not None:
            report.cases.append((exchange.source.file, exchange.source.index, title_of(exchange)))
    other = next((error for error in errors if isinstance(error, NotARecording)), None)
    if other is not None and not task.named:
        # A folder may hold other files, too.
        return Report(unread=Counter([other.kind]))
    if not report.exchanges and not report.skipped and not errors:
        return Report(unread=Counter(["without an exchange"]))
    return report


# -- the report --------------------------------------------------------------------------


def _print(report: Report, arguments: argparse.Namespace) -> None:
    options = Options(
        strict=arguments.strict,
        notes=bool(_split(arguments.select)),
        statistics=arguments.statistics,
        coloured=arguments.output is None and _wants_colour(),
    )
    text = render(report, arguments.format, options)
    if arguments.output is None:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    else:
        _write(Path(arguments.output), text)
    if arguments.statistics and arguments.format != "text":
        print(statistics_text(report), file=sys.stderr)


def _write(path: Path, text: str) -> None:
    # Written beside the target and renamed, so that a report is there completely or not at all.
    if not path.name or path.is_dir():
        raise ReadError(str(path), "", "cannot be written: it is a folder, name a file in it")
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ReadError(str(path), "", f"cannot be written: {error.strerror}") from None


def _wants_colour() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


class _Progress:
    """A bar on standard error, shown only if both streams are terminals."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = total >= _WORTH_PROGRESS and sys.stderr.isatty() and sys.stdout.isatty()

    def step(self) -> None:
        self._done += 1
        if self._shown:
            filled = self._done * 30 // self._total
            bar = "=" * filled + " " * (30 - filled)
            sys.stderr.write(f"\r[{bar}] {self._done}/{self._total} files")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
