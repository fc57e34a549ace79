"""Logs of many exchanges: checked row by row, judged by the rate of what is found.

`check_batch` is for the engines that hold such logs; ``chatapi check --rates`` is the command.
"""

from __future__ import annotations

from pytest_chatapi.logs.batches import check_batch, finding_schema

__all__ = ["check_batch", "finding_schema"]
