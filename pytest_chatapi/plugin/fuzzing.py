"""What the fixture ``chatapi_fuzz`` gives: runs a consumer on deliveries of what a model says."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import did_you_mean, listed, shortened
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.fuzz.cases import OWN, Case, Deliverer, Said, hard_to_read
from pytest_chatapi.fuzz.counterexample import Failure, described, write_cassette
from pytest_chatapi.fuzz.deliveries import CATALOGUE
from pytest_chatapi.fuzz.loops import MOST_REQUESTS, wrong_loop
from pytest_chatapi.fuzz.oracle import Outcome, is_equal
from pytest_chatapi.fuzz.replies import KINDS, completion_for, endings, kinds, reply_of
from pytest_chatapi.fuzz.shrink import shrunk
from pytest_chatapi.mock.builders import reply_that_fits
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.plugin.handle import ChatAPI
from pytest_chatapi.plugin.place import shown_path

if TYPE_CHECKING:
    from pytest_chatapi.fuzz.search import Search

__all__ = ["Fuzz"]


class Stopped(BaseException):
    """The consumer sends too many requests; no `except Exception` of it gets in the way."""


class _Bounded(list[Request]):
    """The requests of one run."""

    def append(self, request: Request) -> None:
        if len(self) == MOST_REQUESTS:
            raise Stopped(f"after {MOST_REQUESTS} requests")
        super().append(request)


class Fuzz:
    """Calls the code under test with deliveries of what a model says; see `__call__`."""

    def __init__(self, handle: ChatAPI, request: pytest.FixtureRequest) -> None:
        self._handle, self._request = handle, request

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
        skip: Collection[str] = (),
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
            debatable: fail for what the reference leaves open too, which is only reported else.
            skip: names of deliveries to leave out, such as those that a client library is known
                to read wrong; also kinds of responses, such as ``refusal``.

        Raises:
            SettingError: Hypothesis is not installed, or an argument is wrong.
        """
        __tracebackhide__ = True
        self._handle.is_fuzzed = True
        try:
            _require_hypothesis()
            _check(consumer, examples, same, skip)
            names = {"illegal": illegal, "tolerated": tolerated, "debatable": debatable}
            allowed = ["legal", *(name for name, is_on in names.items() if is_on)]
            own = None if replies is None else _replies(replies)
            search = partial(self._message, consumer, own, allowed, examples, seed, same, skip)
            message = self._searched(search)
        except SettingError as error:
            raise error.with_traceback(None) from None  # of which only the call is of interest
        if message:
            pytest.fail(message, pytrace=False)

    def _searched(self, search: Callable[[], str]) -> str:
        __tracebackhide__ = True
        with pytest.MonkeyPatch.context() as patch:
            if not self._handle.hosts:
                # Nothing is sent, and a client that is made anew for each call would read the
                # machine's certificates each time: most of the time of a run. Those in a folder
                # are not read before they are needed.
                patch.delenv("SSL_CERT_FILE", raising=False)
                patch.setenv("SSL_CERT_DIR", str(Path(__file__).parent))
            if not _is_in_loop():
                return search()
            with ThreadPoolExecutor(1) as pool:  # coroutines of the consumer need their own loop
                return pool.submit(search).result()

    def _message(
        self,
        consumer: Callable[[], Any],
        own: Sequence[Reply] | None,
        allowed: Sequence[str],
        examples: int,
        seed: int | None,
        same: Callable[[Any, Any], bool] | None,
        skip: Collection[str],
    ) -> str:
        """What is wrong with the consumer; empty if nothing was found."""
        __tracebackhide__ = True
        from pytest_chatapi.fuzz.search import Search

        deliverer = Deliverer(own)
        with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:

            def run(case: Case) -> tuple[Outcome, bool]:
                deliverer.begin(case)
                outcome = self._outcome(consumer, runner, patch)
                if outcome.error is not None:
                    outcome.error.with_traceback(None)  # which keeps all that the consumer made
                if deliverer.problem:
                    raise SettingError(deliverer.problem)
                known = deliverer.turns(self._mock.requests, self._mock.refused)
                is_endless = isinstance(outcome.error, Stopped)
                outcome = replace(
                    outcome,
                    sent_back=wrong_loop(known, outcome.value, is_endless=is_endless),
                    requests=len(deliverer.asked),
                )
                return outcome, deliverer.changed

            ask, first = self._first_request(consumer, runner, patch)
            said = _said(ask, own, skip)
            self._mock.reply(deliverer)
            plain, gists = {}, []
            for what in said:
                plain[what] = run(Case(what))[0]
                gists += [_gist(ask, completion) for completion in deliverer.said]
            turns = max(1, *(outcome.requests for outcome in plain.values()))
            called = [what for what in said if what.kind == "call"]
            if turns > 1 and own is None:
                several = "calls" if any(what.kind == "calls" for what in said) else "call"
                said += [what._replace(then=(several,)) for what in called]
            if all(one.error is None and one.value is None for one in plain.values()):
                raise SettingError(
                    "the consumer returns None: return what it understood of the response"
                )
            _require_comparable(plain[said[0]], run(Case(said[0]))[0], same)
            if own is None:
                gists.append(_gist(ask, completion_for(reply_that_fits(ask), ask.body, 0)))
            if turns == 1 and len(set(gists)) > 1:  # what a loop sends back is checked as well
                _require_different([first, *plain.values()], same)
            test = self._request.node.nodeid
            search = Search(run, ask, said, own, turns, allowed, same, skip, plain)
            search.fixed()
            notes = self._debatable(search) if "debatable" not in allowed else []
            failure = min(search.failures, key=_size, default=None)
            if failure is None:
                failure = search.random(examples, seed=seed, name=test)
            elif failure.case.steps:
                only = failure.case.steps[-1].name
                failure = (
                    search.random(min(examples, 50), seed=seed or 0, name=test, only=only)
                    or failure
                )
            if failure is None:
                return ""
            if not failure.problem.startswith("lost"):
                failure = shrunk(failure, search.judged)
            run(failure.case.plain)
            plain_sent = deliverer.sent
            run(failure.case)
            path = self._cassette()
            is_written = write_cassette(path, deliverer.sent)
            return described(
                failure,
                deliverer.sent,
                plain_sent,
                search.failures,
                consumer=_call(consumer),
                cassette=shown_path(self._request.config, path) if is_written else "",
                notes=notes,
            )

    def _debatable(self, search: Search) -> list[str]:
        """What the consumer reads differently though the reference leaves it open."""
        failures = search.wrong_in(["debatable"])
        titles = dict.fromkeys(CATALOGUE[f.case.steps[-1].name].title for f in failures)
        if not titles:
            return []
        note = f"Debatable, so not failed without debatable=True: {'; '.join(titles)}"
        self._request.node.add_report_section("call", "chatapi_fuzz", note)
        return [note]

    def _cassette(self) -> Path:
        """Where a counterexample is recorded: in pytest's cache, if there is one."""
        name = re.sub(r"[^\w.-]+", "_", self._request.node.nodeid)[-100:] + ".yaml"
        cache = getattr(self._request.config, "cache", None)
        if cache is not None:
            return Path(cache.mkdir("chatapi_fuzz")) / name
        temporary: pytest.TempPathFactory = self._request.getfixturevalue("tmp_path_factory")
        return temporary.mktemp("chatapi_fuzz") / name

    @property
    def _mock(self) -> Any:
        mock = self._handle.mock
        if mock is None:
            raise SettingError("chatapi_fuzz has to be an argument of the test")
        return mock

    def _outcome(
        self, consumer: Callable[[], Any], runner: asyncio.Runner, patch: pytest.MonkeyPatch
    ) -> Outcome:
        """What the consumer makes of its responses; the mock has its requests then."""
        __tracebackhide__ = True
        patch.setattr(self._mock, "requests", _Bounded())
        patch.setattr(self._mock, "refused", [])
        try:
            result = consumer()
            if inspect.iscoroutine(result):
                result = runner.run(result)
            if inspect.isgenerator(result) or inspect.isasyncgen(result):
                raise SettingError(
                    "the consumer returned a generator, which has not read the response yet: "
                    "return what it yields, joined"
                )
            return Outcome(result)
        except ChatAPIError:
            raise
        except (Exception, Stopped) as error:
            return Outcome(error=error)
        finally:
            self._handle.recorder.exchanges.clear()

    def _first_request(
        self, consumer: Callable[[], Any], runner: asyncio.Runner, patch: pytest.MonkeyPatch
    ) -> tuple[Ask, Outcome]:
        """What the consumer asks for, first of all, and what it makes of the plainest reply."""
        __tracebackhide__ = True
        bodies: list[Ask] = []

        def reply(request: Request) -> Reply:
            ask = Ask(request_json(request)[0])
            bodies.append(ask)
            return reply_that_fits(ask)

        route = self._mock.reply(reply)
        route.reply_count = 1  # an error says that it is not requested, so the mock need not
        outcome = self._outcome(consumer, runner, patch)
        if not bodies:
            for _, message in self._mock.refused[:1]:
                raise SettingError(f"the API refused the request of the consumer: {message}")
            if outcome.error is not None:
                raise outcome.error
            raise SettingError("the consumer sent no request of a chat completion")
        return bodies[0], outcome


def _size(failure: Failure) -> tuple[bool, int]:
    """What is easier to understand comes first: few steps, and a refusal, which is long, last."""
    return failure.problem == "lost the refusal", len(failure.case.steps)


def _require_comparable(
    one: Outcome, other: Outcome, same: Callable[[Any, Any], bool] | None
) -> None:
    if one.error is not None or other.error is not None:
        return
    if not (same(one.value, other.value) if same is not None else one.value == other.value):
        raise SettingError(
            f"the consumer {one}, and for the same response it {other}: return what can be "
            "compared, or pass same="
        )


def _gist(ask: Ask, completion: JSONObject) -> tuple[object, ...]:
    """What consumers tell apart in a response. Of JSON and of calls, many need only a part."""
    is_json = ask.format in ("json_object", "json_schema")
    messages = [choice["message"] for choice in completion["choices"]]
    return tuple(
        (None if is_json else m.get("content"), m.get("refusal"), bool(m.get("tool_calls")))
        for m in messages
    )


def _require_different(
    outcomes: Sequence[Outcome], same: Callable[[Any, Any], bool] | None
) -> None:
    """Refuse results in which no response can be seen: they are the same if it is read wrong."""
    one, *others = outcomes
    if any(outcome.error is not None for outcome in outcomes):
        return
    if all(is_equal(one.value, other.value, same) for other in others):
        raise SettingError(
            f"the consumer {one} for different responses: return what it understood of them"
        )


def _is_in_loop() -> bool:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _call(consumer: Callable[[], Any]) -> str:
    name = getattr(consumer, "__name__", "")
    call = f"{name if name.isidentifier() else 'consumer'}()"
    return f"asyncio.run({call})" if inspect.iscoroutinefunction(consumer) else call


def _require_hypothesis() -> None:
    from pytest_chatapi.fuzz.strategies import cases  # noqa: F401 - says what is missing


def _check(consumer: object, examples: object, same: object, skip: object) -> None:
    if not callable(consumer):
        raise SettingError(f"the consumer is {_shown(consumer)}: pass a function without arguments")
    if not isinstance(examples, int) or isinstance(examples, bool) or examples < 0:
        raise SettingError(f"examples must be a number (0 or more), not {_shown(examples)}")
    if same is not None and not callable(same):
        raise SettingError(f"same must be a function of two results, not {_shown(same)}")
    if isinstance(skip, str):
        raise SettingError(f"skip: use a list of names, [{skip!r}]")
    if not isinstance(skip, Collection) or not all(isinstance(name, str) for name in skip):
        raise SettingError(f"skip must be a list of names, not {_shown(skip)}")
    for name in skip:
        if name not in CATALOGUE and name not in KINDS:
            raise SettingError(f"skip: no delivery {name!r}{did_you_mean(name, CATALOGUE)}")


def _shown(value: object) -> str:
    return shortened(repr(value), 60)


def _replies(replies: Sequence[Reply | str]) -> list[Reply]:
    from pytest_chatapi.mock.builders import text

    if isinstance(replies, str | Reply):
        replies = [replies]
    if not isinstance(replies, Sequence):
        raise SettingError(f"replies must be a list of replies, not {_shown(replies)}")
    if not replies:
        raise SettingError("replies is empty: pass at least one, or leave it out")
    for reply in replies:
        if not isinstance(reply, Reply | str):
            raise SettingError(
                f"replies: {_shown(reply)} is not a reply: use a text, or "
                "`tool_call`, `refusal` and the others of pytest_chatapi.mock"
            )
    return [text(reply) if isinstance(reply, str) else reply for reply in replies]


def _said(ask: Ask, own: Sequence[Reply] | None, skip: Collection[str]) -> list[Said]:
    """What the model may say, the plainest first."""
    if own is not None:
        return [Said(f"{OWN}{at}", "") for at in range(len(own))]
    said = hard_to_read(kind for kind in [*kinds(ask), *endings(ask)] if kind not in skip)
    for what in said:
        reply_of(what.kind, ask, what.text)
    if not said:
        raise SettingError(f"skip: leaves no response: the request allows {listed(kinds(ask))}")
    return said
