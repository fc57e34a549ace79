"""Rates of made-up logs, for tests of reports of them. Not a test."""

from __future__ import annotations

from typing import Any

from figures_reports import HOSTILE

from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.findings import Finding, Level
from pytest_chatapi.errors import ReadError
from pytest_chatapi.logs.changes import changes_of
from pytest_chatapi.logs.limits import Limits
from pytest_chatapi.logs.rates import Rates
from pytest_chatapi.logs.rows import CheckedRow
from pytest_chatapi.logs.shown import Outcome

START = 1793491200.0  # 2026-11-01
HOUR = 3600.0
EXERCISED = "+".join(["0", *(code for code in rules() if code[0] in "CJLSUK")])


def found(code: str, level: Level = "error", **more: str) -> Finding:
    texts = {"path": "$.usage.total_tokens", "got": "41", "message": "the total is too low", **more}
    return Finding(
        code, "name", level, "openai", texts["path"], "42", texts["got"], texts["message"]
    )


def row(at: float, *findings: Finding, **more: Any) -> CheckedRow:
    """A row of an assembled log, so many hours after the first."""
    kept: dict[str, Any] = {
        "id": f"chatcmpl-{at}",
        "time": START + at * HOUR,
        "provider": "vllm-prod:8000",
        "model": "qwen3-8b",
        "exercised": EXERCISED,
        "is_assembled": True,
        **more,
    }
    return CheckedRow(findings=list(findings), **kept)


def outcome(*limits: str, rows: list[CheckedRow] | None = None) -> Outcome:
    """By default ten days of two models, of which one has U02 from the sixth day on."""
    if rows is None:
        rows = [row(at / 2, *[found("U02")] * (at >= 240 and at % 8 == 0)) for at in range(480)]
        other = {"provider": "api.openai.com", "model": "gpt-5.2"}
        rows += [row(at, *[found("S07", "warning")] * (at == 7), **other) for at in range(240)]
        rows.append(row(3, found("Q13", "note"), exercised="0+Q13"))
    rates = Rates(files=1)
    for one in rows:
        rates.count(one, "log.jsonl:7")
    return Outcome(rates, Limits(limits).verdicts(rates), changes_of(rates))


def hostile() -> Outcome:
    """Markup wherever a log is quoted."""
    texts = {"path": HOSTILE, "got": HOSTILE, "message": HOSTILE}
    names = {"id": HOSTILE, "provider": HOSTILE, "model": HOSTILE}
    rows = [row(at, *[found("U02", **texts)] * (at > 99), **names) for at in range(200)]
    rows += [row(0, skipped=HOSTILE), row(0, problem=HOSTILE, id=HOSTILE)]
    given = outcome(rows=rows)
    given.rates.left_out[HOSTILE] = 1
    given.unread[HOSTILE] = 1
    given.errors.append(ReadError(HOSTILE, HOSTILE, HOSTILE))
    assert given.changes
    return given
