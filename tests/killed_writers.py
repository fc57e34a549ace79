"""Processes that write into one cassette until they are killed. Not a test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["PIECE", "killing"]

PIECE = b"x" * 20_000

# Imports once, and then forks a writer for each number that it reads.
_NURSERY = """
import os, sys, traceback
from pathlib import Path
from killed_writers import PIECE
from pytest_chatapi import Request
from pytest_chatapi.recording.appending import Appender
from pytest_chatapi.recording.cassette import prepared, write
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.redactor import Redactor

def tell(*words):  # in one piece: all write into one pipe
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

def work(path, appends, worker):
    redactor = Redactor(environ={})
    more = {"appender": Appender()} if appends else {}
    for number in range(10_000):
        body = b'{"worker": %d, "n": %d}' % (worker, number)
        pieces = [PIECE] if appends else []
        made = Interaction(Request("POST", "https://x.example/", {}, body), pieces=pieces)
        write(path, path.name, prepared(path, path.name, [made], redactor), **more)
        tell(worker, number)

path, appends, children = Path(sys.argv[1]), sys.argv[2] == "True", []
for line in sys.stdin:
    if line == "reap\\n":
        while children:
            os.waitpid(children.pop(), 0)
        tell("reaped")
    elif child := os.fork():
        children.append(child)
        tell("pid", child)
    else:
        try:
            work(path, appends, int(line))
        except BaseException:
            traceback.print_exc()
        tell("failed")
        os._exit(1)
"""


@contextlib.contextmanager
def killing(path: Path, *, appends: bool) -> Iterator[Callable[[dict[int, int]], list[list[int]]]]:
    """A function that lets writers write into the cassette and kills them.

    It takes, for each writer, how many interactions it writes at the least, and returns the numbers
    of those that each writer has reported as written. However slow the machine is: all are at work
    before one is killed.
    """
    nursery = subprocess.Popen(
        [sys.executable, "-c", _NURSERY, str(path), str(appends)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    stdin, stdout = nursery.stdin, nursery.stdout
    pids: list[int] = []

    def killed(quotas: dict[int, int]) -> list[list[int]]:
        written: dict[int, list[int]] = {worker: [] for worker in quotas}

        def read_while(goes_on: Callable[[], bool]) -> None:
            while goes_on():
                first, _, second = stdout.readline().strip().partition(" ")
                assert first not in ("failed", "")
                if first == "pid":
                    pids.append(int(second))
                elif first == "reaped":
                    pids.clear()
                else:
                    written[int(first)].append(int(second))

        for worker in quotas:
            print(worker, file=stdin, flush=True)
        read_while(lambda: any(len(written[worker]) < n for worker, n in quotas.items()))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        print("reap", file=stdin, flush=True)
        read_while(lambda: bool(pids))
        return list(written.values())

    try:
        yield killed
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        nursery.communicate()
