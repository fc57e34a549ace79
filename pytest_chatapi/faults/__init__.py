"""All that can go wrong with a response, each as a function: ``faults.rate_limit(retry_after=2)``.

`CATALOGUE` has all of them by name, `SETS` the named sets, `parse` reads their text form, and a
`Plan` says which comes when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_chatapi.contract.wording import did_you_mean
from pytest_chatapi.faults.deviations import *  # noqa: F403
from pytest_chatapi.faults.fault import CATALOGUE as CATALOGUE
from pytest_chatapi.faults.fault import Fault as Fault
from pytest_chatapi.faults.plan import SETS as SETS
from pytest_chatapi.faults.plan import Plan as Plan
from pytest_chatapi.faults.plan import parse as parse
from pytest_chatapi.faults.responses import *  # noqa: F403
from pytest_chatapi.faults.streams import *  # noqa: F403
from pytest_chatapi.faults.table import table as table

if not TYPE_CHECKING:  # which finds a misspelt name by itself

    def __getattr__(name: str) -> object:
        # pytest asks each name in a test module for a dozen private attributes.
        hint = "" if name.startswith("_") else did_you_mean(name, CATALOGUE, cutoff=0.5)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
