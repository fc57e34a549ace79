"""The files of ``schemas/``: their dialect, the documents they take, and the openai SDK's types."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sdk_types
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from pytest_chatapi.figures.price import Prices
from pytest_chatapi.figures.report import report_of

FOLDER = Path(__file__).resolve().parent.parent / "schemas"
SCHEMAS: dict[str, dict[str, Any]] = {
    path.stem: loaded
    for path in sorted(FOLDER.glob("*.json"))
    if "$schema" in (loaded := json.loads(path.read_text(encoding="utf-8")))
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)

ANNOTATIONS = set("title description deprecated default format $schema $id $defs".split())
SHAPE = set("type enum const required properties additionalProperties items $ref anyOf".split())
VALUES = set(
    "propertyNames minimum maximum minLength maxLength pattern minItems maxItems "
    "maxProperties".split()
)
OURS = set("x-since x-until x-enum-since x-before x-rule x-observed".split())
FAILING = (SHAPE | VALUES | {"null"}) - {"properties", "items", "$ref", "additionalProperties"}


def nodes(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, ``x-before`` included, with a pointer for messages."""
    yield path, schema
    for keyword in ("properties", "$defs", "x-before"):
        for key, sub in schema.get(keyword, {}).items():
            yield from nodes(sub, f"{path}/{keyword}/{key}")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(keyword), dict):
            yield from nodes(schema[keyword], f"{path}/{keyword}")
    for index, sub in enumerate(schema.get("anyOf", ())):
        yield from nodes(sub, f"{path}/anyOf/{index}")


NODES = [(name, path, node) for name, root in SCHEMAS.items() for path, node in nodes(root, name)]


def resolve(name: str, node: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    while "$ref" in node:
        file, _, pointer = node["$ref"].partition("#")
        name = file.removesuffix(".json") or name
        node = SCHEMAS[name]
        for step in pointer.split("/")[1:]:
            node = node[step]
    return name, node


# --- the dialect -----------------------------------------------------------------------


def test_all_schemas_are_there() -> None:
    assert set(SCHEMAS) == set(
        "chunk completion_deleted completion_list conformance error figures logprobs message_list "
        "model model_deleted model_list moderation request response usage".split()
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_valid_and_named(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{name}.json"
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_only_keywords_of_the_dialect(name: str) -> None:
    allowed = ANNOTATIONS | SHAPE | OURS | (VALUES if name in ("request", "figures") else set())
    used = {(p, k) for n, p, node in NODES if n == name for k in node}
    assert {(path, key) for path, key in used if key not in allowed} == set()


@pytest.mark.parametrize("name", SCHEMAS)
def test_members_of_the_dialect_make_sense(name: str) -> None:
    for path, node in [(p, node) for n, p, node in NODES if n == name]:
        dates = [node[k] for k in ("x-since", "x-until") if k in node]
        dates += node.get("x-enum-since", {}).values()
        dates += node.get("x-before", {})
        for text in dates:
            assert date.fromisoformat(text).isoformat() == text, path
            assert text > "2023-03-01", path
        assert set(node.get("x-enum-since", {})) <= set(node.get("enum", ())), path
        assert node.get("x-since", "") < node.get("x-until", "9999"), path
        assert node.get("x-observed", True) is True, path
        rule = node.get("x-rule", {})
        for keyword, code in rule.items() if isinstance(rule, dict) else [("const", rule)]:
            assert keyword in FAILING, path
            assert re.fullmatch(r"[SUTECJLKQXHD]\d\d", code), path
        if "properties" in node:
            assert set(node.get("required", ())) <= set(node["properties"]), path
        if "$ref" in node:  # what stands beside a reference replaces, so it cannot have a past
            assert "x-before" not in node, path


@pytest.mark.parametrize("name", SCHEMAS)
def test_references_resolve(name: str) -> None:
    for path, node in [(p, node) for n, p, node in NODES if n == name]:
        if "$ref" in node:
            assert isinstance(resolve(name, node)[1], dict), path


@pytest.mark.parametrize("name", SCHEMAS)
def test_branches_can_be_told_apart(name: str) -> None:
    """By JSON type, or objects by a constant under one name: the validator need not guess."""
    for path, node in [(p, node) for n, p, node in NODES if n == name and "anyOf" in node]:
        branches = [resolve(name, branch)[1] for branch in node["anyOf"]]
        kinds = [
            k
            for branch in branches
            for k in ([branch["type"]] if isinstance(branch["type"], str) else branch["type"])
        ]
        assert len([k for k in kinds if k != "object"]) == len(set(kinds) - {"object"}), path
        objects = [branch["properties"] for branch in branches if branch["type"] == "object"]
        if len(objects) > 1:
            tag = "role" if "role" in objects[0] else "type"
            values = [properties[tag]["const"] for properties in objects]
            assert len(values) == len(set(values)), path


# --- the SDK ---------------------------------------------------------------------------

# (schema, path, aspect): why the schema is right and the SDK's type is not the measure.
ALLOWED = {
    ("message_list", "$.refusal", "required"): "the documented examples leave it out",
    ("completion_list", "$.choices[].message.refusal", "required"): (
        "the documented examples leave it out"
    ),
    ("completion_list", "$.metadata", "absent"): (
        "in the examples of stored completions long before the response had it"
    ),
}


def sdk_cases() -> dict[str, tuple[str, str]]:
    """Schema -> the part of it that an SDK type describes, and that type."""
    return {
        "response": ("", "chat.ChatCompletion"),
        "chunk": ("", "chat.ChatCompletionChunk"),
        "usage": ("", "CompletionUsage"),
        "model": ("", "Model"),
        "model_deleted": ("", "ModelDeleted"),
        "completion_deleted": ("", "chat.ChatCompletionDeleted"),
        "completion_list": ("/$defs/stored_completion", "chat.ChatCompletion"),
        "message_list": ("/$defs/stored_message", "chat.ChatCompletionStoreMessage"),
        "error": ("/properties/error", "shared.ErrorObject"),
        "request": ("", "chat.completion_create_params.CompletionCreateParams"),
    }


def sdk_differences(
    name: str, loaded: dict[str, dict[str, Any]] = SCHEMAS
) -> list[tuple[str, str, str]]:
    openai = pytest.importorskip("openai", reason="compares with the types of the openai SDK")
    pointer, dotted = sdk_cases()[name]
    found: Any = openai.types
    for step in dotted.split("."):
        found = getattr(found, step)
    differing = sdk_types.differences(
        name,
        sdk_types.schema_fields(name, loaded.__getitem__, pointer),
        sdk_types.sdk_fields(found),
        sdk_types.release_day(openai.__version__),
        null_is_loose=name != "request",
    )
    return [d for d in differing if (name, *d[:2]) not in ALLOWED]


@pytest.mark.parametrize("name", sdk_cases())
def test_schema_agrees_with_the_sdk(name: str) -> None:
    found = sdk_differences(name)
    assert not found, "\n".join(["", *(sentence for _, _, sentence in found)])


def changed(name: str, pointer: str, change: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The schemas with one place removed, or with some of its keywords replaced."""
    loaded = copy.deepcopy(SCHEMAS)
    *way, last = pointer.split("/")
    node: Any = loaded[name]
    for step in way:
        node = node[int(step) if isinstance(node, list) else step]
    if change is None:
        del node[last]
    else:
        node[last].update(change)
    return loaded


@pytest.mark.parametrize(
    ("name", "file", "pointer", "change", "sentence"),
    [
        pytest.param(
            "response",
            "usage",
            "properties/prompt_tokens_details/properties/cached_tokens",
            None,
            "the SDK has $.usage.prompt_tokens_details.cached_tokens, "
            "schemas/response.json has not",
            id="field-of-another-file",
        ),
        pytest.param(
            "chunk",
            "chunk",
            "$defs/delta/properties/function_call",
            None,
            "the SDK has $.choices[].delta.function_call, schemas/chunk.json has not",
            id="object-with-fields",
        ),
        pytest.param(
            "request",
            "request",
            "$defs/assistant_message/properties/refusal",
            None,
            "the SDK has $.messages[]<assistant>.refusal, schemas/request.json has not",
            id="field-of-a-branch",
        ),
        pytest.param(
            "request",
            "request",
            "properties/verbosity",
            {"enum": ["low", "high", "extreme", None]},
            'the SDK allows "medium" at $.verbosity, schemas/request.json does not\n'
            'schemas/request.json allows "extreme" at $.verbosity, the SDK does not',
            id="values",
        ),
        pytest.param(
            "response",
            "response",
            "$defs/choice",
            {"required": ["index", "message", "finish_reason"]},
            "$.choices[].logprobs is required in the SDK, optional in schemas/response.json",
            id="required-told-by-the-order",
        ),
        pytest.param(
            "request",
            "request",
            "properties",
            {"invented": {"type": "string"}},
            "schemas/request.json has $.invented, the SDK has not",
            id="field-too-many",
        ),
        pytest.param(
            "model",
            "model",
            "properties/created",
            {"type": "string"},
            "$.created is integer in the SDK, string in schemas/model.json",
            id="type",
        ),
        pytest.param(
            "request",
            "request",
            "properties/user",
            {"type": ["string", "null"]},
            "$.user is string in the SDK, null or string in schemas/request.json",
            id="null-in-a-request",
        ),
    ],
)
def test_a_difference_is_reported_by_name(
    name: str, file: str, pointer: str, change: dict[str, Any] | None, sentence: str
) -> None:
    found = sdk_differences(name, changed(file, pointer, change))
    assert "\n".join(text for _, _, text in found) == sentence


def test_old_releases_may_lack_what_came_later() -> None:
    assert sdk_types.release_day("2.41.0") == "2025-09-30"
    assert sdk_types.release_day("3.25.2") == "2026-10-01"
    assert sdk_types.release_day("3.54.0") == "2026-11-17"
    assert sdk_types.release_day("3.55.0") == sdk_types.release_day("4.0.0") == "9999-12-31"
    late = sdk_types.Field(frozenset({"string"}), since="2026-10-25")
    for day, count in (("2026-10-11", 0), ("2026-10-25", 1)):
        found = sdk_types.differences("chunk", {"$.x": late}, {}, day, null_is_loose=True)
        assert len(list(found)) == count


# --- documents -------------------------------------------------------------------------

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
MESSAGE: dict[str, Any] = {"role": "assistant", "content": "Hi", "refusal": None}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o",
    "choices": [CHOICE],
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM = {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "free"}}
DELTA: dict[str, Any] = {"index": 0, "delta": {}}
CHUNK = {**ANSWER, "object": "chat.completion.chunk", "choices": [DELTA]}
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
BARE = {"token": "Hi", "logprob": -9999.0, "bytes": None}
VERDICT = {"type": "error", "code": "server_error", "message": "later"}
RESULT = {
    "type": "moderation_result",
    "model": "omni-moderation-latest",
    "flagged": False,
    "categories": {"violence": False},
    "category_scores": {"violence": 0.01},
    "category_applied_input_types": {"violence": ["text"]},
}
MODEL = {"id": "gpt-4o", "object": "model", "created": 1700000000, "owned_by": "openai"}
PROBLEM = {"message": "no such model", "type": "invalid_request_error", "param": None}
PAGE: dict[str, Any] = {
    "object": "list",
    "data": [],
    "first_id": None,
    "last_id": None,
    "has_more": False,
}
STORED = {"role": "assistant", "content": "Hi", "tool_calls": None, "function_call": None}
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


def answer(**members: Any) -> dict[str, Any]:
    return {**ANSWER, "choices": [{**CHOICE, "message": {**MESSAGE, **members}}]}


def delta(**members: Any) -> dict[str, Any]:
    return {**CHUNK, "choices": [{**DELTA, "delta": members}]}


def ask(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**ASK, "messages": [*ASK["messages"], *messages], **members}


def function(**members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **members}}


def say(role: str, content: Any, **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **members}


TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}

LEGAL: list[tuple[str, Any]] = [
    ("usage", USAGE),
    ("usage", {**USAGE, "prompt_tokens_details": {}, "completion_tokens_details": {}}),
    ("logprobs", {"content": None, "refusal": None}),
    ("logprobs", {"content": [{**TOKEN, "top_logprobs": [BARE]}], "refusal": []}),
    ("moderation", {"input": VERDICT, "output": VERDICT}),
    (
        "moderation",
        {
            "input": {"type": "moderation_results", "model": "m", "results": [RESULT]},
            "output": VERDICT,
        },
    ),
    ("response", ANSWER),
    ("response", {**ANSWER, "usage": USAGE, "service_tier": None, "moderation": None, "new": 1}),
    ("response", answer(content=None, tool_calls=[CALL, CUSTOM])),
    ("response", answer(audio={"id": "a", "data": "AA==", "expires_at": 1, "transcript": "Hi"})),
    ("chunk", CHUNK),
    ("chunk", {**CHUNK, "choices": [], "usage": USAGE}),
    ("chunk", {**CHUNK, "usage": None, "obfuscation": "x"}),
    ("chunk", delta(role="assistant", content="", refusal=None)),
    ("chunk", delta(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])),
    ("chunk", delta(tool_calls=[{"index": 0, "type": "custom", "custom": {"input": "a"}}])),
    ("chunk", delta(audio={"expires_at": 1})),
    ("error", {"error": {**PROBLEM, "code": None}}),
    ("error", {"error": {**PROBLEM, "code": "model_not_found", "misalignment": {}}}),
    ("model", MODEL),
    ("model", {**MODEL, "shutdown_date": None}),
    ("model_list", {"object": "list", "data": []}),
    ("model_list", {"object": "list", "data": [MODEL]}),
    ("model_deleted", {"id": "ft:1", "object": "model", "deleted": True}),
    (
        "completion_deleted",
        {"id": "chatcmpl-1", "object": "chat.completion.deleted", "deleted": True},
    ),
    ("completion_list", PAGE),
    (
        "completion_list",
        {
            **PAGE,
            "first_id": "chatcmpl-1",
            "data": [
                {
                    **ANSWER,
                    "choices": [{**CHOICE, "message": STORED}],
                    "tools": None,
                    "seed": 1,
                    "metadata": {},
                    "request_id": "req_1",
                    "response_format": None,
                }
            ],
        },
    ),
    ("message_list", PAGE),
    (
        "message_list",
        {
            **PAGE,
            "data": [
                {
                    "id": "chatcmpl-1-0",
                    **STORED,
                    "role": "user",
                    "name": None,
                    "content_parts": [TEXT, IMAGE],
                }
            ],
        },
    ),
    ("request", ASK),
    ("request", ask(say("developer", "Be brief"), say("system", [TEXT]), say("user", [TEXT]))),
    ("request", ask(say("user", [TEXT, IMAGE, AUDIO, FILE], name="any name"))),
    (
        "request",
        ask(
            {"role": "assistant", "tool_calls": [CALL, CUSTOM]},
            say("tool", "1", tool_call_id="call_1"),
        ),
    ),
    ("request", ask(say("assistant", [{"type": "refusal", "refusal": "No"}]))),
    ("request", ask(say("function", None, name="f"), functions=[{"name": "f"}])),
    ("request", ask(stop=None, temperature=2, n=128, top_logprobs=20, logit_bias={"1": -100})),
    ("request", ask(stop=["a", "b", "c", "d"], metadata={"k" * 64: "v" * 512})),
    ("request", ask(tools=[function(), {"type": "custom", "custom": {"name": "any name"}}])),
    ("request", ask(tool_choice="required", function_call="auto")),
    ("request", ask(tool_choice={"type": "function", "function": {"name": "f"}})),
    (
        "request",
        ask(
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function"}]},
            }
        ),
    ),
    ("request", ask(response_format={"type": "json_schema", "json_schema": {"name": "n"}})),
    ("request", ask(audio={"voice": {"id": "voice_1"}, "format": "wav"}, stream=None)),
    ("request", ask(audio={"voice": "a new voice", "format": "pcm16"}, unknown=True)),
]

REPORT: dict[str, Any] = {
    "version": 1,
    "tool": "pytest-chatapi 1.0",
    "server": {"url": "http://h/v1", "model": "m", "declared": []},
    "contract": "2026-06-01",
    "profile": "",
    "checks": [],
    "summary": {
        **dict.fromkeys("checks requests pass non-strict fail unsupported".split(), 0),
        "not-exercised": 0,
        "harness-error": 0,
        "badge": "0/0",
    },
    "exchanges": [],
}

LEGAL.append(("conformance", REPORT))
LEGAL.append(("figures", report_of([], Prices(), {"kind": "pytest"})))

# Schema, document, and where jsonschema sees what is wrong.
ILLEGAL: list[tuple[str, Any, str]] = [
    ("usage", {**USAGE, "total_tokens": "4"}, "$.total_tokens"),
    ("usage", {"prompt_tokens": 3, "completion_tokens": 1}, "$"),
    ("usage", {**USAGE, "prompt_tokens_details": None}, "$.prompt_tokens_details"),
    ("logprobs", {"content": None}, "$"),
    ("logprobs", {"content": [BARE], "refusal": None}, "$.content[0]"),
    ("moderation", {"input": VERDICT, "output": {"type": "moderation_results"}}, "$.output"),
    ("response", {**ANSWER, "object": "text_completion"}, "$.object"),
    ("response", {**ANSWER, "created": 1.5}, "$.created"),
    ("response", {**ANSWER, "system_fingerprint": None}, "$.system_fingerprint"),
    ("response", {**ANSWER, "usage": None}, "$.usage"),
    (
        "response",
        {**ANSWER, "choices": [{**CHOICE, "finish_reason": "eos"}]},
        "$.choices[0].finish_reason",
    ),
    ("response", answer(role="user"), "$.choices[0].message.role"),
    ("response", answer(tool_calls=None), "$.choices[0].message.tool_calls"),
    (
        "response",
        answer(tool_calls=[{**CALL, "type": "other"}]),
        "$.choices[0].message.tool_calls[0]",
    ),
    ("chunk", {**CHUNK, "choices": [{"index": 0}]}, "$.choices[0]"),
    ("chunk", delta(tool_calls=[{"id": "call_1"}]), "$.choices[0].delta.tool_calls[0]"),
    ("chunk", delta(role=""), "$.choices[0].delta.role"),
    ("error", {"error": PROBLEM}, "$.error"),
    ("error", {"error": {**PROBLEM, "code": 404}}, "$.error.code"),
    ("error", {"error": "text"}, "$.error"),
    ("model", {**MODEL, "created": None}, "$.created"),
    ("model_list", {"object": "list", "data": [{**MODEL, "object": "x"}]}, "$.data[0].object"),
    ("model_deleted", {"id": "ft:1", "object": "model"}, "$"),
    ("completion_deleted", {"id": "a", "object": "chat.completion", "deleted": True}, "$.object"),
    ("completion_list", {**PAGE, "data": None}, "$.data"),
    ("message_list", {**PAGE, "data": [STORED]}, "$.data[0]"),
    ("request", {**ASK, "messages": []}, "$.messages"),
    ("request", ask(say("robot", "Hi")), "$.messages[1]"),
    ("request", ask(say("system", [IMAGE])), "$.messages[1]"),
    ("request", ask(say("user", [])), "$.messages[1]"),
    ("request", ask(say("tool", "1")), "$.messages[1]"),
    ("request", ask(temperature=2.5), "$.temperature"),
    ("request", ask(n=0), "$.n"),
    ("request", ask(stop=["a", "b", "c", "d", "e"]), "$.stop"),
    ("request", ask(metadata={str(n): "" for n in range(17)}), "$.metadata"),
    ("request", ask(metadata={"k" * 65: ""}), "$.metadata"),
    ("request", ask(metadata={"k": "v" * 513}), "$.metadata.k"),
    ("request", ask(logit_bias={"1": 101}), "$.logit_bias['1']"),
    ("request", ask(tools=[function(name="two words")]), "$.tools[0]"),
    ("request", ask(tool_choice="any"), "$.tool_choice"),
    ("request", ask(response_format={"type": "json_schema"}), "$.response_format"),
    ("request", ask(audio={"voice": {"id": "v", "x": 1}, "format": "wav"}), "$.audio.voice"),
    ("request", ask(user=None), "$.user"),
    ("conformance", {**REPORT, "version": 2}, "$.version"),
    ("figures", {**LEGAL[-1][1], "version": 2}, "$.version"),
]


def places(name: str, document: Any) -> list[str]:
    validator = Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    return [error.json_path for error in validator.iter_errors(document)]


@pytest.mark.parametrize(("name", "document"), LEGAL)
def test_legal_document(name: str, document: Any) -> None:
    assert places(name, document) == []


@pytest.mark.parametrize(("name", "document", "place"), ILLEGAL)
def test_illegal_document(name: str, document: Any, place: str) -> None:
    assert places(name, document) == [place]


def test_every_schema_has_both_kinds_of_document() -> None:
    assert {name for name, _ in LEGAL} == {name for name, _, _ in ILLEGAL} == set(SCHEMAS)
