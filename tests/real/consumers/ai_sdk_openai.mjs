// @ai-sdk/openai: its chat model.
import { createOpenAI } from "@ai-sdk/openai";
import { consuming } from "./ai_sdk.mjs";

const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
await consuming(provider.chat("gpt-4o-mini"));
