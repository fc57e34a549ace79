"""Collects the checks of a live server as tests: ``pytest --pyargs pytest_chatapi.conformance``.

There is no test module, so that nothing is collected by accident: `pytest_collect_directory` in
`hooks` makes a `Conformance` of the folder, where that is asked for by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_chatapi.conformance.connect import check_url, connect, declared_capabilities
from pytest_chatapi.conformance.expected import mark, read
from pytest_chatapi.conformance.probe import Check, Verdict, checks
from pytest_chatapi.conformance.report import About, failure_lines, is_stale, report_of
from pytest_chatapi.conformance.run import Options, Run
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.plugin.ini_and_flags import value_of_run
from pytest_chatapi.plugin.settings import settings_of_run
from pytest_chatapi.plugin.stash import CONFIGURATION
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Conformance", "NonStrict", "check_settings"]

NAME = "pytest_chatapi.conformance"


class NonStrict(UserWarning):
    """A server departs from the contract in a way that mainstream clients accept."""


def check_settings(config: pytest.Config) -> None:
    """Stop before anything is collected if it is not said what is to be checked.

    Raises:
        pytest.UsageError: it is not, or a setting is wrong.
    """
    try:
        _settings_of(config)
    except SettingError as error:
        raise pytest.UsageError(f"chatapi: {error}") from None


class _Asked(NamedTuple):
    """What the command line and the ini file say.

    Attributes:
        key_variable: environment variable with the key.
        known: failures that are known, with their reasons.
    """

    base_url: str
    key_variable: str
    options: Options
    known: dict[str, str]


def _settings_of(config: pytest.Config) -> _Asked:
    settings = settings_of_run(config)
    model = value_of_run(config, "model")
    if not settings.base_url or not model:
        raise SettingError(
            f"{NAME} checks a live server: add --chatapi-base-url URL --chatapi-model M"
        )
    check_url(settings.base_url)
    options = Options(
        model,
        settings.profile,
        config.stash[CONFIGURATION].values.get("as_of"),
        settings.policy == "strict",
        declared=declared_capabilities(value_of_run(config, "declare") or ()),
    )
    file = value_of_run(config, "expected")
    return _Asked(
        settings.base_url,
        value_of_run(config, "api_key_env") or "OPENAI_API_KEY",
        options,
        read(config.invocation_params.dir / file, checks()) if file else {},
    )


class Conformance(pytest.Directory):
    """The folder of the checks; each process of pytest-xdist has its own, and measures for itself
    what is wrong with any response and whether the server is deterministic.
    """

    run: Run
    about: About
    redactor: Redactor
    known: dict[str, str]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._client = ExitStack()

    def collect(self) -> Iterator[CheckItem]:
        try:
            url, key_variable, options, self.known = _settings_of(self.config)
            opened = self._client.enter_context(connect(url, options, key_variable=key_variable))
        except (SettingError, pytest.UsageError) as error:
            raise self.CollectError(f"chatapi: {error}") from None
        self.config.add_cleanup(self._client.close)
        self.run, self.about, self.redactor = opened
        for check in checks():
            item: CheckItem = CheckItem.from_parent(self, name=check.id)
            item.check = check
            item.extra_keyword_matches |= check.probe.codes
            yield item


class CheckItem(pytest.Item):
    """One check."""

    check: Check
    parent: Conformance

    def runtest(self) -> None:
        problem = ""
        try:
            self.parent.run.reach([self.check])
        except ChatAPIError as error:
            problem = self.parent.redactor.text(str(error))
        if problem:  # outside of the handler, which would add its traceback
            self.session.shouldfail = f"chatapi: {problem}"
            pytest.fail(problem, pytrace=False)
        folder = self.parent
        result = folder.run.result(self.check)
        report = report_of([result], folder.about, folder.redactor)
        mark(report, folder.known)
        (check,) = report["checks"]
        text = "\n".join(failure_lines(check, report["exchanges"]))
        said = f"{check['id']}: {check['verdict']}: {check['reason']}"
        if is_stale(check):
            pytest.fail(text, pytrace=False)
        if result.verdict is Verdict.FAIL and check["known"]:
            pytest.xfail(check["known"])
        if result.verdict in (Verdict.FAIL, Verdict.HARNESS_ERROR):
            pytest.fail(text, pytrace=False)
        if result.verdict in (Verdict.UNSUPPORTED, Verdict.NOT_EXERCISED):
            pytest.skip(said)
        if result.verdict is Verdict.NON_STRICT:
            warnings.warn_explicit(said, NonStrict, str(self.path), 1)

    def reportinfo(self) -> tuple[Path, None, str]:
        # With the name alone, pytest would write `::` for the dots in it.
        return self.path, None, f"{self.name}: {self.check.probe.title}"
