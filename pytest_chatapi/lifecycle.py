"""The recorder of one test, from its setup to its teardown."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding, at_least
from pytest_chatapi.errors import ChatAPIError
from pytest_chatapi.recording.intercept import intercepted
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.titles import title_of
from pytest_chatapi.recording.transport import AsyncRecordReplayTransport, RecordReplayTransport
from pytest_chatapi.report import failure_message, short
from pytest_chatapi.settings import Settings, is_older

__all__ = ["ChatAPI", "Usage", "cassette_path", "judge", "open_test"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_REPLAY_KEY = "sk-replay"
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Usage:
    """Tokens of all answers of a test that told them; details count where they were sent."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class ChatAPI:
    """What a test sent and received, and what its clients are made of.

    Attributes:
        recorder: what records and replays.
        settings: of this test.
        base_url: of the API, as the clients have it.
    """

    def __init__(self, recorder: Recorder, settings: Settings, item: pytest.Item) -> None:
        self.recorder, self.settings = recorder, settings
        self.base_url = (
            settings.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        ).rstrip("/")
        self._item = item
        self._judged = 0
        self._findings: list[Finding] = []
        self._told = 0

    @property
    def exchanges(self) -> list[Exchange]:
        """What was really sent and received, in the order of sending."""
        return self.recorder.exchanges

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with the exchanges so far, whatever its level."""
        return [finding for exchange in self.exchanges for finding in self._judge(exchange)]

    def _judge(self, exchange: Exchange) -> list[Finding]:
        return check_exchange(exchange, self.settings.profile, ignore=self.settings.ignore).findings

    @property
    def usage(self) -> Usage:
        """The tokens of all answers together."""
        sums = dict.fromkeys(Usage.__dataclass_fields__, 0)
        for exchange in self.exchanges:
            answer = check_exchange(exchange).answer
            told = answer.usage if answer is not None else None
            for part in (
                told,
                (told or {}).get("prompt_tokens_details"),
                (told or {}).get("completion_tokens_details"),
            ):
                for name, value in part.items() if isinstance(part, dict) else ():
                    if name in sums and type(value) is int:
                        sums[name] += value
        return Usage(**sums)

    @property
    def cassette(self) -> Path | None:
        """The file; it need not exist."""
        return self.recorder.cassette.path if self.recorder.cassette is not None else None

    @property
    def transport(self) -> RecordReplayTransport:
        """For a sync client of httpx or httpx2."""
        return RecordReplayTransport(self.recorder)

    @property
    def async_transport(self) -> AsyncRecordReplayTransport:
        """For an async client of httpx or httpx2."""
        return AsyncRecordReplayTransport(self.recorder)

    def client_settings(self) -> dict[str, Any]:
        """``api_key``, ``base_url``, ``organization`` and ``project``, as the SDK names them."""
        settings = self.settings
        key = settings.api_key or os.environ.get("OPENAI_API_KEY")
        if not key:
            if self.base_url == DEFAULT_BASE_URL and self.recorder.sends:
                pytest.fail(
                    f"record_mode={self.recorder.mode} sends requests to {self.base_url}: "
                    "set OPENAI_API_KEY, or api_key in the fixture chatapi_config",
                    pytrace=False,
                )
            key = _REPLAY_KEY
        return {
            "api_key": key,
            "base_url": self.base_url,
            "organization": settings.organization or os.environ.get("OPENAI_ORG_ID"),
            "project": settings.project or os.environ.get("OPENAI_PROJECT_ID"),
        }

    def client_headers(self) -> dict[str, str]:
        """What an HTTP client has to send to be let in."""
        given = self.client_settings()
        headers = {"Authorization": f"Bearer {given['api_key']}"}
        if given["organization"]:
            headers["OpenAI-Organization"] = given["organization"]
        if given["project"]:
            headers["OpenAI-Project"] = given["project"]
        return headers

    # -- the ends of the phases ------------------------------------------------------------

    def end_of_call(self, *, passed: bool) -> None:
        """Fails the test for what it got away with, and writes what it recorded."""
        self._settle()
        if passed:
            self._judge_all()
            self._judge_cassette()
        if passed or self.settings.record_on_failure:
            try:
                self.recorder.save()
            except ChatAPIError as error:
                pytest.fail(f"chatapi: {error}", pytrace=False)

    def end_of_teardown(self, *, passed: bool) -> None:
        """The same for what fixtures did since."""
        self._settle()
        if passed:
            self._judge_all()
        if passed or self.settings.record_on_failure:
            self.recorder.save()

    def report(self) -> str:
        """What a test that failed for a reason of its own should know."""
        untold = self.recorder.misses
        return "\n\n".join(describe(miss) for miss in untold)

    def warn(self, text: str) -> None:
        self._item.user_properties.append(("chatapi", text))

    def _settle(self) -> None:
        self.recorder.finish()
        for text in self.recorder.warnings[self._told :][:1] if not self._told else ():
            self.warn(text)
        self._told = len(self.recorder.warnings)

    def _judge_all(self) -> None:
        new = self.exchanges[self._judged :]
        first = self._judged
        self._judged = len(self.exchanges)
        if self.recorder.misses:
            text = self.report()
            pytest.fail(text, pytrace=False)
        if self.settings.policy != "off":
            found = [
                (f"exchange {at}: {_title(e)}", self._judge(e)) for at, e in enumerate(new, first)
            ]
            judge(found, self.settings.policy or "error", self.warn)

    def _judge_cassette(self) -> None:
        cassette, settings = self.recorder.cassette, self.settings
        if cassette is None:
            return
        left = self.recorder.unplayed() if settings.unplayed != "ignore" else []
        own = [entry for entry in left if entry.own]
        if own:
            lines = [
                f"{len(own)} recording{'s' * (len(own) != 1)} in {cassette.name} not asked for:",
                *(f"  interaction {e.index}: {_title(Exchange(e.request))}" for e in own[:10]),
                *([f"  ... and {len(own) - 10} more"] if len(own) > 10 else []),
                f"record again: {how_to_record(self._item, 'rewrite')}",
            ]
            if settings.unplayed == "fail":
                pytest.fail("\n".join([*lines, "or allow it: unplayed='ignore'"]), pytrace=False)
            self.warn("\n".join(lines))
        if settings.max_age:
            old = [
                e.interaction.recorded_at
                for e in self.recorder.entries
                if is_older(e.interaction.recorded_at, settings.max_age)
            ]
            if old:
                text = (
                    f"{cassette.name} was recorded on {min(old)[:10]}, over {settings.max_age} "
                    f"ago; record again: {how_to_record(self._item, 'rewrite')}"
                )
                if settings.on_expiry == "fail":
                    pytest.fail(text, pytrace=False)
                self.warn(text)


def _title(exchange: Exchange) -> str:
    """Without the number that it has in its cassette."""
    return title_of(Exchange(exchange.request, exchange.response))


def judge(found: Sequence[tuple[str, list[Finding]]], policy: str, warn: Any) -> None:
    """Fails the test for findings, as the policy says."""
    if policy == "off":
        return
    levels = at_least("error" if policy == "error" else "warning")
    messages = []
    for title, findings in found:
        failing = [finding for finding in findings if finding.level in levels]
        if failing and policy == "warn":
            warn(f"{title}: " + ", ".join(short(finding) for finding in failing[:5]))
        elif failing:
            messages.append(failure_message(findings, title, failing))
    if messages:
        pytest.fail("\n\n".join(messages), pytrace=False)


# -- opening ---------------------------------------------------------------------------------


def cassette_path(item: pytest.Item, settings: Settings, folder: Path | None = None) -> Path:
    """Where a test's cassette is: pytest-recording's folders and names."""
    folder = folder or item.path.parent / "cassettes" / item.path.stem
    if settings.cassette:
        path = Path(settings.cassette)
        if path.suffix not in (".yaml", ".yml", ".json", ".toml", ".har", ".gz"):
            path = path.with_name(f"{path.name}.{settings.serializer}")
        return folder / path
    owner = getattr(item, "cls", None)
    name = f"{owner.__name__}.{item.name}" if owner else item.name
    for char in r"<>?%*:|\"'/\\":
        name = name.replace(char, "-")
    suffix = settings.serializer  # without its dot, as pytest-recording measures it
    if len(name) + len(suffix) + (suffix == "yaml") > _LONGEST_NAME:
        digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        name = f"{name[: _LONGEST_NAME - len(suffix) - (suffix == 'yaml') - 32 - 3]}...{digest}"
    return folder / f"{name}.{settings.serializer}"


def how_to_record(item: pytest.Item, mode: str) -> str:
    """The command that records one test."""
    config = item.config
    name = item.nodeid
    with contextlib.suppress(ValueError):
        path = item.path.relative_to(config.invocation_params.dir)
        name = f"{path.as_posix()}::{item.nodeid.partition('::')[2]}"
    return f"pytest {shlex.quote(name)} --record-mode={mode}"


@contextlib.contextmanager
def open_test(
    item: pytest.Item, settings: Settings, owner: Mapping[str, Any], folder: Path | None, since: str
) -> Iterator[ChatAPI]:
    """The handle of a test, with all clients routed through it.

    Args:
        owner: the fixture ``vcr_config``: by its rules an older cassette is matched.
        folder: of cassettes, where a fixture says.
        since: when the run began.
    """
    live = bool(item.config.getoption("--disable-recording", False)) or bool(
        item.config.getini("chatapi_disable_recording")
    )
    path = None if live else cassette_path(item, settings, folder)
    name = None
    if path is not None:
        name = os.fspath(path)
        with contextlib.suppress(ValueError):
            name = path.relative_to(item.config.invocation_params.dir).as_posix()

    def fail(miss: Miss) -> NoReturn:
        mode = "rewrite" if recorder.cassette is not None and recorder.cassette.exists else "once"
        miss.remedy = how_to_record(item, mode)
        pytest.fail(describe(miss), pytrace=False)

    legacy: dict[str, Any] = {}
    if isinstance(owner.get("match_on"), list | tuple):
        legacy["legacy_match_on"] = [n for n in owner["match_on"] if isinstance(n, str)]
    try:
        recorder = open_recorder(
            path,
            record_mode=settings.record_mode or "none",
            match_on=settings.match_on,
            ignore_body=settings.ignore_body,
            normalize_body=settings.normalize_body,
            redact=settings.redact,
            keep_headers=settings.keep_headers,
            replay_speed=settings.replay_speed,
            allow_playback_repeats=settings.allow_playback_repeats
            or owner.get("allow_playback_repeats") is True,
            name=name,
            on_miss=fail,
            test=item.nodeid if settings.cassette else "",
            since=since,
            **legacy,
        )
    except ChatAPIError as error:
        pytest.fail(f"chatapi: {error}", pytrace=False)

    def refuse(address: str) -> NoReturn:
        miss = Miss(
            f"a connection to {address}",
            "record mode none lets nothing leave this machine, and no recorder knows this client",
            remedy=f"or let it pass: ignore_hosts=[{address.rpartition(':')[0]!r}]",
        )
        recorder.misses.append(miss)
        pytest.fail(describe(miss), pytrace=False)

    with intercepted(
        recorder,
        ignore_hosts=settings.ignore_hosts,
        on_network=None if recorder.sends else refuse,
    ):
        yield ChatAPI(recorder, settings, item)
