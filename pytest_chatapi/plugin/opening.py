"""Opens the recorder of one test, and routes all its clients through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import pytest

from pytest_chatapi.config.options import Settings
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wording import without_secrets
from pytest_chatapi.errors import ChatAPIError
from pytest_chatapi.plugin.guard import drop_early_key, placeholder_key, recorded_base_url
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.ini_and_flags import is_on
from pytest_chatapi.plugin.place import (
    ambiguous_name,
    cassette_path,
    how_to_record,
    shown_path,
    shown_place,
)
from pytest_chatapi.plugin.policy import checker_of
from pytest_chatapi.plugin.stash import RUN, RUN_BUDGET
from pytest_chatapi.plugin.unanswered import instead_of, unanswered_of
from pytest_chatapi.recording.intercept import intercepted
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder

if TYPE_CHECKING:
    from pytest_chatapi.mock.chat_mock import ChatMock
    from pytest_chatapi.mock.pace import Pace

__all__ = ["open_test"]

VCRConfig: TypeAlias = Mapping[str, Any]
"""What the fixture ``vcr_config`` returns: arguments of vcrpy."""


@contextmanager
def open_test(
    item: pytest.Item,
    settings: Settings,
    vcr_config: VCRConfig,
    since: str,
    *,
    has_mock: bool = False,
    scenario: str = "",
    folder: Path | None = None,
    name: str | None = None,
) -> Iterator[ChatAPI]:
    """The handle of a test, with all clients routed through it.

    Args:
        vcr_config: the fixture of that name: an older cassette is matched by its rules.
        since: when the run began.
        has_mock: a mock replies, in place of a cassette.
        scenario: the faults to inject, as text.
        folder, name: what fixtures say of the cassette, see `cassette_path`.

    Raises:
        pytest.fail.Exception: the cassette is damaged, or a setting does not fit it.
    """
    path = None
    if not has_mock and not is_on(item.config, "disable_recording"):
        path = cassette_path(item, settings, folder, name)
        settings.files += (path,)
    own_name = ambiguous_name(item, settings, name)
    recorder = _open_recorder(
        item, settings, vcr_config, since, path, has_mock=has_mock, own_name=own_name
    )
    if recorder.sends:
        drop_early_key(item)
    recorder.on_miss = partial(_fail_for_miss, item, settings, recorder)
    budget = item.config.stash.get(RUN_BUDGET, None)
    if budget is not None:
        recorder.budget = budget.of_test(item.nodeid)
    hosts = [*settings.ignore_hosts, *_ignored_hosts(vcr_config)]
    with (
        intercepted(recorder, ignore_hosts=hosts, on_second=partial(_refuse_vcrpy, item)),
        placeholder_key(is_needed=not recorder.sends),
        recorded_base_url(item, recorder, hosts),
        ExitStack() as stack,
    ):
        handle = ChatAPI(recorder, settings, stack, hosts, item.config.stash[RUN].prices)
        if has_mock or (settings.virtual_time and not recorder.sends):
            handle.make_time_virtual()
        if scenario:
            handle.inject(scenario)
        if recorder.pace is not None:
            handle.make_time_virtual()
        yield handle


def _open_recorder(
    item: pytest.Item,
    settings: Settings,
    vcr_config: VCRConfig,
    since: str,
    path: Path | None,
    *,
    has_mock: bool,
    own_name: str,
) -> Recorder:
    refusal = ""
    try:
        return open_recorder(
            path,
            record_mode=settings.record_mode,
            match_on=settings.match_on,
            ignore_body=settings.ignore_body,
            normalize_body=settings.normalize_body,
            redact=settings.redact,
            keep_headers=settings.keep_headers,
            replay_speed=settings.replay_speed,
            allow_playback_repeats=settings.allow_playback_repeats
            or vcr_config.get("allow_playback_repeats") is True,
            name=shown_path(item.config, path) if path is not None else None,
            test=item.nodeid if settings.cassette else own_name,
            own_only=bool(own_name),
            optional=settings.optional,
            since=since,
            answers=_new_mock(item, settings) if has_mock else None,
            pace=_pace(settings),
            **_legacy_rules(vcr_config),
        )
    except ChatAPIError as error:
        refusal = f"chatapi: {without_secrets(str(error))}"
    pytest.fail(refusal, pytrace=False)  # outside of the handler, which would add its traceback


def _pace(settings: Settings) -> Pace | None:
    if settings.ttft is None and settings.tokens_per_second is None and not settings.jitter:
        return None
    from pytest_chatapi.mock.pace import pace_of

    return pace_of(settings.ttft, settings.tokens_per_second, settings.jitter)


def _new_mock(item: pytest.Item, settings: Settings) -> ChatMock:
    from pytest_chatapi.mock.chat_mock import ChatMock

    return ChatMock(item.nodeid, checker_of(settings).profile())


def _fail_for_miss(
    item: pytest.Item, settings: Settings, recorder: Recorder, miss: Miss
) -> NoReturn:
    miss.sent_from = shown_place(item.config, miss.sent_from)
    if miss.routes is None and not miss.is_over_budget:
        mode = "rewrite" if recorder.cassette is not None and recorder.cassette.exists else "once"
        miss.remedy = how_to_record(item, mode, settings)
        unanswered = unanswered_of(item)
        if unanswered:
            miss.reason += (
                f"; when it was recorded last, a request got no response ({unanswered}): "
                f"{instead_of(unanswered)}"
            )
    raise pytest.fail.Exception(describe(miss), pytrace=False) from None


def _refuse_vcrpy(item: pytest.Item) -> NoReturn:
    raise pytest.fail.Exception(
        f"{item.nodeid}: vcrpy opens a cassette while @pytest.mark.chatapi records and replays "
        "this test: use only one of the two",
        pytrace=False,
    )


# -- the fixture vcr_config ----------------------------------------------------------------------

_FILTERS = (
    "filter_query_parameters",
    "filter_post_data_parameters",
    "before_record_request",
    "before_record",
)


def _legacy_rules(vcr_config: VCRConfig) -> dict[str, Any]:
    """What a recorder has to know to match an older cassette as its owner did."""
    rules: dict[str, Any] = {}
    if isinstance(vcr_config.get("match_on"), list | tuple):
        names = [name for name in vcr_config["match_on"] if isinstance(name, str)]
        rules["legacy_match_on"] = ["uri" if name == "url" else name for name in names]
    filters = {name: vcr_config[name] for name in _FILTERS if vcr_config.get(name)}
    if filters:
        rules["legacy_filter"] = _legacy_filter(filters)
    return rules


def _legacy_filter(filters: VCRConfig) -> Callable[[Request], Request | None]:
    """vcrpy's own filters, for a request of ours; ``None`` for one that they leave alone."""
    from vcr import VCR  # type: ignore[import-untyped]
    from vcr.request import Request as VCRRequest  # type: ignore[import-untyped]

    prepare = VCR(**filters).get_merged_config()["before_record_request"]

    def filtered(request: Request) -> Request | None:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        theirs = prepare(VCRRequest(request.method, request.url, body, dict(request.headers)))
        if theirs is None:
            return None
        return Request(theirs.method, theirs.uri, request.headers, theirs.body)

    return filtered


def _ignored_hosts(vcr_config: VCRConfig) -> list[str]:
    hosts = [host for host in vcr_config.get("ignore_hosts") or () if isinstance(host, str)]
    if vcr_config.get("ignore_localhost"):
        hosts += ["localhost", "127.0.0.1", "::1"]
    return hosts
