"""A server as a probe sees it: requests in its mode, and replies that are already checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from pytest_chatapi.conformance.probe import (
    Mode,
    Outcome,
    fail,
    non_strict,
    not_exercised,
    unsupported,
)
from pytest_chatapi.conformance.wire import Caps, Sent, Wire
from pytest_chatapi.contract.assemble import Answer, as_completion
from pytest_chatapi.contract.check import CheckResult, check_exchange
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import show

__all__ = ["Reply", "Server"]

CHAT = "/chat/completions"

ROOM_TO_REASON = 2000
"""Tokens that a model may spend before what it is asked for. The models that reason take a few
hundred for the prompts of the probes.
"""
_UNSUPPORTED = (
    "not support",
    "unsupported",
    "not implemented",
    "not available",
    "not enabled",
    "not allowed",
    "unrecognized",
    "unknown",
    "unexpected",
    "extra inputs",
    "requires",
    "disabled",
    "only supports",
)


class Reply:
    """A response, as it was checked.

    Attributes:
        sent: the exchange, and how it came.
        result: of the check.
    """

    def __init__(self, sent: Sent, result: CheckResult) -> None:
        self.sent, self.result = sent, result

    @property
    def status(self) -> int:
        response = self.sent.exchange.response
        assert response is not None
        return response.status

    @property
    def headers(self) -> dict[str, str]:
        response = self.sent.exchange.response
        assert response is not None
        return dict(response.headers)

    @property
    def raw(self) -> bytes:
        response = self.sent.exchange.response
        assert response is not None
        return response.content

    @cached_property
    def json(self) -> JSON:
        """The body as JSON; ``None`` where it is not JSON."""
        try:
            return json.loads(self.raw)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def error(self) -> JSONObject:
        """The member ``error`` of the body, or what other servers have for it: ``detail``
        (FastAPI), ``message``, a bare text. Empty where there is none.
        """
        body = self.json if isinstance(self.json, dict) else {}
        error = body.get("error") or body.get("detail") or body.get("message")
        if isinstance(error, dict):
            return error
        if isinstance(error, list) and all(isinstance(one, dict) and "msg" in one for one in error):
            # FastAPI's: each has the place in the request, and what is wrong there.
            places = [".".join(map(str, one.get("loc") or ())) for one in error]
            error = "; ".join(f"{at}: {one['msg']}" for at, one in zip(places, error, strict=True))
        return {"message": error if isinstance(error, str) else json.dumps(error)} if error else {}

    @property
    def answer(self) -> Answer:
        """Choices and usage, whole or joined from a stream.

        Raises:
            Outcome: none could be read.
        """
        if self.result.answer is None:
            raise self._no_answer()
        return self.result.answer

    def _no_answer(self) -> Outcome:
        got = show(self.raw.decode("utf-8", "replace"))
        return fail("the response holds no completion", got=got)

    @cached_property
    def completion(self) -> JSONObject:
        """The response in the form of a whole completion, also where it was streamed: as it came,
        or what the chunks join to.
        """
        answer = self.answer
        if not answer.streamed and isinstance(self.json, dict):
            return self.json
        return as_completion(answer)

    @cached_property
    def choices(self) -> list[JSONObject]:
        choices = self.completion.get("choices")
        return [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []

    @property
    def message(self) -> JSONObject:
        """Of the first choice."""
        if not self.choices:
            raise fail("the response has no choice", expected="1 choice", got="[]")
        message = self.choices[0].get("message")
        return message if isinstance(message, dict) else {}

    @property
    def text(self) -> str:
        content = self.message.get("content")
        return content if isinstance(content, str) else ""

    @property
    def calls(self) -> list[JSONObject]:
        calls = self.message.get("tool_calls")
        return [c for c in calls if isinstance(c, dict)] if isinstance(calls, list) else []

    @property
    def finish(self) -> JSON:
        return self.choices[0].get("finish_reason") if self.choices else None

    @property
    def usage(self) -> JSONObject:
        usage = self.completion.get("usage")
        return usage if isinstance(usage, dict) else {}

    @cached_property
    def frames(self) -> list[JSONObject]:
        """The chunks of a stream, as far as they are JSON objects."""
        found = []
        for line in self.raw.decode("utf-8", "replace").splitlines():
            if line.startswith("data:"):
                try:
                    value = json.loads(line[5:])
                except (ValueError, RecursionError):
                    continue
                if isinstance(value, dict):
                    found.append(value)
        return found

    @property
    def reasoning_tokens(self) -> int:
        """As counted by the usage; 0 where it does not say."""
        details = self.usage.get("completion_tokens_details")
        count = details.get("reasoning_tokens") if isinstance(details, dict) else 0
        return count if isinstance(count, int) else 0

    @property
    def shows_reasoning(self) -> bool:
        """Whether the model thought before it spoke: its thoughts are counted, or sent, in a member
        of their own or at the start of the text.
        """
        return bool(
            self.reasoning_tokens
            or any(choice.reasoned for choice in self.answer.choices.values())
            or self.text.lstrip().startswith("<think>")
        )

    @property
    def is_used_up(self) -> bool:
        """Whether the cap ended it before there was anything: its thoughts may be hidden. Some
        servers then send an error.
        """
        if self.result.answer is None:
            return self.status == 400 and b"output limit was reached" in self.raw
        return self.finish == "length" and not self.text and not self.calls

    def without(self, *codes: str) -> Reply:
        """This reply without findings of rules that another check is about: what is sent to force
        one behaviour may meet the lack of another.
        """
        findings = self.result.findings
        findings[:] = [finding for finding in findings if finding.code not in codes]
        return self

    # -- what a probe asks of a reply --------------------------------------------------------

    def accepted(self, *features: str) -> Reply:
        """This reply, if the request was accepted.

        Args:
            features: what a server may lack; an error that names one of them, or says that it does
                not support something, is ``unsupported``. Without any, each refusal is a failure.

        Raises:
            Outcome: it was refused.
        """
        if self.status == 200:
            request = self.sent.exchange.request
            if request is not None and request.method == "POST" and not self.answer.choices:
                raise self._no_answer()
            return self
        got = f"{self.status}: {show(self.error.get('message', self.raw.decode('latin-1')))}"
        said = self.raw.decode("utf-8", "replace").lower()
        says_so = self.error and 400 <= self.status < 500
        names = any(feature.lower() in said for feature in features)
        if says_so and "context" in said and ("exceed" in said or "length" in said):
            raise not_exercised(f"the prompt does not fit into the context: {got}")
        if says_so and features and (names or any(text in said for text in _UNSUPPORTED)):
            raise unsupported(got)
        if self.status in (501,) and features:
            raise unsupported(got)
        if self.status == 429:
            raise not_exercised(f"rate limited: {got}")
        expected = "200, or a 4xx that says what is not supported" if features else "200"
        raise fail("a legal request is refused", expected=expected, got=got)

    def with_text(self) -> Reply:
        """This reply, if it has text that can be looked at.

        Raises:
            Outcome: it has none, as that of a model that spent its tokens on reasoning.
        """
        if not self.text:
            raise not_exercised("the response to a plain request has no text")
        return self

    @property
    def prompt_tokens(self) -> int:
        """As the usage says.

        Raises:
            Outcome: it says nothing.
        """
        count = self.usage.get("prompt_tokens")
        if not isinstance(count, int):
            raise not_exercised("the response does not count the tokens of the prompt")
        return count

    def refused(self, *statuses: int) -> Reply:
        """This reply, if the request was refused with a 4xx and an error body.

        Args:
            statuses: those that are right; by default 400 and 422.

        Raises:
            Outcome: it was not.
        """
        *others, last = map(str, statuses or (400, 422))
        expected = f"{', '.join(others)} or {last}" if others else last
        if self.status in (statuses or (400, 422)):
            if not self.error:
                raise fail(
                    "the refusal has no error body",
                    expected='{"error": {"message": ...}}',
                    got=show(self.raw.decode("utf-8", "replace")),
                )
            return self
        got = str(self.status)
        if self.error:
            got += f": {show(self.error.get('message'))}"
        what = "accepted" if self.status < 300 else "answered with another status"
        raise fail(f"an illegal request is {what}", expected=expected, got=got)

    def refused_or_loose(self, what: str) -> Reply:
        """As `refused`, but to accept the request is only ``non-strict``: it asks for more than
        the contract allows, and many servers have it.

        Args:
            what: of the request is illegal.
        """
        if self.status == 200:
            raise non_strict(f"accepts {what}", expected="400 or 422", got="200")
        return self.refused()


class Server:
    """A server, as one check sees it.

    Attributes:
        model: that is probed.
        mode: of the check.
        replies: all that came so far.
        reasons: whether the model reasons first, as its plainest reply shows.
        samples: the check is repeated, for a rate of what the model says.
    """

    reasons = False
    samples = False

    def __init__(
        self,
        wire: Wire,
        mode: Mode,
        model: str,
        caps: Caps,
        profile: str | None = None,
        as_of: str | None = None,
        is_deterministic: Callable[[], Outcome | None] = lambda: None,
    ) -> None:
        self.wire, self.mode, self.model = wire, mode, model
        self.replies: list[Reply] = []
        self._caps, self._profile, self._as_of = caps, profile, as_of
        self._is_deterministic = is_deterministic

    def chat(
        self,
        prompt: str = "Say hello.",
        *,
        mode: Mode | None = None,
        stop_after: int = 0,
        headers: dict[str, str] | None = None,
        query: str = "",
        **members: Any,
    ) -> Reply:
        """Ask for a completion, in the mode of the check.

        Args:
            mode: another one.
            members: of the request, beside model and messages; ``...`` leaves one out.
        """
        body = self._body(prompt, mode, members)
        return self.send(
            "POST",
            CHAT + query,
            body,
            headers={"content-type": "application/json", **(headers or {})},
            stop_after=stop_after,
        )

    def chat_at_once(self, prompts: Sequence[str], each: Sequence[dict[str, Any]]) -> list[Reply]:
        """Ask for completions at the same time; `each` has more members of each request."""
        headers = {"content-type": "application/json"}
        bodies = [self._body(p, None, more) for p, more in zip(prompts, each, strict=True)]
        sent = self.wire.send_at_once([("POST", CHAT, body, headers) for body in bodies])
        return [self._reply(one) for one in sent]

    def _body(self, prompt: str, mode: Mode | None, members: dict[str, Any]) -> bytes:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            **members,
        }
        if (mode or self.mode) == "stream":
            body.setdefault("stream", True)
            body.setdefault("stream_options", {"include_usage": True})
        return json.dumps({n: value for n, value in body.items() if value is not ...}).encode()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.send("GET", path, None, headers=headers or {})

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        *,
        headers: dict[str, str],
        stop_after: int = 0,
    ) -> Reply:
        """Send a request as it is.

        Raises:
            Outcome: no response came, or not all of it.
        """
        return self._reply(self.wire.send(method, path, body, headers, stop_after))

    def _reply(self, sent: Sent) -> Reply:
        result = check_exchange(sent.exchange, self._profile, as_of=self._as_of, keep=True)
        reply = Reply(sent, result)
        self.replies.append(reply)
        if reply.status in range(300, 400):
            raise fail(f"redirects to {show(reply.headers.get('location', ''))}; not followed")
        usage = result.answer.usage if result.answer is not None else None
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        if isinstance(total, int):
            self._caps.add_tokens(total - sent.reserved)
        elif reply.status >= 400:
            self._caps.add_tokens(-sent.reserved)
        return reply

    def room(self, tokens: int) -> int:
        """What to cap a reply at that takes so many tokens: a model that reasons has more, or the
        cap would end it before it says anything.
        """
        return tokens + ROOM_TO_REASON if self.reasons else tokens

    @property
    def steady(self) -> dict[str, Any]:
        """Members of a request whose reply should not vary, unless it is to be sampled. Models that
        reason refuse them.
        """
        return {} if self.reasons or self.samples else {"temperature": 0}

    def needs_determinism(self) -> None:
        """Go on only if the same request twice gives the same text.

        Raises:
            Outcome: it does not, so two replies cannot be compared.
        """
        outcome = self._is_deterministic()
        if outcome is not None:
            raise outcome
