"""The keys under which hooks and fixtures keep what they share; nothing is kept in globals."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_chatapi.config.baseline import Baseline
    from pytest_chatapi.config.file import Configuration
    from pytest_chatapi.plugin.checking import Checks
    from pytest_chatapi.plugin.run import Run
    from pytest_chatapi.plugin.run_budget import RunBudget

__all__ = [
    "BASELINE",
    "CHECKS",
    "CLOSED_PORTS",
    "CONFIGURATION",
    "GUARD",
    "HAS_EARLY_KEY",
    "IS_RECORDED",
    "REFUSED",
    "RUN",
    "RUN_BUDGET",
]

CONFIGURATION: pytest.StashKey[Configuration] = pytest.StashKey()
"""Of the configuration: the file of settings, that applies to the run."""

BASELINE: pytest.StashKey[Baseline] = pytest.StashKey()
"""Of the configuration: the known findings. Absent without a baseline."""

RUN: pytest.StashKey[Run] = pytest.StashKey()
"""Of the configuration: what the tests of one run have in common."""

RUN_BUDGET: pytest.StashKey[RunBudget] = pytest.StashKey()
"""Of the configuration: what the run may spend. Absent without a budget."""

IS_RECORDED: pytest.StashKey[bool] = pytest.StashKey()
"""Of a test: it is recorded and replayed. Absent if not."""

REFUSED: pytest.StashKey[str] = pytest.StashKey()
"""Of a test: why it cannot run."""

GUARD: pytest.StashKey[ExitStack] = pytest.StashKey()
"""Of a test that is recorded, from its setup on: takes down the network guard."""

CLOSED_PORTS: pytest.StashKey[set[int]] = pytest.StashKey()
"""Of a test that is recorded: ports of this machine to which its guard allows no connection."""

HAS_EARLY_KEY: pytest.StashKey[bool] = pytest.StashKey()
"""Of a test: a fixture of wider scope got the API key of a replay. Absent if not."""

CHECKS: pytest.StashKey[Checks] = pytest.StashKey()
"""Of a test that has its handle by now: what is checked at the ends of its phases."""
