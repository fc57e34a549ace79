"""The openai package: what `.stream()` returns in the end."""

from consuming import REQUEST, completed, run
from openai import OpenAI

client = OpenAI()
request = {name: value for name, value in REQUEST.items() if name != "stream"}


def consume():
    with client.chat.completions.stream(**request) as stream:
        completion = stream.get_final_completion()
    return completed(completion)


run(consume)
