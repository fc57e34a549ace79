"""The record modes, in a module that imports nothing: pytest reads them at start-up."""

from __future__ import annotations

__all__ = ["RECORD_MODES"]

RECORD_MODES = ("none", "once", "new_episodes", "all", "rewrite")
