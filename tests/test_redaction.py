"""What is secret, wherever it stands and however it is encoded; and what is not."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from re import _constants as sre_constants  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_chatapi.errors import SettingError
from pytest_chatapi.redaction import redactor as redactor_module
from pytest_chatapi.redaction.encodings import View
from pytest_chatapi.redaction.known import CleanTexts
from pytest_chatapi.redaction.leaves import Documents
from pytest_chatapi.redaction.redactor import Redactor
from pytest_chatapi.redaction.replacing import IN_BYTES
from pytest_chatapi.redaction.search import Search
from pytest_chatapi.redaction.shapes import MASKED, SHAPES, SPACED, Shape

# Put together here, so that no scanner takes this file for a leak.
KEY = "sk-" + "a1B2" * 6
OWN = "N0t+a/Shape" + "-of-anybody"  # known only where it was learned
MARKER = "T3Blbk" + "FJ"
PEM = "-----BEGIN {0} KEY-----\n{1}\n-----END {0} KEY-----".format(
    "RSA PRIVATE", "\n".join(["MIIEow" + "aB3d" * 14] * 5)
)
JWT = ".".join(["ey" + "J" + "hbGciOiJIUzI1NiJ9", "ey" + "J" + "zdWIiOiIxIn0", "s1gnature_-"])

clean = Redactor(environ={})


def b64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def knowing(secret: str = OWN) -> Redactor:
    redactor = Redactor(environ={})
    redactor.learn({"authorization": f"Bearer {secret}"})
    return redactor


def chunk(content: str, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": content}, **more}]}


def sse(*events: Any, compact: bool = True) -> str:
    separators = (",", ":") if compact else (", ", ": ")
    lines = [json.dumps(e, separators=separators, ensure_ascii=False) for e in events]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).replace('"[DONE]"', "[DONE]")


def token(*texts: str) -> dict[str, Any]:
    """An entry of logprobs: the first text was chosen, the others were likely as well."""
    tops = [{"token": text, "logprob": -0.5, "bytes": list(text.encode())} for text in texts]
    return {**tops[0], "top_logprobs": tops}


def events(body: str | bytes) -> list[Any]:
    text = body if isinstance(body, str) else body.decode()
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]


# --- known shapes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "redacted", "kind"),
    [
        (KEY, "sk-REDACTED", "an API key (sk-...)"),
        ("sk-proj-" + "a_B-" * 30, "sk-REDACTED", "an API key (sk-...)"),
        ("sk-ant-api03-" + "x9" * 20, "sk-REDACTED", "an API key (sk-...)"),
        ("sk-or-v1-" + "0f" * 32, "sk-REDACTED", "an API key (sk-...)"),
        ("sk-" + "lower-only" * 4, "sk-REDACTED", "an API key (sk-...)"),
        ("sk-proj-" + "*" * 12 + "a1B2", "sk-REDACTED", "an API key (sk-...)"),
        ("x1Y2" * 5 + MARKER + "z3W4" * 5, "REDACTED", "an API key"),
        ("ab" + MARKER + "cd12", "REDACTED", "an API key"),
        ("gsk_" + "a1B2" * 6, "gsk_REDACTED", "an API key (gsk_...)"),
        ("csk-" + "a1b2" * 6, "csk-REDACTED", "an API key (csk-...)"),
        ("xai-" + "a1B2" * 6, "xai-REDACTED", "an API key (xai-...)"),
        ("pplx-" + "a1B2" * 6, "pplx-REDACTED", "an API key (pplx-...)"),
        ("nvapi-" + "a_B-" * 6, "nvapi-REDACTED", "an API key (nvapi-...)"),
        ("r8_" + "a1B2" * 6, "r8_REDACTED", "an API key (r8_...)"),
        ("AIza" + "a_B-1" * 7, "AIzaREDACTED", "an API key (AIza...)"),
        ("AKIA" + "A1B2" * 4, "AKIAREDACTED", "an API key (AKIA...)"),
        ("AKIA" + "ABCDEFGH2345ABCD", "AKIAREDACTED", "an API key (AKIA...)"),
        (
            "AKIA" + "A1B2" * 4 + "/20261126/us-east-1/bedrock/aws4_request",
            "AKIAREDACTED/20261126/us-east-1/bedrock/aws4_request",
            "an API key (AKIA...)",
        ),
        ("ASIA" + "A1B2" * 4, "ASIAREDACTED", "an API key (ASIA...)"),
        ("hf_" + "a1B2" * 6, "hf_REDACTED", "a token (hf_...)"),
        ("sess-" + "a1B2" * 6, "sess-REDACTED", "a token (sess-...)"),
        ("ghp_" + "a1B2" * 6, "ghp_REDACTED", "a token (ghp_...)"),
        ("gho_" + "a1B2" * 6, "gho_REDACTED", "a token (gho_...)"),
        ("ghu_" + "a1B2" * 6, "ghu_REDACTED", "a token (ghu_...)"),
        ("ghs_" + "a1B2" * 6, "ghs_REDACTED", "a token (ghs_...)"),
        ("ghr_" + "a1B2" * 6, "ghr_REDACTED", "a token (ghr_...)"),
        ("github_" + "pat_" + "a1_B" * 6, "github_pat_REDACTED", "a token (github_pat_...)"),
        ("glpat-" + "a_B-" * 5, "glpat-REDACTED", "a token (glpat-...)"),
        *((f"xox{c}-" + "12-a" * 5, f"xox{c}-REDACTED", f"a token (xox{c}-...)") for c in "abprs"),
        (JWT, "REDACTED", "a JSON Web Token"),
        (PEM, "REDACTED", "a private key"),
        ("Bearer " + "tok.en~1/" * 3, "Bearer REDACTED", "a bearer token"),
        ("bearer  " + "token" * 3 + "1==", "Bearer REDACTED", "a bearer token"),
        ("Basic " + b64("me:passw0rd"), "Basic REDACTED", "a password (Basic ...)"),
        ("basic " + b64("é:pässword"), "Basic REDACTED", "a password (Basic ...)"),
        ("SK" + "a1f2" * 8, "SKREDACTED", "an API key (SK...)"),
        ("7123456789:" + "A" + "a1B-" * 8 + "ab", "7123456789:REDACTED", "a token of a bot"),
        ("ab_8Q~" + "a1B-" * 8, "REDACTED", "a client secret"),
        ("a1B2c3D4e5F6g7." + "atlasv1." + "a1B-" * 16, "REDACTED", "a token (atlasv1)"),
        ("a1B2c3_" + "a1B2" * 7 + "z_mmk", "REDACTED_mmk", "a license key (..._mmk)"),
        ("0a1f" * 8 + "-us12", "REDACTED", "an API key (...-us1)"),
        (
            "https://hooks.slack.com/services/T0A1B2/B0A1B2/" + "a1B2" * 6,
            "https://hooks.slack.com/REDACTED",
            "a webhook",
        ),
        (
            "x/webhookb2/" + "0a1f" * 8 + "@" + "0a1f" * 8 + "/IncomingWebhook/" + "0a1f" * 9,
            "x/webhookb2/REDACTED",
            "a webhook",
        ),
        (
            "x/api/webhooks/123456789012345678/" + "a1B-" * 17,
            "x/api/webhooks/REDACTED",
            "a webhook",
        ),
        (
            "https://hooks.zapier.com/hooks/catch/12345/a1b2c3d/",
            "https://hooks.zapier.com/hooks/catch/REDACTED/",
            "a webhook",
        ),
        ("a1B2" * 13 + "JQQJ99" + "a1B2" * 6 + "c3", "REDACTED", "an API key (...JQQJ9...)"),
        ("org-" + "a1B2" * 6, "org-REDACTED", "an organization id (org-...)"),
        ("proj_" + "a1B2" * 6, "proj_REDACTED", "a project id (proj_...)"),
        ("user-" + "a1B2" * 6, "user-REDACTED", "a user id (user-...)"),
        ("req_" + "0a1b" * 8, "req_REDACTED", "a request id (req_...)"),
    ],
)
def test_shapes(secret: str, redacted: str, kind: str) -> None:
    for around in ["{}", "It is {}.", "={}&", "\n{}\n", "é{} é", "\t{}"]:
        text, expected = around.format(secret), around.format(redacted)
        assert clean.text(text) == expected
        assert clean.text(expected) == expected
        assert kind in clean.find_secrets(text)
        assert clean.find_secrets(expected) == []
        body = json.dumps({"a": [text], text: None})
        assert json.loads(clean.body(body) or "") == {"a": [expected], expected: None}


VENDOR_DATA = json.loads(Path(redactor_module.__file__).with_name("vendors.json").read_text())
VENDORS = VENDOR_DATA["shapes"]
TAILS = {"hex": "a1f2", "upper": "A1B2", "dotted": "a1B_", "safe": "a1B_"}


@pytest.mark.parametrize(("prefix", "alphabet", "least", "source", "rule"), VENDORS)
def test_shapes_of_vendors(prefix: str, alphabet: str, least: int, source: str, rule: str) -> None:
    tail = (TAILS.get(alphabet, "a1B2") * 75)[:least]
    for around in ["{}", "It is {} .", "={}&", "\n{}\n", "é{} é"]:
        text = around.format(prefix + tail)
        assert clean.text(text) == around.format(f"{prefix}REDACTED")
        assert clean.find_secrets(text) == [f"an API key ({prefix}...)"]
        assert clean.find_secrets(clean.text(text)) == []
    assert clean.text(f"a {prefix}{tail[:-1]} b") == f"a {prefix}{tail[:-1]} b"
    assert source in VENDOR_DATA["sources"]
    assert rule


def test_a_key_of_a_vendor_that_begins_with_a_word() -> None:
    assert clean.text("a dp.st.prd." + "a1B2" * 10) == "a dp.st.REDACTED"


def test_where_the_shapes_of_vendors_are_from() -> None:
    for source in VENDOR_DATA["sources"].values():
        assert source["url"].startswith("https://")
        assert source["license"] in ("MIT", "Apache-2.0")
        assert source.get("commit") or source.get("version")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", source["read"])


def test_every_shape_has_a_source_and_a_row_above() -> None:
    (rows,) = (mark.args[1] for mark in test_shapes.pytestmark)  # type: ignore[attr-defined]
    kinds = {kind for _, _, kind in rows} | {f"an API key ({row[0]}...)" for row in VENDORS}
    assert {shape.kind for shape in (*SHAPES, *SPACED)} == kinds
    assert all(shape.source for shape in (*SHAPES, *SPACED))


SHORTEST = {
    12: "xoxa- xoxb- xoxp- xoxr- xoxs-",
    16: "sk- github_pat_ glpat- org- proj_ user- req_",
    20: "gsk_ csk- xai- pplx- r8_ nvapi- hf_ sess- ghp_ gho_ ghu_ ghs_ ghr_",
}


@pytest.mark.parametrize(
    ("prefix", "size"),
    [(prefix, size) for size, prefixes in SHORTEST.items() for prefix in prefixes.split()],
)
def test_how_short_a_key_may_be(prefix: str, size: int) -> None:
    tail = ("a1B2" * 5)[:size]
    assert clean.text(f"a {prefix}{tail} b") == f"a {prefix}REDACTED b"
    assert clean.text(f"a {prefix}{tail[:-1]} b") == f"a {prefix}{tail[:-1]} b"


def test_a_private_key_that_is_cut_off() -> None:
    assert clean.text(f"a {PEM[:150]}") == "a REDACTED"
    assert clean.text(f'["a\n{PEM[:150]}\n", "b"]') == '["a\nREDACTED\n", "b"]'


@pytest.mark.parametrize("quoted", ["> {}", '"{}\\n"', "'{}\\n' +", "# {}"])
def test_a_private_key_in_quoted_lines(quoted: str) -> None:
    text = "\n".join(map(quoted.format, PEM.splitlines()))
    for left in (clean.text(text), json.loads(clean.body(json.dumps([text])) or "")[0]):
        assert "REDACTED" in left
        assert not any(line in left for line in PEM.splitlines()[1:-1])


@pytest.mark.parametrize(
    "before", ["\\n", "\\u00e9", "\\u2028", "\\x1b", "%20", "\x1b[m", "\x1b[1;32m"]
)
def test_a_key_behind_an_escape_or_a_colour_starts_a_word(before: str) -> None:
    assert clean.text(before + KEY) == before + "sk-REDACTED"


PROSE = """
chatcmpl-CyMO4JirrrzgmNEKFANyYm31OYEh9
call_SWFIWhfCI6AeHuaV6EM1MRsJ
fp_44709d6fcb44709d6fcb
file-abc123DEF456ghi789JKL
resp_68a1b2c3d4e5f60718293a4b5c6d7e8f
msg_68a1b2c3d4e5f60718293a4b5c6d7e8f
gpt-4o-mini-2024-07-18 and ft:gpt-4o-mini-2024-07-18:acme::A1b2C3d4
3f2504e0-4f89-11d3-9a0c-0305e82c3301
user-defined-functions and user-internationalization
org-mode and org-internationalization
proj_internationalization
req_authentication_middleware_2024
sk-learn and sk-learn-contrib-something
task-2024-01-01-Monday-a1B2a1B2a1B2 and disk-a1B2a1B2a1B2a1B2a1B2
sk- and sk-short1 and sk-fake-key
Bearer of good news
Bearer authentication/authorization is required
the Bearer $OPENAI_API_KEY
Bearer YOUR_API_KEY
Bearer YOUR_TOKEN
sk-container-id-12345678 and sk-2024-annual-report and sk-learn-pipeline-v2-2024
hf_BertForSequenceClassification and hf_GPT2LMHeadModelForCausalLM
npm_config_registry_with_a_long_name_in_it and API-REFERENCE-OF-ALL-THE-THINGS
basic arithmetic and Basic understanding of Basic authentication
Basic passwords= are one character longer than base64 may be
-----BEGIN PUBLIC KEY-----
the line -----BEGIN PRIVATE KEY----- starts it
AKIASHORT and ASIAPACIFICREGIONALHQ
AIzawa
xoxo- and xoxb-ray
hf_transformers and r8_x
**bold** and ***
eyJhbGciOiJIUzI1NiJ9.no.jwt
REDACTED UkVEQUNURUQ= sk-REDACTED Bearer REDACTED Basic REDACTED
100% of %20 and 50%ab
C:\\new\\table\\x2\\u
"""


@pytest.mark.parametrize(
    "text",
    [
        *PROSE.strip().split("\n"),
        b64("the company OpenAI is the best there is"),
        b64("aa the company OpenAI is the best there is"),
        b64("OpenAI"),
        "sk-" + "a1B2" * 200,  # url-safe base64 of something large
        "a1B2" * 20_000 + "_AKIA" + "A1B2" * 4 + "_",
        b64("org-" + "a1B2" * 6 + " user-" + "a1B2" * 6),
        b64(bytes(range(256)) * 16),
        bytes(range(256)).hex(),
        "d" * 40,
        "sk-" * 900,
        json.dumps([1, 2, 300, 4, 5, 6, 7, 8, 9, 115, 107]),
        "&#169; 2026 &amp; more",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert clean.text(text) == text
    assert clean.find_secrets(text) == []
    body = json.dumps({"messages": [{"content": f"line\n{text}\n"}], text: 1}).encode()
    assert clean.body(body) is body
    stream = sse(*(chunk(text[i : i + 3]) for i in range(0, len(text), 3)), chunk("")).encode()
    assert clean.body(stream) is stream
    assert clean.find_secrets(stream.decode()) == []


# --- known values -----------------------------------------------------------------------------

VALUE = "Zq7+x/9" + "=longer"


@pytest.mark.parametrize(
    "name",
    "OPENAI_API_KEY OPENAI_ADMIN_KEY GITHUB_TOKEN A_SECRET DB_PASSWORD AWS_SECRET_ACCESS_KEY "
    "OPENAI_ORG_ID OPENAI_PROJECT_ID".split(),
)
def test_values_of_the_environment(name: str) -> None:
    redactor = Redactor(environ={name: f" {VALUE}\n", "HOME": "a1b2c3d4e5f6g7"})
    assert redactor.text(f"x{VALUE}y, a1b2c3d4e5f6g7") == "xREDACTEDy, a1b2c3d4e5f6g7"
    assert redactor.find_secrets(f"x{VALUE}y") == [f"the value of {name}"]


def test_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", VALUE)
    redactor = Redactor()
    monkeypatch.setenv("SOME_API_KEY", "another-1-value")
    assert redactor.text(f"{VALUE} another-1-value") == "REDACTED another-1-value"
    assert Redactor(environ={}).text(VALUE) == VALUE


@pytest.mark.parametrize(
    "value",
    [
        "short-1",
        "Authentication",
        "PLACEHOLDER",
        "123456789012345",
        "2024-11-25",
        "/var/run/secrets/token",
        "~/.config/token",
        r"C:\keys\token",
        "sk-REDACTED",
        "x-REDACTED-y1",
        "k-REDACT",
        "UkVEQUNURUQ=",
    ],
)
def test_values_that_are_no_secret(value: str) -> None:
    redactor = Redactor(environ={"SOME_API_KEY": value})
    redactor.learn({"authorization": f"Bearer {value}", "api-key": value})
    redactor.learn([], f"https://{value}@h/?token={value}")
    assert redactor.text(f"a {value} b") == f"a {value} b"


def test_short_values_of_the_environment() -> None:
    assert Redactor(environ={"A_TOKEN": "11-chars-1x"}).text("11-chars-1x") == "11-chars-1x"
    assert knowing("8-chars1").text("a 8-chars1") == "a REDACTED"


@pytest.mark.parametrize(
    ("headers", "secrets", "kind"),
    [
        ({"Authorization": "Bearer s3cret-value"}, ["s3cret-value"], "the bearer token"),
        ({"authorization": "s3cret-value"}, ["s3cret-value"], "the authorization header"),
        (
            {"authorization": "Basic " + b64("me:p4ssw0rd")},
            ["p4ssw0rd", b64("me:p4ssw0rd")],
            "the password",
        ),
        ([("api-key", "s3cret-value")], ["s3cret-value"], "the api-key header"),
        ({"X-Api-Key": "s3cret-value"}, ["s3cret-value"], "the x-api-key header"),
        ({"proxy-authorization": "Bearer s3cret-value"}, ["s3cret-value"], "the bearer token"),
        *(
            ({name: "s3cret-value"}, ["s3cret-value"], f"the {name} header")
            for name in (
                "helicone-auth x-portkey-api-key x-portkey-virtual-key x-portkey-config "
                "x-rapidapi-key x-litellm-key modal-key modal-secret cf-access-client-id "
                "cf-access-client-secret cf-aig-authorization ocp-apim-subscription-key apikey "
                "x-honeycomb-team x-hub-signature-256"
            ).split()
        ),
        (
            {"x-portkey-config": '{"provider": "openai", "api_key": "s3cret-value"}'},
            ["s3cret-value"],
            "the x-portkey-config header",
        ),
        (
            {"authorization": "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0a1f0a1f0a1f"},
            ["0a1f0a1f0a1f"],
            "the signature of a request",
        ),
        ({"authorization": "GoogleLogin auth=s3cret-1"}, ["s3cret-1"], "the signature"),
        ({"cookie": "lang=en-us; session=abcdeFghijklmnoP"}, ["abcdeFghijklmnoP"], "a cookie"),
        ({"idempotency-key": "s3cret-value", "x-cache-key": "s3cret-value"}, [], ""),
        ({"x-goog-api-key": "s3cret-value"}, ["s3cret-value"], "the x-goog-api-key header"),
        ({"x-auth-token": "s3cret-value"}, ["s3cret-value"], "the x-auth-token header"),
        ({"openai-organization": "acme-2"}, [], ""),
        ({"openai-organization": "acme-inc-2"}, ["acme-inc-2"], "the openai-organization header"),
        ({"openai-project": "acme-inc-2"}, ["acme-inc-2"], "the openai-project header"),
        ({"cookie": "a=s3cret-1; b=s3cret-2"}, ["s3cret-1", "s3cret-2"], "a cookie"),
        (
            {"set-cookie": "a=s3cret-1; Path=/; Domain=api2.acme.test, lang=en-US-ish; b=s3cret-2"},
            ["s3cret-1", "s3cret-2"],
            "a cookie",
        ),
    ],
)
def test_values_of_headers(headers: Any, secrets: list[str], kind: str) -> None:
    redactor = Redactor(environ={})
    for _ in range(2):
        redactor.learn(headers)
    for secret in secrets:
        assert redactor.text(f"<{secret}>") == "<REDACTED>"
        assert redactor.find_secrets(secret)[0].startswith(kind)
    ordinary = "Thu, 01 Jan 2026 00:00 /path acme-2 text/event-stream api2.acme.test en-US-ish"
    redactor.learn({"content-type": "text/event-stream", "x-request-id": "Thu, 01 Jan 2026"})
    assert redactor.text(ordinary) == ordinary


def test_settings_of_a_cookie_are_no_secret() -> None:
    redactor = Redactor(environ={})
    values = {
        "Path": "/p4th-of-it",
        "Domain": "api2.acme.test",
        "Expires": "1-Jan-2026-GMT",
        "Max-Age": "31536000-s",
        "SameSite": "Strict-1234",
        "Priority": "High-12345",
        "Version": "1.2.3-beta4",
    }
    settings = "; ".join(f"{name}={value}" for name, value in values.items())
    redactor.learn({"set-cookie": f"a=s3cret-1; {settings}"})
    text = " ".join(values.values())
    assert redactor.text(f"s3cret-1 {text}") == f"REDACTED {text}"


def test_values_of_urls() -> None:
    redactor = Redactor(environ={})
    url = "https://us3r-name:p%40ssw0rd@h/?x-amz-date=20240101T000000Z&api-key=s3cret%2Dk"
    signed = "X-Amz-Signature=0a1b2c3d&X-Amz-Credential=cr3d-ntial&X-Amz-Security-Token=t0k-en123"
    redactor.learn({}, f"{url}&{signed}")
    assert redactor.text("cr3d-ntial t0k-en123") == "REDACTED REDACTED"
    assert redactor.text("us3r-name p@ssw0rd s3cret-k") == "REDACTED REDACTED REDACTED"
    assert redactor.text("20240101T000000Z 0a1b2c3d") == "20240101T000000Z REDACTED"
    assert redactor.find_secrets("p@ssw0rd") == ["the password of a URL"]
    assert redactor.find_secrets("s3cret-k") == ["the api-key parameter of a URL"]


def test_the_same_headers_are_learned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor(environ={})
    headers, url = {"authorization": f"Bearer {OWN}"}, "https://h/?key=s3cret-k"
    redactor.learn(headers, url)
    monkeypatch.delattr("pytest_chatapi.redaction.redactor.header_secrets")
    monkeypatch.delattr("pytest_chatapi.redaction.redactor.url_secrets")
    redactor.learn(headers, url)
    with pytest.raises(NameError):
        redactor.learn({"authorization": "Bearer another-1"})


def test_what_is_left_is_looked_at_again() -> None:
    redactor = knowing("mine-api-key")
    text = "sk-a-mine-api-key-x-y-z-q"  # too short a word for a key, until it is in capitals
    assert redactor.text(text) == "sk-REDACTED"
    assert redactor.body_and_cuts(f"{text}.".encode(), [3, 26]) == (b"sk-REDACTED.", [3, 12])


def test_secrets_that_overlap() -> None:
    redactor = Redactor(environ={"A_TOKEN": "first-1234-shared", "B_TOKEN": "1234-shared-second"})
    assert redactor.text("a first-1234-shared-second b") == "a REDACTED b"
    marked = "a1B2" * 5 + MARKER + "z3W4" * 5
    assert clean.text(f"{marked} sk-{marked}") == "REDACTED sk-REDACTED"
    assert Redactor(environ={"A_TOKEN": KEY}).text(KEY) == "sk-REDACTED"
    assert knowing().text(f"{OWN}{OWN}") == "REDACTEDREDACTED"


def test_what_was_clean_is_looked_at_again_once_more_is_known() -> None:
    redactor = Redactor(environ={})
    encoded = b64(OWN)
    assert redactor.text(OWN) == OWN
    assert redactor.text(encoded) == encoded
    redactor.learn({"api-key": OWN})
    assert redactor.text(OWN) == "REDACTED"
    assert redactor.text(encoded) == "UkVEQUNURUQ="


# --- headers and URLs -------------------------------------------------------------------------


def test_response_headers() -> None:
    headers = [
        ("Content-Type", "application/json"),
        ("Date", "Wed, 25 Nov 2026 10:45:00 GMT"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("openai-model", "gpt-4o"),
        ("OpenAI-Organization", "acme"),
        ("openai-project", "proj_1"),
        ("x-request-id", "abc"),
        ("x-ratelimit-limit-tokens", "5"),
        ("x-ratelimit-remaining-requests", "4"),
        ("retry-after", "1"),
        ("retry-after-ms", "1000"),
        ("x-should-retry", "true"),
        ("x-litellm-response-cost", "0.01"),
        ("location", "https://me:pw@h/v1?sig=abc"),
        ("content-encoding", "gzip"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("x-ms-region", "East US"),
        ("set-cookie", "a=b"),
        ("cf-ray", "1"),
        ("Authorization", "Bearer x"),
    ]
    assert clean.headers(headers, response=True) == [
        ("content-type", "application/json"),
        ("date", "Wed, 25 Nov 2026 10:45:00 GMT"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("openai-model", "gpt-4o"),
        ("openai-organization", "org-REDACTED"),
        ("x-request-id", "req_REDACTED"),
        ("x-ratelimit-limit-tokens", "5"),
        ("x-ratelimit-remaining-requests", "4"),
        ("retry-after", "1"),
        ("retry-after-ms", "1000"),
        ("x-should-retry", "true"),
        ("x-litellm-response-cost", "0.01"),
        ("location", "https://h/v1?sig=REDACTED"),
    ]


def test_request_headers() -> None:
    headers = [
        ("Accept", "*/*"),
        ("Content-Type", f"text/x; key={KEY}"),
        ("OpenAI-Beta", "assistants=v2"),
        ("User-Agent", "x"),
        ("x-request-id", "abc"),
        ("x-ratelimit-limit-tokens", "5"),
        ("api-key", "x"),
    ]
    assert clean.headers(headers, response=False) == [
        ("accept", "*/*"),
        ("content-type", "text/x; key=sk-REDACTED"),
        ("openai-beta", "assistants=v2"),
    ]


def test_headers_that_a_project_keeps() -> None:
    redactor = Redactor(keep_headers=["X-LiteLLM-*", "cf-ray", "*auth*", "*cookie*"], environ={})
    headers = [
        ("x-litellm-cost", KEY),
        ("x-litellm-api-key", "abc"),
        ("CF-Ray", "1"),
        ("authorization", "Bearer x"),
        ("set-cookie", "a=b"),
        ("cf-ray2", "1"),
    ]
    for response in (False, True):
        assert redactor.headers(headers, response=response) == [
            ("x-litellm-cost", "sk-REDACTED"),
            ("x-litellm-api-key", "REDACTED"),
            ("cf-ray", "1"),
            ("authorization", "REDACTED"),
            ("set-cookie", "REDACTED"),
        ]
    everything = Redactor(keep_headers=["*"], environ={})
    of_the_wire = [
        ("Content-Length", "1"),
        ("content-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
    ]
    for response in (False, True):
        assert everything.headers([*of_the_wire, ("A", "b")], response=response) == [("a", "b")]


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://me:pw@host:8080/v1", "https://host:8080/v1"),
        ("https://tok@host", "https://host"),
        ("//me:p@ss@host/a@b", "//host/a@b"),
        ("https://h/?api-version=1&api-key=a&x=1", "https://h/?api-version=1&api-key=REDACTED&x=1"),
        *(
            (f"/v1?a=b&{name}=x%20y#f", f"/v1?a=b&{name}=REDACTED#f")
            for name in "api-key api_key apikey key token access_token sig signature code secret "
            "password X-Amz-Signature x-amz-date API-KEY client_secret api%2Dkey".split()
        ),
        ("https://h/#access_token=abc", "https://h/#access_token=REDACTED"),
        ("https://h/hooks/a1B2c3D4e5F6g7H8?a=b", "https://h/hooks/REDACTED?a=b"),
        ("https://h/?appid=a1B2c3D4e5F6g7H8&ticket=1", "https://h/?appid=REDACTED&ticket=1"),
        (
            "https://h/a?hmac=abc&policy=a1B2c3D4e5F6g7H8",
            "https://h/a?hmac=REDACTED&policy=REDACTED",
        ),
        *(
            (f"https://h/{place}/a1B2c3D4e5F6g7H8/x", f"https://h/{place}/REDACTED/x")
            for place in ("s", "k", "mcp", "services/T12/B34", "webhooks/1234")
        ),
        (f"https://h/{KEY}/x", "https://h/sk-REDACTED/x"),
        ("https://h/?q=sk%2D" + "a1B2" * 6, "https://h/?q=sk-REDACTED"),
        (f"https://h/?q={quote(OWN, safe='')}", "https://h/?q=REDACTED"),
        (f"https://h/?q={b64('?' + OWN)}", "https://h/?q=UkVEQUNURUQ="),
    ],
)
def test_urls(url: str, redacted: str) -> None:
    redactor = knowing()
    assert redactor.url(url) == redacted
    assert redactor.url(redacted) == redacted


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/chat/completions",
        "https://api.example.test:443/v1/chat/completions?api-version=2024-02-01&A=%7e+x&b=#f",
        "https://h/?key=&metadata[k]=v&tokens=5&keyword=x&after=chatcmpl-CyMO4JirrrzgmNEKFANyYm31",
        "https://[::1]:1/a//b/../@c",
        "https://[broken/é",
    ],
)
def test_urls_without_anything_secret_stay_as_they_are(url: str) -> None:
    assert clean.url(url) == url


URLS_IN_TEXT = {
    "https://h.test/a.png?se=2026&sig=s3cret-v4lue&x=1": "https://h.test/a.png?se=2026&sig={}&x=1",
    "https://h.test/#access_token=s3cret-v4lue.": "https://h.test/#access_token={}.",
    "/v1/files/1?x-amz-signature=s3cret-v4lue": "/v1/files/1?x-amz-signature={}",
    "https://h.test/?X-Goog-Credential=s3cret-v4lue)": "https://h.test/?X-Goog-Credential={})",
    '<a href="https://h.test/?a=1&amp;key=s3cret-v4lue">': (
        '<a href="https://h.test/?a=1&amp;key={}">'
    ),
    "https://h.test/?next=https%3A%2F%2Fi.test%2F%3Fsig%3Ds3cret-v4lue%26b%3D1": (
        "https://h.test/?next=https%3A%2F%2Fi.test%2F%3Fsig%3D{}%26b%3D1"
    ),
    "clone https://me:s3cret-v4lue@h.test/x now": "clone https://me:{}@h.test/x now",
    "redis://:s3cret-v4lue@h.test:6379/0": "redis://:{}@h.test:6379/0",
    "Server=db;User Id=sa;Password=s3cret-v4lue;": "Server=db;User Id=sa;Password={};",
}


@pytest.mark.parametrize("text", URLS_IN_TEXT)
def test_urls_in_text(text: str) -> None:
    expected = URLS_IN_TEXT[text].format("REDACTED")
    assert clean.text(text) == expected
    assert clean.text(expected) == expected
    body = json.dumps({"image_url": {"url": text}, "b": [text]})
    left = json.dumps({"image_url": {"url": expected}, "b": [expected]})
    for escaped in (body, body.replace("/", "\\/").replace("&", "\\u0026")):
        assert json.loads(clean.body(escaped) or "") == json.loads(left)
    parts = [text[i : i + 3] for i in range(0, len(text), 3)]
    joined = [e["choices"][0]["delta"]["content"] for e in events(redacted_stream(parts))]
    assert "".join(joined) == expected


def redacted_stream(parts: list[str]) -> bytes:
    return clean.body(sse(*map(chunk, parts))) or b""


@pytest.mark.parametrize(
    "text",
    [
        "https://h.test/?code=404&key=value&token=abc&page_token=a1B2c3D4e5F6g7H8",
        "https://user:password@h.test and https://${USER}:${PASS}@h.test",
        "ssh://git@h.test/a and https://h.test/@me?a=b@c",
        "https://h.test/?api_key=YOUR_API_KEY&password=<password>",
        "x = 1; password=form.password if a == b&c else None",
    ],
)
def test_urls_in_text_without_anything_secret(text: str) -> None:
    if "form.password" not in text:
        assert clean.text(text) == text
    assert clean.find_secrets(text) == []


# --- secret by name ---------------------------------------------------------------------------

NAMES = """
password passwd pwd secret client_secret clientSecret api_key apiKey api-key x-api-key apikey
OPENAI_API_KEY access_token refreshToken id_token private_key connection_string ConnectionString
Ocp-Apim-Subscription-Key X-Amz-Signature X-Goog-Credential authorization credential session jwt
signature dbPassword aws_secret_access_key AWSSecretKey password_confirmation Passwort
""".split()
GIVEN = "s3cret-V4lue-7"
NOT_GUESSED = "a1B2c3D4e5F6g7H8"


@pytest.mark.parametrize("name", NAMES)
def test_members_that_are_secret_by_name(name: str) -> None:
    def document(value: str) -> str:
        return json.dumps({"a": [{"b": {name: value}, "c": 1.5}], "d": "é"})

    body, expected = document(GIVEN), document("REDACTED")
    for wrap in (
        lambda text: text,
        lambda text: json.dumps({"arguments": text}),
        lambda text: json.dumps([{"content": f"It is:\n```json\n{text}\n```"}]),
        lambda text: json.dumps({"a": json.dumps({"b": text})}),
        lambda text: f"{text}\n{text}\n",
        lambda text: sse({"choices": [{"delta": {"content": text}}]}, {"x": 1}),
    ):
        after = clean.body(wrap(body))
        assert after == wrap(expected).encode()
        assert clean.body(after) is after
    parts = [body[i : i + 4] for i in range(0, len(body), 4)]
    joined = [e["choices"][0]["delta"]["content"] for e in events(redacted_stream(parts))]
    assert "".join(joined) == expected
    form = f"a=1&{name}={GIVEN}&b=2"
    kind = "application/x-www-form-urlencoded"
    assert clean.body(form, kind) == form.replace(GIVEN, "REDACTED").encode()
    assert clean.url(f"https://h/?{form}") == f"https://h/?{form}".replace(GIVEN, "REDACTED")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"authorization": f"Bearer {GIVEN}"}, {"authorization": "Bearer REDACTED"}),
        ({"password": 83917264}, {"password": "REDACTED"}),
        ({"passwords": [GIVEN, GIVEN]}, {"passwords": ["REDACTED", "REDACTED"]}),
        (
            {"credentials": {"user": "bob", "value": GIVEN}},
            {"credentials": {"user": "bob", "value": "REDACTED"}},
        ),
        (
            {"env": [{"name": "DB_PASSWORD", "value": GIVEN}]},
            {"env": [{"name": "DB_PASSWORD", "value": "REDACTED"}]},
        ),
        (
            {"type": "mcp", "server_url": "https://h", "headers": {"X-Acme": GIVEN, "Accept": "a"}},
            {
                "type": "mcp",
                "server_url": "https://h",
                "headers": {"X-Acme": "REDACTED", "Accept": "a"},
            },
        ),
        ({"headers": {"x-gateway-key": GIVEN}, "jwt": ""}, None),
        ({"Params": [{"Name": "Password", "Value": "Sommer2026!"}]}, "Sommer2026!"),
        ([{"op": "replace", "path": "/db/password", "value": "Sommer2026!"}], "Sommer2026!"),
        ({"authentication": {"type": "api_key", "key": NOT_GUESSED}}, NOT_GUESSED),
        ({"auth": {"type": "bearer", "token": NOT_GUESSED}}, NOT_GUESSED),
        ({"password": {"value": NOT_GUESSED}}, NOT_GUESSED),
        ({"args": ["-y", "mcp", "--api-key", NOT_GUESSED]}, NOT_GUESSED),
        ({"signature": NOT_GUESSED, "bytes": "abc"}, NOT_GUESSED),
        ({"kty": "EC", "x": GIVEN, "d": NOT_GUESSED}, NOT_GUESSED),
        ({"kty": "oct", "k": NOT_GUESSED}, NOT_GUESSED),
        ({"type": "mcp", "server_url": f"https://h/s/{NOT_GUESSED}/mcp"}, NOT_GUESSED),
        ({"pin": NOT_GUESSED, "pins": [1]}, NOT_GUESSED),
        ({"password": KEY}, {"password": "sk-REDACTED"}),
    ],
)
def test_values_that_are_secret_by_name(value: Any, expected: Any) -> None:
    if not isinstance(expected, dict):
        expected = json.loads(json.dumps(value).replace(expected or GIVEN, "REDACTED"))
    for indent in (None, 1):
        after = clean.body(json.dumps(value, indent=indent))
        assert after == json.dumps(expected, indent=indent).encode()
        assert clean.body(after) is after


@pytest.mark.parametrize(
    "value",
    [
        {"secret": True, "session": None, "password": None, "api_key": "", "jwt": 1},
        {"max_tokens": 123456, "completion_tokens": 99999, "prompt_tokens": 1},
        {"token": "a1B2c3D4e5F6g7", "bytes": [1], "eos_token": "<|end|>", "page_token": GIVEN},
        {"properties": {"password": {"type": "string", "default": GIVEN}, "api_key": GIVEN}},
        {"name": "password", "description": f"The password is asked for, as {GIVEN}"},
        {"required": ["password", "secret", GIVEN]},
        {"password": "The password is asked for."},
        {"password": "mellon", "secret": "string", "pwd": "/home/me/p1"},
        {"api_key": "YOUR_API_KEY", "apiKey": "${API_KEY}", "api-key": "<your key>"},
        {"api_key": "not-needed", "client_secret": "sk-1234", "passwd": "********"},
        {"type": "thinking", "thinking": "Hm.", "signature": NOT_GUESSED},
        {"delta": {"type": "signature_delta", "signature": NOT_GUESSED}},
        {"reasoningContent": {"signature": NOT_GUESSED}, "parts": [{"thoughtSignature": GIVEN}]},
        {"required": ["password", "api_key", "user_name_2"], "type": "api_key", "key": "value"},
        {"session": "morning", "credentials": "same-origin", "authorization": "approved"},
        {"session": "2026-11-26", "signature": "def f(x: int) -> int", "credential": "a.b.c"},
        {"d": NOT_GUESSED, "k": NOT_GUESSED, "pin": "1234", "server_url": "https://h/mcp/tools"},
        {"key": GIVEN, "code": GIVEN, "value": GIVEN, "name": "greeting"},
    ],
)
def test_names_and_values_that_are_no_secret(value: Any) -> None:
    for document in (value, {"a": json.dumps(value)}):
        body = json.dumps(document).encode()
        assert clean.body(body) is body
        assert clean.find_secrets(body.decode()) == []


ASSIGNED = """
export DB_PASSWORD={}
client = OpenAI(api_key="{}", base_url=None)
os.environ["OPENAI_API_KEY"] = '{}'
const accessToken: string = `{}`;
private static final String API_KEY = "{}";
{{'password': b'{}', 'x': None}}
- name: API_KEY\\n  value: "{}"
<r><SecretAccessKey>{}</SecretAccessKey></r>
<meta name="csrf-token" content="{}">
| API_KEY | `{}` |
mytool --api-key {} --verbose
mytool --token {}
curl -u bob:{} https://h
sshpass -p '{}' ssh h
CREATE USER bob IDENTIFIED BY '{}';
MYSQL_PWD={} mysql
requests.get(url, auth=("bob", "{}"))
Authorization: Token {}
AzureKeyCredential("{}")
Incorrect API key provided: {}. You can find your key in the settings.
Invalid token: {}
Your authentication token ({}) is invalid
Use the API key {} for this.
The secret key is {}.
логин и пароль: {}
{{"пароль": "{}"}}
{{"model": "m", "password": "{}",}}
Mot de passe : {}
Password for bob: {}
Unseal Key 1: {}
<wsse:Password Type="x#PasswordText">{}</wsse:Password>
curl -b 'session={}' https://h
openssl enc -aes-256-cbc -k {}
jdbc:oracle:thin:scott/{}@//h:1521/x
git clone https://{}:x-oauth-basic@h/o.git
""".strip().splitlines()


@pytest.mark.parametrize("template", ASSIGNED)
def test_values_after_a_name_in_prose_and_code(template: str) -> None:
    template = template.replace("\\n", "\n")
    text, expected = template.format(NOT_GUESSED), template.format("REDACTED")
    assert clean.text(text) == expected
    assert clean.text(expected) == expected
    body, left = (json.dumps({"a": [one, 1]}, ensure_ascii=False) for one in (text, expected))
    assert clean.body(body) == left.encode()
    parts = [text[i : i + 3] for i in range(0, len(text), 3)]
    joined = [e["choices"][0]["delta"]["content"] for e in events(redacted_stream(parts))]
    assert "".join(joined) == expected


@pytest.mark.parametrize("text", ["password: {}", "PGPASSWORD={} psql", "The password is {}"])
def test_passwords_that_somebody_made_up(text: str) -> None:
    for password in ("Sommer2026!", "Tr0ub4dor&3", "P@ssw0rd123"):
        assert clean.text(text.format(password)) == text.format("REDACTED")


@pytest.mark.parametrize(
    "text",
    [
        "password = getpass.getpass('Password: ') or settings.db_password_v2",
        "api_key=os.environ['OPENAI_API_KEY'], token=request.headers['X-Token-2']",
        "def login(password: str = Field(min_length=12), api_key: SecretStr2 = None): ...",
        "password: ${{ secrets.DB_PASSWORD_2 }} and api_key={{ .Values.key_2 }}",
        "The password must have 8 characters, 1 digit and 1 sign (!@#$%).",
        "password_hash: sha256, api_key_id: key_1, tokens: 123456789012",
        f"commit {'0a1f' * 10} fixes the secret handling",
        "the next page token a1B2c3D4e5F6g7H8, max_tokens: 4096",
        "secret: /run/secrets/db_password_20261126 or me2@mail.example",
        "Use the API key gpt-4o-mini-2024-07-18 as a stand-in",
        "from cryptography import (\n    _X448PrivateKey,\n    X448PublicKey2,\n)",
        "curl -u user:password https://h",
        "mkdir -p /tmp/build-0a1f0a1f0a1f && pytest -p no:cacheprovider -w some_words_2026",
    ],
)
def test_prose_and_code_without_anything_secret(text: str) -> None:
    for whole in (text, json.dumps({"content": text}), sse(*map(chunk, text.split()))):
        assert clean.text(whole) == whole


@pytest.mark.parametrize(
    "text", [f"SECRET_KEY={NOT_GUESSED}", f'{{"client_secret": "{NOT_GUESSED}"}}']
)
def test_names_in_base64(text: str) -> None:
    assert clean.text(f"data:text/plain;base64,{b64(text)}") == (
        "data:text/plain;base64,UkVEQUNURUQ="
    )
    harmless = b64('{"password": "mellon", "api_key": "not-needed"}')
    assert clean.text(harmless) == harmless


def test_a_name_that_is_there_twice() -> None:
    body = f'{{"password": "{NOT_GUESSED}", "a": 1, "password": "x"}}'
    assert clean.body(body) == body.replace(NOT_GUESSED, "REDACTED").encode()


def test_fields_of_a_multipart_form() -> None:
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\nX-A: b\r\n\r\n{}\r\n'
    body = part.format("client_secret", GIVEN) + part.format("purpose", GIVEN) + "--x--\r\n"
    after = body.replace(GIVEN, "REDACTED", 1).encode()
    assert clean.body(body, "multipart/form-data; boundary=x") == after


@pytest.mark.parametrize("value", ["not-needed", "lm-studio", "sk-no-key-required", "recorded_at"])
def test_dummies_and_fields_are_no_secret(value: str) -> None:
    redactor = Redactor(environ={"A_API_KEY": f"{value}"})
    redactor.learn({"authorization": f"Bearer {value}", "x-api-key": value})
    text = f"Set the key to {value}.\n    {value}: 1\n"
    assert redactor.text(text) == text
    assert redactor.find_secrets(text) == []


# --- encodings --------------------------------------------------------------------------------


def wrapped(text: str, width: int, newline: str = "\n") -> str:
    return newline.join(textwrap.wrap(text, width))


def unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


ENCODINGS: dict[str, tuple[Callable[[str], str], str]] = {
    "json, unicode escapes": (unicode_escaped, ""),
    "json, one escape": (lambda s: s.replace("-", "\\u002d").replace("/", "\\/"), ""),
    "json in json": (lambda s: s.replace("-", "\\\\u002D").replace("/", "\\\\/"), ""),
    "python": (lambda s: "".join(f"\\x{ord(char):02x}" for char in s), ""),
    "percent": (lambda s: "".join(f"%{ord(char):02x}" for char in s), ""),
    "quoted": (lambda s: quote(s, safe=""), ""),
    "json, slashes": (lambda s: s.replace("/", "\\/"), ""),
    "percent, partly": (lambda s: s.replace("-", "%2D").replace("/", "%2F"), ""),
    "percent twice": (lambda s: s.replace("-", "%252D").replace("/", "%252F"), ""),
    "hex": (lambda s: s.encode().hex(), "REDACTED"),
    "HEX": (lambda s: s.encode().hex().upper(), "REDACTED"),
    "hex, odd": (lambda s: "f" + s.encode().hex(), "REDACTED"),
    "html": (lambda s: "".join(f"&#{ord(char)};" for char in s), ""),
    "html, hex": (lambda s: "".join(f"&#x{ord(char):X};" for char in s), ""),
    "html, partly": (lambda s: s.replace("-", "&#45;").replace("/", "&#x2f;"), ""),
    "bytes": (lambda s: json.dumps(list(s.encode())), f"[{IN_BYTES}]"),
    "bytes, a line each": (
        lambda s: "[\n  " + ",\n  ".join(map(str, s.encode())) + "\n]",
        f"[\n  {IN_BYTES}\n]",
    ),
    "base64 of utf-16": (lambda s: b64(s.encode("utf-16-le")), "UkVEQUNURUQ="),
    "base64": (b64, "UkVEQUNURUQ="),
    "base64, 1 before": (lambda s: b64("." + s), "UkVEQUNURUQ="),
    "base64, 2 before": (lambda s: b64(".." + s + ".."), "UkVEQUNURUQ="),
    "base64, more around": (lambda s: b64(f'{{"auth": "{s}", "a": ' + "1" * 99), "UkVEQUNURUQ="),
    "base64, unpadded": (lambda s: b64("." + s).rstrip("="), "UkVEQUNURUQ="),
    "base64, url-safe": (
        lambda s: base64.urlsafe_b64encode(b"\xfb\xff" + s.encode()).decode(),
        "UkVEQUNURUQ=",
    ),
    "base64, behind a letter": (lambda s: "x" + b64(s), "xUkVEQUNURUQ="),
    "base64, wrapped": (lambda s: wrapped(b64("...." * 9 + s), 20), "UkVEQUNURUQ="),
    "base64, wrapped and indented": (
        lambda s: wrapped(b64("...." * 9 + s + "." * 50), 40, "\r\n    "),
        "UkVEQUNURUQ=",
    ),
    "base64, wrapped in json": (
        lambda s: wrapped(b64("...." * 9 + s), 20, "\\n"),
        "UkVEQUNURUQ=",
    ),
    "base64 of gzip": (lambda s: b64(gzip.compress(s.encode(), mtime=0)), "UkVEQUNURUQ="),
    "base64 of zlib": (lambda s: b64(zlib.compress(s.encode())), "UkVEQUNURUQ="),
    "base64 of json": (lambda s: b64(unicode_escaped(s)), "UkVEQUNURUQ="),
    "base64 of base64": (lambda s: b64("x " + b64(s)), "UkVEQUNURUQ="),
    "base64 of hex of gzip of base64": (
        lambda s: b64(b64(gzip.compress(b64(s).encode(), mtime=0))),
        "UkVEQUNURUQ=",
    ),
}


@pytest.mark.parametrize("secret", [KEY, OWN, "pässwörd-1"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(encoding: str, secret: str) -> None:
    encode, expected = ENCODINGS[encoding]
    if encoding in ("python", "percent") and not secret.isascii():
        return  # they would be of bytes
    redactor = knowing(secret)
    expected = expected or redactor.text(secret)
    text, after = (f"It is {secret} ." for secret in (encode(secret), expected))
    assert redactor.text(text) == after
    assert redactor.text(after) == after
    assert redactor.find_secrets(text)
    assert redactor.find_secrets(after) == []


@pytest.mark.parametrize("before", ["\x16", "é", "\n", "密钥"])
def test_base64_behind_an_escape(before: str) -> None:
    body = json.dumps([before + b64(KEY)])
    assert redacted(body) == json.dumps([before + "UkVEQUNURUQ="])


@pytest.mark.parametrize("digits", ["d83ddddd", "D83DDDDD"])
def test_a_pair_of_surrogates_is_one_character(digits: str) -> None:
    redactor = knowing("pass-\U0001f5dd-w0rd")
    body = f'["x pass-\\u{digits[:4]}\\u{digits[4:]}-w0rd y"]'
    assert redacted(body, redactor) == '["x REDACTED y"]'
    # Where it is not JSON, only the search sees it.
    assert redactor.find_secrets(body[2:-2]) == ["the bearer token of a request"]
    assert redactor.text(body[2:-2]) == "x REDACTED y"


def test_lines_of_one_width() -> None:
    word = b64("x" * 27)
    assert clean.text(f"{word}\n{b64(KEY)}") == f"{word}\nUkVEQUNURUQ="
    lines = wrapped(b64(KEY * 5), 20)
    assert clean.text(f"{lines}\n{'x' * 30} y") == f"UkVEQUNURUQ=\n{'x' * 30} y"
    assert clean.text(f"{'a ' * 500}{lines} y") == f"{'a ' * 500}UkVEQUNURUQ= y"
    # Of many lines each is taken for a part of one thing; alone it is another.
    line = f"x{b64(KEY)}yyy"
    many = "\n".join(["abcd" * 10] * 2000)
    assert clean.text(f"{many}\n{line}\n{many}") == f"{many}\n{line}\n{many}"
    assert clean.text(line) == "xUkVEQUNURUQ="


@pytest.mark.parametrize("encoding", ["base64", "hex", "percent", "json, unicode escapes"])
def test_three_encodings_around_each_other_are_looked_through(encoding: str) -> None:
    encode, _ = ENCODINGS[encoding]
    text = encode(encode(encode(KEY)))
    assert clean.find_secrets(text) == ["an API key (sk-...)"]
    assert clean.find_secrets(encode(text)) == []


def test_the_size_of_what_is_decoded_is_bounded() -> None:
    bomb = b64(gzip.compress(bytes(64 << 20), mtime=0))
    assert clean.find_secrets(f"{bomb} {b64(KEY)}") == ["an API key (sk-...)"]
    assert clean.find_secrets(f"{bomb} {bomb} {b64(KEY)}") == []


# --- streams ----------------------------------------------------------------------------------


def redacted(body: str, redactor: Redactor = clean) -> str:
    after = redactor.body(body)
    assert after is not None
    assert redactor.find_secrets(body)
    assert redactor.find_secrets(after.decode()) == []
    assert redactor.body(after) is after
    return after.decode()


def test_a_stream_within_a_text_is_found_and_left() -> None:
    """It has no place in which to replace anything, so that only the last look sees it."""
    text = "It was:\n" + json.dumps(sse(chunk(KEY[:6]), chunk(KEY[6:])))[1:-1]
    assert clean.find_secrets(text) == ["an API key (sk-...)"]
    body = text.encode()
    assert clean.body(body) is body


def test_a_secret_that_begins_before_json_and_ends_in_it() -> None:
    redactor = knowing('zz-1234 {"a": "b1')
    assert redactor.text('x zz-1234 {"a": "b1"} y') == 'x REDACTED"} y'


@pytest.mark.parametrize("compact", [True, False])
def test_a_key_in_the_fragments_of_a_stream(compact: bool) -> None:
    parts = ["It is s", "k", "-a1B2", "", "a1B2a1B2a1B2a1B2a1", "B2, é\n", "ok"]
    left = ["It is sk-REDACTED", "", "", "", "", ", é\n", "ok"]
    assert redacted(sse(*map(chunk, parts), compact=compact)) == sse(
        *map(chunk, left), compact=compact
    )


def test_only_the_fragments_of_a_secret_change() -> None:
    before = ': hi\r\nid: 1\nevent: x\ndata:  { "a" :1.0e1, "t":"sk", "u":"\\/\\u00e9" }\r\n\r\n'
    after = 'data: {"t":\ndata: "-a1B2a1\\u00422a1B2a1B2 \\/\\u00e9"}\n\ndata: [DONE]'
    assert redacted(before + after) == before.replace('"sk"', '"sk-REDACTED"') + after.replace(
        "-a1B2a1\\u00422a1B2a1B2", ""
    )


@pytest.mark.parametrize(
    "fragment",
    [
        lambda text: {"choices": [{"index": 0, "delta": {"refusal": text}}]},
        lambda text: {"choices": [{"index": 0, "delta": {"reasoning_content": text}}]},
        lambda text: {"choices": [{"delta": {"content": [{"type": "text", "text": text}]}}]},
        lambda text: {"choices": [{"delta": {"content": None, "tokens": ["x", text]}}]},
        lambda text: {"type": "response.output_text.delta", "delta": text},
        lambda text: {"choices": [{"index": 0, "delta": {"content": text}, "text": "same"}]},
    ],
)
def test_wherever_a_stream_has_its_texts(fragment: Callable[[str], Any]) -> None:
    parts = [f"{KEY[:5]}", KEY[5:12], f"{KEY[12:]} ."]
    assert redacted(sse(*map(fragment, parts))) == sse(*map(fragment, ["sk-REDACTED", "", " ."]))


@pytest.mark.parametrize(
    "framed",
    [
        lambda values: "".join(f"{json.dumps(value)}\n" for value in values),
        lambda values: "\r\n\r\n".join(map(json.dumps, values)),
        lambda values: "".join(map(json.dumps, values)),
        lambda values: "".join(f"\x1e{json.dumps(value)}\n" for value in values),
        lambda values: "[" + "\n,\r\n".join(map(json.dumps, values)) + "]",
        lambda values: json.dumps(values, indent=2),
        lambda values: "\ufeff" + json.dumps(values),
    ],
)
def test_streams_in_other_frames(framed: Callable[[list[Any]], str]) -> None:
    def values(*parts: str) -> list[Any]:
        return [{"candidates": [{"content": {"parts": [{"text": part}]}}]} for part in parts]

    keys = framed(values("It is s", KEY[1:6], KEY[6:]))
    assert clean.body(keys) == framed(values("It is sk-REDACTED", "", "")).encode()
    before = framed(values("It is s", KEY[1:6], KEY[6:], ' {"password":', f'"{GIVEN}"}}'))
    after = framed(values("It is sk-REDACTED", "", "", ' {"password":', '"REDACTED"}'))
    assert clean.body(before) == after.encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be"])
def test_bodies_in_other_encodings(encoding: str) -> None:
    def body(key: str, value: str) -> bytes:
        return json.dumps({"a": f"é {key} é", "password": value}, ensure_ascii=False).encode(
            encoding
        )

    before, after = body(KEY, GIVEN), body("sk-REDACTED", "REDACTED")
    assert clean.body(before) == after
    assert clean.body_and_cuts(before, [4, len(before)]) == (after, [4, len(after)])
    assert clean.body(after) is after
    cut_off = clean.body(before[:-1]) or b""
    assert KEY.encode() not in cut_off.replace(b"\0", b"")


def test_choices_and_tool_calls_are_joined_by_their_index() -> None:
    def both(*texts: tuple[int, int, str]) -> Any:
        by_choice: dict[int, list[Any]] = {}
        for choice, call, text in texts:
            one = {"index": call, "function": {"arguments": text}}
            by_choice.setdefault(choice, []).append(one)
        return {"choices": [{"index": c, "delta": {"tool_calls": t}} for c, t in by_choice.items()]}

    other = Redactor(environ={"A_TOKEN": "other-secret-1"})
    body = sse(
        both((0, 0, '{"k": "sk-'), (1, 0, "other-")),
        both((1, 1, "plain "), (0, 0, KEY[3:9])),
        both((1, 0, "secret"), (1, 1, "text")),
        both((0, 0, KEY[9:] + '"'), (0, 1, "x")),
        both((1, 0, "-1."), (0, 0, "}")),
    )
    assert redacted(body, other) == sse(
        both((0, 0, '{"k": "sk-REDACTED'), (1, 0, "REDACTED")),
        both((1, 1, "plain "), (0, 0, "")),
        both((1, 0, ""), (1, 1, "text")),
        both((0, 0, '"'), (0, 1, "x")),
        both((1, 0, "."), (0, 0, "}")),
    )


def test_a_secret_in_one_fragment_that_goes_on_in_the_next() -> None:
    assert redacted(sse(chunk("x " + KEY), chunk("a1B2 y"))) == sse(
        chunk("x sk-REDACTED"), chunk(" y")
    )
    assert redacted(sse(chunk(KEY), chunk(" " + KEY))) == sse(
        chunk("sk-REDACTED"), chunk(" sk-REDACTED")
    )


def test_an_encoded_secret_in_the_fragments_of_a_stream() -> None:
    text = b64("." + KEY)
    parts = [text[i : i + 7] for i in range(0, len(text), 7)]
    assert [
        e["choices"][0]["delta"]["content"] for e in events(redacted(sse(*map(chunk, parts))))
    ] == [
        "UkVEQUNURUQ=",
        *[""] * (len(parts) - 1),
    ]


def logprobs(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"content": list(entries), "refusal": None}


def changed(entry: dict[str, Any], text: str) -> dict[str, Any]:
    """An entry with another token, also where that stands among the likely ones."""
    new = {**entry, "token": text, "bytes": None}
    tops = [
        {**top, "token": text, "bytes": None} if top["token"] == entry["token"] else top
        for top in entry["top_logprobs"]
    ]
    return {**new, "top_logprobs": tops}


def test_the_tokens_of_logprobs() -> None:
    parts = ["my ", KEY[:4], KEY[4:9], KEY[9:], "."]
    left = ["my ", "sk-REDACTED", "", "", "."]
    entries = [token(parts[0], "a"), *(token(p, "a1", "zz") for p in parts[1:4]), token(parts[4])]
    after = [e if p == q else changed(e, q) for e, p, q in zip(entries, parts, left, strict=True)]
    stream = sse(*(chunk(p, logprobs=logprobs(e)) for p, e in zip(parts, entries, strict=True)))
    assert redacted(stream) == sse(
        *(chunk(p, logprobs=logprobs(e)) for p, e in zip(left, after, strict=True))
    )
    # Several tokens in a chunk, and all of them in one answer.
    assert redacted(sse(chunk("", logprobs=logprobs(*entries)))) == sse(
        chunk("", logprobs=logprobs(*after))
    )
    for indent in (None, 2):
        answer = json.dumps({"choices": [{"logprobs": logprobs(*entries)}]}, indent=indent)
        assert redacted(answer) == json.dumps(
            {"choices": [{"logprobs": logprobs(*after)}]}, indent=indent
        )


def test_a_secret_in_a_single_token() -> None:
    entries = [token(KEY, "other"), token(" a", KEY)]
    body = json.dumps({"logprobs": logprobs(*entries)})
    first, second = entries
    second = copy.deepcopy(second)
    second["top_logprobs"][1] |= {"token": "sk-REDACTED", "bytes": None}
    assert redacted(body) == json.dumps(
        {"logprobs": logprobs(changed(first, "sk-REDACTED"), second)}
    )


# --- bodies -----------------------------------------------------------------------------------


def test_kinds_of_bodies() -> None:
    assert clean.body(None) is None
    assert clean.body("é\ud800") == b"\xc3\xa9\xed\xa0\x80"
    assert clean.body(b"") == b""
    assert clean.body("é " + KEY) == "é sk-REDACTED".encode()
    assert clean.body(b"\xff\xfe " + KEY.encode() + b"\xff") == b"\xff\xfe sk-REDACTED\xff"
    assert clean.body(b'{"a":"\xff","' + KEY.encode() + b'":1}') == b'{"a":"\xff","sk-REDACTED":1}'
    part = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{}\r\n--x--\r\n'
    assert clean.body(part.format(KEY)) == part.format("sk-REDACTED").encode()


def test_json_is_left_as_it_is_written() -> None:
    body = '{ "a" : 1.50e3,"a":"\\u00e9\\/é","b":["%s\\n", -0, null , NaN],\t"%s":{}}\n'
    assert clean.body(body % (KEY, KEY)) == (body % ("sk-REDACTED", "sk-REDACTED")).encode()
    # Cut off, and no JSON at all.
    for end in (20, 60, 90):
        text = (body % (KEY, KEY))[:end] + " " + KEY
        assert KEY[3:] not in (clean.body(text) or b"").decode()


@pytest.mark.parametrize("levels", [100, 480, 960, 2000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_json(opening: str, closing: str, levels: int) -> None:
    body = f'data: {opening * levels}"{KEY}"{closing * levels}\n\n' * 2
    assert clean.body(body) == body.replace(KEY, "sk-REDACTED").encode()


def test_numbers_and_names_of_json_stay() -> None:
    redactor = knowing("1234567890123456")
    body = b'{"n": 1234567890123456, "s": "1234567890123456"}'
    assert redactor.body(body) == b'{"n": 1234567890123456, "s": "REDACTED"}'
    redactor = knowing('a", "b": "c1')
    assert redactor.body('{"x": "a", "b": "c1"}') == b'{"x": "a", "b": "c1"}'
    assert redactor.body(json.dumps(['a", "b": "c1'])) == b'["REDACTED"]'


def test_forms() -> None:
    form = b"grant_type=client_credentials&client_secret=abc&scope=x&password=%20#"
    kind = "application/x-www-form-urlencoded; charset=utf-8"
    assert clean.body(form, kind) == (
        b"grant_type=client_credentials&client_secret=REDACTED&scope=x&password=REDACTED#"
    )
    assert clean.body(form, "text/plain") is form
    redacted_form = b"client_secret=REDACTED&scope=x"
    assert clean.body(redacted_form, kind) is redacted_form


def test_clean_bodies_come_back_themselves() -> None:
    for body in (b"{}", b"x", sse(chunk("a"), chunk("b")).encode()):
        cuts = [1, len(body)]
        same, moved = clean.body_and_cuts(body, cuts)
        assert same is body
        assert moved is cuts
    assert clean.body_and_cuts(b"x", (0, 1)) == (b"x", [0, 1])


def test_cuts_move_along() -> None:
    before, between = "é: ".encode(), " é ".encode()
    body = before + KEY.encode() + between + KEY.encode()
    start, end = len(before), len(before) + len(KEY)
    cuts = [0, 2, start, start + 1, start + 11, end - 1, end, end + 1, len(body) - 1, len(body)]
    after, moved = clean.body_and_cuts(body, cuts)
    assert after == before + b"sk-REDACTED" + between + b"sk-REDACTED"
    stop = start + 11
    assert moved == [0, 2, start, start + 1, stop, stop, stop, stop + 1, len(after), len(after)]


def test_cuts_are_bytes() -> None:
    body = "é pässwörd-1 é".encode()
    after, moved = knowing("pässwörd-1").body_and_cuts(body, range(len(body) + 1))
    assert after == "é REDACTED é".encode()
    assert moved == [*range(12), 11, 11, 11, 11, 12, 13, 14]


def test_cuts_of_a_stream() -> None:
    parts = [f"data: {json.dumps(chunk(text))}\n\n" for text in ("a ", KEY[:9], KEY[9:], "é")]
    left = [f"data: {json.dumps(chunk(text))}\n\n" for text in ("a ", "sk-REDACTED", "", "é")]
    ends = [len("".join(parts[: i + 1]).encode()) for i in range(4)]
    after, moved = clean.body_and_cuts("".join(parts).encode(), ends)
    assert [after[a:b].decode() for a, b in zip([0, *moved], moved, strict=False)] == left


# --- what a project names ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "body", "expected"),
    [
        (r"acme_\d+", '{"a":"x acme_12 y"}', '{"a":"x REDACTED y"}'),
        (r"acme_\d+", "acme_1, acme_2", "REDACTED, REDACTED"),
        (r"user=(?P<secret>\S+)", "user=bob user=al", "user=REDACTED user=REDACTED"),
        (r"user=(?P<secret>\S+)", '{"a":"user=bob","b":"c"}', '{"a":"user=REDACTED","b":"c"}'),
        (r"user=\S+", '{"a":"user=bob","b":"c d"}', '{"a":"REDACTED","b":"c d"}'),
        (r"user=\S+", '{"a":"{\\"user=b\\":1}"}', '{"a":"{\\"REDACTED\\":1}"}'),
        (r'"pin": "(?P<secret>[^"]+)"', '{"pin": "0000"}', '{"pin": "REDACTED"}'),
        (r'"pin": "[^"]+"', '{"pin": "a\\"b", "c": 1}', '{"pin": "REDACTED", "c": 1}'),
        (r'"pin": "(?P<secret>[^"]+)"', '{"pin": "a\\"b", "c": 1}', '{"pin": "REDACTED", "c": 1}'),
        (r'"pin": (?P<secret>\d+)', '{"pin": 123, "c": 1}', '{"pin": "REDACTED", "c": 1}'),
        (r"\d+", '{"n": 123, "s": "no 5"}', '{"n": 123, "s": "no REDACTED"}'),
        (r'[{":,]+', '{"a": "b,c", "d": 1}', '{"a": "bREDACTEDc", "d": 1}'),
        (r"line\nbreak", '["a line\\nbreak"]', '["a REDACTED"]'),
        (r"^é+$", '["é", "é\\u00e9", "éa"]', '["REDACTED", "REDACTED", "éa"]'),
        (r"no (\w+) here", '"quoted" no more here', '"quoted" REDACTED'),
        (r"x*|E|R.*D", "REDACTED y", "REDACTED y"),
        (
            "$.user",
            '{"user": "bob", "b": {"user": "al"}}',
            '{"user": "REDACTED", "b": {"user": "al"}}',
        ),
        ("$.user", '{"a": "{\\"user\\": \\"bob\\"}"}', '{"a": "{\\"user\\": \\"bob\\"}"}'),
        ("$.metadata.email", '{"metadata": {"email": ""}}', '{"metadata": {"email": "REDACTED"}}'),
        (
            "$.messages[*].name",
            '{"messages": [{"name": "bob"}, {}, {"name": null}]}',
            '{"messages": [{"name": "REDACTED"}, {}, {"name": null}]}',
        ),
        (
            "$.metadata",
            '{"metadata": {"a": ["b", 2.5, true, {"c": "d"}]}, "e": "f"}',
            '{"metadata": {"a": ["REDACTED", "REDACTED", true, {"c": "REDACTED"}]}, "e": "f"}',
        ),
        (
            "$.choices[*].delta.name",
            'data: {"choices":[{"delta":{"name":"bob"}}]}\n\ndata: [DONE]\n\n',
            'data: {"choices":[{"delta":{"name":"REDACTED"}}]}\n\ndata: [DONE]\n\n',
        ),
        (r'quoted" (\w+)', '"quoted" name bob', '"REDACTED bob'),
        ("$.user", '{"user": "a\tb"}', '{"user": "REDACTED"}'),
        ("$.user", "no json", "no json"),
        ("$.user", '{"user": "cut', '{"user": "cut'),
    ],
)
def test_patterns(pattern: str, body: str, expected: str) -> None:
    redactor = Redactor([pattern], environ={})
    assert redactor.text(body) == (body if pattern.startswith("$") else expected)
    assert redactor.body(body) == expected.encode()
    same = expected.encode()
    assert redactor.body(same) is same
    assert redactor.find_secrets(body) == []


def test_a_pattern_over_the_fragments_of_a_stream() -> None:
    redactor = Redactor([r"jane@\w+\.test"], environ={})
    assert (
        redactor.body(sse(chunk("to ja"), chunk("ne@x."), chunk("test!")))
        == sse(chunk("to REDACTED"), chunk(""), chunk("!")).encode()
    )
    assert redactor.url("https://h/?to=jane@x.test") == "https://h/?to=REDACTED"
    kept = redactor.headers([("accept", "jane@x.test")], response=False)
    assert kept == [("accept", "REDACTED")]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "redact: '(a' is not a regular expression: missing ), unterminated subpattern"),
        ("$.a b", "'$.a b' is not a path"),
        ("$", "'$' is not a path"),
    ],
)
def test_patterns_that_are_wrong(pattern: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        Redactor(["fine", pattern])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# --- the last look ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda body: "  body:\n    string: |\n" + textwrap.indent(body, "      "),
        lambda body: "  string: " + json.dumps(body),
        lambda body: json.dumps({"a": [{"string": body}]}, indent=1),
        lambda body: "  string: '" + body.replace("'", "''").replace("\n", "\n\n    ") + "'",
        lambda body: (
            "  string: !!binary |\n"
            + textwrap.indent(base64.encodebytes(body.encode()).decode(), "    ")
        ),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"a": KEY}),
        json.dumps({"a": unicode_escaped(KEY)}),
        sse(chunk(KEY[:6]), chunk(KEY[6:])),
        sse(*(chunk("", logprobs=logprobs(token(t, "x"))) for t in (KEY[:6], KEY[6:]))),
        json.dumps({"logprobs": logprobs(*(token(t, "x") for t in (KEY[:6], KEY[6:])))}, indent=2),
    ],
)
def test_secrets_in_cassettes(form: Callable[[str], str], body: str) -> None:
    assert clean.find_secrets(form(body)) == ["an API key (sk-...)"]
    assert clean.find_secrets(form((clean.body(body) or b"").decode())) == []


def test_what_is_found_is_named_and_never_shown() -> None:
    redactor = Redactor(environ={"OPENAI_API_KEY": KEY, "B_TOKEN": OWN})
    redactor.learn({"authorization": f"Bearer {VALUE}"})
    text = f"{b64(OWN)} {VALUE} {KEY} {KEY} Bearer {KEY}"
    kinds = redactor.find_secrets(text)
    assert sorted(kinds) == [
        "a bearer token",
        "an API key (sk-...)",
        "the bearer token of a request",
        "the value of B_TOKEN",
        "the value of OPENAI_API_KEY",
    ]
    assert redactor.find_secrets("") == []


# --- everywhere -------------------------------------------------------------------------------

PLACES: dict[str, Callable[[str], str]] = {
    "text": lambda s: f"Incorrect API key provided: {s}.",
    "value": lambda s: json.dumps({"a": {"b": [f"é\n{s}\t", 1.5, None]}}),
    "key": lambda s: json.dumps({"a": {f"x {s}": True}}),
    "string in a string": lambda s: json.dumps({"arguments": json.dumps({"a": f"\n{s}"})}),
    "content": lambda s: sse(*(chunk(s[i : i + 3]) for i in range(0, len(s), 3))),
    "arguments": lambda s: sse(
        *(
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": a}}]}}]}
            for a in ['{"a": "', *s, '"}']
        )
    ),
    "tokens": lambda s: json.dumps({"choices": [{"logprobs": logprobs(*map(token, s))}]}),
    "tokens of a stream": lambda s: sse(*(chunk(c, logprobs=logprobs(token(c))) for c in s)),
    "image": lambda s: json.dumps(
        {"url": "data:image/png;base64," + b64(b"\x89PNG\xff" + s.encode())}
    ),
    **{name: encode for name, (encode, _) in ENCODINGS.items()},
}


def every_form(secret: str) -> Iterable[str]:
    yield secret
    yield secret.encode().hex()
    yield quote(secret, safe="")
    yield "".join(f"%{byte:02x}" for byte in secret.encode())
    yield unicode_escaped(secret)
    yield ", ".join(str(byte) for byte in secret.encode())
    for offset in range(3):
        # What of base64 depends on the secret alone.
        first = 0 if offset == 0 else 4
        yield b64("." * offset + secret)[first:-4]


def readable(body: str) -> Iterable[str]:
    """All that a reader could put together from a body."""
    yield body
    parsed = events(body)
    if body[0] in "{[":
        parsed = [json.loads(body)]
    joined: dict[str, str] = {}

    def collect(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                collect(item, f"{path}.{key}")
        elif isinstance(value, list):
            for item in value:
                collect(item, path)
        elif value is not None:
            joined[path] = joined.get(path, "") + str(value)

    for event in parsed:
        collect(event, "")
    yield from joined.values()


@pytest.mark.parametrize("secret", [KEY, OWN])
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_leaves_no_trace(place: str, secret: str) -> None:
    redactor = knowing(secret)
    body = PLACES[place](secret)
    after = redacted(body, redactor)
    assert redactor.text(after) == after
    forms = list(every_form(secret))
    for text in readable(after):
        assert not [form for form in forms if form.lower() in text.lower()]
    assert re.sub(r"[^\[{}\]]", "", body) == re.sub(r"[^\[{}\]]", "", after) or "bytes" in body
    headers = [("location", f"/{body}"), ("x-kept", body), ("authorization", secret)]
    keeping = Redactor(keep_headers=["x-kept"], environ={"A_TOKEN": secret})
    kept = dict(keeping.headers(headers, response=True))
    assert kept["x-kept"] == keeping.text(body)
    for text in (keeping.url(f"https://h/?a={quote(secret)}&b={quote(body)}"), kept["location"]):
        assert not [form for form in forms if form.lower() in text.lower()]


# --- properties -------------------------------------------------------------------------------

SECRETS = st.sampled_from([KEY, OWN, b64(KEY), JWT, f"Bearer {KEY}", "org-" + "a1B2" * 6, PEM])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PLANTED = st.lists(TEXTS | SECRETS | st.sampled_from(["sk-", "\\", '"', "\n", "é", "a1B2"])).map(
    "".join
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PLANTED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLANTED, inner, max_size=3),
    max_leaves=8,
)
PROJECT = Redactor([r"a1B2", r"(?P<secret>\w)é", "$.user"], environ={"A_TOKEN": OWN})


def shape(value: Any, text: Callable[[str], Any]) -> Any:
    """All but the texts: objects as what their members are."""
    if isinstance(value, tuple):
        return tuple((text(key), shape(item, text)) for key, item in value)
    if isinstance(value, list):
        return [shape(item, text) for item in value]
    return str if isinstance(value, str) else value


def members(body: str | bytes) -> Any:
    return json.loads(body, object_pairs_hook=tuple)


@settings(deadline=None)
@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 2]))
def test_json_keeps_its_shape(document: Any, escape: bool, indent: int | None) -> None:
    body = json.dumps(document, ensure_ascii=escape, indent=indent)
    for redactor in (knowing(), PROJECT):
        after = redactor.body(body)
        assert after is not None
        assert shape(members(after), str) == shape(members(body), redactor.text)
        assert redactor.body(after) == after
        assert redactor.find_secrets(after.decode()) == []


@settings(deadline=None)
@given(PLANTED)
def test_once_is_enough(text: str) -> None:
    for redactor in (knowing(), PROJECT):
        after = redactor.text(text)
        assert redactor.text(after) == after
        assert redactor.find_secrets(after) == []
        assert redactor.url(redactor.url(text)) == redactor.url(text)


@settings(deadline=None)
@given(
    st.lists(PLANTED, max_size=6),
    st.lists(st.integers(0, 2000), max_size=9).map(sorted),
    st.booleans(),
    st.integers(1, 9),
)
def test_cuts_and_events_stay(texts: list[str], cuts: list[int], compact: bool, size: int) -> None:
    whole = "".join(texts)
    parts = [whole[i : i + size] for i in range(0, len(whole), size)]
    body = sse(*map(chunk, parts), compact=compact).encode()
    cuts = [min(cut, len(body)) for cut in cuts]
    redactor = knowing()
    after, moved = redactor.body_and_cuts(body, cuts)
    assert moved == sorted(moved)
    assert len(moved) == len(cuts)
    assert all(0 <= cut <= len(after) for cut in moved)
    assert redactor.find_secrets(after.decode()) == []
    for event, old in zip(events(after), events(body), strict=True):
        event["choices"][0]["delta"] = old["choices"][0]["delta"]
        assert event == old
    assert after.count(b"\n\n") == body.count(b"\n\n")
    pieces = [after[a:b] for a, b in zip([0, *moved], [*moved, len(after)], strict=True)]
    assert b"".join(pieces) == after


# --- work -------------------------------------------------------------------------------------


class Work:
    """Counts what redacting costs: calls of functions, and characters that are looked through.

    Args:
        decoded: what is decoded counts, even where it is dropped at once.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, decoded: bool = False) -> None:
        self.calls = self.characters = 0
        if decoded:
            self._count(monkeypatch, Search, "_kinds")
        self._count(monkeypatch, Search, "hits")
        self._count(monkeypatch, Documents, "__init__")

    def _count(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        real = getattr(owner, name)

        def counting(instance: object, text: str, *more: Any, **named: Any) -> Any:
            self.characters += len(text)
            return real(instance, text, *more, **named)

        monkeypatch.setattr(owner, name, counting)

    def of(self, call: Callable[[str], object], text: str) -> tuple[int, int]:
        """Calls, and characters, for one text."""
        self.calls = self.characters = 0

        def profile(frame: object, event: str, argument: object) -> None:
            self.calls += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            call(text)
        finally:
            sys.setprofile(before)
        return self.calls, self.characters


HOSTILE = [
    '{"a":',
    '{"a"\n',
    "[",
    "{}",
    "sk-",
    "sk-" + "a" * 40,
    "a",
    "a1B2" * 5 + "\n",
    "\\",
    "\\u005c",
    "%25",
    "-----BEGIN PRIVATE KEY-----",
    "Bearer ",
    "=",
    "data: {",
    'data: {"a":"sk-"}\n',
    "a@",
    "sk-a-",
    "://a:",
    "?sig=",
    "&#115;",
    "[1,",
    "}{",
    '"password":',
    "password: \\",
    'name="a"\r\n',
]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("method", ["find_secrets", "text", "url", "body"])
def test_work_grows_with_the_size_of_hostile_texts_only(
    monkeypatch: pytest.MonkeyPatch, method: str, unit: str
) -> None:
    work = Work(monkeypatch)
    costs = []
    size = 250
    for count in (size, 2 * size):
        redactor = Redactor([r"never matches \d"], environ={"A_TOKEN": OWN})
        costs.append(work.of(getattr(redactor, method), unit * count))
    (calls, _), (calls_of_twice, characters) = costs
    assert calls_of_twice <= 2.1 * calls + 200
    assert characters <= 20 * len(unit) * count


def test_json_that_is_broken_everywhere_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor([r"never matches \d"], environ={})
    calls, _ = Work(monkeypatch).of(redactor.text, '{"a":' * 40_000)
    assert calls < 40_000 + 600  # each name is looked at, and few are tried as a document


@pytest.mark.parametrize("unit", HOSTILE)
def test_large_hostile_texts_come_out_clean(unit: str) -> None:
    """Regular expressions that go through them again and again would not end."""
    text = unit * (100_000 // len(unit))
    assert clean.find_secrets(clean.text(text)) == []


def test_a_clean_body_is_neither_parsed_nor_searched_by_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("there is nothing to do")

    for owner, name in [(Documents, "__init__"), (Shape, "hits"), (View, "__init__")]:
        monkeypatch.setattr(owner, name, never)
    redactor = Redactor(environ={"A_TOKEN": OWN})
    body = json.dumps({"messages": [{"role": "user", "content": "What is the weather? " * 45}]})
    assert redactor.body(body) == body.encode()
    stream = sse(*(chunk(f" word{i % 99}") for i in range(100)))
    assert redactor.body(stream) == stream.encode()
    assert redactor.find_secrets(b64(zlib.compress(bytes(range(256)) * 9))) == []


def test_a_stream_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch)
    stream = sse(*(chunk(f" word{i % 99}") for i in range(500)))
    calls, characters = work.of(clean.text, stream)
    assert calls < 500 * 60
    # As it is, with its escapes taken out, and its joined texts.
    assert characters < 2 * len(stream)


def test_a_large_run_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, decoded=True)
    data = bytes(range(128, 256)) * 800
    for size, times in ((30_000, 4), (len(data), 1)):
        image = b64(data[:size])
        _, characters = work.of(Redactor(environ={}).find_secrets, image)
        assert len(image) + times * (size - 3) <= characters <= len(image) + times * size


def test_no_prefix_looks_further_than_a_key_is_long() -> None:
    """One run may be thousands of prefixes, and each of them looks ahead."""

    def widths(parsed: Any) -> Iterator[int]:
        for operation, argument in parsed:
            if operation is sre_constants.ASSERT:
                yield argument[1].getwidth()[1]
            elif operation is sre_constants.SUBPATTERN:
                yield from widths(argument[3])
            elif operation is sre_constants.BRANCH:
                for branch in argument[1]:
                    yield from widths(branch)

    for shape in (*SHAPES, MASKED):
        assert max(widths(sre_parser.parse(shape.regex)), default=0) <= 512, shape.probe


# --- what is remembered -----------------------------------------------------------------------


def test_what_was_clean_is_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, decoded=True)
    redactor = Redactor(environ={})
    short, long = "It is chatcmpl-CyMO4JirrrzgmNEKFANyYm31OYEh9", f"{'x' * 200} " * 3
    assert work.of(redactor.text, short)[1] > len(short)  # its run is decoded
    assert work.of(redactor.text, short)[1] == 0
    assert work.of(redactor.text, long)[1] > len(long)
    assert work.of(redactor.text, long)[1] == len(long)  # its runs are known to be clean


def test_the_memory_for_clean_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CleanTexts, "MOST", 3)
    redactor = Redactor(environ={})
    sizes = []
    for number in range(9):
        redactor.text(f"{number:017} is clean")
        known = redactor._known
        sizes.append((len(known.clean_texts), len(known.clean_runs)))
    assert sizes == [(1, 1), (2, 2), (3, 3)] * 3
    redactor.text("7" * (CleanTexts.LONGEST + 1))
    assert (len(known.clean_texts), len(known.clean_runs)) == (3, 3)


def test_nothing_is_taken_for_clean_that_was_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("encodings", "search"):
        monkeypatch.setattr(f"pytest_chatapi.redaction.{module}.MOST_UNZIPPED", 1 << 16)
    redactor = Redactor(environ={})
    bomb, run = b64(gzip.compress(bytes(1 << 18), mtime=0)), b64(KEY)
    assert redactor.find_secrets(f"{bomb} {bomb} {run}") == []  # too much to decode
    assert redactor.find_secrets(run) == ["an API key (sk-...)"]
    deep = b64(b64(b64(KEY)))
    assert redactor.find_secrets(b64(deep)) == []  # too deep
    assert redactor.find_secrets(deep) == ["an API key (sk-...)"]
    account = "org-" + "a1B2" * 6
    assert redactor.find_secrets(b64(account)) == []  # accounts are left there
    assert redactor.text(account) == "org-REDACTED"


def test_values_that_are_learned_at_once_are_all_known() -> None:
    class Meanwhile(dict[str, str]):
        """An environment in which something else is learned while it is read."""

        def items(self) -> Any:
            yield "A_TOKEN", OWN
            redactor.learn({"api-key": VALUE})
            yield "B_TOKEN", "another-1-value"

    environ = Meanwhile()
    redactor = Redactor(environ={})
    redactor._environ = environ
    redactor.learn_environment()
    assert redactor.text(f"{OWN} {VALUE} another-1-value") == "REDACTED REDACTED REDACTED"


def test_headers_that_were_learned_are_forgotten_when_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pytest_chatapi.redaction.redactor._MOST_LEARNED", 3)
    redactor = Redactor(environ={})
    values = [f"s3cret-value-{number}" for number in range(9)]
    for value in values:
        redactor.learn({"api-key": value})
        assert len(redactor._learned) <= 3
    assert redactor.text(" ".join(values)) == " ".join(["REDACTED"] * 9)
