"""The command ``chatapi conform``: is a live server a Chat Completions API, and who reads one?"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_chatapi import output
from pytest_chatapi.cli.arguments import Commands, add_format, whole_number
from pytest_chatapi.contract.profiles import PROFILES
from pytest_chatapi.contract.wording import plural

if TYPE_CHECKING:
    from pytest_chatapi.conformance.probe import Check, Named
    from pytest_chatapi.conformance.report import About
    from pytest_chatapi.conformance.run import Options, Result, Run
    from pytest_chatapi.contract.wire import JSONObject
    from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["FORMATS", "add_to"]

INTERRUPTED = "interrupted"

FORMATS = "text", "json", "junit", "github", "html", "badge"
"""The keys of `conformance.formats.FORMATS`, which imports an HTTP client."""
_DAY = 86_400
_C = TypeVar("_C", bound="Named")
_R = TypeVar("_R")


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    parser = commands.add_parser(
        "conform",
        help="check a live server, or a consumer of responses",
        description="Find out where a live server departs from the Chat Completions API, and which "
        "of its legal responses a consumer cannot read.",
    )
    whats = parser.add_subparsers(required=True, metavar="WHAT")
    server = whats.add_parser(
        "server",
        help="probe a server",
        description="Send requests that force each behaviour of the API, and check what comes.",
        epilog="exit status: 0 nothing failed, 1 something did, 2 could not run, 130 interrupted",
    )
    server.add_argument("url", metavar="URL", help="base URL: http://127.0.0.1:8000/v1")
    server.add_argument("--model", required=True, metavar="M", help="the model to probe")
    server.add_argument(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="environment variable with the key (default: %(default)s)",
    )
    server.add_argument(
        "--header", action="append", default=[], metavar="K:V", help="a header to send"
    )
    server.add_argument("--profile", choices=PROFILES, help="of the contract")
    server.add_argument("--as-of", metavar="DATE", help="check by the contract of that day")
    _add_choice(server, "a check, a capability, or the code of a rule")
    server.add_argument(
        "--declare",
        action="append",
        default=[],
        metavar="CAPABILITY=no",
        help="what the server does not have",
    )
    server.add_argument("--strict", action="store_true", help="what is non-strict fails")
    for name, default, text in (
        ("repeat", 1, "runs of each check of tools and structured output, for rates"),
        ("concurrency", 1, "checks at a time"),
    ):
        server.add_argument(
            f"--{name}", type=whole_number("a number", 1), default=default, metavar="N", help=text
        )
    for name in ("max-requests", "max-tokens"):
        server.add_argument(
            f"--{name}", type=whole_number("a number", 1), metavar="N", help="send no more"
        )
    server.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="S", help="seconds for one response"
    )
    server.add_argument("--record", type=Path, metavar="DIR", help="write cassettes")
    _add_report(server)
    server.set_defaults(run=_server)
    client = whats.add_parser(
        "client",
        help="try a consumer of responses",
        usage="%(prog)s [options] -- COMMAND ...",
        description="Start a command that sends a chat completion to OPENAI_BASE_URL and prints "
        "what it understood, with each legal delivery of the response, and with broken ones. Its "
        "exit status is not 0 if it noticed an error.",
        epilog="exit status: 0 nothing failed, 1 something did, 2 could not run, 130 interrupted",
    )
    client.add_argument("command", nargs="+", metavar="COMMAND", help="the command, after --")
    client.add_argument(
        "--keep-alive",
        action="store_true",
        help="one process takes all cases: each is a line on its standard input, and it prints a "
        "line that begins with `ok` or `error`",
    )
    _add_choice(client, "a case or a group of cases")
    client.add_argument("--strict", action="store_true", help="what is non-strict fails")
    client.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="seconds for one case (default: 30)",
    )
    _add_report(client)
    client.set_defaults(run=_client)
    replay = whats.add_parser("replay", help="check what was recorded, without the server")
    replay.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="folder of recordings; or a report written with --format json, to show it again",
    )
    _add_report(replay)
    replay.set_defaults(run=_replay)
    matrix = whats.add_parser(
        "matrix",
        help="show several runs side by side",
        description="Make a page of reports, side by side. The page fetches nothing.",
        epilog="example: chatapi conform matrix vllm-0.9.json vllm-0.10.json -o matrix.html",
    )
    matrix.add_argument(
        "reports", nargs="+", type=Path, metavar="REPORT", help="written with --format json"
    )
    matrix.add_argument("-o", "--output", metavar="FILE", help="write the page to FILE")
    matrix.set_defaults(run=_matrix)


def _add_choice(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the options that choose checks."""
    for name, text in (("only", "run only these"), ("skip", "leave these out")):
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="NAME", help=f"{text}: {what}"
        )


def _add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options about the report, which a run and a replay share."""
    parser.add_argument(
        "--expected",
        type=Path,
        metavar="FILE",
        help="failures that are known, with their reasons: they do not fail the run, unless they "
        "are fixed",
    )
    add_format(parser, FORMATS)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the report to FILE")


def _server(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.conformance.connect import connect, declared_capabilities
    from pytest_chatapi.conformance.probe import checks as every_check
    from pytest_chatapi.conformance.probe import selected
    from pytest_chatapi.conformance.run import Options
    from pytest_chatapi.conformance.wire import Caps

    known = _prepared(arguments, every_check())
    checks = selected(every_check(), arguments.only, arguments.skip)
    options = Options(
        arguments.model,
        arguments.profile,
        arguments.as_of,
        arguments.strict,
        arguments.repeat,
        arguments.concurrency,
        declared_capabilities(arguments.declare),
    )
    opened = connect(
        arguments.url,
        options,
        key_variable=arguments.api_key_env,
        headers=arguments.header,
        timeout=arguments.timeout,
        caps=Caps(arguments.max_requests, arguments.max_tokens),
    )
    with opened as (run, about, redactor):
        requests, tokens = _expected(checks, options)
        print(
            f"chatapi: {plural(len(checks), 'check')}, up to {plural(requests, 'request')}, about "
            f"{tokens:,} tokens",
            file=sys.stderr,
        )
        results = _run(run, checks)
    status = _report(_report_of(run, results, about, redactor), known, arguments)
    if arguments.record is not None:
        from pytest_chatapi.conformance.record import write_recordings

        write_recordings(arguments.record, run, results, about, redactor)
    return status


def _replay(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.conformance.probe import checks as every_check
    from pytest_chatapi.conformance.record import read_recordings
    from pytest_chatapi.redaction.redactor import Redactor

    if arguments.directory.is_file():
        return _shown_again(arguments)
    known = _prepared(arguments, every_check())
    run, checks, about = read_recordings(arguments.directory)
    results = _run(run, checks)
    return _report(_report_of(run, results, about, Redactor()), known, arguments)


def _shown_again(arguments: argparse.Namespace) -> int:
    """Show a report that was written as JSON."""
    from pytest_chatapi.conformance.formats import read_report
    from pytest_chatapi.conformance.probe import checks as every_check

    report = read_report(arguments.directory)
    every: Sequence[Named] = every_check()
    if "client" in report:
        from pytest_chatapi.conformance.client import client_checks

        every = client_checks()
    known = {check["id"]: check["known"] for check in report["checks"]}
    return _report(report, _prepared(arguments, every) or known, arguments)


def _client(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.server import require_extra

    require_extra()
    from pytest_chatapi.conformance.client import DeliveryResult, client_checks, serving
    from pytest_chatapi.conformance.client_report import client_report_of
    from pytest_chatapi.conformance.consumer import Consumer, environment
    from pytest_chatapi.conformance.probe import Verdict, selected
    from pytest_chatapi.redaction.redactor import Redactor

    every = client_checks()
    known = _prepared(arguments, every)
    checks = selected(every, arguments.only, arguments.skip)

    def consumer_for(url: str) -> Consumer:
        return Consumer(
            arguments.command,
            environment(url, os.environ),
            timeout=arguments.timeout,
            keep_alive=arguments.keep_alive,
        )

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with serving(consumer_for, strict=arguments.strict) as tried:
            results = _gathered(
                checks,
                map(tried.result, checks),
                lambda check: DeliveryResult(check, Verdict.NOT_EXERCISED, INTERRUPTED),
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    report = client_report_of(
        results,
        tried,
        arguments.command,
        keep_alive=arguments.keep_alive,
        redactor=Redactor(),
    )
    return _report(report, known, arguments)


def _matrix(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.conformance.formats import read_report
    from pytest_chatapi.conformance.page import page

    output.require_writable(arguments.output)
    paths: list[Path] = arguments.reports
    names = output.short_names(paths)
    runs = [(name, read_report(path)) for name, path in zip(names, paths, strict=True)]
    output.show(page(runs), arguments.output)
    return 0


def _prepared(arguments: argparse.Namespace, every: Sequence[Named]) -> Mapping[str, str]:
    """The failures that are known, of the checks that there are.

    What is wrong with the options about the report is found before anything is sent.
    """
    output.require_writable(arguments.output)
    if arguments.expected is None:
        return {}
    from pytest_chatapi.conformance.expected import read

    return read(arguments.expected, every)


def _run(run: Run, checks: list[Check]) -> list[Result]:
    from pytest_chatapi.conformance.probe import Verdict
    from pytest_chatapi.conformance.run import Result

    def results() -> Iterator[Result]:
        run.reach(checks)
        yield from run.results(checks)

    def missing(check: Check) -> Result:
        return run.finished.get(check.id, Result(check, Verdict.NOT_EXERCISED, INTERRUPTED))

    return _gathered(checks, results(), missing)


def _gathered(checks: Sequence[_C], coming: Iterator[_R], missing: Callable[[_C], _R]) -> list[_R]:
    """The results; after Ctrl-C those that came until then, and that the others are missing."""
    results: list[_R] = []
    try:
        for result in coming:
            results.append(result)
            if sys.stderr.isatty():
                name = checks[len(results) - 1].ids[0]
                print(f"\r{len(results)}/{len(checks)} {name:<60}", end="", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nchatapi: interrupted: the report has what came until now", file=sys.stderr)
        results += map(missing, checks[len(results) :])
    if sys.stderr.isatty():
        print("\r" + " " * 78 + "\r", end="", file=sys.stderr)
    return results


def _report_of(run: Run, results: list[Result], about: About, redactor: Redactor) -> JSONObject:
    from pytest_chatapi.conformance.report import report_of

    return report_of(results, about, redactor, run.measured)


def _report(report: JSONObject, known: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Show the report; return the exit status."""
    from pytest_chatapi.conformance.expected import mark
    from pytest_chatapi.conformance.formats import FORMATS
    from pytest_chatapi.conformance.probe import Verdict
    from pytest_chatapi.conformance.report import failing, text_of
    from pytest_chatapi.report import coloured_text

    mark(report, known)
    if arguments.format == "text" and output.wants_colour(arguments.output):
        text = text_of(report, coloured_text)
    else:
        text = FORMATS[arguments.format](report)
    output.show(text, arguments.output)
    if any(check["reason"] == INTERRUPTED for check in report["checks"]):
        return 130
    if failing(report):
        return 1
    verdicts = {check["verdict"] for check in report["checks"]}
    return 0 if verdicts - {Verdict.HARNESS_ERROR, Verdict.NOT_EXERCISED} else 2


def _expected(checks: list[Check], options: Options) -> tuple[int, int]:
    """How many requests the checks send at most, and about how many tokens they take."""
    sent = [check for check in checks if check.probe.capability not in options.declared]
    requests, tokens = (5, 220) if sent else (0, 0)  # what is measured first
    for check in sent:
        times = options.repeat if check.probe.depends_on_model else 1
        requests += check.probe.requests * times
        tokens += check.probe.tokens * times
    return requests, tokens


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) <= _DAY:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds (up to {_DAY})")
