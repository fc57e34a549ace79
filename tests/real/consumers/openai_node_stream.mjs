// openai-node: what `.stream()` returns in the end.
import OpenAI from "openai";
import { request, result, run } from "./consuming.mjs";

const client = new OpenAI({ maxRetries: 0 });

await run(async () => {
  const completion = await client.chat.completions.stream(request).finalChatCompletion();
  const { message, finish_reason } = completion.choices[0];
  const calls = (message.tool_calls ?? []).map(({ id, function: { name, arguments: text } }) => [
    id,
    name,
    text,
  ]);
  const { content, refusal } = message;
  return result(content, calls, finish_reason, completion.usage?.total_tokens, { refusal });
});
