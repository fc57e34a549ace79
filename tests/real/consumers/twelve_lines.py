"""What many write by hand: each line that begins with `data: ` is a chunk."""

import json
import os

import httpx
from consuming import REQUEST, run


def consume():
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    text = ""
    with httpx.stream("POST", url, json=REQUEST) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                chunk = json.loads(line[6:])
                if chunk["choices"]:
                    text += chunk["choices"][0]["delta"].get("content") or ""
    return text


run(consume)
