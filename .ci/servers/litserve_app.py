"""LitServe's own /v1/chat/completions, with nothing of ours behind it but the words.

    python litserve_app.py PORT

A request with tools is answered by a tool call, unless its tool_choice is none. "BOOM" in the last
message fails at once, "MIDWAY" after four words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import litserve

WORDS = "Hello! How can I help you today? caf\u00e9 \U0001f600 I am a mock.".split(" ")
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Oslo","unit":"c"}'},
}


def words_of(content: Any) -> list[str]:
    parts = content if isinstance(content, list) else []
    texts = [content] if isinstance(content, str) else [getattr(part, "text", "") for part in parts]
    return " ".join(texts).split()


class Words(litserve.LitAPI):
    def setup(self, device: str) -> None: ...

    def predict(self, prompt: Any, context: dict[str, Any]) -> Iterator[str]:
        asked = str(prompt.messages[-1].content)
        context["words"] = sum(len(words_of(message.content)) for message in prompt.messages)
        if "BOOM" in asked:
            raise RuntimeError("failed at once")
        for number, word in enumerate(WORDS):
            if "MIDWAY" in asked and number == 4:
                raise RuntimeError("failed midway")
            yield word + " "

    def encode_response(
        self, output: Iterator[str], context: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        if context.get("tools") and context.get("tool_choice") != "none":
            yield {"role": "assistant", "content": "", "tool_calls": [CALL]}
            return
        # Usage so far, on each piece: LitServe makes of it what it will.
        for number, content in enumerate(output, start=1):
            words = context["words"]
            usage = {"prompt_tokens": words, "completion_tokens": number}
            usage["total_tokens"] = words + number
            yield {"role": "assistant", "content": content, **usage}


if __name__ == "__main__":
    server = litserve.LitServer(
        Words(spec=litserve.OpenAISpec()), accelerator="cpu", workers_per_device=1
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False
    )
