"""Fixtures that more than one module needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stub_server
from recording_runs import HEAD

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with stub_server.running() as server:
        yield server


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: Any) -> Any:
    """Runs pytest in a process of its own, on the module that is given."""
    for name in ("CI", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "k3y-of-the-test")
    monkeypatch.setenv("COLUMNS", "100")

    def go(test: str = "", *flags: str, ini: str = "") -> pytest.RunResult:
        if test:
            pytester.makepyfile(test_it=HEAD + test)
        pytester.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\n{ini}\n")
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *flags)

    return go
