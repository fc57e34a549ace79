"""Finds a model's own markup in its text: raw tool calls, reasoning tags, template tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["LONGEST_MARKUP", "TOOL_MARKUP", "Leak", "Leaks", "kinds_in", "may_leak"]

TOOL_MARKUP = re.compile(
    r"<tool_call>|</tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_calls?(?:_begin|_start)?\|>"
    r"|<｜tool▁calls?▁begin｜>|<function=[\w.-]+>|<\|tool▁call|<function_calls?>"
)
"""What models put around calls when the server did not parse them."""

LONGEST_MARKUP = 64

# Tokens of chat templates and reasoning. A name between bars is nothing else; of the other forms
# only those are here that prose and HTML do not need. The group names the kind.
_BARRED = (
    r"im_(?:start|end|sep|middle)|endoftext|endofprompt|(?:begin|end)_of_text|eo[tm](?:_id)?"
    r"|(?:start|end)_header_id|header_(?:start|end)|python_tag|reserved_special_token_\d{1,3}"
    r"|channel|message|constrain|start|end|return|call|think|bos|eos|pad|sep|separator"
    r"|system|user|assistant|observation|fim_(?:prefix|middle|suffix)|endofturn"
    r"|(?:start|end)_of_(?:role|turn)|(?:begin|end)_of_(?:thought|solution|sentence|box)"
    r"|END_OF_TURN|(?:START|END)_OF_TURN_TOKEN|(?:USER|CHATBOT|SYSTEM)_TOKEN"
    r"|(?:START|END)_(?:THINKING|RESPONSE|ACTION|TEXT)"
)
_MARKER = re.compile(
    r"<(?:"
    rf"\|(?:(?P<bar>{_BARRED})\|>|(?P<bar_left>turn|channel)>)"
    r"|(?P<slash>/)?(?:(?P<think>[Tt]hink|THINK|(?:seed|mm):think)"
    r"|(?P<think_word>thinking|thought)|(?P<sentence>s))>"
    r"|(?P<wide>｜[^｜<>\n]{1,40}｜)>"
    r"|(?P<turn>(?:start|end)_of_turn|extra_id_\d|SPECIAL_\d{1,3}|unused\d{1,3}|pad)>"
    r"|(?P<bar_right>/?(?:turn|channel)\|)>"
    r"|(?P<inst_system></?SYS>)>"
    r")|\[(?:"
    r"(?P<inst>/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS))"
    r"|(?P<shut>/)?(?P<think_token>THINK)"
    r"|(?P<bar_square>\|(?:endofturn|assistant|user|system)\|)"
    r")\]|◁(?P<end>/)?(?P<think_wide>think)▷"
)
_BRACKET = re.compile(r"\[[/|A-Z]")  # with which the markers in square brackets begin
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})([^\n]*)", re.MULTILINE)
_TICKS = re.compile("`+")

# The text is about a marker that is in quotes, beside one of these words, or beside another marker
# with nothing between them but "and" or dots.
_QUOTES = {"'": "'", "‘": "’", "«": "»", "`": "`"}
_WORD = r"(?:tags?|tokens?|markers?|elements?|delimiters?|blocks?|sections?)"
_BETWEEN = r"[ \t]?(?:,|/|\.{3}|…|,?[ \t](?:and|or|to|until|through)[ \t])[ \t]?[`\"'“”]?"
_NAMED_AFTER = re.compile(rf"[ \t]{_WORD}\b|{_BETWEEN}[<\[◁][/|\w]")
_NAMED_BEFORE = re.compile(rf"\b{_WORD}:?[ \t]\(?\Z|[>\]▷]{_BETWEEN}\Z")

# Longest line that is kept until it ends.
_LONGEST_LINE = 16_384


class Leak(NamedTuple):
    """A marker that is in the text: as it is there, its kind, and the text around it."""

    marker: str
    kind: str
    near: str


def may_leak(text: str, *, last: bool) -> bool:
    """Whether `Leaks` has to look at text before which it had nothing to look at.

    Args:
        last: nothing follows, so that neither code nor half a marker at the end matters.
    """
    if "<" in text or "◁" in text:
        return True
    if last:
        return "[" in text and _BRACKET.search(text) is not None
    return "[" in text or "`" in text or "~" in text


def kinds_in(text: str) -> set[str]:
    """The kinds of all markers in a text, wherever they are."""
    return {_kind(match) for match in _MARKER.finditer(text)}


def _kind(match: re.Match[str]) -> str:
    """``think``, ``bar``, ``wide``, ``turn``, ``inst`` or ``sentence``."""
    return str(match.lastgroup).partition("_")[0]


def _closes(match: re.Match[str]) -> bool:
    return any(match[name] for name in ("slash", "shut", "end"))


class Leaks:
    """Markers of reasoning and templates in text that arrives in pieces.

    A line is looked at when it is complete, so that code and quotes are told from markers however
    the text was cut.

    Args:
        started: there was text without any marker before.
        line: the last line of that text.

    Attributes:
        found: the first leak of each kind.
        block: the tag of the reasoning block that the text begins with, or empty.
        open: ... which has not ended yet.
    """

    __slots__ = (
        "_begun",
        "_end",
        "_fence",
        "_line",
        "_sentences",
        "_started",
        "block",
        "found",
        "open",
    )

    def __init__(self, started: bool = False, line: str = "") -> None:
        self.found: dict[str, Leak] = {}
        self.block = ""
        self.open = False
        self._started = started
        self._line = line
        self._fence = ""
        self._end = ""
        self._begun = False  # the text begins with <s>
        self._sentences = [0, 0]  # of <s>, and of </s>

    def scan(self, text: str, *, last: bool) -> None:
        """Looks at more of the text.

        Args:
            last: nothing follows.
        """
        text, self._line = self._line + text, ""
        if not last:
            end = text.rfind("\n") + 1
            if len(text) - end > _LONGEST_LINE:
                end = max(text.rfind(first, len(text) - LONGEST_MARKUP) for first in "<[◁")
                end = end if end > 0 else len(text)
            text, self._line = text[:end], text[end:]
        has_fences = "```" in text or "~~~" in text
        position = 0
        for match in _MARKER.finditer(text):
            if has_fences:
                self._fences(text, position, match.start())
                position = match.end()
            self._marker(text, match)
        if has_fences:
            self._fences(text, position, len(text))
        self._started = self._started or (bool(text) and not text.isspace())
        self._end = (self._end + text[-4 * LONGEST_MARKUP :]).rstrip()[-LONGEST_MARKUP:]
        if last:
            self._sentence_ends()

    def _fences(self, text: str, start: int, end: int) -> None:
        """Follows where blocks of code begin and end; those in a reasoning block do not count."""
        for match in _FENCE.finditer(text, start, end) if not self.open else ():
            fence, rest = match.groups()
            if not self._fence:
                self._fence = "" if "`" in rest else fence
            elif fence.startswith(self._fence) and not rest.strip():
                self._fence = ""

    def _marker(self, text: str, match: re.Match[str]) -> None:
        kind, (start, end) = _kind(match), match.span()
        begins = not self._started and not text[:start].strip()
        if kind == "think" and begins and not _closes(match):
            self.block, self.open = match[0], True
        elif self.open:
            in_code = text[start - 1 : start] == text[end : end + 1] == "`"
            self.open = kind != "think" or not _closes(match) or in_code
        elif self._fence or match["think_word"] or _is_mentioned(text, start, end):
            return
        elif kind == "sentence":
            self._sentences[_closes(match)] += 1
            self._begun = self._begun or begins
        elif kind not in self.found:
            self.found[kind] = Leak(match[0], kind, text[max(0, start - 24) : end + 24])

    def _sentence_ends(self) -> None:
        """``<s>`` is HTML, too: it is a token alone, at the beginning or the end of everything."""
        opened, closed = self._sentences
        if closed > opened and self._end.endswith("</s>"):
            self.found["sentence"] = Leak("</s>", "sentence", self._end[-28:])
        elif self._end.endswith("<eos>"):
            self.found["sentence"] = Leak("<eos>", "sentence", self._end[-29:])
        elif opened > closed and self._begun:
            self.found["sentence"] = Leak("<s>", "sentence", "<s>")


def _is_mentioned(text: str, start: int, end: int) -> bool:
    """Whether the text is about a marker: in a span of code, in quotes, or called a tag."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before and _QUOTES.get(before) == after:
        return True
    if _NAMED_AFTER.match(text, end) or _NAMED_BEFORE.search(text[max(0, start - 16) : start]):
        return True
    line_end = text.find("\n", end)
    rest = text[end : line_end if line_end >= 0 else len(text)]
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return (
        ("`" in rest and len(_TICKS.findall(line)) % 2 == 1)
        or ('"' in rest and line.count('"') % 2 == 1)
        or ("”" in rest and line.rfind("“") > line.rfind("”"))
    )
