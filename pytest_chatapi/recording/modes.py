"""The record modes. In a file of their own, since pytest's start-up reads them for a flag."""

from __future__ import annotations

__all__ = ["RECORD_MODES"]

RECORD_MODES = ("none", "once", "new_episodes", "all", "rewrite")
