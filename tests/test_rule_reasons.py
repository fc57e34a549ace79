"""What `why` in the rule catalogue says about the openai SDK, tried on the broken examples."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from pytest_chatapi.contract.examples import example

FAMILY = importlib.import_module("httpx" if openai.VERSION.startswith("2.") else "httpx2")

# What an SDK reads from a broken response, its own helper for streams writes again.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


def response_to(code: str) -> Any:
    """What the SDK makes of the broken example: a completion, or the chunks of a stream."""
    exchange = example(code).broken
    assert exchange.request is not None
    assert exchange.response is not None
    response = exchange.response
    transport = FAMILY.MockTransport(
        lambda _: FAMILY.Response(
            response.status, headers=dict(response.headers), content=str(response.body).encode()
        )
    )
    with FAMILY.Client(transport=transport) as http:
        create: Any = openai.OpenAI(api_key="k", max_retries=0, http_client=http).chat.completions
        if exchange.request.json().get("stream"):
            return list(create.create(model="m", messages=[], stream=True))
        return create.create(model="m", messages=[])


def text(code: str) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in response_to(code))


def joined(code: str) -> Any:
    state = ChatCompletionStreamState()
    for chunk in response_to(code):
        list(state.handle_chunk(chunk))
    return state.current_completion_snapshot.choices[0]


def validated(code: str) -> Any:
    return ChatCompletion.model_validate(response_to(code).model_dump())


@pytest.mark.parametrize(
    ("code", "use", "error"),
    [
        ("S01", validated, ValidationError),
        ("S03", validated, ValidationError),
        ("S05", lambda code: response_to(code).choices[0], IndexError),
        ("S07", validated, ValidationError),
        ("S08", validated, ValidationError),
        ("S16", response_to, json.JSONDecodeError),
        ("U05", lambda code: response_to(code).usage.total_tokens, AttributeError),
        ("T09", text, IndexError),
        ("T10", response_to, openai.APIError),
        ("T11", response_to, json.JSONDecodeError),
        ("T14", text, IndexError),
        ("T18", joined, AssertionError),
        ("X03", lambda code: response_to(code).choices[0], TypeError),
        ("X06", response_to, openai.BadRequestError),
    ],
)
def test_the_error_that_is_named(
    code: str, use: Callable[[str], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        use(code)


def test_what_is_lost_without_an_error() -> None:
    assert text("E01") == text("T01") == "Hello!"  # of E01, not the chunk with the comma
    assert joined("T05").finish_reason is None
    assert joined("T17").message.content == "Hello!"
    assert joined("T04").message.role is None
    call = joined("C05").message.tool_calls[0]
    assert (call.id, call.function.name) == ("call_a1call_b2", "get_weatherget_time")
    assert joined("C06").message.tool_calls[0].id == "call_a1call_a1"
    with pytest.raises(openai.AuthenticationError) as caught:
        response_to("X01")
    assert caught.value.code is None
    if openai.VERSION >= "3":
        assert str(caught.value) == "Error code: 401"
