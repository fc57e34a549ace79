"""A recorder from settings: the one place that knows their names and defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from pytest_chatapi.errors import SettingError
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.recording.matching import DEFAULT_MATCH_ON, Matcher
from pytest_chatapi.recording.modes import RECORD_MODES
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["open_recorder"]


def open_recorder(
    cassette: str | os.PathLike[str] | None,
    *,
    record_mode: str = "none",
    match_on: Iterable[str] = DEFAULT_MATCH_ON,
    ignore_body: Iterable[str] = (),
    normalize_body: Callable[[Any], Any] | None = None,
    redact: Iterable[str] = (),
    keep_headers: Iterable[str] = (),
    replay_speed: float = 0,
    allow_playback_repeats: bool = False,
    name: str | None = None,
    **more: Any,
) -> Recorder:
    """Args:
        cassette: path of the file; ``None`` for traffic that is only looked at.
        record_mode: one of `RECORD_MODES`.
        match_on: what is compared, see `Matcher`.
        ignore_body: JSON paths in request bodies that are not compared.
        normalize_body: evens out what differs between runs, see `Matcher`.
        redact: a project's own secrets: regular expressions, and JSON paths.
        keep_headers: names (or patterns, ``x-litellm-*``) to record besides those that always are.
        replay_speed: 0 at once, 1 as recorded, else a factor.
        more: further fields of `Recorder`.

    Raises:
        SettingError: a setting is wrong.
        ReadError: the cassette is damaged.
    """
    if record_mode not in RECORD_MODES:
        raise SettingError(f"record_mode is one of {', '.join(RECORD_MODES)}, not {record_mode!r}")
    if isinstance(replay_speed, bool) or not replay_speed >= 0:
        raise SettingError(f"replay_speed is 0, 1 or another factor, not {replay_speed!r}")
    redactor = Redactor(redact, keep_headers)
    matcher = Matcher(redactor, match_on, ignore_body, normalize_body)
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
