"""Members of JSON that are secret by name: which texts may hold one, and which values they are."""

from __future__ import annotations

import re
from itertools import pairwise

from pytest_chatapi.redaction.leaves import Leaf, Node, StringLeaf
from pytest_chatapi.redaction.names import BY_NAME, Rank, is_secret_header, rank
from pytest_chatapi.redaction.replacing import REDACTED, Hit
from pytest_chatapi.redaction.urls import path_hits
from pytest_chatapi.redaction.values import is_generated

__all__ = ["may_be_secret", "may_hold", "note_named"]

# Beside names that have a rank: what else makes a document worth reading.
_WORTH_READING = frozenset({"server_url", "server_label", "kty"})
_NAMED_VALUE = re.compile(
    r"(?:passw(?:or)?d|secret|key|token|credential"
    r"|authorization|cookie|session)\\*\""
)
_MOST_NAMES = 4096
_NO_VALUE = frozenset("{tfn")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Api-?Key|Key|Digest)\s+", re.IGNORECASE)
_PATH = re.compile(r"/|~|\.|[A-Za-z]:\\")
_SCHEMA_MEMBERS = "properties", "$defs", "definitions", "patternProperties"
_SCHEMA_KEYWORDS = frozenset(
    {"$ref", "anyOf", "oneOf", "allOf", "properties", "description", "type"}
)
_GROUPS = re.compile(r".*(?:credential|secret)s?", re.IGNORECASE)
_NAME_AND_VALUE = (
    (("name", "key", "path"), ("value",)),
    (("Name", "Key"), ("Value",)),
    (("type",), ("key", "token")),
)
"""Members that hold a name, and those beside them that hold its value."""
_THOUGHTS = frozenset({"thinking", "thought", "text"})
_KINDS_OF_THOUGHT = "thinking", "reasoning", "signature"
_KEY_PARAMETERS = "d", "k", "p", "q", "dp", "dq", "qi"
"""What is private in a JSON Web Key (RFC 7518, section 6)."""
_PLAIN_HEADERS = frozenset({"accept", "content-type", "user-agent"})


_ordinary: set[str] = set()
"""Names that say nothing, as far as they were met."""


def may_hold(text: str) -> bool:
    """Whether a text that is, or holds, JSON may have a member that is secret by its name."""
    if '"' not in text:
        return False
    if '" :' in text:
        text = text.replace('" :', '":')
    pieces = text.split('":')
    last = pieces.pop()
    names = {piece.rpartition('"')[2] for piece in pieces}
    if may_be_secret(names):
        for piece, value in zip(pieces, [*pieces[1:], last], strict=True):
            name = piece.rpartition('"')[2]
            # In a schema a name has no text behind it.
            if value.lstrip()[:1] not in _NO_VALUE and may_be_secret({name}):
                return True
            if name.rstrip("\\") in _WORTH_READING or _GROUPS.fullmatch(name):
                return True
    is_pair = "value" in names or "value\\" in names
    return is_pair and _NAMED_VALUE.search(text.lower()) is not None


def may_be_secret(names: set[str]) -> bool:
    """Whether one of these names of members may say that something is secret."""
    unknown = names - _ordinary
    if not unknown:
        return False
    for name in unknown:
        name = name.rstrip("\\")  # of an escaped quote
        if name in _WORTH_READING or rank(name) is not Rank.NONE:
            return True
    if len(_ordinary) > _MOST_NAMES:
        _ordinary.clear()
    _ordinary.update(name for name in unknown if len(name) < 64)
    return False


def note_named(tree: Node) -> None:
    """Note in the leaves of a document what is secret by name, but for the names in a schema."""
    waiting = [("", tree)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, list):
            _note_items(node)
            waiting += [(place, item) for item in node if not isinstance(item, Leaf)]
        elif isinstance(node, dict):
            if place not in _SCHEMA_MEMBERS:
                _note_members(node, place)
            waiting += [(key, item) for key, item in node.items() if not isinstance(item, Leaf)]


def _note_members(node: dict[str, Node], place: str) -> None:
    for key, item in node.items():
        of_key = rank(key)
        if of_key is Rank.NONE:
            if place != "headers" or not is_secret_header(key.lower()):
                continue
            of_key = Rank.IF_OPAQUE
        elif "ignature" in key and _is_thought(key, node, place):
            continue
        _note(key, item, of_key)
    for names, values in _NAME_AND_VALUE:
        if node.keys().isdisjoint(values):
            continue
        for name in map(node.get, names):
            if isinstance(name, StringLeaf) and (of_name := _rank_of_text(name.text)):
                for value in map(node.get, values):
                    if value is not name and isinstance(value, StringLeaf):
                        _note_text(name.text, value, of_name)
    if "kty" in node:
        for key in _KEY_PARAMETERS:
            if isinstance(leaf := node.get(key), StringLeaf) and is_generated(leaf.text):
                leaf.hits.append(Hit(0, len(leaf.text), REDACTED, BY_NAME))
    if isinstance(url := node.get("server_url"), StringLeaf):
        url.hits += path_hits(url.text)
    headers = node.get("headers")
    if isinstance(headers, dict) and ("server_url" in node or "server_label" in node):
        for key, item in headers.items():
            if key.lower() not in _PLAIN_HEADERS:
                _note(key, item, Rank.SECRET)


def _rank_of_text(name: str) -> Rank | None:
    """What a text says about the value beside it, if anything."""
    of_name = rank(name)
    if of_name is not Rank.NONE:
        return of_name
    name = name[:64].lower()
    return Rank.IF_OPAQUE if name in ("bearer", "basic") or is_secret_header(name) else None


def _note_items(items: list[Node]) -> None:
    """Note the items of a list that are values of the names before them: of a header, a flag."""
    for name, value in pairwise(items):
        if not isinstance(name, StringLeaf) or not isinstance(value, StringLeaf):
            continue
        if _rank_of_text(name.text) and is_generated(value.text):
            value.hits.append(Hit(0, len(value.text), REDACTED, BY_NAME))


def _is_thought(key: str, node: dict[str, Node], place: str) -> bool:
    """Whether a signature is that of a model's thinking, which a client has to send back."""
    kind = node.get("type", node.get("part_kind"))
    return (
        key.lower().startswith("thought")
        or place.startswith("reasoning")
        or not _THOUGHTS.isdisjoint(node)
        or (isinstance(kind, StringLeaf) and kind.text.startswith(_KINDS_OF_THOUGHT))
    )


def _note(key: str, item: Node, of_key: Rank) -> None:
    """Note what of a member is secret, where its name has a rank."""
    if isinstance(item, StringLeaf):
        _note_text(key, item, of_key)
    elif isinstance(item, Leaf):
        # Numbers under other names are counts, or things to guess.
        if "pass" in key.lower() and type(item.value) is int and len(item.text) > 3:
            item.hits.append(Hit(0, len(item.text), item.placeholder, BY_NAME))
    elif isinstance(item, list):
        for one in item:
            if isinstance(one, StringLeaf):
                _note_text(key, one, of_key)
    elif _is_group(key, of_key) and _SCHEMA_KEYWORDS.isdisjoint(item):
        for name, one in item.items():
            if isinstance(one, StringLeaf):
                _note_text(name, one, Rank.IF_OPAQUE)


def _is_group(key: str, of_key: Rank) -> bool:
    """Whether what is in an object under a name is secret with it."""
    return of_key is Rank.SECRET or _GROUPS.fullmatch(key) is not None


def _note_text(key: str, leaf: StringLeaf, of_key: Rank) -> None:
    text = leaf.text
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    if of_key.covers(text[start:]) and not (key.lower().endswith("pwd") and _PATH.match(text)):
        leaf.hits.append(Hit(start, len(text), REDACTED, BY_NAME))
