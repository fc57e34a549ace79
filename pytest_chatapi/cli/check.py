"""The command ``chatapi check``: recorded traffic in, a report out."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_chatapi import output
from pytest_chatapi.cli import rates
from pytest_chatapi.cli.arguments import Commands, add_format, whole_number
from pytest_chatapi.cli.jobs import jobs_for, shares, size_of
from pytest_chatapi.config.baseline import DEFAULT_NAME, Baseline, compare, key_of
from pytest_chatapi.config.checker import Checker, Globs
from pytest_chatapi.config.file import FILE_KEYS, Configuration, find, read, shown_path
from pytest_chatapi.config.options import ROWS, Setting
from pytest_chatapi.contract.findings import Finding, at_least
from pytest_chatapi.contract.wording import mask, plural, without_secrets
from pytest_chatapi.errors import KILLED, ReadError, SettingError
from pytest_chatapi.report import (
    FORMATS,
    Options,
    Report,
    found_instead,
    render,
    statistics_text,
    unreadable_lines,
)

if TYPE_CHECKING:
    from pytest_chatapi.reading import mapping
    from pytest_chatapi.reading.mapped import Mapped

__all__ = ["add_to"]

_OPTIONS = {name: row for name, row in ROWS.items() if row.option}


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    check = commands.add_parser(
        "check",
        help="check recorded traffic against the contract",
        description="Check recorded traffic against the Chat Completions contract: cassettes of "
        "vcrpy and cassetter, HAR, JSONL, raw JSON and SSE bodies. The format is detected from "
        "the content.",
        epilog="exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 unreadable "
        "input, a path in which nothing was checked, one of --map that leads to nothing, or bad "
        "usage",
    )
    check.add_argument(
        "paths", nargs="*", metavar="PATH", help="a file, folder or glob pattern, or - for stdin"
    )
    add_format(check, [*FORMATS, "html", "parquet"])
    check.add_argument("-o", "--output", metavar="FILE", help="write the report to FILE")
    for row in _OPTIONS.values():
        _add_option(check, row)
    check.add_argument(
        "--write-baseline",
        action="store_true",
        help=f"write the findings to the baseline (default: {DEFAULT_NAME})",
    )
    check.add_argument(
        "--jobs",
        type=whole_number("a number of processes", least=1),
        metavar="N",
        help="number of processes (default: by the size of the input)",
    )
    check.add_argument(
        "--allow-unchecked",
        action="store_true",
        help="do not fail for a path in which nothing was checked, or one of --map that leads to "
        "nothing; for lists of changed files",
    )
    check.add_argument("--statistics", action="store_true", help="count findings by rule")
    rates.add_options(check)
    where = check.add_mutually_exclusive_group()
    where.add_argument(
        "--config",
        metavar="FILE",
        help="read the settings from FILE, instead of the nearest chatapi.toml, or pyproject.toml "
        "with [tool.chatapi]",
    )
    where.add_argument("--isolated", action="store_true", help="read no settings file")
    check.add_argument(
        "--show-settings",
        action="store_true",
        help="show the settings and where each is set, and check nothing",
    )
    check.set_defaults(refuse=check.error)
    check.set_defaults(run=_run)


def _add_option(check: argparse.ArgumentParser, row: Setting) -> None:
    """Add the option of a setting; a value that is not given is ``None``."""
    text = row.help
    if row.shown and row.shown not in text:
        text += f" (default: {row.shown})"
    if isinstance(row.default, bool):
        check.add_argument(row.option, action="store_true", default=None, help=text)
    elif isinstance(row.default, tuple):
        check.add_argument(
            row.option, action="append", metavar=row.metavar, help=f"{text}; may be repeated"
        )
    else:
        check.add_argument(row.option, metavar=row.metavar, help=text)


class _Settings(NamedTuple):
    """The settings of a run: of the command line, else of the file.

    Attributes:
        file: what the file says.
        options: what the command line says, by the name of the row.
    """

    file: Configuration
    options: dict[str, Any]

    def get(self, name: str) -> Any:
        """The value that wins, or the default."""
        return self.options.get(name, self.file.values.get(name, ROWS[name].default))

    def baseline(self) -> str:
        """The path of the baseline, or ``""``."""
        path = self.file.path("baseline")
        return self.options.get("baseline") or (shown_path(path) if path else "")

    def excluded(self) -> Globs:
        """The files not to read; the command line's are relative to the working directory."""
        if "exclude" in self.options:
            return Globs(self.options["exclude"], os.getcwd())
        return Globs(self.file.values.get("exclude", ()), self.file.folder)

    def checker(self) -> Checker:
        options = self.options
        return Checker(
            self.file,
            profile=options.get("profile"),
            as_of=options.get("as_of"),
            ignore=self.ignored(),
            select=options.get("select", ()),
        )

    def ignored(self) -> list[str]:
        """The findings to ignore: those of the file, unless the command line selects, and those of
        the command line.
        """
        of_file = () if "select" in self.options else self.file.values.get("ignore", ())
        return [*of_file, *self.options.get("ignore", ())]


def _settings(arguments: argparse.Namespace) -> _Settings:
    """Read the file of settings, and validate the options.

    Raises:
        SettingError: one of them is wrong.
    """
    if arguments.config is not None:
        file = read(arguments.config)
    else:
        file = Configuration() if arguments.isolated else find(os.getcwd())
    options = {}
    for name, row in _OPTIONS.items():
        value = getattr(arguments, row.option.removeprefix("--").replace("-", "_"))
        if value is None:
            continue
        if row.has_commas:
            value = _split(value)
        if row.check is not None:
            row.check(value)
        options[name] = value
    return _Settings(file, options)


class _Task(NamedTuple):
    """What a process needs to check one file. Crosses a process border, so it holds plain data.

    Attributes:
        named: the user named this file, instead of a folder that it is in.
        titles: the report needs the title of each exchange, see `Report.cases`.
        notes: the report shows each note.
        mapping: where exchanges are in JSON of an unknown format, see `reading.mapping`.
        known: the entries of the baseline for this file.
        share: of its lines, see `RecordedFile`.
    """

    path: str
    named: bool
    checker: Checker
    titles: bool
    notes: bool
    mapping: str | None
    known: Mapping[str, int]
    share: tuple[int, int] = (0, 1)


class _Part(NamedTuple):
    """The report of a file, or of a share of its lines with the number of findings of each
    `key_of`.
    """

    report: Report
    counts: Counter[str]


def _run(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    if arguments.show_settings:
        sys.stdout.write(without_secrets(_shown(settings)))
        return 0
    if not arguments.paths:
        arguments.refuse("the following arguments are required: PATH")
    if rates.are_wanted(arguments):
        return rates.run(arguments, _about(settings))
    if arguments.write_baseline and "select" in settings.options:
        raise SettingError("--write-baseline: leave out --select: it would forget all other rules")
    report = Report()
    known_before = _baseline(arguments, settings)
    known = None if arguments.write_baseline else known_before
    checker = settings.checker()
    paths, tasks = _tasks(arguments, settings, checker, known, report.unreadable)
    progress = output.Progress(len(tasks))
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
    if not arguments.allow_unchecked:
        report.unreadable += _idle(settings, report.mapped)
    # Parts of a damaged file are quoted.
    report.unreadable = [ReadError(e.file, e.place, mask(e.reason)) for e in report.unreadable]
    for line in unreadable_lines(report.unreadable):
        print(f"chatapi: {line}", file=sys.stderr)
    if known is not None:
        report.stale += known.missing()
    if arguments.write_baseline and known_before is not None:
        _write_baseline(known_before, [task.path for task in tasks], report)
    strict = settings.get("strict")
    levels = at_least("warning" if strict else "error")
    failing = [finding for finding in report.findings if finding.level in levels]
    for pattern in checker.idle_patterns([task.path for task in tasks], failing):
        place = settings.file.place("per-file-ignores", pattern)
        print(
            f"chatapi: {place}: no file matches {pattern!r}, which is relative to the folder of "
            "that file",
            file=sys.stderr,
        )
    _print(report, arguments, strict)
    return 2 if report.unreadable else int(bool(failing))


# Settings that change nothing about what is found in a row.
_NOT_OF_ROWS = {"strict", "baseline", "exclude"}


def _about(settings: _Settings) -> rates.Run:
    """What rates need to know of the settings."""
    values = {"file": settings.file.values, "options": settings.options}
    return rates.Run(
        settings.checker(),
        settings.excluded(),
        settings.get("map"),
        settings.get("strict"),
        {
            where: {name: value for name, value in of.items() if name not in _NOT_OF_ROWS}
            for where, of in values.items()
        },
        _relative,
        partial(_idle, settings),
    )


def _idle(settings: _Settings, mapped: Mapped) -> list[ReadError]:
    """An error for each path of the mapping that has found nothing anywhere."""
    used, is_option = _mapping(settings.get("map")), "map" in settings.options
    if used is None:
        return []
    file, place = ("", "--map") if is_option else (shown_path(settings.file.file), "map")
    remedy = "correct it, leave it out or let it pass with --allow-unchecked"
    reasons = used.idle(mapped, must_be_used=is_option)
    return [ReadError(file, place, f"{reason}; {remedy}") for reason in reasons]


class _Path:
    """A path that was named, and what was found there.

    Attributes:
        files: those to read.
        others: number of files in the folder that are not looked into, by the reason.
    """

    def __init__(self, path: str, excluded: Globs, baseline: str) -> None:
        from pytest_chatapi.reading.find import find

        self.name = path
        self.errors: list[ReadError] = []
        self.others: Counter[str] = Counter()
        self._found = Report()
        is_named = path == "-" or os.path.isfile(path)
        self.files: dict[str, None] = {}
        other: list[Path] = []
        for file in find([path], self.errors.append, other.append):
            if os.path.abspath(file) == baseline and not is_named:
                continue
            if not is_named and excluded(file):
                self.others["excluded"] += 1
            else:
                self.files[str(file)] = None
        self.others["with another ending"] += sum(not excluded(file) for file in other)
        self.others = +self.others
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


def _tasks(
    arguments: argparse.Namespace,
    settings: _Settings,
    checker: Checker,
    known: Baseline | None,
    unreadable: list[ReadError],
) -> tuple[list[_Path], list[_Task]]:
    """Return what was named, and one task for each file."""
    named = {os.fspath(path) for path in arguments.paths}
    excluded = settings.excluded()
    baseline = os.path.abspath(settings.baseline() or DEFAULT_NAME)
    paths = [
        _Path(path, excluded, baseline) for path in dict.fromkeys(map(os.fspath, arguments.paths))
    ]
    for path in paths:
        unreadable += path.errors
    files = dict.fromkeys(file for path in paths for file in path.files)
    return paths, [
        _Task(
            file,
            file in named and not arguments.allow_unchecked,
            checker,
            arguments.format == "junit",
            # Formats for machines show each note, as the text does for what is selected.
            "select" in settings.options or arguments.format != "text",
            settings.get("map"),
            {} if known is None else known.of(file),
        )
        for file in files
    ]


def _split(values: Iterable[str]) -> list[str]:
    return [part for value in values for part in value.split(",") if part.strip()]


def _mapping(text: str | None) -> mapping.Mapping | None:
    from pytest_chatapi.reading import mapping

    return None if text is None else mapping.Mapping(text)


def _relative(path: str) -> str:
    """A path as reports have it: relative to the working directory, if it is below."""
    if os.path.isabs(path):
        with suppress(ValueError):
            return Path(path).relative_to(Path.cwd()).as_posix()
    return path


# -- checking ----------------------------------------------------------------------------


def _results(tasks: list[_Task], jobs: int | None) -> Iterator[Report]:
    """Yield the report of each file, in order."""
    if jobs is None:
        jobs = jobs_for(size_of(task.path) for task in tasks)
    shared = [[task._replace(share=share) for share in shares(task.path, jobs)] for task in tasks]
    every = [task for of_file in shared for task in of_file]
    jobs = min(jobs, len(every))
    parts = map(_check_file, every) if jobs < 2 else _in_processes(every, jobs)
    for of_file in shared:
        of_shares = [next(parts) for _ in of_file]
        yield of_shares[0].report if len(of_shares) == 1 else _whole(of_file[0], of_shares)


def _in_processes(tasks: list[_Task], jobs: int) -> Iterator[_Part]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    try:
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(_check_file, tasks, chunksize=max(1, len(tasks) // (jobs * 8)))
    except BrokenProcessPool:
        raise SettingError(KILLED) from None


def _check_file(task: _Task) -> _Part:
    from pytest_chatapi.contract.titles import title_of
    from pytest_chatapi.reading.reader import read_file

    report = Report(files=1)
    errors = report.unreadable
    kept = task.checker.keeper(task.path)
    counts: Counter[str] = Counter()  # what `ignore` leaves out, too, is still there
    name = None if task.path == "-" else _relative(task.path)
    mapping = _mapping(task.mapping)
    for exchange in read_file(
        task.path, errors.append, name=name, mapping=mapping, share=task.share
    ):
        try:
            result = task.checker.check(exchange)
        except ReadError as error:  # a large body is read from disk during the check
            errors.append(error)
            report.exchanges += 1
            continue
        report.count(exchange, result.api if result.kind is None else "")
        if result.kind is None:
            continue
        report.findings += kept(result.findings)
        if task.known:
            counts.update(map(key_of, result.findings))
        if task.titles and exchange.source is not None:
            report.cases.append((exchange.source.file, exchange.source.index, title_of(exchange)))
    if mapping is not None:
        report.mapped = mapping.mapped
    part = _Part(report, counts)
    return part if task.share[1] > 1 else _Part(_whole(task, [part]), counts)


def _whole(task: _Task, parts: list[_Part]) -> Report:
    """The report of a file, of the parts that its shares come to."""
    from pytest_chatapi.reading.lines import with_lines
    from pytest_chatapi.reading.reader import NotARecording

    report, counts = parts[0]
    for part in parts[1:]:
        report.add(part.report)
        counts += part.counts
    if len(parts) > 1:
        report.files = 1
        report.findings.sort(key=_position)
        report.cases.sort(key=lambda case: case[1])
        # What is wrong with the file as a whole, each share has met.
        unique = {str(error): error for error in report.unreadable}
        report.unreadable = sorted(unique.values(), key=lambda e: (len(e.place), e.place))
    errors = report.unreadable
    other = next((error for error in errors if isinstance(error, NotARecording)), None)
    if other is not None and not task.named:
        # A folder may hold other files, too.
        return Report(unread=Counter([other.kind]))
    if not report.exchanges and not report.skipped and not errors:
        return Report(unread=Counter(["without an exchange"]))
    if task.known:
        _leave_out_known(report, task, _relative(task.path), counts)
    if task.mapping is None:  # with one, only the mapping tells where they are
        report.findings = with_lines(report.findings, task.path, notes=task.notes)
    return report


def _position(finding: Finding) -> int:
    return 0 if finding.source is None else finding.source.index


def _leave_out_known(report: Report, task: _Task, name: str, counts: Counter[str]) -> None:
    """Take out of a file's report what the baseline knows; see `compare` for the counts."""
    compared = compare(name, task.known, report.findings, counts)
    report.findings = compared.new(report.findings)
    report.known = compared.count
    report.exceeded = compared.exceeded
    # What could not be read may contain the rest.
    report.stale = [] if report.unreadable else compared.stale


# -- the baseline ------------------------------------------------------------------------


def _baseline(arguments: argparse.Namespace, settings: _Settings) -> Baseline | None:
    """The baseline to compare to, or to write."""
    path = settings.baseline()
    if arguments.write_baseline:
        path = path or DEFAULT_NAME
        if not os.path.exists(path):
            return Baseline(path)
    return Baseline.read(path) if path else None


def _write_baseline(old: Baseline, files: list[str], report: Report) -> None:
    """Write the findings of a run to its baseline, which knows them from then on."""
    new = old.updated(files, report.findings)
    output.write(new.path, new.text())
    report.known = sum(f.level != "note" for f in report.findings if _is_in_a_file(f))
    report.findings = [f for f in report.findings if f.level == "note" or not _is_in_a_file(f)]
    where = plural(len(new.entries), "file")
    total = sum(count for of_file in new.entries.values() for count in of_file.values())
    print(f"{shown_path(new.path)}: wrote {plural(total, 'finding')} in {where}", file=sys.stderr)


def _is_in_a_file(finding: Finding) -> bool:
    return finding.source is not None and os.path.exists(finding.source.file)


# -- the settings ------------------------------------------------------------------------


def _shown(settings: _Settings) -> str:
    """Return each setting of the command, and where it is set."""
    file = settings.file
    head = f"settings in {shown_path(file.file)}" if file.file else "no settings file"
    lines = [f"{head}:"]
    for key, (name, row) in FILE_KEYS.items():
        value = list(settings.ignored()) if name == "ignore" else settings.get(name)
        places = [row.option] if name in settings.options else []
        # All others are set by the nearest place alone.
        adds_up = name == "ignore" and "select" not in settings.options
        if name in file.values and (adds_up or not places) and value != []:
            places.insert(0, file.place(key))
        if isinstance(value, dict) and value:
            texts = [
                (f"{entry}: {_listed(of)}", [file.place(key, entry)]) for entry, of in value.items()
            ]
        else:
            default = row.shown or _listed(row.default)
            texts = [(_listed(value) if places else default, places or ["default"])]
        for text, where in texts:
            lines.append(f"  {key:<17} {text} ({', '.join(where)})")
            key = ""
    return "\n".join(lines) + "\n"


def _listed(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value:
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(value) if isinstance(value, list | tuple) and value else "none"


# -- the report --------------------------------------------------------------------------


def _print(report: Report, arguments: argparse.Namespace, strict: bool) -> None:
    options = Options(
        strict=strict,
        notes=bool(arguments.select),
        statistics=arguments.statistics,
        coloured=output.wants_colour(arguments.output),
    )
    text = render(report, arguments.format, options)
    output.show(text, arguments.output)
    if arguments.statistics and arguments.format != "text":
        print(statistics_text(report), file=sys.stderr)
