"""Around a recorded test, its fixtures of wider scope included: refuses connections to other
machines that no recorder can replay, and tells of requests that none records.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ChatAPIError
from pytest_chatapi.plugin.config_fixture import config_so_far
from pytest_chatapi.plugin.handle import REPLAY_KEY, ChatAPI
from pytest_chatapi.plugin.ini_and_flags import is_on
from pytest_chatapi.plugin.run import NOTE
from pytest_chatapi.plugin.settings import settings_at_run, settings_for
from pytest_chatapi.plugin.stash import CHECKS, CLOSED_PORTS, GUARD, HAS_EARLY_KEY
from pytest_chatapi.recording.guard import guarded, is_local
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.redaction.replacing import REDACTED

if TYPE_CHECKING:
    from pytest_chatapi.recording.recorder import Recorder

__all__ = [
    "drop_early_key",
    "guarded_test",
    "placeholder_key",
    "recorded_base_url",
    "watched_fixture",
]


def guarded_test(item: pytest.Item) -> AbstractContextManager[None]:
    """Ask for each connection to another machine whether this test allows it."""
    closed_ports: set[int] = item.stash.setdefault(CLOSED_PORTS, set())
    return guarded(partial(_refuse, item), closed_ports)


@contextmanager
def placeholder_key(*, is_needed: bool) -> Iterator[None]:
    """Set an API key if none is set: SDKs refuse to be built without."""
    if not is_needed or os.environ.get("OPENAI_API_KEY"):
        yield
        return
    with _lent("OPENAI_API_KEY", REPLAY_KEY):
        yield


@contextmanager
def recorded_base_url(
    item: pytest.Item, recorder: Recorder, hosts: Container[str]
) -> Iterator[None]:
    """Set the base URL of the recordings if none is set: what some clients send depends on whether
    there is one, as LangChain's `stream_options` do.

    Args:
        hosts: whose traffic is let through.
    """
    is_set = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    url = "" if is_set or recorder.sends else _base_url_of(recorder)
    parts = urlsplit(url)
    if not url or parts.hostname in hosts:
        yield
        return
    if is_local(parts.hostname or ""):
        # A client that is not intercepted would find the server there, if it still runs.
        item.stash.setdefault(CLOSED_PORTS, set()).add(parts.port or 80)
    try:
        with _lent("OPENAI_BASE_URL", url):
            yield
    finally:
        item.stash.get(CLOSED_PORTS, set()).clear()


def _base_url_of(recorder: Recorder) -> str:
    """The base URL that all recordings have in common, if clients only have it by a setting."""
    base = ""
    for entry in recorder.entries:
        with suppress(ChatAPIError):  # damaged: a request that matches it says so
            url = entry.request.url
            if urlsplit(url).hostname == "api.openai.com":
                return ""
            before, endpoint, _ = url.rpartition("/chat/completions")
            if endpoint and base and before != base:
                return ""
            base = before or base
    parts = urlsplit(base)
    host = parts.hostname or ""
    # Azure's clients have a setting of their own; a URL may be masked or a placeholder.
    if parts.scheme not in ("http", "https") or not host or host.endswith(".azure.com"):
        return ""
    return "" if REDACTED in base else base


@contextmanager
def _lent(name: str, value: str) -> Iterator[None]:
    """Set an environment variable, and unset it unless it was changed meanwhile."""
    os.environ[name] = value
    try:
        yield
    finally:
        if os.environ.get(name) == value:
            del os.environ[name]


def drop_early_key(item: pytest.Item) -> None:
    """Unset the key that a fixture of wider scope got, as requests go out after all."""
    if item.stash.get(HAS_EARLY_KEY, False) and os.environ.get("OPENAI_API_KEY") == REPLAY_KEY:
        del os.environ["OPENAI_API_KEY"]


@contextmanager
def watched_fixture(item: pytest.Item, name: str, scope: str) -> Iterator[None]:
    """While a fixture of wider scope is set up, note the requests that no cassette will have; for
    one of a test that only replays, set an API key.
    """
    if not _records_early(item):
        if not os.environ.get("OPENAI_API_KEY") and GUARD in item.stash:
            item.stash[GUARD].enter_context(placeholder_key(is_needed=True))
            item.stash[HAS_EARLY_KEY] = True
        yield
        return
    drop_early_key(item)
    from pytest_chatapi.recording.spy import spied

    requests: dict[str, None] = {}

    def note(method: str, host: str, path: str) -> None:
        # A local server may be polled until it is ready, also on replay.
        if method.upper() == "POST" or not is_local(host):
            requests[f"{method.upper()} {host}{path.partition('?')[0]}"] = None

    def note_connection(host: str, port: str) -> None:
        if not any(host in request for request in requests):  # of a client that is not spied on
            requests[f"a connection to {host}:{port}"] = None

    try:
        with guarded(note_connection), spied(note):
            yield
    finally:
        if requests:
            first, *others = map(without_secrets, requests)
            more = f" and {len(others)} more" if others else ""
            item.user_properties.append(
                (
                    NOTE,
                    f"not recorded, so not replayed: {first}{more}, sent by the fixture "
                    f"{name!r} of {scope} scope;\n  to record it, make the fixture one of "
                    "function scope, or send it in the test",
                )
            )


def _refuse(item: pytest.Item, host: str, port: str) -> None:
    checks = item.stash.get(CHECKS, None)
    handle = checks.handle if checks is not None else None
    allowed = _is_allowed_early(item, host) if handle is None else _is_allowed(handle, host)
    if allowed:
        return
    reason = (
        "requests of fixtures with a wider scope than the test are not recorded: make the fixture "
        "one of function scope, or send it in the test"
        if handle is None
        else "the recorder does not know the client that connects; give it the base URL of the "
        "fixture chatapi_server, which replays to any client"
    )
    what = "the recorded server" if is_local(host) else "other machines"
    miss = Miss(
        f"a connection to {host}:{port}",
        f"record mode 'none' allows no connections to {what}, and {reason}; "
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


def _records_early(item: pytest.Item) -> bool:
    """Whether requests may go out, as far as that is known before the test has its fixtures."""
    if is_on(item.config, "disable_recording"):
        return True
    try:
        return settings_for(item, config_so_far(item)).record_mode != "none"
    except pytest.UsageError:  # which fails the test when its own fixtures are set up
        return True
