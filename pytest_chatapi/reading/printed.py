"""What Python prints of an object: logs have it where somebody wrote ``str(completion)``.

Models write code as well, and are asked about it. So a print is one line to its end, of a class
with members that a client of chat completions has.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["is_printed"]

# Of openai, litellm, pydantic-ai and LangChain. A model may write `AIMessage(content='Hi')`; a
# print has all the members.
_CALL = r"""(?:
    (?:Parsed)?ChatCompletion\w*(?:\[[^\]]*\])?\((?:audio|choices|content|id|refusal|role)=
    |(?:Parsed)?Choices?(?:\[[^\]]*\])?\((?:delta|finish_reason|index|message)=
    |StreamingChoices\((?:delta|finish_reason|index)=
    |ChoiceDelta\(\w+=
    |Delta\(\w+=(?=.*,\ role=)
    |Message\(content=(?=.*,\ role='assistant')
    |\w*(?:Chunk|Delta|Done)Event\((?:chunk|content|delta|parsed|refusal|snapshot|type)=
    |ModelResponse\w*\((?:choices|created|id|parts)=
    |ModelRequest\(parts=
    |(?:AgentRun|Chat|LLM)Result\((?:generations|output)=
    |ChatGeneration(?:Chunk)?\((?:generation_info|message|text)=
    |(?:AI|Human|System|Tool)Message(?:Chunk)?\(content=(?=.*,\ (?:additional_kwargs|tool_call_id)=)
)"""
_NAKED = "additional_kwargs|choices|generation_info|response_metadata"
_OBJECT = re.compile(
    rf"""
    \[*{_CALL}
    |\{{'\w+':\ \[?{_CALL}
    # A message or choice as a dict: JSON has neither these quotes nor None.
    |\[*\{{'\w+':\ (?=.*'role':\ 'assistant')(?=.*'(?:function_call|refusal|tool_calls)':\ None)
    |\[*\{{'content':\ (?=.*'additional_kwargs':\ \{{)
    |\[*\{{'(?:finish_reason|index)':(?=.*'(?:delta|message)':\ \{{)
    # pydantic and LangChain leave the class out.
    |(?:content|id|text)=['"\[](?=.*\ (?:{_NAKED})=[{{\[])
    |(?:choices|generations)=\[+\w+\(
    """,
    re.VERBOSE,
)

# The bytes of a body or of a stream, alone or in a list.
_BYTES = re.compile(r"""(?:\[|bytearray\()?b(["'])((?:\\[nr]|\s)*)""")
_ESCAPED = re.compile(r"\\[nrt]")
_EVENTS = re.compile(r"data:\s*[{\[]|event:|: ")

# What has no words of its own. A model that is asked what a program prints answers with functions
# and classes of that program, which have no dot in their names.
_REFERENCE = re.compile(
    r"""
    <(?:
        (?:\w*Response)\ \[\d{3}\b.*
        |(?:(?:async_)?generator|coroutine)\ object\ (?:\w+(?:\.[\w<>]+)+|a?completion)\ at\ .*
        |(?!__main__)\w+(?:\.\w+)+\ object\ at\ .*
        |bound\ method\ \w*Response\..*
        |(?:Future|Task)\ (?:finished|pending)\b.*
    )>\Z
    |Error\ code:\ \d{3}\ -\ \{'error':
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)""")


def is_printed(text: str, is_body: Callable[[str], object]) -> bool:
    """Whether a text is what Python prints of a completion, a message, a stream or bytes.

    Args:
        is_body: whether a text begins as a body does.
    """
    text = text.strip()
    if "\n" in text:
        return False
    data = _BYTES.match(text)
    if data is not None:
        inner = text[data.end() :]
        is_whole = text.rstrip(")]").endswith(data[1]) or data[1] not in inner
        return is_whole and bool(_EVENTS.match(inner) or is_body(_ESCAPED.sub(" ", inner)))
    if _REFERENCE.match(text):
        return True
    return _OBJECT.match(text) is not None and _is_one_value(text)


def _is_one_value(text: str) -> bool:
    """Whether a value, or its members, are all of a text; it may be cut off."""
    depth, characters = 0, []
    for character in _QUOTED.sub("_", text):
        depth += (character in "([{") - (character in ")]}")
        characters.append("\n" if character == " " and depth == 0 else character)
    words = "".join(characters).split("\n")
    return len(words) == 1 or all("=" in word for word in words)
