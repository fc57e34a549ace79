"""Reports of runs against a server in this process. Not a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from conformance_servers import HEADERS, KEY, MODEL, URL, Answered, Fault, Faulty
from jsonschema import Draft202012Validator

from pytest_chatapi.conformance.probe import checks
from pytest_chatapi.conformance.record import write_recordings
from pytest_chatapi.conformance.report import About, report_of, shown_headers
from pytest_chatapi.conformance.run import Options, Run
from pytest_chatapi.conformance.wire import Caps, Live
from pytest_chatapi.contract.schemas import document
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.redaction.redactor import Redactor

FEW = "text.basic", "transport.wrong-method", "tools.required", "logprobs", "errors.rate-limit"
"""Checks that come to every verdict but a harness error, with the server below."""

HOSTILE = '</script><script>document.title="ran"</script><img src="http://127.0.0.1:9/x">\x1b[31m'


def hostile(answered: Answered) -> None:
    """Text in place of calls, which is not for a browser or a terminal; GET is a teapot."""
    if answered.request.method == "GET" and answered.path.endswith("completions"):
        answered.status = 418
    if answered.status != 200 or "tools" not in answered.asked:
        return
    text = json.dumps(HOSTILE + " " + KEY)
    part = "delta" if answered.is_stream else "message"
    choice = f'{{"index": 0, "finish_reason": "stop", "logprobs": null, "{part}": {{"role": '
    choice += f'"assistant", "content": {text}, "refusal": null}}}}'
    kind = "chat.completion.chunk" if answered.is_stream else "chat.completion"
    usage = '{"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}'
    body = f'{{"id": "chatcmpl-1", "object": "{kind}", "created": 1760000000, "model": "{MODEL}", '
    if answered.is_stream:
        first = f'{body}"choices": [{choice}], "usage": null}}'
        body = f'data: {first}\n\ndata: {body}"choices": [], "usage": {usage}}}\n\ndata: [DONE]\n\n'
    else:
        body += f'"choices": [{choice}], "usage": {usage}}}'
    answered.body = body.encode()


def reported(
    names: tuple[str, ...] = (),
    fault: Fault | None = None,
    folder: Path | None = None,
    **options: Any,
) -> JSONObject:
    """The report of a run against the obedient server with a fault; recorded in `folder`."""
    chosen = [
        check
        for check in checks()
        if not names or {check.id, check.probe.id, check.probe.capability} & {*names}
    ]
    redactor = Redactor(environ={})
    redactor.learn(HEADERS)
    opened = Options(MODEL, as_of="2026-06-01", **options)
    shown = shown_headers(HEADERS, "OPENAI_API_KEY", redactor)
    about = About(URL, MODEL, "2026-06-01", declared=sorted(opened.declared), headers=shown)
    caps = Caps()
    with httpx.Client(transport=Faulty(fault)) as client:
        run = Run(lambda name: Live(client, URL, HEADERS, 5.0, caps), opened, caps)
        results = list(run.results(chosen))
    if folder is not None:
        write_recordings(folder, run, results, about, redactor)
    return report_of(results, about, redactor, run.measured)


def problems_of(report: JSONObject) -> list[str]:
    """Where a report is not as the schema says, which has to name each of its members."""
    validator = Draft202012Validator(_closed(document("conformance")))
    return [error.message for error in validator.iter_errors(report)]


def _closed(schema: Any) -> Any:
    """The schema without room for members that it does not name."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    values = {name: _closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **values} if "properties" in schema else values
