"""Makes a recorder from settings: the one place that knows their names and defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import use_instead
from pytest_chatapi.errors import SettingError
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.recording.kinds import DEFAULT_MATCH_ON, FACTOR, RECORD_MODE
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["open_recorder"]


def open_recorder(
    cassette: str | os.PathLike[str] | None,
    *,
    record_mode: str = "none",
    match_on: Iterable[str] = DEFAULT_MATCH_ON,
    ignore_body: Iterable[str] = (),
    normalize_body: Callable[[JSON], JSON] | None = None,
    redact: Iterable[str] = (),
    keep_headers: Iterable[str] = (),
    replay_speed: float = 0,
    allow_playback_repeats: bool = False,
    name: str | None = None,
    **more: Any,
) -> Recorder:
    """Open a cassette, or none, with these settings.

    Args:
        cassette: path of the file; ``None`` for traffic that is neither recorded nor replayed.
        record_mode: one of `kinds.RECORD_MODES`.
        match_on: parts of a request that are compared, see `Matcher`; if given, also with
            cassettes of other recorders.
        ignore_body: JSON paths in request bodies that are not compared.
        normalize_body: normalises values that change between runs, see `Matcher`.
        redact: a project's own secrets: regular expressions, and JSON paths.
        keep_headers: names (or patterns, ``x-litellm-*``) to record besides the default ones.
        replay_speed: 0 without waiting, 1 at the recorded pace, 2 twice as fast.
        more: further fields of `Recorder`.

    Raises:
        SettingError: a setting is wrong, or there is no such setting.
        ReadError: the cassette is damaged.
    """
    for unknown in more.keys() - Recorder.__dataclass_fields__.keys():
        known = list(open_recorder.__kwdefaults__ or ())
        near = use_instead(unknown, known)
        raise SettingError(f"unknown setting {unknown!r}{near}")
    RECORD_MODE.checked("record_mode", record_mode)
    replay_speed = FACTOR.checked("replay_speed", replay_speed)
    redactor = Redactor(redact, keep_headers)
    matcher = Matcher(redactor, match_on, ignore_body, normalize_body)
    if match_on is not DEFAULT_MATCH_ON:  # set by the user, so other recorders' rules do not count
        more["legacy_match_on"] = matcher.match_on
    opened = Cassette(cassette, name) if cassette is not None else None
    return Recorder(
        opened,
        matcher,
        redactor,
        record_mode,
        replay_speed=replay_speed,
        allow_playback_repeats=allow_playback_repeats,
        **more,
    )
