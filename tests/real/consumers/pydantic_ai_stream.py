"""pydantic-ai: a streamed request of its OpenAI chat model."""

from consuming import MESSAGES, PARAMETERS, result_of, run
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

tools = [
    ToolDefinition(name=name, parameters_json_schema=PARAMETERS)
    for name in ("get_weather", "get_traffic")
]
parameters = ModelRequestParameters(function_tools=tools, allow_text_output=True)
client = AsyncOpenAI(max_retries=0)
model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))


async def consume():
    messages = [ModelRequest.user_text_prompt(MESSAGES[0]["content"])]
    async with model_request_stream(model, messages, model_request_parameters=parameters) as stream:
        async for _ in stream:
            pass
    response = stream.get()
    said = {"text": "", "thinking": ""}
    calls = []
    for part in response.parts:
        if part.part_kind == "tool-call":
            calls.append([part.tool_call_id, part.tool_name, part.args])
        else:
            said[part.part_kind] += part.content
    refusal = (response.provider_details or {}).get("refusal")
    total = response.usage.total_tokens
    return result_of(said["text"], refusal, calls, response.finish_reason, total)


run(consume)
