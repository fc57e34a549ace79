"""The command ``chatapi conform``: is a live server a Chat Completions API?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_chatapi import output
from pytest_chatapi.cli.arguments import Commands, add_format, whole_number
from pytest_chatapi.contract.profiles import PROFILES
from pytest_chatapi.contract.wording import plural

if TYPE_CHECKING:
    from pytest_chatapi.conformance.probe import Check
    from pytest_chatapi.conformance.report import About
    from pytest_chatapi.conformance.run import Options, Result, Run
    from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["FORMATS", "add_to"]

INTERRUPTED = "interrupted"

FORMATS = "text", "json", "junit", "github", "html", "badge"
"""The keys of `conformance.formats.FORMATS`, which imports an HTTP client."""
_DAY = 86_400


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    parser = commands.add_parser(
        "conform",
        help="check a live server",
        description="Find out where a live server departs from the Chat Completions API.",
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
    for name, text in (("only", "run only these"), ("skip", "leave these out")):
        server.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="NAME",
            help=f"{text}: a check, a capability, or the code of a rule",
        )
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
    replay = whats.add_parser("replay", help="check what was recorded, without the server")
    replay.add_argument("directory", type=Path, metavar="DIR")
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
    from pytest_chatapi.conformance.probe import selected
    from pytest_chatapi.conformance.run import Options
    from pytest_chatapi.conformance.wire import Caps

    known = _prepared(arguments)
    checks = list(selected(arguments.only, arguments.skip))
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
    status = _report(run, results, about, redactor, known, arguments)
    if arguments.record is not None:
        from pytest_chatapi.conformance.record import write_recordings

        write_recordings(arguments.record, run, results, about, redactor)
    return status


def _replay(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.conformance.record import read_recordings
    from pytest_chatapi.redaction.redactor import Redactor

    known = _prepared(arguments)
    run, checks, about = read_recordings(arguments.directory)
    return _report(run, _run(run, checks), about, Redactor(), known, arguments)


def _matrix(arguments: argparse.Namespace) -> int:
    from pytest_chatapi.conformance.formats import read_report
    from pytest_chatapi.conformance.page import page

    output.require_writable(arguments.output)
    paths: list[Path] = arguments.reports
    names = output.short_names(paths)
    runs = [(name, read_report(path)) for name, path in zip(names, paths, strict=True)]
    output.show(page(runs), arguments.output)
    return 0


def _prepared(arguments: argparse.Namespace) -> Mapping[str, str]:
    """The failures that are known. What is wrong with the options about the report is found before
    anything is sent.
    """
    output.require_writable(arguments.output)
    if arguments.expected is None:
        return {}
    from pytest_chatapi.conformance.expected import read

    return read(arguments.expected)


def _run(run: Run, checks: list[Check]) -> list[Result]:
    """The results; after Ctrl-C those that came until then, and that the others are missing."""
    from pytest_chatapi.conformance.probe import Verdict
    from pytest_chatapi.conformance.run import Result

    results: list[Result] = []
    try:
        run.reach(checks)
        for result in run.results(checks):
            results.append(result)
            if sys.stderr.isatty():
                print(
                    f"\r{len(results)}/{len(checks)} {result.check.id:<60}", end="", file=sys.stderr
                )
    except KeyboardInterrupt:
        print("\nchatapi: interrupted: the report has what came until now", file=sys.stderr)
        results += [
            run.finished.get(check.id, Result(check, Verdict.NOT_EXERCISED, INTERRUPTED))
            for check in checks[len(results) :]
        ]
    if sys.stderr.isatty():
        print("\r" + " " * 78 + "\r", end="", file=sys.stderr)
    return results


def _report(
    run: Run,
    results: list[Result],
    about: About,
    redactor: Redactor,
    known: Mapping[str, str],
    arguments: argparse.Namespace,
) -> int:
    from pytest_chatapi.conformance.expected import mark
    from pytest_chatapi.conformance.formats import FORMATS
    from pytest_chatapi.conformance.probe import Verdict
    from pytest_chatapi.conformance.report import failing, report_of, text_of
    from pytest_chatapi.report import coloured_text

    report = report_of(results, about, redactor, run.measured)
    mark(report, known)
    if arguments.format == "text" and output.wants_colour(arguments.output):
        text = text_of(report, coloured_text)
    else:
        text = FORMATS[arguments.format](report)
    output.show(text, arguments.output)
    if any(result.reason == INTERRUPTED for result in results):
        return 130
    if failing(report):
        return 1
    verdicts = {result.verdict for result in results}
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
