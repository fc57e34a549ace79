"""A tool loop that is right, and copies that are wrong in one way each. Not a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import httpx
from fuzz_readers import BODY, Reader

__all__ = ["RIGHT", "WRONG", "Loop"]

_URL = "https://api.openai.com/v1/chat/completions"


class Loop:
    """Calls the tools that the model wants, until it says something; a step is a method."""

    body: ClassVar[dict[str, Any]] = {key: BODY[key] for key in ("model", "messages", "tools")}

    def __init__(self) -> None:
        self.messages: list[Any] = list(self.body["messages"])

    def __call__(self) -> Any:
        while True:
            message = self.request()
            calls = message.get("tool_calls")
            if not calls:
                return self.result(message)
            self.messages += self.follow_up(message, calls)

    def request(self) -> dict[str, Any]:
        body = {**self.body, "messages": self.messages}
        response = httpx.post(_URL, json=body).raise_for_status()
        choice = response.json()["choices"][0]
        if not choice["finish_reason"]:
            raise RuntimeError("not finished")
        message: dict[str, Any] = choice["message"]
        return message

    def result(self, message: dict[str, Any]) -> Any:
        return message["content"] or message["refusal"]

    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        return [self.sent_back(message, calls), *self.answers(calls)]

    def sent_back(self, message: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": message["content"], "tool_calls": calls}

    def answers(self, calls: list[Any]) -> list[Any]:
        return [self.answer(call["id"]) for call in calls]

    def answer(self, id_: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": id_, "content": "12 degrees"}


RIGHT: dict[str, Callable[[], Any]] = {}
WRONG: dict[str, tuple[Callable[[], Any], str]] = {}
"""With what is said of it."""


def _right(loop: type[Loop]) -> type[Loop]:
    RIGHT[loop.__name__] = lambda: loop()()
    return loop


def _wrong(problem: str) -> Callable[[type[Loop]], type[Loop]]:
    def register(loop: type[Loop]) -> type[Loop]:
        WRONG[loop.__name__] = (lambda: loop()()), problem
        return loop

    return register


# -- right -----------------------------------------------------------------------------------


_right(Loop)


@_right
class Streamed(Loop):
    """Streams each response, and sends no content back where there is none."""

    def request(self) -> dict[str, Any]:
        body = {**self.body, "messages": self.messages, "stream": True}
        with httpx.stream("POST", _URL, json=body) as response:
            response.raise_for_status()
            (choice,) = Reader().read(response.iter_bytes())["choices"]
        for call in choice["calls"]:
            call["arguments"] = json.dumps(call["arguments"], indent=1)
        calls = [
            {"id": c.pop("id"), "type": "function", "function": c} for c in choice.pop("calls")
        ]
        return {**choice, "tool_calls": calls}

    def sent_back(self, message: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
        return {"role": "assistant", "tool_calls": calls}


@_right
class AnswersInAnotherOrder(Loop):
    def answers(self, calls: list[Any]) -> list[Any]:
        return super().answers(calls[::-1])


@_right
class AddsSystemMessages(Loop):
    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        self.messages.insert(0, {"role": "system", "content": f"Step {len(self.messages)}"})
        return [*super().follow_up(message, calls), {"role": "system", "content": "Go on."}]


@_right
class SendsEachCallInAMessage(Loop):
    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        return [m for call in calls for m in super(type(self), self).follow_up(message, [call])]


@_right
class StopsAfterTwoRequests(Loop):
    requests = 0

    def request(self) -> dict[str, Any]:
        self.requests += 1
        if self.requests > 2:
            raise RuntimeError("too many requests")
        return super().request()


@_right
class ReturnsCallsThatItDoesNotMake(Loop):
    """Its caller goes on."""

    def __call__(self) -> Any:
        message = self.request()
        if message.get("tool_calls"):
            self.messages += self.follow_up(message, message["tool_calls"])
            message = self.request()
        return message["content"], message["refusal"], message.get("tool_calls")


@_right
class BeginsAnew(Loop):
    """Its second request has nothing to do with the first one."""

    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        self.messages.clear()
        return [{"role": "user", "content": "Say something without tools."}]

    def request(self) -> dict[str, Any]:
        if self.messages != self.body["messages"]:
            body = {"model": "gpt-5.2", "messages": self.messages}
            response = httpx.post(_URL, json=body).raise_for_status()
            message: dict[str, Any] = response.json()["choices"][0]["message"]
            return message
        return super().request()


# -- wrong -----------------------------------------------------------------------------------


@_wrong("answered a call twice")
class AnswersTwice(Loop):
    def answers(self, calls: list[Any]) -> list[Any]:
        return super().answers([*calls, calls[0]])


@_wrong("left a call unanswered")
class AnswersTheFirstOnly(Loop):
    def answers(self, calls: list[Any]) -> list[Any]:
        return super().answers(calls[:1])


@_wrong("dropped a call")
class DropsAllButTheFirst(Loop):
    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        return super().follow_up(message, calls[:1])


@_wrong("answered a call twice")
class GivesAllTheSameId(Loop):
    def answers(self, calls: list[Any]) -> list[Any]:
        return super().answers([calls[0]] * len(calls))


@_wrong("sent back a call that no response made")
class MakesUpIds(Loop):
    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        renamed = [{**call, "id": f"call_{at}"} for at, call in enumerate(calls)]
        return super().follow_up(message, renamed)


@_wrong("answered a call that no response made")
class AnswersByName(Loop):
    def answers(self, calls: list[Any]) -> list[Any]:
        return [self.answer(call["function"]["name"]) for call in calls]


@_wrong('answered a call in the role "user"')
class AnswersAsUser(Loop):
    def answer(self, id_: str) -> dict[str, Any]:
        return {"role": "user", "content": "12 degrees"}


@_wrong('answered a call in the role "function"')
class AnswersAsFunction(Loop):
    def answer(self, id_: str) -> dict[str, Any]:
        return {"role": "function", "name": "get_weather", "content": "12 degrees"}


@_wrong("left the calls out of the conversation")
class TellsTheResultOnly(Loop):
    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        return [{"role": "user", "content": "The result is: 12 degrees"}]


@_wrong("answered a call that it did not send back")
class SendsNoCallsBack(Loop):
    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        return self.answers(calls)


@_wrong("sent back a call with other arguments")
class DropsArguments(Loop):
    def sent_back(self, message: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
        calls = [{**call, "function": {**call["function"], "arguments": "{}"}} for call in calls]
        return super().sent_back(message, calls)


@_wrong("sent back a call with another name")
class MixesCalls(Loop):
    def sent_back(self, message: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
        functions = [call["function"] for call in calls][::-1]
        calls = [
            {**call, "function": function} for call, function in zip(calls, functions, strict=True)
        ]
        return super().sent_back(message, calls)


@_wrong("sent back a request that the API refuses")
class AnswersWithJSON(Loop):
    def answer(self, id_: str) -> dict[str, Any]:
        return {**super().answer(id_), "content": {"degrees": 12}}


@_wrong("left a call unanswered")
class SaysSomethingBeforeTheAnswers(Loop):
    def answers(self, calls: list[Any]) -> list[Any]:
        return [{"role": "system", "content": "Results follow."}, *super().answers(calls)]


@_wrong("sent back a call twice")
class KeepsCallsOfEarlierTurns(Loop):
    """Collects calls, and forgets to begin anew."""

    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        self.calls = [*getattr(self, "calls", ()), *calls]
        return super().follow_up(message, self.calls)


@_wrong("does not come to an end")
class ForgetsWhatItWasTold(Loop):
    """Sends the first request again and again."""

    def follow_up(self, message: dict[str, Any], calls: list[Any]) -> list[Any]:
        return []


@_wrong("does not come to an end")
class ForcesACallForEver(Loop):
    body: ClassVar[dict[str, Any]] = {**Loop.body, "tool_choice": "required"}


@_wrong("does not come to an end")
class GoesOnForEver(Loop):
    def __call__(self) -> Any:
        while True:
            message = self.request()
            calls = message.get("tool_calls") or []
            content = message["content"] or message["refusal"]
            self.messages += (
                self.follow_up(message, calls)
                if calls
                else [{"role": "assistant", "content": content}]
            )


@_wrong("returned a result although the model waits for tools")
class GoesOnOnceOnly(Loop):
    def __call__(self) -> Any:
        message = self.request()
        if message.get("tool_calls"):
            self.messages += self.follow_up(message, message["tool_calls"])
            message = self.request()
        return message["content"] or message["refusal"] or ""
