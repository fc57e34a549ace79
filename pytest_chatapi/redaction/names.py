"""What names say: which members, headers, parameters and variables are secret, or kept at all."""

from __future__ import annotations

import base64
import contextlib
import enum
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from pytest_chatapi.redaction.replacing import REDACTED
from pytest_chatapi.redaction.values import can_be_password, is_opaque

__all__ = [
    "BY_NAME",
    "KEPT_OF_REQUESTS",
    "KEPT_OF_RESPONSES",
    "MASKED_HEADERS",
    "WIRE_HEADERS",
    "Rank",
    "environment_secrets",
    "header_secrets",
    "is_secret_header",
    "rank",
]

BY_NAME = "a value that is secret by its name"
"""The kind of what names say, in words for messages."""

# -- members and parameters ----------------------------------------------------------------------


class Rank(enum.Enum):
    """What a name says about its value."""

    NONE = enum.auto()
    IF_OPAQUE = enum.auto()
    """A secret if the value looks generated; also used for what is none (``session``)."""
    SECRET = enum.auto()
    """A secret, whatever the value looks like, unless it is a placeholder."""

    def covers(self, value: str) -> bool:
        """Whether a value under such a name is secret."""
        if self is Rank.SECRET:
            return can_be_password(value)
        return self is Rank.IF_OPAQUE and is_opaque(value)


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")
_SECRET = re.compile(
    r".*(?:password|passwd|passphrase|passcode|secret|(?:api|private)_?key)s?"
    r"|(?:.*_)?(?:password_(?:again|confirm(?:ation)?|repeat)|passwort|kennwort|(?:mot_)?de_passe"
    r"|(?:recovery|seed)_phrase|contraseña|senha|пароль|密[码碼]|パスワード|비밀번호)"
    r"|(?:.*_)?pwds?"
    r"|(?:.*_)?(?:access|account|admin|auth|encryption|functions?|master|secret|secret_access|shared"
    r"|shared_access|signing|storage|subscription|virtual)_?keys?"
    r"|(?:.*_)?(?:access|api|auth|bearer|id|oauth|personal_access|refresh|sas|security|session)_?token"
    r"|(?:.*_)?conn(?:ection)?_?str(?:ing)?s?"
    r"|(?:.*_)?x_(?:amz|goog)_(?:credential|security_token|signature)"
)
_IF_OPAQUE = re.compile(
    r"(?:.*_)?(?:authorization|auth|bearer|cookies?|credentials?|jwt|pass|pat|pin|pw|session(?:_?id)?"
    r"|sid|sig|signature|assertion|otp|(?:device|recovery|verification)_code|code_verifier"
    r"|saml_?response)"
    # Places in a list, and special tokens of a vocabulary, are no secrets.
    r"|(?!(?:.*_)?(?:page|next|continuation|cursor|sync|bos|eos|pad|unk|mask|sep|cls|stop|start|end"
    r"|image|audio|special|first|last|max|min)_token).*_token"
    r"|(?:.*_)?(?:app|azure|client|consumer|deploy|ephemeral|hmac|instrumentation|integration|license"
    r"|primary|project|salt|secondary|service|ssh|unseal|webhook)_?key(?:_data)?"
)


@lru_cache(4096)
def rank(name: str) -> Rank:
    """What a name in JSON, a form or a URL says about its value, in any spelling.

    A bare ``token`` says nothing, as logprobs have one, and neither do counts (``max_tokens``).
    """
    if len(name) > 64:
        return Rank.NONE
    name = _HUMP.sub("_", name).strip("_").lower()
    if _SECRET.fullmatch(name):
        return Rank.SECRET
    return Rank.IF_OPAQUE if _IF_OPAQUE.fullmatch(name) else Rank.NONE


# -- headers -------------------------------------------------------------------------------------

WIRE_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""They describe the bytes on the wire, so they are wrong for a body that was decoded or changed."""

KEPT_OF_REQUESTS = frozenset({"content-type", "accept", "openai-beta"})
KEPT_OF_RESPONSES = frozenset(
    "content-type date location openai-model openai-organization openai-processing-ms "
    "openai-version retry-after retry-after-ms www-authenticate x-litellm-response-cost "
    "x-request-id x-should-retry".split()
)
MASKED_HEADERS = {
    "x-request-id": f"req_{REDACTED}",
    "openai-organization": f"org-{REDACTED}",
    "openai-project": f"proj_{REDACTED}",
}
"""Headers whose values always go, and the placeholders that say what they were."""

_SECRET_HEADER = re.compile(
    r"(?:.*[-_])?(?:authorization|auth|cookie2?|(?:api|access|auth|subscription|functions)[-_]?key"
    r"|token|secret|password|signature(?:-[0-9]+)?|credentials?|assertion|bypass)"
    # Gateways have keys of any name; other keys say what requests have in common.
    r"|(?!(?:.*-)?(?:idempotency|cache|surrogate|websocket|partition|routing|sort)-key).*-key"
    r"|x-portkey-config|x-honeycomb-team|cf-access-client-id|(?:.*-)?session-id|.*-access-key-id"
    r"|openai-organization|openai-project"
)
_COOKIE = re.compile(r"(?:^|[;,])\s*([^=;,\s]+)=\"?([^;,\"]*)")
_SESSION_COOKIE = re.compile(r".*(?:auth|jwt|secret|sess|sid|token).*", re.IGNORECASE)
_SIGNATURE = re.compile(r'\b(?:auth|signature|response)="?([^",\s]+)', re.IGNORECASE)
_COOKIE_SETTINGS = {"path", "domain", "expires", "max-age", "samesite", "priority", "version"}


@lru_cache(1024)
def is_secret_header(name: str) -> bool:
    """Whether the values of a header are secret; `name` is in lower case."""
    return _SECRET_HEADER.fullmatch(name) is not None


def header_secrets(name: str, value: str) -> Iterator[tuple[str, str]]:
    """The secrets in a header that is secret by name, each with its kind."""
    what = f"the {name} header of a request"
    if "cookie" in name:
        for cookie, text in _COOKIE.findall(value):
            if cookie.lower() not in _COOKIE_SETTINGS and _is_cookie_secret(cookie, text.strip()):
                yield text.strip(), "a cookie"
        return
    value = value.strip()
    if value[:1] == "{":
        yield from _json_secrets(value, what)
        return
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if not token:
        yield scheme, what
    elif scheme.lower() == "basic":
        yield token, "the password of a request"
        with contextlib.suppress(ValueError):
            password = base64.b64decode(token).decode().partition(":")[2]
            yield password, "the password of a request"
    else:
        yield token, "the bearer token of a request" if scheme.lower() == "bearer" else what
        # A body may quote one parameter of several.
        for signature in _SIGNATURE.findall(token):
            yield signature, "the signature of a request"


def _is_cookie_secret(name: str, value: str) -> bool:
    """Whether a cookie is no choice of the user's, such as a language."""
    if any(map(str.isdigit, value)) or len(value) >= 24:
        return True
    return _SESSION_COOKIE.fullmatch(name) is not None or (len(value) > 11 and is_opaque(value))


def _json_secrets(value: str, what: str) -> Iterator[tuple[str, str]]:
    """The secrets in a header that holds JSON, as the configuration of a gateway does."""
    secrets: list[tuple[str, str]] = []

    def collect(members: dict[str, object]) -> None:
        for name, item in members.items():
            if isinstance(item, str) and rank(name).covers(item):
                secrets.append((item, what))

    with contextlib.suppress(ValueError, RecursionError):
        json.loads(value, object_hook=collect)
    yield from secrets


# -- variables -----------------------------------------------------------------------------------

_SECRET_VARIABLES = "_API_KEY", "_ADMIN_KEY", "_ACCESS_KEY", "_TOKEN", "_SECRET", "_PASSWORD"
_ACCOUNT_VARIABLES = "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"


def environment_secrets(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The values of variables that are named like keys, each with its kind."""
    for name, value in environ.items():
        if name.endswith(_SECRET_VARIABLES) or name in _ACCOUNT_VARIABLES:
            yield value.strip(), f"the value of {name}"
