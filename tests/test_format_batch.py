"""Files of the Batch API, requests without responses, and lists of stored completions."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from test_format_ruby import completion

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.endpoint import endpoint, other_api
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.reader import read

ASKED = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello"}]}
HOT = {**ASKED, "temperature": 3}
ANSWERED = [*ASKED["messages"], {"role": "assistant", "content": "Hi"}]


def read_lines(*values: Any) -> list[Exchange]:
    text = "\n".join(map(json.dumps, values)) + "\n"
    return list(read(io.BytesIO(text.encode()), name="f"))


def codes(exchange: Exchange) -> list[str]:
    return [finding.code for finding in check_exchange(exchange).findings]


def asked(body: Any, url: str = "/v1/chat/completions") -> dict[str, Any]:
    return {"custom_id": "r1", "method": "POST", "url": url, "body": body}


def answered(response: Any, error: Any = None, id: str = "batch_req_1") -> dict[str, Any]:
    return {"id": id, "custom_id": "r1", "response": response, "error": error}


def body(value: Any, status: int = 200) -> dict[str, Any]:
    return {"status_code": status, "request_id": "req_1", "body": value}


def test_the_input_is_requests_alone() -> None:
    good, bad, other = read_lines(asked(ASKED), asked(HOT), asked({}, "/v1/embeddings"))
    assert good.response is None
    assert [codes(exchange) for exchange in (good, bad)] == [[], ["Q00"]]
    assert (endpoint(other), other_api(other)) == (None, "embeddings")


def test_the_output_is_responses() -> None:
    good, bad = read_lines(answered(body(completion())), answered(body(completion(14))))
    assert [codes(exchange) for exchange in (good, bad)] == [[], ["U02"]]
    assert not good.assembled


def test_lines_without_a_response_are_requests_that_nothing_is_known_of() -> None:
    expired = {"code": "batch_expired", "message": "not executed in time"}
    for line in (answered(None, expired), answered(body(None)), answered({})):
        (exchange,) = read_lines(line)
        assert exchange.response is None
        assert exchange.request is not None
        assert exchange.request.body is None
        assert codes(exchange) == []


def test_what_came_instead_of_a_response_is_named() -> None:
    for line, api in (
        (answered(None, {"code": "batch_expired"}), "unanswered (batch_expired)"),
        (answered(None, {"code": "batch_cancelled"}), "unanswered (batch_cancelled)"),
        (answered(None), "unanswered"),
        (answered(body(None), {"message": "m"}), "unanswered"),
    ):
        (exchange,) = read_lines(line)
        assert check_exchange(exchange).api == api


def test_a_response_without_its_frame_or_as_text() -> None:
    for response in (completion(14), json.dumps(completion(14)), json.dumps(body(completion(14)))):
        (exchange,) = read_lines(answered(response))
        assert codes(exchange) == ["U02"]
    (other,) = read_lines(answered({"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}))
    assert (endpoint(other), other_api(other)) == (None, "gemini")
    for response in ("Hi", [completion()], json.dumps(body(completion()))[:-9]):
        with pytest.raises(ReadError, match="f: line 1: the response is not understood: it is not"):
            read_lines(answered(response))


def test_batches_of_others_are_named() -> None:
    (asked_it,) = read_lines({"custom_id": "r1", "params": ASKED})
    (got,) = read_lines({"custom_id": "r1", "result": {"type": "errored"}})
    assert other_api(asked_it) == other_api(got) == "anthropic"
    (mistral,) = read_lines({"custom_id": "0", "body": {"messages": ASKED["messages"]}})
    assert mistral.request is not None
    assert mistral.request.body is None  # the model is that of the batch


def test_the_errors_of_a_batch_are_checked_as_errors() -> None:
    error = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
    good, bad = read_lines(
        answered(body({"error": error}, 400)), answered(body({"detail": "no"}, 400))
    )
    assert [codes(exchange) for exchange in (good, bad)] == [[], ["X01"]]


def test_another_service_is_checked_as_a_compatible_one() -> None:
    value = completion(14)
    value["object"] = "text"
    levels = []
    for id in ("batch_req_1", "vllm-1"):
        (exchange,) = read_lines(answered(body(value), id=id))
        levels.append({f.code: f.level for f in check_exchange(exchange).findings}["U02"])
        levels.append(check_exchange(exchange).findings[0].profile)
    assert levels == ["error", "openai", "error", "compatible"]


def test_requests_a_line() -> None:
    good, bad = read_lines(ASKED, HOT)
    assert good.response is None
    assert [codes(exchange) for exchange in (good, bad)] == [[], ["Q00"]]
    (alone,) = read_lines(HOT)
    assert codes(alone) == ["Q00"]


@pytest.mark.parametrize(
    "example",
    [
        {"messages": ANSWERED},
        {"messages": ANSWERED, "tools": [], "parallel_tool_calls": False},
        {"messages": ANSWERED, "source": "by hand", "quality": 5},
        {
            "input": {"messages": ASKED["messages"]},
            "preferred_output": [{"role": "assistant", "content": "Hi"}],
            "non_preferred_output": [{"role": "assistant", "content": "No"}],
        },
    ],
)
def test_examples_for_fine_tuning_are_not_requests(example: Any) -> None:
    for exchange in read_lines(example, example):
        assert (endpoint(exchange), other_api(exchange)) == (None, "fine-tuning")


# -- lists of stored completions ---------------------------------------------------------


def stored(*totals: int) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [completion(total) for total in totals],
        "first_id": "chatcmpl-R1",
        "last_id": "chatcmpl-R1",
        "has_more": False,
    }


def check_stored(value: Any, path: str = "/v1/chat/completions") -> list[tuple[str, str]]:
    request = Request("GET", f"https://api.openai.com{path}")
    findings = check_exchange(Exchange(request, Response(body=value))).findings
    return [(finding.code, finding.path) for finding in findings]


def test_each_stored_completion_is_checked() -> None:
    assert check_stored(stored()) == []
    assert check_stored(stored(13, 13)) == []
    path = "$.data[1].usage.total_tokens"
    assert check_stored(stored(13, 14)) == [("U02", path)]
    (exchange,) = read_lines(stored(13, 14))
    assert [(f.code, f.path) for f in check_exchange(exchange).findings] == [("U02", path)]


@pytest.mark.parametrize("key", ["first_id", "last_id", "has_more"])
def test_an_empty_list_in_pages_is_one_of_completions(key: str) -> None:
    empty = {"object": "list", "data": []}
    assert endpoint(Exchange(None, Response(body={**empty, key: None}))) == "completion_list"
    assert endpoint(Exchange(None, Response(body=empty))) == "model_list"
    (exchange,) = read_lines(stored())
    assert codes(exchange) == []


def test_rules_about_choices_have_the_path_of_their_completion() -> None:
    value = stored(13, 13)
    choice = copy.deepcopy(value["data"][1]["choices"][0])
    choice["message"]["content"] = "\ufffd"
    choice["index"] = 3
    value["data"][1]["choices"] = [choice]
    value["data"][0]["id"] = ""
    assert sorted(check_stored(value)) == [
        ("S02", "$.data[0].id"),
        ("S06", "$.data[1].choices[0].index"),
        ("S15", "$.data[1].choices[0].message.content"),
    ]


def test_a_stored_completion_alone_is_checked_too() -> None:
    path = "/v1/chat/completions/chatcmpl-R1"
    assert check_stored(completion(), path) == []
    assert check_stored(completion(14), path) == [("U02", "$.usage.total_tokens")]


def test_a_list_that_holds_something_else_is_one_finding() -> None:
    assert check_stored({**stored(), "data": [5]}) == [("S01", "$.data[0]")]
    assert check_stored({**stored(), "data": 5}) == [("S01", "$.data")]
