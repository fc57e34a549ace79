"""Which requests count as the same, and what differs between two."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import Request, SettingError
from pytest_chatapi.contract.wording import ABSENT
from pytest_chatapi.recording.matching import Matcher, differences, streams
from pytest_chatapi.redaction.jsonpath import JsonPaths, leaves
from pytest_chatapi.redaction.redactor import Redactor

REDACTOR = Redactor(environ={})
URL = "https://api.openai.com/v1/chat/completions"


def request(body: Any = b"{}", method: str = "POST", url: str = URL, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, url, named, body)


def same(one: Request, other: Request, **settings: Any) -> bool:
    matcher = Matcher(REDACTOR, **settings)
    return matcher.key(one) == matcher.key(other)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (b'{"a": 1, "b": 2}', b'{"b":2,"a":1}', True),
        (b'{"a": 1}', b'{"a": 1, "stream": false}', True),
        (b'{"a": 1}', b'{"a": 1, "stream": null}', True),
        (b'{"a": 1}', b'{"a": 1, "stream": true}', False),
        (b' \r\n{"a": 1}', b'{"a":1}', True),
        (b'{"a": 0}', b'{"a": 0.0}', True),
        (b'{"a": 1e2}', b'{"a": 100}', True),
        (b'{"a": 1}', b'{"a": true}', False),
        (b'{"a": 1}', b'{"a": "1"}', False),
        (b'{"a": null}', b"{}", False),
        (b"[1, 2]", b"[2, 1]", False),
        (b'{"a": "\\u00e9"}', b'{"a": "\xc3\xa9"}', True),
        (b"a=1", b"a=2", False),
        (b"", None, True),
    ],
)
def test_bodies(one: Any, other: Any, equal: bool) -> None:
    assert same(request(one), request(other)) is equal


def test_heads() -> None:
    plain = request()
    assert same(plain, request(url="http://127.0.0.1:1/v1/chat/completions", user_agent="x"))
    assert not same(plain, request(method="PUT"))
    assert not same(plain, request(url=URL + "/x"))
    assert not same(plain, request(url=URL + "?a=1"))
    assert same(request(url=URL + "?a=1&b=2"), request(url=URL + "?b=2&a=1"))
    assert same(request(url=URL + "?api-key=1"), request(url=URL + "?api-key=2"))
    other = request(url="http://api.openai.com:8080/v1/chat/completions")
    for name in ("scheme", "port", "uri", "url"):
        assert not same(plain, other, match_on=[name]), name
    assert same(plain, other, match_on=["host"])
    assert same(plain, request(b'{"a": 1}'), match_on=["method", "path"])


def test_a_random_boundary_is_evened_out() -> None:
    def form(boundary: str) -> Request:
        body = f"--{boundary}\r\n\r\nx\r\n--{boundary}--".encode()
        return request(body, content_type=f"multipart/form-data; boundary={boundary}")

    assert same(form("abc"), form("0123"))
    quoted = form("a b")
    quoted.headers = {"content-type": 'multipart/form-data; boundary="a b"'}
    assert same(form("abc"), quoted)


def test_ignored_paths_and_normalizer() -> None:
    one = request(b'{"user": "a", "messages": [{"content": "x"}, {"content": "y"}], "n": 1}')
    other = request(b'{"messages": [{"content": "1"}, {"content": "2"}], "n": 1}')
    assert not same(one, other)
    assert same(one, other, ignore_body=["$.user", "$.messages[*].content"])
    assert not same(one, other, ignore_body=["$.user", "$.messages[0].content"])

    def even(body: Any) -> Any:
        return body["n"] if isinstance(body, dict) else body.upper()

    assert same(one, other, normalize_body=even)
    assert same(request(b"abc"), request(b"ABC"), normalize_body=even)


@given(
    st.recursive(st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_spelling_does_not_matter(value: Any) -> None:
    body = {"x": value}
    one = json.dumps(body, indent=3).encode()
    other = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    assert same(request(one), request(other.encode("utf-8", "surrogatepass")))
    assert same(request(one), request(body))


def test_streams() -> None:
    assert streams(request(b'{"stream": true}'))
    assert streams(request('{"stream": true}'))
    assert not streams(request(b'{"stream": false}'))
    assert not streams(request(b"stream"))


def test_differences() -> None:
    assert differences({"a": [1, {"b": 2}], "c": 1}, {"a": [1, {"b": 3}], "d": {}}) == [
        ("$.a[1].b", 2, 3),
        ("$.c", 1, ABSENT),
        ("$.d", ABSENT, {}),
    ]
    assert differences(1, True) == [("$", 1, True)]
    assert leaves({"a b": [[]]}) == {"$['a b'][0]": []}


@pytest.mark.parametrize("path", ["user", "$", "$.", "$.a[", "$.a[-1]", "$..a", "$.a b"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(SettingError, match="is not a path: write one like"):
        JsonPaths([path])


def test_paths() -> None:
    value = {"a": {"b c": [1, 2, 3]}, "d": {"e": 1, "f": 2}}
    JsonPaths(["$.a['b c'][1]", "$.d.*", "$.x.y", '$["a"]["z"]']).drop(value)
    assert value == {"a": {"b c": [1, None, 3]}, "d": {}}


def test_what_cannot_be_compared_is_named() -> None:
    names = "method, scheme, host, port, path, query, uri, body"
    with pytest.raises(SettingError) as caught:
        Matcher(REDACTOR, ["method", "headers"])
    assert str(caught.value) == f"match_on cannot compare 'headers': use {names}"
    assert Matcher(REDACTOR, ["url", "raw_body"]).match_on == ("uri", "body")


def test_a_normalizer_that_fails_is_named() -> None:
    def fails(body: Any) -> Any:
        raise KeyError("x")

    class Fails:
        def __call__(self, body: Any) -> Any:
            raise KeyError("x")

    for normalizer, name in ((fails, fails.__qualname__), (Fails(), "normalize_body")):
        with pytest.raises(SettingError) as caught:
            Matcher(REDACTOR, normalize_body=normalizer).key(request(b'{"a": 1}'))
        assert str(caught.value) == f"normalize_body: {name} failed on {{\"a\": 1}}: KeyError: 'x'"
    assert Matcher(REDACTOR, normalize_body=fails).key(request(b""))  # there is nothing to change


def test_a_normalizer_without_a_return_is_named() -> None:
    def pops(body: Any) -> None:
        body.pop("metadata", None)

    with pytest.raises(SettingError) as caught:
        Matcher(REDACTOR, normalize_body=pops).key(request(b'{"a": 1}'))
    assert str(caught.value) == (
        f"normalize_body: {pops.__qualname__} returned None: return the body"
    )
    assert Matcher(REDACTOR, normalize_body=pops).key(request(b""))


def test_something_has_to_be_compared() -> None:
    with pytest.raises(SettingError, match="match_on is empty: use method, scheme, host, port, pa"):
        Matcher(REDACTOR, [])
