"""The openai package: a response that is not streamed."""

from consuming import REQUEST, completed, run
from openai import OpenAI

client = OpenAI()
request = {name: value for name, value in REQUEST.items() if "stream" not in name}


def consume():
    completion = client.chat.completions.create(**request)
    return completed(completion)


run(consume)
