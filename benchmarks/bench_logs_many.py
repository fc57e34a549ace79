"""What the rates of a large log cost and whether they are right: 10 million rows, planted faults.

    python benchmarks/bench_logs_many.py [--rows N] [--folder DIR] [--jobs N] [--write] [--check]

Rows are LiteLLM's, made of 1,050 exchanges of `bench_logs`, and for one model recorded streams,
made of 1,000 (and of 1,000 others without their end). Each has an id, a time and a number of its
own; one in ten files is compressed. Faults are planted at random with the rates of `PLANTED`, and
counted. The log is kept in the folder, and what was measured as well: a second call goes on where
the first one ended. A row takes about 1 kB of disk.

CPU is that of all processes, in user and system mode; memory the sum of their resident sets, twice
a second, in which Arrow comes with the first compressed file. The peers read the same bytes:
`json.loads` as in `bench_logs`, and DuckDB, which counts rows by provider and model.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BufferedReader
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import NamedTuple

import bench_logs
import table
from bench_logs import JSONObject, applications, plain_pair, structured_pair, tools_pair
from table import ROOT, Row

sys.path.insert(0, str(ROOT))

from pytest_chatapi.contract.wording import plural
from pytest_chatapi.logs.rates import Rate

FIRST_DAY = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 20
FILES = 100
PAIRS = 1000  # of each kind
OPENAI, VLLM, PROXY = "api.openai.com", "vllm-prod:8000", "llm.example.com"

TRAFFIC = {  # parts of all rows
    (OPENAI, "gpt-5.4"): 0.35,
    (OPENAI, "gpt-5.2"): 0.20,
    (VLLM, "qwen3-8b"): 0.20,
    (VLLM, "qwen3-32b"): 0.05,
    (PROXY, "llama-3.3-70b"): 0.12,
    (PROXY, "mistral-small"): 0.08,
}
STREAMED = (VLLM, "qwen3-32b")


class Plant(NamedTuple):
    """A fault, and its rate before and from a day on (counted from 0)."""

    code: str
    provider: str
    model: str
    before: float
    day: int = 0
    after: float = 0.0

    def rate(self, day: int) -> float:
        return self.after if self.day and day >= self.day else self.before


PLANTED = [
    Plant("U02", VLLM, "qwen3-8b", 0.002, 5, 0.018),
    Plant("S07", VLLM, "qwen3-8b", 0.001),
    Plant("T08", *STREAMED, 0.0, 10, 0.03),
    Plant("U02", PROXY, "llama-3.3-70b", 0.0005),
    Plant("C03", PROXY, "llama-3.3-70b", 0.003),
    Plant("J02", PROXY, "mistral-small", 0.004, 14, 0.001),
    Plant("C04", PROXY, "mistral-small", 0.0025),
    Plant("S06", OPENAI, "gpt-5.2", 0.0001),
]


# --- faults -----------------------------------------------------------------------------------


def wrong_total(response: JSONObject) -> None:
    response["usage"]["total_tokens"] += 1


def unknown_finish(response: JSONObject) -> None:
    response["choices"][0]["finish_reason"] = "eos"


def wrong_index(response: JSONObject) -> None:
    response["choices"][0]["index"] = 1


def calls(response: JSONObject) -> list[JSONObject]:
    found: list[JSONObject] = response["choices"][0]["message"]["tool_calls"]
    return found


def cut_arguments(response: JSONObject) -> None:
    function = calls(response)[0]["function"]
    function["arguments"] = function["arguments"][:-1]


def no_call_id(response: JSONObject) -> None:
    calls(response)[0]["id"] = ""


def missing_member(response: JSONObject) -> None:
    message = response["choices"][0]["message"]
    value = json.loads(message["content"])
    del value[next(iter(value))]
    message["content"] = json.dumps(value)


FAULTS: dict[str, tuple[str, Callable[[JSONObject], None]]] = {
    "U02": ("plain", wrong_total),
    "S07": ("plain", unknown_finish),
    "S06": ("plain", wrong_index),
    "C03": ("tools", cut_arguments),
    "C04": ("tools", no_call_id),
    "J02": ("structured", missing_member),
}


# --- rows -------------------------------------------------------------------------------------

# What each row has of its own, in the order of `Templates.line`.
PLACES = ("@MODEL@", "@HOST@", "@ID@", "@TIME@", "@NUMBER@")


def litellm_line(request: JSONObject, response: JSONObject) -> str:
    request, response = copy.deepcopy(request), copy.deepcopy(response)
    request["messages"][-1]["content"] = f"Ticket @NUMBER@: {bench_logs.text(WORDING, 60)}"
    response |= {"id": "@ID@", "model": "@MODEL@", "created": "@TIME@"}
    response["usage"] = {k: n for k, n in response["usage"].items() if isinstance(n, int)}
    for name in ("model", "user"):
        request.pop(name, None)
    row = {
        "id": "@ID@",
        "call_type": "acompletion",
        "status": "success",
        "model": "@MODEL@",
        "api_base": "https://@HOST@/v1",
        "startTime": "@TIME@",
        "messages": request.pop("messages"),
        "model_parameters": request,
        "response": response,
    }
    return json.dumps(row, separators=(",", ":")).replace('"@TIME@"', "@TIME@")


def stream_line(rng: random.Random, *, is_done: bool) -> str:
    """Eight chunks, with or without the event that ends a stream."""
    head = {"id": "@ID@", "object": "chat.completion.chunk", "created": "@TIME@"}
    head["model"] = "@MODEL@"
    deltas: list[JSONObject] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f" {bench_logs.text(rng, 20)}"} for _ in range(5)]
    chunks: list[JSONObject] = []
    for delta in (*deltas, {}):
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        chunks.append({**head, "choices": [choice]})
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    prompt, completion = rng.randint(20, 900), rng.randint(10, 40)
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    counts["total_tokens"] = prompt + completion
    chunks.append({**head, "choices": [], "usage": counts})
    dumped = (json.dumps(chunk, separators=(",", ":")) for chunk in chunks)
    body = "".join(f"data: {one}\n\n" for one in dumped)
    body = body.replace('"@TIME@"', "@TIME@") + ("data: [DONE]\n\n" if is_done else "")
    request = {
        "model": "@MODEL@",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": f"Ticket @NUMBER@: {bench_logs.text(rng, 80)}"}],
    }
    row = {
        "request": {
            "method": "POST",
            "url": "https://@HOST@/v1/chat/completions",
            "body": json.dumps(request),
        },
        "response": {
            "status": 200,
            "headers": {"content-type": "text/event-stream; charset=utf-8"},
            "body": body,
        },
    }
    return json.dumps(row)


WORDING = random.Random(0)
Template = tuple[list[str], list[int]]


def as_template(line: str) -> Template:
    """The texts between places, and the places (as positions in `PLACES`)."""
    texts, places = [], []
    rest = line
    while at := [(rest.index(place), n) for n, place in enumerate(PLACES) if place in rest]:
        start, number = min(at)
        texts.append(rest[:start])
        places.append(number)
        rest = rest[start + len(PLACES[number]) :]
    return [*texts, rest + "\n"], places


def templates(rng: random.Random) -> dict[str, list[Template]]:
    """Rows without a fault as ``""``, streams as ``stream``, and those with one by its code."""
    bench_logs.TEXT_SIZE = 0.1
    schemas = applications(rng)
    makes = {"plain": plain_pair, "structured": structured_pair, "tools": tools_pair}
    pairs = {
        kind: [make(rng, schemas) for _ in range(PAIRS if kind == "plain" else PAIRS // 40)]
        for kind, make in makes.items()
    }
    made = {"": [as_template(litellm_line(*pair)) for of in pairs.values() for pair in of]}
    for code, (kind, spoil) in FAULTS.items():
        spoilt = []
        for request, response in pairs[kind]:
            response = copy.deepcopy(response)
            spoil(response)
            spoilt.append(as_template(litellm_line(request, response)))
        made[code] = spoilt
    for name, is_done in (("stream", True), ("T08", False)):
        made[name] = [as_template(stream_line(rng, is_done=is_done)) for _ in range(PAIRS)]
    return made


def filled(template: Template, values: tuple[str, ...]) -> str:
    texts, places = template
    parts = [texts[0]]
    for text, place in zip(texts[1:], places, strict=True):
        parts += values[place], text
    return "".join(parts)


def generate(folder: Path, rows: int) -> None:
    """Write the files of the log, and ``planted.json`` with the faults in each."""
    rng = random.Random(7)
    made = templates(rng)
    models = [*TRAFFIC]
    edges = [*accumulate(TRAFFIC.values())]
    truth: dict[str, JSONObject] = {}
    per_file = rows // FILES
    for number in range(FILES):
        day = number % DAYS
        begin = (FIRST_DAY + timedelta(day)).timestamp()
        draws = {
            model: [(p.code, p.rate(day)) for p in PLANTED if (p.provider, p.model) == model]
            for model in models
        }
        counts: Counter[str] = Counter()
        lines = []
        for at in range(per_file):
            provider, model = models[min(bisect_right(edges, rng.random()), len(models) - 1)]
            code = "stream" if (provider, model) == STREAMED else ""
            draw = rng.random()
            for planted, rate in draws[provider, model]:
                if draw < rate:
                    code = planted
                    break
                draw -= rate
            key = "" if code == "stream" else code
            counts[f"{provider} {model} {key}"] += 1
            moment = int(begin + at * 86_400 / per_file)
            name = f"chatcmpl-{rng.getrandbits(96):024x}"
            values = (model, provider, name, str(moment), str(number * per_file + at))
            lines.append(filled(rng.choice(made[code]), values))
        file = folder / f"{FIRST_DAY + timedelta(day):%Y-%m-%d}-{number // DAYS}.jsonl"
        data = "".join(lines).encode()
        if number % 10 == 9:
            import zstandard

            file = file.with_suffix(".jsonl.zst")
            data = zstandard.compress(data)
        file.write_bytes(data)
        truth[file.name] = {"day": day, "counts": counts}
    (folder / "planted.json").write_text(json.dumps({"rows": rows, "files": truth}))


# --- measuring --------------------------------------------------------------------------------


def files_of(folder: Path) -> list[Path]:
    """In the order in which they were written: one of each day, then the next of each."""
    truth = json.loads((folder / "planted.json").read_text())
    return [folder / name for name in truth["files"]]


def sizes(folder: Path) -> dict[int, slice]:
    """The files of each part of the log that is measured: one, ten and all, by the rows in them."""
    rows, files = rows_of(folder), len(files_of(folder))
    return {rows // files: slice(1), rows // files * 10: slice(10), rows: slice(None)}


def rows_of(folder: Path) -> int:
    rows: int = json.loads((folder / "planted.json").read_text())["rows"]
    return rows


def resident(root: int) -> int:
    """Bytes of a process and its children, at this moment."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    waiting, total = [root], 0
    while waiting:
        pid = waiting.pop()
        waiting += parents.get(pid, [])
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def watched(command: list[str]) -> JSONObject:
    """Run a command: its time, its CPU time in seconds, and samples of its memory in bytes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    samples: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            samples.append((time.monotonic() - start, resident(process.pid)))
            time.sleep(0.5)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {' '.join(command)[:500]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    tenths = [
        max((size for at, size in samples if part <= at / wall * 10 < part + 1), default=None)
        for part in range(10)
    ]
    return {"wall": wall, "cpu": cpu, "memory": tenths, "load": os.getloadavg()[1]}


def check(folder: Path, files: list[Path], jobs: int) -> JSONObject:
    report, state = folder / f"rates-{len(files)}.json", folder / f"state-{len(files)}.jsonl"
    state.unlink(missing_ok=True)
    options = ["--isolated", "--jobs", str(jobs), "--max-rate", "100%", "--state", str(state)]
    options += ["--format", "json", "--output", str(report)]
    return python(_CHECK, ["check", *options, *map(str, files)])


_CHECK = """
import sys
from pytest_chatapi.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""

_LOAD = """
import sys
from pathlib import Path
from bench_logs import load
from bench_logs_many import lines_of
for file in sys.argv[1:]:
    for lines in lines_of(Path(file)):
        load(lines)
"""

_DUCKDB = """
import duckdb, sys
duckdb.sql("SET threads = 1; SET preserve_insertion_order = false")
rows = f"read_json_objects({sys.argv[1:]!r}, format = 'newline_delimited')"
print(duckdb.sql(f"SELECT json->>'api_base', json->>'model', count(*) FROM {rows} GROUP BY ALL"))
"""


def lines_of(file: Path) -> Iterator[list[bytes]]:
    """The lines of a file, a thousand at a time."""
    import zstandard

    data = file.open("rb")
    is_packed = file.suffix == ".zst"
    with (
        BufferedReader(zstandard.ZstdDecompressor().stream_reader(data))
        if is_packed
        else data as stream
    ):
        while lines := list(islice(stream, 1000)):
            yield lines


def python(code: str, arguments: list[str]) -> JSONObject:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return watched([sys.executable, "-c", code, *arguments])


_DASK = """
import sys
from distributed import LocalCluster
from pytest_chatapi.cli.main import main
if __name__ == "__main__":
    workers, *options = sys.argv[1:]
    with LocalCluster(
        n_workers=int(workers), threads_per_worker=1, dashboard_address=None
    ) as cluster:
        status = main([*options, "--engine", "dask", "--address", cluster.scheduler_address])
    sys.exit(status)
"""


def curve(folder: Path) -> Iterator[Row]:
    """The same rows, as one file and as eight, by one and by two workers."""
    whole = files_of(folder)[0]
    pieces = folder / "pieces"
    if not pieces.exists():
        pieces.mkdir()
        with whole.open("rb") as rows:
            lines = rows.readlines()
        for at in range(8):
            part = lines[at * len(lines) // 8 : (at + 1) * len(lines) // 8]
            (pieces / f"{at}.jsonl").write_bytes(b"".join(part))
    kept = folder / "curve.json"
    found: dict[str, JSONObject] = json.loads(kept.read_text()) if kept.exists() else {}
    options = ["check", "--isolated", "--max-rate", "100%", "--format", "json", "--output"]
    reports = set()
    for what, path in (("one file", whole), ("8 files", pieces), ("8 files, Dask", pieces)):
        for workers in (1, 2):
            name = f"{what}, {plural(workers, 'worker')}"
            report = folder / "curve" / f"{name}.json"
            report.parent.mkdir(exist_ok=True)
            if name not in found:
                command = [*options, str(report), str(path)]
                if "Dask" in what:
                    found[name] = python(_DASK, [str(workers), *command])
                else:
                    found[name] = python(_CHECK, [*command, "--jobs", str(workers)])
                kept.write_text(json.dumps(found))
            one, alone = found[name], found[f"{what}, 1 worker"]
            rates = json.loads(report.read_text())
            reports.add(json.dumps([rates["rows"], [f["found"] for f in rates["findings"]]]))
            detail = f"{one['wall']:.0f} s, {one['cpu']:.1f} s of CPU: "
            detail += f"{one['cpu'] / one['wall']:.2f} processors; load {one['load']:.1f}"
            yield Row(f"{name}, CPU to 1 worker", detail, one["cpu"] / alone["cpu"], unit="x")
    yield Row(
        "reports that differ", "rows and findings", float(len(reports) - 1), 0, unit="reports"
    )


def measured(folder: Path, jobs: int) -> dict[str, JSONObject]:
    """What was measured, by name; kept in the folder."""
    kept = folder / "measured.json"
    found: dict[str, JSONObject] = json.loads(kept.read_text()) if kept.exists() else {}
    files = files_of(folder)
    for size, part in reversed(sizes(folder).items()):
        names = [str(file) for file in files[part]]
        for name, run in (
            ("check", partial(check, folder, files[part], jobs)),
            ("json.loads", partial(python, _LOAD, names)),
            ("DuckDB", partial(python, _DUCKDB, names)),
        ):
            if f"{name} {size}" not in found:
                found[f"{name} {size}"] = run()
                kept.write_text(json.dumps(found))
    return found


def planted(folder: Path) -> dict[tuple[str, str, str, int], Rate]:
    """Rows with each fault and all rows, by code, provider, model and day."""
    truth = json.loads((folder / "planted.json").read_text())
    rows: Counter[tuple[str, str, int]] = Counter()
    faults: Counter[tuple[str, str, str, int]] = Counter()
    for of_file in truth["files"].values():
        for name, count in of_file["counts"].items():
            provider, model, code = name.split(" ")
            rows[provider, model, of_file["day"]] += count
            if code:
                faults[code, provider, model, of_file["day"]] += count
    return {
        (plant.code, *where): Rate(faults[(plant.code, *where)], count)
        for where, count in sorted(rows.items())
        for plant in PLANTED
        if (plant.provider, plant.model) == where[:2]
    }


class Phase(NamedTuple):
    """A planted rate, and the days on which it was planted."""

    plant: Plant
    rate: float
    days: range


def phases() -> Iterator[Phase]:
    for plant in PLANTED:
        if plant.day:
            yield Phase(plant, plant.before, range(plant.day))
        yield Phase(plant, plant.rate(DAYS), range(plant.day, DAYS))


def right(folder: Path) -> Iterator[Row]:
    """The rates of the report beside those that were planted."""
    report = json.loads((folder / f"rates-{len(files_of(folder))}.json").read_text())
    series = {
        (one["code"], one["provider"], one["model"], one["day"]): Rate(one["found"], one["rows"])
        for one in report["series"]
        if one["level"] != "note"
    }
    truth = {
        (code, provider, model, f"{FIRST_DAY + timedelta(day):%Y-%m-%d}"): rate
        for (code, provider, model, day), rate in planted(folder).items()
    }
    inside = total = 0
    for plant, rate, days in phases():
        names = [f"{FIRST_DAY + timedelta(day):%Y-%m-%d}" for day in days]
        # Planted in all rows of a model; the report counts those that could have had the finding.
        places = [(plant.code, plant.provider, plant.model, name) for name in names]
        of_days = [Rate(series.get(place, Rate(0, 0)).found, truth[place].rows) for place in places]
        inside += sum(is_inside(rate, of_day) for of_day in of_days)
        total += len(of_days)
        found = sum(of_days, Rate(0, 0))
        low, high = found.interval
        what = f"{plant.code}, {plant.model}"
        what += f", {names[0][5:]} to {names[-1][5:]}" if len(names) < DAYS else ""
        detail = f"{found.found:,} of {found.rows:,} rows; planted {rate:.2%}, "
        detail += f"found {found.value:.4%} ({low:.4%} to {high:.4%})"
        yield Row(what, detail, float(is_inside(rate, found)), unit="inside")
    detail = f"{inside} of {total} intervals of 95%, each of a model and a day"
    yield Row("planted rates inside, by day", detail, inside / total * 100, unit="%")
    wrong = sum(
        abs(series.get(key, Rate(0, 0)).found - truth.get(key, Rate(0, 0)).found)
        for key in {*truth, *series}
    )
    detail = f"{sum(rate.found for rate in truth.values()):,} faults"
    yield Row("rows counted that have no fault, or not counted", detail, wrong, 0, unit="rows")
    named = {(one["code"], one["model"], one["day"]) for one in report["changes"]}
    true = {
        (plant.code, plant.model, f"{FIRST_DAY + timedelta(plant.day):%Y-%m-%d}")
        for plant in PLANTED
        if plant.day
    }
    detail = "; ".join(f"{code} {model} {day}" for code, model, day in sorted(named))
    yield Row("changes that are missed or wrong", detail, len(named ^ true), 0, unit="changes")


def is_inside(value: float, rate: Rate) -> bool:
    low, high = rate.interval
    return low <= value <= high


def cost(folder: Path, jobs: int) -> Iterator[Row]:
    found = measured(folder, jobs)
    first = 0.0
    peaks = []
    for size, part in sizes(folder).items():
        check, loads, duckdb = (found[f"{n} {size}"] for n in ("check", "json.loads", "DuckDB"))
        mb = sum(file.stat().st_size for file in files_of(folder)[part]) / 1e6
        a_row = check["cpu"] / size
        first = first or a_row
        peaks.append(max(filter(None, check["memory"])) / 1e6)
        detail = f"{mb:,.0f} MB; {check['cpu']:,.0f} s of CPU in {check['wall']:,.0f} s, "
        detail += f"load {check['load']:.0f}; {1 / a_row:,.0f} rows a second of CPU"
        yield Row(f"{size:,} rows: CPU a row, to the smallest", detail, a_row / first, 1.1)
        for name, peer, most in (("`json.loads`", loads, 4), ("DuckDB", duckdb, None)):
            detail = f"{check['cpu']:,.0f} vs {peer['cpu']:,.1f} s of CPU"
            yield Row(f"{size:,} rows, to {name}", detail, check["cpu"] / peer["cpu"], most)
    tenths = check["memory"]
    detail = ", ".join("?" if size is None else f"{size / 1e6:,.0f}" for size in tenths)
    detail = f"MB in each tenth of the run: {detail}"
    yield Row("memory, last tenth of the run to its middle", detail, tenths[-1] / tenths[4], 1.1)
    detail = " and ".join(f"{peak:,.0f}" for peak in peaks) + " MB"
    yield Row("peak memory, all rows to a tenth of them", detail, peaks[2] / peaks[1])


def main() -> int:
    parser = table.parser(__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/chatapi-rows"))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / "planted.json").exists():
        generate(options.folder, options.rows)
    rows = chain(cost(options.folder, options.jobs), right(options.folder), curve(options.folder))
    return table.show(rows, "bench-logs-many", options)


if __name__ == "__main__":
    sys.exit(main())
