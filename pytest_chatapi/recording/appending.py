"""Adds recordings to a cassette without writing all of it, and as atomically as if it were.

A process that was killed while it wrote at the end of a cassette would leave half a recording. So
there are two copies of the file: a recording goes to the end of the spare one, which then takes the
name of the cassette, while the copy that had it becomes the spare one. Each recording is written
twice, whatever the size of the file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TypeAlias

__all__ = ["Appender"]

_Identity: TypeAlias = tuple[int, int, int, int]
"""Device, number, size and time of change: equal as long as no other process writes to a file."""


class Appender:
    """Appends to one cassette, as long as this process alone writes to it.

    Its methods must be called under the cassette's lock.
    """

    def __init__(self) -> None:
        self._written: _Identity | None = None
        self._end = b""
        self._spare: Path | None = None
        self._spare_written: _Identity | None = None
        self._missing = b""  # what the spare copy does not have
        self._has_links = True  # as far as is known of the file system

    def wrote(self, path: Path, end: bytes) -> None:
        """Note that this process has just written all of a cassette.

        Args:
            end: the bytes after the last recording.
        """
        self.close()
        self._written, self._end = _identity(path), end

    def append(self, path: Path, data: bytes, spare: str) -> bool:
        """Append to the cassette; return whether that was possible.

        Args:
            data: the recordings, with what separates them from those before.
            spare: the beginning of a name that the spare copy may have.

        Raises:
            OSError: the disk is full, or the like; the cassette is as it was.
        """
        known = self._written is not None and _identity(path) == self._written
        if not known or not self._has_links:
            self.close()
            return False
        copy = self._spare_copy(path, spare)
        with open(copy, "r+b") as file:
            file.seek(-len(self._end), os.SEEK_END)
            file.write(self._missing + data + self._end)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(copy, path.stat().st_mode & 0o7777)
        other = path.with_name(f"{spare}{secrets.token_hex(8)}.tmp")
        try:
            os.link(path, other)
        except OSError:  # a file system without hard links
            self._has_links = False
            self.close()
            return False
        os.replace(copy, path)
        self._spare, self._spare_written, self._missing = other, self._written, data
        self._written = _identity(path)
        return True

    def _spare_copy(self, path: Path, name: str) -> Path:
        if self._spare is not None:
            # What has another name still, such as a backup made of hard links, must not change.
            is_ours = _identity(self._spare) == self._spare_written is not None
            if is_ours and self._spare.stat().st_nlink == 1:
                return self._spare
            self._remove_spare()
        self._spare = path.with_name(f"{name}{secrets.token_hex(8)}.tmp")
        self._spare_written, self._missing = None, b""
        shutil.copyfile(path, self._spare)
        return self._spare

    def close(self) -> None:
        """Remove the spare copy."""
        self._written = None
        self._remove_spare()

    def _remove_spare(self) -> None:
        if self._spare is not None:
            with contextlib.suppress(OSError):
                self._spare.unlink()
            self._spare = None


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
