"""The hooks by which pytest calls the plugin, in the order in which it does.

Each imports what it needs when it is needed, so that the plugin costs nothing while it is idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from pytest_chatapi.config.file import Configuration, find
from pytest_chatapi.plugin.ini_and_flags import (
    add_options,
    add_shared_flags,
    check_switches,
    is_any_set,
    is_on,
    value_of_run,
)
from pytest_chatapi.plugin.recorded import TwoRecorders, is_recorded
from pytest_chatapi.plugin.run import Run, WorkerReports
from pytest_chatapi.plugin.stash import (
    CHECKS,
    CONFIGURATION,
    GUARD,
    IS_RECORDED,
    REFUSED,
    RUN,
    RUN_BUDGET,
)

# -- the run -------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_load_initial_conftests(parser: pytest.Parser) -> None:
    # By now the other plugins have declared their flags.
    add_shared_flags(parser)


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
    config.addinivalue_line(
        "markers",
        "chatapi_budget(calls=, prompt_tokens=, completion_tokens=, total_tokens=, usd=, ttft=, "
        "min_tokens_per_second=, allow_unknown=False): what this test may spend, and how fast "
        "its model must answer",
    )
    worker = getattr(config, "workerinput", {})
    run = config.stash[RUN] = Run(worker.get("chatapi_since", ""))
    config.pluginmanager.register(run, "chatapi-run")
    run.report_files = value_of_run(config, "report") or ()
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(WorkerReports(run), "chatapi-worker")
    else:
        run.has_properties = bool(config.getoption("xmlpath", None))
        if run.report_files:
            from pytest_chatapi.plugin.run_report import check_files

            check_files(run.report_files)
    check_switches(config)
    config.stash[CONFIGURATION] = _file_of_settings(config)
    run.file_settings = config.stash[CONFIGURATION].values
    if config.getini("chatapi_baseline") or config.stash[CONFIGURATION].values.get("baseline"):
        from pytest_chatapi.plugin.settings import read_baseline

        read_baseline(config)
    if is_any_set(config):
        from pytest_chatapi.plugin.settings import settings_of_run

        settings_of_run(config)  # a wrong setting fails once, before any test
    if value_of_run(config, "budget"):
        from pytest_chatapi.plugin.run_budget import open_budget

        config.stash[RUN_BUDGET] = open_budget(config)
    if config.getoption("--chatapi-cassettes") or config.getini("chatapi_cassettes"):
        from pytest_chatapi.plugin.collection import CassetteCollector

        config.pluginmanager.register(CassetteCollector(config), "chatapi-cassettes")
    if "pytest_chatapi.conformance" in config.args:
        from pytest_chatapi.plugin.conformance import check_settings

        check_settings(config)
    fails = is_on(config, "orphans_fail")
    if fails or is_on(config, "orphans"):
        from pytest_chatapi.plugin.orphans import Orphans

        config.pluginmanager.register(Orphans(fails=fails), "chatapi-orphans")


def _file_of_settings(config: pytest.Config) -> Configuration:
    try:
        return find(str(config.rootpath))
    except ValueError as error:  # a SettingError, whose module an idle plugin does not import
        from pytest_chatapi.contract.wording import without_secrets

        raise pytest.UsageError(f"chatapi: {without_secrets(str(error))}") from None


class _Node(Protocol):
    """A worker of pytest-xdist, as the process that started it sees it."""

    config: pytest.Config
    workerinput: dict[str, object]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _Node) -> None:
    node.workerinput["chatapi_since"] = node.config.stash[RUN].since
    if (budget := node.config.stash.get(RUN_BUDGET, None)) is not None:
        node.workerinput["chatapi_budget"] = str(budget.path)


# -- collection ----------------------------------------------------------------------------------


_CHECKS = Path(__file__).parent.parent / "conformance"


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    # Only where it was asked for: whoever collects a checkout finds no tests there.
    if path.name != _CHECKS.name or not parent.session.isinitpath(path):
        return None
    if not path.samefile(_CHECKS):
        return None
    from pytest_chatapi.plugin.conformance import NAME, Conformance

    folder: Conformance = Conformance.from_parent(parent, path=path, nodeid=NAME)
    return folder


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("chatapi_faults")
    if marker is None:
        return
    from pytest_chatapi.plugin.scenarios import WrongScenarios, scenarios_of

    refusal = ""
    try:
        texts = scenarios_of(marker)
    except WrongScenarios as error:
        refusal = f"{metafunc.definition.nodeid}: {error}"
    if refusal:  # outside of the handler, which would add its traceback
        pytest.fail(refusal, pytrace=False)
    metafunc.fixturenames.append("_chatapi_scenario")
    metafunc.parametrize("_chatapi_scenario", texts, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # A mistake in one test must not stop all others.
        try:
            is_measured = is_recorded(item)
            if is_measured:
                from pytest_chatapi.plugin.settings import settings_for

                settings_for(item, {})
        except (TwoRecorders, pytest.UsageError) as error:
            item.stash[REFUSED] = str(error)
            continue
        if item.get_closest_marker("chatapi_budget") is not None:
            from pytest_chatapi.plugin.budget import refusal_of

            if refusal := refusal_of(item, is_measured=is_measured):
                item.stash[REFUSED] = refusal
                continue
        if not is_measured:
            continue
        if (marker := item.get_closest_marker("chatapi_faults")) is not None:
            from pytest_chatapi.plugin.scenarios import WrongScenarios, check_scenarios

            try:
                check_scenarios(item, marker)
            except WrongScenarios as error:
                item.stash[REFUSED] = str(error)
                continue
        from pytest_chatapi.plugin.config_fixture import config_scope

        item.stash[IS_RECORDED] = True
        # What the config allows holds for the other fixtures, too: the guard asks for it.
        _add_fixture(item, "chatapi_config", before=config_scope(item))
        _add_fixture(item, "_chatapi_marked", before="function")


_SCOPES = ("session", "package", "module", "class", "function")


def _add_fixture(item: pytest.Item, fixture: str, *, before: str) -> None:
    """Have a test set up a fixture before all others of a scope, or of a narrower one."""
    names = getattr(item, "fixturenames", None)
    if names is None:
        return
    if fixture in names:
        names.remove(fixture)
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    narrower = _SCOPES[_SCOPES.index(before) :]
    for at, name in enumerate(names):
        if name in definitions and definitions[name][-1].scope in narrower:
            names.insert(at, fixture)
            return
    names.append(fixture)


# -- one test ------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if item.stash.get(IS_RECORDED, False):
        from pytest_chatapi.plugin.guard import guarded_test

        item.config.stash[RUN].failed.discard(item.nodeid)
        item.stash[GUARD] = ExitStack()
        item.stash[GUARD].enter_context(guarded_test(item))
    try:
        yield
    except pytest.skip.Exception:
        checks = item.stash.get(CHECKS, None)
        if checks is not None:
            checks.skipped()
        raise


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Iterator[None]:
    item = getattr(request, "_pyfuncitem", None)
    if (
        fixturedef.scope == "function"
        or fixturedef.argname == "chatapi_config"  # it says whether the test records
        or item is None
        or not item.stash.get(IS_RECORDED, False)
        or item.stash.get(CHECKS, None) is not None  # the recorder sees its requests
    ):
        return (yield)
    from pytest_chatapi.plugin.guard import watched_fixture

    with watched_fixture(item, fixturedef.argname, fixturedef.scope):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        checks = item.stash.get(CHECKS, None)
        if checks is not None:
            checks.call_failed(error)
        raise
    checks = item.stash.get(CHECKS, None)
    if checks is None:
        if item.get_closest_marker("vcr") is not None and is_on(item.config, "check_vcr"):
            from pytest_chatapi.plugin.other_recorders import check_other_recorder

            check_other_recorder(item)
        return
    hidden = _hidden_failure(item)
    if hidden is not None:
        checks.call_failed(hidden)
    else:
        checks.call_passed()


def _hidden_failure(item: pytest.Item) -> BaseException | None:
    """The failure of a call that raised nothing: unittest keeps it, subtests only report it."""
    failures = getattr(item, "_excinfo", None)
    if failures:
        failure: BaseException = failures[0].value
        return failure
    return AssertionError() if item.nodeid in item.config.stash[RUN].failed else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    checks = item.stash.get(CHECKS, None)
    try:
        yield
    except BaseException as error:
        if checks is not None:
            checks.torn_down(error)
        raise
    else:
        if checks is not None:
            checks.torn_down(None)
    finally:
        if checks is not None:
            del item.stash[CHECKS]
        guard = item.stash.get(GUARD, None)
        if guard is not None:
            del item.stash[GUARD]
            guard.close()
