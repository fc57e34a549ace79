"""What secrets look like: one row for each shape of key, with where the shape is known from.

Sources are published rules: those of gitleaks, kingfisher and credsweeper in the versions that
``vendors.json`` names, where most shapes are, and of microsoft/security-utilities. The shapes here
are wider: a scanner may miss a key, but what is written to disk with one in it has leaked it.

A new shape is a row here and one in ``tests/test_redaction.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pytest_chatapi.redaction.encodings import unbase64
from pytest_chatapi.redaction.replacing import REDACTED, Hit
from pytest_chatapi.redaction.values import is_words

__all__ = [
    "IDS",
    "KEYS",
    "LIKE_A_KEY",
    "LIKE_A_KEY_OR_TOKEN",
    "MASKED",
    "SHAPES",
    "SPACED",
    "Shape",
]

# -- as the contract looks for them --------------------------------------------------------------

_LOOSE_SK = r"sk-[A-Za-z0-9_-]{16,}"

LIKE_A_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_LOOSE_SK}")
"""A wide net for keys, which no request should hold: `sk-` where a word starts."""

LIKE_A_KEY_OR_TOKEN = re.compile(rf"\b(?:{_LOOSE_SK}|Bearer\s+[A-Za-z0-9._~+/=-]{{8,}})")
"""What messages mask. A harmless text that is masked there costs nothing."""

# -- as they are redacted ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Shape:
    """A kind of secret that is known by its looks.

    Attributes:
        probe: a text that is part of every match, so that most texts need no regular expression.
        regex: compiled when a text holds `probe` for the first time, as all of them together
            take tens of milliseconds.
        placeholder: what replaces it.
        kind: what it is, in words for messages.
        source: whose it is, and which published list has it.
        is_secret: a last look at a match.
        words: words that are in every match, between its dashes and underscores; by default
            the first one of `probe`.
        shortest: characters of the run that it is in, where it is in one.
    """

    probe: str
    regex: str
    placeholder: str
    kind: str
    source: str
    is_secret: Callable[[re.Match[str]], bool] | None = None
    words: tuple[str, ...] = ()
    shortest: int = 0

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.regex)

    def hits(self, text: str) -> list[Hit]:
        return [
            Hit(*match.span(), self.placeholder, self.kind)
            for match in self.pattern.finditer(text)
            if self.is_secret is None or self.is_secret(match)
        ]


_ESCAPED_NO_LETTER = (
    r"\\[bfnrt]",
    r"\\x[0189A-Fa-f][0-9A-Fa-f]",
    r"\\u00[0189A-Fa-f][0-9A-Fa-f]",
    r"\\u0[1-9A-Fa-f][0-9A-Fa-f]{2}",
    r"\\u[1-9A-Fa-f][0-9A-Fa-f]{3}",
)
_COLOURS = [rf"\[[0-9;]{{{size}}}m" for size in range(6)]


# Where a word starts, for shapes without a prefix.
_EDGE = (
    "(?:(?<![A-Za-z0-9])"
    + "".join(f"|(?<={text})" for text in (*_ESCAPED_NO_LETTER, *_COLOURS))
    + ")"
)


def _at_edge(prefix: str) -> str:
    """`prefix` where a word starts, also after an escaped character or a terminal's colour."""
    # The prefix comes first, which lets `re` skip to it.
    before = (*_ESCAPED_NO_LETTER, *_COLOURS, "/bot")
    behind = "|".join(f"(?<={text}{prefix})" for text in before)
    return f"{prefix}(?:(?<![A-Za-z0-9]{prefix})|{behind})"


def _prefixed(prefix: str, tail: str, what: str, source: str, shortest: int = 0) -> Shape:
    """A shape that begins with `prefix`, which stays when it is replaced."""
    # A prefix again and again is no key, and must not be followed from each of them.
    edge = _at_edge(re.escape(prefix))
    regex = f"{edge}(?!{re.escape(prefix)})(?:{tail})"

    def is_random(match: re.Match[str]) -> bool:
        rest = match[0][len(prefix) :]
        return not is_words(rest) or rest.isdigit() or _LOWER.fullmatch(rest) is not None

    kind = f"{what} ({prefix}...)"
    return Shape(prefix, regex, prefix + REDACTED, kind, source, is_random, shortest=shortest)


_LOWER = re.compile("[a-z_-]{32,}")


# No key is longer. Megabytes of url-safe base64 are, and any short prefix may be part of them.
_SAFE = r"[A-Za-z0-9_-]{%d,512}+(?![A-Za-z0-9_-])"
_ALNUM = r"[A-Za-z0-9]{%d,512}+(?![A-Za-z0-9])"
# Words in lower case are names of packages and functions. These look no further than a key is
# long: a run may be prefixes and nothing else, and each of them looks.
_MIXED = "(?=[a-z_-]{0,511}[A-Z0-9])"
_DIGIT = "(?=[A-Za-z]{0,511}[0-9])"

_MIXED_ALNUM, _MIXED_SAFE, _DIGIT_ALNUM = _MIXED + _ALNUM, _MIXED + _SAFE, _DIGIT + _ALNUM
_AWS = _MIXED + r"[A-Z0-9]{16}(?![A-Za-z0-9+]|/(?![0-9]{8}/))"  # a date follows in a scope

_SK = _prefixed(
    "sk-",
    rf"(?:{_MIXED}|(?=[a-z_-]{{32}})){_SAFE % 16}"
    # As a server quotes it: sk-proj-********a1B2
    r"|[A-Za-z0-9_-]{0,512}+\*{3}[A-Za-z0-9_*-]{0,512}+",
    "an API key",
    "OpenAI, Anthropic, OpenRouter, DeepSeek; gitleaks openai, anthropic",
)

_KEY, _TOKEN = "an API key", "a token"

_MODELS = (
    _SK,
    _prefixed("gsk_", _MIXED_ALNUM % 20, _KEY, "Groq; kingfisher groq.1"),
    _prefixed("csk-", _MIXED_ALNUM % 20, _KEY, "Cerebras; kingfisher cerebras.1"),
    _prefixed("xai-", _MIXED_ALNUM % 20, _KEY, "xAI; kingfisher xai.1"),
    _prefixed("pplx-", _MIXED_ALNUM % 20, _KEY, "Perplexity; kingfisher perplexity.1"),
    _prefixed("r8_", _MIXED_ALNUM % 20, _KEY, "Replicate; kingfisher replicate.1"),
    _prefixed("nvapi-", _MIXED_SAFE % 20, _KEY, "NVIDIA; kingfisher nvidia.nim.1"),
    _prefixed("AIza", _MIXED + r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", _KEY, "Google; gitleaks gcp"),
    _prefixed("AKIA", _AWS, _KEY, "AWS; gitleaks aws"),
    _prefixed("ASIA", _AWS, _KEY, "AWS, for a session; gitleaks aws"),
    _prefixed("hf_", _MIXED_ALNUM % 20, _TOKEN, "Hugging Face; gitleaks huggingface"),
    _prefixed("sess-", _MIXED_ALNUM % 20, _TOKEN, "OpenAI's dashboard; no list has it"),
    _prefixed("ghp_", _MIXED_ALNUM % 20, _TOKEN, "GitHub, of a person; gitleaks github"),
    _prefixed("gho_", _MIXED_ALNUM % 20, _TOKEN, "GitHub, OAuth; gitleaks github"),
    _prefixed("ghu_", _MIXED_ALNUM % 20, _TOKEN, "GitHub, app for a user; gitleaks github"),
    _prefixed("ghs_", _MIXED_ALNUM % 20, _TOKEN, "GitHub, app as a server; gitleaks github"),
    _prefixed("ghr_", _MIXED_ALNUM % 20, _TOKEN, "GitHub, refresh; gitleaks github"),
    _prefixed("github_pat_", _MIXED_SAFE % 16, _TOKEN, "GitHub, fine-grained; gitleaks github"),
    _prefixed("glpat-", _MIXED_SAFE % 16, _TOKEN, "GitLab; gitleaks gitlab"),
    _prefixed("xoxa-", _MIXED_SAFE % 12, _TOKEN, "Slack, legacy workspace; gitleaks slack"),
    _prefixed("xoxb-", _MIXED_SAFE % 12, _TOKEN, "Slack, bot; gitleaks slack"),
    _prefixed("xoxp-", _MIXED_SAFE % 12, _TOKEN, "Slack, user; gitleaks slack"),
    _prefixed("xoxr-", _MIXED_SAFE % 12, _TOKEN, "Slack, refresh; gitleaks slack"),
    _prefixed("xoxs-", _MIXED_SAFE % 12, _TOKEN, "Slack, legacy; gitleaks slack"),
)

_ALPHABETS = {
    "alnum": "A-Za-z0-9",
    "base64": "A-Za-z0-9+/",
    "base64_": "A-Za-z0-9+/=_",
    "dotted": "A-Za-z0-9_.=-",
    "hex": "A-Fa-f0-9",
    "safe": "A-Za-z0-9_-",
    "upper": "A-Z0-9",
}
_OVER_RUNS = "base64_", "dotted"
"""Alphabets with signs that no run has (see `encodings.long_runs`)."""


def _vendors() -> tuple[Shape, ...]:
    """The shapes in ``vendors.json``."""
    text = Path(__file__).with_name("vendors.json").read_text(encoding="utf-8")
    return tuple(
        _prefixed(
            prefix,
            f"(?=[a-z_.-]{{0,511}}[A-Z0-9])[{_ALPHABETS[alphabet]}]{{{least},512}}+"
            f"(?![{_ALPHABETS[alphabet]}])",
            _KEY,
            f"{source} {rule}",
            0 if alphabet in _OVER_RUNS or "." in prefix else len(prefix) + least,
        )
        for prefix, alphabet, least, source, rule in json.loads(text)["shapes"]
    )


_PARTS = (
    Shape(
        "SK",
        _at_edge("SK") + r"[0-9a-f]{32}(?![A-Za-z0-9])",
        f"SK{REDACTED}",
        "an API key (SK...)",
        "Twilio; gitleaks twilio",
    ),
    Shape(
        ":A",
        r":(?<=[0-9]{5}:)A[A-Za-z0-9_-]{34}(?![A-Za-z0-9_-])",
        f":{REDACTED}",
        "a token of a bot",
        "Telegram; gitleaks telegram-bot-api-token",
    ),
    Shape(
        "Q~",
        _EDGE + r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{30,33}[A-Za-z0-9_~-](?![A-Za-z0-9_~-])",
        REDACTED,
        "a client secret",
        "Azure AD; gitleaks azure-ad-client-secret",
    ),
    Shape(
        ".atlasv1.",
        _EDGE + r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}",
        REDACTED,
        "a token (atlasv1)",
        "Terraform; gitleaks hashicorp-tf-api-token",
    ),
    Shape(
        "_mmk",
        _EDGE + r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk(?![A-Za-z0-9])",
        f"{REDACTED}_mmk",
        "a license key (..._mmk)",
        "MaxMind; gitleaks maxmind-license-key",
        words=("mmk",),
    ),
    Shape(
        "-us",
        _EDGE + r"[0-9a-f]{32}-us[0-9]{1,2}(?![A-Za-z0-9])",
        REDACTED,
        "an API key (...-us1)",
        "Mailchimp; gitleaks mailchimp-api-key",
        words=tuple(f"us{number}" for number in range(1, 40)),
    ),
    Shape(
        "/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20,99}",
        f"hooks.slack.com/{REDACTED}",
        "a webhook",
        "Slack; gitleaks slack-webhook-url",
        words=("services", "workflows", "triggers"),
    ),
    Shape(
        "webhookb2",
        r"/webhookb2/[A-Za-z0-9@-]{20,99}/IncomingWebhook/[A-Za-z0-9/-]{32,99}",
        f"/webhookb2/{REDACTED}",
        "a webhook",
        "Microsoft Teams; gitleaks microsoft-teams-webhook",
        words=("webhookb2",),
    ),
    Shape(
        "webhooks",
        r"/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,80}",
        f"/api/webhooks/{REDACTED}",
        "a webhook",
        "Discord; kingfisher discord.1",
        words=("webhooks",),
    ),
    Shape(
        "catch",
        r"hooks\.zapier\.com/hooks/catch/[0-9]{5,12}/[A-Za-z0-9]{5,20}",
        f"hooks.zapier.com/hooks/catch/{REDACTED}",
        "a webhook",
        "Zapier; kingfisher zapier.1",
        words=("catch",),
    ),
    Shape(
        "JQQJ9",
        _EDGE + r"[A-Za-z0-9]{52}JQQJ9[9DH][A-Za-z0-9]{26}(?![A-Za-z0-9])",
        REDACTED,
        "an API key (...JQQJ9...)",
        "Azure; microsoft/security-utilities CommonAnnotatedSecurityKey, credsweeper",
    ),
)

KEYS = (*_MODELS, *_vendors(), *_PARTS)

IDS = (
    _prefixed("org-", _MIXED_ALNUM % 16, "an organization id", "OpenAI"),
    _prefixed("proj_", _MIXED_ALNUM % 16, "a project id", "OpenAI"),
    _prefixed("user-", _DIGIT_ALNUM % 16, "a user id", "OpenAI"),
    _prefixed("req_", _DIGIT_ALNUM % 16, "a request id", "OpenAI"),
)
"""Not secret, but they name an account. In base64 they stay: a whole file would go for them."""

SHAPES = (*KEYS, *IDS)
"""Shapes of which each match is a part of one long run."""


def _is_credentials(match: re.Match[str]) -> bool:
    """Whether this is not prose about basic authentication."""
    (data,) = unbase64(match[1].rstrip("="), 1)
    text = data.decode("utf-8", "surrogateescape")
    return ":" in text and text.isprintable()


def _is_key(match: re.Match[str]) -> bool:
    """Whether this is not just the base64 of a text with the word OpenAI."""
    # From the marker back in steps of four, without the first: it may hold a part of an escape.
    before = len(match[1])
    (data,) = unbase64(match[0][before % 4 + (4 if before > 3 else 0) :], 1)
    return any(not 8 <= byte < 127 for byte in data)


_PRIVATE = r"[A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"

SPACED = (
    Shape(
        ".eyJ",
        _at_edge("eyJ") + r"[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+",
        REDACTED,
        "a JSON Web Token",
        "RFC 7519; gitleaks jwt",
    ),
    # Base64 of "OpenAI": in the middle of their keys.
    Shape(
        "T3BlbkFJ",
        r"(?<![A-Za-z0-9+/_-])([A-Za-z0-9_-]{0,256}?)T3BlbkFJ[A-Za-z0-9_-]{0,256}+(?![+/=])",
        REDACTED,
        "an API key",
        "OpenAI, where the prefix is cut off; gitleaks openai",
        _is_key,
    ),
    Shape(
        "earer",
        r"[Bb]earer[ \t]+(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{11,}[A-Za-z0-9_~+/-]=*",
        f"Bearer {REDACTED}",
        "a bearer token",
        "RFC 6750",
    ),
    Shape(
        "-----BEGIN",
        # Up to the next five dashes only, or many first lines would each look through the rest.
        rf'-----BEGIN {_PRIVATE}(?:(?:[^"<>{{}}-]++|-(?!----))*+-----END {_PRIVATE}'
        r"|(?:\s|\\[nr])*[A-Za-z0-9+/=]{40}[A-Za-z0-9+/=\s\\]*(?<![\s\\])"
        # In lines that are quoted, as in code and in mail.
        r"|(?:(?:\\*[nr])?[^A-Za-z0-9]{1,8}[A-Za-z0-9+/=]{16,76}+)++"
        rf"(?:(?:\\*[nr])?[^A-Za-z0-9]{{1,8}}[A-Za-z0-9+/=]{{0,15}}+)"
        ")",
        REDACTED,
        "a private key",
        "RFC 7468; gitleaks private-key",
    ),
    Shape(
        "asic",
        r"[Bb]asic[ \t]+([A-Za-z0-9+/]{8,}+={0,2})",
        f"Basic {REDACTED}",
        "a password (Basic ...)",
        "RFC 7617",
        _is_credentials,
    ),
)
"""Shapes that need not be part of a long run."""

MASKED = replace(_SK, probe="***")
"""A key as a server quotes it. What it leaves of the key is short."""
