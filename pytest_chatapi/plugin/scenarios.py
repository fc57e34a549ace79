"""The scenarios of ``@pytest.mark.chatapi_faults``: a test runs once for each."""

from __future__ import annotations

import pytest

from pytest_chatapi.errors import SettingError

__all__ = ["scenario_of", "scenarios_of"]


def scenarios_of(item: pytest.Item, marker: pytest.Mark) -> list[str]:
    """The texts of the plans that a marker names, without repeats; sets are expanded.

    Raises:
        pytest.UsageError: a name is wrong, or there is none.
    """
    from pytest_chatapi.faults import SETS, parse  # most tests that are recorded need none of it

    where = f"{item.nodeid}: @pytest.mark.chatapi_faults"
    if marker.kwargs or not marker.args:
        raise pytest.UsageError(f"{where} takes names of faults, plans or sets: {', '.join(SETS)}")
    texts: list[str] = []
    for argument in marker.args:
        try:
            steps = parse(str(argument))
        except SettingError as error:
            raise pytest.UsageError(f"{where}: {error}") from None
        texts += map(str, steps) if argument in SETS else [str(argument)]
    return list(dict.fromkeys(texts))


def scenario_of(item: pytest.Item) -> str:
    """The scenario that an item runs, or ``""``."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("_chatapi_scenario", "")) if callspec is not None else ""
