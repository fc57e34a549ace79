"""What the consumers in this folder share: a request, and the loop of --keep-alive."""

import asyncio
import inspect
import json
import sys

MESSAGES = [{"role": "user", "content": "What is the weather in Oslo?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": PARAMETERS}}
    for name in ("get_weather", "get_traffic")
]
REQUEST = {
    "model": "gpt-4o-mini",
    "messages": MESSAGES,
    "tools": TOOLS,
    "stream": True,
    "stream_options": {"include_usage": True},
}


def run(consume):
    """Consume a response for each line of standard input."""
    with asyncio.Runner() as runner:
        for _ in sys.stdin:
            try:
                result = consume()
                result = runner.run(result) if inspect.iscoroutine(result) else result
                print("ok", json.dumps(result), flush=True)
            except Exception as error:
                text = str(error).replace("\n", " ")
                print(f"error {type(error).__name__}: {text[:200]}", flush=True)


def result_of(text, refusal, calls, finish, tokens=None):
    """What a consumer understood, the same members for each."""
    names = "text", "refusal", "calls", "finish", "tokens"
    return dict(zip(names, (text or "", refusal or "", calls, finish, tokens), strict=True))


def completed(completion):
    """The same of a completion of the openai package, or of one like it."""
    choice = completion.choices[0]
    calls = [
        [call.id, call.function.name, call.function.arguments]
        for call in choice.message.tool_calls or []
    ]
    refusal = getattr(choice.message, "refusal", None)
    total = completion.usage and completion.usage.total_tokens
    return result_of(choice.message.content, refusal, calls, choice.finish_reason, total)


class Said:
    """Adds up chunks, as objects or as JSON, the way that the reference says."""

    def __init__(self):
        self.text = self.refusal = ""
        self.calls, self.finish, self.usage = {}, None, None

    def add(self, chunk):
        if chunk.get("error"):
            raise RuntimeError(chunk["error"])
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            self.text += delta.get("content") or ""
            self.refusal += delta.get("refusal") or ""
            for part in delta.get("tool_calls") or []:
                call = self.calls.setdefault(part["index"], {"id": "", "name": "", "arguments": ""})
                function = part.get("function") or {}
                call["id"] = part.get("id") or call["id"]
                call["name"] = function.get("name") or call["name"]
                call["arguments"] += function.get("arguments") or ""
            self.finish = choice.get("finish_reason") or self.finish

    def result(self):
        if not self.finish:
            raise RuntimeError("the stream ended early")
        calls = [self.calls[index] for index in sorted(self.calls)]
        for call in calls:
            call["arguments"] = json.loads(call["arguments"])
        total = self.usage and self.usage["total_tokens"]
        return result_of(self.text, self.refusal, calls, self.finish, total)
