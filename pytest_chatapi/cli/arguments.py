"""What the commands share: the type of the subparsers, ``--format``, the check of a number."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ["Commands", "add_format", "whole_number"]

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
