// The AI SDK: the parts of `streamText`.
import { jsonSchema, streamText, tool } from "ai";
import { messages, names, parameters, result, run } from "./consuming.mjs";

const tools = Object.fromEntries(
  names.map((name) => [name, tool({ inputSchema: jsonSchema(parameters) })]),
);

export const consuming = (model) =>
  run(async () => {
    let text = "", finish, tokens;
    const calls = [];
    const stream = streamText({ model, messages, tools, maxRetries: 0, onError() {} });
    for await (const part of stream.fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "text-delta") text += part.text;
      if (part.type === "tool-call") calls.push([part.toolCallId, part.toolName, part.input]);
      if (part.type === "finish") {
        finish = part.finishReason;
        tokens = part.totalUsage.totalTokens;
      }
    }
    return result(text, calls, finish, tokens);
  });
