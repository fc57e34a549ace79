"""How many processes check files, and which files they share."""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = ["WORTH_PROCESSES", "jobs_for", "shares", "size_of"]

# Below this many bytes of input, starting processes costs more than it saves.
WORTH_PROCESSES = 32 * 1024 * 1024

# And below this many bytes of a file, so does sharing its rows.
_WORTH_SHARES = 16 * 1024 * 1024


def size_of(path: str, elsewhere: int = 0) -> int:
    """The bytes of a file.

    Args:
        elsewhere: what counts for standard input, and for what is not on this machine.
    """
    return os.path.getsize(path) if os.path.isfile(path) else elsewhere


def jobs_for(sizes: Iterable[int]) -> int:
    """One process for each processor, if there is enough to do."""
    return (os.cpu_count() or 1) if sum(sizes) > WORTH_PROCESSES else 1


def shares(path: str, jobs: int) -> list[tuple[int, int]]:
    """What each process takes of the rows of a file, as `RecordedFile` has it: one all of a small
    file.
    """
    count = jobs if size_of(path) > _WORTH_SHARES else 1
    return [(share, count) for share in range(count)]
