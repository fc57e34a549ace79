"""S19: the model's own markup in its text, whole and in every cut, and where it is meant."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traffic import ANSWER

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.contract.assemble import Text
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.markup import Leaks

URL = "https://llm.example.com/v1/chat/completions"
ASK = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Which river is it?"}]}


def leaks(content: str, finish: str = "stop", **ask: Any) -> list[Finding]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None},
        "logprobs": None,
        "finish_reason": finish,
    }
    response = Response(200, {}, json.dumps({**ANSWER, "choices": [choice]}))
    exchange = Exchange(Request("POST", URL, {}, {**ASK, **ask}), response)
    return [f for f in check_exchange(exchange).findings if f.code == "S19"]


def streamed(pieces: list[str]) -> list[Finding]:
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in pieces] + [({}, "stop")]
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": "m"}
    chunks = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    request = Request("POST", URL, {}, {**ASK, "model": "m", "stream": True})
    exchange = Exchange(request, Response(200, {"content-type": "text/event-stream"}, body))
    return [f for f in check_exchange(exchange).findings if f.code == "S19"]


MARKERS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_box|>",
    "<unused94>",
    "<pad>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|header_start|>",
    "<|begin_of_text|>",
    "<|python_tag|>",
    "<|channel|>",
    "<|message|>",
    "<|start|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|assistant|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|START_THINKING|>",
    "<|reserved_special_token_7|>",
    "<|turn>",
    "<channel|>",
    "</channel|>",
    "[|endofturn|]",
    "<｜end▁of▁sentence｜>",
    "<｜Assistant｜>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "[AVAILABLE_TOOLS]",
    "</think>",
    "</THINK>",
    "</seed:think>",
    "[/THINK]",
    "◁/think▷",
]


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_in_the_text_is_a_warning(marker: str) -> None:
    (finding,) = leaks(f"The river is the Aare.{marker}\nIt is long.")
    assert (finding.level, finding.path) == ("warning", "$.choices[0].message.content")
    assert finding.got == marker
    assert finding.message == (
        "the model's own markup leaked into the content, near "
        + json.dumps(f"The river is the Aare.{marker}\nIt is long.", ensure_ascii=False)
    )


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_that_is_meant_is_silent(marker: str) -> None:
    assert leaks(f"The template ends with `{marker}` here.") == []
    assert leaks(f"So:\n\n```text\nHi{marker}\n```\n\nThat is all.") == []
    assert leaks(f"So:\n\n  ~~~~\n```\nHi{marker}\n```\n  ~~~~\n\nThat is all.") == []
    assert leaks(f'It is "{marker}", then.') == []
    assert leaks(f"It is “{marker}”, then.") == []
    assert leaks(f"Look for the {marker} token.") == []
    assert leaks(f"Look for the token {marker} in it.") == []
    said = [{"role": "user", "content": f"Why do I see {marker}?"}]
    assert leaks(f"It is a template's: Hi{marker}", messages=said) == []


@pytest.mark.parametrize(
    "content",
    [
        "Models reason between <think> and </think>.",
        "They put it in <think>...</think>, or in [THINK] … [/THINK].",
        "It goes from <|im_start|> to <|im_end|>.",
        'Use `re.sub(r"<think>.*?</think>", "", text)` for it.',
        'Use re.sub(r"<think>.*?</think>", "", text) for it.',
        "He calls it “a lone </think> somewhere”.",
        "The tags <think>, </think> and [INST] are all alike.",
    ],
)
def test_prose_about_markers_is_silent(content: str) -> None:
    assert leaks(content) == []


@pytest.mark.parametrize(
    "content",
    [
        "```\ncode\n```\nand then<|im_end|>",
        "```python\nx = 1\n``\n```\nand then<|im_end|>",
        "`a` and then<|im_end|> and `b`",
        "a ` b <|im_end|> c",
        "An inline ```fence``` does not open.\nand then<|im_end|>",
        '"quoted" and then<|im_end|>',
        '"quoted" and then<|im_end|> and "quoted"',
        "“quoted” and then<|im_end|> and “quoted”",
        "and then<|im_end|>...",
        "and then ...<|im_end|>",
        "tokens\nare counted<|im_end|>",
    ],
)
def test_code_elsewhere_is_no_excuse(content: str) -> None:
    assert [finding.got for finding in leaks(content)] == ["<|im_end|>"]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("The Aare.</s>", "</s>"),
        ("The Aare.</s>\n\n", "</s>"),
        ("<s>old</s> new</s>", "</s>"),
        ("<s> The Aare.", "<s>"),
        ("The Aare.<eos>", "<eos>"),
        ("Not <s>the Rhine</s> the Aare.", None),
        ("Not <s>the Rhine</s>", None),
        ("</s> is what ends <s> in HTML", None),
        ("Not </s> at the end", None),
        ("Use `<s>` and `</s>`", None),
        ("The <s> is open", None),
        ("An <eos> in between", None),
        ("x</S>", None),
    ],
)
def test_the_forms_that_are_html_too(content: str, got: str | None) -> None:
    assert [finding.got for finding in leaks(content)] == ([got] if got else [])


@pytest.mark.parametrize(
    ("content", "finish", "case", "level"),
    [
        ("<think>\nA river.\n</think>\n\nThe Aare.", "stop", "reasoning-block", "note"),
        ("\n<think></think>The Aare.", "stop", "reasoning-block", "note"),
        ("[THINK]A river.[/THINK]The Aare.", "stop", "reasoning-block", "note"),
        ("<thought>A river.</thought>The Aare.", "stop", "reasoning-block", "note"),
        ("<think>```\nan open fence</think>The Aare.", "stop", "reasoning-block", "note"),
        ("<think>It ends with `</think>`.</think>The Aare.", "stop", "reasoning-block", "note"),
        ("<think>A riv", "length", "reasoning-block", "note"),
        ("<think>A riv", "stop", "", "warning"),
        ("<think>a</think><think>b</think>The Aare.", "stop", "", "warning"),
        ("The Aare. <think>A river.</think>", "stop", "", "warning"),
        ("A river.</think>The Aare.", "stop", "", "warning"),
        ("<think>A river.</think>The Aare.<|im_end|>", "stop", "", "warning"),
    ],
)
def test_reasoning_at_the_start(content: str, finish: str, case: str, level: str) -> None:
    (finding,) = leaks(content, finish)
    assert (finding.case, finding.level) == (case, level)


@pytest.mark.parametrize(
    "ask",
    [
        {"reasoning_format": "raw"},
        {"reasoning_format": "none"},
        {"separate_reasoning": False},
        {"skip_special_tokens": False},
        {"stop": ["<think>"]},
        {"messages": [{"role": "system", "content": "Reason in <think> first."}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "[THINK]?"}]}]},
        {"messages": [{"role": "user", "content": "Put it in think tags."}]},
        {"tools": [{"type": "function", "function": {"name": "f", "description": "</think>"}}]},
    ],
)
def test_what_the_request_asks_for_is_silent(ask: dict[str, Any]) -> None:
    for content in ("<think>A river.</think>The Aare.", "<think>A river.", "A.</think>The Aare."):
        assert leaks(content, **ask) == []


@pytest.mark.parametrize(
    "ask",
    [
        {"reasoning_format": "parsed"},
        {"separate_reasoning": True},
        {"metadata": {"x": "<think>"}},
        {"messages": [{"role": "user", "content": "Think of <|im_end|> and tags."}]},
    ],
)
def test_what_the_request_does_not_ask_for_is_found(ask: dict[str, Any]) -> None:
    assert len(leaks("A.</think>The Aare.", **ask)) == 1


def test_several_kinds_are_one_finding() -> None:
    (finding,) = leaks("<|channel|>analysis<|message|>A.<|end|></think>[INST] B")
    assert finding.got == "<|channel|>, </think>, [INST]"


def test_tool_markup_is_reported_once() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    content = '<|python_tag|>{"name": "f"}'
    assert leaks(content, tools=tools) == []
    assert [finding.got for finding in leaks(content)] == ["<|python_tag|>"]


@pytest.mark.parametrize("text", ["a < b", "x[0]", "[Think] hm", "<b>bold</b>", "<think/>", "a|b"])
def test_what_only_looks_like_a_marker(text: str) -> None:
    assert leaks(text) == []


def test_text_without_their_characters_is_not_looked_at() -> None:
    text = Text(keep=False)
    text.add("The river is the Aare, and it is long." * 100)
    text.finish()
    assert text.leaks is None


MIXED = (
    'Some `code<|im_end|>`, then:\n```\n<think>\n```\nA tag <think>, and "[INST]".\n'
    "It ends</think> here. Not <s>this</s>.\nAnd so<end_of_turn>\n</s>"
)


@given(st.lists(st.integers(0, len(MIXED)), max_size=30), st.integers(1, 5))
def test_any_cut_gives_the_same_leaks(cuts: list[int], together: int) -> None:
    bounds = [0, *sorted(cuts), len(MIXED)]
    pieces = [MIXED[a:b] for a, b in pairwise(bounds)]
    whole, cut = Leaks(), Leaks()
    whole.scan(MIXED, last=True)
    for start in range(0, len(pieces), together):
        cut.scan("".join(pieces[start : start + together]), last=False)
    cut.scan("", last=True)
    assert {leak.marker for leak in whole.found.values()} == {"</think>", "<end_of_turn>", "</s>"}
    assert cut.found.keys() == whole.found.keys()
    assert [leak.marker for leak in cut.found.values()] == [
        leak.marker for leak in whole.found.values()
    ]


@pytest.mark.parametrize("marker", ["<|im_end|>", "</think>", "<｜end▁of▁sentence｜>", "[INST]"])
@pytest.mark.parametrize("before", [0, 510, 511, 512, 513, 1500])
def test_a_marker_that_is_cut_over_chunks(marker: str, before: int) -> None:
    pieces = ["word "] * before + list(marker) + [" more"]
    (finding,) = streamed(pieces)
    assert finding.got == marker
    assert streamed([*(["word "] * before), "`", *marker, "`", " more"]) == []


@pytest.mark.parametrize("fence", ["```", "~~~"])
def test_code_that_began_long_ago_is_still_code(fence: str) -> None:
    code = [f"Look:\n{fence}\n", *(["word "] * 600), "\n<|im_end|>\n", f"{fence}\n"]
    assert streamed(code) == []


def test_a_line_that_never_ends_is_looked_at_all_the_same() -> None:
    text = Text(keep=False)
    for _ in range(3000):
        text.add("[word] and ")
        text.add("more of it " * 2)
    for character in "<|im_end|>":
        text.add(character)
    for _ in range(3000):
        text.add("more of it ")
    text.finish()
    assert text.leaks is not None
    assert [leak.marker for leak in text.leaks.found.values()] == ["<|im_end|>"]


def test_a_message_out_of_a_log() -> None:
    message = {"role": "assistant", "content": "Let me see.</think>The Rhine."}
    exchange = Exchange(
        Request("POST", URL, {}, ASK), Response(200, {}, {"message": message}), assembled=True
    )
    assert [f.code for f in check_exchange(exchange).findings] == ["S19"]
