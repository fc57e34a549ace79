"""What the openai SDK makes of each fault, held against the catalogue: runs with 2.x and 3.x."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import openai
import pytest
import sleeps
from fault_answers import ANSWERS

from pytest_chatapi import AsyncRecordReplayTransport, RecordReplayTransport, faults
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.rules.errors import error_message
from pytest_chatapi.faults import CATALOGUE, Fault, Plan
from pytest_chatapi.faults.fault import Entry
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.recording.miss import Miss
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.redaction.redactor import Redactor

# What an SDK reads from a deviating answer, its own helper for streams writes again.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

OLDER = openai.VERSION.startswith("2.")
FAMILY = importlib.import_module("httpx" if OLDER else "httpx2")

# The answers on which a fault is tried, the first that it can change: two calls say more than one.
FORMS = {
    "whole": ["text", "parallel", "named"],
    "stream": ["stream", "stream-usage", "parallel-stream", "named-stream"],
}
ENTRIES = [entry for entry in CATALOGUE.values() if entry.kind != "none"]


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return sleeps.noted(monkeypatch)


class StandIn:
    """Answers everything with one interaction."""

    give_back = None
    passes_on = False

    def __init__(self, answer: Interaction) -> None:
        self._answer = answer

    def answer(self, request: Request) -> Interaction:
        return self._answer

    def miss(self, request: Request) -> Miss:
        raise AssertionError("everything is answered")


def recorder_of(answer: Interaction, plan: Plan) -> Recorder:
    redactor = Redactor()
    return Recorder(None, Matcher(redactor), redactor, answers=StandIn(answer), faults=plan)


def client_of(recorder: Recorder, **settings: Any) -> openai.OpenAI:
    transport = RecordReplayTransport(recorder)
    return openai.OpenAI(
        api_key="k",
        base_url="https://x/v1",
        http_client=FAMILY.Client(transport=transport),
        **settings,
    )


def asked(answer: Interaction) -> dict[str, Any]:
    question = dict(answer.request.body)
    question.pop("stream", None)
    # What the helper for streams insists on.
    for tool in question.get("tools", ()):
        tool["function"]["strict"] = True
    return question


# -- what came of it, in words -------------------------------------------------------------


def named(error: Exception) -> str:
    home = type(error).__module__.partition(".")[0]
    known = home in ("openai", "builtins")
    return type(error).__name__ if known else f"{home}.{type(error).__name__}"


def ended(error: Exception, recorder: Recorder, came: int | None) -> str:
    """The words for an error; `came` is the number of chunks, ``None`` before a stream began."""
    if came is not None:
        return f"{named(error)} {'in mid-stream' if came else 'instead of a chunk'}"
    tries = len(recorder.exchanges)
    text = f"{named(error)} after {tries} {'try' if tries == 1 else 'tries'}"
    if isinstance(error, openai.APIStatusError):
        body = error.response.text
        sentence = json.loads(error_message(json.loads(body))) if body[0] in "{[" else body
        text += "" if sentence.strip()[:40] in str(error) else ", without the server's message"
    return text


def outcome(answer: Interaction, form: str, plan: Plan, **settings: Any) -> tuple[str, Any]:
    """How a call ends where it ends with an error, else what the SDK gives."""
    recorder = recorder_of(answer, plan)
    completions = client_of(recorder, **settings).chat.completions
    question = asked(answer)
    came = None
    try:
        if form == "whole":
            return "", completions.create(**question)
        raw = completions.create(**question, stream=True)
        came = 0
        for _ in raw:
            came += 1
    except Exception as error:
        return ended(error, recorder, came), error
    try:
        with completions.stream(**question) as stream:
            for _ in stream:
                pass
            return "", stream.get_final_completion()
    except Exception as error:
        return f"{named(error)} in `stream()`", error


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path to value; containers as their kind, beside what is in them."""
    if isinstance(value, dict):
        yield path, "an object"
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path, "empty" if not value else "1 item" if len(value) == 1 else f"{len(value)} items"
        for at, item in enumerate(value):
            yield from flat(item, f"{path}[{at}]")
    else:
        yield path, repr(value)


def differences(before: Any, after: Any) -> str:
    """What the SDK gives otherwise than without the fault, outermost only."""
    if not hasattr(after, "model_dump"):
        return f"a {type(after).__name__}"
    old = dict(flat(before.model_dump(warnings=False)))
    new = dict(flat(after.model_dump(warnings=False)))
    told: dict[str, None] = {}
    done: list[str] = []
    for path in [*old, *(path for path in new if path not in old)]:
        inner = any(path.startswith((f"{above}.", f"{above}[")) for above in done)
        if old.get(path) == new.get(path) or inner:
            continue
        done.append(path)
        short = re.sub(r"choices\[0\]\.|message\.|function\.|usage\.(.*\.)?|\[\d\]", "", path)
        text = new.get(path, "gone")
        told[f"`{short}` is {text if len(text) < 40 else text[:36] + '...'}"] = None
    first, more = list(told)[:2], len(told) - 2
    return ", ".join(first) + (f" and {more} more" if more > 0 else "") or "unnoticed"


def naive(answer: Interaction, plan: Plan) -> str:
    """Where the loop of the SDK's own README fails on a stream."""
    chunks = client_of(recorder_of(answer, plan)).chat.completions.create(
        **asked(answer), stream=True
    )
    try:
        for chunk in chunks:
            assert chunk.choices[0].delta.content != 0
    except (AttributeError, IndexError, TypeError) as error:
        return f"{type(error).__name__} at `choices[0].delta.content`"
    return ""


def tried_on(fault: Fault, form: str) -> Interaction | None:
    """The answer that shows it."""
    answers = [ANSWERS[name] for name in FORMS[form]]
    return next((a for a in answers if fault.apply(a, a.request) is not None), None)


def said(fault: Fault, form: str) -> str | None:
    """What the SDK makes of a fault, as the catalogue words it."""
    answer = tried_on(fault, form)
    if answer is None:
        return None
    text, given = outcome(answer, form, Plan(*[fault] * 9))
    undisturbed = outcome(answer, form, Plan())[1]
    if fault.name == "stall":
        assert differences(undisturbed, given) == "unnoticed"
        text, _ = outcome(answer, form, Plan(*[fault] * 9), timeout=30)
        return f"late; with a shorter timeout, {text}"
    if not text or "stream()" in text:
        failed = naive(answer, Plan(*[fault] * 9)) if form == "stream" else ""
        if failed and failed != naive(answer, Plan()):
            rest = text or f"{differences(undisturbed, given)} in `stream()`"
            return f"{failed}; {rest}"
    return text or differences(undisturbed, given)


# -- the catalogue tells the truth ---------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_sdk_does_what_the_catalogue_says(entry: Entry, form: str) -> None:
    found = {said(Fault(entry.name, sample), form) for sample in entry.samples} - {None}
    text = entry.sdk.get(form)
    if OLDER:
        text = entry.sdk.get(f"{form} 2", text)
    assert found == ({text} if text else set())


@pytest.mark.parametrize(
    "entry",
    [e for e in ENTRIES if "stream" in e.sdk and not e.alone and e.kind == "deviation"],
    ids=lambda entry: entry.name,
)
def test_a_deviating_stream_is_passed_on_chunk_by_chunk(entry: Entry) -> None:
    fault = Fault(entry.name)
    answer = tried_on(fault, "stream")
    assert answer is not None
    changed = fault.apply(answer, answer.request)
    assert changed is not None
    sent = re.findall(rb"^data: ?(\{.*)\r?$", b"".join(changed.pieces), re.M)
    recorder = recorder_of(answer, Plan(fault))
    chunks = list(client_of(recorder).chat.completions.create(**asked(answer), stream=True))
    assert [chunk.model for chunk in chunks] == [json.loads(text).get("model") for text in sent]


def is_retried(entry: Entry) -> bool:
    return "after 3 tries" in entry.sdk.get("whole", "") and entry.name != "stall"


RETRIED = [entry for entry in ENTRIES if is_retried(entry)]


@pytest.mark.parametrize("entry", RETRIED, ids=lambda entry: entry.name)
def test_what_is_retried_is_survived_once(entry: Entry) -> None:
    fault = Fault(entry.name, entry.samples[-1])
    answer = tried_on(fault, "whole")
    assert answer is not None
    assert entry.retried
    plan = Plan(fault)
    text, given = outcome(answer, "whole", plan)
    assert (text, differences(outcome(answer, "whole", Plan())[1], given)) == ("", "unnoticed")
    assert (plan.happened, plan.left) == ([fault], [])


def test_retried_is_what_the_sdk_retries() -> None:
    alone = {entry.name: entry.retried for entry in ENTRIES if entry.alone}
    assert alone == {name: is_retried(CATALOGUE[name]) for name in alone}


# -- what else an application sees ---------------------------------------------------------


def error_of(fault: Fault, form: str = "whole") -> Any:
    text, error = outcome(
        ANSWERS["text" if form == "whole" else "stream"], form, Plan(*[fault] * 3)
    )
    assert text
    return error


@pytest.mark.parametrize(
    ("fault", "status", "code", "said"),
    [
        (faults.rate_limit(), 429, "rate_limit_exceeded", "Rate limit reached for gpt-5.2"),
        (faults.insufficient_quota(), 429, "insufficient_quota", "exceeded your current quota"),
        (faults.context_length_exceeded(), 400, "context_length_exceeded", "context length"),
        (faults.invalid_key(), 401, "invalid_api_key", "Incorrect API key"),
        (faults.forbidden(), 403, "unsupported_country_region_territory", "not supported"),
        (faults.model_not_found(), 404, "model_not_found", "`gpt-5.2` does not exist"),
        (faults.request_timeout(), 408, "request_timeout", "timed out"),
        (faults.conflict(), 409, "conflict", "try again"),
        (faults.server_error(), 500, None, "had an error"),
        (faults.overloaded(), 503, "server_is_overloaded", "overloaded"),
        (faults.error_code_integer(), 500, 500, "The model is busy"),
        (faults.error_flat(), 500, 500, "The model is busy"),
    ],
    ids=str,
)
def test_an_error_says_what_the_server_said(
    fault: Fault, status: int, code: Any, said: str
) -> None:
    error = error_of(fault)
    assert error.status_code == status
    assert error.code in (code, code and str(code))
    assert said in str(error)
    assert error.request_id.startswith("req_")


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (faults.error_detail(), {"detail": "The model is busy"}),
        (faults.error_text(), "The model is busy"),
        (faults.error_plain_text(), "The model is busy"),
    ],
    ids=str,
)
def test_the_body_is_at_hand_whatever_its_shape(fault: Fault, body: Any) -> None:
    assert error_of(fault).body == body


def test_a_page_of_html_is_at_hand() -> None:
    error = error_of(faults.bad_gateway())
    assert (error.status_code, error.request_id) == (502, None)
    assert "502 Bad Gateway" in error.body


@pytest.mark.parametrize("name", ["error_event", "error_chunk"])
def test_an_error_in_a_stream_says_what_the_server_said(name: str) -> None:
    told = {"error_event": "had an error", "error_chunk": "Provider returned error"}
    assert told[name] in str(error_of(Fault(name), "stream"))


def test_retry_after_is_waited_for(slept: list[float]) -> None:
    error_of(faults.rate_limit(retry_after=7))
    assert slept == [7, 7]


def test_a_date_to_retry_after_is_waited_for(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 25, 10, 45, 0, 250_000, UTC)
    monkeypatch.setattr(clock, "now", now.isoformat)
    monkeypatch.setattr(time, "time", now.timestamp)
    error_of(faults.rate_limit_date(retry_after=7))
    assert slept == [7.75, 7.75]  # to the full second


def test_a_stall_is_waited_for(slept: list[float]) -> None:
    plan = Plan(faults.stall(seconds=90, chunks=2))
    assert outcome(ANSWERS["stream"], "stream", plan)[0] == ""
    assert [seconds for seconds in slept if seconds] == [90]


def test_faults_in_order() -> None:
    plan = Plan("2*rate_limit(retry_after=2), cut(chunks=3), ok")
    answer = ANSWERS["stream"]
    completions = client_of(recorder_of(answer, plan)).chat.completions
    cut = completions.create(**asked(answer), stream=True)
    assert [next(cut).choices[0].delta.content for _ in range(3)] == ["", "Hello", "!"]
    with pytest.raises((openai.APIConnectionError, FAMILY.RemoteProtocolError)):
        next(cut)
    assert len(list(completions.create(**asked(answer), stream=True))) == 4
    assert len(list(completions.create(**asked(answer), stream=True))) == 4
    limit = faults.rate_limit(retry_after=2)
    assert plan.happened == [limit, limit, faults.cut(chunks=3)]
    assert plan.left == []


# -- async ---------------------------------------------------------------------------------


async def async_outcome(answer: Interaction, form: str, plan: Plan, **settings: Any) -> str:
    recorder = recorder_of(answer, plan)
    transport = AsyncRecordReplayTransport(recorder)
    async with openai.AsyncOpenAI(
        api_key="k",
        base_url="https://x/v1",
        http_client=FAMILY.AsyncClient(transport=transport),
        **settings,
    ) as client:
        came = None
        try:
            if form == "whole":
                return str(await client.chat.completions.create(**asked(answer)) and "")
            stream = await client.chat.completions.create(**asked(answer), stream=True)
            came = 0
            async for _ in stream:
                came += 1
            return ""
        except Exception as error:
            return ended(error, recorder, came)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "fault",
    [
        faults.rate_limit(),
        faults.model_not_found(),
        faults.connect_error(),
        faults.read_timeout(),
        faults.cut(bytes=400),
        faults.cut_mid_character(),
        faults.gzip_header_lies(),
        faults.error_event(),
        faults.sse_crlf(),
        faults.stall(seconds=60),
    ],
    ids=str,
)
def test_an_async_client_fares_the_same(fault: Fault, form: str) -> None:
    answer = ANSWERS["text" if form == "whole" else "stream"]
    settings = {"timeout": 30} if fault.name == "stall" else {}
    plain, _ = outcome(answer, form, Plan(*[fault] * 3), **settings)
    assert asyncio.run(async_outcome(answer, form, Plan(*[fault] * 3), **settings)) == plain
