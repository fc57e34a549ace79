"""Probes of tool calls.

A call is forced by `tool_choice`, for a prompt that asks for no tool or for another one: a server
that leaves the choice to the model is seen. All tools have descriptions and closed schemas, and all
but one have a schema that admits two values, so that any model is done with a call in a few tokens.
"""

from __future__ import annotations

import json
from typing import Any

from pytest_chatapi.conformance.probe import BOTH, fail, non_strict, not_exercised, probe
from pytest_chatapi.conformance.probes.structured import strict_object
from pytest_chatapi.conformance.server import Reply, Server
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import show

_SHAPE = "C01 C02 C03 C04 C05 C06 C07"
_FEATURES = "tool_choice", "parallel_tool_calls", "strict", "custom"
"""Not tools by themselves: an error that names a part of one may be a fault of the server."""


def _function(name: str, description: str, parameters: JSONObject | None, **more: Any) -> Any:
    function = {"name": name, "description": description, **more}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


_CITY = strict_object(city={"type": "string", "enum": ["Paris", "Rome"]})
WEATHER = _function("get_weather", "The weather in a city", _CITY)
_TIME = _function("get_time", "The time in a city", _CITY)
_BOOKING = strict_object(
    # Nothing that the prompt asks for is among these.
    city={"type": "string", "enum": ["Zürich", "São Paulo"]},
    sign={"type": "string", "const": "☀️ 27°C"},
    stay=strict_object(nights={"type": "integer", "enum": [2, 3]}, breakfast={"type": "boolean"}),
    rooms={"type": "array", "items": {"type": "string", "enum": ["single", "double"]}},
)
_LETTER = (
    "The quick brown fox jumps over the lazy dog while seven old owls watch from a tall tree and "
    "nine grey mice run home across the wet field before the rain comes down on them all again "
    "and a thin man in a red hat asks the way to the old mill at the end of the long green lane "
    "where no one but the miller and his cat has been since the day the big wheel came to a stop"
)


def _ask(server: Server, prompt: str, tools: list[JSON], choice: JSON, **members: Any) -> Reply:
    members.setdefault("max_completion_tokens", server.room(128))
    reply = server.chat(prompt, tools=tools, tool_choice=choice, **server.steady, **members)
    return reply.accepted(*_FEATURES)


def _named(name: str, kind: str = "function") -> JSONObject:
    return {"type": kind, kind: {"name": name}}


def _calls(reply: Reply) -> list[JSONObject]:
    """The calls of a reply that had to make one."""
    if not reply.calls:
        if reply.finish is None:  # findings say what is wrong
            raise not_exercised("the response breaks off before any call")
        if reply.finish in ("length", "content_filter") or reply.message.get("refusal"):
            raise not_exercised(f"the response ends with {show(reply.finish)} before any call")
        raise fail(
            "the response has no call although `tool_choice` requires one",
            expected="at least one call",
            got=show(reply.text) if reply.text else "no text either",
        )
    return reply.calls


def _whole_calls(reply: Reply) -> list[JSONObject]:
    """The calls of a reply that had to make one, if the last of them is whole."""
    calls = _calls(reply)
    if reply.finish == "length":
        raise not_exercised("the token limit cuts the call")
    return calls


def _function_of(call: JSONObject) -> JSONObject:
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def _arguments(call: JSONObject) -> JSON:
    """The arguments as JSON; ``None`` where they are none."""
    try:
        return json.loads(_function_of(call).get("arguments") or "")
    except (TypeError, ValueError, RecursionError):
        return None


@probe(
    "tools.required",
    "`tool_choice: required` gets a call",
    modes=BOTH,
    codes=f"K06 C09 {_SHAPE}",
    tokens=250,
)
def required(server: Server) -> None:
    # With one tool alone, the service finishes with `stop` as well.
    _whole_calls(_ask(server, "Say hello.", [WEATHER, _TIME], "required"))


@probe(
    "tools.named",
    "a `tool_choice` that names a tool gets calls of that tool only",
    modes=BOTH,
    codes=f"K07 {_SHAPE}",
    tokens=250,
)
def named(server: Server) -> None:
    prompt = "Call get_weather for Paris."
    _whole_calls(_ask(server, prompt, [WEATHER, _TIME], _named("get_time")))


@probe(
    "tools.none",
    "`tool_choice: none` gets no call, where `auto` gets one",
    codes="K05 C11",
    requests=2,
    tokens=400,
)
def none(server: Server) -> None:
    prompt = "Call get_weather for Paris."
    reply = _ask(server, prompt, [WEATHER], "none", max_completion_tokens=server.room(32))
    if reply.calls:
        return  # K05
    if not reply.text:
        raise not_exercised(f"the response has no text; it ends with {show(reply.finish)}")
    control = server.chat(
        prompt,
        tools=[WEATHER],
        tool_choice="auto",
        max_completion_tokens=server.room(128),
        **server.steady,
    )
    if control.status != 200 or not control.calls:
        raise not_exercised(
            "no call, but none with `auto` either"
            if control.status == 200
            else f"no call, but `auto` cannot be compared: {control.status}"
        )


@probe(
    "tools.auto",
    "where a tool may be called and is not, there is text, and `stop`",
    codes="C08 C11",
    tokens=200,
)
def auto(server: Server) -> None:
    reply = _ask(server, "Say hi.", [WEATHER], "auto", max_completion_tokens=server.room(32))
    if reply.calls:
        raise not_exercised("the model calls the tool, which it may")
    if reply.finish in ("tool_calls", "function_call"):
        raise fail(
            "the response has no call, but finish_reason says so",
            expected="stop",
            got=str(reply.finish),
        )
    if not reply.text:
        raise not_exercised(f"the response has no text; it ends with {show(reply.finish)}")


def _both(server: Server, parallel: bool) -> list[JSONObject]:
    prompt = "Call get_weather for Paris and get_time for Rome, both at once."
    reply = _ask(server, prompt, [WEATHER, _TIME], "required", parallel_tool_calls=parallel)
    return _calls(reply)


@probe(
    "tools.two-calls",
    "two calls of one response have ids and indexes of their own",
    modes=BOTH,
    codes="C01 C04 C05 C06",
    tokens=300,
)
def two_calls(server: Server) -> None:
    calls = _both(server, parallel=True)
    if len(calls) < 2:
        raise not_exercised("the model makes one call at a time")


@probe(
    "tools.no-parallel",
    "`parallel_tool_calls: false` gets one call, where `true` gets two",
    codes="K08",
    requests=2,
    tokens=600,
)
def no_parallel(server: Server) -> None:
    calls = _both(server, parallel=False)
    if len(calls) > 1:
        raise fail(
            "`parallel_tool_calls: false` gets several calls",
            expected="1 call",
            got=f"{len(calls)} calls",
        )
    if len(_both(server, parallel=True)) < 2:
        raise not_exercised("one call, but with `true` it is one as well")


@probe(
    "tools.strict-schema",
    "the arguments of a strict tool satisfy its schema: enum, const, nesting, list, Unicode",
    modes=BOTH,
    codes=f"C10 {_SHAPE}",
    tokens=400,
)
def strict_schema(server: Server) -> None:
    tool = _function("book_hotel", "Book a hotel", _BOOKING, strict=True)
    prompt = "Book the royal suite in Berlin for 7 nights."
    cap = server.room(300)
    reply = _ask(server, prompt, [tool], _named("book_hotel"), max_completion_tokens=cap)
    _whole_calls(reply)


@probe(
    "tools.no-arguments",
    "the arguments of a tool without parameters are `{}`",
    codes="C03 C10",
    requests=2,
    tokens=350,
)
def no_arguments(server: Server) -> None:
    for parameters in (strict_object(), None):
        tool = _function("ping", "See whether the server is there", parameters)
        members = {"tools": [tool], "tool_choice": "required", **server.steady}
        reply = server.chat("Say hello.", max_completion_tokens=server.room(128), **members)
        if parameters is None and 400 <= reply.status < 500 and reply.status != 429:
            got = f"{reply.status}: {show(reply.error.get('message'))}"
            raise fail("a tool without `parameters` is refused", expected="200", got=got)
        for call in _whole_calls(reply.accepted(*_FEATURES)):
            arguments, text = _arguments(call), _function_of(call).get("arguments")
            if text and not isinstance(arguments, dict):
                reason = "the arguments are not a JSON object"
                raise fail(reason, expected="{}", got=show(text))
            if arguments:
                reason = "the arguments have what the tool does not have"
                raise non_strict(reason, expected="{}", got=show(text))


@probe(
    "tools.round-trip",
    "the results of two calls are read, in either order",
    codes="C08",
    requests=3,
    tokens=800,
)
def round_trip(server: Server) -> None:
    prompt = "What is the weather in Paris?"
    own = _whole_calls(_ask(server, prompt, [WEATHER], "required"))[0]
    function = _function_of(own)
    # Nine letters and digits: some models take no other ids. What else the server sent with its
    # call it may want back, but not the index of a delta.
    calls = [
        {
            **{name: value for name, value in own.items() if name != "index"},
            "id": str(own.get("id") or "callParis"),
            "type": "function",
            "function": {
                "name": str(function.get("name") or "get_weather"),
                "arguments": str(function.get("arguments") or "{}"),
            },
        },
        {
            "id": "call2Rome",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
        },
    ]
    counts = []
    for results in ((0, "Rain"), (1, "Sun")), ((1, "Sun"), (0, "Rain " * 30)):
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": None, "tool_calls": calls},
            *(
                {"role": "tool", "tool_call_id": calls[at]["id"], "content": text}
                for at, text in results
            ),
        ]
        reply = server.chat(
            messages=messages,
            tools=[WEATHER],
            max_completion_tokens=server.room(16),
            **server.steady,
        ).accepted(*_FEATURES)
        if not (reply.text or reply.calls):
            raise not_exercised("the response to the result has no text")
        counts.append(reply.usage.get("prompt_tokens"))
    short, long = counts
    # Each word is a token at least.
    if isinstance(short, int) and isinstance(long, int) and long - short < 15:
        raise fail(
            "29 words more in a tool's result do not count: it is not read",
            expected=f"prompt_tokens over {short + 15}",
            got=str(long),
        )


@probe(
    "tools.unpaired",
    "a tool message without a call is refused",
    codes="X01 X06",
    is_illegal=True,
)
def unpaired(server: Server) -> None:
    messages = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "tool", "tool_call_id": "callParis", "content": "Rain"},
    ]
    reply = server.chat(messages=messages, max_completion_tokens=8)
    if reply.status == 200:
        raise non_strict("a tool message without a call is accepted", expected="400", got="200")
    reply.refused()


@probe(
    "tools.cut",
    "a call that the token limit cuts ends with `length`, and its arguments are not made whole",
    modes=("stream",),
    codes="C03 K03",
    tokens=250,
)
def cut(server: Server) -> None:
    schema = strict_object(text={"type": "string", "const": _LETTER})
    tool = _function("get_weather", "Takes a letter", schema, strict=True)
    # The text alone has 76 words, and no less tokens.
    reply = server.chat(
        "Say hello.",
        tools=[tool],
        tool_choice="required",
        max_completion_tokens=60,
        **server.steady,
    )
    if 400 <= reply.status < 500 and "max_" in json.dumps(reply.error):
        raise not_exercised(f"a cap of 60 tokens is refused: {show(reply.error.get('message'))}")
    reply.accepted(*_FEATURES)
    arguments = [_arguments(call) for call in reply.calls]
    if reply.finish == "length":
        if any(isinstance(value, dict) for value in arguments):
            raise fail(
                "the limit cuts the call, but its arguments are whole JSON: their end is made up",
                expected="the beginning of the arguments",
                got=show(_function_of(reply.calls[-1]).get("arguments")),
            )
        if not reply.calls:
            raise not_exercised("the limit is reached before the call has begun")
        return
    _calls(reply)
    if isinstance(arguments[-1], dict) and arguments[-1] != {"text": _LETTER}:
        raise not_exercised("the call is done before the limit")
    raise fail(
        "a call of over 70 tokens does not end with `length`",
        expected="length",
        got=str(reply.finish),
    )


@probe("tools.custom", "a custom tool is called with text", codes=f"K07 {_SHAPE}", tokens=150)
def custom(server: Server) -> None:
    tool = {"type": "custom", "custom": {"name": "take_note", "description": "Writes a note"}}
    cap = server.room(64)
    choice = _named("take_note", "custom")
    reply = _ask(server, "Note: hello.", [tool], choice, max_completion_tokens=cap)
    _calls(reply)


@probe(
    "tools.many",
    "a name of 64 characters and 128 tools are accepted; a name of 65 characters is not",
    codes="K07 Q09 X01 X06",
    requests=3,
    tokens=3000,
    is_illegal=True,
)
def many(server: Server) -> None:
    name = "get_weather_" + "x" * 52
    tools: list[JSON] = [_function(name, "The weather in a city", _CITY)]
    called = {
        str(_function_of(one).get("name")) for one in _calls(_ask(server, "Hi", tools, "required"))
    }
    if called != {name}:
        got = ", ".join(show(one) for one in sorted(map(str, called)))
        raise fail("the name of the tool is not kept", expected=name, got=got)
    # As few tokens as tools can have: neither descriptions nor parameters are required.
    tools += [{"type": "function", "function": {"name": f"t{number}"}} for number in range(127)]
    _calls(_ask(server, "Hi", tools, _named(name)))
    tools = [_function(name + "x", "The weather in a city", _CITY)]
    reply = server.chat("Hi", tools=tools, max_completion_tokens=8)
    if reply.status == 200:
        raise non_strict("a name of 65 characters is accepted", expected="400", got="200")
    reply.refused()
