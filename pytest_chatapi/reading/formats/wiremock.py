"""Mappings of WireMock: a request pattern and the response to it, one or several in a file.

What a pattern leaves open is unknown, such as the host. A response body may be in a file of the
folder ``__files`` beside ``mappings``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

from pytest_chatapi.contract.endpoint import find_endpoint
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.reading.files import blocks_of_path, join
from pytest_chatapi.reading.format import Origin, ValueFormat
from pytest_chatapi.reading.json_text import JSONProblem, loads
from pytest_chatapi.reading.parts import from_base64, headers_of, printable, status_of

_IN_REQUEST = frozenset(
    {
        *("urlPattern", "urlPath", "urlPathPattern", "urlPathTemplate", "bodyPatterns"),
        *("queryParameters", "multipartPatterns", "basicAuthCredentials"),
    }
)
_IN_RESPONSE = frozenset(
    {
        *("jsonBody", "base64Body", "bodyFileName", "proxyBaseUrl", "fault", "transformers"),
        *("fixedDelayMilliseconds", "delayDistribution", "chunkedDribbleDelay", "statusMessage"),
    }
)
_IN_MAPPING = frozenset(
    {
        *("uuid", "persistent", "insertionIndex", "scenarioName", "newScenarioState"),
        *("requiredScenarioState", "postServeActions", "serveEventListeners"),
    }
)

# What WireMock fills in, and no response of a model has in it by chance.
_HELPER = re.compile(
    r"\{\{\{?[#\s]*(?:request\.\w|randomValue|randomInt|now\b|jsonPath\s+request|parseJson\b)"
)
_EXPRESSION = re.compile(r"\{\{[^}]*\}\}")

# The parts of a pattern that stand for any text, once escaped characters are plain.
_OPTIONAL_END = re.compile(r"(?:\(\?:|\()?\\\?.*$|\.[*+]\??$")
_OPEN_PART = re.compile(r"(?:\[[^\]]*\]|\([^()]*\)|\\[wd]|\.)(?:[*+]\??|\{[\d,]+\})|\([^()]*\)")


def _items(document: JSON) -> list[JSON] | None:
    mappings = document.get("mappings") if isinstance(document, dict) else None
    if isinstance(mappings, list) and all(
        isinstance(item, dict) and isinstance(item.get("response"), dict) for item in mappings
    ):
        return mappings
    return None


def _matches(value: JSONObject) -> bool:
    request, response = value.get("request"), value.get("response")
    if not isinstance(response, dict) or not isinstance(request, dict):
        return False
    return not (
        _IN_RESPONSE.isdisjoint(response)
        and _IN_REQUEST.isdisjoint(request)
        and _IN_MAPPING.isdisjoint(value)
    )


def _exchange(value: JSONObject, origin: Origin) -> Exchange:
    pattern, part = value.get("request"), value["response"]
    request = _request(pattern if isinstance(pattern, dict) else {})
    if "fault" in part:  # WireMock ends the connection, so there is no response
        return Exchange(request, lacks="fault")
    headers = headers_of(part.get("headers"))
    response = Response(status_of(part), headers)
    try:
        response.body = plain_body(_body(part, origin), headers.get("content-encoding", ""))
    except BodyProblem:
        if find_endpoint(Exchange(request)) is not None:
            raise
        # Another API: it is skipped, whatever its body is.
    return Exchange(request, response)


# -- the request ---------------------------------------------------------------------------------


def _request(pattern: JSONObject) -> Request:
    method = printable(pattern.get("method")).upper()
    headers = pattern.get("headers")
    known = {
        name: matcher["equalTo"]
        for name, matcher in (headers if isinstance(headers, dict) else {}).items()
        if isinstance(matcher, dict) and isinstance(matcher.get("equalTo"), str)
    }
    return Request(
        "POST" if method in ("", "ANY") else method,
        _url(pattern),
        headers_of(known),
        _request_body(pattern.get("bodyPatterns")),
    )


def _url(pattern: JSONObject) -> str:
    """The address, as far as it is known; empty if any address matches."""
    for key in ("url", "urlPath", "urlPathTemplate"):
        if isinstance(pattern.get(key), str):
            return printable(pattern[key])
    for key in ("urlPattern", "urlPathPattern"):
        if isinstance(pattern.get(key), str):
            return _url_of_regex(printable(pattern[key]))
    return ""


def _url_of_regex(regex: str) -> str:
    url = _OPTIONAL_END.sub("", regex.removeprefix("^").removesuffix("$"))
    url = _OPEN_PART.sub("x", url.replace("/?", "/").rstrip("/"))
    url = re.sub(r"\\(.)", r"\1", url)
    return "" if url.strip("/") in ("", "x") else url if url[:1] in ("/", "h") else f"/{url}"


def _request_body(patterns: JSON) -> JSON:
    """The only body that matches; ``None`` where several do."""
    for pattern in patterns if isinstance(patterns, list) else []:
        if not isinstance(pattern, dict):
            continue
        if isinstance(pattern.get("equalTo"), str):
            return plain_body(pattern["equalTo"])
        body = pattern.get("equalToJson")
        is_loose = pattern.get("ignoreExtraElements") or pattern.get("ignoreArrayOrder")
        if body is None or is_loose:
            continue
        if isinstance(body, str):
            if "${json-unit." in body:
                continue
            try:
                body = loads(body)
            except JSONProblem:
                continue
        return plain_body(body)
    return None


# -- the response --------------------------------------------------------------------------------


def _body(part: JSONObject, origin: Origin) -> JSON:
    if "proxyBaseUrl" in part:
        raise BodyProblem("response: it is proxied to another server, so no body is recorded")
    if part.get("bodyFileName") is not None:
        body: JSON = _file(printable(part["bodyFileName"]), origin)
    elif "base64Body" in part:
        body = from_base64(part["base64Body"])
    else:
        body = part.get("jsonBody", part.get("body"))
    if _is_template(body, part):
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        expression = _EXPRESSION.search(text)
        shown = expression[0][:60] if expression else "{{...}}"
        raise BodyProblem(
            f"response: the body is a template ({shown}) that only WireMock can fill in: "
            "record what it returns"
        )
    return body


def _is_template(body: JSON, part: JSONObject) -> bool:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    if isinstance(text, (dict, list)):
        text = str(text)
    if not isinstance(text, str) or "{{" not in text:
        return False
    transformers = part.get("transformers")
    if isinstance(transformers, list) and "response-template" in transformers:
        return _EXPRESSION.search(text) is not None
    return _HELPER.search(text) is not None


def _file(name: str, origin: Origin) -> bytes:
    """The content of a file in ``__files``.

    Raises:
        BodyProblem: it is outside of this folder, or cannot be read.
    """
    shown = f"response: bodyFileName {name!r}"
    if "{{" in name:
        raise BodyProblem(f"{shown} is a template that only WireMock can fill in")
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name[:1] in ("/", "\\", "~") or PureWindowsPath(name).drive:
        raise BodyProblem(f"{shown} is not read: it is not inside of __files")
    if origin.path is None:
        raise BodyProblem(f"{shown} is in another file: name the mapping's file, not a pipe")
    folder = _files_folder(Path(os.path.abspath(origin.path)))
    if folder is None:
        raise BodyProblem(f"{shown} is in a folder __files beside mappings, which is missing")
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BodyProblem(f"{shown} is not read: it is a link out of __files")
    try:
        return join(blocks_of_path(str(path), name), name)
    except ReadError as error:
        raise BodyProblem(f"{shown} in {folder}: {error.reason}") from None
    except (OSError, ValueError):
        raise BodyProblem(f"{shown} in {folder}: cannot be read") from None


def _files_folder(mapping: Path) -> Path | None:
    """The folder ``__files`` of a mapping: beside ``mappings``, or else near the mapping."""
    roots = [folder.parent for folder in mapping.parents if folder.name == "mappings"]
    for root in [*roots, mapping.parent, mapping.parent.parent]:
        if (root / "__files").is_dir():
            return root / "__files"
    return None


FORMAT = ValueFormat(
    name="WireMock",
    precedence=32,
    marks=_IN_REQUEST | _IN_RESPONSE | _IN_MAPPING | {"mappings"},
    traces=re.compile(rb'"(?:urlPath|urlPattern|urlPathPattern|jsonBody|bodyFileName)"\s*:'),
    items=_items,
    matches=_matches,
    exchange=_exchange,
)
