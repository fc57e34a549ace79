// @langchain/openai: the chunks of `.stream()`, added.
import { ChatOpenAICompletions } from "@langchain/openai";
import { messages, request, result, run } from "./consuming.mjs";

const options = { model: "gpt-4o-mini", maxRetries: 0, streamUsage: true };
const model = new ChatOpenAICompletions({
  ...options,
  configuration: { baseURL: process.env.OPENAI_BASE_URL },
}).bindTools(request.tools);

await run(async () => {
  let message;
  for await (const chunk of await model.stream(messages)) {
    message = message ? message.concat(chunk) : chunk;
  }
  return result(
    message.text,
    [message.tool_calls, message.invalid_tool_calls],
    message.response_metadata.finish_reason,
    message.usage_metadata?.total_tokens,
  );
});
