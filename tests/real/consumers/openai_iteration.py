"""The openai package: the chunks that it yields, added up as the reference says."""

from consuming import REQUEST, Said, run
from openai import OpenAI

client = OpenAI()


def consume():
    said = Said()
    for chunk in client.chat.completions.create(**REQUEST):
        said.add(chunk.to_dict())
    return said.result()


run(consume)
