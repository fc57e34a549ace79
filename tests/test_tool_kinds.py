"""Tools are what they are by kind and name, in the request, in the response and in the history."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from whole_and_streamed import OPENAI, VLLM, exchange, findings, verdict

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.mock import builders

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": CITY}}
OTHER = {"type": "function", "function": {"name": "walk"}}
CUSTOM = {"type": "custom", "custom": {"name": "look"}}
LEGACY = {"name": "look", "parameters": CITY}

ARGUMENTS = '{"city": "Turku"}'
FUNCTION_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": ARGUMENTS},
}
CUSTOM_CALL = {"id": "call_1", "type": "custom", "custom": {"name": "look", "input": "Turku"}}
CALLS = {
    "function": ({"tool_calls": [FUNCTION_CALL]}, "tool_calls"),
    "custom": ({"tool_calls": [CUSTOM_CALL]}, "tool_calls"),
    "legacy": ({"function_call": {"name": "look", "arguments": ARGUMENTS}}, "function_call"),
}
OFFERS: dict[str, dict[str, Any]] = {
    "function": {"tools": [FUNCTION]},
    "custom": {"tools": [CUSTOM]},
    "legacy": {"functions": [LEGACY]},
}
NAMING: dict[str, dict[str, Any]] = {
    "function": {"tool_choice": {"type": "function", "function": {"name": "look"}}},
    "custom": {"tool_choice": {"type": "custom", "custom": {"name": "look"}}},
    "legacy": {"function_call": {"name": "look"}},
}


# -- C09 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("called", CALLS)
@pytest.mark.parametrize("offered", OFFERS)
def test_a_call_is_of_the_kind_that_is_offered(offered: str, called: str) -> None:
    message, finish = CALLS[called]
    expected = {} if offered == called else {"C09": "error"}
    assert verdict(OFFERS[offered], message, finish) == expected


def test_tools_of_one_name_and_two_kinds() -> None:
    both = {"tools": [FUNCTION, CUSTOM]}
    for called in ("function", "custom"):
        assert verdict(both, *CALLS[called]) == {}
    # The schema of the function is not that of the custom tool.
    misfit = copy.deepcopy(FUNCTION_CALL)
    misfit["function"] = {"name": "look", "arguments": '{"town": "Turku"}'}
    for tools in ([FUNCTION, CUSTOM], [CUSTOM, FUNCTION]):
        assert verdict({"tools": tools}, {"tool_calls": [misfit]}, "tool_calls") == {
            "C10": "warning"
        }


def test_the_message_tells_the_kinds_apart() -> None:
    def told(offered: str, called: str) -> tuple[str, str, str]:
        message, finish = CALLS[called]
        (finding,) = findings(OFFERS[offered], message, finish)
        return finding.path, finding.expected, finding.message

    assert told("custom", "function") == (
        "$.choices[0].message.tool_calls[0]",
        'a call of the custom tool "look"',
        "this calls a function tool, but the request has a custom tool",
    )
    assert told("function", "legacy") == (
        "$.choices[0].message.function_call",
        'a call of the function tool "look"',
        "this calls a function of `functions`, but the request has a function tool",
    )


# -- C01 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        ({"type": "custom", "function": FUNCTION_CALL["function"]}, "custom"),
        ({"type": "function", "custom": CUSTOM_CALL["custom"]}, "function"),
    ],
)
def test_a_type_that_contradicts_its_member(call: dict[str, Any], missing: str) -> None:
    ask = {"tools": [FUNCTION, CUSTOM], "tool_choice": "required"}
    (finding,) = findings(ask, {"tool_calls": [{"id": "call_1", **call}]}, "tool_calls")
    assert (finding.code, finding.level) == ("C01", "error")
    assert finding.path == f"$.choices[0].message.tool_calls[0].{missing}"
    assert finding.message == f"the key `{missing}` is absent"


# -- K05 and K08 -------------------------------------------------------------------------


@pytest.mark.parametrize("called", ["function", "legacy"])
def test_no_tool_may_be_called(called: str) -> None:
    parameter = "function_call" if called == "legacy" else "tool_choice"
    assert verdict({**OFFERS[called], parameter: "none"}, *CALLS[called]) == {"K05": "error"}


def test_one_call_at_a_time_is_asked_for_beside_functions_too() -> None:
    message = {"tool_calls": [FUNCTION_CALL, {**FUNCTION_CALL, "id": "call_2"}]}
    for offered in ({"tools": [FUNCTION]}, {"functions": [LEGACY]}):
        found = verdict({**offered, "parallel_tool_calls": False}, message, "tool_calls")
        assert found["K08"] == "warning"


# -- K07 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("called", CALLS)
@pytest.mark.parametrize("named", NAMING)
def test_a_named_tool_is_of_its_kind(named: str, called: str) -> None:
    message, finish = CALLS[called]
    expected = {} if named == called else {"K07": "error"}
    assert verdict({**OFFERS[named], **NAMING[named]}, message, finish) == expected


def allowed(mode: str, *tools: dict[str, Any]) -> dict[str, Any]:
    inner = {"mode": mode, "tools": [*tools]}
    return {
        "tools": [FUNCTION, OTHER, CUSTOM],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": inner},
    }


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_calls_outside_of_allowed_tools(mode: str) -> None:
    look = {"type": "function", "function": {"name": "look"}}
    walk = {"type": "function", "function": {"name": "walk"}}
    call, custom = CALLS["function"], CALLS["custom"]
    assert verdict(allowed(mode, look), *call) == {}
    assert verdict(allowed(mode, walk, look), *call) == {}
    assert verdict(allowed(mode, walk), *call) == {"K07": "error"}
    assert verdict(allowed(mode, look), *custom) == {"K07": "error"}
    (finding,) = findings(allowed(mode, walk), *call)
    assert (finding.expected, finding.got) == ('calls of "walk" only', '"look"')


def test_no_call_is_legal_where_allowed_tools_does_not_require_one() -> None:
    look = {"type": "function", "function": {"name": "look"}}
    assert verdict(allowed("auto", look), {"content": "It rains."}) == {}
    assert verdict(allowed("required", look), {"content": "It rains."}) == {"K06": "error"}


# -- Q10 ---------------------------------------------------------------------------------


def asked(body: dict[str, Any], url: str = OPENAI) -> list[tuple[str, str]]:
    """The errors and warnings about a request that nobody has answered yet."""
    whole = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Go."}], **body}
    result = check_exchange(Exchange(Request("POST", url, {}, whole), None))
    return [(f.code, f.level) for f in result.findings if f.level != "note"]


@pytest.mark.parametrize("named", NAMING)
@pytest.mark.parametrize("offered", OFFERS)
def test_a_forced_tool_is_offered_by_its_kind(offered: str, named: str) -> None:
    expected = [] if offered == named else [("Q10", "error")]
    assert asked({**OFFERS[offered], **NAMING[named]}) == expected


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ([FUNCTION, OTHER], []),
        ([{"type": "function", "function": {"name": "fly"}}], [("Q10", "error")]),
        ([OTHER, {"type": "custom", "custom": {"name": "walk"}}], [("Q10", "error")]),
        ([{"type": "function", "name": "look"}], []),
    ],
)
def test_allowed_tools_are_offered(tools: list[Any], expected: list[tuple[str, str]]) -> None:
    assert asked(allowed("auto", *tools)) == expected


# -- tools without a type ------------------------------------------------------------------


def typeless(tool: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tool.items() if key != "type"}


def test_a_tool_without_a_type_is_a_function_tool() -> None:
    ask = {"tools": [typeless(FUNCTION)]}
    message, finish = CALLS["function"]
    assert verdict(ask, message, finish) == {"Q00": "warning"}
    assert verdict(ask, message, finish, url=OPENAI) == {"Q00": "error"}
    assert verdict({"tools": [typeless(CUSTOM)]}, *CALLS["custom"]) == {"Q00": "warning"}
    assert verdict(ask, *CALLS["custom"]) == {"C09": "error", "Q00": "warning"}


def test_a_choice_and_an_earlier_call_may_lack_a_type_too() -> None:
    choice = {"tool_choice": {"function": {"name": "look"}}}
    assert asked({"tools": [FUNCTION], **choice}, VLLM) == [("Q00", "warning")]
    assert asked({"tools": [OTHER], **choice}, VLLM) == [("Q10", "error"), ("Q00", "warning")]
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [typeless(FUNCTION_CALL)]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]
    assert asked({"tools": [FUNCTION], "messages": messages}, VLLM) == [("Q00", "warning")]


def test_what_is_no_tool_at_all_is_an_error() -> None:
    assert asked({"tools": [{}]}, VLLM) == [("Q00", "error")]
    assert asked({"tools": [{"type": "function"}]}, VLLM) == [("Q00", "error")]
    assert asked({"tools": [FUNCTION], "tool_choice": {}}, VLLM) == [("Q00", "error")]


def test_a_type_that_only_one_server_knows() -> None:
    tool = {"type": "builtin_function", "function": {"name": "look"}}
    ask = Ask({"tools": [tool]})
    assert list(ask.tools) == [("function", "look")]
    assert verdict({"tools": [tool]}, *CALLS["function"]) == {"Q00": "warning"}


# -- Q09 in the history --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("look-up_2", []),
        ("x" * 64, []),
        ("x" * 65, [("Q09", "error")]),
        ("functions.look", [("Q09", "error")]),
        ("", [("Q09", "error")]),
    ],
)
def test_names_in_the_history(name: str, expected: list[tuple[str, str]]) -> None:
    function = {"name": name, "arguments": "{}"}
    user = {"role": "user", "content": "Go."}
    messages = [
        user,
        {"role": "assistant", "tool_calls": [{**FUNCTION_CALL, "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]
    assert asked({"messages": messages}) == expected
    messages = [user, {"role": "assistant", "content": None, "function_call": function}]
    assert asked({"messages": messages}) == expected


def test_names_of_custom_tools_are_free_in_the_history() -> None:
    call = {"id": "call_1", "type": "custom", "custom": {"name": "two words", "input": "x"}}
    messages = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]
    assert asked({"messages": messages}) == []


# -- C07 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "finish", "expected"),
    [
        ({"tools": [FUNCTION]}, "stop", {"C07": "warning"}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, "stop", {}),
        ({"tools": [FUNCTION, OTHER], "tool_choice": "required"}, "stop", {"C07": "warning"}),
        ({"tools": [FUNCTION], "tool_choice": "auto"}, "stop", {"C07": "warning"}),
        ({"tools": [FUNCTION]}, "content_filter", {"C07": "warning"}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, "content_filter", {"C07": "warning"}),
        ({"tools": [FUNCTION]}, "length", {}),
    ],
)
def test_how_calls_finish(ask: dict[str, Any], finish: str, expected: dict[str, str]) -> None:
    assert verdict(ask, CALLS["function"][0], finish) == expected


# -- C03 and C10 ---------------------------------------------------------------------------


def with_arguments(text: str) -> dict[str, Any]:
    return {"tool_calls": [{**FUNCTION_CALL, "function": {"name": "look", "arguments": text}}]}


STRICT = {"type": "function", "function": {**FUNCTION["function"], "strict": True}}  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["true", "null", "", " ", "[]", '"x"', "1", '{"city": "Tu', "x"])
def test_broken_arguments_weigh_as_much_as_misfitting_ones(text: str) -> None:
    assert verdict({"tools": [STRICT]}, with_arguments(text), "tool_calls") == {"C10": "error"}
    assert verdict({"tools": [FUNCTION]}, with_arguments(text), "tool_calls") == {"C03": "warning"}
    for tools in ([STRICT], [FUNCTION]):
        assert verdict({"tools": tools}, with_arguments(text), "length") == {}


def test_a_strict_tool_without_a_schema_promises_nothing() -> None:
    tool = {"type": "function", "function": {"name": "look", "strict": True}}
    assert verdict({"tools": [tool]}, with_arguments(""), "tool_calls") == {"C03": "warning"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1}{"a":1}', "the arguments are the same JSON object twice in a row"),
        ('{"a":1} \n {"a": 1}', "the arguments are the same JSON object twice in a row"),
        ("{}{}{}", "the arguments are the same JSON object 3 times in a row"),
        ('{"a":1}{"b":2}', "the arguments are 2 JSON objects in a row"),
        ('{"a":1}{"a":1', "the arguments are not JSON: Extra data at line 1, column 8"),
        ('{"a":1}1', "the arguments are not JSON: Extra data at line 1, column 8"),
        ("{" * 100_000, "the arguments are not JSON: "),
    ],
)
def test_objects_in_a_row_have_words_of_their_own(text: str, message: str) -> None:
    for tool in (STRICT, FUNCTION):
        (finding,) = findings({"tools": [tool]}, with_arguments(text), "tool_calls")
        assert finding.message.startswith(message)


# -- S15 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (with_arguments('{"city": "Turku\ufffd"}'), "tool_calls[0].function.arguments"),
        (with_arguments('{"city": "Turku\\ufffd"}'), "tool_calls[0].function.arguments"),
        (with_arguments('{"city": "Turku\\uFFFD"}'), "tool_calls[0].function.arguments"),
        (
            {"tool_calls": [{**CUSTOM_CALL, "custom": {"name": "look", "input": "\ufffd"}}]},
            "tool_calls[0].custom.input",
        ),
    ],
)
def test_a_replacement_character_in_arguments(message: dict[str, Any], path: str) -> None:
    (finding,) = findings({"tools": [FUNCTION, CUSTOM]}, message, "tool_calls")
    assert (finding.code, finding.level) == ("S15", "warning")
    assert finding.path == f"$.choices[0].message.{path}"


def test_a_replacement_character_in_a_legacy_call() -> None:
    call = {"name": "look", "arguments": '{"city": "\ufffd"}'}
    (finding,) = findings({"functions": [LEGACY]}, {"function_call": call}, "function_call")
    assert (finding.code, finding.path) == ("S15", "$.choices[0].message.function_call.arguments")


# -- K15 ---------------------------------------------------------------------------------


def grammar(definition: str, syntax: str = "regex") -> dict[str, Any]:
    inner = {"syntax": syntax, "definition": definition}
    return {
        "tools": [
            {
                "type": "custom",
                "custom": {"name": "look", "format": {"type": "grammar", "grammar": inner}},
            }
        ]
    }


def test_the_input_of_a_custom_tool_matches_its_grammar() -> None:
    call, finish = CALLS["custom"]
    assert verdict(grammar("[A-Z][a-z]+"), call, finish) == {}
    assert verdict(grammar("^Turku$"), call, finish) == {}
    assert verdict(grammar("[A-Z][a-z]{1,3}"), call, finish) == {"K15": "warning"}
    assert verdict(grammar("[A-Z][a-z]{1,3}"), call, "length") == {}
    (finding,) = findings(grammar("Oulu|Vaasa"), call, finish)
    assert finding.path == "$.choices[0].message.tool_calls[0].custom.input"
    assert finding.expected == 'a match of "Oulu|Vaasa"'
    assert finding.got == '"Turku"'


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (grammar("start: /a/", "lark"), "it is in Lark"),
        (grammar(r"\p{L}+"), r"the expression uses `\p`, which is not supported here"),
        (grammar("(x"), "the expression has a `(` too many"),
    ],
)
def test_a_grammar_that_was_not_checked_is_named(ask: dict[str, Any], why: str) -> None:
    call, finish = CALLS["custom"]
    for streamed in (False, True):
        found = check_exchange(exchange(ask, call, finish, streamed=streamed)).findings
        (finding,) = [f for f in found if f.code == "K15"]
        assert (finding.level, finding.case) == ("note", "unchecked")
        assert finding.message == f'the input was not checked against the grammar of "look": {why}'


# -- the mock ------------------------------------------------------------------------------


def test_the_plainest_reply_calls_an_allowed_tool() -> None:
    look = {"type": "custom", "custom": {"name": "look"}}
    body = {"model": "m", "messages": [], **allowed("required", look)}
    (call,) = builders.reply_that_fits(Ask(body))._calls
    assert (call.kind, call.name) == ("custom", "look")
