"""httpx-sse: its events, as chunks that are added up."""

import os

import httpx
from consuming import REQUEST, Said, run
from httpx_sse import connect_sse

client = httpx.Client(
    headers={"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
    base_url=os.environ["OPENAI_BASE_URL"],
)


def consume():
    said = Said()
    with connect_sse(client, "POST", "/chat/completions", json=REQUEST) as source:
        source.response.raise_for_status()
        for event in source.iter_sse():
            if event.data == "[DONE]":
                break
            said.add(event.json())
    return said.result()


run(consume)
