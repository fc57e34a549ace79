"""`chatapi conform client` on consumers that nobody here wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import real_servers
from consumer_runs import CONSUMERS, conform_consumer
from write_consumers import failures_on

pytest.importorskip("uvicorn")
PAGE = Path(__file__).parents[2] / "docs" / "consumers.md"


@pytest.mark.parametrize("name", CONSUMERS)
def test_failures_are_those_that_were_looked_at(name: str, tmp_path: Path) -> None:
    try:
        status, report = conform_consumer(name, tmp_path)
    except real_servers.Unavailable as missing:
        pytest.skip(str(missing))
    failed = [check for check in report["checks"] if check["verdict"] == "fail"]
    assert [(check["id"], check["reason"]) for check in failed if not check["known"]] == []
    assert status == 0  # 1 if one that is known is none any more
    assert failures_on(PAGE.read_text(encoding="utf-8"), name) == {c["id"] for c in failed}
