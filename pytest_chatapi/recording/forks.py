"""Tells a test of requests that its forked children sent: they have a copy of its recorder, and
what that records is lost with them.
"""

from __future__ import annotations

import mmap
import os
from functools import cache
from weakref import WeakSet

__all__ = ["ForkNote"]

_SIZE = 512


class ForkNote:
    """A line from a forked child to its parent.

    The page that they share is made before the first fork, as hardly any test forks.

    Attributes:
        is_child: this is a copy in a forked process.
    """

    def __init__(self) -> None:
        self.is_child = False  # read for each request, so no system call
        self._page: mmap.mmap | None = None
        notes = _all_notes()
        if notes is not None:
            notes.add(self)

    def prepare(self) -> None:
        if self._page is None and not self.is_child:
            self._page = mmap.mmap(-1, _SIZE)

    def write(self, line: str) -> None:
        """Leave a line for the parent; the last one stays."""
        if self._page is not None:
            self._page[:] = line.encode("utf-8", "replace")[:_SIZE].ljust(_SIZE, b"\0")

    def take(self) -> str:
        """The line of a child, once; ``""`` where there is none."""
        if self._page is None:
            return ""
        line = self._page[:].rstrip(b"\0").decode("utf-8", "replace")
        self._page[:] = bytes(_SIZE)
        return line


@cache
def _all_notes() -> WeakSet[ForkNote] | None:
    """Those of this process; ``None`` where processes do not fork."""
    if not hasattr(os, "register_at_fork"):
        return None
    notes: WeakSet[ForkNote] = WeakSet()

    def prepare() -> None:
        for note in list(notes):
            note.prepare()

    def mark() -> None:
        for note in list(notes):
            note.is_child = True

    os.register_at_fork(before=prepare, after_in_child=mark)  # for good: it cannot be undone
    return notes
