"""How a test's recorder is opened, and the handle on it."""

from __future__ import annotations

import os
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openai
import pytest
from traffic import ANSWER

from pytest_chatapi import faults
from pytest_chatapi.config.options import Settings
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.plugin import fixtures
from pytest_chatapi.plugin.guard import guarded_test
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.opening import open_test
from pytest_chatapi.plugin.other_recorders import _exchanges, _played
from pytest_chatapi.plugin.run import Run
from pytest_chatapi.plugin.scenarios import WrongScenarios, scenarios_of
from pytest_chatapi.plugin.stash import CHECKS, RUN

CASSETTE = """interactions:
- request:
    method: POST
    uri: http://recorded.example/v1/chat/completions
    headers: {}
    body: '{}'
  response:
    status: {code: 200, message: OK}
    headers: {}
    body: {string: '{}'}
version: 1
"""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "BASE_URL", "ORG_ID", "PROJECT_ID"):
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)


@pytest.fixture
def item(tmp_path: Path) -> Any:
    config = SimpleNamespace(
        getini=lambda name: False,
        getoption=lambda name, default=None: default,
        invocation_params=SimpleNamespace(dir=tmp_path),
        stash=pytest.Stash(),
    )
    config.stash[RUN] = Run()
    return SimpleNamespace(
        nodeid="test_it.py::test_a",
        name="test_a",
        path=tmp_path / "test_it.py",
        config=config,
        stash=pytest.Stash(),
    )


def opened(
    item: Any, vcr_config: dict[str, Any] | None = None, **settings: object
) -> AbstractContextManager[ChatAPI]:
    return open_test(item, Settings(**settings), vcr_config or {}, "")


def recorded(item: Any) -> Path:
    path = item.path.parent / "cassettes" / "test_it" / "test_a.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(CASSETTE)
    return path


# -- the recorder --------------------------------------------------------------------------------


def test_a_test_is_named_in_a_cassette_of_several(item: Any) -> None:
    with opened(item) as handle:
        assert handle.recorder.test == ""
    with opened(item, cassette="shared") as handle:
        assert handle.recorder.test == "test_it.py::test_a"


def test_rules_of_vcr_config(item: Any) -> None:
    rules = {
        "match_on": ["url", "method", print],
        "allow_playback_repeats": True,
        "before_record_request": lambda request: request if "keep" in request.uri else None,
    }
    with opened(item, rules) as handle:
        recorder = handle.recorder
    assert recorder.legacy_match_on == ["uri", "method"]
    assert recorder.allow_playback_repeats
    assert recorder.legacy_filter is not None
    assert recorder.legacy_filter(Request("GET", "http://x/drop")) is None
    kept = recorder.legacy_filter(Request("POST", "http://x/keep", {"a": "b"}, "text"))
    assert kept == Request("POST", "http://x/keep", {"a": "b"}, b"text")
    with opened(item) as handle:
        assert not handle.recorder.allow_playback_repeats
        assert handle.recorder.legacy_filter is None
    with opened(item, {"allow_playback_repeats": "yes"}) as handle:
        assert not handle.recorder.allow_playback_repeats


def test_a_placeholder_key_is_there_while_nothing_is_sent(
    item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(item):
        assert os.environ["OPENAI_API_KEY"] == "sk-replay"
    assert "OPENAI_API_KEY" not in os.environ
    with opened(item, record_mode="once"):
        assert "OPENAI_API_KEY" not in os.environ
    with opened(item):
        os.environ["OPENAI_API_KEY"] = "set by the test"
    assert os.environ.pop("OPENAI_API_KEY") == "set by the test"
    monkeypatch.setenv("OPENAI_API_KEY", "mine")
    with opened(item):
        assert os.environ["OPENAI_API_KEY"] == "mine"
    assert os.environ["OPENAI_API_KEY"] == "mine"


@pytest.mark.parametrize(
    ("urls", "offered"),
    [
        (["http://localhost:8000/v1/chat/completions"] * 2, "http://localhost:8000/v1"),
        (
            ["https://gw.example/x/chat/completions", "https://gw.example/health"],
            "https://gw.example/x",
        ),
        (["https://api.openai.com/v1/chat/completions"], None),
        (["http://l/v1/chat/completions", "https://api.openai.com/v1/embeddings"], None),
        (["http://a/v1/chat/completions", "http://b/v1/chat/completions"], None),
        (["https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1"], None),
        (["http://passed.example/v1/chat/completions"], None),
        (["http://REDACTED/v1/chat/completions"], None),
        (["**REDACTED**"], None),
        (["http://a/v1/embeddings"], None),
    ],
)
def test_the_recorded_base_url_is_in_the_environment_of_a_replay(
    item: Any, monkeypatch: pytest.MonkeyPatch, urls: list[str], offered: str | None
) -> None:
    block, _, end = CASSETTE.partition("interactions:\n")[2].rpartition("version")
    path = recorded(item)
    blocks = [
        block.replace("http://recorded.example/v1/chat/completions", repr(url)) for url in urls
    ]
    path.write_text(f"interactions:\n{''.join(blocks)}version{end}")
    with opened(item, ignore_hosts=["passed.example"]):
        assert os.environ.get("OPENAI_BASE_URL") == offered
    assert "OPENAI_BASE_URL" not in os.environ
    with opened(item, record_mode="all"):
        assert "OPENAI_BASE_URL" not in os.environ
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, "http://mine")
        with opened(item):
            assert os.environ.get("OPENAI_BASE_URL") == (
                "http://mine" if name[7:11] == "BASE" else None
            )
        monkeypatch.delenv(name)


def test_nothing_connects_to_the_recorded_base_url(item: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, guarded_test(item):
        port = listening.getsockname()[1]
        path = recorded(item)
        path.write_text(CASSETTE.replace("recorded.example", f"localhost:{port}"))
        with opened(item) as handle, socket.socket() as client:
            item.stash[CHECKS] = SimpleNamespace(handle=handle)
            with pytest.raises(pytest.fail.Exception) as caught:
                client.connect(("localhost", port))
        message = " ".join(str(caught.value).split())
        assert "record mode 'none' allows no connections to the recorded server, and" in message
        socket.create_connection(("localhost", port)).close()  # for the next test it is another's


# -- the handle ----------------------------------------------------------------------------------


def test_the_base_url_is_the_recorded_one_on_replay_only(
    item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(item)
    with opened(item) as handle:
        assert handle.base_url == "http://recorded.example/v1"
    with opened(item, record_mode="all") as handle:
        assert handle.base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment.example/v1//")
    with opened(item) as handle:
        assert handle.base_url == "http://environment.example/v1"
    with opened(item, base_url="http://setting.example/v1/") as handle:
        assert handle.base_url == "http://setting.example/v1"


def test_the_flag_that_sends_without_a_key_is_named(item: Any) -> None:
    item.config.getoption = lambda name, default=None: name == "--disable-recording"
    with opened(item) as handle, pytest.raises(pytest.fail.Exception) as caught:
        handle.client_settings()
    assert str(caught.value).startswith("--disable-recording sends requests to https://api.openai.")


def test_a_key_is_needed_to_send_to_the_service_itself(item: Any) -> None:
    with opened(item, record_mode="once") as handle:
        with pytest.raises(pytest.fail.Exception) as caught:
            handle.client_settings()
        assert str(caught.value) == (
            "record_mode=once sends requests to https://api.openai.com/v1:\n"
            "set OPENAI_API_KEY, or api_key in the fixture chatapi_config"
        )
    with opened(item, record_mode="once", base_url="http://x/v1") as handle:
        assert handle.client_settings()["api_key"] == "sk-replay"
    with opened(item) as handle:
        del os.environ["OPENAI_API_KEY"]  # the placeholder
        assert handle.client_settings()["api_key"] == "sk-replay"
    with opened(item, api_key="k", record_mode="once", organization="o", project="p") as handle:
        assert handle.client_headers() == {
            "Authorization": "Bearer k",
            "OpenAI-Organization": "o",
            "OpenAI-Project": "p",
        }


def test_usage_adds_up_integers_only(item: Any) -> None:
    counts = {
        "prompt_tokens": 1,
        "completion_tokens": True,
        "total_tokens": "3",
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 6},
    }
    request = Request("POST", "https://x.example/v1/chat/completions", body={"model": "m"})
    with opened(item) as handle:
        for usage in (counts, counts, None):
            response = Response(body={**ANSWER, "usage": usage})
            handle.exchanges.append(Exchange(request, response))
        usage_of_all = handle.usage
    assert vars(usage_of_all) == {
        "prompt_tokens": 2,
        "completion_tokens": 0,
        "total_tokens": 0,
        "cached_tokens": 8,
        "reasoning_tokens": 12,
    }


def test_injected_faults_make_time_virtual(item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with opened(item) as handle:
        plan = handle.inject("rate_limit")
        assert handle.recorder.faults is plan
        time.sleep(3600)
        assert handle.slept == [3600]
        assert slept == [0]


def test_a_server_is_known_while_it_runs(item: Any) -> None:
    recorded(item)
    with opened(item) as handle:
        with handle.served() as url:
            assert os.environ["OPENAI_BASE_URL"] == url
            assert [f":{port}/" in url for port in handle.recorder.ports] == [True]
        assert handle.recorder.ports == set()
        assert os.environ["OPENAI_BASE_URL"] == "http://recorded.example/v1"


@pytest.mark.parametrize(("version", "family"), [("2.9.1", "httpx"), ("3.0.0", "httpx2")])
def test_the_sdk_gets_a_client_of_its_own_family(
    monkeypatch: pytest.MonkeyPatch, version: str, family: str
) -> None:
    monkeypatch.setattr(openai, "__version__", version)
    sdk, http = fixtures._sdk("openai_client")
    assert (sdk, http.__name__) == (openai, family)


# -- scenarios -----------------------------------------------------------------------------------


def test_a_scenario_runs_once() -> None:
    mark = pytest.mark.chatapi_faults("reset", "2*reset", faults.reset(), "reset").mark
    assert scenarios_of(mark) == ["reset", "2*reset"]
    mark = pytest.mark.chatapi_faults("reset", retries=1).mark
    with pytest.raises(WrongScenarios, match=r"chatapi_faults takes names of faults"):
        scenarios_of(mark)


# -- other recorders -----------------------------------------------------------------------------


def test_what_another_recorder_played_or_recorded() -> None:
    def request(name: str) -> SimpleNamespace:
        return SimpleNamespace(method="GET", uri=name, headers={}, body=b"")

    data = [(request(name), {}) for name in ("idle", "played", "new")]
    vcr = SimpleNamespace(data=data, play_counts={0: 0, 1: 1, 2: 0}, _loaded_count=2)
    assert [form["request"]["uri"] for form in _played(vcr)] == ["played", "new"]
    body = SimpleNamespace(body_type="text", content="x")
    interactions = [
        SimpleNamespace(
            request=SimpleNamespace(method="GET", uri=name, headers={}, body=body),
            response=SimpleNamespace(status=200, headers={}, body=body),
        )
        for name in ("idle", "played")
    ]
    cassetter = SimpleNamespace(interactions=interactions, played_indices=[False, True])
    assert [form["request"]["uri"] for form in _played(cassetter)] == ["played"]
    assert _played(cast(Any, object())) == []


def test_a_body_that_cannot_be_read_is_passed_over() -> None:
    interactions = []
    for kind, content in (("binary", "not hexadecimal"), ("text", "{}")):
        body = SimpleNamespace(body_type=kind, content=content)
        request = SimpleNamespace(method="GET", uri="http://x", headers={}, body=body)
        response = SimpleNamespace(status=200, headers={}, body=body)
        interactions.append(SimpleNamespace(request=request, response=response))
    cassetter = SimpleNamespace(interactions=interactions, played_indices=[True, True])
    assert len(_exchanges(cassetter)) == 1
