// What the consumers in this folder share: a request, and the loop of --keep-alive.
import { createInterface } from "node:readline";

export const messages = [{ role: "user", content: "What is the weather in Oslo?" }];
export const parameters = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
export const names = ["get_weather", "get_traffic"];
export const request = {
  model: "gpt-4o-mini",
  messages,
  tools: names.map((name) => ({ type: "function", function: { name, parameters } })),
  stream: true,
  stream_options: { include_usage: true },
};

// Consume a response for each line of standard input.
export async function run(consume) {
  for await (const _ of createInterface({ input: process.stdin })) {
    try {
      console.log("ok " + JSON.stringify(await consume()));
    } catch (error) {
      console.log(`error ${error?.name}: ${error?.message ?? error}`.replaceAll("\n", " "));
    }
  }
  process.exit();
}

// What a consumer understood, the same members for each; not all have a place for refusals.
export function result(text, calls, finish, tokens, refusals = {}) {
  return { text: text ?? "", calls, finish, tokens, ...refusals };
}
