"""The command ``chatapi``: `check` recorded traffic, list and explain the `rules`."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pytest_chatapi import __version__
from pytest_chatapi.cli.serve import add_to as add_serve
from pytest_chatapi.contract.check import check_exchange, endpoint, parse_date, selects
from pytest_chatapi.contract.profiles import PROFILES
from pytest_chatapi.errors import ChatAPIError, ReadError
from pytest_chatapi.report import FORMATS, Report, render, statistics_text

__all__ = ["main"]

# Below this much input, starting processes costs more than it saves.
_WORTH_PROCESSES = 32 * 1024 * 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        0: nothing at error level; 1: findings; 2: something could not be read, or bad usage.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except ChatAPIError as error:
        print(f"chatapi: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): not our failure, and nothing to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("chatapi: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatapi", description="Contract checks for Chat Completions APIs."
    )
    parser.add_argument("--version", action="version", version=f"chatapi {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser(
        "check",
        help="check recorded traffic",
        description="Checks recorded traffic: vcrpy and cassetter cassettes, HAR, JSONL, raw "
        "JSON and SSE bodies, recognised by content; files, folders, globs, - for stdin.",
        epilog="exit status: 0 nothing at error level, 1 findings, 2 could not read or bad usage",
    )
    check.add_argument("paths", nargs="+", metavar="PATH")
    check.add_argument("--format", choices=tuple(FORMATS), default="text")
    check.add_argument("-o", "--output", metavar="FILE", help="write the report to FILE")
    check.add_argument(
        "--profile", choices=PROFILES, help="judge all by this profile (default: by host)"
    )
    check.add_argument("--as-of", metavar="DATE", help="judge by the contract of that day")
    check.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="CODE[:PATH]",
        help="leave out findings, e.g. S10 or U02:$.usage.total_tokens; may be repeated",
    )
    check.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="CODE[:PATH]",
        help="keep these findings only; a letter takes a whole family",
    )
    check.add_argument("--strict", action="store_true", help="warnings fail too")
    check.add_argument(
        "--jobs", type=_jobs, metavar="N", help="processes (default: by the amount of work)"
    )
    check.add_argument("--statistics", action="store_true", help="count findings by rule")
    check.set_defaults(run=_check)

    rules = commands.add_parser("rules", help="list the rules, or explain one")
    rules.add_argument("code", nargs="?", metavar="CODE")
    rules.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    rules.set_defaults(run=_rules)

    faults = commands.add_parser(
        "faults",
        help="list what can be made to go wrong",
        description="Every fault of chatapi.inject(), chatapi serve --fault and the marker "
        "chatapi_faults, or the named ones.",
    )
    faults.add_argument("names", nargs="*", metavar="NAME")
    faults.add_argument("--format", choices=("text", "markdown"), default="text")
    faults.set_defaults(run=_faults)

    add_serve(commands)
    return parser


def _jobs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes: use 1 or more")
    return int(text)


def _split(values: Iterable[str]) -> list[str]:
    return [part for value in values for part in value.split(",") if part.strip()]


# -- check -------------------------------------------------------------------------------


class _Task(NamedTuple):
    """What one process needs to check one file."""

    path: str
    named: bool
    profile: str | None
    as_of: str | None
    ignore: list[str]
    select: list[str]
    cases: bool


def _check(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.reading.find import find

    parse_date(arguments.as_of)
    ignore, select = _split(arguments.ignore), _split(arguments.select)
    selects(ignore), selects(select)  # a wrong code fails before the work begins
    unreadable: list[ReadError] = []
    files = find(arguments.paths, unreadable.append)
    named = {os.fspath(path) for path in arguments.paths}
    tasks = [
        _Task(
            str(file),
            str(file) in named,
            arguments.profile,
            arguments.as_of,
            ignore,
            select,
            arguments.format == "junit",
        )
        for file in files
    ]
    report = Report()
    progress = _Progress(len(tasks))
    for part, errors in _results(tasks, arguments.jobs):
        report.add(part)
        unreadable += errors
        progress.step()
    progress.clear()
    for error in unreadable:
        print(f"chatapi: {error}", file=sys.stderr)
    coloured = arguments.output is None and _wants_colour()
    text = render(
        report,
        arguments.format,
        **(
            {"coloured": coloured, "statistics": arguments.statistics, "notes": bool(select)}
            if arguments.format == "text"
            else {"strict": arguments.strict}
        ),
    )
    if arguments.output is None:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    else:
        _write(Path(arguments.output), text)
    if arguments.statistics and arguments.format != "text":
        print(statistics_text(report), file=sys.stderr)
    if unreadable:
        return 2
    failing = {"error", "warning"} if arguments.strict else {"error"}
    return int(any(f.level in failing for f in report.findings))


def _results(tasks: list[_Task], jobs: int | None) -> Iterable[tuple[Report, list[ReadError]]]:
    if jobs is None:
        size = sum(os.path.getsize(t.path) for t in tasks if os.path.isfile(t.path))
        jobs = (os.cpu_count() or 1) if size > _WORTH_PROCESSES else 1
    jobs = min(jobs, len(tasks))
    if jobs < 2:
        return map(_check_file, tasks)
    return _in_processes(tasks, jobs)


def _in_processes(tasks: list[_Task], jobs: int) -> Iterable[tuple[Report, list[ReadError]]]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_check_file, tasks, chunksize=max(1, len(tasks) // (jobs * 8)))


def _check_file(task: _Task) -> tuple[Report, list[ReadError]]:
    from pytest_chatapi.contract.titles import title_of
    from pytest_chatapi.reading.reader import NotARecording, read_file

    report = Report(files=1)
    errors: list[ReadError] = []
    ignore, select = selects(task.ignore), selects(task.select)
    for exchange in read_file(task.path, errors.append):
        if endpoint(exchange) is None:
            report.skipped += 1
            continue
        report.exchanges += 1
        try:
            judgement = check_exchange(
                exchange, task.profile, as_of=task.as_of, ignore=ignore, select=select
            )
        except ReadError as error:  # a body that is read from disk while it is judged
            errors.append(error)
            continue
        report.findings += judgement.findings
        if task.cases and exchange.source is not None:
            report.cases.append((exchange.source.file, exchange.source.index, title_of(exchange)))
    if not task.named and any(isinstance(error, NotARecording) for error in errors):
        return Report(), []  # a folder may hold other files too
    return report, errors


def _write(path: Path, text: str) -> None:
    # Beside the target and renamed: a report is there whole, or not at all.
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
    """A bar on the error stream, only where a person watches."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty() and sys.stdout.isatty() and total > 20

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


# -- rules -------------------------------------------------------------------------------


def _rules(arguments: argparse.Namespace) -> int:
    from pytest_chatapi import report
    from pytest_chatapi.contract.catalogue import get_rule

    if arguments.code is None:
        makers = {
            "text": report.rules_text,
            "json": report.rules_json,
            "markdown": report.rules_markdown,
        }
        sys.stdout.write(makers[arguments.format]())
        return 0
    from pytest_chatapi.contract.examples import example

    rule = get_rule(arguments.code)
    shown = example(rule.code)
    sys.stdout.write(
        report.rule_text(
            rule, [("breaks it", shown.broken_changes), ("legal", shown.legal_changes)]
        )
    )
    return 0


def _faults(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.faults import SETS, table
    from pytest_chatapi.faults.plan import parse

    if arguments.format == "markdown":
        sys.stdout.write(table())
        return 0
    named = arguments.names or [*SETS]
    listed = {fault.name: fault for name in named for fault in parse(name)}
    width = max(len(name) for name in listed)
    for name, fault in listed.items():
        sys.stdout.write(
            textwrap.fill(
                fault.summary,
                80,
                initial_indent=f"{name:<{width}}  ",
                subsequent_indent=" " * (width + 2),
            )
            + "\n"
        )
    return 0
