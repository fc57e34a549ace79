"""The pytest plugin. Imports nothing of ours until it is used, so that idle it costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_chatapi.fixtures import ChatContract


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chatapi", "contract tests of Chat Completions APIs")
    group.addoption(
        "--chatapi-cassettes",
        action="append",
        metavar="DIR",
        help="collect each exchange recorded below DIR as a test (ini: chatapi_cassettes)",
    )
    group.addoption(
        "--chatapi-profile",
        metavar="NAME",
        help="judge by this profile instead of by host (ini: chatapi_profile)",
    )
    group.addoption(
        "--chatapi-ignore",
        action="append",
        metavar="CODE[:PATH]",
        help="ignore findings, e.g. S10 or U02:$.usage.total_tokens (ini: chatapi_ignore)",
    )
    group.addoption(
        "--chatapi-strict",
        action="store_true",
        default=None,
        help="warnings fail too (ini: chatapi_strict)",
    )
    parser.addini(
        "chatapi_cassettes", "folders of cassettes to collect as tests", "paths", default=[]
    )
    parser.addini("chatapi_profile", "documented, openai, azure or compatible", default="")
    parser.addini("chatapi_ignore", "findings to ignore, one a line", "linelist", default=[])
    parser.addini("chatapi_strict", "warnings fail too", "bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "chatapi(profile=None, ignore=[], strict=False): how chat_contract judges in this test",
    )
    names = ("profile", "ignore", "strict")
    if any(config.getoption(f"--chatapi-{n}") or config.getini(f"chatapi_{n}") for n in names):
        from pytest_chatapi.fixtures import run_settings

        run_settings(config)  # a wrong setting fails once, before any test
    if config.getoption("--chatapi-cassettes") or config.getini("chatapi_cassettes"):
        from pytest_chatapi.collection import CassetteCollector

        config.pluginmanager.register(CassetteCollector(config), "chatapi-cassettes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("chatapi") is not None]
    if marked:
        from pytest_chatapi.fixtures import settings_of

        for item in marked:
            settings_of(item)  # a wrong argument fails before any test runs


@pytest.fixture
def chat_contract(request: pytest.FixtureRequest) -> ChatContract:
    """The contract's assertions, bound to this test's profile and ignores.

    Set by ``@pytest.mark.chatapi(profile=..., ignore=[...], strict=...)``, else by
    ``--chatapi-profile`` and the like, else by ini.
    """
    from pytest_chatapi.fixtures import ChatContract, settings_of

    return ChatContract(**settings_of(request.node))


def cassette_folders(config: pytest.Config) -> list[Path]:
    """The folders to collect: those of the command line, else those of the ini file."""
    given = config.getoption("--chatapi-cassettes")
    if given:
        return [config.invocation_params.dir / folder for folder in given]
    return [Path(folder) for folder in config.getini("chatapi_cassettes")]
