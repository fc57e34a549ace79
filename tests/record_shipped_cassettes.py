"""Records the cassettes of this repository from a running server. Not a test.

    python tests/record_shipped_cassettes.py http://127.0.0.1:8080 [NAME ...]

NAME is a file name without ``.yaml`` (default: all of them). How the server was started is in
cassettes/README.md. Files are plain vcrpy YAML; of the headers only ``content-type`` is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import httpx
import yaml

CASSETTES = Path(__file__).resolve().parent.parent / "cassettes"
URI = "http://127.0.0.1:8080/v1/chat/completions"
KEY = "sk-test"

HELLO: dict[str, Any] = {
    "model": "tiny",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
    ],
    "max_completion_tokens": 16,
}
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TOOLS = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": [WEATHER_TOOL],
    "tool_choice": "required",
    "max_completion_tokens": 200,
    "temperature": 0,
}
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Oslo", "Paris"]},
        "sunny": {"type": "boolean"},
    },
    "required": ["city", "sunny"],
    "additionalProperties": False,
}

# File name: the request bodies it holds, in order.
BODIES: dict[str, list[dict[str, Any]]] = {
    "plain": [HELLO],
    "stream": [{**HELLO, "max_completion_tokens": 12, "stream": True}],
    "stream-usage": [
        {
            **HELLO,
            "max_completion_tokens": 12,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ],
    "tools": [TOOLS, {**TOOLS, "stream": True}],
    "structured-output": [
        {
            **HELLO,
            "max_completion_tokens": 100,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "weather", "strict": True, "schema": WEATHER_SCHEMA},
            },
        }
    ],
    "logprobs": [{**HELLO, "max_completion_tokens": 6, "logprobs": True, "top_logprobs": 2}],
    "n-2": [{**HELLO, "n": 2}],
    "error": [HELLO],
}
# This one is sent with a wrong key.
DENIED = "error"


class Readable(yaml.SafeDumper):
    """Writes what has several lines as a literal block, and folds nothing."""


Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def interaction(client: httpx.Client, base_url: str, body: dict[str, Any], key: str) -> Any:
    # Indented on the wire already, so that the file says what was really sent.
    sent = json.dumps(body, indent=2)
    response = client.post(
        f"{base_url.rstrip('/')}/v1/chat/completions",
        content=sent,
        headers={"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    return {
        "request": {
            "method": "POST",
            "uri": URI,
            "body": sent,
            "headers": {"content-type": ["application/json"]},
        },
        "response": {
            "status": {"code": response.status_code, "message": response.reason_phrase},
            "headers": {"content-type": [response.headers["content-type"]]},
            "body": {"string": response.content.decode()},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BODIES))
    arguments = parser.parse_args()
    with httpx.Client(timeout=60) as client:
        for name in arguments.names or BODIES:
            key = "wrong" if name == DENIED else KEY
            recorded = {
                "version": 1,
                "interactions": [
                    interaction(client, arguments.base_url, body, key) for body in BODIES[name]
                ],
            }
            text = yaml.dump(recorded, Dumper=Readable, sort_keys=False, width=1e9)
            assert "\\ufffd" not in text.lower(), f"{name}: a cut character; record it again"
            (CASSETTES / f"{name}.yaml").write_text(text, encoding="utf-8")
            print(f"cassettes/{name}.yaml")


if __name__ == "__main__":
    main()
