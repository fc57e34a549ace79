"""The line of the user's code that sends a request."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache

import pytest_chatapi

__all__ = ["sender"]

_OTHERS = tuple(
    os.path.join(folder, "")
    for folder in {
        os.path.dirname(pytest_chatapi.__file__),
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
    }
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def sender() -> str:
    """``FILE:LINE`` of the innermost caller outside of installed packages; empty without one.

    In a coroutine, its callers are those that await it.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


@lru_cache(4096)
def _is_users(file: str) -> bool:
    # Code in no file has a name in angle brackets; the script `pytest` has no suffix.
    is_others = file.startswith(_OTHERS) or any(part in file for part in _INSTALLED)
    return file.endswith(".py") and file[:1] != "<" and not is_others
