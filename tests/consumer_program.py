"""A consumer for `chatapi conform client`, right or wrong in one way; needs no package. Not a test.

consumer_program.py [--once] [WAY ...]
"""

from __future__ import annotations

import codecs
import http.client
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

WAYS = {*sys.argv[1:]}
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
if "whole" not in WAYS:
    BODY["stream"] = True
if "forgets-usage" in WAYS:
    BODY["stream_options"] = {"include_usage": True}
if "forced" in WAYS:
    BODY |= {"tool_choice": "required", "parallel_tool_calls": False}
if "tools" in WAYS:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    BODY["tools"] = [{"type": "function", "function": {"name": "f", "parameters": schema}}]


def lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    pending, after_cr = "", False
    for piece in pieces:
        if "decodes-pieces" in WAYS:
            piece.decode()
        for letter in decoder.decode(piece):
            if letter == "\n" and after_cr:
                after_cr = False
                continue
            after_cr = letter == "\r"
            if letter in "\r\n":
                yield pending
                pending = ""
            else:
                pending += letter


def events(pieces: Iterable[bytes]) -> Iterator[str]:
    data: list[str] = []
    for line in lines(pieces):
        name, _, value = line.partition(":")
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif name == "data":
            if "needs-space" in WAYS and not value.startswith(" "):
                continue
            data.append(value.removeprefix(" "))
            if "takes-lines" in WAYS:
                yield data.pop()


def response(body: dict[str, Any]) -> Iterator[bytes]:
    url = urlsplit(os.environ["OPENAI_BASE_URL"])
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    headers = {"content-type": "application/json"}
    headers["authorization"] = "Bearer " + os.environ["OPENAI_API_KEY"]
    path = "/responses" if "elsewhere" in WAYS else "/chat/completions"
    connection.request("POST", url.path + path, json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        if answer.getheader("x-should-retry") != "false" and answer.status != 404:
            sys.exit("asks again and again")
        raise RuntimeError(f"status {answer.status}")
    while piece := answer.read1(65536):
        yield piece
    connection.close()


def choices(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
    if "whole" in WAYS:
        choice = json.loads(b"".join(response(body)))["choices"][0]
        yield choice["message"], choice["finish_reason"]
        return
    for data in events(response(body)):
        if data == "[DONE]":
            break
        for choice in json.loads(data)["choices"]:
            yield choice["delta"], choice["finish_reason"]


def consume() -> Any:
    said = consume_one(BODY)
    if "loops" not in WAYS:
        return said
    turns = [said]
    messages = list(BODY["messages"])
    while calls := turns[-1]["calls"]:
        sent = [{"id": c["id"], "type": "function", "function": part(c)} for c in calls]
        messages.append({"role": "assistant", "tool_calls": sent})
        answered = {"answers-first": calls[:1], "forgets-answers": []}
        for call in next((answered[way] for way in answered if way in WAYS), calls):
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": "12"})
        turns.append(consume_one({**BODY, "messages": messages}))
    return turns


def part(call: dict[str, str]) -> dict[str, str]:
    return {key: call[key] for key in ("name", "arguments")}


def consume_one(body: dict[str, Any]) -> Any:
    text, refusal, calls, finish = "", "", {}, None
    for delta, finish_reason in choices(body):
        text += delta.get("content") or ""
        refusal += delta.get("refusal") or ""
        for at, piece in enumerate(delta.get("tool_calls") or ()):
            call = calls.setdefault(piece.get("index", at), {"name": "", "arguments": ""})
            call["name"] += piece["function"].get("name") or ""
            call["arguments"] += piece["function"].get("arguments") or ""
            if "loops" in WAYS:
                call["id"] = piece.get("id") or call["id"]
        finish = finish_reason or finish
    if "needs-key" in WAYS:
        raise RuntimeError("no key")
    takes_cut = "takes-cut" in WAYS or ("takes-cut-later" in WAYS and body is not BODY)
    if not finish and not takes_cut:
        raise RuntimeError("the stream ended early")
    for call in calls.values():
        if not takes_cut:
            json.loads(call["arguments"])
    said = {"text": text, "refusal": refusal, "calls": [*calls.values()], "finish": finish}
    if "forgets-refusals" in WAYS:
        said["refusal"] = ""
    if "forgets-usage" in WAYS:
        said["usage"] = None
    if "clock" in WAYS:
        said["at"] = time.monotonic()
    if "leaks" in WAYS:
        said["key"] = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
    return "" if "silent" in WAYS else said


def main() -> None:
    if "once" in WAYS:
        result = consume()
        print(json.dumps(result) if result else "")
        return
    for case in sys.stdin:
        if "hangs-on-" + case.strip() in WAYS:
            time.sleep(600)
        try:
            print("ok", json.dumps(consume()), flush=True)
        except Exception as error:
            if "dies" in WAYS:
                raise
            print("error", error, flush=True)


main()
