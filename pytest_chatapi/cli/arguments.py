"""What the commands share: the type of the subparsers, ``--format``, numbers, files of reports."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from pytest_chatapi.errors import ReadError

__all__ = ["Commands", "add_format", "whole_number", "write_report"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What ``add_subparsers()`` returns; each command adds itself to it."""


def add_format(parser: argparse.ArgumentParser, formats: Iterable[str]) -> None:
    """Add the option ``--format``; the first of `formats` is the default."""
    choices = tuple(formats)
    parser.add_argument(
        "--format",
        choices=choices,
        default=choices[0],
        help="output format (default: %(default)s)",
    )


def whole_number(what: str, least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Return an argparse type for whole numbers from `least` to `most`.

    Args:
        what: what the number is, for the error message: ``a number of bytes``.
    """
    allowed = f"{least} or more" if most is None else f"{least}-{most}"

    def number(text: str) -> int:
        if text.isascii() and text.isdigit():
            value = int(text)
            if value >= least and (most is None or value <= most):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} ({allowed})")

    return number


def write_report(path: Path, text: str) -> None:
    """Write a file completely or not at all.

    Raises:
        ReadError: it cannot be written.
    """
    if not path.name or path.is_dir():
        raise ReadError(str(path), "", "cannot be written: it is a folder, name a file in it")
    target = Path(os.path.realpath(path))
    # A device or a pipe must be written to: root would replace even /dev/null by a file.
    in_place = target.exists() and not target.is_file()
    partial = target if in_place else target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        if not in_place:
            os.replace(partial, target)
    except OSError as error:
        if not in_place:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        raise ReadError(str(path), "", f"cannot be written: {error.strerror}") from None
