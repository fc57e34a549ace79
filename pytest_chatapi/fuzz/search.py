"""Looks for the delivery that a consumer reads wrong: the fixed list first, then random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.database import ExampleDatabase
from hypothesis.errors import Flaky

from pytest_chatapi.errors import SettingError
from pytest_chatapi.fuzz.cases import Case
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.judge import Judge
from pytest_chatapi.fuzz.strategies import cases

__all__ = ["Search"]

# An example is a whole call of the application, and this may be called in a test of Hypothesis.
_NOT_CHECKED = [
    check
    for check in HealthCheck
    if check.name in ("too_slow", "function_scoped_fixture", "nested_given")
]


class _Found(Exception):
    """The consumer is wrong; Hypothesis shrinks the case to the smallest that raises this."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class _OwnKeys(ExampleDatabase):
    """The examples of one test: Hypothesis' keys are those of the function that all tests share."""

    def __init__(self, database: ExampleDatabase, name: str) -> None:
        super().__init__()
        self._database, self._name = database, hashlib.sha256(name.encode()).digest()[:8]

    def save(self, key: bytes, value: bytes) -> None:
        self._database.save(self._name + key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._database.fetch(self._name + key)

    def delete(self, key: bytes, value: bytes) -> None:
        self._database.delete(self._name + key, value)


class Search(Judge):
    """A `Judge` that looks for more than the fixed list has."""

    def random(
        self, examples: int, *, seed: int | None, name: str, only: str | None = None
    ) -> Failure | None:
        """The smallest case that is wrong, of this many random ones.

        Args:
            name: of the test, under which Hypothesis keeps what it found.
            only: a delivery that has to be in them.
        """
        if not examples:
            return None

        def test(case: Case) -> None:
            if failure := self.judged(case):
                raise _Found(failure)

        database = settings().database
        search = settings(
            max_examples=examples,
            deadline=None,
            database=database and _OwnKeys(database, f"{name} {only}"),
            report_multiple_bugs=False,
            print_blob=False,
            suppress_health_check=_NOT_CHECKED,
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
        )(
            given(
                cases(
                    self.ask,
                    self.said,
                    self.draft,
                    allowed=self.allowed,
                    turns=self.turns,
                    only=only,
                    skip=self.skip,
                )
            )(test)
        )
        if seed is not None:
            search = seeded(seed)(search)
        try:
            search()
        except _Found as found:
            return found.failure
        except Flaky:
            raise SettingError(
                "the consumer returns something else each time it gets the same response: "
                "return what can be compared, or pass same="
            ) from None
        return None
