"""Logs that are elsewhere: object stores and other file systems, by fsspec (extra ``logs``)."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any, BinaryIO, cast

from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.find import is_recording

__all__ = ["expanded", "is_url", "opened", "version_of"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# In these URLs a question mark starts the query, which may hold a signature. It is not a pattern.
_WITH_QUERY = re.compile(r"https?://[^?*]+\?", re.IGNORECASE)


def is_url(path: str) -> bool:
    """Whether a path is one that fsspec opens: ``s3://bucket/logs/*.jsonl.gz``."""
    return _URL.match(path) is not None


def expanded(url: str) -> tuple[list[str], int]:
    """The URLs of the files below a folder, or that match a pattern; in order. And the number of
    other files in the folder, see `is_recording`.

    Raises:
        ReadError: there are none, or the place cannot be reached.
    """
    if _WITH_QUERY.match(url):
        return [url], 0
    system, path = _system(url)
    try:
        system.invalidate_cache()  # a process that looks twice is to see what is new
        if any(sign in path for sign in "*?["):
            names = [name for name in system.glob(path) if not system.isdir(name)]
            if not names:
                raise ReadError(url, "", "no file matches")
            return [_url(system, name) for name in sorted(names)], 0
        if system.isfile(path):
            return [url], 0
        names = sorted(system.find(path))
    except ReadError:
        raise
    except Exception as error:  # of whichever library fsspec uses
        raise _unreachable(url, error) from None
    if not names:
        raise ReadError(url, "", "no such file or folder")
    kept = [name for name in names if is_recording(name.rpartition("/")[2])]
    return [_url(system, name) for name in kept], len(names) - len(kept)


def opened(url: str) -> BinaryIO:
    """The file, opened to be read.

    Raises:
        ReadError: it cannot be.
    """
    system, path = _system(url)
    try:
        return cast(BinaryIO, system.open(path, "rb"))
    except Exception as error:
        raise _unreachable(url, error) from None


def version_of(path: str) -> str:
    """What changes when a file does: its size with its times or tag; the time of its entry as well,
    since `cp -p` and `rsync` set that of its content. Empty where there are neither.

    Raises:
        ReadError: there is no such file.
    """
    if not is_url(path):
        try:
            about = os.stat(path)
        except OSError as error:
            raise ReadError(path, "", f"cannot be read: {error.strerror}") from None
        return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
    system, name = _system(path)
    try:
        info = system.info(name)
    except Exception as error:
        raise _unreachable(path, error) from None
    marks = ("ETag", "etag", "LastModified", "mtime", "updated", "last_modified", "created")
    changed = next((info[mark] for mark in marks if info.get(mark)), None)
    return "" if changed is None else f"{info.get('size')} {changed}"


def _system(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        reason = "fsspec is not installed: pip install 'pytest-chatapi[logs]'"
        raise ReadError(url, "", reason) from None
    try:
        # A signature may be of the URL as it is written, and so it is not quoted anew.
        as_written = {"encoded": True} if _WITH_QUERY.match(url) else {}
        system, path = fsspec.core.url_to_fs(url, **as_written)
    except (ImportError, ValueError) as error:  # names the package to install
        raise ReadError(url, "", str(error).splitlines()[0]) from None
    except Exception as error:
        raise _unreachable(url, error) from None
    return system, path


def _url(system: Any, name: str) -> str:
    return str(system.unstrip_protocol(name))


def _unreachable(url: str, error: Exception) -> ReadError:
    text = ""
    with suppress(Exception):
        text = str(error).splitlines()[0]
    if isinstance(error, FileNotFoundError):
        expired = ", or the URL has expired" if _WITH_QUERY.match(url) else ""
        return ReadError(url, "", f"no such file or folder{expired}")
    return ReadError(url, "", f"cannot be read: {type(error).__name__}: {text}")
