"""The cassettes of this repository: complete, clean, and replayable by plain vcrpy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import vcr
import yaml

from pytest_chatapi.contract.bundled import bundled

NAMES = [
    "error",
    "logprobs",
    "n-2",
    "plain",
    "reference-example",
    "stream",
    "stream-usage",
    "structured-output",
    "tools",
]
KEPT_HEADERS = {"content-type"}
SECRET = re.compile(r"\bsk-[A-Za-z0-9_-]{16,}|\bBearer\b|authorization|api[-_]key:", re.IGNORECASE)


def file(name: str) -> Path:
    return bundled("cassettes") / f"{name}.yaml"


def interactions(name: str) -> list[dict[str, Any]]:
    recorded = yaml.safe_load(file(name).read_text(encoding="utf-8"))
    assert recorded["version"] == 1
    return list(recorded["interactions"])


def test_every_file_is_listed() -> None:
    assert sorted(path.stem for path in bundled("cassettes").glob("*.yaml")) == NAMES
    readme = (bundled("cassettes") / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(.+)\.yaml`", readme, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_holds_no_secret(name: str) -> None:
    found = SECRET.search(file(name).read_text(encoding="utf-8"))
    assert found is None, f"{name}.yaml: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_keeps_only_the_headers_of_the_allow_list(name: str) -> None:
    for each in interactions(name):
        assert set(each["request"]["headers"]) <= KEPT_HEADERS
        assert set(each["response"]["headers"]) <= KEPT_HEADERS


@pytest.mark.parametrize("name", NAMES)
def test_names_no_machine(name: str) -> None:
    host = "https://api.openai.com" if name == "reference-example" else "http://127.0.0.1:8080"
    for each in interactions(name):
        assert each["request"]["uri"] == f"{host}/v1/chat/completions"


@pytest.mark.parametrize("name", NAMES)
def test_streams_are_readable(name: str) -> None:
    """A literal block, one event a line, as a person reads and edits it."""
    text = file(name).read_text(encoding="utf-8")
    for each in interactions(name):
        streamed = json.loads(each["request"]["body"]).get("stream", False)
        body = each["response"]["body"]["string"]
        assert body.startswith("data: ") is streamed
        if streamed:
            assert body.endswith("data: [DONE]\n\n")
            assert "\n        " + body.split("\n", 1)[0] in text


@pytest.mark.parametrize("name", NAMES)
def test_replays_with_plain_vcrpy(name: str) -> None:
    recorded = interactions(name)
    player = vcr.VCR(
        record_mode=vcr.mode.NONE, match_on=["method", "scheme", "host", "port", "path", "body"]
    )
    with player.use_cassette(str(file(name))) as cassette, httpx.Client() as client:
        for each in recorded:
            # A client may space its JSON as it likes: vcrpy compares JSON bodies parsed.
            request = each["request"]
            response = client.post(request["uri"], json=json.loads(request["body"]))
            assert response.status_code == each["response"]["status"]["code"]
            assert response.text == each["response"]["body"]["string"]
            assert (
                response.headers["content-type"] == each["response"]["headers"]["content-type"][0]
            )
        assert cassette.all_played
