"""What the fixture ``chatapi_fuzz`` gives: runs a consumer on deliveries of what a model says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.fuzz.cases import Case, Deliverer, Said
from pytest_chatapi.fuzz.oracle import Outcome
from pytest_chatapi.fuzz.replies import HARD, kinds, reply_of
from pytest_chatapi.mock.builders import reply_that_fits
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.plugin.handle import ChatAPI

__all__ = ["Fuzz"]


class Fuzz:
    """Calls the code under test with deliveries of what a model says; see `__call__`."""

    def __init__(self, handle: ChatAPI, item: pytest.Item) -> None:
        self._handle, self._item = handle, item

    def __call__(
        self,
        consumer: Callable[[], Any],
        *,
        examples: int = 100,
        replies: Sequence[Reply | str] | None = None,
        illegal: bool = True,
        seed: int | None = None,
        tolerated: bool = False,
        same: Callable[[Any, Any], bool] | None = None,
        debatable: bool = False,
    ) -> None:
        """Fail the test if the consumer reads a legal delivery wrong, or believes an illegal one.

        Args:
            consumer: sends its requests with any client that a mock intercepts, and returns what it
                understood; a function, or a coroutine function.
            examples: how many random deliveries follow on the fixed list of all.
            replies: what the model says; ``None``: whatever fits the consumer's request.
            illegal: try illegal deliveries too.
            seed: of the random deliveries.
            tolerated: try what many servers do though it is not documented.
            same: compares two results; ``None``: they have to be equal.
            debatable: try what the reference leaves open.

        Raises:
            SettingError: Hypothesis is not installed, or an argument is wrong.
        """
        __tracebackhide__ = True
        from pytest_chatapi.fuzz import counterexample
        from pytest_chatapi.fuzz.search import Search

        names = {"illegal": illegal, "tolerated": tolerated, "debatable": debatable}
        allowed = ["legal", *(name for name, is_on in names.items() if is_on)]
        own = None if replies is None else [_reply(reply) for reply in replies]
        deliverer = Deliverer(own)
        with asyncio.Runner() as runner:

            def run(case: Case) -> tuple[Outcome, bool]:
                deliverer.begin(case)
                outcome = _outcome(consumer, runner)
                self._handle.recorder.exchanges.clear()
                if deliverer.problem:
                    raise SettingError(deliverer.problem)
                return outcome, deliverer.changed

            ask = self._first_request(consumer, runner)
            self._mock.reply(deliverer)
            said = _said(ask, own)
            run(Case(said[0]))
            turns = max(1, len(deliverer.asked))
            search = Search(run, ask, said, own, turns, allowed, same)
            search.fixed()
            failure = next(iter(search.failures), None)
            if failure is None:
                failure = search.random(examples, seed)
            elif failure.case.steps:
                only = failure.case.steps[-1].name
                failure = search.random(min(examples, 50), seed or 0, only) or failure
            if failure is None:
                return
            run(failure.case)
            message = counterexample.described(failure, deliverer.sent, search.failures)
        pytest.fail(message, pytrace=False)

    @property
    def _mock(self) -> Any:
        mock = self._handle.mock
        if mock is None:
            raise SettingError("chatapi_fuzz has to be an argument of the test")
        return mock

    def _first_request(self, consumer: Callable[[], Any], runner: asyncio.Runner) -> Ask:
        """What the consumer asks for, first of all."""
        bodies: list[Ask] = []

        def reply(request: Request) -> Reply:
            ask = Ask(request_json(request)[0])
            bodies.append(ask)
            return reply_that_fits(ask)

        self._mock.reply(reply)
        outcome = _outcome(consumer, runner)
        self._handle.recorder.exchanges.clear()
        if not bodies:
            if outcome.error is not None:
                raise outcome.error
            raise SettingError("the consumer sent no request of a chat completion")
        return bodies[0]


def _reply(reply: Reply | str) -> Reply:
    from pytest_chatapi.mock.builders import text

    return text(reply) if isinstance(reply, str) else reply


def _said(ask: Ask, own: Sequence[Reply] | None) -> list[Said]:
    """What the model may say, the plainest first."""
    if own is not None:
        return [Said(f"reply {at}") for at in range(len(own))]
    said = []
    for kind in kinds(ask):
        text = f"No: {HARD}" if kind == "refusal" else HARD
        reply_of(kind, ask, text)
        said.append(Said(kind, text))
    return said


def _outcome(consumer: Callable[[], Any], runner: asyncio.Runner) -> Outcome:
    try:
        result = consumer()
        if inspect.iscoroutine(result):
            result = runner.run(result)
        return Outcome(result)
    except ChatAPIError:
        raise
    except Exception as error:
        return Outcome(error=error.with_traceback(None))
