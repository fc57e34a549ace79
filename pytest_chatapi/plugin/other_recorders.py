"""Checks the traffic of tests that another recorder records: pytest-recording, cassetter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.plugin.policy import Checked, fail_for_findings, findings_of
from pytest_chatapi.plugin.settings import settings_at_run
from pytest_chatapi.reading.registry import exchange_of

__all__ = ["check_other_recorder"]


def check_other_recorder(item: pytest.Item) -> None:
    """Fail the test for what its recorder played or recorded."""
    funcargs: Mapping[str, object] = getattr(item, "funcargs", {})
    cassette = funcargs.get("vcr") or funcargs.get("cassette")
    if cassette is None:
        return
    request = getattr(item, "_request", None)
    config = request.getfixturevalue("chatapi_config") if request is not None else {}
    settings = settings_at_run(item, config)
    fail_for_findings(
        (
            Checked(number, title_of(exchange), findings_of(exchange, settings))
            for number, exchange in enumerate(_exchanges(cassette))
        ),
        settings.policy,
        lambda text: item.user_properties.append(("chatapi", text)),
    )


def _exchanges(cassette: object) -> list[Exchange]:
    exchanges = []
    for interaction in _played(cassette):
        try:
            exchanges.append(exchange_of(interaction))
        except ValueError:  # a body that cannot be read: none of a chat completion
            continue
    return exchanges


def _played(cassette: Any) -> list[JSONObject]:
    """What this test played or recorded, in the form that cassettes have on disk."""
    if hasattr(cassette, "played_indices"):  # cassetter, where a new recording counts as played
        pairs = zip(cassette.interactions, cassette.played_indices, strict=True)
        return [_cassetter_form(interaction) for interaction, played in pairs if played]
    if hasattr(cassette, "play_counts"):  # vcrpy
        old = getattr(cassette, "_loaded_count", 0)
        return [
            _vcr_form(request, response)
            for at, (request, response) in enumerate(cassette.data)
            if at >= old or cassette.play_counts[at]
        ]
    return []


def _vcr_form(request: Any, response: JSONObject) -> JSONObject:
    return {
        "request": {
            "method": request.method,
            "uri": request.uri,
            "headers": dict(request.headers),
            "body": request.body,
        },
        "response": response,
    }


def _cassetter_form(interaction: Any) -> JSONObject:
    request, response = interaction.request, interaction.response
    return {
        "request": {
            "method": request.method,
            "uri": request.uri,
            "headers": request.headers,
            "body": {"type": request.body.body_type, "content": request.body.content},
        },
        "response": {
            "status": response.status,
            "headers": response.headers,
            "body": {"type": response.body.body_type, "content": response.body.content},
        },
    }
