"""litellm: a stream, and what its `stream_chunk_builder` makes of it."""

import litellm
from consuming import REQUEST, completed, run

litellm.suppress_debug_info = True
request = {**REQUEST, "model": "openai/gpt-4o-mini"}


def consume():
    chunks = list(litellm.completion(**request, num_retries=0, max_retries=0))
    completion = litellm.stream_chunk_builder(chunks, messages=request["messages"])
    return completed(completion)


run(consume)
