"""Logs on the engines that people have: each recipe of docs/logs.md, clusters, an object store."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"
BLOCK = re.compile(r"^```python\n(# pip install ([^\n]*)\n.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = {needs: code for code, needs in BLOCK.findall(PAGE.read_text(encoding="utf-8"))}

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1793491200,
    "model": "qwen3-8b",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}


def row(at: int) -> dict[str, Any]:
    """A row of LiteLLM; each seventh has a wrong total."""
    usage = {**ANSWER["usage"], "total_tokens": 14 if at % 7 == 0 else 13}  # type: ignore[dict-item]
    return {
        "id": f"chatcmpl-{at}",
        "call_type": "acompletion",
        "api_base": "http://vllm-prod:8000/v1",
        "model": "qwen3-8b",
        "startTime": 1793491200 + at * 600.0,
        "messages": [{"role": "user", "content": "Hi"}],
        "model_parameters": {},
        "response": {**ANSWER, "id": f"chatcmpl-{at}", "usage": usage},
    }


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of 12 files with 600 rows, 86 of which have a finding, and one that is cut off."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(12):
        lines = [json.dumps(row(at)) for at in range(number * 50, number * 50 + 50)]
        (folder / f"{number:02}.jsonl").write_text("\n".join(lines) + "\n")
    with (folder / "11.jsonl").open("a") as file:
        file.write('{"id": "cut\n')
    return folder


def run(python: Path, folder: Path, code: str, **environment: str) -> str:
    """What the code prints last."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [python, "script.py"],
        cwd=folder,
        env={**os.environ, "PYSPARK_PYTHON": os.fspath(python), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


NORMALISED = """
import json
rows = found.to_pylist() if hasattr(found, "to_pylist") else found
print(json.dumps(sorted([r["row_id"] or "", r["code"], r["path"], r["message"]] for r in rows)))
"""


@pytest.fixture
def expected(engines_python: Path, logs: Path) -> list[list[Any]]:
    code = """
import pathlib
import pyarrow as pa
from pytest_chatapi.logs import check_batch
lines = [line for file in pathlib.Path("logs").iterdir()
         for line in file.read_text().splitlines()]
found = check_batch(pa.record_batch({"line": lines}))
"""
    found: list[list[Any]] = json.loads(run(engines_python, logs.parent, code + NORMALISED))
    assert [one[1] for one in found].count("U02") == 86
    assert [one[1] for one in found].count("unread") == 1
    return found


def test_there_are_recipes() -> None:
    assert len(RECIPES) == 6


@pytest.mark.parametrize("needs", RECIPES)
def test_findings_are_the_same_on_each_engine(
    needs: str, engines_python: Path, logs: Path, expected: list[list[Any]]
) -> None:
    if "pyspark" in needs and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    if "duckdb" in needs:  # it refuses lines that are not JSON, so they never get here
        file = logs / "11.jsonl"
        file.write_text(file.read_text().replace('{"id": "cut\n', ""))
        expected = [one for one in expected if one[1] != "unread"]
    found = json.loads(run(engines_python, logs.parent, RECIPES[needs] + NORMALISED))
    assert [one[1:] for one in found] == [one[1:] for one in expected]
    assert {one[0] for one in found if one[1] != "unread"} == {
        one[0] for one in expected if one[1] != "unread"
    }


KILLED = """
import contextlib, io, os, pathlib, signal
from pytest_chatapi.cli.main import main
from pytest_chatapi.logs import files

rates_of_file = files.rates_of_file

def check(task):
    marker = pathlib.Path("killed")
    if task.path.endswith("04.jsonl") and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return rates_of_file(task)

def broken(task):
    if task.path.endswith("03.jsonl"):
        raise ModuleNotFoundError("No module named 'pytest_chatapi'")
    return rates_of_file(task)

if __name__ == "__main__":
    files.rates_of_file = check
    command_line = ["check", "logs", "--format", "json", "-o", "rates.json"]
    START
    assert main([*command_line, "--engine", "ENGINE", *address]) == 2  # a row cannot be read
    assert pathlib.Path("killed").exists()
    files.rates_of_file = broken
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        assert main([*command_line[:-1], "other.json", "--engine", "ENGINE", *address]) == 2
    reason = "a worker failed: ModuleNotFoundError: No module named 'pytest_chatapi'"
    line = [line for line in errors.getvalue().splitlines() if "03.jsonl" in line][0]
    assert line.endswith(f"03.jsonl: --engine ENGINE: {reason}"), line
    files.rates_of_file = rates_of_file
    assert main([*command_line[:-1], "here.json", "--rates", "--jobs", "1"]) == 2
    END
    print("done")
"""
CLUSTERS = {
    "dask": (
        "from distributed import LocalCluster; cluster = LocalCluster(n_workers=2,"
        " threads_per_worker=1, dashboard_address=None);"
        " address = ['--address', cluster.scheduler_address]",
        "cluster.close()",
    ),
    "ray": (
        "import ray; ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False);"
        " address = []",
        "ray.shutdown()",
    ),
}


@pytest.mark.parametrize("engine", CLUSTERS)
def test_a_worker_that_dies_loses_and_doubles_nothing(
    engine: str, engines_python: Path, logs: Path
) -> None:
    start, end = CLUSTERS[engine]
    code = KILLED.replace("START", start).replace("END", end).replace("ENGINE", engine)
    assert run(engines_python, logs.parent, code) == "done"
    rates = (logs.parent / "rates.json").read_text()
    assert json.loads(rates)["rows"] == 600
    assert rates == (logs.parent / "here.json").read_text()


STORE = """
import os, pathlib
from pytest_chatapi.cli.main import main

START
for file in pathlib.Path("logs").iterdir():
    put(str(file), f"bucket/litellm/{file.name}")

def rates(*arguments):
    main(["check", "--format", "json", "-o", "rates.json", *arguments])
    return pathlib.Path("rates.json").read_text()

first = rates("SCHEME://bucket/litellm", "--state", "state")
assert first.replace("SCHEME://bucket/litellm/", "logs/") == rates("logs", "--rates")
assert first == rates("SCHEME://bucket/litellm/*.jsonl", "--state", "state", "--jobs", "2")
assert len(pathlib.Path("state").read_text().splitlines()) == 12
put("logs/00.jsonl", "bucket/litellm/01.jsonl")
rates("SCHEME://bucket/litellm", "--state", "state")
assert len(pathlib.Path("state").read_text().splitlines()) == 13
server.stop()
print("done")
"""
STORES = {
    "s3": """
from moto.server import ThreadedMotoServer
import s3fs
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
system = s3fs.S3FileSystem()
system.mkdir("bucket")
put = system.put
""",
    "gs": """
from gcp_storage_emulator.server import create_server
import gcsfs
server = create_server("127.0.0.1", 0, in_memory=True)
server.start()
host, port = server._api._httpd.server_address
os.environ["STORAGE_EMULATOR_HOST"] = f"http://{host}:{port}"
system = gcsfs.GCSFileSystem(project="p")
system.mkdir("bucket")
put = system.put
""",
}


@pytest.mark.parametrize("scheme", STORES)
def test_logs_in_an_object_store(scheme: str, engines_python: Path, logs: Path) -> None:
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "FSSPEC_GS_TOKEN": "anon",
        # Otherwise gcsfs asks for the kind of the bucket by gRPC, which the emulator has not.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    code = STORE.replace("START", STORES[scheme]).replace("SCHEME", scheme)
    assert run(engines_python, logs.parent, code, **settings) == "done"
