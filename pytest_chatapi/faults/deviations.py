"""What servers send that is not as documented, or legal and yet unusual: each by its name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.faults.body import Body
from pytest_chatapi.faults.fault import WORDLESS, deviation, responding, status
from pytest_chatapi.recording.interaction import Interaction

__all__ = [
    "arguments_empty",
    "arguments_null",
    "arguments_object",
    "arguments_truncated",
    "azure_filter_chunk",
    "azure_head_chunk",
    "choice_index_counts_tokens",
    "choice_index_from_one",
    "citations",
    "content_filter_results",
    "content_missing",
    "content_object",
    "content_parts",
    "content_type_missing",
    "copilot_head_chunk",
    "created_float",
    "created_milliseconds",
    "created_text",
    "created_varies",
    "delta_annotations",
    "done_missing",
    "error_array",
    "error_code_integer",
    "error_detail",
    "error_flat",
    "error_plain_text",
    "error_text",
    "filtered_without_message",
    "finish_reason_empty",
    "finish_reason_key_missing",
    "finish_reason_missing",
    "finish_reason_repeated",
    "finish_reason_unknown",
    "id_empty",
    "id_missing",
    "id_varies",
    "json_as_stream",
    "named_tool_stop",
    "object_done",
    "object_missing",
    "object_text_completion",
    "reasoning",
    "reasoning_content",
    "role_empty",
    "role_missing",
    "role_on_every_delta",
    "service_tier_unknown",
    "sse_comments",
    "sse_crlf",
    "sse_no_space",
    "stream_as_json",
    "tool_calls_empty",
    "tool_calls_null",
    "tool_calls_object",
    "tool_id_empty",
    "tool_id_missing",
    "tool_id_repeated",
    "tool_id_shared",
    "tool_index_from_one",
    "tool_index_missing",
    "tool_index_shared",
    "tool_index_zero",
    "tool_type_missing",
    "usage_cached_exceeds_prompt",
    "usage_cumulative",
    "usage_missing",
    "usage_null",
    "usage_null_details",
    "usage_null_members",
    "usage_nulls",
    "usage_on_choice",
    "usage_reasoning_beside",
    "usage_total_larger",
    "usage_unasked",
    "usage_zeros",
    "x_groq",
]

_Document = dict[str, Any]


def _each(items: Any, change: Callable[[Any], bool | None]) -> bool:
    """Whether `change` had something to change in one of them; ``None`` stands for yes."""
    return sum(change(item) is not False for item in items) > 0


# -- chunks of content filters -------------------------------------------------------------

_SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}


def _filter_chunk(**more: Any) -> _Document:
    return {"id": "", "object": "", "created": 0, "model": "", "choices": [], **more}


def _head_chunk(body: Body, chunk: _Document) -> bool:
    if not body.chunks:
        return False
    results = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    at = next(at for at, event in enumerate(body.events) if event.value is not None)
    body.insert(at, {**chunk, "prompt_filter_results": results})
    return True


@deviation(
    {"stream": "T09: warning"},
    sdk={"stream": "IndexError at `choices[0].delta.content`; unnoticed in `stream()`"},
)
def azure_head_chunk(body: Body, /) -> bool:
    """The first chunk has `choices: []`, an empty frame and `prompt_filter_results` (Azure)."""
    return _head_chunk(body, _filter_chunk())


@deviation(
    {"stream": "T09 S03: warning"},
    sdk={"stream": "IndexError at `choices[0].delta.content`; AssertionError in `stream()`"},
)
def copilot_head_chunk(body: Body, /) -> bool:
    """As `azure_head_chunk`, and no chunk has `object` (GitHub Copilot)."""
    for chunk in body.chunks:
        chunk.pop("object", None)
    chunk = _filter_chunk()
    del chunk["object"]
    return _head_chunk(body, chunk)


@deviation(
    {"stream": "S01 S02 S03 S04 S10: error"},
    sdk={"stream": "AttributeError at `choices[0].delta.content`; unnoticed in `stream()`"},
)
def azure_filter_chunk(body: Body, /) -> bool:
    """A choice without `delta` comes before the last one: the filter's results (Azure)."""
    at = body.find(lambda choice: choice.get("finish_reason"))
    if at is None:
        return False
    choice = {
        "index": 0,
        "finish_reason": None,
        "content_filter_results": _SAFE,
        "content_filter_offsets": {"check_offset": 0, "start_offset": 0, "end_offset": 8},
    }
    body.insert(at, _filter_chunk(choices=[choice]))
    return True


@deviation(
    {"whole": "S01: error"}, sdk={"whole": "`finish_reason` is 'content_filter', `message` is None"}
)
def filtered_without_message(body: Body, /) -> bool:
    """`finish_reason: content_filter`, and no `message` (Azure)."""
    if body.streamed:
        return False

    def change(choice: _Document) -> None:
        choice.pop("message", None)
        choice["finish_reason"] = "content_filter"

    return _each(body.choices(), change)


# -- usage ---------------------------------------------------------------------------------


def _counts(usage: _Document) -> tuple[int, int] | None:
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt, completion) if type(prompt) is int and type(completion) is int else None


def _details(usage: _Document, name: str, member: str, value: int | None) -> None:
    usage[name] = {**(usage.get(name) or {}), member: value}


@deviation(
    "U02 U04: warning",
    sdk={
        "whole": "`total_tokens` is 91, `reasoning_tokens` is 73",
        "stream": "`total_tokens` is 76, `reasoning_tokens` is 66",
    },
)
def usage_reasoning_beside(body: Body, /) -> bool:
    """The total counts reasoning tokens beside the completion tokens (x.ai)."""

    def change(usage: _Document) -> bool:
        if (counts := _counts(usage)) is None:
            return False
        prompt, completion = counts
        reasoning = completion + 64
        _details(usage, "completion_tokens_details", "reasoning_tokens", reasoning)
        usage["total_tokens"] = prompt + completion + reasoning
        return True

    return _each(body.usages(), change)


@deviation(
    "U02: error",
    sdk={"whole": "`total_tokens` is 34", "stream": "`total_tokens` is 26"},
)
def usage_total_larger(body: Body, /) -> bool:
    """The total is larger than the sum, for no visible reason (Mistral, Gemini)."""

    def change(usage: _Document) -> bool:
        if (counts := _counts(usage)) is None:
            return False
        usage["total_tokens"] = sum(counts) + 16
        return True

    return _each(body.usages(), change)


@deviation(
    "U03: warning",
    sdk={"whole": "`cached_tokens` is 73", "stream": "`cached_tokens` is 72"},
)
def usage_cached_exceeds_prompt(body: Body, /) -> bool:
    """`cached_tokens` is more than `prompt_tokens` (Grok on Azure)."""

    def change(usage: _Document) -> bool:
        if (counts := _counts(usage)) is None:
            return False
        _details(usage, "prompt_tokens_details", "cached_tokens", counts[0] + 64)
        return True

    return _each(body.usages(), change)


@deviation(
    "U06: silent",
    sdk="`completion_tokens_details` is None, `prompt_tokens_details` is None",
)
def usage_null_details(body: Body, /) -> bool:
    """The details of `usage` are null."""
    return _each(
        body.usages(),
        lambda usage: usage.update(prompt_tokens_details=None, completion_tokens_details=None),
    )


@deviation(
    "U06: silent",
    sdk="`reasoning_tokens` is None, `cached_tokens` is None",
)
def usage_null_members(body: Body, /) -> bool:
    """Members of the details of `usage` are null."""

    def change(usage: _Document) -> None:
        _details(usage, "prompt_tokens_details", "cached_tokens", None)
        _details(usage, "completion_tokens_details", "reasoning_tokens", None)

    return _each(body.usages(), change)


@deviation({"whole": "U05: warning", "stream": "T13: error"}, sdk="`usage` is None")
def usage_missing(body: Body, /) -> bool:
    """No `usage`, although it was asked for where the answer is a stream (Cloudflare, Ollama)."""
    if not body.usages():
        return False
    for document in body.documents:
        document.pop("usage", None)
    body.events = [event for event in body.events if event.value is None or event.value["choices"]]
    return True


@deviation(
    {"stream": "T14: note"},
    sdk={"stream": "IndexError at `choices[0].delta.content`; `usage` is an object in `stream()`"},
)
def usage_unasked(body: Body, /) -> bool:
    """A stream has a usage chunk that was not asked for (Mistral, OpenRouter)."""
    if not body.chunks or body.usages() or body.ask.include_usage:
        return False
    count = len(body.chunks)
    usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
    body.insert(body.end, {**body.frame(), "usage": usage})
    return True


@deviation({"stream": "T13: silent"}, sdk={"stream": "unnoticed"})
def usage_on_choice(body: Body, /) -> bool:
    """`usage` stands on the last chunk with a choice, and no chunk follows (Mistral, DeepSeek)."""
    usages = body.usages()
    chunks = [chunk for chunk in body.chunks if chunk["choices"]]
    if not usages or not chunks:
        return False
    for chunk in body.chunks:
        chunk.pop("usage", None)
    body.events = [event for event in body.events if event.value is None or event.value["choices"]]
    chunks[-1]["usage"] = usages[-1]
    return True


def _on_choices(body: Body, count: Callable[[_Document, int], Any]) -> bool:
    """Puts a usage on each chunk with choices, where a usage chunk comes anyway."""
    usages = body.usages()
    chunks = [chunk for chunk in body.chunks if chunk["choices"]]
    if not usages or not chunks:
        return False
    for number, chunk in enumerate(chunks):
        chunk["usage"] = count(usages[-1], number)
    return True


@deviation({"stream": "T15: warning"}, sdk={"stream": "unnoticed"})
def usage_cumulative(body: Body, /) -> bool:
    """`usage` counts up on every chunk (Groq, Perplexity)."""

    def count(usage: _Document, number: int) -> _Document:
        prompt = usage.get("prompt_tokens", 0)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": number,
            "total_tokens": prompt + number,
        }

    return _on_choices(body, count)


@deviation({"stream": "T15: warning"}, sdk={"stream": "unnoticed"})
def usage_zeros(body: Body, /) -> bool:
    """`usage` stands on every chunk, all zeros before the last."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return _on_choices(body, lambda usage, number: dict(zeros))


@deviation({"stream": "T15 U01: error"}, sdk={"stream": "unnoticed"})
def usage_nulls(body: Body, /) -> bool:
    """`usage` stands on every chunk, all counts null before the last (LocalAI)."""
    nulls = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    return _on_choices(body, lambda usage, number: dict(nulls))


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def usage_null(body: Body, /) -> bool:
    """Every chunk has `usage: null`, although nobody asked for it (LocalAI)."""
    if body.usages() or body.ask.include_usage:
        return False
    return _each(body.chunks, lambda chunk: chunk.update(usage=None))


# -- content -------------------------------------------------------------------------------


def _contents(body: Body, change: Callable[[str], Any]) -> bool:
    found = False
    for _, inner in body.messages():
        if isinstance(inner.get("content"), str) and inner["content"]:
            inner["content"], found = change(inner["content"]), True
    return found


@deviation(
    "S01: warning",
    sdk={"whole": "`content` is 1 item", "stream": "`content` is ''"},
)
def content_parts(body: Body, /) -> bool:
    """`content` is a list of parts (Mistral)."""
    return _contents(body, lambda text: [{"type": "text", "text": text}])


@deviation(
    "S01: error",
    sdk={"whole": "`content` is an object", "stream": "`content` is ''"},
)
def content_object(body: Body, /) -> bool:
    """`content` is an object (Cloudflare)."""
    return _contents(body, lambda text: {"response": text})


@deviation({"whole": "S01: silent", "stream": ""}, sdk="unnoticed")
def content_missing(body: Body, /) -> bool:
    """No key `content` beside tool calls (Groq, Copilot)."""
    found = False
    for _, inner in body.messages():
        if inner.get("tool_calls") and not inner.get("content") and "content" in inner:
            del inner["content"]
            found = True
    return found


# -- tool calls ----------------------------------------------------------------------------


def _calls(body: Body, change: Callable[[_Document], Any]) -> bool:
    found = False
    for _, call, _first in body.calls():
        change(call)
        found = True
    return found


@deviation(
    "C01: warning",
    sdk={
        "whole": "`tool_calls.type` is None",
        "stream": "`tool_calls.parsed_arguments` is None, `tool_calls.type` is None",
    },
)
def tool_type_missing(body: Body, /) -> bool:
    """Calls have no `type` (Mistral)."""
    return _calls(body, lambda call: call.pop("type", None))


@deviation(
    {"stream": "C05: warning", "several": "C05: error"},
    sdk={"stream": "TypeError in `stream()`"},
)
def tool_index_missing(body: Body, /) -> bool:
    """Calls in deltas have no `index` (Mistral, Gemini, Ollama)."""
    return body.streamed and _calls(body, lambda call: call.pop("index", None))


def _reindex(body: Body, index: Callable[[int], int]) -> bool:
    """Gives calls other indexes; `index` gets the old one. Whether one differs."""
    found = False
    for _, call, _first in list(body.calls()):
        if body.streamed and type(old := call.get("index")) is int:
            call["index"] = index(old)
            found = found or call["index"] != old
    return found


@deviation({"several": "C05: error"}, sdk={"stream": "`tool_calls` is 1 item"})
def tool_index_shared(body: Body, /) -> bool:
    """Two parallel calls share one index (Mistral)."""
    return _reindex(body, lambda old: max(0, old - 1))


@deviation({"several": "C05: error"}, sdk={"stream": "`tool_calls` is 1 item"})
def tool_index_zero(body: Body, /) -> bool:
    """The index of every call is 0 (lmdeploy)."""
    return _reindex(body, lambda old: 0)


@deviation({"stream": "C05: error"}, sdk={"stream": "IndexError in `stream()`"})
def tool_index_from_one(body: Body, /) -> bool:
    """The indexes of calls begin with 1."""
    return _reindex(body, lambda old: old + 1)


def _first_calls(body: Body, change: Callable[[_Document], Any]) -> bool:
    found = False
    for _, call, first in body.calls():
        if first:
            change(call)
            found = True
    return found


@deviation(
    {**dict.fromkeys(("whole", "stream"), "C04: warning"), "several": "C04: error"},
    sdk="`tool_calls.id` is ''",
)
def tool_id_empty(body: Body, /) -> bool:
    """The `id` of calls is `""` (Gemini)."""
    return _first_calls(body, lambda call: call.update(id=""))


@deviation("C01: warning", sdk="`tool_calls.id` is None")
def tool_id_missing(body: Body, /) -> bool:
    """Calls have no `id` (vLLM)."""
    return _first_calls(body, lambda call: call.pop("id", None))


@deviation({"several": "C04: error"}, sdk="`tool_calls.id` is 'call_a1'")
def tool_id_shared(body: Body, /) -> bool:
    """Two calls have the same `id`."""
    first: dict[Any, Any] = {}
    found = False
    for (choice, _), call, is_first in body.calls():
        if is_first:
            found = found or choice in first
            call["id"] = first.setdefault(choice, call.get("id"))
    return found


@deviation({"stream": "C06: warning"}, sdk={"stream": "`tool_calls.id` is 'call_a1call_a1call_a1'"})
def tool_id_repeated(body: Body, /) -> bool:
    """The `id` of a call comes again in each of its fragments (nanobot)."""
    ids: dict[Any, Any] = {}
    found = False
    for which, call, is_first in body.calls():
        if is_first:
            ids[which] = call.get("id")
        else:
            call["id"], found = ids[which], True
    return found


def _arguments(body: Body, change: Callable[[str], Any]) -> bool:
    """Changes the arguments of each call; in a stream they come in one fragment."""
    found = False
    if body.join_calls():
        for _, call, _first in body.calls():
            if isinstance(text := call["function"].get("arguments"), str):
                call["function"]["arguments"], found = change(text), True
    return found


def _as_object(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@deviation(
    "C02: error",
    sdk={"whole": "`tool_calls.arguments` is an object", "stream": "TypeError in `stream()`"},
)
def arguments_object(body: Body, /) -> bool:
    """`arguments` is an object and no text (llama.cpp)."""
    return _arguments(body, _as_object)


@deviation(
    "C03: warning",
    sdk={"whole": "`tool_calls.arguments` is ''", "stream": "json.JSONDecodeError in `stream()`"},
)
def arguments_empty(body: Body, /) -> bool:
    """`arguments` is `""`."""
    return _arguments(body, lambda text: "")


@deviation(
    "C02: error",
    sdk={"whole": "`tool_calls.arguments` is None", "stream": "TypeError in `stream()`"},
)
def arguments_null(body: Body, /) -> bool:
    """`arguments` is null."""
    return _arguments(body, lambda text: None)


@deviation(
    "",
    sdk={
        "whole": "`finish_reason` is 'length', `tool_calls.arguments` is '{\"city\":' and 1 more",
        "stream": "json.JSONDecodeError in `stream()`",
    },
)
def arguments_truncated(body: Body, /) -> bool:
    """The arguments are cut by `finish_reason: length`, which is legal."""
    if not _arguments(body, lambda text: text[: len(text) // 2]):
        return False
    return _finish(body, lambda reason: "length")


@deviation(
    "S01: error",
    sdk={"whole": "`tool_calls` is an object", "stream": "KeyError in `stream()`"},
)
def tool_calls_object(body: Body, /) -> bool:
    """`tool_calls` is one call and no list (TGI)."""
    body.join_calls()
    found = False
    for _, inner in body.messages():
        if isinstance(calls := inner.get("tool_calls"), list) and calls:
            inner["tool_calls"], found = calls[0], True
    return found


def _without_calls(body: Body, value: Any) -> bool:
    found = False
    for _, inner in body.messages():
        if not inner.get("tool_calls"):
            inner["tool_calls"], found = copy.copy(value), True
    return found


@deviation("S01: silent", sdk="unnoticed")
def tool_calls_null(body: Body, /) -> bool:
    """`tool_calls: null` where there is none (Mistral, Snowflake)."""
    return _without_calls(body, None)


@deviation("", sdk={"whole": "`tool_calls` is empty", "stream": "unnoticed"})
def tool_calls_empty(body: Body, /) -> bool:
    """`tool_calls: []` where there is none (Together)."""
    return _without_calls(body, [])


# -- finish_reason -------------------------------------------------------------------------


def _finish(body: Body, change: Callable[[str], str | None]) -> bool:
    found = False
    for choice in body.choices():
        if isinstance(reason := choice.get("finish_reason"), str):
            choice["finish_reason"], found = change(reason), True
    return found


@deviation({"stream": "T06: warning"}, sdk={"stream": "unnoticed"})
def finish_reason_repeated(body: Body, /) -> bool:
    """A second chunk has the `finish_reason` again (OpenRouter)."""
    at = body.find(lambda choice: choice.get("finish_reason"))
    if at is None or (chunk := body.events[at].value) is None:
        return False
    again = copy.deepcopy(chunk)
    for choice in again["choices"]:
        choice["delta"] = {}
    if isinstance(again.get("usage"), dict):
        del again["usage"]
    body.insert(at + 1, again)
    return True


@deviation("S07: warning", sdk="`finish_reason` is 'eos_token'")
def finish_reason_unknown(body: Body, /, *, reason: str = "eos_token") -> bool:
    """`finish_reason` is `eos_token`, `eos`, `abort`, `network_error` ... (TGI, Together)."""
    return _finish(body, lambda _: reason)


@deviation(
    "S07: error", sdk={"whole": "`finish_reason` is ''", "stream": "`finish_reason` is None"}
)
def finish_reason_empty(body: Body, /) -> bool:
    """`finish_reason` is `""` (Ollama)."""
    return _finish(body, lambda _: "")


@deviation({"stream": "S01: silent"}, sdk={"stream": "unnoticed"})
def finish_reason_key_missing(body: Body, /) -> bool:
    """Chunks before the last have no key `finish_reason` (LocalAI, vLLM)."""
    found = False
    for choice in body.choices():
        if body.streamed and choice.get("finish_reason", "") is None:
            del choice["finish_reason"]
            found = True
    return found


@deviation({"whole": "S01: error", "stream": "T05: error"}, sdk="`finish_reason` is None")
def finish_reason_missing(body: Body, /) -> bool:
    """`finish_reason` stays null to the end."""
    return _finish(body, lambda _: None)


@deviation("", sdk="`finish_reason` is 'stop'")
def named_tool_stop(body: Body, /) -> bool:
    """A tool that `tool_choice` names is called with `finish_reason: stop`, which is legal."""
    return body.ask.choice == "named" and _finish(body, lambda _: "stop")


# -- roles, ids, dates, objects, indexes ---------------------------------------------------


@deviation({"stream": ""}, sdk={"stream": "`role` is 'assistantassistantassistantassistant'"})
def role_on_every_delta(body: Body, /) -> bool:
    """Every delta has the role (OpenRouter, Ollama)."""
    return body.streamed and _each(body.messages(), lambda pair: pair[1].update(role="assistant"))


@deviation({"stream": "T04: warning"}, sdk={"stream": "`role` is None"})
def role_missing(body: Body, /) -> bool:
    """The first delta has no role (llama.cpp)."""
    return body.streamed and _each(
        (inner for _, inner in body.messages() if "role" in inner), lambda inner: inner.pop("role")
    )


@deviation({"stream": "T04: warning"}, sdk={"stream": "unnoticed"})
def role_empty(body: Body, /) -> bool:
    """Deltas behind the first have `role: ""` (MiniMax)."""
    return body.streamed and _each(
        (inner for _, inner in body.messages() if "role" not in inner),
        lambda inner: inner.update(role=""),
    )


def _frames(body: Body, key: str, kind: type, change: Callable[[Any, int], Any]) -> bool:
    """Changes a member of that type in each frame; whether one is another than before."""
    found = False
    for number, document in enumerate(body.documents):
        if type(old := document.get(key)) is kind:
            document[key] = change(old, number)
            found = found or document[key] is not old
    return found


@deviation({"stream": "T02: warning"}, sdk={"stream": "unnoticed"})
def created_varies(body: Body, /) -> bool:
    """`created` is another on each chunk (x.ai, Ollama, Groq)."""
    return body.streamed and _frames(body, "created", int, lambda old, at: old + at if at else old)


@deviation("S01: error", sdk="`created` is 1790000000.25")
def created_float(body: Body, /) -> bool:
    """`created` is a float (litellm)."""
    return _frames(body, "created", int, lambda old, at: old + 0.25)


@deviation("S01: error", sdk="`created` is '2026-09-21T14:13:20+00:00'")
def created_text(body: Body, /) -> bool:
    """`created` is a date as text."""
    return _frames(
        body, "created", int, lambda old, at: datetime.fromtimestamp(old % 10**10, UTC).isoformat()
    )


@deviation("S04: warning", sdk="`created` is 1790000000000")
def created_milliseconds(body: Body, /) -> bool:
    """`created` counts milliseconds (web-llm)."""
    return _frames(body, "created", int, lambda old, at: old * 1000)


@deviation({"stream": "T01: warning"}, sdk={"stream": "unnoticed"})
def id_varies(body: Body, /) -> bool:
    """Each chunk has an id of its own (llama.cpp, Perplexity)."""
    return body.streamed and _frames(body, "id", str, lambda old, at: f"{old}-{at}" if at else old)


@deviation("S02: error", sdk="`id` is None")
def id_missing(body: Body, /) -> bool:
    """No `id` (Gemini)."""
    return _each(
        (document for document in body.documents if "id" in document),
        lambda document: document.pop("id"),
    )


@deviation("S02: error", sdk="`id` is ''")
def id_empty(body: Body, /) -> bool:
    """`id` is `""` (Mistral)."""
    return _frames(body, "id", str, lambda old, at: "")


@deviation(
    "S03: warning",
    sdk={"whole": "`object` is 'text_completion'", "stream": "AssertionError in `stream()`"},
)
def object_text_completion(body: Body, /) -> bool:
    """`object` is `text_completion` (TGI)."""
    return _frames(body, "object", str, lambda old, at: "text_completion")


@deviation({"stream": "S03: warning"}, sdk={"stream": "`finish_reason` is None"})
def object_done(body: Body, /) -> bool:
    """`object` of the last chunk is `chat.completion.done` (Perplexity)."""
    return _each(body.chunks[-1:], lambda chunk: chunk.update(object="chat.completion.done"))


@deviation(
    "S03: warning",
    sdk={"whole": "`object` is None", "stream": "AssertionError in `stream()`"},
)
def object_missing(body: Body, /) -> bool:
    """No `object` (AI21, Copilot)."""
    return _each(
        (document for document in body.documents if "object" in document),
        lambda document: document.pop("object"),
    )


@deviation({"stream": "T12: error"}, sdk={"stream": "`choices` is 4 items"})
def choice_index_counts_tokens(body: Body, /) -> bool:
    """The index of the only choice counts the chunks (Foundry Local)."""
    if not body.streamed or body.ask.n > 1:
        return False
    choices = body.choices()
    for number, choice in enumerate(choices):
        choice["index"] = number
    return len(choices) > 1


@deviation(
    {"whole": "S06: error", "stream": "T12: error"},
    sdk={"whole": "`index` is 1", "stream": "IndexError in `stream()`"},
)
def choice_index_from_one(body: Body, /) -> bool:
    """The indexes of choices begin with 1 (litellm)."""
    return _each(
        (choice for choice in body.choices() if type(choice.get("index")) is int),
        lambda choice: choice.update(index=choice["index"] + 1),
    )


@deviation("S14: note", sdk="`service_tier` is 'on_demand'")
def service_tier_unknown(body: Body, /, *, tier: str = "on_demand") -> bool:
    """`service_tier` is free text (Groq)."""
    return _each(body.documents, lambda document: document.update(service_tier=tier))


# -- fields of others ----------------------------------------------------------------------


def _reasoning(body: Body, name: str) -> bool:
    """Puts a thought before the content: in the message, or in a chunk of its own."""
    text = "The user says hello."
    if body.document is not None:
        return _each(body.messages(), lambda pair: pair[1].update({name: text}))
    at = body.find(lambda choice: (choice.get("delta") or {}).get("content"))
    if at is None:
        return False
    choice = {"index": 0, "delta": {name: text}, "finish_reason": None}
    first = next(c for c in body.chunks[0]["choices"] or [{}])
    if "logprobs" in first:
        choice["logprobs"] = None
    if at == next(n for n, event in enumerate(body.events) if event.value is not None):
        choice["delta"] = {"role": "assistant", "content": "", name: text}
    body.insert(at, {**body.frame(), "choices": [choice]})
    return True


@deviation("S10: note", sdk="`reasoning_content` is 'The user says hello.'")
def reasoning_content(body: Body, /) -> bool:
    """The model's thoughts come in `reasoning_content` (DeepSeek, vLLM)."""
    return _reasoning(body, "reasoning_content")


@deviation("S10: note", sdk="`reasoning` is 'The user says hello.'")
def reasoning(body: Body, /) -> bool:
    """The model's thoughts come in `reasoning` (OpenRouter, Groq)."""
    return _reasoning(body, "reasoning")


@deviation("S10: note", sdk="`x_groq` is an object")
def x_groq(body: Body, /) -> bool:
    """A member `x_groq` beside `choices` (Groq)."""
    value = {"id": "req_01jbd6g2qdfw2adyrt2az8hz4w"}
    return _each(body.documents[:1], lambda document: document.update(x_groq=value))


@deviation("S10: note", sdk="`citations` is 1 item")
def citations(body: Body, /) -> bool:
    """A member `citations` beside `choices` (Perplexity)."""
    return _each(
        body.documents, lambda document: document.update(citations=["https://example.org/"])
    )


@deviation({"stream": ""}, sdk={"stream": "`annotations` is 1 item"})
def delta_annotations(body: Body, /) -> bool:
    """A delta has `annotations` (OpenRouter)."""
    note = {
        "type": "url_citation",
        "url_citation": {
            "start_index": 0,
            "end_index": 1,
            "title": "Example",
            "url": "https://example.org/",
        },
    }
    return body.streamed and _each(
        list(body.messages())[:1], lambda pair: pair[1].update(annotations=[note])
    )


@deviation("S10: note", sdk="`content_filter_results` is an object")
def content_filter_results(body: Body, /) -> bool:
    """Choices have `content_filter_results` (Azure)."""
    return _each(body.choices(), lambda choice: choice.update(content_filter_results=_SAFE))


# -- framing and headers -------------------------------------------------------------------


@deviation({"stream": "T08: warning"}, sdk={"stream": "unnoticed"})
def done_missing(body: Body, /) -> bool:
    """No `data: [DONE]` at the end (Perplexity, TGI)."""
    kept = [event for event in body.events if not event.done]
    kept, body.events = body.events, kept
    return len(kept) > len(body.events)


def _reframe(body: Body, change: Callable[[bytes], bytes]) -> bool:
    found = False
    for event in body.events:
        old, event.raw = event.raw, change(event.raw)
        found = found or event.raw != old
    return found


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def sse_comments(body: Body, /) -> bool:
    """Comments between the events, which is legal (OpenRouter)."""
    return _reframe(body, lambda raw: b": OPENROUTER PROCESSING\n\n" + raw)


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def sse_crlf(body: Body, /) -> bool:
    """Lines end with CR LF, which is legal (Perplexity, AI21)."""
    return _reframe(body, lambda raw: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def sse_no_space(body: Body, /) -> bool:
    """No space after `data:`, which is legal (TGI)."""
    return _reframe(
        body,
        lambda raw: b"".join(
            b"data:" + line[6:] if line.startswith(b"data: ") else line
            for line in raw.splitlines(keepends=True)
        ),
    )


def _content_type(body: Body, value: str | None) -> None:
    body.headers = [(n, v) for n, v in body.headers if n.lower() != "content-type"]
    if value is not None:
        body.headers.append(("content-type", value))


@deviation({"stream": "E02: error"}, sdk={"stream": "unnoticed"})
def stream_as_json(body: Body, /) -> bool:
    """A stream comes under the content type of JSON."""
    _content_type(body, "application/json")
    return body.streamed


@deviation({"whole": "E02: error"}, sdk={"whole": "unnoticed"})
def json_as_stream(body: Body, /) -> bool:
    """An answer in one piece comes under the content type of a stream (9router)."""
    _content_type(body, "text/event-stream")
    return not body.streamed


@deviation("", sdk="unnoticed")
def content_type_missing(body: Body, /) -> bool:
    """No content type."""
    _content_type(body, None)
    return True


# -- bodies of errors ----------------------------------------------------------------------

_SAID = "The model is busy"
_NUMBERED = {"message": _SAID, "type": "server_error", "param": None, "code": 500}


def _busy(request: Request, body: Any, content_type: str = "application/json") -> Interaction:
    return responding(request, 500, body, content_type, x_request_id="req_b05f")


@status(
    kind="deviation", retried=True, finds="X02: warning", sdk="InternalServerError after 3 tries"
)
def error_code_integer(request: Request, /) -> Interaction:
    """500, and `code` in its body is a number (OpenRouter)."""
    return _busy(request, {"error": _NUMBERED})


@status(
    kind="deviation", retried=True, finds="X01: warning", sdk="InternalServerError after 3 tries"
)
def error_flat(request: Request, /) -> Interaction:
    """500, and its body has no `error` around it (Mistral, SGLang)."""
    return _busy(request, {"object": "error", **_NUMBERED})


@status(
    kind="deviation",
    retried=True,
    finds="X01: warning",
    sdk=WORDLESS,
)
def error_detail(request: Request, /) -> Interaction:
    """500, and its body is `{"detail": text}` (Mistral, Ray)."""
    return _busy(request, {"detail": _SAID})


@status(
    kind="deviation",
    retried=True,
    finds="X01: warning",
    sdk=WORDLESS,
)
def error_text(request: Request, /) -> Interaction:
    """500, and its body is `{"error": text}` (TGI, Venice)."""
    return _busy(request, {"error": _SAID})


@status(
    kind="deviation",
    retried=True,
    finds="X01: warning",
    sdk=WORDLESS,
)
def error_array(request: Request, /) -> Interaction:
    """500, and its body is a list (Gemini)."""
    return _busy(request, [{"error": {"code": 500, "message": _SAID, "status": "INTERNAL"}}])


@status(
    kind="deviation",
    retried=True,
    finds="X04: warning",
    sdk=WORDLESS,
)
def error_plain_text(request: Request, /) -> Interaction:
    """500, and its body is plain text (Hugging Face)."""
    return _busy(request, _SAID, "text/plain")
