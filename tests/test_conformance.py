"""Each probe passes the obedient server and is failed by a server with its own fault."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_servers import Answered, Fault, edits, results

from pytest_chatapi.conformance.probe import checks


def _not_cut(answered: Answered) -> None:
    answered.body = answered.body.replace(b'"length"', b'"stop"')


def _no_call(value: dict[str, Any]) -> None:
    for choice in value["choices"]:
        for part in ("message", "delta"):
            if part in choice:
                choice[part].pop("tool_calls", None)


FAULTS: dict[str, tuple[Fault, str]] = {
    "text.basic": (edits(lambda value: value.pop("model")), "model"),
    "text.max-completion-tokens": (_not_cut, "finish_reason does not say so"),
    "tools.required": (edits(_no_call), "has no call"),
}
"""Id of a probe to the fault that fails it, and what the reason says."""


@pytest.mark.parametrize("name", sorted({check.probe.id for check in checks()}))
def test_each_probe_has_its_fault(name: str) -> None:
    assert name in FAULTS


@pytest.mark.parametrize("name", FAULTS)
def test_the_obedient_server_passes(name: str) -> None:
    for result in results([name]).values():
        assert (result.verdict.value, result.reason) in (("pass", ""),), result.check.id


@pytest.mark.parametrize("name", FAULTS)
def test_a_probe_is_failed_by_its_fault(name: str) -> None:
    fault, reason = FAULTS[name]
    for result in results([name], fault).values():
        assert result.verdict.value == "fail", result.check.id
        assert reason in result.reason
