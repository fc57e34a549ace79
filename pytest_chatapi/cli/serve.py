"""The command ``chatapi serve``: cassettes, mocks and faults on a socket, or a recording proxy."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import runpy
import shlex
import socket
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TextIO, cast
from urllib.parse import urlsplit

from pytest_chatapi.cli.arguments import Commands, whole_number
from pytest_chatapi.contract.wording import plural, without_secrets
from pytest_chatapi.errors import ChatAPIError, ReadError, SettingError, UnrecordedRequest
from pytest_chatapi.recording.kinds import (
    DEFAULT_MATCH_ON,
    FACTOR,
    RATE,
    RECORD_MODES,
    SECONDS,
    SHARE,
    Kind,
    one_of,
)
from pytest_chatapi.server import require_extra
from pytest_chatapi.server.listening import listen

if TYPE_CHECKING:  # the other commands start faster without these
    from pytest_chatapi.mock import ChatMock
    from pytest_chatapi.recording.cassette import Cassette
    from pytest_chatapi.recording.miss import Miss
    from pytest_chatapi.recording.recorder import Answers, Recorder
    from pytest_chatapi.server.pages import About

__all__ = ["add_to"]

_KEY_VARIABLE = "CHATAPI_SERVER_KEY"
_RECORD_MODE = one_of(*(mode for mode in RECORD_MODES if mode != "none"))


def add_to(commands: Commands) -> None:
    """Add the command to those of ``chatapi``."""
    serve = commands.add_parser(
        "serve",
        help="serve cassettes, mocks and faults, or record traffic",
        description="Serve recorded responses on a local socket, for clients in any language; or "
        "sit between a client and a real service, and record what passes. With nothing to serve, "
        "a built-in mock responds to chat completions, embeddings and GET /v1/models.",
        epilog="exit status: 0 stopped by Ctrl-C or SIGTERM, 2 could not start or could not record",
    )
    serve.add_argument(
        "cassettes", nargs="*", metavar="CASSETTE", help="a cassette to replay, or a folder of them"
    )
    serve.add_argument(
        "--mock", metavar="FILE", help="serve the mock that a Python file sets up in answer(mock)"
    )
    serve.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="apply these faults to the responses, one after the other; may be repeated",
    )
    serve.add_argument(
        "--record", metavar="CASSETTE", help="record the responses of --upstream here"
    )
    serve.add_argument(
        "--upstream", metavar="URL", help="base URL of the real service, including /v1"
    )
    serve.add_argument(
        "--record-mode",
        metavar="MODE",
        help="with --record: new_episodes (default) records what the cassette does not have, "
        "once records only if there is no cassette yet, all replaces what it records again, "
        "rewrite starts from nothing",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    serve.add_argument(
        "--port",
        type=whole_number("a valid port", most=65535),
        default=8080,
        help="port to listen on, 0 for a free one (default: %(default)s)",
    )
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        help="allow a --host that other machines can reach",
    )
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients reach it, besides localhost and its address; may be repeated",
    )
    serve.add_argument(
        "--api-key",
        metavar="KEY",
        default=os.environ.get(_KEY_VARIABLE) or None,
        help=f"reject clients that send another bearer key; set ${_KEY_VARIABLE} instead to keep "
        "the key out of process lists",
    )
    serve.add_argument(
        "--max-body",
        type=whole_number("a number of bytes"),
        metavar="BYTES",
        help="largest request body to accept (default: 16 MiB)",
    )
    serve.add_argument(
        "--idle-timeout",
        type=whole_number("a number of seconds", least=1),
        metavar="SECONDS",
        help="close connections on which clients send nothing for this long (default: 75)",
    )
    serve.add_argument(
        "--speed",
        type=_factor,
        default=1,
        metavar="FACTOR",
        help="1 as recorded (default), 2 twice as fast, 0 without delay",
    )
    serve.add_argument(
        "--ttft",
        type=_of_kind(SECONDS),
        metavar="SECONDS",
        help="time until the first token of a response from a mock or a cassette",
    )
    serve.add_argument(
        "--tokens-per-second",
        type=_of_kind(RATE),
        metavar="RATE",
        help="pace of the tokens after it",
    )
    serve.add_argument(
        "--jitter",
        type=_of_kind(SHARE),
        default=0,
        metavar="SHARE",
        help="vary each of these waits by up to this share of it, 0 to 1 (default: 0)",
    )
    serve.add_argument(
        "--match-on",
        type=_names,
        default=DEFAULT_MATCH_ON,
        metavar="NAMES",
        help=f"what requests are matched by (default: {','.join(DEFAULT_MATCH_ON)})",
    )
    serve.set_defaults(run=_run)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _factor(text: str) -> float:
    try:
        factor: float = FACTOR.convert(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor (0 or more)") from None
    return factor


def _of_kind(kind: Kind) -> Callable[[str], object]:
    """An argparse type for what a setting takes."""

    def convert(text: str) -> object:
        try:
            return kind.convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind.wanted}") from None

    return convert


def _run(arguments: argparse.Namespace) -> int:
    require_extra()
    _refuse_contradictions(arguments)
    with listen(arguments.host, arguments.port, arguments.allow_remote) as listening:
        return _serve(arguments, listening)


def _serve(arguments: argparse.Namespace, listening: socket.socket) -> int:
    """Import and open what is served: clients that connect meanwhile wait."""
    with _uncollected():
        from pytest_chatapi.server.app import MAX_BODY, make_app
        from pytest_chatapi.server.run import IDLE, serve

        recorder, activity = _recorder(arguments)
    if arguments.fault:
        from pytest_chatapi.faults import Plan

        recorder.faults = Plan(*arguments.fault)
    if arguments.ttft is not None or arguments.tokens_per_second is not None or arguments.jitter:
        from pytest_chatapi.mock.pace import pace_of

        recorder.pace = pace_of(arguments.ttft, arguments.tokens_per_second, arguments.jitter)
    about = _about(arguments, recorder, activity)
    output = _Output(recorder, about, arguments.mock)
    recorder.on_miss = output.miss
    app = make_app(
        recorder,
        api_key=arguments.api_key,
        max_body=MAX_BODY if arguments.max_body is None else arguments.max_body,
        upstream=arguments.upstream,
        save=recorder.save if arguments.record else None,
        on_exchange=output.exchange,
        hosts=[arguments.host, *arguments.allow_host, *_own_names(arguments)],
        about=about,
    )
    status = serve(
        app,
        listening,
        host=arguments.host,
        idle=IDLE if arguments.idle_timeout is None else arguments.idle_timeout,
        ready=lambda url: output.print(f"{activity} on {url}\nexport OPENAI_BASE_URL={url}"),
    )
    return 2 if recorder.refused else status  # the line of the exchange has said why


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage: imports leave none, and looking for it takes a tenth of their time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _import_httpx() -> None:
    """Import httpx without what it uses only on demand: trio, HTTP/2, SOCKS, its command line.

    Where these are installed, they take two thirds of the time until the first response. They
    can be imported as usual afterwards, by httpx too.
    """
    left_out = {"trio", "h2", "socksio", "httpx._main"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
    try:
        import httpcore  # noqa: F401
        import httpx  # noqa: F401
    finally:
        for name in left_out:
            del sys.modules[name]


def _own_names(arguments: argparse.Namespace) -> list[str]:
    """The names of this machine, where other machines may ask for it."""
    if not arguments.allow_remote:
        return []
    return [socket.gethostname()]


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    if arguments.record and not arguments.upstream:
        raise SettingError("--record requires --upstream URL")
    if arguments.upstream and not arguments.record:
        raise SettingError("--upstream requires --record CASSETTE")
    if arguments.record_mode is not None:
        if not arguments.record:
            raise SettingError("--record-mode requires --record CASSETTE")
        _RECORD_MODE.checked("--record-mode", arguments.record_mode)
    sources = {
        "cassettes": arguments.cassettes,
        "--mock": arguments.mock,
        "--record": arguments.record,
    }
    used = [name for name, value in sources.items() if value]
    if len(used) > 1:
        raise SettingError(f"{' and '.join(used)} cannot be combined: start one server for each")


# -- what is served ----------------------------------------------------------------------


def _recorder(arguments: argparse.Namespace) -> tuple[Recorder, str]:
    """Return the recorder, and what it does in words."""
    from pytest_chatapi.recording.opening import open_recorder

    recorder = open_recorder(
        arguments.record,
        record_mode=(arguments.record_mode or "new_episodes") if arguments.record else "none",
        match_on=arguments.match_on,
        replay_speed=arguments.speed,
        allow_playback_repeats=True,
    )
    if not arguments.cassettes:
        _import_httpx()
    if arguments.record:
        return recorder, f"recording {arguments.upstream} to {arguments.record}"
    if not arguments.cassettes:
        recorder.answers = _mock(arguments.mock)
        return recorder, f"serving {arguments.mock or 'the built-in mock'}"
    merged = _merged(arguments.cassettes)
    count = plural(len(merged.entries), "interaction")
    return replace(recorder, cassette=merged), f"serving {merged.name} ({count})"


def _merged(paths: list[str]) -> Cassette:
    """Return all cassettes as one, to be read only."""
    from pytest_chatapi.reading.find import find
    from pytest_chatapi.recording.cassette import Cassette

    merged, *others = [Cassette(file) for file in find(paths)] or [Cassette(paths[0])]
    if not merged.exists:
        raise ReadError(paths[0], "", "no cassette found: record one with chatapi serve --record")
    if not any(cassette.entries for cassette in (merged, *others)):
        raise ReadError(paths[0], "", "holds no interactions: there is nothing to serve")
    for cassette in others:
        merged.entries += cassette.entries
    if others:
        merged.name += f" and {len(others)} more"
    return merged


def _mock(file: str | None) -> Answers:
    """Return the mock that a script sets up, or without a script the built-in one.

    Raises:
        SettingError: the script raises, or has no function ``answer``.
    """
    from pytest_chatapi.mock import ChatMock

    mock = ChatMock("chatapi serve", keeps=False)
    if file is None:
        mock.reply()
        mock.embeddings()
        return mock
    if not os.path.isfile(file):
        raise SettingError(f"{file}: no such file")
    try:
        answer = runpy.run_path(file).get("answer")
        if callable(answer):
            answer(mock)
            return mock
    except Exception as error:  # whatever the script raises
        where = _place_in(file, error)
        raise SettingError(f"{where}: {type(error).__name__}: {error}") from None
    raise SettingError(f"{file} does not define answer(mock): see docs/server.md")


def _place_in(file: str, error: BaseException) -> str:
    """Return the file, with the line in it that an error came from."""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        lines.append(error.lineno)
    return f"{file}:{lines[-1]}" if lines else file


def _about(arguments: argparse.Namespace, recorder: Recorder, activity: str) -> About:
    """What the server says of itself under ``/``."""
    from pytest_chatapi.server.pages import About

    example = "https://api.openai.com/v1"
    if arguments.record:
        served = [
            f"everything below /v1: what {arguments.record} has, else from {arguments.upstream}"
        ]
        return About(activity, lambda: served, ["chatapi serve --help"])
    if arguments.cassettes:
        more = [
            f"chatapi serve {shlex.join(arguments.cassettes)} OTHER_CASSETTE",
            f"chatapi serve --record {shlex.quote(arguments.cassettes[0])} --upstream {example}",
        ]
        return About(activity, partial(_counted_paths, recorder), more)
    mock = cast("ChatMock", recorder.answers)
    titles = [f"mock.{title}" for title in mock.titles]
    more = [f"add a route to answer(mock) in {arguments.mock}"]
    if not arguments.mock:
        titles, more = [*_BUILT_IN], ["chatapi serve --mock FILE", "chatapi serve CASSETTE"]
    return About(activity, lambda: titles, more, mock.profile or "openai")


_BUILT_IN = ("POST /v1/chat/completions", "POST /v1/embeddings", "GET /v1/models")


def _counted_paths(recorder: Recorder) -> list[str]:
    paths = Counter(_paths(recorder))
    return [f"{path} ({plural(count, 'recording')})" for path, count in paths.items()]


def _paths(recorder: Recorder) -> Iterator[str]:
    """Method and path by which a client gets each of the recordings."""
    from pytest_chatapi.server.app import recorded_base

    base = recorded_base(recorder)
    for entry in recorder.entries:
        with contextlib.suppress(ChatAPIError):  # damaged: a request that matches it says so
            request = entry.request
            is_below = base is not None and request.url.startswith(f"{base}/")
            url = f"/v1{request.url.removeprefix(base or '')}" if is_below else request.url
            yield f"{request.method} {urlsplit(url).path}"


def _listed(paths: Sequence[str]) -> str:
    shown = [*paths[:8], *([f"{len(paths) - 8} more"] if len(paths) > 8 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _how_to_reply(miss: Miss, file: str | None) -> str:
    """What to add to a mock for a request that it has no reply to."""
    if "embeddings" in miss.remedy:
        call = "mock.embeddings()"
    elif " /" in miss.request:  # the title of a chat completion has no path
        call = "mock.route(path=...).reply(...)"
    else:
        call = "mock.reply(...)"
    where = f"answer(mock) of {file}" if file else "answer(mock) of FILE: chatapi serve --mock FILE"
    return f"{call} in {where}"


# -- what is printed ---------------------------------------------------------------------


class _Output:
    """The lines that a running server prints, from any of its threads."""

    def __init__(self, recorder: Recorder, about: About, mock: str | None) -> None:
        self._recorder, self._about, self._mock = recorder, about, mock

    def print(self, text: str, file: TextIO | None = None) -> None:
        with contextlib.suppress(BrokenPipeError):  # the reader has gone; the server goes on
            print(without_secrets(text), file=file, flush=True)

    def exchange(self, line: str) -> None:
        # A server runs for days, and this one never looks back at what it has seen.
        self._recorder.exchanges.clear()
        self._recorder.misses.clear()
        self.print(line)

    def miss(self, miss: Miss) -> NoReturn:
        from pytest_chatapi.recording.miss import describe

        cassette = self._recorder.cassette
        if cassette is not None and self._recorder.mode == "none":
            miss.remedy = f"chatapi serve --record {cassette.path} --upstream URL"
            if any(path == "path" for path, _, _ in miss.differences):
                served = _listed(self._about.served())
                miss.reason = f"{cassette.name} has only {served}"
                miss.nearest, miss.differences = "", []
        elif miss.routes is not None:
            miss.remedy = _how_to_reply(miss, self._mock)
            if not self._mock:
                miss.reason, miss.routes = f"the built-in mock serves {_listed(_BUILT_IN)}", []
        text = describe(miss)
        self.print(text, sys.stderr)
        raise UnrecordedRequest(text)
