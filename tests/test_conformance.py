"""Each probe passes the obedient server and is failed by a server with its own fault."""

from __future__ import annotations

import pytest
from conformance_faults import joined
from conformance_servers import Fault, results

from pytest_chatapi.conformance.probe import checks
from pytest_chatapi.conformance.probes.structured import begins_object

FAULTS, MORE = joined("FAULTS"), joined("MORE")
LOOSE, PASS, OBEDIENT = joined("LOOSE"), joined("PASS"), joined("OBEDIENT")
PROBES = sorted({check.probe.id for check in checks()})


def test_each_probe_has_its_fault() -> None:
    assert sorted(FAULTS) == PROBES


@pytest.mark.parametrize("name", PROBES)
def test_the_obedient_server_passes(name: str) -> None:
    for result in results([name]).values():
        expected = OBEDIENT.get(name, "pass")
        assert result.verdict.value == expected, (result.check.id, result.reason)


@pytest.mark.parametrize(
    ("name", "fault", "reason"), [(n, *row) for t in (FAULTS, MORE) for n, row in t.items()]
)
def test_a_probe_is_failed_by_its_fault(name: str, fault: Fault, reason: str) -> None:
    for result in results([name], fault).values():
        assert result.verdict.value == "fail", result.check.id
        assert reason in result.reason


@pytest.mark.parametrize("name", LOOSE)
def test_what_clients_accept_is_not_strict(name: str) -> None:
    fault, reason = LOOSE[name]
    for result in results([name], fault).values():
        assert result.verdict.value == "non-strict", result.check.id
        assert reason in result.reason


@pytest.mark.parametrize("name", PASS)
def test_what_a_server_may_do_passes(name: str) -> None:
    for result in results([name], PASS[name]).values():
        assert result.verdict.value == "pass", (result.check.id, result.reason)


def test_each_beginning_of_an_object_is_one() -> None:
    text = '\n {"a": [true, null, -1.5e-7, {}], "b\\u00e9\\u4f60": "x\\"\\\\ é", '
    text += '"c": {"d": [0.5, false]}}'
    assert [text[:end] for end in range(len(text) + 1) if not begins_object(text[:end])] == []


@pytest.mark.parametrize(
    "text",
    [
        "```",
        "[1",
        "Hello",
        '{"a" 1',
        '{"a": tru,',
        '{"a": 1} x',
        '{"a": 1}.',
        '{"a": "b"e',
        '{"a": 1.5.',
        '{"a": "\\x',
        "{a",
        "{t",
        "{\\",
    ],
)
def test_what_is_not_the_beginning_of_an_object(text: str) -> None:
    assert not begins_object(text)
