"""Secrets in prose, code and commands that are known by the name in front of them.

``DB_PASSWORD=...``, ``OpenAI(api_key="...")``, ``--token ...``, ``Invalid API key: ...``. A name
proves less there than in JSON, so the value has to look generated as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_chatapi.redaction.names import BY_NAME, Rank, rank
from pytest_chatapi.redaction.replacing import REDACTED, Hit
from pytest_chatapi.redaction.values import can_be_password, is_generated, is_opaque

__all__ = ["assigned_hits"]

# Each is looked for in every text, so there are few.
_WORDS = "pass", "secret", "auth", "pwd", "identified by"
_LAST_WORDS = "key", "token"  # which are parts of other words, too
_SHORTEST = 16  # characters of a name and a value
_OTHER_ALPHABETS = "пароль", "密码", "密碼", "パスワード", "contraseña"

_BEFORE = re.compile(r"(?:[A-Za-z]+ (?=\Z))?[\w-]*\Z")
_REST = re.compile(r"[\w-]{0,24}", re.ASCII)
# Up to the value: signs, tags, and a few words of code and of messages.
_GLUE = re.compile(
    r"(?:\\{1,8}[nrt]|[\s\"'`*(){\[\]:=>|.@\\：→は是-]|(?<=[\"'`]),|</?[A-Za-z]{1,20}>"
    r"|\bfor [\w.@-]{1,32}(?=:)|\b[0-9](?=:)"
    r"|\b(?:is|are|was|provided|expected|[Rr]eceived|[Vv]alue|stringValue|content|type|key|token"
    r"|str|[Ss]tring|b|N|[Bb]earer|Basic|Token|Api-?Key)\b){1,24}"
)
_VALUE = re.compile(r"[A-Za-z0-9+/_.~=%-]{12,512}")
_MADE_UP = re.compile(r"[^\s\"'`,;<>(){}\[\]\\|]{6,64}")
_ASSIGNS = re.compile(r"(?:(?:[:=：]|\bis\b)\s*(?:[bN]?\\*[\"'`])?|\s+\\*[\"'])\Z")
_NEXT_PARAMETER = re.compile(r"&[\w-]+=")
# With a word of a message before it, or the end of an escaped line end.
_BARE_TOKEN = re.compile(
    r"(?:-+|(?:bad|expired|invalid|my|the|this|unknown|with|wrong|your) |n)?token", re.IGNORECASE
)
_WRAPPER = re.compile(r"(?:Str|Credential|Value|Header|Text)\Z")
_OTHER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[.~]*/.*|[^@\s]+@[^@\s]+\.[a-z]+|\w+://.*")
# The password of a user, a cookie, and an option that has one where its value looks generated.
_USER_OPTION = re.compile(
    r" (?:(?:-u|--(?:proxy-)?user)[ =]+[\"']?[\w.@-]{1,64}:|(?:-b|--cookie)[ =]+[\"']?[\w-]{1,64}=)"
    r"(?P<password>[^\s\"'`:\\]{6,128})"
)
_USER_ARGUMENT = re.compile(
    r"auth=\(\\*[\"'][^\"'\\]{1,64}\\*[\"'], *\\*[\"'](?P<password>[^\"'\\]{6,128})"
)
_OPTION = re.compile(r" -(?:[aPpkw]|passin pass:)[ \"']{0,2}(?P<password>[^\s\"'`:\\]{12,128})")


def assigned_hits(text: str) -> list[Hit]:
    """The values in a text that are secret by the names before them."""
    hits: list[Hit] = []
    if len(text) < _SHORTEST or not (
        # One of these is between a name and a value.
        " " in text or ":" in text or "=" in text or "(" in text or ">" in text or "：" in text
    ):
        return hits
    lower = text.lower()
    if len(lower) != len(text):  # a letter that has two in lower case
        lower = text
    for word in _WORDS if text.isascii() else (*_WORDS, *_OTHER_ALPHABETS):
        at = lower.find(word)
        while at >= 0:
            end = at + len(word)
            hits += _after(text, at, end)
            at = lower.find(word, end)
    for word in _LAST_WORDS:
        at = lower.find(word)
        while at >= 0:
            end = at + len(word)
            # Most are a part of `tokens` and `keys`.
            if not text[end : end + 1].islower() and _ends_a_name(text, lower, at):
                hits += _after(text, at, end)
            at = lower.find(word, end)
    at = text.find(" -")
    while at >= 0:
        hits += _in_option(text, at)
        at = text.find(" -", at + 1)
    return hits


_SEPARATORS = frozenset(["", *"_- \n(:"])


def _ends_a_name(text: str, lower: str, start: int) -> bool:
    """Whether a word is the last one of a name: ``api_key``, ``accessToken``, not ``monkey``."""
    before = lower[start - 1 : start]
    return before != '"' and (
        before in _SEPARATORS
        or text[start].isupper()
        or lower[start - 3 : start] == "api"
        or lower[start - 2 : start] == "\\n"
    )


def _after(text: str, start: int, end: int) -> Iterator[Hit]:
    """The secret behind the name that holds the word from `start` to `end`, if there is one."""
    if argument := _USER_ARGUMENT.match(text, start):
        value = argument["password"]
        if is_opaque(value) or _is_made_up(value):
            yield Hit(*argument.span("password"), REDACTED, BY_NAME)
        return
    rest = _REST.match(text, end)
    glue = _GLUE.match(text, rest.end() if rest else end)
    if glue is None:
        return
    value = _VALUE.match(text, glue.end())
    assigns = _ASSIGNS.search(glue[0])
    if not value and not assigns:  # as in most prose
        return
    before = _BEFORE.search(text[max(0, start - 40) : start])
    name = (before[0] if before else "") + text[start : glue.start()]
    of_name = (
        Rank.SECRET if text[start:end].lower() == "identified by" else rank(_WRAPPER.sub("", name))
    )
    if of_name is Rank.NONE and not _BARE_TOKEN.fullmatch(name):
        return
    if value:
        found = value[0].rstrip(".,:-")
        is_call = text[value.end() : value.end() + 1] in ("(", "[")
        if not is_call and not _OTHER.fullmatch(found) and is_generated(found):
            yield Hit(value.start(), value.start() + len(found), REDACTED, BY_NAME)
            return
    prior = start - len(before[0] if before else "")
    is_parameter = prior > 0 and text[prior - 1] in "?&"
    if of_name is Rank.SECRET and assigns and not is_parameter:
        made_up = _MADE_UP.match(text, glue.end())
        found = _NEXT_PARAMETER.split(made_up[0])[0].rstrip(".,:") if made_up else ""
        if made_up and _is_made_up(found):
            yield Hit(made_up.start(), made_up.start() + len(found), REDACTED, BY_NAME)


_MIXED = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])(?=.*[!@#$^&*?+~])")


def _is_made_up(text: str) -> bool:
    """Whether this is a password that somebody made up: letters, digits and a sign."""
    return (
        _MIXED.match(text) is not None
        and can_be_password(text)
        and REDACTED not in text
        and not _OTHER.fullmatch(text)
    )


def _in_option(text: str, start: int) -> Iterator[Hit]:
    """The password in ``curl -u user:...`` and in ``-p ...``."""
    if match := _USER_OPTION.match(text, start):
        value = match["password"]
        is_password = is_opaque(value) or _is_made_up(value)
    elif match := _OPTION.match(text, start):
        value = match["password"]
        is_password = is_generated(value) and not _OTHER.fullmatch(value)
    else:
        return
    if is_password:
        yield Hit(*match.span("password"), REDACTED, BY_NAME)
