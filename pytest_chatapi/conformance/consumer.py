"""Runs the command that reads responses: a process for each case, or one for all of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import IO, Any

from pytest_chatapi.contract.wording import shortened
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.fuzz.oracle import Outcome
from pytest_chatapi.redaction.names import environment_secrets

__all__ = ["KEY", "Consumer", "Hung", "Noticed", "environment"]

KEY = "sk-chatapi-conform-client"
"""What the consumer gets as its key: it opens nothing."""

_MOST = 1_000_000  # bytes that a consumer may print for one case
_KEPT_LINES = 40  # of standard error
_ERROR = re.compile(r"\s*(?:Uncaught )?(?:[\w.:]*(?:Error|Exception|Failure)|panic|fatal)\b", re.I)


class Noticed(Exception):
    """The consumer noticed an error: its exit status is not 0, or it printed ``error``."""


class Hung(Exception):
    """The consumer did not end in time."""


def environment(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the command: where the server is, and none that are named like secrets."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.upper().startswith("OPENAI_") and not any(environment_secrets({name: value}))
    }
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, [environ.get(name, ""), "127.0.0.1"]))
    return {**kept, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}


class Consumer:
    """The command under test.

    Args:
        environment: of its processes.
        timeout: seconds for one case.
        keep_alive: one process takes all cases. For each it gets a line with the name of the case,
            and prints a line: ``ok`` and what it understood, or ``error`` and why. Other lines
            are ignored.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        timeout: float,
        keep_alive: bool = False,
    ) -> None:
        self.command, self._environment = list(command), dict(environment)
        self._timeout, self._keep_alive = timeout, keep_alive
        self._process: _Process | None = None
        self.started = 0

    def run(self, case: str) -> Outcome:
        """What the consumer makes of a case.

        Raises:
            SettingError: the command cannot be started.
            ChatAPIError: it prints without being asked, or too much.
        """
        if self._process is not None and not self._process.is_idle():
            self.close()
        if self._process is None:
            self._process = _Process(self.command, self._environment, has_input=self._keep_alive)
            self.started += 1
        process, until = self._process, time.monotonic() + self._timeout
        try:
            outcome = process.answer(case, until) if self._keep_alive else process.whole(until)
        except Hung:
            self.close()
            what = "printed no line `ok` or `error`" if self._keep_alive else "did not end"
            return Outcome(error=Hung(f"{what} within {self._timeout:g} s{process.said()}"))
        except BaseException:
            self.close()
            raise
        if outcome is None:  # it ended in the case
            outcome = process.ended()
        if process.has_ended:
            self.close()
        return outcome

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _Process:
    """A process of the command, with a thread for each of its streams, and one that waits for it.

    Its lines come through a queue; ``None`` says that it has ended.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, has_input: bool
    ) -> None:
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingError(f"cannot run {command[0]!r}: {reason}") from None
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._errors: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._printed = bytearray()  # in this case
        self.has_ended = False
        output, errors = self._popen.stdout, self._popen.stderr
        assert output is not None
        assert errors is not None
        self._readers = [
            threading.Thread(target=_read, args=(output, self._lines.put), daemon=True),
            threading.Thread(target=_read, args=(errors, self._errors.append), daemon=True),
        ]
        for thread in [*self._readers, threading.Thread(target=self._wait, daemon=True)]:
            thread.start()

    def _wait(self) -> None:
        self._popen.wait()
        self._lines.put(None)

    def is_idle(self) -> bool:
        """Whether it waits for a case.

        Raises:
            ChatAPIError: it printed a line that ends one.
        """
        with contextlib.suppress(Empty):
            while True:
                line = self._lines.get_nowait()
                if line is None:
                    return False
                if _word(line):
                    raise ChatAPIError(
                        f"the consumer printed {shortened(_text(line), 60)!r} without a case: "
                        "print one line that begins with `ok` or `error` for each line of input"
                    )
        return True

    def answer(self, case: str, until: float) -> Outcome | None:
        """What it makes of a case; ``None`` if it ends in it."""
        self._printed.clear()
        self._errors.clear()
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):  # it ended: its output says so
            self._popen.stdin.write(case.encode() + b"\n")
            self._popen.stdin.flush()
        while (line := self._next(until)) is not None:
            word = _word(line)
            if word == b"ok":
                return Outcome(_value(line[3:]))
            if word == b"error":
                return Outcome(error=Noticed(f"printed error {_text(line[6:])}".rstrip()))
        return None

    def whole(self, until: float) -> Outcome | None:
        """``None`` when it has ended."""
        while self._next(until) is not None:
            pass
        return None

    def _next(self, until: float) -> bytes | None:
        try:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            raise Hung from None
        if line is None:
            self.has_ended = True
            return None
        self._keep(line)
        return line

    def _keep(self, line: bytes) -> None:
        self._printed += line
        if len(self._printed) > _MOST:
            raise ChatAPIError(f"the consumer printed more than {_MOST:,} bytes for one case")

    def ended(self) -> Outcome:
        """What it made of the case in which it ended."""
        self.end()
        with contextlib.suppress(Empty):
            while True:
                self._keep(self._lines.get_nowait() or b"")
        status = self._popen.returncode
        if status == 0:
            return Outcome(_value(bytes(self._printed)))
        what = f"ended with exit status {status}" if status > 0 else f"ended by signal {-status}"
        return Outcome(error=Noticed(what + self.said()))

    def said(self) -> str:
        """The line of standard error that tells most, with a colon before it; may be empty."""
        lines = [text for line in self._errors if (text := _text(line).strip())]
        errors = [line for line in lines if _ERROR.match(line)]
        line = errors[-1] if errors else lines[-1] if lines else ""
        return f": {line}" if line else ""

    def end(self) -> None:
        """End it, and what it started: all of that is in its process group."""
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        else:
            self._popen.kill()
        self._popen.wait()
        for thread in self._readers:
            thread.join(1)  # one that left the group may hold the other end
        self.has_ended = True


def _read(stream: IO[bytes], keep: Any) -> None:
    with stream, contextlib.suppress(ValueError, OSError):
        while line := stream.readline(_MOST):
            keep(line)


def _word(line: bytes) -> bytes:
    """``ok`` or ``error`` if the line ends a case."""
    word = line.split(maxsplit=1)[:1]
    return word[0] if word and word[0] in (b"ok", b"error") and line.startswith(word[0]) else b""


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n")


def _value(printed: bytes) -> Any:
    """What was printed, as JSON if it is that."""
    text = _text(printed)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
