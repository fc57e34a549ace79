"""Servers with one thing wrong, a module for each capability. Not tests.

The tables that a module may have, each by the id of a probe:

- ``FAULTS``: the fault that fails it, and words of the reason. Every probe has one.
- ``LOOSE``: a fault that makes it ``non-strict``, and words of the reason.
- ``MORE``: another fault that fails it.
- ``PASS``: what a server may do beside what the obedient one does.
- ``OBEDIENT``: the verdict on the obedient server, where that is not ``pass``.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

__all__ = ["joined"]


def joined(table: str) -> dict[str, Any]:
    """The tables of this name of all modules, as one."""
    rows: dict[str, Any] = {}
    for module in pkgutil.iter_modules(__path__):
        rows |= getattr(import_module(f"{__name__}.{module.name}"), table, {})
    return rows
