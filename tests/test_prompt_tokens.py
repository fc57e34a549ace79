"""How many tokens the mock counts in a prompt."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from pytest_chatapi.mock.prompt_tokens import prompt_tokens, text_tokens


def of(content: Any, model: str = "gpt-4o", **more: Any) -> Any:
    return prompt_tokens(
        {"model": model, "messages": [{"role": "user", "content": content}], **more}
    )


EMPTY = of("").total


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Hello, world!", 4),
        ("The capital of France is Paris.", 7),
        ("don't", 1),
        ("getWeatherReport", 3),
        ("internationalization", 2),
        ("12345678", 3),
        ('{"city": "Paris"}', 6),
        ("a\n\nb", 3),
        ("    indented", 2),
        ("\u65e5\u672c\u8a9e", 3),
        ("\u0437\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439", 4),
    ],
)
def test_texts(text: str, count: int) -> None:
    assert text_tokens(text) == count


def test_the_beginning_of_a_long_text_stands_for_all_of_it() -> None:
    sentence = "The quick brown fox jumps over the lazy dog."
    assert text_tokens(sentence * 1000) == pytest.approx(text_tokens(sentence) * 1000, rel=0.01)


def test_messages() -> None:
    assert EMPTY == 3 + 4
    two = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    assert prompt_tokens(two).total == 3 + 2 * (4 + 1)
    parts = [{"type": "text", "text": "Hi"}, {"type": "refusal", "refusal": "No"}]
    assert of(parts).total == EMPTY + 2
    named = {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}
    assert prompt_tokens(named).total == of("Hi").total + 2


def test_calls() -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"id": "c", "type": "function", "function": function}
    custom = {"id": "d", "type": "custom", "custom": {"name": "run", "input": "x = 1"}}

    def count(**more: Any) -> int:
        return prompt_tokens({"messages": [{"role": "assistant", "content": None, **more}]}).total

    one = count(tool_calls=[call]) - EMPTY
    assert one == 7 + text_tokens("get_weather") + text_tokens('{"city": "Paris"}')
    assert count(function_call=function) - EMPTY == one
    assert count(tool_calls=[call, call]) - EMPTY == 2 * one
    assert count(tool_calls=[custom]) - EMPTY == 7 + text_tokens("run") + text_tokens("x = 1")


WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where to look."},
            "unit": {"enum": ["C", "F"], "default": "C"},
            "days": {"type": "array", "items": {"type": "integer"}},
            "at": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": ["string", "null"]}]},
            "more": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
        },
        "required": ["city"],
    },
}
DECLARED = """# Tools

## functions

namespace functions {

// Weather of a city.
type get_weather = (_: {
// Where to look.
city: string,
unit?: "C" | "F", // default: "C"
days?: number[],
at?: Place | string | null,
more?: {
deep?: boolean,
},
}) => any;

} // namespace functions

"""


def test_tools_count_as_their_declarations() -> None:
    tools = [{"type": "function", "function": WEATHER}]
    assert of("Hi", tools=tools).total == of("Hi").total + text_tokens(DECLARED)
    assert of("Hi", functions=[WEATHER]).total == of("Hi", tools=tools).total
    custom = of("Hi", tools=[{"type": "custom", "custom": {"name": "run"}}]).total
    bare = of("Hi", tools=[{"type": "function", "function": {"name": "run"}}]).total
    assert of("Hi").total < custom == bare < of("Hi", tools=tools).total


def test_schemas_count_as_their_text() -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    text = '{"type":"object","properties":{"answer":{"type":"string"}}}'
    assert of("Hi", response_format=format_).total == of("Hi").total + 10 + text_tokens(text)
    assert of("Hi", response_format={"type": "json_object"}) == of("Hi")


def test_a_schema_without_end_is_declared_so_deep() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "object", "properties": {"below": schema}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert of("Hi", tools=tools).total < of("Hi").total + 100


# -- images, sound, files ------------------------------------------------------------------


def data_url(header: bytes) -> str:
    return f"data:image/x;base64,{base64.b64encode(header).decode()}"


def png(width: int, height: int) -> str:
    return data_url(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(80)
    )


def image(url: str, model: str, **more: str) -> Any:
    return of([{"type": "image_url", "image_url": {"url": url, **more}}], model)


@pytest.mark.parametrize(
    ("model", "size", "detail", "count"),
    [
        # As the guide has it.
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),
        ("gpt-4.1-nano", (1800, 2400), "high", 3572),
        # As the service counted.
        ("gpt-4o-2024-11-20", (1, 1), "auto", 255),
        ("gpt-4o", (800, 400), "high", 425),
        ("gpt-4o-mini", (1, 1), "auto", 8500),
        ("gpt-4o-mini", (128, 64), "low", 2833),
        ("o3", (128, 64), "low", 75),
        ("o3-2025-04-16", (128, 64), "high", 225),
        ("o4-mini", (128, 64), "high", 14),
        ("gpt-5-mini", (256, 256), "high", 77),
        ("gpt-5-mini", (2048, 768), "high", 1844),
        ("gpt-5", (512, 512), "high", 210),
        ("ft:gpt-4o-mini-2024-07-18:org::id", (1, 1), "high", 8500),
        ("gpt-5-mini", (1024, 1024), "low", 308),
        ("gpt-5-mini", (100_000, 1), "high", 1844),
    ],
)
def test_images(model: str, size: tuple[int, int], detail: str, count: int) -> None:
    counted = image(png(*size), model, detail=detail)
    assert counted.total == EMPTY + count
    assert (counted.image, counted.audio) == (count, 0)


JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0"
    + bytes(9)
    + b"\xff\xc2\0\x11\x08"
    + struct.pack(">HH", 400, 800)
)
WEBP = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (799).to_bytes(3, "little")


@pytest.mark.parametrize(
    ("url", "tiles"),
    [
        (data_url(b"GIF89a" + struct.pack("<HH", 800, 400)), 2),
        (data_url(JPEG + bytes(20)), 2),
        (data_url(WEBP + (399).to_bytes(3, "little")), 2),
        (data_url(b"some other format"), 1),
        (png(0, 0), 1),
        ("data:image/png;base64,%%%%", 1),
        ("data:image/png,plain", 1),
        ("https://x.example/800x400.png", 1),
    ],
)
def test_the_size_of_an_image_is_read_from_its_header(url: str, tiles: int) -> None:
    assert image(url, "gpt-4o").image == 85 + tiles * 170


def sound(data: bytes, format_: str) -> Any:
    recording = {"data": base64.b64encode(data).decode(), "format": format_}
    return of([{"type": "input_audio", "input_audio": recording}])


def test_sound_counts_ten_tokens_a_second() -> None:
    header = b"RIFF\0\0\0\0WAVEfmt " + struct.pack(
        "<IHHIIHH4sI", 16, 1, 1, 16000, 32000, 2, 16, b"data", 0
    )
    assert sound(header + bytes(32_000 * 2), "wav").audio == 20
    assert sound(header + bytes(6_400), "wav") == (EMPTY + 2 + 4, 2, 0)
    assert sound(b"ID3" + bytes(32_000), "mp3").audio == pytest.approx(20, abs=1)
    assert sound(b"", "wav").audio == 1


def test_a_file_counts_the_same_whatever_it_is() -> None:
    assert of([{"type": "file", "file": {"file_id": "file-1"}}]).total == EMPTY + 200


ODD: list[Any] = [None, 1, "x", [], {}, [None], [1], [[]], {"x": None}]


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_count_as_nothing_or_something(odd: Any) -> None:
    """Requests under `compatible` hold what the contract does not know."""
    image_part = {"type": "image_url", "image_url": {"url": odd, "detail": odd}}
    audio_part = {"type": "input_audio", "input_audio": {"data": odd, "format": odd}}
    message = {"content": [odd, image_part, audio_part, {"type": odd}], "tool_calls": [odd]}
    function = {"name": odd, "description": odd, "parameters": {"properties": odd, "required": odd}}
    for body in (
        {"messages": odd},
        {"messages": [odd]},
        {"messages": [message], "model": odd, "tools": [{"function": function}, odd]},
        {"messages": [{"function_call": odd, "tool_calls": odd}], "functions": odd},
        {"tools": [{"function": {"parameters": {"properties": {"a": odd, "b": {"type": odd}}}}}]},
        {"response_format": odd},
        {"response_format": {"json_schema": odd}},
    ):
        assert prompt_tokens(body).total >= 3
