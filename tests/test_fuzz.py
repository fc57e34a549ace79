"""The fixture `chatapi_fuzz`: a right reader passes, and each wrong one is found."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import anyio
import httpx
import pytest
import trio
from fuzz_readers import BODY, MUTANTS, TWO, Reader, SkipsWhatItCannotParse, consumer_of
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase
from inner_runs import run_here

from pytest_chatapi.errors import SettingError
from pytest_chatapi.fuzz.deliveries import CATALOGUE
from pytest_chatapi.fuzz.replies import KINDS
from pytest_chatapi.mock import refusal, tool_call, tool_calls, wire

_TEXT = {**TWO, "n": 1}
_WHOLE = {key: BODY[key] for key in ("model", "messages", "tools")}
# One for each stage of a delivery, and each way to be wrong; `-m slow` tries all.
_SOME = [
    *("SplitsOnBlankLinesOnly", "DispatchesAtTheEnd", "SkipsContentWithFinish"),
    *("ExpectsCallsOneAfterAnother", "IgnoresErrors", "IgnoresRefusal"),
]


def failure_of(fuzz: Any, consumer: Any, **options: Any) -> str:
    with pytest.raises(pytest.fail.Exception) as failure:
        fuzz(consumer, **options)
    return str(failure.value)


@pytest.mark.parametrize(
    ("body", "replies"),
    [(BODY, None), (TWO, ["Zoë"]), (_TEXT, ["Zoë"])],
    ids=["tools", "n", "text"],
)
def test_a_right_reader_passes(chatapi_fuzz: Any, body: dict[str, Any], replies: Any) -> None:
    chatapi_fuzz(consumer_of(Reader, body), examples=5, replies=replies)


@pytest.mark.slow
@pytest.mark.parametrize("body", [BODY, TWO, _TEXT], ids=["tools", "n", "text"])
def test_a_right_reader_passes_many(chatapi_fuzz: Any, body: dict[str, Any]) -> None:
    chatapi_fuzz(consumer_of(Reader, body), examples=500, seed=1)


def _is_found(fuzz: Any, name: str, **options: Any) -> None:
    reader, body = MUTANTS[name]
    message = failure_of(fuzz, consumer_of(reader, body), **options)
    assert message.startswith("chatapi_fuzz: the consumer ")
    wire = message.partition("Hypothesis:")[2]
    # Lines of data are not events, and a `data:` may be in the text.
    assert wire.count("\\n'") < 80 or "data_lines" in message


@pytest.mark.parametrize("name", _SOME)
def test_a_wrong_reader_is_found(chatapi_fuzz: Any, name: str) -> None:
    if name == "IgnoresRefusal":
        _is_found(chatapi_fuzz, name, examples=3, illegal=False, replies=None)
    else:
        calls = tool_calls(tool_call("get_weather"), tool_call("get_traffic"), content="Zoë")
        _is_found(chatapi_fuzz, name, examples=3, replies=[calls])


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_each_wrong_reader_is_found(chatapi_fuzz: Any, name: str) -> None:
    _is_found(chatapi_fuzz, name, seed=0)


# -- consumers -------------------------------------------------------------------------------


def _message(body: dict[str, Any]) -> Any:
    """The message of a whole response, by a reader that looks at nothing else."""
    response = httpx.post("https://api.openai.com/v1/chat/completions", json=body)
    return response.json()["choices"][0]["message"]


def _answer(body: dict[str, Any]) -> Any:
    message = _message(body)
    return message["content"] or message["refusal"] or message["tool_calls"]


def test_whole_responses(chatapi_fuzz: Any) -> None:
    chatapi_fuzz(lambda: _answer(_WHOLE), examples=10)


def test_a_whole_response_that_is_read_wrong(chatapi_fuzz: Any) -> None:
    def consume() -> str:
        response = httpx.post("https://api.openai.com/v1/chat/completions", json=_WHOLE)
        assert response.text[0] == "{"
        return str(_answer(_WHOLE))

    assert "indented: The JSON is indented" in failure_of(chatapi_fuzz, consume)

    def believe() -> str:
        response = httpx.post("https://api.openai.com/v1/chat/completions", json=_WHOLE)
        try:
            return str(response.json()["choices"][0]["message"]["content"] or "")
        except (ValueError, KeyError):
            return ""

    message = failure_of(chatapi_fuzz, believe, replies=["Hello"])
    assert message.startswith(
        "chatapi_fuzz: the consumer took a part of the response for the whole"
    )


async def _read_async() -> Any:
    async with httpx.AsyncClient() as client:
        url = "https://api.openai.com/v1/chat/completions"
        async with client.stream("POST", url, json=_TEXT) as response:
            response.raise_for_status()
            return Reader().read([piece async for piece in response.aiter_bytes()])


_FEW: dict[str, Any] = {"replies": ["Hi"], "examples": 1, "illegal": False}


def test_async_consumers(chatapi_fuzz: Any) -> None:
    chatapi_fuzz(_read_async, **_FEW)


async def _in_a_loop(fuzz: Any, consumer: Any) -> None:
    fuzz(consumer, **_FEW)


def _read_with_trio() -> Any:
    return trio.run(_read_async)


@pytest.mark.parametrize(
    ("run", "consumer"),
    [(asyncio.run, _read_async), (anyio.run, _read_async), (trio.run, _read_with_trio)],
)
def test_consumers_in_a_running_loop(chatapi_fuzz: Any, run: Any, consumer: Any) -> None:
    if run is asyncio.run:
        run(_in_a_loop(chatapi_fuzz, consumer))
    else:
        run(_in_a_loop, chatapi_fuzz, consumer)


def _loop(url: str = "https://api.openai.com/v1/chat/completions") -> list[Any]:
    """A tool loop that does not look at the status of its second response."""
    messages: list[Any] = list(_WHOLE["messages"])
    said: list[Any] = []
    while True:
        response = httpx.post(url, json={**_WHOLE, "messages": messages})
        if response.status_code != 200 and said:
            return [*said, ""]
        message = response.json()["choices"][0]["message"]
        calls = message.get("tool_calls")
        if not calls:
            return [*said, message["content"] or message["refusal"]]
        said.append([call["function"]["arguments"] for call in calls])
        messages += [{"role": "assistant", "tool_calls": calls}]
        messages += [{"role": "tool", "tool_call_id": c["id"], "content": "1"} for c in calls]


def test_each_response_of_a_tool_loop_is_tried(chatapi_fuzz: Any) -> None:
    message = failure_of(chatapi_fuzz, _loop, seed=1)
    assert "error_status(status=" in message
    assert "response 2: The response has an error status" in message.replace("\n" + " " * 18, " ")
    assert message.count("        wire(") == 2


# -- what is asked for -----------------------------------------------------------------------


class _EndsWhereTheConnectionBreaks(Reader):
    was_cut = False

    def lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        return super().lines(self._until_cut(pieces))

    def _until_cut(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except httpx.TransportError:
            self.was_cut = True

    def is_complete(self) -> bool:
        return self.was_cut or super().is_complete()


def test_a_lost_connection_has_to_be_noticed(chatapi_fuzz: Any) -> None:
    consumer = consumer_of(_EndsWhereTheConnectionBreaks, _TEXT)
    message = failure_of(chatapi_fuzz, consumer, replies=["Hello"], examples=3)
    assert "illegal         connection_lost(" in message
    assert "            cut=True,\n" in message


class _OnlyTheFinish(SkipsWhatItCannotParse):
    def result(self) -> Any:
        return super().result()["choices"][0]["finish_reason"]


def test_an_event_that_cannot_be_parsed_is_missed_where_it_says_something(
    chatapi_fuzz: Any,
) -> None:
    consumer = consumer_of(SkipsWhatItCannotParse, _TEXT)
    message = failure_of(chatapi_fuzz, consumer, replies=["Hi"], examples=1)
    assert "illegal         event_broken(" in message
    chatapi_fuzz(consumer, replies=["Hi"], examples=1, skip=["event_broken"])
    # Of another consumer it cannot be told whether it noticed.
    chatapi_fuzz(consumer_of(_OnlyTheFinish, _TEXT), replies=["Hi"], examples=5)


def test_a_response_of_nothing_is_written_in_one_line(chatapi_fuzz: Any) -> None:
    reader, _ = MUTANTS["TakesNothingForFinished"]
    consumer = consumer_of(reader, _TEXT)
    skip = [row.name for row in CATALOGUE.values() if row.kind == "illegal"]
    skip.remove("nothing")
    message = failure_of(chatapi_fuzz, consumer, replies=["Hi"], examples=0, skip=skip)
    assert "    chatapi_mock.reply(\n        wire(),\n    )\n" in message


def test_wire_is_sent_as_it_is(chatapi_mock: Any) -> None:
    chatapi_mock.script([wire(b"a", b"b", status=500, content_type="text/plain"), wire(cut=True)])
    url = "https://api.openai.com/v1/chat/completions"
    with httpx.stream("POST", url, json=_TEXT) as response:
        assert (response.status_code, list(response.iter_raw())) == (500, [b"a", b"b"])
        assert response.headers["content-type"] == "text/plain"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(url, json=_TEXT)
    with pytest.raises(SettingError, match=r"wire\(\) takes bytes, not str"):
        wire("a")  # type: ignore[arg-type]


def test_what_is_tolerated_is_tried_if_wanted(chatapi_fuzz: Any) -> None:
    consumer = consumer_of(Reader, _TEXT)
    message = failure_of(chatapi_fuzz, consumer, tolerated=True, **_FEW)
    assert message.startswith("chatapi_fuzz: the consumer could not read a tolerated delivery")
    assert "tolerated       data_empty(" in message
    chatapi_fuzz(consumer, tolerated=True, skip=["data_empty"], **_FEW)


class _InOrder(Reader):
    def result(self) -> dict[str, Any]:
        for choice in self.choices.values():
            choice["calls"] = dict(enumerate(choice["calls"].values()))
        return super().result()


def test_what_is_debatable_is_reported_and_fails_if_wanted(
    chatapi_fuzz: Any, request: pytest.FixtureRequest
) -> None:
    consumer = consumer_of(_InOrder, BODY)
    replies = [tool_calls(tool_call("get_weather"), tool_call("get_traffic"))]
    chatapi_fuzz(consumer, **{**_FEW, "replies": replies})
    (section,) = [text for _, key, text in request.node._report_sections if key == "chatapi_fuzz"]
    assert section.endswith("The call with index 1 opens before the one with index 0")
    request.node._report_sections.clear()
    options = {**_FEW, "replies": replies}
    message = failure_of(chatapi_fuzz, consumer, debatable=True, **options)
    assert "debatable       calls_reversed" in message


def test_clients_start_without_certificates(chatapi_fuzz: Any) -> None:
    folders = set()

    def consume() -> Any:
        folders.add(os.environ["SSL_CERT_DIR"])
        return _answer(_WHOLE)

    before = os.environ["SSL_CERT_DIR"]
    chatapi_fuzz(consume, replies=["Hello"], examples=1)
    assert folders.isdisjoint({before})
    assert os.environ["SSL_CERT_DIR"] == before


class _ListsDeltas(Reader):
    def delta(self, mine: dict[str, Any], delta: dict[str, Any]) -> None:
        super().delta(mine, delta)
        mine.setdefault("texts", []).append(delta.get("content"))

    def result(self) -> Any:
        return super().result()["choices"][0]["texts"]


def test_results_that_list_the_chunks_are_explained(chatapi_fuzz: Any) -> None:
    message = failure_of(chatapi_fuzz, consumer_of(_ListsDeltas, _TEXT), replies=["Hello"])
    assert "  hint            both are the same text in other pieces: return it joined" in message


def test_without_random_deliveries(chatapi_fuzz: Any) -> None:
    chatapi_fuzz(lambda: _answer(_WHOLE), replies="Hello", examples=0)


def test_consumers_may_keep_members_that_they_do_not_know(chatapi_fuzz: Any) -> None:
    chatapi_fuzz(lambda: _message(_WHOLE), replies=["Hello"], examples=0)


def test_replies_narrow_what_is_said(chatapi_fuzz: Any) -> None:
    said = set()

    def consume() -> Any:
        answer = _answer(_WHOLE)
        said.add(answer)
        return answer

    chatapi_fuzz(consume, replies=["One", refusal("Two")], examples=5, illegal=False)
    assert said == {"Hello!", "One", "Two"}
    said.clear()
    chatapi_fuzz(consume, replies=refusal("Two"), examples=0, illegal=False)
    assert said == {"Hello!", "Two"}


def test_results_are_compared_by_same(chatapi_fuzz: Any) -> None:
    results = itertools.count()
    consumer = consumer_of(Reader, _TEXT)

    def consume() -> Any:
        return consumer(), next(results)

    with pytest.raises(SettingError, match="for the same response it returned"):
        chatapi_fuzz(consume, **_FEW)
    chatapi_fuzz(consume, same=lambda one, other: one[0] == other[0], **_FEW)


@pytest.mark.parametrize(
    ("consumer", "options", "why"),
    [
        (lambda: None, {}, "the consumer sent no request of a chat completion"),
        (lambda: _answer(_WHOLE) and None, {}, "the consumer returns None: return what it"),
        (lambda: 1, {"skip": ["compakt"]}, "skip: no delivery 'compakt': did you mean compact?"),
        (lambda: _answer(_WHOLE), {"skip": ["text", *KINDS]}, "skip: leaves no response: the req"),
        (lambda: 1, {"skip": "compact"}, "skip: use a list of names, ['compact']"),
        (lambda: 1, {"examples": -1}, "examples must be a number (0 or more), not -1"),
        (lambda: 1, {"examples": "5"}, "examples must be a number (0 or more), not '5'"),
        (lambda: 1, {"same": True}, "same must be a function of two results, not True"),
        (lambda: 1, {"skip": 5}, "skip must be a list of names, not 5"),
        (lambda: 1, {"skip": [5]}, "skip must be a list of names, not [5]"),
        (lambda: 1, {"replies": 5}, "replies must be a list of replies, not 5"),
        (lambda: 1, {"replies": [3]}, "replies: 3 is not a reply: use a text, or"),
        (lambda: 1, {"replies": []}, "replies is empty: pass at least one"),
        (42, {}, "the consumer is 42: pass a function without arguments"),
        (lambda: (part for part in ["a"]), {}, "the consumer returned a generator, which has not"),
        (lambda: _answer({**_WHOLE, "n": 0}), {}, "refused the request of the consumer: Invalid"),
    ],
)
def test_misuse_is_named(chatapi_fuzz: Any, consumer: Any, options: Any, why: str) -> None:
    with pytest.raises(SettingError) as error:
        chatapi_fuzz(consumer, **options)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("returned", "body", "options"),
    [
        (True, _WHOLE, {}),
        (True, _TEXT, {}),
        ("", _TEXT, {"skip": [kind for kind in KINDS if kind != "text"]}),
        (True, {**_WHOLE, "tool_choice": "required"}, {}),
        (True, _TEXT, {"replies": ["One", "Two"]}),
        (True, _TEXT, {"replies": [refusal("One"), "One"]}),
    ],
)
def test_a_consumer_returns_what_depends_on_the_response(
    chatapi_fuzz: Any, returned: object, body: dict[str, Any], options: dict[str, Any]
) -> None:
    consumer = consumer_of(Reader, body) if "stream" in body else lambda: _answer(body)

    def consume() -> object:
        consumer()
        return returned

    with pytest.raises(SettingError) as error:
        chatapi_fuzz(consume, examples=1, **options)
    assert str(error.value) == (
        f"the consumer returned {returned!r} for different responses: return what it understood "
        "of them"
    )


def _calls_of(message: dict[str, Any]) -> list[str]:
    return [call["function"]["name"] for call in message.get("tool_calls") or ()]


_NEEDS_CALLS = {**_WHOLE, "tool_choice": "required"}
_JSON = {
    "model": "gpt-5.2",
    "messages": [{"role": "user", "content": "As JSON: what is the weather in Oslo?"}],
    "response_format": {"type": "json_object"},
}


@pytest.mark.parametrize(
    ("read", "body", "options"),
    [
        # Replies that mean the same.
        (lambda m: "y" in m["content"].lower(), _WHOLE, {"replies": ["Yes", "yes!"]}),
        (lambda m: len(m["content"]) > 1, _WHOLE, {"replies": ["Yes"]}),
        # The part of a response that is wanted.
        (lambda m: _calls_of(m)[0], _NEEDS_CALLS, {"skip": ["refusal"]}),
        (lambda m: bool(m["content"]), _WHOLE, {}),
        (
            lambda m: type(json.loads(m["content"])).__name__,
            _JSON,
            {"skip": ["refusal"]},
        ),
    ],
)
def test_results_for_different_responses_may_agree(
    chatapi_fuzz: Any, read: Any, body: dict[str, Any], options: dict[str, Any]
) -> None:
    chatapi_fuzz(lambda: read(_message(body)), examples=1, illegal=False, **options)


_MISUSED = """
def app():
    raise KeyError("of the app")
def test_misuse(chatapi_fuzz):
    chatapi_fuzz(lambda: 1)
def test_own_error(chatapi_fuzz):
    chatapi_fuzz(app)
"""


def test_misuse_is_shown_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(_MISUSED)
    output = run_here(pytester).stdout.str()
    assert "fuzzing.py" not in output
    assert '    raise KeyError("of the app")' in output


def test_hypothesis_is_asked_for(chatapi_fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "pytest_chatapi.fuzz.strategies")
    with pytest.raises(SettingError, match=r"pip install 'pytest-chatapi\[fuzz\]'"):
        chatapi_fuzz(lambda: _answer(_WHOLE))


# -- Hypothesis ------------------------------------------------------------------------------


def _texts(fuzz: Any, **options: Any) -> list[Any]:
    """What the model says in the random examples of a run, by a consumer that is right."""
    said = []

    def consume() -> Any:
        said.append(_answer({key: _WHOLE[key] for key in ("model", "messages")}))
        return said[-1]

    fuzz(consume, examples=5, illegal=False, **options)
    return said


def test_a_seed_decides_what_is_tried(chatapi_fuzz: Any) -> None:
    with _profile(derandomize=False, database=None):
        one, again, other = (_texts(chatapi_fuzz, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert _texts(chatapi_fuzz) == _texts(chatapi_fuzz)  # the profile of this suite is derandomized


@pytest.mark.slow
def test_what_was_found_is_tried_first_in_the_next_run(chatapi_fuzz: Any) -> None:
    def consume() -> str:
        text = str(_message({**_TEXT, "stream": False})["content"] or "refused")
        if text == "null":
            raise ValueError(text)
        return text

    with _profile(derandomize=False, database=InMemoryExampleDatabase()):
        failure_of(chatapi_fuzz, consume, examples=1000, illegal=False)
        failure_of(chatapi_fuzz, consume, examples=1, illegal=False)


@contextlib.contextmanager
def _profile(**changes: Any) -> Iterator[None]:
    """A profile of Hypothesis with these changes, for the block."""
    name = settings.get_current_profile_name()
    settings.register_profile("changed", settings(), **changes)
    settings.load_profile("changed")
    try:
        yield
    finally:
        settings.load_profile(name)


# -- the counterexample ----------------------------------------------------------------------


_APP = """
import json
import httpx
client = httpx.Client(base_url="https://api.openai.com/v1")
BODY = {"model": "gpt-5.2", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
def answer():
    text = ""
    with client.stream("POST", "/chat/completions", json=BODY) as response:
        for line in response.iter_lines():
            if line.startswith("data:") and line != "data: [DONE]":
                text += json.loads(line[5:])["choices"][0]["delta"].get("content") or ""
    return text
"""
_APP_OF_ANY_CUT = """
from fuzz_readers import TWO, TakesCutForFinished, consumer_of
answer = consumer_of(TakesCutForFinished, {**TWO, "n": 1})
answer.__name__ = "answer"
"""
_FUZZED = """
from app import answer
def test_answer(chatapi_fuzz):
    chatapi_fuzz(answer, replies=["Hello"], illegal=ILLEGAL)
"""
_WITH_RECORDING = """
import pytest
from app import answer
@pytest.mark.chatapi(cassette="CASSETTE", policy="off", virtual_time=True)
def test_recorded():
    answer()
    assert not ILLEGAL
"""


@pytest.mark.parametrize(
    ("app", "illegal", "why"),
    [(_APP, False, "JSONDecodeError: Expecting value"), (_APP_OF_ANY_CUT, True, "DID NOT RAISE")],
)
def test_the_counterexample_can_be_pasted_and_replayed(
    pytester: pytest.Pytester, app: str, illegal: bool, why: str
) -> None:
    pytester.makepyfile(app=app, test_fuzzed=_FUZZED.replace("ILLEGAL", str(illegal)))
    output = run_here(pytester, "test_fuzzed.py").stdout.str()
    message = output.partition("chatapi_fuzz: ")[2].partition("====")[0]
    before, _, after = message.partition("\nAs a recording:\n")
    assert max(map(len, before.split("\n"))) <= 80
    assert before.count("data:") <= 3
    pasted = before.partition("Hypothesis:\n")[2]
    assert "hypothesis" not in pasted
    recorded = _WITH_RECORDING.replace("CASSETTE", after.partition("\n")[0].strip())
    recorded = recorded.replace("ILLEGAL", str(illegal))
    pytester.makepyfile(test_pasted="from app import answer\n" + pasted, test_replayed=recorded)
    result = run_here(pytester, "test_pasted.py")
    result.assert_outcomes(failed=1)
    assert why in result.stdout.str()
    result = run_here(pytester, "test_replayed.py")
    result.assert_outcomes(failed=1)
    assert ("assert not True" if illegal else why) in result.stdout.str()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param(
            *("StripsChunks", "  differs         choices[0].content: plain 'ab', this 'a b'\n"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "LosesUsage", "  the consumer    returned {'choices': ", marks=pytest.mark.slow
        ),
        ("JoinsCallsByName", "  response        calls: 'Hi' in the arguments\n"),
    ],
)
def test_the_pasted_test_fails_for_nobody_else(
    chatapi_fuzz: Any, pytester: pytest.Pytester, name: str, shown: str
) -> None:
    reader, body = MUTANTS[name]
    message = failure_of(chatapi_fuzz, consumer_of(reader, body), seed=1)
    assert shown in message
    pasted = message.partition("Hypothesis:\n")[2].partition("\nAs a recording:")[0]
    for who, failed in ((name, 1), ("Reader", 0)):
        app = f"import fuzz_readers as r\nconsume = r.consumer_of(r.{who}, {body})\n"
        pytester.makepyfile(**{f"test_{who}": app + pasted})
        run_here(pytester, f"test_{who}.py").assert_outcomes(failed=failed, passed=1 - failed)


def test_a_long_event_is_shown_short(chatapi_fuzz: Any) -> None:
    def consume() -> str:
        response = httpx.post("https://api.openai.com/v1/chat/completions", json=_TEXT)
        if len(response.content) > 65536:
            raise ValueError("chunk too big")
        return repr(Reader().read([response.raise_for_status().content]))

    message = failure_of(chatapi_fuzz, consume, illegal=False)
    assert "+ b'a' * 100000\n" in message
    pasted = message.partition("Hypothesis:\n")[2].partition("\nAs a recording:")[0]
    compile(pasted, "pasted", "exec")
    assert max(map(len, pasted.split("\n"))) <= 80
