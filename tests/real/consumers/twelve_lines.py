"""What many write by hand: each line that begins with `data: ` is a chunk."""

import json
import os

import httpx
from consuming import REQUEST, run

request = {name: value for name, value in REQUEST.items() if name != "tools"}


def consume():
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    text = ""
    with httpx.stream("POST", url, json=request) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                chunk = json.loads(line[6:])
                if chunk["choices"]:
                    text += chunk["choices"][0]["delta"].get("content") or ""
    return text


run(consume)
