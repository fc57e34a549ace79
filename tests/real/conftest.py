"""Real servers on loopback and real clients, where CHATAPI_TEST_SERVERS says that they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import real_servers
from chromium import Page, Unavailable, chromium

HERE = Path(__file__).parent
LOGS: dict[str, Path] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real: works with real servers or clients")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("real")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    if report.failed:
        for name in sorted(LOGS.keys() & set(getattr(item, "fixturenames", ()))):
            printed = LOGS[name].read_text(errors="replace").splitlines()[-50:]
            report.sections.append((f"what {name} printed last", "\n".join(printed)))
    return report


def server(name: str) -> Any:
    # A server for each module: LitServe no longer responds after the probes of `conform`.
    @pytest.fixture(scope="module", name=name)
    def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        log = tmp_path_factory.mktemp(name) / "log"
        try:
            with real_servers.running(name, log) as base_url:
                LOGS[name] = log
                yield base_url
        except real_servers.Unavailable as missing:
            pytest.skip(str(missing))

    run.__doc__ = f"The base URL of a running {name}."
    return run


def interpreter(name: str) -> Any:
    @pytest.fixture(scope="session", name=f"{name}_python")
    def find() -> Path:
        try:
            return real_servers.python(name)
        except real_servers.Unavailable as missing:
            pytest.skip(str(missing))

    find.__doc__ = f"The interpreter of the environment {name}."
    return find


llama, aimock, litserve = (server(name) for name in ("llama", "aimock", "litserve"))
clients_python, openai2_python, cassetter_python, engines_python = (
    interpreter(name) for name in ("clients", "openai2", "cassetter", "engines")
)


@pytest.fixture(scope="module", name="browser")
def running_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    try:
        with chromium(tmp_path_factory.mktemp("profile")) as opened:
            yield opened
    except Unavailable as missing:
        pytest.skip(str(missing))
