"""The line of the user's code that sends a request."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType

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
    # Each frame that is looked at costs a little, for each request; the nearest three are ours.
    frame: FrameType | None = sys._getframe(_OURS)
    is_users = _IS_USERS
    while frame is not None:
        if is_users[frame.f_code.co_filename]:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class _IsUsers(dict[str, bool]):
    """Whether a file is the user's, decided once."""

    def __missing__(self, file: str) -> bool:
        if len(self) > _REMEMBERED:
            self.clear()
        self[file] = _is_users(file)
        return self[file]


_OURS = 3
"""Frames of this package between a client and `sender`."""

_REMEMBERED = 4096
_IS_USERS = _IsUsers()


def _is_users(file: str) -> bool:
    # Code in no file has a name in angle brackets; the script `pytest` has no suffix.
    is_others = file.startswith(_OTHERS) or any(part in file for part in _INSTALLED)
    return file.endswith(".py") and file[:1] != "<" and not is_others
