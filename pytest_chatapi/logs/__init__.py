"""Logs of many exchanges: checked row by row, judged by the rate of what is found.

`check_batch` is for the engines that hold such logs; ``chatapi check --rates`` is the command.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pytest_chatapi.logs.batches import check_batch, finding_schema

__all__ = ["check_batch", "finding_schema"]


def __getattr__(name: str) -> object:
    """Load what is for engines when it is used: the command needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_chatapi.logs import batches

    return getattr(batches, name)
