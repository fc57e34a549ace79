"""What `chatapi check` of a log costs, as ratios to `json.loads` of all that it reads.

    python benchmarks/bench_logs.py [--rounds N] [--rows N] [--only NAME] [--write] [--check]

A row of a log is a line of JSON. `json.loads` is called for each line, each body that the line has
as text, and each event of a stream; it is measured in turns with the command, in the same process
and in CPU seconds. No two rows are equal: members are absent or not, texts, tools and schemas
differ, and each round has new rows. Each figure is the median of the rounds.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import table
from bench_contract import WORDS, in_turns
from table import ROOT, Row

sys.path.insert(0, str(ROOT))

from pytest_chatapi.cli.main import main as chatapi

JSONObject = dict[str, Any]
URL = "https://api.openai.com/v1/chat/completions"
MODELS = {
    "gpt-4o": "gpt-4o-2024-08-06",  # its day of shutdown is a note
    "gpt-5.2": "gpt-5.2-2025-12-11",
    "gpt-5.4": "gpt-5.4-2026-03-05",
}
KINDS = ("string", "integer", "number", "boolean")
SCHEMAS = 100  # applications behind one gateway have that many, in a thousand rows
CHUNKS = 150
TEXT_SIZE = 1.0  # of all texts, as a factor


# --- rows -------------------------------------------------------------------------------------


def text(rng: random.Random, size: int) -> str:
    """About `size` characters, with quotes, newlines and an accent as real texts have them."""
    size = max(10, int(size * TEXT_SIZE))
    words = rng.choices(WORDS, k=size // 5)
    words[len(words) // 2] = rng.choice(['"so",', "caf\u00e9", "**bold**", "x = 1;\n", "100%"])
    return " ".join(words)[:size]


def some(rng: random.Random, **members: Any) -> JSONObject:
    """About half of these members."""
    return {name: value for name, value in members.items() if rng.random() < 0.5}


def asked(rng: random.Random, **extra: Any) -> JSONObject:
    messages: list[JSONObject] = [{"role": "system", "content": text(rng, 400)}]
    for _ in range(rng.randint(0, 2)):
        messages.append({"role": "user", "content": text(rng, 150)})
        messages.append({"role": "assistant", "content": text(rng, 250)})
    last: Any = text(rng, 300)
    if rng.random() < 0.2:
        last = [{"type": "text", "text": last}]
    messages.append({"role": "user", "content": last})
    options = some(
        rng,
        temperature=round(rng.random(), 1),
        top_p=0.9,
        user=f"user-{rng.randint(1, 999)}",
        presence_penalty=0,
        **{rng.choice(["max_tokens", "max_completion_tokens"]): rng.choice([1024, 2048])},
    )
    return {"model": rng.choice([*MODELS]), "messages": messages, **options, **extra}


def usage(rng: random.Random) -> JSONObject:
    prompt, completion, cached = rng.randint(200, 900), rng.randint(100, 400), rng.randint(0, 100)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def frame(rng: random.Random, request: JSONObject, kind: str) -> JSONObject:
    return {
        "id": f"chatcmpl-{rng.getrandbits(120):x}",
        "object": kind,
        "created": 1_790_000_000 + rng.randint(0, 99_999),
        "model": MODELS[request["model"]],
        **some(rng, service_tier="default", system_fingerprint=f"fp_{rng.getrandbits(40):010x}"),
    }


def answered(rng: random.Random, request: JSONObject, **message: Any) -> JSONObject:
    finish = "tool_calls" if "tool_calls" in message else "stop"
    plain = {"role": "assistant", "content": None if message else text(rng, 800), **message}
    plain |= {"refusal": None, **some(rng, annotations=[])}
    choice = {"index": 0, "message": plain, "logprobs": None, "finish_reason": finish}
    completion = frame(rng, request, "chat.completion")
    return {**completion, "choices": [choice], "usage": usage(rng)}


def schema(rng: random.Random, depth: int = 0) -> JSONObject:
    """A strict schema of an object, as pydantic and zod write them."""
    properties: JSONObject = {}
    for number in range(rng.randint(3, 6)):
        name = f"{rng.choice(WORDS).strip('.,').strip() or 'x'}_{number}"
        draw = rng.random()
        if draw < 0.2 and depth < 2:
            properties[name] = schema(rng, depth + 1)
        elif draw < 0.4:
            properties[name] = {"type": "array", "items": {"type": rng.choice(KINDS)}}
        elif draw < 0.5:
            properties[name] = {"type": "string", "enum": ["low", "medium", "high"]}
        elif draw < 0.6:
            properties[name] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        else:
            properties[name] = {"type": rng.choice(KINDS), "description": text(rng, 40)}
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def instance(rng: random.Random, schema: JSONObject) -> Any:
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return instance(rng, rng.choice(schema["anyOf"]))
    kind = schema["type"]
    if kind == "object":
        return {name: instance(rng, each) for name, each in schema["properties"].items()}
    if kind == "array":
        return [instance(rng, schema["items"]) for _ in range(rng.randint(0, 4))]
    plain = {"string": text(rng, 30), "integer": rng.randint(0, 99), "number": rng.random()}
    return {**plain, "boolean": rng.random() < 0.5, "null": None}[kind]


def applications(rng: random.Random) -> list[JSONObject]:
    return [schema(rng) for _ in range(SCHEMAS)]


def call(rng: random.Random, function: JSONObject) -> JSONObject:
    arguments = json.dumps(instance(rng, function["parameters"]))
    named = {"name": function["name"], "arguments": arguments}
    return {"id": f"call_{rng.getrandbits(96):x}", "type": "function", "function": named}


Pair = tuple[JSONObject, JSONObject]
Rows = Iterator[str]


def plain_pair(rng: random.Random, schemas: list[JSONObject]) -> Pair:
    request = asked(rng)
    return request, answered(rng, request)


def structured_pair(rng: random.Random, schemas: list[JSONObject]) -> Pair:
    own = rng.choice(schemas)
    named = {"name": "result", "strict": True, "schema": own}
    request = asked(rng, response_format={"type": "json_schema", "json_schema": named})
    return request, answered(rng, request, content=json.dumps(instance(rng, own)))


def tools_pair(rng: random.Random, schemas: list[JSONObject]) -> Pair:
    functions = [
        {"name": f"look_up_{at}", "parameters": schemas[at], **some(rng, description="Look up.")}
        for at in rng.sample(range(SCHEMAS), rng.randint(1, 5))
    ]
    tools = [{"type": "function", "function": function} for function in functions]
    request = asked(rng, tools=tools, **some(rng, tool_choice="auto", parallel_tool_calls=True))
    if rng.random() < 0.5:
        earlier = call(rng, rng.choice(functions))
        result = {"role": "tool", "tool_call_id": earlier["id"], "content": text(rng, 200)}
        request["messages"] += [{"role": "assistant", "tool_calls": [earlier]}, result]
    calls = [call(rng, rng.choice(functions)) for _ in range(rng.randint(1, 2))]
    return request, answered(rng, request, tool_calls=calls)


Make = Callable[[random.Random, list[JSONObject]], Pair]


def wire(request: JSONObject, response: str, kind: str) -> str:
    """A row as recorders write it: both bodies as text."""
    return json.dumps(
        {
            "request": {"method": "POST", "url": URL, "body": json.dumps(request)},
            "response": {"status": 200, "headers": {"content-type": kind}, "body": response},
        }
    )


def wire_rows(rng: random.Random, rows: int, make: Make) -> Rows:
    schemas = applications(rng)
    for _ in range(rows):
        request, response = make(rng, schemas)
        yield wire(request, json.dumps(response), "application/json")


def litellm_rows(rng: random.Random, rows: int) -> Rows:
    schemas = applications(rng)
    for number in range(rows):
        make = rng.choice((plain_pair, plain_pair, structured_pair, tools_pair))
        request, response = make(rng, schemas)
        used = response["usage"]
        yield json.dumps(
            {
                "id": response["id"],
                "call_type": "acompletion",
                "status": "success",
                "model": request.pop("model"),
                "api_base": URL,
                "messages": request.pop("messages"),
                "model_parameters": request,
                "response": response,
                "prompt_tokens": used["prompt_tokens"],
                "completion_tokens": used["completion_tokens"],
                "total_tokens": used["total_tokens"],
                "startTime": 1_790_000_000.0 + number,
                "endTime": 1_790_000_001.5 + number,
                "metadata": {"user_api_key_hash": f"{rng.getrandbits(256):064x}"},
                "hidden_params": {"model_id": None, "cache_key": None},
                "request_tags": [],
            }
        )


def batch_rows(rng: random.Random, rows: int) -> Rows:
    for number in range(rows):
        request = asked(rng)
        answer = {"status_code": 200, "request_id": f"{number:x}", "body": answered(rng, request)}
        name = {"id": f"batch_req_{number}", "custom_id": f"task-{number}"}
        yield json.dumps({**name, "response": answer, "error": None})


def stream_rows(rng: random.Random, rows: int) -> Rows:
    for _ in range(max(1, rows // 20)):
        request = asked(rng, stream=True, stream_options={"include_usage": True})
        head = {**frame(rng, request, "chat.completion.chunk"), "usage": None}
        deltas = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": f" {rng.choice(WORDS)}"} for _ in range(CHUNKS - 3)]
        chunks: list[JSONObject] = []
        for delta in (*deltas, {}):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            chunks.append({**head, "choices": [choice], "obfuscation": "aB3dE5gH7"})
        chunks[-1]["choices"][0]["finish_reason"] = "stop"
        chunks.append({**head, "choices": [], "usage": usage(rng), "obfuscation": "a"})
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        yield wire(request, events + "data: [DONE]\n\n", "text/event-stream; charset=utf-8")


PROFILES: dict[str, tuple[Callable[[random.Random, int], Rows], float]] = {
    "plain": (lambda rng, rows: wire_rows(rng, rows, plain_pair), 4),
    "structured output": (lambda rng, rows: wire_rows(rng, rows, structured_pair), 4),
    "tools": (lambda rng, rows: wire_rows(rng, rows, tools_pair), 4),
    "LiteLLM": (litellm_rows, 4),
    "OpenAI batch output": (batch_rows, 4),
    "streams": (stream_rows, 3),
}


# --- measuring --------------------------------------------------------------------------------


def load(lines: list[bytes]) -> None:
    """Parse the lines, the bodies that they have as text, and the events of streams."""
    for line in lines:
        row = json.loads(line)
        for part in (row.get("request"), row.get("response")):
            body = part.get("body") if isinstance(part, dict) else None
            if not isinstance(body, str):
                continue
            if body[0] == "{":
                json.loads(body)
                continue
            for event in body.split("\n\n"):
                if event and not event.endswith("[DONE]"):
                    json.loads(event[6:])


def log_row(name: str, rounds: int, rows: int, folder: Path) -> Row:
    make, target = PROFILES[name]
    seeds, sizes = iter(range(1, rounds + 2)), [0, 0]
    log, report = folder / "log.jsonl", folder / "report.txt"

    def prepare() -> tuple[Callable[[], object], Callable[[], object]]:
        lines = [line.encode() for line in make(random.Random(next(seeds)), rows)]
        log.write_bytes(b"\n".join(lines) + b"\n")
        sizes[:] = len(lines), log.stat().st_size
        return check, lambda: load(lines)

    def check() -> None:
        options = ["--isolated", "--jobs", "1", "--output", str(report)]
        if chatapi(["check", str(log), *options]):
            raise SystemExit(f"{name}: {report.read_text()[:2000]}")

    subject, base, ratio = in_turns(rounds, prepare)
    count, size = sizes
    detail = f"{size / count / 1e3:.1f} kB a row; {subject / count * 1e6:.0f} vs "
    detail += f"{base / count * 1e6:.0f} us; {count / subject:,.0f} rows/s"
    return Row(name, detail, ratio, target)


def main() -> int:
    parser = table.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--only", choices=PROFILES, action="append", help="a kind of row")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = (
            log_row(name, options.rounds, options.rows, Path(folder))
            for name in options.only or PROFILES
        )
        return table.show(rows, "bench-logs", options)


if __name__ == "__main__":
    sys.exit(main())
