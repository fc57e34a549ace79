// openai-node: the chunks that it yields, added up as the reference says.
import OpenAI from "openai";
import { request, result, run } from "./consuming.mjs";

const client = new OpenAI({ maxRetries: 0 });

await run(async () => {
  let text = "", refusal = "", finish, usage;
  const calls = [];
  for await (const chunk of await client.chat.completions.create(request)) {
    usage = chunk.usage ?? usage;
    for (const { delta, finish_reason } of chunk.choices) {
      text += delta?.content ?? "";
      refusal += delta?.refusal ?? "";
      for (const part of delta?.tool_calls ?? []) {
        const call = (calls[part.index] ??= { id: "", name: "", arguments: "" });
        call.id = part.id || call.id;
        call.name = part.function.name || call.name;
        call.arguments += part.function.arguments ?? "";
      }
      finish = finish_reason ?? finish;
    }
  }
  if (!finish) throw new Error("the stream ended early");
  calls.forEach((call) => (call.arguments = JSON.parse(call.arguments)));
  return result(text, calls, finish, usage?.total_tokens, { refusal });
});
