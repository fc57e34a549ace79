"""The pytest plugin. Imports nothing of ours until it is used, so that idle it costs nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_chatapi.mock.chat_mock import ChatMock
    from pytest_chatapi.plugin.bound_assertions import ChatContract
    from pytest_chatapi.plugin.handle import ChatAPI

_MODES = ("none", "once", "new_episodes", "all", "rewrite")
_TEST: pytest.StashKey[ChatAPI] = pytest.StashKey()
"""The handle of the test that runs, once it has one."""

_RECORDS: pytest.StashKey[bool] = pytest.StashKey()
_REFUSED: pytest.StashKey[str] = pytest.StashKey()
_PASSED: pytest.StashKey[bool] = pytest.StashKey()
_GUARD: pytest.StashKey[contextlib.ExitStack] = pytest.StashKey()
_CONFIG: pytest.StashKey[Any] = pytest.StashKey()
_SINCE: pytest.StashKey[str] = pytest.StashKey()
_FAILED: pytest.StashKey[set[str]] = pytest.StashKey()

_INI: tuple[tuple[str, str, Any, str], ...] = (
    ("profile", "string", "", "documented, openai, azure or compatible"),
    ("ignore", "linelist", [], "findings to ignore, one a line"),
    ("strict", "bool", None, "warnings fail too"),
    ("policy", "string", "", "error, strict, warn or off: which findings fail a test"),
    ("auto", "bool", False, "record and replay every test, as if each had the marker"),
    ("check_vcr", "bool", False, "check tests with pytest.mark.vcr of other recorders as well"),
    ("record_mode", "string", "", "none, once, new_episodes, all or rewrite"),
    ("disable_recording", "bool", False, "talk to the real server; record and replay nothing"),
    ("serializer", "string", "", "yaml or json, for new cassettes"),
    ("match_on", "args", [], "method, scheme, host, port, path, query, uri, body"),
    ("ignore_body", "linelist", [], "JSON paths in request bodies that are not compared"),
    ("allow_playback_repeats", "bool", None, "the last recording may be played again"),
    ("redact", "linelist", [], "own secrets: regular expressions or JSON paths, one a line"),
    ("keep_headers", "args", [], "headers to record besides those that always are"),
    ("replay_speed", "string", "", "0 at once, 1 as recorded, else a factor"),
    ("unplayed", "string", "", "fail, warn or ignore: recordings that a test did not ask for"),
    ("max_age", "string", "", "age of a recording, such as 30d, from which on it is too old"),
    ("on_expiry", "string", "", "warn or fail where a recording is too old"),
    ("record_on_failure", "bool", None, "write what a failing test recorded"),
    ("ignore_hosts", "args", [], "hosts that are neither recorded nor replayed"),
    ("base_url", "string", "", "of the API, for the client fixtures"),
    ("organization", "string", "", "for the client fixtures"),
    ("project", "string", "", "for the client fixtures"),
    ("http_client", "string", "", "httpx or httpx2: what chatapi_client is"),
    ("virtual_time", "bool", None, "with a mock or faults, sleeping takes no time (default: true)"),
    ("orphans", "bool", False, "list cassettes that no test owns"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chatapi", "contract tests of Chat Completions APIs")
    group.addoption(
        "--chatapi-cassettes",
        action="append",
        metavar="DIR",
        help="collect each exchange recorded below DIR as a test (ini: chatapi_cassettes)",
    )
    group.addoption(
        "--chatapi-profile",
        metavar="NAME",
        help="judge by this profile instead of by host (ini: chatapi_profile)",
    )
    group.addoption(
        "--chatapi-ignore",
        action="append",
        metavar="CODE[:PATH]",
        help="ignore findings, e.g. S10 or U02:$.usage.total_tokens (ini: chatapi_ignore)",
    )
    group.addoption(
        "--chatapi-strict",
        action="store_true",
        default=None,
        help="warnings fail too (ini: chatapi_strict)",
    )
    group.addoption(
        "--chatapi-policy",
        metavar="POLICY",
        help="error, strict, warn or off: which findings fail a test (ini: chatapi_policy)",
    )
    group.addoption(
        "--chatapi-replay-speed",
        metavar="FACTOR",
        help="0 at once, 1 as recorded, else a factor (ini: chatapi_replay_speed)",
    )
    group.addoption(
        "--chatapi-base-url",
        metavar="URL",
        help="of the API, for the client fixtures (ini: chatapi_base_url)",
    )
    group.addoption(
        "--chatapi-orphans",
        action="store_true",
        help="list cassettes that no test owns (ini: chatapi_orphans)",
    )
    parser.addini(
        "chatapi_cassettes", "folders of cassettes to collect as tests", "paths", default=[]
    )
    for name, kind, default, text in _INI:
        parser.addini(f"chatapi_{name}", text, kind, default=default)  # type: ignore[arg-type]


def pytest_load_initial_conftests(parser: pytest.Parser) -> None:
    # By now the other plugins have declared theirs: pytest-recording and cassetter bring these
    # two, and pytest refuses to have them twice.
    group = parser.getgroup("chatapi")
    with contextlib.suppress(ValueError):
        group.addoption(
            "--record-mode",
            choices=_MODES,
            help="none (default), once, new_episodes, all or rewrite (ini: chatapi_record_mode)",
        )
    with contextlib.suppress(ValueError):
        group.addoption(
            "--disable-recording",
            action="store_true",
            help="talk to the real server (ini: chatapi_disable_recording)",
        )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "chatapi(profile=None, ignore=[], policy='error', cassette=None, record_mode='none', ...): "
        "record and replay the HTTP traffic of this test, and check each exchange",
    )
    config.addinivalue_line(
        "markers",
        "chatapi_faults(*scenarios): run this test once for each fault, plan of faults "
        "('2*rate_limit, cut(chunks=3)') or fault of a set ('resilience', 'compatible-servers')",
    )
    worker = getattr(config, "workerinput", {})
    config.stash[_SINCE] = worker.get("chatapi_since") or datetime.now(UTC).isoformat(
        timespec="milliseconds"
    ).replace("+00:00", "Z")
    failed = config.stash[_FAILED] = set()
    config.pluginmanager.register(_Run(failed), "chatapi-run")
    given = [name for name, _, default, _ in _INI if config.getini(f"chatapi_{name}") != default]
    flags = ("profile", "ignore", "strict", "policy", "replay-speed")
    if given or any(config.getoption(f"--chatapi-{name}") for name in flags):
        from pytest_chatapi.plugin.settings import run_settings

        run_settings(config)  # a wrong setting fails once, before any test
    if config.getoption("--chatapi-cassettes") or config.getini("chatapi_cassettes"):
        from pytest_chatapi.plugin.collection import CassetteCollector

        config.pluginmanager.register(CassetteCollector(config), "chatapi-cassettes")
    if config.getoption("--chatapi-orphans") or config.getini("chatapi_orphans"):
        from pytest_chatapi.plugin.orphans import Orphans

        config.pluginmanager.register(Orphans(), "chatapi-orphans")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    # The workers of one run agree on when it began.
    node.workerinput["chatapi_since"] = node.config.stash[_SINCE]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        try:
            records_it = records(item)
        except TwoRecorders as error:  # one test's mistake is no reason to run none
            item.stash[_REFUSED] = str(error)
            continue
        if not records_it:
            continue
        from pytest_chatapi.plugin.settings import settings_for

        settings_for(item, {})  # a wrong setting fails before any test runs
        item.stash[_RECORDS] = True
        names = getattr(item, "fixturenames", None)
        if names is not None and "_chatapi_marked" not in names:
            names.insert(_after_wider_scopes(item, names), "_chatapi_marked")


def _after_wider_scopes(item: pytest.Item, names: list[str]) -> int:
    """Where a fixture of the test's own scope comes first."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for at, name in enumerate(names):
        if name in known and known[name][-1].scope == "function":
            return at
    return len(names)


# -- recording and replay ----------------------------------------------------------------------

_FIXTURES = frozenset(
    "chatapi chatapi_mock chatapi_client chatapi_async_client "
    "openai_client async_openai_client".split()
)


class TwoRecorders(Exception):
    """One test turns on two recorders; the message says which."""


def records(item: pytest.Item) -> bool:
    """Whether a test is recorded and replayed by us.

    Raises:
        TwoRecorders: another recorder is turned on for it as well.
        pytest.UsageError: a marker is wrong.
    """
    is_marked = any(item.get_closest_marker(name) for name in ("chatapi", "chatapi_faults"))
    asks = _FIXTURES.intersection(getattr(item, "fixturenames", ()))
    if not is_marked and not asks and not item.config.getini("chatapi_auto"):
        return False
    if item.get_closest_marker("vcr") is None:
        return True
    from pytest_chatapi.plugin.settings import JUDGING, marker_arguments

    ours = [
        given
        for given in (marker_arguments(item) if is_marked else [])
        if not given or not set(given) <= {*JUDGING, "policy"}
    ]
    if item.get_closest_marker("chatapi_faults") is not None:
        raise TwoRecorders(
            "@pytest.mark.chatapi_faults disturbs no cassette of @pytest.mark.vcr: "
            "use @pytest.mark.chatapi, which plays the same cassette"
        )
    if ours or asks:
        what = "@pytest.mark.chatapi" if ours else f"the fixture {min(asks)}"
        raise TwoRecorders(
            f"@pytest.mark.vcr and {what} each turn on a recorder: remove one of them;\n"
            "to have a test of the other recorder checked, set chatapi_check_vcr = true"
        )
    return False


@pytest.fixture(scope="session")
def chatapi_config() -> dict[str, Any]:
    """Settings for all tests; override it in ``conftest.py``. Takes what the marker takes."""
    return {}


@pytest.fixture
def _chatapi_marked(request: pytest.FixtureRequest) -> None:
    # Tests that are made of one function share their list of fixtures, so ask again.
    if request.node.stash.get(_RECORDS, False):
        request.getfixturevalue("_chatapi_recording")


@pytest.fixture
def _chatapi_recording(request: pytest.FixtureRequest) -> Iterator[ChatAPI]:
    from pytest_chatapi.plugin.handle import open_test, scenario_of
    from pytest_chatapi.plugin.settings import settings_for

    item = request.node
    config = item.config.stash[_CONFIG] = request.getfixturevalue("chatapi_config")
    mocks = "chatapi_mock" in request.fixturenames
    scenario = scenario_of(item)
    settings = settings_for(item, config, "off" if mocks or scenario else "error")
    owner, folder = _fixture(request, "vcr_config"), _fixture(request, "vcr_cassette_dir")
    with contextlib.ExitStack() as stack:
        if item.stash.get(_GUARD, None) is None:  # asked for in the middle of a test
            _guard(item, stack)
        handle = stack.enter_context(
            open_test(
                item,
                settings,
                owner if isinstance(owner, dict) else {},
                item.config.stash[_SINCE],
                mocks=mocks,
                scenario=scenario,
                folder=Path(folder) if folder else None,
                name=_fixture(request, "default_cassette_name"),
            )
        )
        item.stash[_TEST] = handle
        item.stash[_PASSED] = False
        yield handle


def _fixture(request: pytest.FixtureRequest, name: str) -> Any:
    try:
        return request.getfixturevalue(name)
    except pytest.FixtureLookupError:
        return None


def _guard(item: pytest.Item, stack: contextlib.ExitStack) -> None:
    from pytest_chatapi.plugin.handle import refusal
    from pytest_chatapi.plugin.settings import settings_for
    from pytest_chatapi.recording.guard import guarded

    early = settings_for(item, item.config.stash.get(_CONFIG, {}))
    stack.enter_context(guarded(refusal(item, early, lambda: item.stash.get(_TEST, None))))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if not item.stash.get(_RECORDS, False):
        yield
        return
    item.config.stash[_FAILED].discard(item.nodeid)
    stack = item.stash[_GUARD] = contextlib.ExitStack()
    _guard(item, stack)
    try:
        yield
    except BaseException:
        handle = item.stash.get(_TEST, None)
        if handle is not None:
            handle.setup_failed()
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        handle = item.stash.get(_TEST, None)
        if handle is not None:
            handle.call_failed(error)
        raise
    handle = item.stash.get(_TEST, None)
    if handle is None:
        if item.config.getini("chatapi_check_vcr") and item.get_closest_marker("vcr") is not None:
            from pytest_chatapi.plugin.other_recorders import check_other_recorder

            check_other_recorder(item)
        return
    # unittest keeps its failures to itself, and those of subtests are only reported.
    hidden = getattr(item, "_excinfo", None) or item.nodeid in item.config.stash[_FAILED]
    if hidden:
        handle.call_failed(hidden[0].value if isinstance(hidden, list) else AssertionError())
        return
    handle.call_passed()
    item.stash[_PASSED] = True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    handle = item.stash.get(_TEST, None)
    try:
        yield
    except BaseException as error:
        if handle is not None:
            handle.torn_down(error, passed=item.stash[_PASSED])
        raise
    else:
        if handle is not None:
            handle.torn_down(None, passed=item.stash[_PASSED])
    finally:
        if handle is not None:
            del item.stash[_TEST]
        stack = item.stash.get(_GUARD, None)
        if stack is not None:
            del item.stash[_GUARD]
            stack.close()


class _Run:
    """One run: refuses what cannot be, and collects what tests want to be known, also from the
    workers of xdist.
    """

    def __init__(self, failed: set[str]) -> None:
        self._notes: list[str] = []
        self._failed = failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        refused = item.stash.get(_REFUSED, "")
        if refused:
            pytest.fail(refused, pytrace=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when == "call":
            self._failed.add(report.nodeid)
        if report.when == "teardown" and report.user_properties:
            self._notes += [
                f"{report.nodeid}: {text}"
                for name, text in report.user_properties
                if name == "chatapi"
            ]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._notes:
            terminalreporter.write_sep("-", "chat completions")
            for text in self._notes:
                terminalreporter.write_line(text)


@pytest.fixture
def chatapi(_chatapi_recording: ChatAPI) -> ChatAPI:
    """What this test sends and receives: ``.exchanges``, ``.usage``, ``.findings``,
    ``.transport``, ``.async_transport``, ``.base_url``, ``.cassette``.
    """
    return _chatapi_recording


@pytest.fixture
def chatapi_mock(_chatapi_recording: ChatAPI) -> ChatMock:
    """Answers this test's requests: ``.reply(...)``, ``.script([...])``,
    ``.chat(prompt__contains="weather").reply(...)``, ``.route(...)``, ``.models``.
    """
    mock = _chatapi_recording.mock
    if mock is None:
        pytest.fail(
            "chatapi_mock is asked for in the middle of a test: name it among its arguments",
            pytrace=False,
        )
    return mock


@pytest.fixture
def chatapi_server(chatapi: ChatAPI) -> Iterator[str]:
    """The base URL of a server on this machine that answers from this test's cassette, or from
    ``chatapi_mock``; ``OPENAI_BASE_URL`` is set to it, for subprocesses.
    """
    with chatapi.served() as url:
        yield url


@pytest.fixture
def _chatapi_scenario(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("chatapi_faults")
    if marker is None:
        return
    from pytest_chatapi.plugin.settings import scenarios_of

    texts = scenarios_of(metafunc.definition, marker)
    metafunc.fixturenames.append("_chatapi_scenario")
    metafunc.parametrize("_chatapi_scenario", texts, indirect=True, ids=texts)


@pytest.fixture
def chatapi_client(chatapi: ChatAPI) -> Iterator[Any]:
    """An ``httpx.Client`` (or httpx2's, see ``http_client``) of the API."""
    import importlib

    family = importlib.import_module(chatapi.settings.http_client)
    with family.Client(
        base_url=chatapi.base_url, headers=chatapi.client_headers(), transport=chatapi.transport
    ) as client:
        yield client


@pytest.fixture
def chatapi_async_client(chatapi: ChatAPI) -> Any:
    """An ``httpx.AsyncClient`` (or httpx2's) of the API; needs no closing."""
    import importlib

    family = importlib.import_module(chatapi.settings.http_client)
    return family.AsyncClient(
        base_url=chatapi.base_url,
        headers=chatapi.client_headers(),
        transport=chatapi.async_transport,
    )


def _sdk_family(openai: Any) -> Any:
    import importlib

    is_new = int(openai.__version__.partition(".")[0]) >= 3
    return importlib.import_module("httpx2" if is_new else "httpx")


@pytest.fixture
def openai_client(chatapi: ChatAPI) -> Iterator[Any]:
    """An ``openai.OpenAI`` of the API."""
    openai = pytest.importorskip("openai", reason="openai_client needs the package openai")
    http_client = _sdk_family(openai).Client(transport=chatapi.transport)
    with openai.OpenAI(**chatapi.client_settings(), http_client=http_client) as client:
        yield client


@pytest.fixture
def async_openai_client(chatapi: ChatAPI) -> Any:
    """An ``openai.AsyncOpenAI`` of the API; needs no closing."""
    openai = pytest.importorskip("openai", reason="async_openai_client needs the package openai")
    http_client = _sdk_family(openai).AsyncClient(transport=chatapi.async_transport)
    return openai.AsyncOpenAI(**chatapi.client_settings(), http_client=http_client)


# -- the contract ------------------------------------------------------------------------------


@pytest.fixture
def chat_contract(request: pytest.FixtureRequest) -> ChatContract:
    """The contract's assertions, bound to this test's profile and ignores.

    Set by ``@pytest.mark.chatapi(profile=..., ignore=[...], strict=...)``, else by
    ``--chatapi-profile`` and the like, else by ini.
    """
    from pytest_chatapi.plugin.bound_assertions import ChatContract
    from pytest_chatapi.plugin.settings import settings_of

    return ChatContract(**settings_of(request.node, request.getfixturevalue("chatapi_config")))


def cassette_folders(config: pytest.Config) -> list[Path]:
    """The folders to collect: those of the command line, else those of the ini file."""
    given = config.getoption("--chatapi-cassettes")
    if given:
        return [config.invocation_params.dir / folder for folder in given]
    return [Path(folder) for folder in config.getini("chatapi_cassettes")]
