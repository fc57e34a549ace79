"""What the fixture `chatapi` gives: the handle on a test's traffic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pytest

from pytest_chatapi.config.options import Settings
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.errors import SettingError
from pytest_chatapi.plugin.policy import checker_of, findings_of
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import AsyncRecordReplayTransport, RecordReplayTransport
from pytest_chatapi.server import require_extra

if TYPE_CHECKING:
    from pytest_chatapi.contract.check import CheckResult
    from pytest_chatapi.faults import Fault, Plan
    from pytest_chatapi.faults.virtual_time import VirtualTime
    from pytest_chatapi.figures.measure import Figures
    from pytest_chatapi.figures.measure import Source as FiguresSource
    from pytest_chatapi.figures.price import Prices
    from pytest_chatapi.figures.summary import Group, Priced
    from pytest_chatapi.mock.chat_mock import ChatMock

__all__ = ["REPLAY_KEY", "ChatAPI", "Usage"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
REPLAY_KEY = "sk-replay"
"""The API key of clients that send nothing."""


@dataclass(frozen=True)
class Usage:
    """Token counts of all responses that reported usage; details count where they were sent."""

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
        hosts: whose traffic is let through, by the settings or by ``vcr_config``.
        prices: of models, looked up once a run.
        scores: by the test, each with its name.
        is_fuzzed: the fixture ``chatapi_fuzz`` was called.
    """

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        stack: ExitStack,
        hosts: Sequence[str],
        prices: Prices,
    ) -> None:
        self.recorder, self.settings, self.prices = recorder, settings, prices
        self.hosts = frozenset(host.lower() for host in hosts)
        self._stack = stack
        self._clock: VirtualTime | None = None
        self._is_served = False
        self.scores: list[tuple[str, float]] = []
        self.is_fuzzed = False

    # -- traffic -------------------------------------------------------------------------------

    @property
    def exchanges(self) -> list[Exchange]:
        """What was really sent and received, in the order of sending."""
        return self.recorder.exchanges

    @property
    def findings(self) -> list[Finding]:
        """All findings of the exchanges so far, whatever their level."""
        return [f for exchange in self.exchanges for f in findings_of(exchange, self.settings)]

    @property
    def usage(self) -> Usage:
        """The token counts of all responses together."""
        from pytest_chatapi.figures.measure import brief_of
        from pytest_chatapi.figures.price import UNKNOWN
        from pytest_chatapi.figures.summary import Group, Priced

        briefs = [brief_of(one, self.source_of(one), c) for _, one, c in self._checked_chats()]
        group = Group("", [Priced(one.figures(), UNKNOWN) for one in briefs])
        kinds = ("prompt", "completion", "total", "cached", "reasoning")
        return Usage(**{f"{kind}_tokens": group.tokens(kind) or 0 for kind in kinds})

    @property
    def figures(self) -> Group:
        """Tokens, seconds and cost of the chat completions so far, one by one and together."""
        from pytest_chatapi.figures.summary import Group

        return Group("", [one for _, one in self.numbered_figures()])

    def numbered_figures(self) -> Iterator[tuple[int, Priced]]:
        """The number of each chat completion among all exchanges, and its figures."""
        from pytest_chatapi.figures.summary import Priced

        for number, exchange, checked in self._checked_chats():
            figures = self.figures_of(exchange, checked)
            yield number, Priced(figures, self.prices.cost(figures))

    def _checked_chats(self) -> Iterator[tuple[int, Exchange, CheckResult]]:
        """Each chat completion so far, with its number and what its check returns."""
        checker = checker_of(self.settings)
        for number, exchange in enumerate(self.exchanges):
            checked = checker.check(exchange)
            if checked.kind == "chat":
                yield number, exchange, checked

    def source_of(self, exchange: Exchange) -> FiguresSource:
        """Where an exchange of this test is from; what a fault has changed is as good as a mock."""
        if exchange.live:
            return "live"
        return "mock" if self.recorder.answers is not None or exchange.fault else "replayed"

    def figures_of(self, exchange: Exchange, checked: CheckResult, **more: Any) -> Figures:
        """The figures of a chat completion of this test, without secrets and made-up times.

        Args:
            more: as `figures.measure.figures_of` takes them.
        """
        from pytest_chatapi.figures.measure import Timing, figures_of

        figures = figures_of(exchange, self.source_of(exchange), checked=checked, **more)
        figures = figures.masked(lambda text: mask(self.recorder.redactor.text(text)))
        is_paced = figures.source == "replayed" and self.recorder.pace is not None
        if figures.source == "mock" or is_paced:
            return replace(figures, timing=Timing(unmeasured="its times are not a server's"))
        return figures

    def score(self, name: str, value: float) -> None:
        """Note how good what the model said was, for the report of the run.

        Args:
            name: of what was scored, such as ``helpful``.
            value: from 0 to 1; ``True`` and ``False`` are 1 and 0.

        Raises:
            SettingError: the name is empty, or the value is not one from 0 to 1.
        """
        __tracebackhide__ = True
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise SettingError(f"a score must have a name, not {name!r}")
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise SettingError(f"the score {name!r} must be a number from 0 to 1, not {value!r}")
        self.scores.append((name, float(value)))

    @property
    def cassette(self) -> Path | None:
        """The path of the cassette, whether it exists or not; ``None`` without one."""
        return self.recorder.cassette.path if self.recorder.cassette is not None else None

    # -- clients -------------------------------------------------------------------------------

    @property
    def transport(self) -> RecordReplayTransport:
        """A transport for a sync client of httpx or httpx2."""
        return RecordReplayTransport(self.recorder)

    @property
    def async_transport(self) -> AsyncRecordReplayTransport:
        """A transport for an async client of httpx or httpx2."""
        return AsyncRecordReplayTransport(self.recorder)

    @property
    def base_url(self) -> str:
        """The base URL of the API; the recorded one on replay if nothing sets another."""
        url = self.settings.base_url or os.environ.get("OPENAI_BASE_URL") or self._recorded_url()
        return (url or DEFAULT_BASE_URL).rstrip("/")

    def _recorded_url(self) -> str:
        if not self.recorder.sends:
            for entry in self.recorder.entries:
                base, endpoint, _ = entry.request.url.rpartition("/chat/completions")
                if endpoint:
                    return base
        return ""

    def client_settings(self) -> dict[str, str | None]:
        """``api_key``, ``base_url``, ``organization`` and ``project``, as the SDK names them."""
        settings = self.settings
        key = settings.api_key or os.environ.get("OPENAI_API_KEY")
        if not key and self.base_url == DEFAULT_BASE_URL and self.recorder.sends:
            is_recorded = self.recorder.cassette is not None
            cause = f"record_mode={self.recorder.mode}" if is_recorded else "--disable-recording"
            pytest.fail(
                f"{cause} sends requests to {self.base_url}:\n"
                "set OPENAI_API_KEY, or api_key in the fixture chatapi_config",
                pytrace=False,
            )
        return {
            "api_key": key or REPLAY_KEY,
            "base_url": self.base_url,
            "organization": settings.organization or os.environ.get("OPENAI_ORG_ID"),
            "project": settings.project or os.environ.get("OPENAI_PROJECT_ID"),
        }

    def client_headers(self) -> dict[str, str]:
        """The headers by which the API knows an HTTP client."""
        settings = self.client_settings()
        headers = {"Authorization": f"Bearer {settings['api_key']}"}
        if organization := settings["organization"]:
            headers["OpenAI-Organization"] = organization
        if project := settings["project"]:
            headers["OpenAI-Project"] = project
        return headers

    # -- mock, faults, server --------------------------------------------------------------------

    @property
    def mock(self) -> ChatMock | None:
        """What the fixture ``chatapi_mock`` gives; ``None`` in a test without it."""
        return cast("ChatMock | None", self.recorder.answers)

    def inject(self, *steps: Fault | str) -> Plan:
        """Set the faults of the coming responses, one step for each.

        Args:
            steps: of `pytest_chatapi.faults`, or as text: ``"2*rate_limit, cut(chunks=3), ok"``.

        Returns:
            the plan, which also says what has happened of it.

        Raises:
            SettingError: there is no such fault.
        """
        from pytest_chatapi.faults import Plan

        __tracebackhide__ = True
        try:
            plan = Plan(*steps)
        except SettingError as error:  # without the frames of the parser
            raise SettingError(str(error)) from None
        self.recorder.faults = plan
        self.make_time_virtual()
        return plan

    @property
    def slept(self) -> list[float]:
        """Seconds of each sleep that took no time, in order."""
        return self._clock.slept if self._clock is not None else []

    def make_time_virtual(self) -> None:
        """Let sleeping take no time for the rest of the test, unless a setting forbids it.

        Beside a server only a setting allows it: what is on its way over a socket takes time.
        """
        allowed = self.settings.virtual_time
        if allowed is None:
            allowed = not self._is_served
        if self._clock is None and allowed:
            from pytest_chatapi.faults.virtual_time import VirtualTime

            self._clock = self._stack.enter_context(VirtualTime())

    @contextmanager
    def _real_time(self) -> Iterator[None]:
        """Let sleeping take its time in the block, unless a setting makes it virtual."""
        before, self._is_served = self._is_served, True
        try:
            if self._clock is None or self.settings.virtual_time:
                yield
            else:
                with self._clock.paused():
                    yield
        finally:
            self._is_served = before

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve this test's cassette or mock on a socket, and yield the base URL.

        Sleeping takes its time meanwhile, unless the setting ``virtual_time`` is true.

        Raises:
            pytest.fail.Exception: the extra ``server`` is not installed.
        """
        _require_server()
        from pytest_chatapi.server.app import make_app
        from pytest_chatapi.server.run import running

        upstream = self.base_url if self.recorder.sends else None
        with (
            running(make_app(self.recorder, upstream=upstream)) as server,
            pytest.MonkeyPatch.context() as patch,
            self._real_time(),
        ):
            port = urlsplit(server.url).port or 0
            self.recorder.ports.add(port)
            patch.setenv("OPENAI_BASE_URL", server.url)
            try:
                yield server.url
            finally:
                self.recorder.ports.discard(port)


def _require_server() -> None:
    missing = ""
    try:
        require_extra()
    except SettingError as error:
        missing = str(error)
    if missing:  # outside of the handler, or the report would show its error too
        pytest.fail(missing, pytrace=False)
