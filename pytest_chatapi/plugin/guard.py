"""Refuses connections to other machines that no recorder can replay, while a test only replays."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import pytest

from pytest_chatapi.plugin.config_fixture import config_so_far
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.ini_and_flags import is_on
from pytest_chatapi.plugin.settings import settings_at_run
from pytest_chatapi.plugin.stash import CHECKS
from pytest_chatapi.recording.guard import guarded
from pytest_chatapi.recording.miss import Miss, describe

__all__ = ["guarded_test"]


def guarded_test(item: pytest.Item) -> AbstractContextManager[None]:
    """Ask for each connection to another machine whether this test allows it."""
    return guarded(partial(_refuse, item))


def _refuse(item: pytest.Item, host: str, port: str) -> None:
    checks = item.stash.get(CHECKS, None)
    handle = checks.handle if checks is not None else None
    allowed = _is_allowed_early(item, host) if handle is None else _is_allowed(handle, host)
    if allowed:
        return
    reason = (
        "requests of fixtures with a wider scope than the test are not recorded"
        if handle is None
        else "the recorder does not know the client that connects"
    )
    miss = Miss(
        f"a connection to {host}:{port}",
        f"record mode 'none' allows no connections to other machines, and {reason}; "
        f"to allow the host: ignore_hosts=[{host!r}]",
    )
    if handle is not None:
        handle.recorder.misses.append(miss)
    raise pytest.fail.Exception(describe(miss), pytrace=False) from None


def _is_allowed(handle: ChatAPI, host: str) -> bool:
    recorder = handle.recorder
    return recorder.sends or host in handle.hosts or host in recorder.passed_hosts


def _is_allowed_early(item: pytest.Item, host: str) -> bool:
    """Whether a fixture of wider scope may connect: the test has no recorder yet."""
    settings = settings_at_run(item, config_so_far(item))
    return (
        is_on(item.config, "disable_recording")
        or settings.record_mode != "none"
        or host in {name.lower() for name in settings.ignore_hosts}
    )
