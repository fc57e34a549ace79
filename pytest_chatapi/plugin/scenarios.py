"""The scenarios of ``@pytest.mark.chatapi_faults``: a test runs once for each."""

from __future__ import annotations

import pytest

from pytest_chatapi.errors import SettingError

__all__ = ["WrongScenarios", "check_scenarios", "scenario_of", "scenarios_of"]


class WrongScenarios(Exception):
    """A marker names what is not a scenario; the message says what."""


def scenarios_of(marker: pytest.Mark) -> list[str]:
    """The texts of the plans that a marker names, without repeats; sets are expanded.

    Raises:
        WrongScenarios: a name is wrong, or there is none.
    """
    # Most recorded tests need none of it.
    from pytest_chatapi.faults import SETS, Fault, parse

    where = "@pytest.mark.chatapi_faults"
    if marker.kwargs or not marker.args:
        raise WrongScenarios(f"{where} takes names of faults, plans or sets: {', '.join(SETS)}")
    texts: list[str] = []
    for argument in marker.args:
        if not isinstance(argument, str | Fault):
            kind = type(argument).__name__
            if isinstance(argument, list | tuple | set):
                raise WrongScenarios(f"{where}: pass names as separate arguments, not a {kind}")
            raise WrongScenarios(f"{where} takes names of faults, plans or sets, not {kind}")
        try:
            steps = parse(str(argument))
        except SettingError as error:
            raise WrongScenarios(f"{where}: {error}") from None
        texts += map(str, steps) if argument in SETS else [str(argument)]
    return list(dict.fromkeys(texts))


def check_scenarios(item: pytest.Item, marker: pytest.Mark) -> None:
    """Check that an item runs one of the scenarios that its marker names.

    Raises:
        WrongScenarios: a name is wrong, or pytest made no test for each.
    """
    scenarios_of(marker)
    if not scenario_of(item):
        raise WrongScenarios(
            f"@pytest.mark.chatapi_faults cannot run {_what(item)} once for each fault: "
            "use a test function, or a class that is not a unittest.TestCase"
        )


def _what(item: pytest.Item) -> str:
    """What an item is that pytest does not parametrize."""
    if isinstance(item, pytest.Function) and item.parent is not None:
        return f"a method of the unittest.TestCase {item.parent.name}"
    return f"this {type(item).__name__}"


def scenario_of(item: pytest.Item) -> str:
    """The scenario that an item runs, or ``""``."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("_chatapi_scenario", "")) if callspec is not None else ""
