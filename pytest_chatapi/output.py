"""Where a report goes: to standard output, or into a file; and whether it is coloured."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_chatapi.errors import ReadError

__all__ = ["Progress", "require_writable", "short_names", "show", "wants_colour", "write"]


def show(text: str, output: str | None) -> None:
    """Print a report, or write it to the file `output`.

    Raises:
        ReadError: it cannot be written.
    """
    if output is None:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    else:
        write(output, text)


def short_names(files: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names of files for a report: without folder and ending, where that tells them apart."""
    stems = [Path(file).stem for file in files]
    return [
        stem if stems.count(stem) == 1 else os.fspath(file)
        for stem, file in zip(stems, files, strict=True)
    ]


def write(output: str, text: str) -> None:
    """Write a text to a file, which is there completely or not at all.

    Raises:
        ReadError: it cannot be written.
    """
    # Written beside the target and renamed.
    target, in_place = _target(output)
    partial = target if in_place else target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        if not in_place:
            os.replace(partial, target)
    except OSError as error:
        if not in_place:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        raise ReadError(output, "", f"cannot be written: {error.strerror}") from None


def require_writable(output: str | None) -> None:
    """Look whether a report can be written to `output`, before it costs anything to make.

    Raises:
        ReadError: it cannot.
    """
    if output is None:
        return
    target, in_place = _target(output)
    if not in_place and not target.parent.is_dir():
        raise ReadError(output, "", f"cannot be written: {target.parent} is not a folder")
    if not os.access(target if in_place else target.parent, os.W_OK):
        raise ReadError(output, "", "cannot be written: permission denied")


def _target(output: str) -> tuple[Path, bool]:
    """The file itself, and whether it must be written in place: a device or a pipe. Root would
    replace even ``/dev/null`` by a file.
    """
    path = Path(output)
    if not path.name or path.is_dir():
        raise ReadError(output, "", "cannot be written: it is a folder, name a file in it")
    target = Path(os.path.realpath(path))
    return target, target.exists() and not target.is_file()


def wants_colour(output: str | None) -> bool:
    """Whether a report that is shown as text is coloured."""
    if output is not None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


# Fewer files are checked before anybody could read a progress bar.
_WORTH_PROGRESS = 21


class Progress:
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
