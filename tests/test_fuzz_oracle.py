"""What counts as a success that was cut, and what tells that something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from fuzz_readers import BODY, TWO
from openai.types.chat import ChatCompletionMessage

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.fuzz.cases import Said, draft_of, fixed_cases, said_reply
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Step, apply, delivered
from pytest_chatapi.fuzz.draft import Draft
from pytest_chatapi.fuzz.oracle import Outcome, difference, is_part, lost_refusal, problem_of


@dataclass
class Read:
    text: str
    finish: str | None = "stop"
    failed: bool = False


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("", "Hello", True),
        ("Hel", "Hello", True),
        ("Hel\ufffd", "Hello", True),
        ("Heo", "Hello", True),
        ("error", "Hello", False),
        ("Hello, world", "Hello", False),
        (b"He", b"Hello", True),
        (("Hel", None), ("Hello", "stop"), True),
        (("Hel", "error"), ("Hello", "stop"), False),
        (["a"], ["a", "b"], True),
        (["a", "b", "c"], ["a", "b"], False),
        ({"city": "O"}, {"city": "Oslo", "days": 1}, True),
        ({"error": "cut"}, {"city": "Oslo"}, False),
        ({"error": "cut", "text": ""}, {"error": None, "text": "Hello"}, False),
        ({"error": "", "text": ""}, {"error": None, "text": "Hello"}, True),
        (Read("Hel", None), Read("Hello"), True),
        (Read("Hel", None, True), Read("Hello"), False),
        (SimpleNamespace(text="He"), SimpleNamespace(text="Hello"), True),
        (SimpleNamespace(text="He"), Read("Hello"), False),
        (3, 5, True),
        (7, 5, False),
        (1, 0, False),
        (-1, 5, False),
        (0, None, True),
        (500, None, False),
        (False, True, False),
        ({"a"}, {"a", "b"}, True),
        ({"c"}, {"a", "b"}, False),
    ],
)
def test_parts_of_a_result(part: Any, whole: Any, expected: bool) -> None:
    assert is_part(part, whole) is expected


def test_a_problem_is_named_by_the_kind_of_delivery() -> None:
    def problem(name: str, plain: Outcome, outcome: Outcome) -> str:
        return problem_of([CATALOGUE["compact"], CATALOGUE[name]], plain, outcome)

    hello, error = Outcome("Hello"), Outcome(error=ValueError("cut"))
    assert problem("no_space", hello, hello) == ""
    assert problem("no_space", hello, Outcome("Hell")) == "reads a legal delivery differently"
    assert problem("ping", hello, error) == "could not read a tolerated delivery"
    assert problem("no_space", error, Outcome(error=ValueError("other"))) == ""
    assert problem("no_space", error, hello) == "reads a legal delivery differently"
    assert problem("html", hello, error) == problem("html", hello, Outcome()) == ""
    assert problem("html", hello, hello) == "took an illegal delivery for the response"
    assert problem("html", hello, Outcome("Hello", requests=1)) == ""  # it asked again
    assert problem("html", hello, Outcome("")) == "took a part of the response for the whole"
    assert problem("html", Outcome(), Outcome()) == ""
    page = "<html><body><h1>Bad Gateway</h1></body></html>"
    assert problem("html", hello, Outcome({"text": page})).startswith("took an illegal delivery")
    assert problem("html", hello, Outcome(f"no JSON: {page}")) == ""
    assert problem("calls_share_index", hello, hello) == ""


def test_calls_are_mixed_where_a_result_has_no_text_of_its_own() -> None:
    def problem(value: Any) -> str:
        return problem_of([CATALOGUE["calls_share_index"]], plain, Outcome(value))

    plain = Outcome([{"id": "call_1", "text": "{1}"}, {"id": "call_2", "text": "{2}"}])
    mixed = "took an illegal delivery for the response"
    assert problem([{"id": "call_2", "text": "{1}{2}"}]) == mixed
    assert problem([{"id": "call_2", "text": "{1}"}]) == mixed
    assert problem([{"id": "call_2", "text": "two calls"}]) == ""
    assert problem({"code": 2}) == ""


def test_members_that_no_client_knows_may_be_kept() -> None:
    def problem(plain: Any, value: Any) -> str:
        return problem_of([CATALOGUE["unknown_members"]], Outcome(plain), Outcome(value))

    chosen = {"message": {"content": "Hello"}}
    kept = {"message": {"content": "Hello", "x_extra": {"content": "extra"}}, "x_note": None}
    for model in (dict, SimpleNamespace, ChatCompletionMessage.model_construct):
        assert problem(model(choices=[chosen]), model(choices=[kept], x_server={})) == ""
        assert problem(model(text="Hello"), model(text="Helloextra")) != ""


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a", "b", ("", "a", "b")),
        ({"text": "a"}, ["a"], ("", {"text": "a"}, ["a"])),
        ({"text": "a", "n": 1}, {"text": "a", "x_note": None}, ("n", 1, None)),
        ({"calls": [{"id": "a"}]}, {"calls": [{"id": "b"}, {}]}, ("calls[0].id", "a", "b")),
        ([Read("a")], [Read("b")], ("[0].text", "a", "b")),
        (["a"], ["a", "b"], ("", ["a"], ["a", "b"])),
    ],
)
def test_the_first_difference_of_two_results(one: Any, other: Any, expected: Any) -> None:
    assert difference(one, other) == expected


def test_a_refusal_is_lost_where_nothing_tells_of_it() -> None:
    read = {"content": "Hello", "refusal": None, "finish": "stop"}
    empty = {**read, "content": ""}
    assert lost_refusal(empty, read, is_structured=False)
    assert not lost_refusal({**empty, "refusal": "No."}, read, is_structured=False)
    assert not lost_refusal("", "Hello", is_structured=False)
    assert lost_refusal("", "Hello", is_structured=True)
    assert not lost_refusal(None, "Hello", is_structured=True)


def test_the_fixed_list_has_each_delivery_as_legal_or_illegal_as_it_says() -> None:
    asks = [Ask(BODY), Ask(TWO), Ask({key: BODY[key] for key in ("model", "messages", "tools")})]
    kinds = ("legal", "tolerated", "debatable", "illegal")
    effective: set[str] = set()
    for ask in asks:
        said = [Said("text"), Said("calls")] if ask.tools else [Said("text")]
        for case in fixed_cases(ask.stream, said, allowed=kinds):
            draft = draft_of(said_reply(case.said, ask, None), ask)
            if apply(draft, case.steps):
                effective |= {step.name for step in case.steps}
                row = CATALOGUE[case.steps[-1].name]
                # Whether `[DONE]` has to come is up to the consumer.
                if row.kind in ("legal", "illegal") and row.unless != "done_missing":
                    is_right = not _errors(ask, draft)
                    assert is_right is (row.kind == "legal"), case
    assert effective == set(CATALOGUE)


def _errors(ask: Ask, draft: Draft) -> list[str]:
    request = Request("POST", "https://api.openai.com/v1/chat/completions", {}, ask.body)
    sent = delivered(request, draft)
    headers = fold_headers(sent.headers)
    response = Response(sent.status, headers, pieces=tuple(sent.pieces), cut=sent.cut)
    if sent.status >= 400 or sent.cut:
        return ["not a response"]
    findings = check_exchange(Exchange(request, response), "documented").findings
    return [finding.code for finding in findings if finding.code not in ("S10", "Q17")]


def test_a_delivery_is_the_same_each_time() -> None:
    ask = Ask(BODY)
    steps = (Step("newlines", (("style", "\r"),)), Step("pieces", (("at", (3, 9)),)))
    bodies = []
    for _ in range(2):
        draft = draft_of(said_reply(Said("calls"), ask, None), ask)
        apply(draft, steps)
        bodies.append(draft.pieces)
    assert bodies[0] == bodies[1]
    assert [len(piece) for piece in bodies[0][:2]] == [3, 6]


def test_what_is_unterminated_is_the_last() -> None:
    ask = Ask(BODY)
    draft = draft_of(said_reply(Said("text"), ask, None), ask)
    assert apply(draft, (Step("comment", (("at", 99),)), Step("done_unterminated")))
    assert draft.body.endswith(b"data: [DONE]")
