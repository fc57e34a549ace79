"""Q: the request, whatever the answer was."""

from __future__ import annotations

from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.ledger import Ledger
from pytest_chatapi.contract.rules import shape
from pytest_chatapi.contract.schemas import Violation, json_path, load
from pytest_chatapi.contract.wording import ABSENT, Shown, listed, show
from pytest_chatapi.redaction.shapes import LIKE_A_KEY

__all__ = ["check_request"]


def check_request(ledger: Ledger, ask: Ask, body: Any, why_not: str | None, url: str) -> None:
    """All of Q for one request body (``None``: no body is known)."""
    if why_not is not None:
        ledger.add("Q00", "$", "JSON", Shown("no JSON"), f"the request is not JSON: {why_not}")
        return
    if body is None:
        return
    if not isinstance(body, dict):
        ledger.add("Q00", "$", "a JSON object", body, "the request is no JSON object")
        return
    found, unknown = load("request", ledger.as_of).violations(body)
    kept: list[Violation] = []
    for violation in found:
        path, problem, value = violation
        if problem.keyword == "required" and path == ("model",) and "/deployments/" in url:
            continue  # the deployment in the URL names the model
        if value is None and problem.keyword in ("null", "type") and problem.optional:
            ledger.add(
                "Q00",
                json_path(path),
                problem.expected,
                None,
                "null for an optional parameter: leave it out",
                case="null",
            )
        elif path == ("stop",) and value == []:
            ledger.add(
                "Q00",
                "$.stop",
                problem.expected,
                value,
                "an empty list of stop sequences: leave it out",
                case="null",
            )
        else:
            kept.append(violation)
    # A part of another kind lacks its text too: one cause, one finding.
    foreign = {path[:-1] for path, problem, _ in kept if problem.code == "Q15"}
    kept = [v for v in kept if v.problem.code == "Q15" or v.path[:-1] not in foreign]
    shape.report(ledger, kept, (), default="Q00")
    for path in unknown:
        if len(path) == 1:
            ledger.add(
                "Q12",
                json_path(path),
                "a documented parameter",
                Shown(str(path[0])[:60]),
                f"the reference does not list the parameter `{str(path[0])[:60]}`",
            )
    _parameters(ledger, ask)
    messages = body.get("messages")
    if isinstance(messages, list):
        _messages(ledger, ask, messages)
    _secrets(ledger, body)


_DEPRECATED = {
    "functions": "tools",
    "function_call": "tool_choice",
    "max_tokens": "max_completion_tokens",
    "user": "safety_identifier and prompt_cache_key",
    "seed": "",
    "prompt_cache_retention": "prompt_cache_options",
}
_DEPRECATED_SINCE = {
    "functions": "2023-11-06",
    "function_call": "2023-11-06",
    "max_tokens": "2024-09-12",
    "user": "2025-07-30",
    "seed": "2026-05-13",
    "prompt_cache_retention": "2026-07-09",
}


def _parameters(ledger: Ledger, ask: Ask) -> None:
    body = ask.body
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        ledger.add(
            "Q02",
            "$.top_logprobs",
            "logprobs: true beside it",
            body["top_logprobs"],
            "`top_logprobs` without `logprobs: true`",
        )
    if body.get("stream_options") is not None and not ask.stream:
        ledger.add(
            "Q03",
            "$.stream_options",
            "stream: true beside it",
            body["stream_options"],
            "`stream_options` without `stream: true`",
        )
    if "audio" in ask.modalities and body.get("audio") is None:
        ledger.add(
            "Q04",
            "$.audio",
            "an object with voice and format",
            ABSENT,
            "`modalities` asks for audio without the `audio` parameter",
        )
    if ask.choice == "named" and ask.named not in ask.tools:
        ledger.add(
            "Q10",
            "$.tool_choice",
            listed(ask.tools) or "a tool of the request",
            ask.named,
            "`tool_choice` forces a tool that the request does not have",
        )
    elif ask.choice == "required" and not ask.tools and not body.get("tools"):
        ledger.add(
            "Q10",
            "$.tool_choice",
            "at least one tool",
            "required",
            "`tool_choice` requires a call, and the request has no tools",
        )
    day = ledger.as_of.isoformat() if ledger.as_of else "9999"
    for name, instead in _DEPRECATED.items():
        if body.get(name) is not None and _DEPRECATED_SINCE[name] <= day:
            ledger.add(
                "Q13",
                f"$.{name}",
                instead or "leave it out",
                body[name],
                f"`{name}` is deprecated",
            )


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]


def _messages(ledger: Ledger, ask: Ask, messages: list[Any]) -> None:
    waiting: dict[str, str] = {}  # call id -> path of the call
    answered: set[str] = set()
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        role, path = message.get("role"), f"$.messages[{position}]"
        calls = message.get("tool_calls")
        if role != "tool" and waiting:
            # Calls have to be answered before the conversation goes on.
            for open_id, at in waiting.items():
                ledger.add(
                    "Q11",
                    at,
                    f"a tool message for {show(open_id)} before message {position}",
                    ABSENT,
                    "the call is not answered",
                )
            waiting = {}
        if role == "assistant":
            content = message.get("content")
            if not (
                content is not None
                or calls
                or message.get("function_call")
                or message.get("audio")
                or message.get("refusal")
            ):
                ledger.add(
                    "Q08",
                    path,
                    "content or tool_calls",
                    message,
                    "the assistant message has neither content nor calls",
                )
            for number, call in enumerate(calls if isinstance(calls, list) else ()):
                id_ = call.get("id") if isinstance(call, dict) else None
                if isinstance(id_, str):
                    waiting[id_] = f"{path}.tool_calls[{number}]"
        elif role == "tool":
            id_ = message.get("tool_call_id")
            if isinstance(id_, str):
                if waiting.pop(id_, None) is None:
                    twice = id_ in answered
                    ledger.add(
                        "Q11",
                        f"{path}.tool_call_id",
                        "the id of a call just made",
                        id_,
                        "the call is answered twice"
                        if twice
                        else "no assistant message before it made this call",
                    )
                answered.add(id_)
    # The last message may leave calls open only where nothing is asked of the model.
    for open_id, at in waiting.items():
        ledger.add(
            "Q11", at, f"a tool message for {show(open_id)}", ABSENT, "the call is not answered"
        )
    if ask.format == "json_object" and not any(
        "json" in text.lower()
        for message in messages
        if isinstance(message, dict)
        for text in _texts(message.get("content"))
    ):
        ledger.add(
            "Q14",
            "$.messages",
            "the word JSON in a message",
            ABSENT,
            "`json_object` is asked for, and no message says JSON",
        )


def _secrets(ledger: Ledger, body: dict[str, Any]) -> None:
    stack: list[tuple[str, Any]] = [("$", body)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, str):
            if "sk-" in value and (found := LIKE_A_KEY.search(value)):
                ledger.add(
                    "Q16",
                    path,
                    "no key",
                    Shown(f"sk-*** ({len(found[0])} characters)"),
                    "the body holds what looks like a secret key",
                )
        elif isinstance(value, dict):
            for key, member in value.items():
                if isinstance(key, str) and "sk-" in key:
                    stack.append((path, key))
                if isinstance(member, str | dict | list):
                    stack.append((f"{path}.{key}", member))
        elif isinstance(value, list):
            stack.extend(
                (f"{path}[{i}]", v) for i, v in enumerate(value) if isinstance(v, str | dict | list)
            )
