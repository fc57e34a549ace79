"""Mappings of WireMock."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from read_files import CUT_STREAM, EMBEDDINGS, REQUEST, STREAM, WRONG, exchanges_in, verdict
from traffic import ANSWER

from pytest_chatapi.contract.check import check_exchange

URL: dict[str, Any] = {"method": "POST", "urlPath": "/v1/chat/completions"}


def stub(request: Any = None, **response: Any) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "x-request-id": "r"}
    return {"request": request or URL, "response": {"status": 200, "headers": headers} | response}


def write(folder: Path, document: Any) -> Path:
    path = folder / "mappings" / "chat.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2))
    return path


def in_base64(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


EVENTS = {"Content-Type": "text/event-stream", "x-request-id": "r"}


@pytest.mark.parametrize(
    ("clean", "broken", "code"),
    [
        ({"jsonBody": ANSWER}, {"jsonBody": WRONG}, "U02"),
        ({"body": json.dumps(ANSWER)}, {"body": json.dumps(WRONG)}, "U02"),
        ({"base64Body": in_base64(ANSWER)}, {"base64Body": in_base64(WRONG)}, "U02"),
        ({"body": STREAM, "headers": EVENTS}, {"body": CUT_STREAM, "headers": EVENTS}, "T08"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_a_fault_is_found(
    clean: dict[str, Any], broken: dict[str, Any], code: str, alone: bool, tmp_path: Path
) -> None:
    for response, codes in ((clean, []), (broken, [code])):
        recorded = stub(**response) | {"uuid": "u1", "persistent": True, "metadata": {"a": 1}}
        document = recorded if alone else {"mappings": [recorded], "meta": {"total": 1}}
        assert verdict(write(tmp_path, document)) == ([codes], 0, [])


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ({"url": "/v1/chat/completions?a=1"}, "/v1/chat/completions?a=1"),
        ({"urlPathTemplate": "/openai/deployments/{d}/chat/completions"}, None),
        ({"urlPattern": "/v1/chat/completions.*"}, "/v1/chat/completions"),
        ({"urlPattern": r"^/v1/chat/completions(\?.*)?$"}, "/v1/chat/completions"),
        ({"urlPattern": r"/v1/chat/completions\?a=.+"}, "/v1/chat/completions"),
        ({"urlPathPattern": ".*/chat/completions"}, "/x/chat/completions"),
        ({"urlPathPattern": r"/v\d+/chat/completions/?"}, "/vx/chat/completions"),
        ({"urlPathPattern": "/(v1|v2)/chat/completions"}, "/x/chat/completions"),
        ({"urlPathPattern": r"/openai\/deployments/[^/]+/chat/completions"}, None),
        ({"urlPattern": ".*"}, ""),
        ({}, ""),
    ],
)
def test_addresses_and_patterns(pattern: dict[str, Any], url: str | None, tmp_path: Path) -> None:
    path = write(tmp_path, stub({"method": "ANY", **pattern}, jsonBody=WRONG))
    assert verdict(path) == ([["U02"]], 0, [])
    (exchange,), _ = exchanges_in(path)
    assert exchange.request is not None
    assert exchange.request.method == "POST"
    assert url is None or exchange.request.url == url


@pytest.mark.parametrize(
    ("patterns", "body"),
    [
        ([{"equalToJson": REQUEST}], REQUEST),
        ([{"equalToJson": json.dumps(REQUEST)}], REQUEST),
        ([{"matchesJsonPath": "$.model"}, {"equalToJson": REQUEST}], REQUEST),
        ([{"equalTo": json.dumps(REQUEST)}], json.dumps(REQUEST)),
        ([{"equalToJson": REQUEST, "ignoreExtraElements": True}], None),
        ([{"equalToJson": REQUEST, "ignoreArrayOrder": True}], None),
        ([{"equalToJson": '{"model": "${json-unit.any-string}"}'}], None),
        ([{"equalToJson": "{"}], None),
        ([{"matchesJsonPath": "$.stream"}], None),
        ([{"contains": "hello"}], None),
        (None, None),
    ],
)
def test_the_request_is_known_where_only_one_matches(
    patterns: Any, body: Any, tmp_path: Path
) -> None:
    headers = {"X-A": {"equalTo": "1"}, "X-B": {"matches": ".*"}}
    request = URL | {"headers": headers, "bodyPatterns": patterns}
    (exchange,), errors = exchanges_in(write(tmp_path, stub(request, jsonBody=ANSWER)))
    assert errors == []
    assert exchange.request is not None
    assert exchange.request.body == body
    assert exchange.request.headers == {"x-a": "1"}


# -- bodies in files -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["body.json", "deep/body.json"])
def test_a_body_in_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "__files" / name
    file.parent.mkdir(parents=True)
    path = write(tmp_path, stub(bodyFileName=name))
    for answer, codes in ((ANSWER, []), (WRONG, ["U02"])):
        file.write_text(json.dumps(answer))
        assert verdict(path) == ([codes], 0, [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.json", " in {folder}: no such file or folder"),
        ("deep", " in {folder}: is a folder"),
        ("../secret.json", " is not read: it is not inside of __files"),
        ("deep/../../secret.json", " is not read: it is not inside of __files"),
        ("..\\secret.json", " is not read: it is not inside of __files"),
        ("/etc/hosts", " is not read: it is not inside of __files"),
        ("C:\\secret.json", " is not read: it is not inside of __files"),
        ("link.json", " is not read: it is a link out of __files"),
        ("{{request.path}}.json", " is a template that only WireMock can fill in"),
    ],
)
def test_a_body_file_that_is_not_read(name: str, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "__files"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "secret.json").write_text(json.dumps(ANSWER))
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    path = write(tmp_path, {"mappings": [stub(bodyFileName=name), stub(jsonBody=WRONG)]})
    said = reason.format(folder=folder)
    error = f"f: interaction 0: response: bodyFileName {name!r}{said}"
    assert verdict(path) == ([["U02"]], 0, [error])


def test_there_is_no_folder_of_files(tmp_path: Path) -> None:
    reason = "is in a folder __files beside mappings, which is missing"
    error = f"f: interaction 0: response: bodyFileName 'a.json' {reason}"
    assert verdict(write(tmp_path, stub(bodyFileName="a.json"))) == ([], 0, [error])


# -- what is no recording ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (
            {"jsonBody": ANSWER | {"model": "{{jsonPath request.body '$.model'}}"}},
            "the body is a template ({{jsonPath request.body '$.model'}}) that only WireMock can "
            "fill in: record what it returns",
        ),
        (
            {"body": '{"id": "{{{name}}}"}', "transformers": ["response-template"]},
            "the body is a template ({{{name}}) that only WireMock can fill in: record what it "
            "returns",
        ),
        (
            {"proxyBaseUrl": "https://example.com"},
            "it is proxied to another server, so no body is recorded",
        ),
    ],
)
def test_what_only_wiremock_can_answer(
    response: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path, stub(**response))
    assert verdict(path) == ([], 0, [f"f: interaction 0: response: {reason}"])


def test_a_fault_of_the_connection_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path, stub(fault="EMPTY_RESPONSE"))
    (exchange,), errors = exchanges_in(path)
    assert (check_exchange(exchange).api, errors) == ("fault", [])
    other = write(tmp_path, stub({"urlPath": "/v1/embeddings"}, fault="EMPTY_RESPONSE"))
    assert check_exchange(exchanges_in(other)[0][0]).api == "embeddings"


def test_braces_in_a_text_are_no_template(tmp_path: Path) -> None:
    choice = ANSWER["choices"][0]
    message = choice["message"] | {"content": "Write {{ name }} or {{now_playing}} in Jinja."}
    answer = WRONG | {"choices": [choice | {"message": message}]}
    assert verdict(write(tmp_path, stub(jsonBody=answer))) == ([["U02"]], 0, [])


@pytest.mark.parametrize(
    "other",
    [
        stub({"method": "GET", "urlPattern": "/api/users.*"}, body='{"users": []}'),
        stub({"method": "GET", "urlPath": "/api/users"}, bodyFileName="gone.json"),
        stub({"method": "POST", "urlPath": "/v1/embeddings"}, jsonBody=EMBEDDINGS),
        stub({"method": "GET", "urlPattern": "/api/.*"}, proxyBaseUrl="https://example.com"),
    ],
)
def test_other_apis_are_skipped(other: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, {"mappings": [other, stub(jsonBody=WRONG)]})
    assert verdict(path) == ([["U02"]], 1, [])
