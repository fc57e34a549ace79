"""Fixtures that more than one module needs."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sleeps
import stub_server
from inner_runs import keep_imports, run_apart, run_here
from recording_runs import HEAD

pytest_plugins = ["pytester"]

# No test speaks TLS, but every client reads the machine's certificates, which takes longer than all
# that a test does with it. Those in a folder are not read before they are needed.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

# Each worker, and each child of a test, would rewrite and compile all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: exhaustive; runs with -m slow, or by its node id")
    runs_tests = config.getoption("dist", "no") == "no"  # the controller of workers does not
    if runs_tests or config.getoption("--hypothesis-profile", None):
        register_profiles()
    if runs_tests:
        gc.disable()  # until all is collected: next to nothing of it is garbage
        keep_imports()


def register_profiles() -> None:
    """Use the same examples in each run, however busy the machine is and whatever else it runs.

    More and others are tried with `--hypothesis-profile search`.
    """
    from hypothesis import HealthCheck, settings
    from hypothesis.internal.conjecture import providers

    steady = settings(
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=50,
        derandomize=True,
    )
    settings.register_profile("steady", steady)
    settings.register_profile("search", steady, max_examples=300, derandomize=False)
    settings.load_profile("steady")
    # It tries constants of all modules that happen to be loaded too: others in each worker.
    providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    is_named = any("::" in argument for argument in config.args)
    if is_named or "slow" in config.getoption("markexpr"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)


def pytest_collection_finish() -> None:
    # What has been imported stays: the garbage collector need not look at it after each inner run.
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(params=["httpx", "httpx2"])
def family(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return sleeps.noted(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with stub_server.running() as server:
        yield server


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: Any) -> Any:
    """Run pytest on the given module, as `run_here` or, with `apart`, as `run_apart` does."""
    for name in ("CI", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "k3y-of-the-test")
    monkeypatch.setenv("COLUMNS", "100")

    def go(test: str = "", *flags: str, ini: str = "", apart: bool = False) -> pytest.RunResult:
        if test:
            # A process would spend most of its time on the import of the SDK.
            head = HEAD.replace(", openai", "") if apart else HEAD
            pytester.makepyfile(test_it=head + test)
        pytester.makeini(f"[pytest]\n{ini}\n")
        if apart:
            return run_apart(pytester, *flags)
        return run_here(pytester, *flags)

    return go
