"""The openai package, asynchronously: the chunks that it yields, added up."""

from consuming import REQUEST, Said, run
from openai import AsyncOpenAI

client = AsyncOpenAI()


async def consume():
    said = Said()
    async for chunk in await client.chat.completions.create(**REQUEST):
        said.add(chunk.to_dict())
    return said.result()


run(consume)
