"""No secret reaches a disk, whatever it is wrapped in; and nothing else is touched."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import SettingError
from pytest_chatapi.recording.redaction import Redactor

# Put together here, so that no scanner takes this file for a leak.
KEY = "sk-" + "a1B2" * 6
KNOWN = "Tr0ub4dor/and-3"
CLEAN = Redactor(environ={})


def redactor(**more: Any) -> Redactor:
    made = Redactor(environ={"MY_API_KEY": KNOWN + "-env"}, **more)
    made.learn([("authorization", f"Bearer {KNOWN}")])
    return made


SHAPES = {
    KEY: "sk-REDACTED",
    "sk-proj-" + "Ab1_" * 20: "sk-REDACTED",
    "org-" + "a1B2" * 5: "org-REDACTED",
    "proj_" + "a1B2" * 5: "proj_REDACTED",
    "user-" + "a1B2" * 5: "user-REDACTED",
    "req_" + "0a1b" * 6: "req_REDACTED",
    "Bearer abc.def-0123456789": "Bearer REDACTED",
    "gsk_" + "a1B2" * 6: "gsk_REDACTED",
    "xai-" + "a1B2" * 6: "xai-REDACTED",
    "ghp_" + "a1B2" * 8: "ghp_REDACTED",
    "AIza" + "a1B2_" * 7: "AIzaREDACTED",
    "AKIA" + "A1B2" * 4: "AKIAREDACTED",
    "eyJ" + "a" * 10 + ".eyJ" + "b" * 10 + "." + "c" * 20: "REDACTED",
    "ab" + "T3Blbk" + "FJ" + "cd12": "REDACTED",
}
INNOCENT = [
    "chatcmpl-" + "a1B2" * 7,
    "call_" + "a1B2" * 6,
    "fp_44709d6fcb",
    "file-" + "a1B2" * 6,
    "sk-learn-contrib-and-more",
    "user-defined-functions-are-fine",
    "org-mode",
    "gpt-4o-mini-2024-07-18",
    "Bearer of bad news for everybody",
    "Basic understanding of things",
    "123e4567-e89b-12d3-a456-426614174000",
    "https://example.com/a/long/path/with/many/words/in/it",
    "sk-REDACTED org-REDACTED req_REDACTED",
]


@pytest.mark.parametrize("secret", SHAPES, ids=lambda secret: secret[:6])
def test_shapes(secret: str) -> None:
    assert CLEAN.text(f"it is {secret}, yes") == f"it is {SHAPES[secret]}, yes"
    assert CLEAN.find_secrets(secret)
    assert not CLEAN.find_secrets(CLEAN.text(secret))


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text(text: str) -> None:
    assert CLEAN.text(text) == text
    assert CLEAN.find_secrets(text) == []


def wrapped(secret: str) -> dict[str, str]:
    data = secret.encode()
    b64 = base64.b64encode
    return {
        "plain": secret,
        "json": json.dumps({"a": secret}),
        "json key": json.dumps({secret: 1}),
        "slash": json.dumps({"a": secret}).replace("/", "\\/"),
        "escaped": json.dumps({"a": secret}).replace("-", "\\u002d"),
        "percent": quote(secret, safe=""),
        "hex": data.hex(),
        "HEX": data.hex().upper(),
        "base64": b64(data).decode(),
        "base64 off by one": b64(b" " + data + b" z").decode(),
        "base64 off by two": b64(b"x " + data + b" ").decode(),
        "url-safe base64": base64.urlsafe_b64encode(b"\xff\xfe" + data).decode(),
        "gzip in base64": b64(gzip.compress(data)).decode(),
        "base64 in base64": b64(b64(data)).decode(),
    }


@pytest.mark.parametrize("place", wrapped(KEY))
@pytest.mark.parametrize("secret", [KEY, KNOWN, KNOWN + "-env"])
def test_planted(secret: str, place: str) -> None:
    made = redactor()
    text = f"before {wrapped(secret)[place]} after"
    assert made.find_secrets(text), "not seen where it was not masked"
    if secret == KEY and place in ("hex", "HEX"):
        return  # a key that is known by its shape alone: seen, so never written
    masked = made.text(text)
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert wrapped(secret)[place] not in masked
    assert made.find_secrets(masked) == []


def chunk(content: str, **more: Any) -> bytes:
    delta = {"content": content, **more}
    value = {"choices": [{"index": 0, "delta": delta}], "id": "chatcmpl-1"}
    return f"data: {json.dumps(value)}\n\n".encode()


@pytest.mark.parametrize("secret", [KEY, KNOWN])
@pytest.mark.parametrize("member", ["content", "arguments", "reasoning_content", "refusal"])
def test_a_secret_in_pieces(secret: str, member: str) -> None:
    parts = ["say ", secret[:4], secret[4:9], secret[9:] + " now"]
    events = [chunk("").replace(b'"content"', f'"{member}"'.encode()) for _ in parts]
    events = [
        event.replace(b'": ""', b'": ' + json.dumps(part).encode())
        for event, part in zip(events, parts, strict=True)
    ]
    body = b"".join(events)
    cuts = [sum(map(len, events[: n + 1])) for n in range(len(events))]
    masked, moved = redactor().body_and_cuts(body, cuts)
    said = ""
    for event in masked.split(b"\n\n")[:-1]:
        said += json.loads(event[6:])["choices"][0]["delta"][member]
    assert said == f"say {'sk-REDACTED' if secret == KEY else 'REDACTED'} now"
    assert [masked[:cut].endswith(b"\n\n") for cut in moved] == [True] * 4
    assert redactor().find_secrets(body.decode())
    assert redactor().find_secrets(masked.decode()) == []


def test_a_secret_in_the_tokens_of_logprobs() -> None:
    tokens = [
        {"token": part, "logprob": -0.1, "bytes": list(part.encode()), "top_logprobs": []}
        for part in (KEY[:3], KEY[3:9], KEY[9:])
    ]
    value = {"choices": [{"logprobs": {"content": tokens}, "message": {"content": KEY}}]}
    masked = json.loads(CLEAN.body(json.dumps(value).encode()) or b"")
    found = masked["choices"][0]["logprobs"]["content"]
    assert [token["token"] for token in found] == ["sk-REDACTED", "", ""]
    assert [token["bytes"] for token in found] == [None] * 3


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([KEY, KNOWN, "a b", "", "\u00e9\n"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    ),
    st.lists(st.integers(0, 400)),
)
def test_the_shape_stays(value: Any, cuts: list[int]) -> None:
    body = json.dumps(value).encode()
    made = redactor()
    cuts = [*sorted(min(cut, len(body)) for cut in cuts), len(body)]
    masked, moved = made.body_and_cuts(body, cuts)

    def shape(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: shape(inner) for key, inner in item.items()}
        return [shape(inner) for inner in item] if isinstance(item, list) else type(item)

    assert shape(json.loads(masked)) == shape(value)
    assert list(moved) == sorted(moved)
    assert moved[-1] == len(masked)
    assert KEY.encode() not in masked
    assert KNOWN.encode() not in masked
    assert made.body(masked) == masked


def test_headers() -> None:
    made = redactor(keep_headers=["x-litellm-*", "Authorization"])
    kept = made.headers(
        [
            ("Content-Type", "application/json"),
            ("Set-Cookie", "a=b"),
            ("CF-Ray", "1"),
            ("x-request-id", "req_1"),
            ("openai-organization", "acme"),
            ("x-ratelimit-limit-tokens", "5"),
            ("x-litellm-key", KEY),
            ("authorization", "Bearer x"),
        ],
        response=True,
    )
    assert kept == [
        ("content-type", "application/json"),
        ("x-request-id", "req_REDACTED"),
        ("openai-organization", "org-REDACTED"),
        ("x-ratelimit-limit-tokens", "5"),
        ("x-litellm-key", "sk-REDACTED"),
        ("authorization", "REDACTED"),
    ]
    assert CLEAN.headers([("user-agent", "x"), ("accept", "y")], response=False) == [
        ("accept", "y")
    ]


def test_urls() -> None:
    made = redactor()
    plain = "https://api.openai.com/v1/models?after=a&limit=2"
    assert made.url(plain) == plain
    assert made.url("https://me:pw@h/v1?api-key=1&a=2&sig=3") == (
        "https://h/v1?api-key=REDACTED&a=2&sig=REDACTED"
    )
    assert made.url(f"https://h/{quote(KNOWN, safe='')}") == "https://h/REDACTED"
    made.learn([], "https://h/v1?api_key=n0t-so-secret")
    assert made.text("say n0t-so-secret") == "say REDACTED"


def test_own_patterns() -> None:
    made = Redactor([r"cust-\d+", r"pin=(?P<secret>\d{4})", "$.user", "$.a[*].b"], environ={})
    assert made.text("cust-12 pin=1234") == "REDACTED pin=REDACTED"
    body = made.body(b'{"user": "me", "a": [{"b": 1}, {"c": "cust-9"}]}')
    assert json.loads(body or b"") == {
        "user": "REDACTED",
        "a": [{"b": "REDACTED"}, {"c": "REDACTED"}],
    }
    for wrong in ("(", "$user"):
        with pytest.raises(SettingError):
            Redactor([wrong])
