"""The mock at ``/v1/embeddings``: vectors for tests of retrieval."""

from __future__ import annotations

import base64
import math
import re
import struct
from typing import Any

import httpx
import httpx2
import openai
import pytest

from pytest_chatapi import RecordReplayTransport, SettingError, UnrecordedRequest
from pytest_chatapi.mock import ChatMock, embeddings, text
from pytest_chatapi.recording.opening import open_recorder

URL = "https://api.openai.com/v1/embeddings"
SMALL = "text-embedding-3-small"


class Run:
    def __init__(self) -> None:
        self.mock = ChatMock("test_embeddings")
        recorder = open_recorder(None, answers=self.mock)
        self.http = httpx.Client(transport=RecordReplayTransport(recorder))
        self.openai = openai.OpenAI(
            api_key="x",
            http_client=httpx2.Client(transport=RecordReplayTransport(recorder)),
            max_retries=0,
        )

    def ask(self, given: Any, **more: Any) -> Any:
        return self.http.post(URL, json={"model": SMALL, "input": given, **more})

    def vectors(self, given: Any, **more: Any) -> list[list[float]]:
        response = self.ask(given, **more)
        assert response.status_code == 200, response.text
        return [item["embedding"] for item in response.json()["data"]]


@pytest.fixture
def run() -> Run:
    run = Run()
    run.mock.embeddings()
    return run


def pattern(message: str) -> str:
    """For a message that may be wrapped."""
    return r"\s+".join(map(re.escape, message.split()))


def nearness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_the_sdk_reads_them(run: Run) -> None:
    response = run.openai.embeddings.create(model=SMALL, input=["Hello, world!", "Bye"])
    assert (response.object, response.model) == ("list", SMALL)
    assert [(item.object, item.index) for item in response.data] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    assert [len(item.embedding) for item in response.data] == [1536, 1536]
    assert response.usage.prompt_tokens == response.usage.total_tokens == 5
    # What the SDK asked for in base64 are the same numbers.
    assert [item.embedding for item in response.data] == run.vectors(["Hello, world!", "Bye"])


def test_the_same_in_every_run_and_of_length_1(run: Run) -> None:
    (first,) = run.vectors("A text")
    other = Run()
    other.mock.embeddings()
    assert other.vectors(["Something else", "A text"])[1] == first
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)
    assert run.vectors("!")[0] != run.vectors("?")[0]


def test_texts_with_words_in_common_are_near(run: Run) -> None:
    question, right, wrong = run.vectors(
        ["What is the capital of France?", "Paris is the capital of France.", "A cat sat there."]
    )
    assert nearness(question, right) > 0.7
    assert abs(nearness(question, wrong)) < 0.3


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ({"model": "text-embedding-3-large"}, 3072),
        ({"model": "text-embedding-ada-002"}, 1536),
        ({"dimensions": 3}, 3),
        ({"dimensions": 1}, 1),
        ({"model": "nomic-embed-text", "dimensions": 4000}, 4000),
    ],
)
def test_dimensions(run: Run, more: dict[str, Any], size: int) -> None:
    (vector,) = run.vectors("two words", **more)
    assert len(vector) == size
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


def test_base64(run: Run) -> None:
    (written,) = run.vectors("x", encoding_format="base64", dimensions=8)
    assert isinstance(written, str)
    assert (
        list(struct.unpack("<8f", base64.b64decode(written))) == run.vectors("x", dimensions=8)[0]
    )


def test_tokens_as_input(run: Run) -> None:
    assert run.vectors([1, 2, 3]) == run.vectors([[1, 2, 3]])
    response = run.ask([[1, 2, 3], [4]]).json()
    assert len(response["data"]) == 2
    assert response["usage"]["prompt_tokens"] == 4


def test_given_vectors(run: Run) -> None:
    run.mock.embeddings().reply(embeddings([[1, 0], [0.5, 0.25]]))
    assert run.vectors(["a", "b"]) == [[1.0, 0.0], [0.5, 0.25]]
    with pytest.raises(UnrecordedRequest, match=pattern("it has 1 input; pass 1 vector")):
        run.ask("a")
    with pytest.raises(UnrecordedRequest, match=pattern("it asks for 3 dimensions")):
        run.ask(["a", "b"], dimensions=3)


def test_beside_chat_and_by_what_is_asked(run: Run) -> None:
    run.mock.reply("It is Paris.")
    run.mock.route(path="/v1/embeddings", json__input="special").reply(embeddings([[1.0]]))
    assert run.vectors("any") != [[1.0]]
    other = Run()
    other.mock.embeddings(json__input="special").reply(embeddings([[1.0]]))
    other.mock.embeddings()
    assert other.vectors("special") == [[1.0]]
    assert other.mock.unused == ["embeddings(): never requested"]
    assert len(other.vectors("any")[0]) == 1536
    assert len(other.mock.requests) == 2


def test_replies_at_the_wrong_endpoint(run: Run) -> None:
    run.mock.embeddings().reply(text("Hello!"))
    with pytest.raises(
        UnrecordedRequest, match=pattern("it asks for embeddings; reply with embeddings()")
    ):
        run.ask("a")
    run.mock.reply(embeddings())
    with pytest.raises(UnrecordedRequest, match=pattern("use it with chatapi_mock.embeddings()")):
        run.openai.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])


INVALID = "'$.input' is invalid. Please check the API reference: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"input": "x", "model": None}, "you must provide a model parameter"),
        ({"input": "x", "model": ""}, "you must provide a model parameter"),
        ({}, INVALID),
        ({"input": ""}, INVALID),
        ({"input": []}, INVALID),
        ({"input": ["a", ""]}, INVALID),
        ({"input": [1, "a"]}, INVALID),
        ({"input": [[]]}, INVALID),
        ({"input": [True]}, INVALID),
        ({"input": {"a": 1}}, INVALID),
        ({"input": ["x"] * 2049}, "'input' must have at most 2048 items."),
        ({"input": "x", "encoding_format": "hex"}, "Invalid value: 'hex'. Supported values are: "),
        ({"input": "x", "dimensions": "3"}, "Invalid type for 'dimensions': expected an integer"),
        ({"input": "x", "dimensions": 0}, "Invalid 'dimensions': integer below minimum value."),
        ({"input": "x", "dimensions": 10**9}, "Invalid 'dimensions': integer above maximum value."),
        ({"input": "x", "dimensions": 1537}, "Invalid value for 'dimensions' = 1537. Must be less"),
        (
            {"input": "x", "dimensions": 3, "model": "text-embedding-ada-002"},
            "This model does not support specifying dimensions.",
        ),
    ],
)
def test_refused(run: Run, body: dict[str, Any], message: str) -> None:
    response = run.http.post(URL, json={"model": SMALL, **body})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(message)
    assert [refused.startswith(message) for _, refused in run.mock.refused] == [True]


def test_unknown_models_where_models_are_set(run: Run) -> None:
    run.mock.models = [SMALL]
    assert run.ask("x").status_code == 200
    refused = run.ask("x", model="other")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "vectors", ["text", [1.0, 2.0], [[1.0], 2], [["a"]], [], [[]], [[math.nan]], [[1e300]]]
)
def test_what_are_not_vectors(vectors: Any) -> None:
    with pytest.raises(SettingError, match=r"embeddings\(.*\) takes"):
        embeddings(vectors)
