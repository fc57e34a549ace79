"""What a reply is: what the model says, to be put in the form that a request asks for.

The request says in what form: how many choices, with log probabilities or not, how many tokens,
as a stream. A reply that cannot be the response to a request is a `SettingError`, since a mock
that sends it would teach a test what no service does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.completions import CalledTool, Choice, chunks_of, completion_of
from pytest_chatapi.mock.generated import Stamp, call_id
from pytest_chatapi.mock.misfits import (
    misfit,
    offered,
    require_audio,
    require_json,
    require_no_call,
    require_tools,
)
from pytest_chatapi.mock.schema_values import fitting_json
from pytest_chatapi.mock.tokens import tokens
from pytest_chatapi.mock.wire_form import compact

__all__ = ["Call", "Reply"]


class Call(NamedTuple):
    """A tool call of a reply.

    Attributes:
        kind: ``function`` or ``custom``.
        text: the arguments or the input; ``None`` to generate arguments that fit the request.
        id: ``None`` to generate one.
    """

    kind: str
    name: str
    text: str | None
    id: str | None
    label: str


@dataclass(frozen=True, eq=False, repr=False)
class Reply:
    """What a mock replies; made by the builders, never changed.

    What the builders set is underscored: this room's, not the user's.

    Attributes:
        label: the builder's call, shortened, for messages.
    """

    label: str
    _content: str | None = None
    _refusal: str | None = None
    _calls: tuple[Call, ...] = ()
    _transcript: str | None = None
    _is_structured: bool = False
    _finish: str = "stop"
    _reasoning: int = 0
    _cached: int = 0
    _parts: tuple[Reply, ...] = ()

    def __repr__(self) -> str:
        return self.label

    @property
    def is_fixed(self) -> bool:
        """Whether two of its completions for one request differ in ``id`` and ``created`` alone:
        calls and sounds have ids of their own.
        """
        return not (self._calls or self._transcript is not None or self._parts)

    def completion(self, body: JSONObject, stamp: Stamp) -> JSONObject:
        """The response as a ``chat.completion``.

        Args:
            body: the request's parsed JSON.
            stamp: what to send as ``id``, ``created`` and ``system_fingerprint``.

        Raises:
            SettingError: this reply does not fit this request.
        """
        ask = Ask(body)
        return completion_of(self._choices(ask, stamp), ask, stamp, self._cached_tokens)

    def chunks(self, body: JSONObject, stamp: Stamp) -> list[JSONObject]:
        """The response as ``chat.completion.chunk`` objects, the last of them before ``[DONE]``.

        What `completion` has is what the chunks join to.

        Args:
            body: the request's parsed JSON.
            stamp: as for `completion`.

        Raises:
            SettingError: this reply does not fit this request.
        """
        ask = Ask(body)
        return chunks_of(self._choices(ask, stamp), ask, stamp, self._cached_tokens)

    @property
    def _cached_tokens(self) -> int:
        return max((part._cached for part in self._parts), default=self._cached)

    def _choices(self, ask: Ask, stamp: Stamp) -> list[Choice]:
        """This reply as the choices of a request."""
        parts = self._parts or (self,) * ask.n
        if len(parts) != ask.n:
            raise misfit(
                self.label,
                f"it asks for n = {ask.n}, and the reply has {plural(len(parts), 'choice')}",
                f"request n = {len(parts)}, or reply with {plural(ask.n, 'choice')}",
            )
        return [part._choice(ask, stamp, index) for index, part in enumerate(parts)]

    def _choice(self, ask: Ask, stamp: Stamp, index: int) -> Choice:
        choice = Choice(cap=sys.maxsize if ask.cap is None else ask.cap, finish=self._finish)
        choice.reason(self._reasoning)
        content = self._structured_text(ask) if self._is_structured else self._content
        if content is not None:
            before_stop = _before_stop(content, ask.stops)
            if len(before_stop) < len(content):
                choice.finish = "stop"
            choice.content = choice.take(tokens(before_stop))
        if self._refusal is not None:
            choice.refusal = choice.take(tokens(self._refusal))
        if self._transcript is not None:
            require_audio(self.label, ask)
            choice.speak(tokens(self._transcript))
        if self._calls:
            require_tools(self.label, self._calls, ask)
            self._call(choice, ask, stamp, index)
        if choice.left == 0 and ask.cap is not None:
            choice.finish = "length"
        if not (choice.content or choice.refusal or choice.calls or choice.transcript is not None):
            choice.content, choice.refusal = (), None
        self._require_promises(choice, ask)
        return choice

    def _call(self, choice: Choice, ask: Ask, stamp: Stamp, index: int) -> None:
        choice.legacy = bool(ask.body.get("functions")) and not ask.body.get("tools")
        choice.finish = "function_call" if choice.legacy else "tool_calls"
        if ask.choice == "named":
            choice.finish = "stop"  # as the service finishes where it had no choice
        for number, call in enumerate(self._calls):
            if choice.left <= 0:
                break
            text = call.text if call.text is not None else _arguments_text(call, ask)
            id_ = call.id or call_id(stamp, index, number)
            choice.call(CalledTool(id_, call.kind, call.name, tokens(text)))

    def _require_promises(self, choice: Choice, ask: Ask) -> None:
        """Checks what the request may rely on, as long as the choice is whole."""
        is_partial = choice.finish in ("length", "content_filter")
        if not (self._calls or choice.refusal or is_partial):
            require_no_call(self.label, ask)
            require_json(self.label, ask, "".join(choice.content or ()))

    def _structured_text(self, ask: Ask) -> str:
        if ask.format not in ("json_object", "json_schema"):
            remedy = "send one, or reply with text() that holds JSON"
            raise misfit(self.label, "it has no response_format", remedy)
        if self._content is not None:
            return self._content
        if ask.format == "json_object" or not isinstance(ask.schema, dict):
            return '{"answer":"text"}'
        try:
            return fitting_json(compact(ask.schema))
        except SettingError as error:
            raise misfit(self.label, str(error), "pass the value: structured(value)") from None


def _before_stop(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop sequence in it."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]


def _arguments_text(call: Call, ask: Ask) -> str:
    tool = offered(call, ask)
    parameters = None if tool is None else tool.parameters
    if not isinstance(parameters, dict):
        return "{}"
    try:
        return fitting_json(compact({"type": "object", **parameters}))
    except SettingError as error:
        example = f"tool_call({call.name!r}, {{...}})"
        raise misfit(call.label, str(error), f"pass the arguments: {example}") from None
