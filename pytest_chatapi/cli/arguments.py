"""What the commands share: the type of the subparsers, and the check of a whole number."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Commands", "whole_number"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What ``add_subparsers()`` returns; each command adds itself to it."""


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
