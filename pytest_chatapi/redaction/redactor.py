"""Keeps secrets out of cassettes and logs.

What is secret: the keys, tokens and ids whose shape is known (`shapes`); the values that the
environment and live requests carry (`known`), by name (`names`); what a project names itself
(`patterns`, `jsonpath`). They are found in plain form, in what is encoded (`search`), and over the
chunks of a stream (`fragments`). In JSON they are replaced within its strings (`leaves`).
"""

from __future__ import annotations

import fnmatch
import os
import threading
from collections.abc import Iterable, Mapping, Sequence

from pytest_chatapi.redaction.encodings import encoding_of
from pytest_chatapi.redaction.fragments import note_across
from pytest_chatapi.redaction.jsonpath import JsonPaths
from pytest_chatapi.redaction.known import CleanTexts, Known
from pytest_chatapi.redaction.leaves import Documents, note_all
from pytest_chatapi.redaction.members import note_named
from pytest_chatapi.redaction.names import (
    BY_NAME,
    KEPT_OF_REQUESTS,
    KEPT_OF_RESPONSES,
    MASKED_HEADERS,
    WIRE_HEADERS,
    environment_secrets,
    header_secrets,
    is_secret_header,
)
from pytest_chatapi.redaction.patterns import Patterns
from pytest_chatapi.redaction.replacing import (
    IN_BYTES,
    REDACTED,
    Find,
    Hit,
    merged,
    moved,
    replaced,
    sizes,
)
from pytest_chatapi.redaction.search import Search
from pytest_chatapi.redaction.urls import (
    form_hits,
    multipart_hits,
    path_hits,
    url_secrets,
    userinfo,
)

__all__ = ["Redactor"]

_ROUNDS = 4
"""How often a text is gone through, as long as something is replaced."""

_SHORTEST = 8
"""Characters of a text that may hold a secret."""

_MOST_LEARNED = 8192
"""Headers and URLs that are not looked at again."""


class Redactor:
    """Finds and replaces what is secret. Threads may share one.

    Args:
        patterns: a project's own secrets: regular expressions, of which only the group
            ``secret`` is replaced where there is one; and JSON paths (``$.user``,
            ``$.messages[*].name``), whose texts and numbers are replaced in JSON bodies.
        keep_headers: names of headers to keep beyond the usual ones; ``x-litellm-*`` is fine.
        environ: where the values of variables such as ``OPENAI_API_KEY`` are read, once; by
            default the environment of the process.

    Raises:
        SettingError: a pattern is not a regular expression or a path.
    """

    def __init__(
        self,
        patterns: Iterable[str] = (),
        keep_headers: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        patterns = list(patterns)
        self._paths = JsonPaths(text for text in patterns if text.startswith("$"))
        self._patterns = Patterns(text for text in patterns if not text.startswith("$"))
        self._keep = [name.lower() for name in keep_headers]
        self._lock = threading.Lock()  # held while `_known` is replaced
        self._known = Known()
        self._learned: set[tuple[str, str]] = set()
        self._environ = os.environ if environ is None else environ
        self.learn_environment()

    # -- what is known -----------------------------------------------------------------------

    def learn_environment(self) -> None:
        """Remember what variables that are named like keys hold by now: fixtures set some."""
        self._know(environment_secrets(self._environ), 12)

    def learn(self, headers: Mapping[str, str] | Iterable[tuple[str, str]], url: str = "") -> None:
        """Remember what a live request or response carries: keys, cookies, accounts.

        Short values and plain words, such as the key for a server that needs none, are not
        remembered: ordinary text holds them as well.
        """
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            name = name.lower()
            if is_secret_header(name) and (name, value) not in self._learned:
                self._know(header_secrets(name, value), 8)
                self._learned.add((name, value))
        if ("@" in url or "=" in url) and ("", url) not in self._learned:
            self._know(url_secrets(url), 8)
            self._learned.add(("", url))
        if len(self._learned) > _MOST_LEARNED:
            self._learned.clear()

    def _know(self, secrets: Iterable[tuple[str, str]], shortest: int) -> None:
        secrets = list(secrets)
        with self._lock:
            self._known = self._known.plus(secrets, shortest)

    # -- what is redacted --------------------------------------------------------------------

    def headers(
        self, headers: Iterable[tuple[str, str]], *, response: bool
    ) -> list[tuple[str, str]]:
        """The headers that are kept, in order, with names in lower case."""
        usual = KEPT_OF_RESPONSES if response else KEPT_OF_REQUESTS
        kept = []
        for name, value in headers:
            name = name.lower()
            if name in WIRE_HEADERS or not (
                name in usual
                or (response and name.startswith("x-ratelimit-"))
                or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._keep)
            ):
                continue
            if name in MASKED_HEADERS or is_secret_header(name):
                value = MASKED_HEADERS.get(name, REDACTED)
            else:
                value = self.url(value) if name == "location" else self.text(value)
            kept.append((name, value))
        return kept

    def url(self, url: str) -> str:
        """Without user and password, and without the values of secret parameters."""
        if user := userinfo(url):
            url = url[: user.start(1)] + url[user.end() :]
        url = replaced(url, path_hits(url))
        return self._redacted(url, fields=form_hits if "=" in url else None)[0]

    def text(self, text: str) -> str:
        """Any text, JSON or not."""
        return self._redacted(text)[0]

    def body(self, body: bytes | str | None, content_type: str = "") -> bytes | None:
        """A request or response body. JSON keeps its keys, types and nesting."""
        if body is None:
            return None
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        return self.body_and_cuts(body, [], content_type)[0]

    def body_and_cuts(
        self, body: bytes, cuts: Sequence[int], content_type: str = ""
    ) -> tuple[bytes, list[int]]:
        """As `body`, with offsets into it that move along.

        Args:
            cuts: in ascending order. One inside a secret stays inside its placeholder.
        """
        kind = content_type.lower()
        fields = None
        if kind.startswith("application/x-www-form-urlencoded"):
            fields = form_hits
        elif kind.startswith("multipart/"):
            fields = multipart_hits
        encoding = encoding_of(body)
        text = body.decode(encoding, "surrogateescape")
        redacted, cuts = self._redacted(text, cuts, self._paths, fields, encoding)
        if redacted is not text:
            body = redacted.encode(encoding, "surrogateescape")
        return body, cuts if isinstance(cuts, list) else list(cuts)

    def find_secrets(self, text: str) -> list[str]:
        """What still looks like a secret in a text: the kinds, never the secret itself.

        The project's own patterns do not count: they may well match a date in a cassette.
        """
        hits = Search(self._known, len(text)).hits(text)
        return list(dict.fromkeys(hit.kind for hit in sorted(hits)))

    # -- one text ----------------------------------------------------------------------------

    def _redacted(
        self,
        text: str,
        cuts: Sequence[int] = (),
        paths: JsonPaths | None = None,
        fields: Find | None = None,
        encoding: str = "utf-8",
    ) -> tuple[str, Sequence[int]]:
        """The text without its secrets, and `cuts` moved along.

        Args:
            fields: finds those of a form.
            encoding: of the text that is cut.
        """
        # What is left may read on to something new, mostly where project patterns are short.
        for _ in range(_ROUNDS):
            hits = self._hits(text, paths) + (fields(text) if fields else [])
            if not hits:
                break
            hits = merged(hits)
            if cuts:
                cuts = moved(cuts, sizes(text, hits, encoding))
            text = replaced(text, hits)
        return text, cuts

    def _hits(self, text: str, paths: JsonPaths | None = None) -> list[Hit]:
        """What is to be replaced in `text`: inside JSON only in its strings."""
        if len(text) < _SHORTEST and not (self._patterns or paths):
            return []
        known = self._known
        is_remembered = not paths and len(text) <= CleanTexts.LONGEST
        if is_remembered and text in known.clean_texts:
            return []
        hits = Search(known, len(text)).hits(text, names=True)
        if hits or self._patterns or paths:
            hits = self._placed(hits, text, paths)
        if is_remembered and not hits:
            known.clean_texts.remember(text)
        return hits

    def _placed(self, hits: list[Hit], text: str, paths: JsonPaths | None) -> list[Hit]:
        """`hits` as they may be replaced, with what paths and patterns add to them.

        What a document holds is looked for again in its strings, one by one and joined.
        """
        documents = Documents(text)
        shortest = 0 if self._patterns else _SHORTEST
        for leaf in documents.leaves:
            if isinstance(leaf.value, str) and len(leaf.text) >= shortest:
                leaf.hits += self._hits(leaf.text)
        has_names = any(hit.kind == BY_NAME for hit in hits)
        for document in documents:
            if has_names:
                note_named(document.tree)
            if paths:
                for node in paths.values(document.tree):
                    note_all(node)
        note_across(documents, self._hits)
        placed = documents.hits()
        placed += (
            hit
            for hit in hits
            if hit.start < hit.end
            and (hit.placeholder == IN_BYTES or not documents.contain(hit.start, hit.end))
        )
        if self._patterns:
            placed += self._patterns.hits(text, documents)
        return placed
