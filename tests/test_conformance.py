"""Each probe passes the obedient server and is failed by a server with its own fault."""

from __future__ import annotations

import pytest
from conformance_faults import joined
from conformance_servers import results

from pytest_chatapi.conformance.probe import checks

FAULTS, LOOSE, OBEDIENT = joined("FAULTS"), joined("LOOSE"), joined("OBEDIENT")
PROBES = sorted({check.probe.id for check in checks()})


def test_each_probe_has_its_fault() -> None:
    assert sorted(FAULTS) == PROBES


@pytest.mark.parametrize("name", PROBES)
def test_the_obedient_server_passes(name: str) -> None:
    for result in results([name]).values():
        expected = OBEDIENT.get(name, "pass")
        assert result.verdict.value == expected, (result.check.id, result.reason)


@pytest.mark.parametrize("name", FAULTS)
def test_a_probe_is_failed_by_its_fault(name: str) -> None:
    fault, reason = FAULTS[name]
    for result in results([name], fault).values():
        assert result.verdict.value == "fail", result.check.id
        assert reason in result.reason


@pytest.mark.parametrize("name", LOOSE)
def test_what_clients_accept_is_not_strict(name: str) -> None:
    fault, reason = LOOSE[name]
    for result in results([name], fault).values():
        assert result.verdict.value == "non-strict", result.check.id
        assert reason in result.reason
