"""Run pytest on tests that a test has written. Not a test."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import importlib.metadata
import os
import pkgutil
import socket
import sys
import time
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio
from _pytest.fixtures import FixtureManager

import pytest_chatapi

__all__ = ["keep_imports", "run_apart", "run_here"]

_LIBRARIES = (
    "aiohttp anyio concurrent.futures.process filelock genai_prices httpcore httpcore2 httpx "
    "httpx2 hypothesis jsonschema openai.resources.chat openai.types.chat.completions "
    "pytest_recording.plugin requests respx trio uvicorn.lifespan.off uvicorn.protocols.http.auto "
    "vcr.stubs.aiohttp_stubs vcr.stubs.httpx_stubs yaml".split()
)

# Each plugin is registered and asked for its options in each run. That of rerunfailures starts a
# server, whose thread never ends.
_UNUSED = (
    "cacheprovider doctest legacypath pastebin rerunfailures setuponly setupplan stepwise "
    "xdist.looponfail".split()
)


def keep_imports() -> None:
    """Import what inner runs use.

    Pytester drops the modules that an inner run was the first to import, and the next one would
    import them again: a second or two each time.
    """
    for name in _LIBRARIES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(pytest_chatapi.__path__, "pytest_chatapi."):
        importlib.import_module(module.name)


def run_here(pytester: pytest.Pytester, *flags: str) -> pytest.RunResult:
    """Run pytest in this process, which takes a tenth of the time of one in a new process.

    The run sees Python's own warning filters, not those of this suite. What it left unclosed is
    collected before this returns, so that no later test fails for it, and what it left for good is
    frozen: the collector would look at it after each later run. What it patched has to be as
    it was; only `socket.getaddrinfo` may be patched by the tests themselves.
    """
    before = _patchable()
    plugins = _distributions_with_plugins()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Bytecode is matched to its source by size and second: two runs may be within one.
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
        patch.setattr(importlib.metadata, "distributions", lambda: plugins)
        patch.setattr(FixtureManager, "pytest_plugin_registered", _plugin_registered)
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        try:
            result = pytester.runpytest_inprocess(
                *(f"-pno:{name}" for name in _UNUSED if f"-p{name}" not in flags),
                "--no-header",
                *("-o", "asyncio_default_fixture_loop_scope=function"),
                *flags,
            )
        finally:
            gc.collect()
            gc.freeze()
    assert _patchable() == before
    return result


_look_for_fixtures = FixtureManager.pytest_plugin_registered


def _plugin_registered(self: FixtureManager, plugin: object, plugin_name: str) -> None:
    """Let pytest look for fixtures in plugins that have some.

    It looks at each attribute in several ways, which takes a sixth of the time of a run.
    """
    kind = plugin if isinstance(plugin, (ModuleType, type)) else type(plugin)
    if any(
        type(value).__name__ == "FixtureFunctionDefinition"
        or hasattr(value, "_pytestfixturefunction")  # before pytest 8.4
        for place in getattr(kind, "__mro__", [kind])
        for value in vars(place).values()
    ):
        _look_for_fixtures(self, plugin, plugin_name)


@functools.cache
def _distributions_with_plugins() -> list[SimpleNamespace]:
    """What pytest looks for twice a run, in the metadata of all that is installed."""
    return [
        SimpleNamespace(metadata=one.metadata, entry_points=one.entry_points, files=one.files)
        for one in importlib.metadata.distributions()
        if any(entry_point.group == "pytest11" for entry_point in one.entry_points)
    ]


def _patchable() -> list[Any]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    sleeps = [module.sleep for module in (anyio, asyncio, time, trio)]
    transports = [
        getattr(family, kind).__dict__[name]
        for family in (httpx, httpx2)
        for kind, name in (
            ("HTTPTransport", "handle_request"),
            ("AsyncHTTPTransport", "handle_async_request"),
        )
    ]
    sockets = [socket.socket.connect, socket.socket.connect_ex]
    return [environment, *sleeps, time.time, time.monotonic, *transports, *sockets, *sys.meta_path]


def run_apart(pytester: pytest.Pytester, *flags: str) -> pytest.RunResult:
    """Run pytest in a process of its own, with our plugin and those of `flags` alone.

    For what another run has to be kept out of: imports, workers of xdist.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_subprocess("-p", "chatapi", "-p", "no:cacheprovider", *flags)
