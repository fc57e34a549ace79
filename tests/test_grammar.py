"""The regular expressions of custom tools: what matches, and what is said not to be known."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract.grammar import GrammarTrouble, matches


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("", [""], ["a"]),
        ("a", ["a"], ["", "aa", "b"]),
        ("a|bc|", ["a", "bc", ""], ["abc", "b"]),
        ("(a|b)c", ["ac", "bc"], ["a", "c", "abc"]),
        ("a*", ["", "a", "aaaa"], ["b", "ab"]),
        ("a+?b??", ["a", "aab"], ["", "b", "abb"]),
        ("a{2}", ["aa"], ["a", "aaa"]),
        ("a{2,}", ["aa", "aaaaa"], ["a", ""]),
        ("a{,2}", ["", "a", "aa"], ["aaa"]),
        ("(ab){1,2}", ["ab", "abab"], ["", "ababab", "aba"]),
        ("a{2}{2}", ["aaaa"], ["aa", "aaa"]),
        # In Rust this is (a+)+, and possessive in Python.
        ("a++b", ["ab", "aab"], ["b"]),
        ("a++a", ["aa", "aaa"], ["a"]),
        ("(a*)*b", ["b", "aab"], ["a"]),
        ("()*a", ["a"], [""]),
        # Braces that repeat nothing are text.
        ('{"x": [0-9]}', ['{"x": 1}'], ['{"x": }']),
        ("^a$", ["a"], ["a\n", "\na"]),
        ("a^b|a$b", [], ["ab"]),
        (r"\Aa\z", ["a"], ["b"]),
        (".", ["a", "é", "\u2028"], ["\n", "", "ab"]),
        ("(?s).", ["\n"], [""]),
        ("(?s:.).", ["\na"], ["\n\n"]),
        ("(?i)ab", ["ab", "AB", "aB"], ["b"]),
        ("a(?i)b|c", ["ab", "aB", "C"], ["Ab"]),
        ("(?i:a)b", ["Ab"], ["AB"]),
        ("(?i)a(?-i:b)", ["Ab"], ["AB"]),
        ("(?P<x>a)(?<y>b)(?:c)", ["abc"], ["ab"]),
        ("[abc]", ["a", "b"], ["d", ""]),
        ("[^abc]", ["d", "\n"], ["a"]),
        ("[a-c]+", ["abc"], ["abd"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[^]a]", ["b"], ["]"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[+*/.|&~^$(){}?]", list("+*/.|&~^$(){}?"), ["a", "-"]),
        (r"[\]\-\\]", ["]", "-", "\\"], ["a"]),
        (r"[\d_]+", ["1_2"], ["a"]),
        (r"[^\s]", ["a"], [" "]),
        (r"[\n\t]", ["\n", "\t"], ["n", "t"]),
        ("(?i)[a-c]", ["B"], ["d"]),
        ("[[:alpha:]_]+", ["ab_"], ["1"]),
        ("[[:punct:]]", list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), ["a", " "]),
        (r"\d\D\w\W\s\S", ["1a_- b"], ["aaaaaa"]),
        (r"\.\*\[\(\{\/\"", ['.*[({/"'], ["x"]),
        (r"\n\t\r\f\v", ["\n\t\r\f\v"], ["ntrfv"]),
        (r"\x41\x{42}\u0043\u{44}\U00000045", ["ABCDE"], ["x"]),
        (r"[\x41-\x{43}]", ["B"], ["D"]),
        (r"\w+\s?", ["Ärger", "день "], ["-"]),
    ],
)
def test_what_an_expression_matches(pattern: str, fitting: list[str], others: list[str]) -> None:
    assert [text for text in fitting if not matches(pattern, text)] == []
    assert [text for text in others if matches(pattern, text)] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)", "look-around"),
        ("(?!a)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?>a)", "look-around"),
        (r"(a)\1", r"`\1`"),
        (r"\bword", r"`\b`"),
        (r"\p{Greek}", r"`\p`"),
        (r"[\p{Greek}]", r"`\p` in a set"),
        (r"[\b]", r"`\b` in a set"),
        ("(?m)^a", "the flag `m`"),
        ("(?x) a", "the flag `x`"),
        ("(?-u)a", "the flag `u`"),
        ("(?U)a+", "the flag `U`"),
        ("[a[b]]", "a set inside a set"),
        ("[[:nope:]]", "a set inside a set"),
        ("[a-z&&[^b]]", "an operation on sets"),
        ("[a--b]", "an operation on sets"),
        ("[a~~b]", "an operation on sets"),
        ("(a", "a `(` too many"),
        ("a)", "a `)` too many"),
        ("[a", "a `[` that is not closed"),
        ("[", "a `[` that is not closed"),
        ("[z-a]", "an invalid set"),
        ("*a", "nothing to repeat"),
        ("a|+", "nothing to repeat"),
        ("a{3,2}", "an invalid repetition"),
        ("\\", "uses `\\`"),
        (r"\x{110000}", "an invalid code point"),
        ("(" * 60 + ")" * 60, "nested too deeply"),
        ("a" + "*" * 60, "nothing to repeat"),
        ("(a{1000}){1000}", "too large"),
        ("(a?){1,999999999}", "too large"),
        ("a" * 30_000, "too long"),
    ],
)
def test_what_is_not_known_is_said(pattern: str, why: str) -> None:
    with pytest.raises(GrammarTrouble, match=re.escape(why)):
        matches(pattern, "a")


@pytest.mark.parametrize("text", ["²", "e\u0301", "\u200d", "☃"])
def test_characters_that_rust_and_python_class_differently(text: str) -> None:
    for pattern in (r"\w+", r"[\w-]+"):
        with pytest.raises(GrammarTrouble, match="a class such as"):
            matches(pattern, text)
    assert matches(f".*{text}", text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 2_000 + "b"),
        ("(a|aa)+", "a" * 2_000 + "b"),
        ("(a|a?)+", "a" * 2_000 + "b"),
        (".*.*.*.*.*x", "a" * 2_000),
        ("(.*)*(.*)*y", "a" * 2_000),
    ],
)
def test_nothing_backtracks(pattern: str, text: str) -> None:
    assert not matches(pattern, text)


def test_a_match_has_a_bound() -> None:
    """Any answer is fine but a wrong one; none takes long."""
    assert matches("(?s).*", "a" * 200_000)
    with pytest.raises(GrammarTrouble, match="too many steps"):
        matches("(?s).*", "a" * 1_000_000)
    # Each position of the text has other states.
    with pytest.raises(GrammarTrouble, match="too many steps"):
        matches("(?s).*a.{2000}", "ab" * 5_000)


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", "(a|b)", "(?:ab)", "()", "(?i:A)"])
_QUANTIFIERS = st.sampled_from(["", "", "*", "?", "+", "{2}", "{1,2}", "*?"])
_PIECES = st.tuples(_ATOMS, _QUANTIFIERS).map("".join)
_SEQUENCES = st.lists(_PIECES, max_size=4).map("".join)
_PATTERNS = st.lists(_SEQUENCES, min_size=1, max_size=3).map("|".join)


@given(_PATTERNS, st.text("abA1\n", max_size=6))
def test_it_agrees_with_python(pattern: str, text: str) -> None:
    assert matches(pattern, text) == bool(re.fullmatch(pattern, text))
    nested = f"({pattern})*c?"
    assert matches(nested, text) == bool(re.fullmatch(nested, text))
