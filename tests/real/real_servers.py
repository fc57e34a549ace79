"""Starts and ends the real servers that `.ci/servers/setup` provides. Not a test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

VARIABLE = "CHATAPI_TEST_SERVERS"
HOW = f"run `.ci/servers/setup DIR .` in a checkout and set {VARIABLE}=DIR"
KEY = "sk-test"  # llama-server wants it, the others take any
MODEL = "tiny"  # llama-server wants it, the others take any
PATIENCE = 120.0  # seconds; only a server that hangs takes them


class Unavailable(Exception):
    """What is wanted is not there; says how to get it."""


def part(name: str) -> Path:
    """The folder that holds what the name says, once it is there as a whole."""
    root = os.environ.get(VARIABLE)
    if not root:
        raise Unavailable(f"needs {name}: {HOW}")
    folder = Path(root).resolve() / name
    if not (folder / "ready").is_file():
        raise Unavailable(f"needs {name}, which is not in {VARIABLE}={root}: {HOW}")
    return folder


def python(name: str) -> Path:
    """The interpreter of an environment that has clients and this package."""
    folder = part(name)
    if not any(folder.glob("lib/python*/site-packages/pytest_chatapi-*.dist-info")):
        raise Unavailable(f"needs pytest-chatapi in {name}: run `.ci/servers/setup DIR .`")
    return folder / "bin" / "python"


def llama_server(port: int) -> list[str | Path]:
    folder = part("llama")
    return [
        *(folder / "llama-server", "--host", "127.0.0.1", "--port", str(port)),
        *("--model", folder / "tiny-tools.gguf", "--alias", MODEL, "--api-key", KEY),
        *("--jinja", "--chat-template-file", folder.parent / "tools_template.jinja"),
        "--no-warmup",
        *("--ctx-size", "4096", "--parallel", "2", "--threads", "2"),
    ]


def aimock(port: int) -> list[str | Path]:
    folder = part("aimock")
    return [
        *("node", folder / "node_modules/@copilotkit/aimock/dist/cli.js", "--log-level", "warn"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--fixtures", folder.parent / "aimock_fixtures.json"),
    ]


def litserve(port: int) -> list[str | Path]:
    folder = part("litserve")
    return [folder / "bin" / "python", folder.parent / "litserve_app.py", str(port)]


COMMANDS = {"llama": llama_server, "aimock": aimock, "litserve": litserve}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a server and what it started: all of it is in the process group that it leads."""
    for what, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, what)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def is_healthy(port: int, path: str = "/health") -> bool:
    # By hand, because HTTP clients may be under recording or replay where this is asked.
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as ask:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ask.sendall(head.encode())
        return ask.recv(12) == b"HTTP/1.1 200"
    return False


@contextlib.contextmanager
def running(name: str, log: Path) -> Iterator[str]:
    """The base URL of a server that runs until the block is left; what it prints is in the log."""
    with started(COMMANDS[name], log) as port:
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def started(
    command: Callable[[int], list[str | Path]], log: Path, path: str = "/health"
) -> Iterator[int]:
    """The port of the server that a command starts, once it answers at the path."""
    for _ in range(3):  # another process may take the port first
        port = free_port()
        with log.open("wb") as printed:
            process = subprocess.Popen(
                command(port),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + PATIENCE
        try:
            while process.poll() is None and time.monotonic() < until:
                if is_healthy(port, path):
                    yield port
                    return
                time.sleep(0.05)
        finally:
            end(process)
    raise RuntimeError(f"{command.__name__} does not start:\n{log.read_text(errors='replace')}")
