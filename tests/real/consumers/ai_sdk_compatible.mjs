// @ai-sdk/openai-compatible: its chat model.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { consuming } from "./ai_sdk.mjs";

const provider = createOpenAICompatible({
  name: "mock",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  includeUsage: true,
});
await consuming(provider("gpt-4o-mini"));
