"""What servers send that is not as documented, or legal but unusual: each by its name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSON, JSONObject
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


def _each(items: Iterable[JSONObject], change: Callable[[JSONObject], object]) -> bool:
    """Apply a change to each item; return whether there was something to change.

    Args:
        change: returns ``False`` if there is nothing to change in an item.
    """
    return sum(change(item) is not False for item in items) > 0


# -- chunks of content filters -------------------------------------------------------------

_SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}


def _filter_chunk(**more: JSON) -> JSONObject:
    return {"id": "", "object": "", "created": 0, "model": "", "choices": [], **more}


def _head_chunk(body: Body, chunk: JSONObject) -> bool:
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
    """An extra first chunk has `prompt_filter_results`, empty `choices` and empty `id` (Azure)."""
    return _head_chunk(body, _filter_chunk())


@deviation(
    {"stream": "T09 S03: warning"},
    sdk={"stream": "IndexError at `choices[0].delta.content`; AssertionError in `stream()`"},
)
def copilot_head_chunk(body: Body, /) -> bool:
    """Like `azure_head_chunk`, and no chunk has `object` (GitHub Copilot)."""
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
    """A chunk before the last has content-filter results and a choice without `delta` (Azure)."""
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
    """`finish_reason` is `content_filter`, and there is no `message` (Azure)."""
    if body.streamed:
        return False

    def change(choice: JSONObject) -> None:
        choice.pop("message", None)
        choice["finish_reason"] = "content_filter"

    return _each(body.choices(), change)


# -- usage ---------------------------------------------------------------------------------


def _counts(usage: JSONObject) -> tuple[int, int] | None:
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt, completion) if type(prompt) is int and type(completion) is int else None


def _details(usage: JSONObject, name: str, member: str, value: int | None) -> None:
    usage[name] = {**(usage.get(name) or {}), member: value}


@deviation(
    "U02: warning",
    sdk={
        "whole": "`total_tokens` is 91, `reasoning_tokens` is 73",
        "stream": "`total_tokens` is 76, `reasoning_tokens` is 66",
    },
)
def usage_reasoning_beside(body: Body, /) -> bool:
    """The total counts reasoning tokens in addition to the completion tokens (x.ai)."""

    def change(usage: JSONObject) -> bool:
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

    def change(usage: JSONObject) -> bool:
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

    def change(usage: JSONObject) -> bool:
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
    """The detail objects of `usage` are null."""
    return _each(
        body.usages(),
        lambda usage: usage.update(prompt_tokens_details=None, completion_tokens_details=None),
    )


@deviation(
    "U06: silent",
    sdk="`reasoning_tokens` is None, `cached_tokens` is None",
)
def usage_null_members(body: Body, /) -> bool:
    """Counts in the detail objects of `usage` are null."""

    def change(usage: JSONObject) -> None:
        _details(usage, "prompt_tokens_details", "cached_tokens", None)
        _details(usage, "completion_tokens_details", "reasoning_tokens", None)

    return _each(body.usages(), change)


@deviation({"whole": "U05: warning", "stream": "T13: error"}, sdk="`usage` is None")
def usage_missing(body: Body, /) -> bool:
    """There is no `usage`, not even in a stream that requested it (Cloudflare, Ollama)."""
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
    """A stream has an unrequested usage chunk (Mistral, OpenRouter)."""
    if not body.chunks or body.usages() or body.ask.include_usage:
        return False
    count = len(body.chunks)
    usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
    body.insert(body.end, {**body.frame(), "usage": usage})
    return True


@deviation({"stream": "T13: silent"}, sdk={"stream": "unnoticed"})
def usage_on_choice(body: Body, /) -> bool:
    """`usage` is on the last chunk with a choice, not on one of its own (Mistral, DeepSeek)."""
    usages = body.usages()
    chunks = [chunk for chunk in body.chunks if chunk["choices"]]
    if not usages or not chunks:
        return False
    for chunk in body.chunks:
        chunk.pop("usage", None)
    body.events = [event for event in body.events if event.value is None or event.value["choices"]]
    chunks[-1]["usage"] = usages[-1]
    return True


def _on_choices(body: Body, count: Callable[[JSONObject, int], JSONObject]) -> bool:
    """Add a usage to each chunk with choices, if the stream has a usage chunk.

    Args:
        count: gets the real usage and the number of the chunk, and returns the one to add.
    """
    usages = body.usages()
    chunks = [chunk for chunk in body.chunks if chunk["choices"]]
    if not usages or not chunks:
        return False
    for number, chunk in enumerate(chunks):
        chunk["usage"] = count(usages[-1], number)
    return True


@deviation({"stream": "T15: warning"}, sdk={"stream": "unnoticed"})
def usage_cumulative(body: Body, /) -> bool:
    """`usage` is on every chunk and counts up (Groq, Perplexity)."""

    def count(usage: JSONObject, number: int) -> JSONObject:
        prompt = usage.get("prompt_tokens", 0)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": number,
            "total_tokens": prompt + number,
        }

    return _on_choices(body, count)


@deviation({"stream": "T15: warning"}, sdk={"stream": "unnoticed"})
def usage_zeros(body: Body, /) -> bool:
    """`usage` is on every chunk, all zeros before the last."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return _on_choices(body, lambda usage, number: dict(zeros))


@deviation({"stream": "T15: warning"}, sdk={"stream": "unnoticed"})
def usage_nulls(body: Body, /) -> bool:
    """`usage` is on every chunk, all counts null before the last (LocalAI)."""
    nulls = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    return _on_choices(body, lambda usage, number: dict(nulls))


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def usage_null(body: Body, /) -> bool:
    """Every chunk has `usage: null`, although usage was not requested (LocalAI)."""
    if body.usages() or body.ask.include_usage:
        return False
    return _each(body.chunks, lambda chunk: chunk.update(usage=None))


# -- content -------------------------------------------------------------------------------


def _contents(body: Body, change: Callable[[str], JSON]) -> bool:
    """Change each content that is not empty."""
    messages = [m for m in body.messages() if isinstance(m.get("content"), str) and m["content"]]
    return _each(messages, lambda message: message.update(content=change(message["content"])))


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
    """A message with tool calls has no key `content` (Groq, Copilot)."""
    messages = [m for m in body.messages() if m.get("tool_calls") and not m.get("content", "-")]
    return _each(messages, lambda message: message.pop("content"))


# -- tool calls ----------------------------------------------------------------------------


def _calls(body: Body, change: Callable[[JSONObject], object]) -> bool:
    return _each((call.value for call in body.calls()), change)


def _first_calls(body: Body, change: Callable[[JSONObject], object]) -> bool:
    return _each((call.value for call in body.calls() if call.is_first), change)


@deviation(
    "C01: warning",
    sdk={
        "whole": "`tool_calls.type` is None",
        "stream": "`tool_calls.parsed_arguments` is None, `tool_calls.type` is None",
    },
)
def tool_type_missing(body: Body, /) -> bool:
    """Tool calls have no `type` (Mistral)."""
    return _calls(body, lambda call: call.pop("type", None))


@deviation(
    {"stream": "C05: warning", "several": "C05: error"},
    sdk={"stream": "TypeError in `stream()`"},
)
def tool_index_missing(body: Body, /) -> bool:
    """Tool calls in deltas have no `index` (Mistral, Gemini, Ollama)."""
    return body.streamed and _calls(body, lambda call: call.pop("index", None))


def _reindex(body: Body, index: Callable[[int], int]) -> bool:
    """Give calls other indexes; `index` gets the old one. Return whether one differs."""
    differs = False
    for call in list(body.calls()):
        if body.streamed and type(old := call.value.get("index")) is int:
            call.value["index"] = index(old)
            differs = differs or call.value["index"] != old
    return differs


@deviation({"several": "C05: error"}, sdk={"stream": "`tool_calls` is 1 item"})
def tool_index_shared(body: Body, /) -> bool:
    """Two parallel tool calls share one index (Mistral)."""
    return _reindex(body, lambda old: max(0, old - 1))


@deviation({"several": "C05: error"}, sdk={"stream": "`tool_calls` is 1 item"})
def tool_index_zero(body: Body, /) -> bool:
    """The index of every tool call is 0 (lmdeploy)."""
    return _reindex(body, lambda old: 0)


@deviation({"stream": "C05: error"}, sdk={"stream": "IndexError in `stream()`"})
def tool_index_from_one(body: Body, /) -> bool:
    """The indexes of tool calls start at 1."""
    return _reindex(body, lambda old: old + 1)


@deviation(
    {**dict.fromkeys(("whole", "stream"), "C04: warning"), "several": "C04: error"},
    sdk="`tool_calls.id` is ''",
)
def tool_id_empty(body: Body, /) -> bool:
    """The `id` of tool calls is `""` (Gemini)."""
    return _first_calls(body, lambda call: call.update(id=""))


@deviation("C01: warning", sdk="`tool_calls.id` is None")
def tool_id_missing(body: Body, /) -> bool:
    """Tool calls have no `id` (vLLM)."""
    return _first_calls(body, lambda call: call.pop("id", None))


@deviation({"several": "C04: error"}, sdk="`tool_calls.id` is 'call_a1'")
def tool_id_shared(body: Body, /) -> bool:
    """Two tool calls have the same `id`."""
    ids: dict[str, JSON] = {}
    is_shared = False
    for call in body.calls():
        if call.is_first:
            is_shared = is_shared or call.choice in ids
            call.value["id"] = ids.setdefault(call.choice, call.value.get("id"))
    return is_shared


@deviation({"stream": "C06: warning"}, sdk={"stream": "`tool_calls.id` is 'call_a1call_a1call_a1'"})
def tool_id_repeated(body: Body, /) -> bool:
    """The `id` of a tool call is repeated in each of its fragments (nanobot)."""
    ids: dict[tuple[str, str], JSON] = {}
    is_repeated = False
    for call in body.calls():
        if call.is_first:
            ids[call.choice, call.key] = call.value.get("id")
        else:
            call.value["id"], is_repeated = ids[call.choice, call.key], True
    return is_repeated


def _arguments(body: Body, change: Callable[[str], JSON]) -> bool:
    """Change the arguments of each call; in a stream, join them in one fragment first."""
    body.join_calls()
    functions = [call.value["function"] for call in body.calls()]
    return _each(
        (function for function in functions if isinstance(function.get("arguments"), str)),
        lambda function: function.update(arguments=change(function["arguments"])),
    )


def _as_object(text: str) -> JSONObject:
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
    """`arguments` is an object instead of a string (llama.cpp)."""
    return _arguments(body, _as_object)


@deviation(
    "C03: warning",
    sdk={"whole": "`tool_calls.arguments` is ''", "stream": "json.JSONDecodeError in `stream()`"},
)
def arguments_empty(body: Body, /) -> bool:
    """`arguments` is `""` (for a strict tool: C10, an error)."""
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
    """The arguments are cut off with `finish_reason: length`, which is legal."""
    if not _arguments(body, lambda text: text[: len(text) // 2]):
        return False
    return _finish(body, "length")


@deviation(
    "S01: error",
    sdk={"whole": "`tool_calls` is an object", "stream": "KeyError in `stream()`"},
)
def tool_calls_object(body: Body, /) -> bool:
    """`tool_calls` is a single call instead of a list (TGI)."""
    body.join_calls()
    messages = [m for m in body.messages() if isinstance(m.get("tool_calls"), list)]
    return _each(
        (message for message in messages if message["tool_calls"]),
        lambda message: message.update(tool_calls=message["tool_calls"][0]),
    )


def _without_calls(body: Body, value: JSON) -> bool:
    messages = [message for message in body.messages() if not message.get("tool_calls")]
    return _each(messages, lambda message: message.update(tool_calls=copy.copy(value)))


@deviation("S01: silent", sdk="unnoticed")
def tool_calls_null(body: Body, /) -> bool:
    """`tool_calls` is null if there are none (Mistral, Snowflake)."""
    return _without_calls(body, None)


@deviation("", sdk={"whole": "`tool_calls` is empty", "stream": "unnoticed"})
def tool_calls_empty(body: Body, /) -> bool:
    """`tool_calls` is `[]` if there are none (Together)."""
    return _without_calls(body, [])


# -- finish_reason -------------------------------------------------------------------------


def _finish(body: Body, reason: str | None) -> bool:
    """Replace each `finish_reason`."""
    choices = [c for c in body.choices() if isinstance(c.get("finish_reason"), str)]
    return _each(choices, lambda choice: choice.update(finish_reason=reason))


@deviation({"stream": "T06: warning"}, sdk={"stream": "unnoticed"})
def finish_reason_repeated(body: Body, /) -> bool:
    """A second chunk repeats the `finish_reason` (OpenRouter)."""
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
    """`finish_reason` is not a documented value: `eos_token`, `abort` ... (TGI, Together)."""
    return _finish(body, reason)


@deviation(
    "S07: error", sdk={"whole": "`finish_reason` is ''", "stream": "`finish_reason` is None"}
)
def finish_reason_empty(body: Body, /) -> bool:
    """`finish_reason` is `""` (Ollama)."""
    return _finish(body, "")


@deviation({"stream": "S01: silent"}, sdk={"stream": "unnoticed"})
def finish_reason_key_missing(body: Body, /) -> bool:
    """Chunks before the last have no key `finish_reason` (LocalAI, vLLM)."""
    choices = [choice for choice in body.choices() if choice.get("finish_reason", "") is None]
    return body.streamed and _each(choices, lambda choice: choice.pop("finish_reason"))


@deviation({"whole": "S01: error", "stream": "T05: error"}, sdk="`finish_reason` is None")
def finish_reason_missing(body: Body, /) -> bool:
    """`finish_reason` is null to the end."""
    return _finish(body, None)


@deviation("", sdk="`finish_reason` is 'stop'")
def named_tool_stop(body: Body, /) -> bool:
    """A call of the tool named by `tool_choice` has `finish_reason: stop`, which is legal."""
    return body.ask.choice == "named" and _finish(body, "stop")


# -- roles, ids, dates, objects, indexes ---------------------------------------------------


@deviation({"stream": ""}, sdk={"stream": "`role` is 'assistantassistantassistantassistant'"})
def role_on_every_delta(body: Body, /) -> bool:
    """Every delta has a role (OpenRouter, Ollama)."""
    return body.streamed and _each(
        body.messages(), lambda message: message.update(role="assistant")
    )


@deviation({"stream": "T04: warning"}, sdk={"stream": "`role` is None"})
def role_missing(body: Body, /) -> bool:
    """The first delta has no role (llama.cpp)."""
    return body.streamed and _each(
        (message for message in body.messages() if "role" in message),
        lambda message: message.pop("role"),
    )


@deviation({"stream": "T04: warning"}, sdk={"stream": "unnoticed"})
def role_empty(body: Body, /) -> bool:
    """Deltas after the first have `role: ""` (MiniMax)."""
    return body.streamed and _each(
        (message for message in body.messages() if "role" not in message),
        lambda message: message.update(role=""),
    )


def _frames(body: Body, key: str, kind: type, change: Callable[[JSON, int], JSON]) -> bool:
    """Change a member of this type in each document; return whether one differs.

    Args:
        change: gets the old value and the number of the document, and returns the new value.
    """
    differs = False
    for number, document in enumerate(body.documents):
        if type(old := document.get(key)) is kind:
            document[key] = change(old, number)
            differs = differs or document[key] is not old
    return differs


@deviation({"stream": "T02: warning"}, sdk={"stream": "unnoticed"})
def created_varies(body: Body, /) -> bool:
    """`created` differs from chunk to chunk (x.ai, Ollama, Groq)."""
    return body.streamed and _frames(body, "created", int, lambda old, at: old + at if at else old)


@deviation("S01: error", sdk="`created` is 1790000000.25")
def created_float(body: Body, /) -> bool:
    """`created` is a float (litellm)."""
    return _frames(body, "created", int, lambda old, at: old + 0.25)


@deviation("S01: error", sdk="`created` is '2026-09-21T14:13:20+00:00'")
def created_text(body: Body, /) -> bool:
    """`created` is a date in a string."""
    return _frames(
        body, "created", int, lambda old, at: datetime.fromtimestamp(old % 10**10, UTC).isoformat()
    )


@deviation("S04: warning", sdk="`created` is 1790000000000")
def created_milliseconds(body: Body, /) -> bool:
    """`created` is in milliseconds (web-llm)."""
    return _frames(body, "created", int, lambda old, at: old * 1000)


@deviation({"stream": "T01: warning"}, sdk={"stream": "unnoticed"})
def id_varies(body: Body, /) -> bool:
    """`id` differs from chunk to chunk (llama.cpp, Perplexity)."""
    return body.streamed and _frames(body, "id", str, lambda old, at: f"{old}-{at}" if at else old)


@deviation("S02: error", sdk="`id` is None")
def id_missing(body: Body, /) -> bool:
    """There is no `id` (Gemini)."""
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
    """There is no `object` (AI21, Copilot)."""
    return _each(
        (document for document in body.documents if "object" in document),
        lambda document: document.pop("object"),
    )


@deviation({"stream": "T12: error"}, sdk={"stream": "`choices` is 4 items"})
def choice_index_counts_tokens(body: Body, /) -> bool:
    """The index of the only choice counts up from chunk to chunk (Foundry Local)."""
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
    """The indexes of choices start at 1 (litellm)."""
    return _each(
        (choice for choice in body.choices() if type(choice.get("index")) is int),
        lambda choice: choice.update(index=choice["index"] + 1),
    )


@deviation("S14: note", sdk="`service_tier` is 'on_demand'")
def service_tier_unknown(body: Body, /, *, tier: str = "on_demand") -> bool:
    """`service_tier` is not a documented value (Groq)."""
    return _each(body.documents, lambda document: document.update(service_tier=tier))


# -- undocumented fields -------------------------------------------------------------------


def _reasoning(body: Body, name: str) -> bool:
    """Add reasoning before the content: to the message, or in a chunk of its own."""
    text = "The user says hello."
    if body.document is not None:
        return _each(body.messages(), lambda message: message.update({name: text}))
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
    """The model's reasoning is in `reasoning_content` (DeepSeek, vLLM)."""
    return _reasoning(body, "reasoning_content")


@deviation("S10: note", sdk="`reasoning` is 'The user says hello.'")
def reasoning(body: Body, /) -> bool:
    """The model's reasoning is in `reasoning` (OpenRouter, Groq)."""
    return _reasoning(body, "reasoning")


@deviation("S10: note", sdk="`x_groq` is an object")
def x_groq(body: Body, /) -> bool:
    """There is an extra field `x_groq` next to `choices` (Groq)."""
    value = {"id": "req_01jbd6g2qdfw2adyrt2az8hz4w"}
    return _each(body.documents[:1], lambda document: document.update(x_groq=value))


@deviation("S10: note", sdk="`citations` is 1 item")
def citations(body: Body, /) -> bool:
    """There is an extra field `citations` next to `choices` (Perplexity)."""
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
            "end_index": 0,
            "title": "Example",
            "url": "https://example.org/",
        },
    }
    return body.streamed and _each(
        body.messages()[:1], lambda message: message.update(annotations=[note])
    )


@deviation("S10: note", sdk="`content_filter_results` is an object")
def content_filter_results(body: Body, /) -> bool:
    """Choices have `content_filter_results` (Azure)."""
    return _each(body.choices(), lambda choice: choice.update(content_filter_results=_SAFE))


# -- framing and headers -------------------------------------------------------------------


@deviation({"stream": "T08: warning"}, sdk={"stream": "unnoticed"})
def done_missing(body: Body, /) -> bool:
    """There is no `data: [DONE]` at the end (Perplexity, TGI)."""
    count = len(body.events)
    body.events = [event for event in body.events if not event.done]
    return len(body.events) < count


def _reframe(body: Body, change: Callable[[bytes], bytes]) -> bool:
    differs = False
    for event in body.events:
        old, event.raw = event.raw, change(event.raw)
        differs = differs or event.raw != old
    return differs


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def sse_comments(body: Body, /) -> bool:
    """There are comments between the events, which is legal (OpenRouter)."""
    return _reframe(body, lambda raw: b": OPENROUTER PROCESSING\n\n" + raw)


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def sse_crlf(body: Body, /) -> bool:
    """Lines end with CR LF, which is legal (Perplexity, AI21)."""
    return _reframe(body, lambda raw: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@deviation({"stream": ""}, sdk={"stream": "unnoticed"})
def sse_no_space(body: Body, /) -> bool:
    """No space follows `data:`, which is legal (TGI)."""
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
    """A stream has the content type of JSON."""
    _content_type(body, "application/json")
    return body.streamed


@deviation({"whole": "E02: error"}, sdk={"whole": "unnoticed"})
def json_as_stream(body: Body, /) -> bool:
    """A response in one piece has the content type of a stream (9router)."""
    _content_type(body, "text/event-stream")
    return not body.streamed


@deviation("", sdk="unnoticed")
def content_type_missing(body: Body, /) -> bool:
    """There is no content type."""
    _content_type(body, None)
    return True


# -- bodies of errors ----------------------------------------------------------------------

_MESSAGE = "The model is busy"
_NUMBERED = {"message": _MESSAGE, "type": "server_error", "param": None, "code": 500}


def _busy(request: Request, body: JSON, content_type: str = "application/json") -> Interaction:
    return responding(request, 500, body, content_type, x_request_id="req_b05f")


@status(
    kind="deviation", retried=True, finds="X02: warning", sdk="InternalServerError after 3 tries"
)
def error_code_integer(request: Request, /) -> Interaction:
    """500 with a numeric `code` in its body (OpenRouter)."""
    return _busy(request, {"error": _NUMBERED})


@status(
    kind="deviation", retried=True, finds="X01: warning", sdk="InternalServerError after 3 tries"
)
def error_flat(request: Request, /) -> Interaction:
    """500 with the error at the top level of its body, without `error` (Mistral, SGLang)."""
    return _busy(request, {"object": "error", **_NUMBERED})


@status(
    kind="deviation",
    retried=True,
    finds="X01: warning",
    sdk=WORDLESS,
)
def error_detail(request: Request, /) -> Interaction:
    """500 with the body `{"detail": text}` (Mistral, Ray)."""
    return _busy(request, {"detail": _MESSAGE})


@status(
    kind="deviation",
    retried=True,
    finds="X01: warning",
    sdk=WORDLESS,
)
def error_text(request: Request, /) -> Interaction:
    """500 with the body `{"error": text}` (TGI, Venice)."""
    return _busy(request, {"error": _MESSAGE})


@status(
    kind="deviation",
    retried=True,
    finds="X01: warning",
    sdk=WORDLESS,
)
def error_array(request: Request, /) -> Interaction:
    """500 with a list as its body (Gemini)."""
    return _busy(request, [{"error": {"code": 500, "message": _MESSAGE, "status": "INTERNAL"}}])


@status(
    kind="deviation",
    retried=True,
    finds="X04: warning",
    sdk=WORDLESS,
)
def error_plain_text(request: Request, /) -> Interaction:
    """500 with plain text as its body (Hugging Face)."""
    return _busy(request, _MESSAGE, "text/plain")
