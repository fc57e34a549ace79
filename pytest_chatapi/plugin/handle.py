"""The recorder of one test, from its setup to its teardown."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import pytest

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.findings import Finding, at_least
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.plugin.settings import Settings, is_older
from pytest_chatapi.recording.intercept import intercepted
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import AsyncRecordReplayTransport, RecordReplayTransport
from pytest_chatapi.report import failure_message, short
from pytest_chatapi.server import require_extra

if TYPE_CHECKING:
    from pytest_chatapi.faults import Fault, Plan
    from pytest_chatapi.faults.virtual_time import VirtualTime
    from pytest_chatapi.mock.chat_mock import ChatMock

__all__ = ["ChatAPI", "Usage", "cassette_path", "judge", "open_test", "scenario_of"]

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
        hosts: that are left alone, by the settings or by ``vcr_config``.
    """

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        item: pytest.Item,
        stack: contextlib.ExitStack,
        hosts: Sequence[str],
    ) -> None:
        self.recorder, self.settings = recorder, settings
        self._item, self._stack = item, stack
        self.hosts = frozenset(host.lower() for host in hosts)
        self._clock: VirtualTime | None = None
        self._scenario = ""
        self._judged = 0
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

    @property
    def base_url(self) -> str:
        """Of the API, as the clients have it; on replay without any setting, as recorded."""
        given = self.settings.base_url or os.environ.get("OPENAI_BASE_URL")
        if not given and not self.recorder.sends:
            for entry in self.recorder.entries:
                head, found, _ = entry.request.url.rpartition("/chat/completions")
                if found:
                    return head
        return (given or DEFAULT_BASE_URL).rstrip("/")

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

    # -- mock and faults ----------------------------------------------------------------------

    @property
    def mock(self) -> ChatMock | None:
        """What the fixture ``chatapi_mock`` gives."""
        answers: Any = self.recorder.answers
        return answers  # type: ignore[no-any-return]

    def inject(self, *steps: Fault | str) -> Plan:
        """What goes wrong with the coming answers, one step for each.

        Args:
            steps: of `pytest_chatapi.faults`, or as text: ``"2*rate_limit, cut(chunks=3), ok"``.

        Returns:
            the plan, with what happened of it.

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
        if self._clock is None and self.settings.virtual_time:
            from pytest_chatapi.faults.virtual_time import VirtualTime

            self._clock = self._stack.enter_context(VirtualTime())

    def run_scenario(self, text: str) -> None:
        """One of those that ``@pytest.mark.chatapi_faults`` names."""
        self._scenario = text
        self.inject(text)

    def _end_scenario(self) -> None:
        plan: Any = self.recorder.faults
        if self._scenario and not plan.happened:
            why = (
                "nothing in this traffic it could change"
                if self.exchanges
                else "no chat completion was asked for"
            )
            pytest.skip(f"{self._scenario}: {why}")

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        """Serves this test's cassette or mock on a socket; gives the base URL.

        Raises:
            pytest.fail.Exception: the extra ``server`` is not installed.
        """
        missing = ""
        try:
            require_extra()
        except SettingError as error:
            missing = str(error)
        if missing:
            pytest.fail(missing, pytrace=False)
        from pytest_chatapi.server.app import make_app
        from pytest_chatapi.server.run import running

        upstream = self.base_url if self.recorder.sends else None
        with (
            running(make_app(self.recorder, upstream=upstream)) as server,
            pytest.MonkeyPatch.context() as patch,
        ):
            port = urlsplit(server.url).port or 0
            self.recorder.ports.add(port)
            patch.setenv("OPENAI_BASE_URL", server.url)
            try:
                yield server.url
            finally:
                self.recorder.ports.discard(port)

    # -- the ends of the phases ------------------------------------------------------------

    def setup_failed(self) -> None:
        """Whoever reads the error of the setup has been told."""
        self._told = len(self.recorder.misses)

    def call_passed(self) -> None:
        """Fails the test for what it got away with, and writes what it recorded."""
        self._end_phase()
        self._fail_for_misses()
        self._judge_new()
        self._judge_cassette()
        self._judge_unused()
        self._save()
        self._end_scenario()

    def call_failed(self, error: BaseException) -> None:
        """Adds to the report what explains a failure, or fails for a better reason.

        Raises:
            pytest.fail.Exception: instead of `error`.
        """
        self._end_phase()
        said = [str(leaf) for leaf in _leaves(error)]
        untold = [text for text in map(describe, self.recorder.misses) if text not in said]
        self._told = len(self.recorder.misses)
        is_expected = self._item.get_closest_marker("xfail") is not None
        if is_expected and self.recorder.misses:
            self.warn(f"xfail for want of a recording\n{describe(self.recorder.misses[0])}")
        if self.settings.record_on_failure or (is_expected and not self.recorder.misses):
            try:
                self.recorder.save()
            except ChatAPIError as refused:
                untold.append(f"chatapi: {refused}")
        if isinstance(error, pytest.skip.Exception | BaseExceptionGroup):
            # A skip hides what was missing; a group hides it in the frames of libraries.
            ours = [describe(miss) for miss in self.recorder.misses]
            if ours and (isinstance(error, pytest.skip.Exception) or set(said) <= set(ours)):
                raise pytest.fail.Exception("\n\n".join(ours), pytrace=False) from None
        if isinstance(error, pytest.skip.Exception):
            return
        for title, findings in self._new_findings():
            failing = [f for f in findings if f.level in self._levels()]
            if failing:
                untold.append(failure_message(findings, title, failing))
        if untold:
            self._item.add_report_section("call", "chatapi", "\n\n".join(untold))

    def torn_down(self, error: BaseException | None, *, passed: bool) -> None:
        """The same for what fixtures did after the test.

        Args:
            error: what the teardown raised.
            passed: whether the test itself did.
        """
        self._end_phase()
        if error is not None or not passed:
            return
        self._fail_for_misses()
        self._judge_new()
        self._judge_unplayed("teardown")
        self._save()

    def warn(self, text: str) -> None:
        """Shows something at the end of the run."""
        self._item.user_properties.append(("chatapi", text))

    def _end_phase(self) -> None:
        recorder = self.recorder
        recorder.finish()
        recorder.phase = "teardown"
        for text in recorder.warnings[:1]:
            more = len(recorder.warnings) - 1
            self.warn(text + (f"\n  ... and {more} more requests" if more else ""))
        if recorder.unanswered:
            count = len(recorder.unanswered)
            self.warn(
                f"{plural(count, 'request')} got no answer, so nothing was recorded "
                f"to replay: {', '.join(recorder.unanswered[:3])}"
            )
        recorder.warnings, recorder.unanswered = [], []

    def _fail_for_misses(self) -> None:
        untold = self.recorder.misses[self._told :]
        self._told = len(self.recorder.misses)
        if untold:
            pytest.fail("\n\n".join(map(describe, untold)), pytrace=False)

    def _new_findings(self) -> list[tuple[str, list[Finding]]]:
        first, self._judged = self._judged, len(self.exchanges)
        if self.settings.policy == "off":
            return []
        new = enumerate(self.exchanges[first:], first)
        return [(f"exchange {at}: {_title(e)}", self._judge(e)) for at, e in new]

    def _levels(self) -> Any:
        return at_least("error" if self.settings.policy == "error" else "warning")

    def _judge_new(self) -> None:
        judge(self._new_findings(), self.settings.policy or "error", self.warn)

    def _judge_cassette(self) -> None:
        cassette, settings = self.recorder.cassette, self.settings
        self._judge_unplayed("")
        if cassette is None or not settings.max_age:
            return
        old = [e.recorded_at for e in self.recorder.entries]
        old = [day for day in old if is_older(day, settings.max_age)]
        if old:
            text = (
                f"{cassette.name} was recorded on {min(old)[:10]}, over {settings.max_age} ago; "
                f"record again: {how_to_record(self._item, 'rewrite', settings)}"
            )
            if settings.on_expiry == "fail":
                pytest.fail(text, pytrace=False)
            self.warn(text)

    def _judge_unplayed(self, phase: str) -> None:
        cassette, settings = self.recorder.cassette, self.settings
        if cassette is None or not self._minds_unplayed:
            return
        own = [entry for entry in self.recorder.unplayed(phase=phase) if entry.own]
        if not own:
            return
        text = "\n".join(
            [
                f"{plural(len(own), 'recording')} in {cassette.name} not asked for:",
                *(f"  interaction {e.index}: {_title(Exchange(e.request))}" for e in own[:10]),
                *([f"  ... and {len(own) - 10} more"] if len(own) > 10 else []),
                f"record again: {how_to_record(self._item, 'rewrite', settings)}",
            ]
        )
        self._tell_unplayed(text, "or")

    def _judge_unused(self) -> None:
        unused = self.mock.unused if self.mock is not None and self._minds_unplayed else []
        if unused:
            lines = ["the mock has what was not asked for:", *(f"  {u}" for u in unused[:10])]
            self._tell_unplayed("\n".join(lines), "leave it out, or")

    @property
    def _minds_unplayed(self) -> bool:
        # Who gets a fault instead of an answer may well give up.
        return self.settings.unplayed != "ignore" and self.recorder.faults is None

    def _tell_unplayed(self, text: str, instead: str) -> None:
        if self.settings.unplayed == "fail":
            pytest.fail(f"{text}\n{instead} allow it: unplayed='ignore'", pytrace=False)
        self.warn(text)

    def _save(self) -> None:
        refused = ""
        try:
            self.recorder.save()
        except ChatAPIError as error:
            refused = f"chatapi: {error}"
        if refused:
            pytest.fail(refused, pytrace=False)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


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

_SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".har", ".gz")


def cassette_path(
    item: pytest.Item, settings: Settings, folder: Path | None = None, name: str | None = None
) -> Path:
    """Where a test's cassette is: pytest-recording's folders and names.

    Args:
        folder, name: what pytest-recording's fixtures say, where it is installed.
    """
    folder = folder or item.path.parent / "cassettes" / item.path.stem
    if settings.cassette:
        path = Path(settings.cassette)
        if path.suffix not in _SUFFIXES:
            path = path.with_name(f"{path.name}.{settings.serializer}")
        return folder / path
    if name is None:
        owner = getattr(item, "cls", None)
        name = f"{owner.__name__}.{item.name}" if owner else item.name
        for char in r"<>?%*:|\"'/\\":
            name = name.replace(char, "-")
    name = _without_scenario(item, name)
    suffix = ".yaml" if settings.serializer == "yaml" else "json"  # as pytest-recording measures
    if len(name) + len(suffix) > _LONGEST_NAME:
        digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        name = f"{name[: _LONGEST_NAME - len(suffix) - 32 - 3]}...{digest}"
    ending = f".{settings.serializer}"
    return folder / (name if name.endswith(ending) else f"{name}{ending}")


def scenario_of(item: pytest.Item) -> str:
    """Which of the scenarios of ``chatapi_faults`` an item is, or ``""``."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("_chatapi_scenario", "")) if callspec is not None else ""


def _without_scenario(item: pytest.Item, name: str) -> str:
    """All scenarios of ``chatapi_faults`` disturb the same cassette. Its id comes last."""
    scenario = scenario_of(item)
    if not scenario:
        return name
    for char in r"<>?%*:|\"'/\\":
        scenario = scenario.replace(char, "-")
    for end, instead in ((f"[{scenario}]", ""), (f"-{scenario}]", "]")):
        if name.endswith(end):
            return name.removesuffix(end) + instead
    return name


def how_to_record(item: pytest.Item, mode: str, settings: Settings) -> str:
    """The command that records one test."""
    config = item.config
    name = item.nodeid
    with contextlib.suppress(ValueError):
        path = item.path.relative_to(config.invocation_params.dir)
        name = f"{path.as_posix()}::{item.nodeid.partition('::')[2]}"
    command = f"pytest {shlex.quote(name)}"
    if settings.mode_from:  # which wins over the flag
        return f"set record_mode={mode!r} in {settings.mode_from}, then {command}"
    return f"{command} --record-mode={mode}"


def is_live(config: pytest.Config) -> bool:
    """Whether a run records and replays nothing."""
    return bool(config.getoption("--disable-recording", False)) or bool(
        config.getini("chatapi_disable_recording")
    )


@contextlib.contextmanager
def open_test(
    item: pytest.Item,
    settings: Settings,
    owner: Mapping[str, Any],
    since: str,
    *,
    mocks: bool = False,
    scenario: str = "",
    **place: Any,
) -> Iterator[ChatAPI]:
    """The handle of a test, with all clients routed through it.

    Args:
        mocks: a mock answers, in place of a cassette.
        scenario: what goes wrong.
        owner: the fixture ``vcr_config``: by its rules an older cassette is matched.
        since: when the run began.
        place: what fixtures say of the cassette, see `cassette_path`.
    """
    path = None if mocks or is_live(item.config) else cassette_path(item, settings, **place)
    name = None
    if path is not None:
        name = os.fspath(path)
        with contextlib.suppress(ValueError):
            name = path.relative_to(item.config.invocation_params.dir).as_posix()

    def fail(miss: Miss) -> NoReturn:
        if miss.routes is not None:
            raise pytest.fail.Exception(describe(miss), pytrace=False) from None
        mode = "rewrite" if recorder.cassette is not None and recorder.cassette.exists else "once"
        miss.remedy = how_to_record(item, mode, settings)
        raise pytest.fail.Exception(describe(miss), pytrace=False) from None

    def refuse_second() -> NoReturn:
        raise pytest.fail.Exception(
            f"{item.nodeid}: a cassette of vcrpy is opened while @pytest.mark.chatapi records and "
            "replays this test: use one of the two",
            pytrace=False,
        )

    wrong = ""
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
            answers=_new_mock(item, settings) if mocks else None,
            **legacy_rules(owner),
        )
    except ChatAPIError as error:
        wrong = f"chatapi: {error}"
    if wrong:
        pytest.fail(wrong, pytrace=False)
    hosts = [*settings.ignore_hosts, *ignored_hosts(owner)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(intercepted(recorder, ignore_hosts=hosts, on_second=refuse_second))
        stack.enter_context(_some_key(recorder))
        handle = ChatAPI(recorder, settings, item, stack, hosts)
        if mocks:
            handle.make_time_virtual()
        if scenario:
            handle.run_scenario(scenario)
        yield handle


def _new_mock(item: pytest.Item, settings: Settings) -> ChatMock:
    from pytest_chatapi.mock.chat_mock import ChatMock

    return ChatMock(item.nodeid, settings.profile)


@contextlib.contextmanager
def _some_key(recorder: Recorder) -> Iterator[None]:
    """SDKs refuse to be built without a key, even where nothing is sent."""
    if recorder.sends or os.environ.get("OPENAI_API_KEY"):
        yield
        return
    os.environ["OPENAI_API_KEY"] = _REPLAY_KEY
    try:
        yield
    finally:
        if os.environ.get("OPENAI_API_KEY") == _REPLAY_KEY:
            del os.environ["OPENAI_API_KEY"]


_FILTERS = (
    "filter_query_parameters",
    "filter_post_data_parameters",
    "before_record_request",
    "before_record",
)


def legacy_rules(owner: Mapping[str, Any]) -> dict[str, Any]:
    """What the recorder is told of the fixture ``vcr_config``."""
    rules: dict[str, Any] = {}
    if isinstance(owner.get("match_on"), list | tuple):
        names = [name for name in owner["match_on"] if isinstance(name, str)]
        rules["legacy_match_on"] = ["uri" if name == "url" else name for name in names]
    given = {name: owner[name] for name in _FILTERS if owner.get(name)}
    if given:
        from vcr import VCR  # type: ignore[import-untyped]
        from vcr.request import Request as Recorded  # type: ignore[import-untyped]

        prepare = VCR(**given).get_merged_config()["before_record_request"]

        def filtered(request: Request) -> Request | None:
            body = request.body.encode() if isinstance(request.body, str) else request.body
            made = Recorded(request.method, request.url, body, dict(request.headers))
            left = prepare(made)
            if left is None:
                return None
            return Request(left.method, left.uri, request.headers, left.body)

        rules["legacy_filter"] = filtered
    return rules


def ignored_hosts(owner: Mapping[str, Any]) -> list[str]:
    """The hosts that ``vcr_config`` leaves alone."""
    hosts = [host for host in owner.get("ignore_hosts") or () if isinstance(host, str)]
    return [*hosts, *(("localhost", "127.0.0.1", "::1") if owner.get("ignore_localhost") else ())]


def refusal(
    item: pytest.Item, early: Settings, current: Callable[[], ChatAPI | None]
) -> Callable[[str, str], None]:
    """What is asked before anything leaves the machine while a test is set up, run, torn down.

    Args:
        early: settings for as long as the test has no handle.
        current: the handle, once there is one.
    """

    def refuse(host: str, port: str) -> None:
        handle = current()
        left_alone = (
            {name.lower() for name in early.ignore_hosts} if handle is None else handle.hosts
        )
        sends = (
            is_live(item.config) or early.record_mode != "none"
            if handle is None
            else handle.recorder.sends
        )
        if sends or host in left_alone:
            return
        who = (
            "a fixture of wider scope than the test, whose requests nobody records"
            if handle is None
            else "a client that no recorder knows"
        )
        miss = Miss(
            f"a connection to {host}:{port}",
            f"nothing leaves this machine in record mode none, and this is {who}; "
            f"to let it pass: ignore_hosts=[{host!r}]",
        )
        if handle is not None:
            handle.recorder.misses.append(miss)
        raise pytest.fail.Exception(describe(miss), pytrace=False) from None

    return refuse
