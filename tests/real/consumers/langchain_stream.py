"""langchain-openai: the chunks of `.stream()`, added."""

from consuming import MESSAGES, TOOLS, result_of, run
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="gpt-4o-mini", max_retries=0, stream_usage=True).bind_tools(TOOLS)


def consume():
    message = None
    for chunk in model.stream(MESSAGES):
        message = chunk if message is None else message + chunk
    return result_of(
        message.text,
        message.additional_kwargs.get("refusal"),
        [message.tool_calls, message.invalid_tool_calls],
        message.response_metadata.get("finish_reason"),
        message.usage_metadata and message.usage_metadata["total_tokens"],
    )


run(consume)
