"""The builders: functions that make replies, each with a row in the documentation's table."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.wording import show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.replies import Call, Reply

__all__ = [
    "BUILDERS",
    "Builder",
    "audio",
    "builders_table",
    "choices",
    "content_filter",
    "custom_tool_call",
    "length_cut",
    "reasoning",
    "refusal",
    "reply_that_fits",
    "structured",
    "text",
    "tool_call",
    "tool_calls",
]

_FINISHES = ("stop", "length", "content_filter")


class Builder(NamedTuple):
    """A row of the table of builders.

    Attributes:
        sdk: where the openai SDK has the content: an expression of ``choice`` and ``usage``.
    """

    build: Callable[..., Reply]
    summary: str
    sdk: str


BUILDERS: dict[str, Builder] = {}
"""Every builder by its name, with one line about it."""

_Build = TypeVar("_Build", bound=Callable[..., Reply])


def _builder(summary: str, sdk: str) -> Callable[[_Build], _Build]:
    def register(build: _Build) -> _Build:
        BUILDERS[build.__name__] = Builder(build, summary, sdk)
        return build

    return register


def builders_table() -> str:
    """The builders in Markdown, for the documentation."""
    lines = ["| builder | response | in the openai SDK |", "| --- | --- | --- |"]
    for name, builder in BUILDERS.items():
        parameters = inspect.signature(builder.build).parameters.values()
        arguments = ", ".join(
            str(p).partition(":")[0] + ("" if p.default is p.empty else f"={p.default!r}")
            for p in parameters
        )
        lines.append(f"| `{name}({arguments})` | {builder.summary} | `{builder.sdk}` |")
    return "\n".join(lines) + "\n"


# -- checks of arguments -----------------------------------------------------------------


def _label(name: str, *values: object) -> str:
    return f"{name}({', '.join(show(value, 40) for value in values)})"


def _label_of(name: str, replies: Sequence[Reply]) -> str:
    for reply in replies:
        if not isinstance(reply, Reply):
            raise SettingError(f"{name}() takes replies, not {show(reply, 40)}; use text(...)")
    return f"{name}({', '.join(reply.label for reply in replies)})"


def _text_of(label: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{label} takes a str; for JSON use structured()")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SettingError(
            f"{label} contains an unpaired surrogate at character {error.start}, which UTF-8 "
            "cannot encode; remove it"
        ) from None
    return value


def _json_of(label: str, value: object) -> str:
    model_dump = getattr(value, "model_dump", None)
    if model_dump is not None:
        value = model_dump(mode="json", by_alias=True)
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(
            f"{label} is not JSON ({error}); pass a value that json.dumps accepts"
        ) from None
    return _text_of(label, written)


def _count_of(label: str, name: str, value: object) -> int:
    if type(value) is not int or value < 0:
        raise SettingError(f"{label}: {name} must be an integer of at least 0, not {value!r}")
    return value


def _text_reply(
    label: str,
    content: object,
    finish_reason: str = "stop",
    reasoning_tokens: int = 0,
    cached_tokens: int = 0,
) -> Reply:
    if finish_reason not in _FINISHES:
        raise SettingError(
            f"{label}: finish_reason must be one of {', '.join(_FINISHES)}, not {finish_reason!r}"
        )
    return Reply(
        label,
        _content=_text_of(label, content),
        _finish=finish_reason,
        _reasoning=_count_of(label, "reasoning_tokens", reasoning_tokens),
        _cached=_count_of(label, "cached_tokens", cached_tokens),
    )


# -- the builders ------------------------------------------------------------------------


@_builder("Text.", "choice.message.content")
def text(
    content: str = "Hello!",
    *,
    finish_reason: str = "stop",
    reasoning_tokens: int = 0,
    cached_tokens: int = 0,
) -> Reply:
    """A message with text.

    The text ends before a stop sequence of the request; a token cap cuts it, and then the
    ``finish_reason`` is ``length``.

    Args:
        content: the text; an empty one is sent too, though the contract warns about it.
        finish_reason: ``stop``, ``length`` or ``content_filter``.
        reasoning_tokens: tokens spent before the text; they count against the request's cap.
        cached_tokens: how many tokens of the prompt were cached; a shorter prompt is reported
            as that long.

    Raises:
        SettingError: an argument is out of range.
    """
    label = _label("text", content)
    return _text_reply(label, content, finish_reason, reasoning_tokens, cached_tokens)


@_builder(
    "A function call; arguments left out are generated to fit the schema of its parameters.",
    "choice.message.tool_calls[0].function.arguments",
)
def tool_call(name: str, arguments: Any = None, *, id: str | None = None) -> Reply:
    """A call of one of the request's functions.

    Finishes with ``tool_calls``; with ``stop`` where ``tool_choice`` names the tool, as the
    service does. A request with the deprecated ``functions`` gets a ``function_call``.

    Args:
        name: of the tool.
        arguments: a dict; a str is sent as it is, even broken JSON where the tool is not
            strict; ``None`` generates arguments that fit the schema of the parameters.
        id: of the call; ``None`` generates one, the same in every run.

    Raises:
        SettingError: the arguments are not JSON.
    """
    label = _label("tool_call", name) if arguments is None else _label("tool_call", name, arguments)
    arguments_text = None
    if arguments is not None:
        arguments_text = (_text_of if isinstance(arguments, str) else _json_of)(label, arguments)
    call = Call("function", _text_of(label, name), arguments_text, id, label)
    return Reply(label, _calls=(call,))


@_builder("A call of a custom tool, with free text.", "choice.message.tool_calls[0].custom.input")
def custom_tool_call(name: str, input: str) -> Reply:
    """A call of one of the request's custom tools.

    Args:
        name: of the tool.
        input: free text; not checked against a grammar of the tool.

    Raises:
        SettingError: the input is not a str.
    """
    label = _label("custom_tool_call", name, input)
    call = Call("custom", _text_of(label, name), _text_of(label, input), None, label)
    return Reply(label, _calls=(call,))


@_builder(
    "Several calls in one message, with or without text before them.",
    "choice.message.tool_calls[1].function.name",
)
def tool_calls(*calls: Reply, content: str | None = None) -> Reply:
    """Parallel calls.

    Args:
        calls: replies from `tool_call` and `custom_tool_call`.
        content: text before them.

    Raises:
        SettingError: there are no calls, or a reply is not one.
    """
    label = _label_of("tool_calls", calls)
    for call in calls:
        if not call._calls:
            raise SettingError(f"tool_calls() takes tool calls, not {call.label}")
    if not calls:
        raise SettingError("tool_calls() needs at least one tool_call() or custom_tool_call()")
    text_before = None if content is None else _text_of(label, content) or None
    return Reply(
        label, _content=text_before, _calls=tuple(c for reply in calls for c in reply._calls)
    )


@_builder(
    "Structured output; a value left out is generated to fit the request's JSON Schema.",
    "choice.message.content",
)
def structured(value: Any = None) -> Reply:
    """A message whose content is JSON, as the request's ``response_format`` wants it.

    Args:
        value: anything that JSON can hold, or a pydantic model; ``None`` generates a value.

    Raises:
        SettingError: the value is not JSON.
    """
    if value is None:
        return Reply("structured()", _is_structured=True)
    label = _label("structured", value)
    return Reply(label, _content=_json_of(label, value), _is_structured=True)


@_builder(
    "A refusal: no content, and text that says why.",
    "choice.message.refusal",
)
def refusal(text: str = "I'm sorry, but I can't help with that.") -> Reply:
    """A message that refuses, which fits any request.

    Raises:
        SettingError: the text is empty.
    """
    label = _label("refusal", text)
    if not _text_of(label, text):
        raise SettingError("refusal() needs a text that is not empty")
    return Reply(label, _refusal=text)


@_builder("Text that was cut: finishes with `length`.", "choice.finish_reason == 'length'")
def length_cut(content: str = "The answer to that is") -> Reply:
    """A message that ran out of tokens, whatever the request's cap.

    Raises:
        SettingError: the content is not a str.
    """
    return _text_reply(_label("length_cut", content), content, "length")


@_builder(
    "Text that was stopped: finishes with `content_filter`.",
    "choice.finish_reason == 'content_filter'",
)
def content_filter(content: str = "The answer to that is") -> Reply:
    """A message that the content filter stopped, after some text or before any.

    Raises:
        SettingError: the content is not a str.
    """
    return _text_reply(_label("content_filter", content), content, "content_filter")


@_builder(
    "Speech with its transcript, where the request asks for audio.",
    "choice.message.audio.transcript",
)
def audio(transcript: str = "Hello!") -> Reply:
    """A spoken message: silence as long as the transcript, in ``wav`` or ``pcm16``.

    Other formats, which only an encoder can make, hold a placeholder.

    Raises:
        SettingError: the transcript is not a str.
    """
    label = _label("audio", transcript)
    return Reply(label, _transcript=_text_of(label, transcript))


@_builder(
    "Text after reasoning, whose tokens are in the usage.",
    "usage.completion_tokens_details.reasoning_tokens",
)
def reasoning(content: str = "Hello!", reasoning_tokens: int = 64) -> Reply:
    """A message of a reasoning model; the reasoning itself is never sent.

    Raises:
        SettingError: an argument is out of range.
    """
    label = _label("reasoning", content, reasoning_tokens)
    return _text_reply(label, content, reasoning_tokens=reasoning_tokens)


@_builder("A reply of its own for each of the request's `n` choices.", "choice.message.content")
def choices(*replies: Reply | str) -> Reply:
    """Different choices; any other reply is repeated for the request's ``n``.

    Args:
        replies: one for each choice: a str, or a reply of another builder.

    Raises:
        SettingError: there are no replies, or one of them is itself made by `choices`.
    """
    parts = tuple(map(_part_of_choices, replies))
    label = _label_of("choices", parts)
    if not parts or any(part._parts for part in parts):
        raise SettingError("choices() takes one reply for each choice, and no choices() inside")
    return Reply(label, _parts=parts)


def _part_of_choices(reply: object) -> Reply:
    if isinstance(reply, str):
        return text(reply)
    if isinstance(reply, Reply):
        return reply
    if callable(reply):
        instead = "reply with a function that returns choices(...)"
    elif hasattr(reply, "apply"):
        instead = "put a fault before it in a script"
    else:
        instead = "use structured(...) for JSON"
    raise SettingError(
        f"choices() takes texts and replies of builders, not {type(reply).__name__}: {instead}"
    )


# -- a reply to anything -----------------------------------------------------------------


def reply_that_fits(ask: Ask) -> Reply:
    """The plainest reply to a request: a call where one is required, JSON where a schema is
    given, speech where audio is requested, else a few words.
    """
    if ask.choice in ("required", "named") and ask.tools:
        kind, name = ask.named or next(iter(ask.allowed or ask.tools))
        return custom_tool_call(name, "Hello!") if kind == "custom" else tool_call(name)
    if ask.format in ("json_object", "json_schema"):
        return structured()
    if "audio" in ask.modalities:
        return audio("Hello!")
    return text("Hello!")
