"""Which files to read: named files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.files import os_reason
from pytest_chatapi.reading.format import OnError
from pytest_chatapi.reading.registry import registered

__all__ = ["AnyPath", "find", "is_recording", "suffixes", "walk"]

AnyPath = str | os.PathLike[str]

# Files that any project has beside its recordings, and that are not taken for one.
_PROSE_AND_CODE = frozenset(
    ".cjs .go .java .js .jsx .kt .md .mjs .php .py .pyc .pyi .rb .rst .sh .ts .tsx".split()
)


def _ignore(path: Path) -> None:
    pass


def suffixes() -> tuple[str, ...]:
    """Those of the files that are read when a folder is named, each also with ``.gz`` or
    ``.zst``.
    """
    return tuple(suffix for format in registered().every() for suffix in format.suffixes)


def is_recording(name: str) -> bool:
    """Whether a file is read when its folder is named, by the end of its name."""
    name = name.lower().removesuffix(".gz").removesuffix(".zst")
    return name.endswith(suffixes())


def find(
    paths: Iterable[AnyPath],
    on_error: OnError | None = None,
    on_other: Callable[[Path], None] = _ignore,
) -> list[Path]:
    """The files to read: named files, the files of folders and of patterns; ``-`` stays ``-``.

    Each file is listed once.

    Args:
        on_error: called for each path that does not exist and each folder that cannot be
            read, and the search goes on; without it the first such error is raised.
        on_other: called for each file of a folder that has none of `suffixes`, see `walk`.
    """

    def report(error: ReadError) -> None:
        if on_error is None:
            raise error
        on_error(error)

    files: dict[Path, None] = {}
    for path in paths:
        files.update(dict.fromkeys(_files_of(os.fspath(path), report, on_other)))
    return list(files)


def _files_of(path: str, on_error: OnError, on_other: Callable[[Path], None]) -> Iterator[Path]:
    if os.path.isdir(path):
        yield from walk(path, on_error, on_other)
    elif path == "-" or os.path.exists(path):
        yield Path(path)
    elif "://" in path:  # which may be signed, and so have a question mark
        reason = "a URL: chatapi check --rates reads it, or download it"
        on_error(ReadError(without_secrets(path), "", reason))
    elif glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            on_error(ReadError(path, "", "no file matches"))
        for match in matches:
            if os.path.isdir(match):
                yield from walk(match, on_error, on_other)
            else:
                yield Path(match)
    else:
        on_error(ReadError(path, "", _why_missing(path)))


def walk(
    folder: str, on_error: OnError, on_other: Callable[[Path], None] = _ignore
) -> Iterator[Path]:
    """The files below `folder` with one of `suffixes`, in sorted order, without hidden ones.

    Args:
        on_error: called for each folder that cannot be read.
        on_other: called for each other file that is not hidden, and neither prose nor code.
    """

    def failed(error: OSError) -> None:
        on_error(ReadError(str(error.filename or folder), "", os_reason(error)))

    for place, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                if is_recording(name):
                    yield path
                elif path.suffix.lower() not in _PROSE_AND_CODE:
                    on_other(path)


def _why_missing(path: str) -> str:
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        return os_reason(error)
    return "no such file or folder"
