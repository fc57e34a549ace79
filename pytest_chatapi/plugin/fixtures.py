"""The fixtures of the plugin. Their docstrings are what ``pytest --fixtures`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_chatapi.plugin.stash import CHECKS, GUARD, IS_RECORDED, RUN
from pytest_chatapi.recording.kinds import HTTP_FAMILIES

if TYPE_CHECKING:
    import httpx
    import httpx2
    import openai

    from pytest_chatapi.mock.chat_mock import ChatMock
    from pytest_chatapi.plugin.bound_assertions import ChatContract
    from pytest_chatapi.plugin.fuzzing import Fuzz
    from pytest_chatapi.plugin.handle import ChatAPI


@pytest.fixture(scope="session")
def chatapi_config() -> dict[str, Any]:
    """Settings for all tests; override it in ``conftest.py``. Takes what the marker takes."""
    return {}


# -- record and replay ---------------------------------------------------------------------------


@pytest.fixture
def _chatapi_marked(request: pytest.FixtureRequest) -> None:
    # Tests that are made of one function share their list of fixtures, so check each.
    if request.node.stash.get(IS_RECORDED, False):
        request.getfixturevalue("_chatapi_recording")


@pytest.fixture
def _chatapi_scenario(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


@pytest.fixture
def _chatapi_recording(request: pytest.FixtureRequest) -> Iterator[ChatAPI]:
    from pytest_chatapi.plugin.checking import Checks
    from pytest_chatapi.plugin.guard import guarded_test
    from pytest_chatapi.plugin.opening import open_test
    from pytest_chatapi.plugin.scenarios import scenario_of
    from pytest_chatapi.plugin.settings import settings_at_run

    item = request.node
    has_mock = not {"chatapi_mock", "chatapi_fuzz"}.isdisjoint(request.fixturenames)
    scenario = scenario_of(item)
    # What a mock or a fault makes is valid by construction or wrong on purpose.
    policy = "off" if has_mock or scenario else "error"
    settings = settings_at_run(item, request.getfixturevalue("chatapi_config"), policy)
    vcr_config = _value(request, "vcr_config")
    folder = _value(request, "vcr_cassette_dir")
    with ExitStack() as stack:
        if item.stash.get(GUARD, None) is None:  # in the middle of a test without the marker
            stack.enter_context(guarded_test(item))
        handle = stack.enter_context(
            open_test(
                item,
                settings,
                vcr_config if isinstance(vcr_config, dict) else {},
                item.config.stash[RUN].since,
                has_mock=has_mock,
                scenario=scenario,
                folder=Path(folder) if folder else None,
                name=_value(request, "default_cassette_name"),
            )
        )
        item.stash[CHECKS] = Checks(handle, item)
        yield handle


def _value(request: pytest.FixtureRequest, name: str) -> Any:
    """The value of a fixture of another plugin; ``None`` if there is no such fixture."""
    try:
        return request.getfixturevalue(name)
    except pytest.FixtureLookupError:
        return None


@pytest.fixture
def chatapi(_chatapi_recording: ChatAPI) -> ChatAPI:
    """What this test sends and receives: ``.exchanges``, ``.usage``, ``.findings``, ``.figures``,
    ``.score()``, ``.transport``, ``.async_transport``, ``.base_url``, ``.cassette``.
    """
    return _chatapi_recording


@pytest.fixture
def chatapi_mock(_chatapi_recording: ChatAPI) -> ChatMock:
    """Replies to this test's requests: ``.reply(...)``, ``.script([...])``,
    ``.chat(prompt__contains="weather").reply(...)``, ``.route(...)``, ``.models``.
    """
    mock = _chatapi_recording.mock
    if mock is None:
        pytest.fail(
            "chatapi_mock cannot be requested in the middle of a test: "
            "make it an argument of the test",
            pytrace=False,
        )
    return mock


@pytest.fixture
def chatapi_fuzz(_chatapi_recording: ChatAPI, request: pytest.FixtureRequest) -> Fuzz:
    """Tests the code that reads responses: ``chatapi_fuzz(consumer)`` calls a function that sends
    requests, and expects the same result for each legal delivery of a response, and an error for
    each illegal one.
    """
    from pytest_chatapi.plugin.fuzzing import Fuzz

    return Fuzz(_chatapi_recording, request)


@pytest.fixture
def chatapi_server(chatapi: ChatAPI) -> Iterator[str]:
    """The base URL of a server on this machine that responds from this test's cassette, or from
    ``chatapi_mock``; ``OPENAI_BASE_URL`` is set to it, for subprocesses.
    """
    with chatapi.served() as url:
        yield url


# -- clients -------------------------------------------------------------------------------------


@pytest.fixture
def chatapi_client(chatapi: ChatAPI) -> Iterator[httpx.Client | httpx2.Client]:
    """An ``httpx.Client`` (or httpx2's, see ``http_client``) of the API."""
    family = import_module(chatapi.settings.http_client)
    with family.Client(
        base_url=chatapi.base_url, headers=chatapi.client_headers(), transport=chatapi.transport
    ) as client:
        yield client


@pytest.fixture
def chatapi_async_client(chatapi: ChatAPI) -> httpx.AsyncClient | httpx2.AsyncClient:
    """An ``httpx.AsyncClient`` (or httpx2's) of the API; needs no closing."""
    family = import_module(chatapi.settings.http_client)
    client: httpx.AsyncClient | httpx2.AsyncClient = family.AsyncClient(
        base_url=chatapi.base_url,
        headers=chatapi.client_headers(),
        transport=chatapi.async_transport,
    )
    return client


@pytest.fixture
def openai_client(chatapi: ChatAPI) -> Iterator[openai.OpenAI]:
    """An ``openai.OpenAI`` of the API."""
    sdk, family = _sdk("openai_client")
    http_client = family.Client(transport=chatapi.transport)
    with sdk.OpenAI(**chatapi.client_settings(), http_client=http_client) as client:
        yield client


@pytest.fixture
def async_openai_client(chatapi: ChatAPI) -> openai.AsyncOpenAI:
    """An ``openai.AsyncOpenAI`` of the API; needs no closing."""
    sdk, family = _sdk("async_openai_client")
    http_client = family.AsyncClient(transport=chatapi.async_transport)
    client: openai.AsyncOpenAI = sdk.AsyncOpenAI(
        **chatapi.client_settings(), http_client=http_client
    )
    return client


def _sdk(fixture: str) -> tuple[Any, Any]:
    """The openai package, and the HTTP library that its version runs on."""
    sdk = pytest.importorskip("openai", reason=f"{fixture} needs the package openai")
    is_new = int(sdk.__version__.partition(".")[0]) >= 3
    older, newer = HTTP_FAMILIES
    return sdk, import_module(newer if is_new else older)


# -- the contract --------------------------------------------------------------------------------


@pytest.fixture
def chat_contract(request: pytest.FixtureRequest) -> ChatContract:
    """The contract's assertions, bound to this test's profile and ignores.

    Set by ``@pytest.mark.chatapi(profile=..., ignore=[...], strict=...)``, else by
    ``--chatapi-profile`` and the like, else by ini, else by ``[tool.chatapi]``.
    """
    from pytest_chatapi.plugin.bound_assertions import ChatContract
    from pytest_chatapi.plugin.policy import checker_of
    from pytest_chatapi.plugin.settings import settings_at_run

    settings = settings_at_run(request.node, request.getfixturevalue("chatapi_config"))
    checker = checker_of(settings)
    ignore = [*settings.ignore, *checker.ignored_in(*settings.files)]
    return ChatContract(checker.profile(), ignore, settings.strict, checker.as_of)
