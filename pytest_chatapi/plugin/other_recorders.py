"""Checks the traffic of tests that another recorder records: pytest-recording, cassetter."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.plugin.handle import judge
from pytest_chatapi.plugin.settings import settings_for
from pytest_chatapi.reading.registry import exchange_of

__all__ = ["check_other_recorder"]


def check_other_recorder(item: pytest.Item) -> None:
    """Fails the test for what its recorder played or recorded."""
    funcargs: dict[str, Any] = getattr(item, "funcargs", {})
    cassette = funcargs.get("vcr") or funcargs.get("cassette")
    if cassette is None:
        return
    request = getattr(item, "_request", None)
    config = request.getfixturevalue("chatapi_config") if request is not None else {}
    settings = settings_for(item, config)
    found = []
    for number, exchange in enumerate(_exchanges(cassette)):
        findings = check_exchange(exchange, settings.profile, ignore=settings.ignore).findings
        found.append((f"exchange {number}: {title_of(exchange)}", findings))
    judge(
        found,
        settings.policy or "error",
        lambda text: item.user_properties.append(("chatapi", text)),
    )


def _exchanges(cassette: Any) -> list[Exchange]:
    exchanges = []
    for value in _played(cassette):
        try:
            exchanges.append(exchange_of(value))
        except ValueError:  # a body that is no text, of another API
            continue
    return exchanges


def _played(cassette: Any) -> list[dict[str, Any]]:
    """What this test played or recorded, in the form that cassettes have on disk."""
    if hasattr(cassette, "played_indices"):  # cassetter, where a new recording counts as played
        pairs = zip(cassette.interactions, cassette.played_indices, strict=True)
        return [_cassetter_form(interaction) for interaction, played in pairs if played]
    if hasattr(cassette, "play_counts"):  # vcrpy
        old = getattr(cassette, "_loaded_count", 0)
        return [
            {
                "request": {
                    "method": request.method,
                    "uri": request.uri,
                    "headers": dict(request.headers),
                    "body": request.body,
                },
                "response": response,
            }
            for at, (request, response) in enumerate(cassette.data)
            if at >= old or cassette.play_counts[at]
        ]
    return []


def _cassetter_form(interaction: Any) -> dict[str, Any]:
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
