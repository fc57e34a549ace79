"""The command ``chatapi serve``: cassettes, mocks and faults on a socket, or a recording proxy."""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import sys
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import ReadError, SettingError, UnrecordedRequest
from pytest_chatapi.server import require_extra

if TYPE_CHECKING:  # the other commands start faster without all this
    from pytest_chatapi.recording.cassette import Cassette
    from pytest_chatapi.recording.miss import Miss
    from pytest_chatapi.recording.recorder import Answers, Recorder

__all__ = ["add_to"]

_KEY_VARIABLE = "CHATAPI_SERVER_KEY"
_PORT = 8080


def add_to(commands: Any) -> None:
    """Adds the command to those of ``chatapi``."""
    serve = commands.add_parser(
        "serve",
        help="serve cassettes, mocks and faults, or record what passes",
        description="Serves recorded answers on a socket of this machine, for clients in any "
        "language; or stands between a client and a real service and records what passes. "
        "Without anything to serve it answers by a built-in mock.",
        epilog="exit status: 0 ended by Ctrl-C or SIGTERM, 2 could not start, or not record",
    )
    serve.add_argument("cassettes", nargs="*", metavar="CASSETTE")
    serve.add_argument("--mock", metavar="FILE", help="answer as a script says")
    serve.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="disturb the answers, one after the other; may be repeated",
    )
    serve.add_argument("--record", metavar="CASSETTE", help="record what --upstream answers")
    serve.add_argument("--upstream", metavar="URL", help="the service's base URL, with its /v1")
    serve.add_argument(
        "--record-mode",
        default="new_episodes",
        metavar="MODE",
        help="all asks upstream for everything, once only where there is no cassette yet "
        "(default: new_episodes, for what the cassette does not have)",
    )
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    serve.add_argument(
        "--port", type=_port, default=_PORT, help=f"0 takes a free one (default: {_PORT})"
    )
    serve.add_argument(
        "--allow-remote", action="store_true", help="let --host be more than this machine"
    )
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        default=os.environ.get(_KEY_VARIABLE) or None,
        help=f"refuse clients with another bearer key; better set in ${_KEY_VARIABLE}, where no "
        "list of processes shows it",
    )
    serve.add_argument(
        "--max-body", type=_count, metavar="BYTES", help="of a request (default: 16 MiB)"
    )
    serve.add_argument(
        "--speed", type=float, default=1, help="1 as recorded, 2 twice as fast, 0 at once"
    )
    serve.add_argument(
        "--match-on",
        default="method,path,query,body",
        metavar="NAMES",
        help="what requests are compared by (default: %(default)s)",
    )
    serve.set_defaults(run=_serve)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: use 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes")
    return int(text)


def make_answers(file: str | None) -> Answers:
    """The mock behind the server.

    Args:
        file: a Python file with a function ``answer(mock)`` that gives the mock its routes;
            ``None`` for the mock that answers everything.

    Raises:
        SettingError: the script cannot be used.
    """
    from pytest_chatapi.mock import ChatMock

    mock = ChatMock("chatapi serve", keeps=False)
    if file is None:
        mock.reply()
        return mock
    try:
        answer = runpy.run_path(file).get("answer")
        if callable(answer):
            answer(mock)
            return mock
    except Exception as error:  # whatever the script raises
        where = _place_in(file, error)
        raise SettingError(f"{where}: {type(error).__name__}: {error}") from None
    raise SettingError(f"{file} has no function answer(mock): see docs/server.md")


def _place_in(file: str, error: BaseException) -> str:
    """The file, and the line of it in which an error came up."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == file
    ]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    line = line or (lines[-1] if lines else None)
    return f"{file}:{line}" if line else file


def _serve(arguments: argparse.Namespace) -> int:
    require_extra()
    from pytest_chatapi.server.app import MAX_BODY, make_app
    from pytest_chatapi.server.run import serve

    _check(arguments)
    recorder, what = _opened(arguments)
    if arguments.fault:
        from pytest_chatapi.faults import Plan

        recorder.faults = Plan(*arguments.fault)
    screen = _Screen(recorder)
    recorder.on_miss = screen.miss
    app = make_app(
        recorder,
        api_key=arguments.api_key,
        max_body=MAX_BODY if arguments.max_body is None else arguments.max_body,
        upstream=arguments.upstream,
        save=recorder.save if arguments.record else None,
        on_exchange=screen.exchange,
    )
    return serve(
        app,
        host=arguments.host,
        port=arguments.port,
        allow_remote=arguments.allow_remote,
        ready=lambda url: screen.print(f"{what} on {url}\nexport OPENAI_BASE_URL={url}"),
    )


def _check(arguments: argparse.Namespace) -> None:
    if bool(arguments.record) != bool(arguments.upstream):
        given, other = ("--record", "--upstream URL"), ("--upstream", "--record CASSETTE")
        one, missing = given if arguments.record else other
        raise SettingError(f"{one} needs {missing} as well")
    sources = {
        "cassettes": arguments.cassettes,
        "--mock": arguments.mock,
        "--record": arguments.record,
    }
    named = [name for name, value in sources.items() if value]
    if len(named) > 1:
        raise SettingError(f"{' and '.join(named)} exclude each other: start a server for each")


def _opened(arguments: argparse.Namespace) -> tuple[Recorder, str]:
    """The recorder, and what it does in words."""
    from pytest_chatapi.recording.opening import open_recorder

    recorder = open_recorder(
        arguments.record,
        record_mode=arguments.record_mode if arguments.record else "none",
        match_on=[name.strip() for name in arguments.match_on.split(",")],
        replay_speed=arguments.speed,
        allow_playback_repeats=True,
    )
    if arguments.record:
        return recorder, f"recording {arguments.upstream} in {arguments.record}"
    if not arguments.cassettes:
        recorder.answers = make_answers(arguments.mock)
        return recorder, f"serving {arguments.mock or 'a mock of everything'}"
    merged = _merged(arguments.cassettes)
    count = len(merged.entries)
    what = f"serving {merged.name} ({plural(count, 'interaction')})"
    return replace(recorder, cassette=merged), what


def _merged(paths: list[str]) -> Cassette:
    """All of them as one, which is only read."""
    from pytest_chatapi.reading.find import find
    from pytest_chatapi.recording.cassette import Cassette

    merged, *others = [Cassette(file) for file in find(paths)] or [Cassette(paths[0])]
    if not merged.exists:
        raise ReadError(paths[0], "", "holds no cassette; see chatapi serve --record")
    for cassette in others:
        merged.entries += cassette.entries
    if others:
        merged.name += f" and {len(others)} more"
    return merged


class _Screen:
    """What the command prints, from whichever thread."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def print(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads on; the server goes on
            print(text, flush=True)

    def exchange(self, line: str) -> None:
        # A server runs for long, and nobody asks this one for what it has seen.
        self._recorder.exchanges.clear()
        self._recorder.misses.clear()
        self.print(line)

    def miss(self, miss: Miss) -> NoReturn:
        from pytest_chatapi.recording.miss import describe

        cassette = self._recorder.cassette
        if cassette is not None and self._recorder.mode == "none":
            miss.remedy = f"chatapi serve --record {cassette.path} --upstream URL"
        text = describe(miss)
        with contextlib.suppress(BrokenPipeError):
            print(text, file=sys.stderr, flush=True)
        raise UnrecordedRequest(text)
