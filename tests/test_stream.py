"""T and E: what only a stream can get wrong, in every chunking and framing."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import Exchange, Request, Response, assemble
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.sse import decode_sse

URL = "https://api.openai.com/v1/chat/completions"
ASK = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Grüße!"}], "stream": True}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **other: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-5.2-2025-12-11",
        "choices": choices,
        **other,
    }


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Grüße, "}),
    chunk({"content": "Welt 😀!"}),
    chunk({}, "stop"),
]


def sse(chunks: list[Any], done: bool = True) -> str:
    lines = [f"data: {json.dumps(c, ensure_ascii=False)}\n\n" for c in chunks]
    return "".join(lines) + ("data: [DONE]\n\n" if done else "")


def judge(
    body: Any, ask: dict[str, Any] | None = ASK, *, url: str = URL, cut: Any = None, **kw: Any
) -> list[Finding]:
    request = Request("POST", url, {}, ask)
    response = Response(
        200,
        {"content-type": "text/event-stream"},
        **({"pieces": body} if isinstance(body, list) else {"body": body}),
        cut=cut,
    )
    return check_exchange(Exchange(request, response), **kw).findings


def codes(findings: list[Finding]) -> list[str]:
    return [f.code for f in findings]


def test_a_legal_stream_is_silent() -> None:
    assert judge(sse(CHUNKS)) == []


@pytest.mark.parametrize(
    "framing",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace("data: ", "data:"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("data: {", ": PROCESSING\n\nevent: message\nid: 7\nretry: 5\ndata: {"),
        lambda t: t.replace(', "object"', ',\ndata: "object"'),
        lambda t: t.rstrip("\n"),
        lambda t: t.replace("[DONE]", "[DONE] "),
        lambda t: t.replace("data: {", "unknown: x\nno colon\ndata: {"),
    ],
    ids="crlf cr no-space bom comments several-data-lines no-last-blank-line space unknown".split(),
)
def test_every_legal_framing_is_silent(framing: Any) -> None:
    assert judge(framing(sse(CHUNKS)).encode()) == []


BROKEN = (
    sse(
        [
            CHUNKS[0],
            {**CHUNKS[1], "id": "chatcmpl-2", "extra": 1},
            chunk({"content": "a"}, "stop"),
            chunk({"content": "ü\ufffd"}, "stop"),
        ],
        done=False,
    )
    .replace("data: {", " data: lost\r\ndata: {", 1)
    .encode()
)


@given(st.lists(st.integers(0, len(BROKEN)), max_size=40))
def test_any_chunking_gives_the_same_findings(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(BROKEN)]
    pieces = [BROKEN[a:b] for a, b in pairwise(bounds)]
    assert judge(pieces) == judge(BROKEN)
    assert set(codes(judge(BROKEN))) == {"E01", "T01", "T06", "T07", "T08", "S10", "S15"}


def test_an_event_in_single_bytes_is_read_in_linear_time() -> None:
    # Joining at every piece would copy 2 GB here; the test would take minutes.
    event = b"data: " + b"x" * 60_000 + b"\ndata: y" * 20_000 + b"\n\n"
    pieces = [event[i : i + 1] for i in range(len(event))]
    ((data, kind, oddity),) = decode_sse(pieces)
    assert (len(data), kind, oddity) == (60_000 + 40_000, b"", "")


@pytest.mark.parametrize(
    ("cut", "at", "expected"),
    [
        ("client", 1, []),
        ("client", 3, []),
        ("server", 1, ["T17"]),
        ("server", 3, ["T17"]),
        (None, 3, ["T05", "T08"]),
    ],
)
def test_who_cut_the_stream_decides(cut: str | None, at: int, expected: list[str]) -> None:
    assert codes(judge(sse(CHUNKS[:at], done=False), cut=cut)) == expected


@pytest.mark.parametrize("cut", ["client", "server"])
def test_a_cut_anywhere_is_one_finding_at_most(cut: str) -> None:
    for size in range(0, 700, 7):
        body = sse(CHUNKS).encode()[:size]
        found = codes(judge(body, cut=cut))
        assert found == (["T17"] if cut == "server" and b"[DONE]" not in body else []), size


def test_truncation_names_the_last_chunk() -> None:
    (found,) = judge(sse(CHUNKS[:2], done=False), cut="server")
    assert found.chunk == 1
    assert found.message == "the server ended the connection after chunk 1"


def test_an_error_event_silences_what_follows_from_it() -> None:
    error = {"error": {"message": "The server is overloaded", "type": "server_error"}}
    for text in (
        sse([*CHUNKS[:2], error], done=False),
        sse(CHUNKS[:2], done=False) + f"event: error\ndata: {json.dumps(error)}\n\n",
        sse(CHUNKS[:2], done=False) + f"error: {json.dumps(error)}\n\n",
    ):
        (found,) = judge(text)
        assert found.code == "T10"
        assert "The server is overloaded" in found.message


def test_repeats_are_folded_with_their_count() -> None:
    many = [CHUNKS[0], *[{**CHUNKS[1], "id": f"x{i}"} for i in range(412)], CHUNKS[3]]
    (found,) = judge(sse(many))
    assert (found.code, found.chunk, found.repeats) == ("T01", 1, 411)
    assert found.message == "`id` differs from the first chunk's (and 411 more chunks)"


USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
ASK_USAGE = {**ASK, "stream_options": {"include_usage": True}}
NULLS = [{**c, "usage": None} for c in CHUNKS]
MODERATION = {
    "input": {"type": "error", "code": "x", "message": "y"},
    "output": {"type": "error", "code": "x", "message": "y"},
}


@pytest.mark.parametrize(
    ("chunks", "ask", "expected"),
    [
        ([*NULLS, chunk(None, usage=USAGE)], ASK_USAGE, []),
        ([*CHUNKS, chunk(None, usage=USAGE)], ASK_USAGE, []),
        (
            [*NULLS, chunk(None, usage=USAGE), chunk(None, usage=None, moderation=MODERATION)],
            ASK_USAGE,
            [],
        ),
        (CHUNKS, ASK_USAGE, ["T13"]),
        ([*CHUNKS[:3], {**CHUNKS[3], "usage": USAGE}], ASK_USAGE, ["T13"]),
        ([*CHUNKS[:2], chunk(None, usage=USAGE), *CHUNKS[2:]], ASK_USAGE, ["T13"]),
        ([{**c, "usage": USAGE} for c in CHUNKS], ASK_USAGE, ["T15"]),
        ([*CHUNKS, chunk(None, usage=USAGE)], ASK, ["T14"]),
        ([*CHUNKS, chunk(None)], ASK, ["T09"]),
    ],
)
def test_where_usage_stands(chunks: list[Any], ask: dict[str, Any], expected: list[str]) -> None:
    assert codes(judge(sse(chunks), ask)) == expected


AZURE_HEAD = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [],
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
}
AZURE_ASYNC = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}],
}


def test_azure_filter_chunks_by_profile() -> None:
    text = sse([AZURE_HEAD, *CHUNKS])
    url = "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1"
    assert [f for f in judge(text, url=url) if f.level != "note"] == []
    assert [(f.code, f.level) for f in judge(text)] == [("T09", "warning")]
    no_roles = [AZURE_HEAD, AZURE_ASYNC, *[chunk({"content": "a"})], CHUNKS[3]]
    assert [f for f in judge(sse(no_roles), url=url) if f.level != "note"] == []
    foundry = "https://x.services.ai.azure.com/models/chat/completions"
    assert [f for f in judge(sse(no_roles), url=foundry) if f.level != "note"] == []
    assert "S01" in codes(judge(sse(no_roles)))


def call(index: int | None, **members: Any) -> dict[str, Any]:
    made = {"function": {"name": "f", "arguments": "{}"}, "id": "call_1", "type": "function"}
    made.update(members)
    return made if index is None else {"index": index, **made}


TOOLS = {
    **ASK,
    "tools": [
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "f"}},
    ],
}


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([[call(0)]], []),
        ([[call(0), call(1, id="call_2")]], []),
        ([[call(0)], [{"index": 0, "function": {"arguments": " "}}]], []),
        ([[call(None)]], ["C05"]),
        ([[call(1)]], ["C05"]),
        ([[call(0)], [call(0, id="call_2")]], ["C05"]),
        ([[call(0)], [{"index": 0, "id": "", "function": {"arguments": " "}}]], ["C06"]),
        ([[call(0), call(1)]], ["C04"]),
        ([[call(0, function={"name": "f", "arguments": {}})]], ["C02", "C03"]),
        ([[call(0)], [{"index": 0, "type": "custom", "custom": {"input": "x"}}]], ["T16"]),
        ([[{"index": 0, "type": "custom", "id": "c", "custom": {"name": "f", "input": "x"}}]], []),
    ],
)
def test_fragments_of_calls(deltas: list[Any], expected: list[str]) -> None:
    chunks = [chunk({"role": "assistant", "content": None})]
    chunks += [chunk({"tool_calls": calls}) for calls in deltas]
    found = codes(judge(sse([*chunks, chunk({}, "tool_calls")]), TOOLS))
    assert found == expected or found == expected[:1]


def test_interleaved_choices_and_their_range() -> None:
    def piece(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        made = chunk(delta, finish)
        made["choices"][0]["index"] = index
        return made

    role = {"role": "assistant", "content": ""}
    two = [piece(1, role), piece(0, role), piece(0, {"content": "a"}), piece(1, {"content": "b"})]
    two += [piece(1, {}, "stop"), piece(0, {}, "length")]
    assert judge(sse(two), {**ASK, "n": 2}) == []
    assert codes(judge(sse(two))) == ["T12"]
    joined = assemble(two)
    assert [c["message"]["content"] for c in joined["choices"]] == ["a", "b"]


def test_the_audio_update_after_the_end_is_legal() -> None:
    ask = {**ASK, "modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}}
    sound = [
        chunk({"role": "assistant", "audio": {"id": "a1", "data": "QQ==", "transcript": "A"}}),
        chunk({}, "stop"),
    ]
    update = chunk({"audio": {"expires_at": 1_700_000_100}})
    del update["choices"][0]["finish_reason"]
    assert judge(sse([*sound, update]), ask) == []
    late = copy.deepcopy(sound[0])
    late["choices"][0]["delta"] = {"audio": {"data": "QQ=="}}
    assert codes(judge(sse([*sound, late]), ask)) == ["T07"]


def test_text_is_scanned_across_chunks() -> None:
    parts = ["one ST", "OP two", " <tool", "_call>"] * 300
    chunks = [CHUNKS[0], *[chunk({"content": p}) for p in parts], CHUNKS[3]]
    ask = {**TOOLS, "stop": ["STOP"]}
    assert sorted(codes(judge(sse(chunks), ask))) == ["C11", "K04"]


def test_assemble_joins_what_came() -> None:
    joined = assemble(sse([*CHUNKS, chunk(None, usage=USAGE)]))
    assert joined == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-5.2-2025-12-11",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Grüße, Welt 😀!",
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }


def test_null_usage_was_legal_from_the_first_day_of_usage() -> None:
    text = sse([*NULLS, chunk(None, usage=USAGE)])
    assert judge(text, ASK_USAGE, as_of="2024-06-01") == []


def test_a_chunk_with_filter_results_beside_its_delta_is_folded() -> None:
    """Azure has them on most chunks; only those without a delta are its filter's own."""
    url = "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1"
    chunks = copy.deepcopy(CHUNKS)
    for piece in chunks:
        piece["choices"][0]["content_filter_results"] = {}
    assert [f.level for f in judge(sse(chunks), url=url)] == ["note"]
    exchange = Exchange(Request("POST", url, {}, ASK), Response(body=sse(chunks)))
    answer = check_exchange(exchange, keep=True).answer
    assert answer is not None
    assert str(answer.choices[0].content) == "Grüße, Welt 😀!"
    # The index of a chunk of the filter may be anything, and its reason ends the choice.
    for index in (0, None, [0], "0", 7):
        own = copy.deepcopy(AZURE_ASYNC)
        own["choices"][0] |= {"index": index, "finish_reason": "content_filter"}
        found = judge(sse([*CHUNKS[:3], own]), url=url)
        assert [f.code for f in found if f.level != "note"] == ([] if index == 0 else ["T05"])


def test_events_are_given_as_soon_as_they_end() -> None:
    read: list[bytes] = []

    def pieces() -> Any:
        for piece in (b"data: a\n\ndata: b\n", b"\ndata: c\n\nda", b"ta: d\r\n", b"\r\n", b"x"):
            read.append(piece)
            yield piece

    seen = [(data, len(read)) for data, _, _ in decode_sse(pieces())]
    assert seen == [(b"a", 1), (b"b", 2), (b"c", 2), (b"d", 4)]


def test_assemble_joins_log_probabilities_and_sound() -> None:
    token = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}
    chunks = [
        {**chunk({"role": "assistant", "audio": {"id": "a1", "data": "QQ=="}})},
        chunk({"content": "a", "audio": {"data": "Qg==", "transcript": "A"}}),
        chunk({"content": "a", "audio": {"transcript": "B", "expires_at": 9}}),
        chunk({}, "stop"),
    ]
    for piece, logprobs in zip(
        chunks,
        (
            {"content": None, "refusal": None},
            {"content": [token], "refusal": None},
            {"content": [token], "refusal": []},
        ),
        strict=False,
    ):
        piece["choices"][0]["logprobs"] = logprobs
    (choice,) = assemble(chunks)["choices"]
    assert choice["logprobs"] == {"content": [token, token], "refusal": []}
    assert choice["message"]["audio"] == {
        "id": "a1",
        "data": "QQ==Qg==",
        "transcript": "AB",
        "expires_at": 9,
    }


def test_assemble_takes_what_has_the_wrong_type() -> None:
    odd = chunk({"role": "assistant", "audio": {"id": [1], "data": 5}})
    later = chunk({"audio": {"data": "QQ=="}})
    (choice,) = assemble([odd, later])["choices"]
    assert choice["message"]["audio"] == {"id": [1], "data": "QQ=="}


def test_assemble_keeps_the_frame_of_the_last_chunk_that_has_it() -> None:
    more = {"service_tier": "default", "system_fingerprint": "fp_1", "moderation": MODERATION}
    joined = assemble([{**CHUNKS[0], **more}, {**CHUNKS[1], "service_tier": "flex"}, *CHUNKS[2:]])
    assert {key: joined[key] for key in more} == {**more, "service_tier": "flex"}
    bare = [{k: v for k, v in c.items() if k not in ("id", "model")} for c in CHUNKS[:1]]
    joined = assemble([*bare, *CHUNKS[1:]])
    assert (joined["id"], joined["model"]) == ("chatcmpl-1", "gpt-5.2-2025-12-11")


def test_assemble_joins_calls_and_a_legacy_call() -> None:
    custom = {"index": 1, "id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}
    chunks = [
        chunk({"role": "assistant", "content": None, "tool_calls": [call(0), custom]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}),
        chunk({"function_call": {"name": "h", "arguments": "{"}}),
        chunk({"function_call": {"arguments": "}"}}, "tool_calls"),
    ]
    (choice,) = assemble(chunks)["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{} "}},
            {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
        ],
        "function_call": {"name": "h", "arguments": "{}"},
    }
    assert choice["finish_reason"] == "tool_calls"
