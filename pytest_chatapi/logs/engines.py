"""Who checks the files of a log: processes of this machine, or a cluster that is already there.

A file is a task, and its result depends on the file alone. So a task that was lost with its worker
is done again by the engine, and what it had counted is in no result.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from itertools import islice
from typing import Any

from pytest_chatapi import __version__
from pytest_chatapi.errors import KILLED, ReadError, SettingError
from pytest_chatapi.logs.files import FilePart, FileTask
from pytest_chatapi.logs.rates import Rates

__all__ = ["ENGINES", "results"]

_Check = Callable[[FileTask], FilePart]
_Results = Iterator[tuple[FileTask, FilePart]]

_WAITING = 4
"""Tasks for each worker that are handed out ahead, so that none is idle and few are in memory."""


def results(
    tasks: Sequence[FileTask], check: _Check, *, engine: str, address: str | None, jobs: int
) -> _Results:
    """The result of each task, as they are done: an error where an engine has none, or one of a
    worker with another version.

    Args:
        engine: one of `ENGINES`; empty for this machine.
        address: of the cluster; ``None`` for what the engine starts by itself.
        jobs: number of processes on this machine.

    Raises:
        SettingError: the engine is not installed, or not reachable; or processes are killed, those
            that replace a killed one too.
    """
    if engine:
        _require_reachable(engine, address)
        return _one_of_each(tasks, ENGINES[engine](tasks, check, address), engine)
    if jobs < 2:
        return ((task, check(task)) for task in tasks)
    return _in_processes(tasks, check, jobs)


def _one_of_each(tasks: Sequence[FileTask], done: _Results, engine: str) -> _Results:
    left = {(task.path, task.share): task for task in tasks}
    for task, part in done:
        if not isinstance(part, FilePart) or left.pop((task.path, task.share), None) is None:
            continue
        if part.version != __version__:
            there = part.version or "another version"
            reason = f"checked by pytest-chatapi {there} on a worker, {__version__} is here"
            part = _failed(task, f"--engine {engine}: {reason}")
        yield task, part
    for task in left.values():
        yield task, _failed(task, f"--engine {engine}: no worker returned a result")


def _result(task: FileTask, get: Callable[[], FilePart], engine: str) -> FilePart:
    try:
        return get()
    except Exception as error:  # of any kind, such as that the package is not there
        cause = getattr(error, "cause", None) or error  # Ray's own has a traceback as its text
        reason = f"a worker failed: {type(cause).__name__}: {_first(cause)}"
        return _failed(task, f"--engine {engine}: {reason}")


def _failed(task: FileTask, reason: str) -> FilePart:
    return FilePart(Rates(), [ReadError(task.name, "", reason)], version=__version__)


def _in_processes(tasks: Sequence[FileTask], check: _Check, jobs: int) -> _Results:
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    left = dict(enumerate(tasks))
    for is_last in (False, True):
        try:
            with ProcessPoolExecutor(jobs) as pool:
                waiting = iter(list(left))
                under_way: dict[Any, int] = {}
                while left:
                    for number in islice(waiting, jobs * _WAITING - len(under_way)):
                        under_way[pool.submit(check, left[number])] = number
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        part = future.result()
                        yield left.pop(under_way.pop(future)), part
        except BrokenProcessPool:
            if is_last:
                raise SettingError(KILLED) from None


def _dask(tasks: Sequence[FileTask], check: _Check, address: str | None) -> _Results:
    distributed = _imported("distributed", "dask", "'dask[distributed]'")
    try:
        options = {"address": address, "timeout": _PATIENCE} if address else {}
        client = distributed.Client(**options)
    except Exception as error:  # of any kind, where something else answers
        raise SettingError(f"--engine dask: no cluster at {address}: {_first(error)}") from None
    with client:
        waiting = iter(tasks)
        under_way: dict[Any, FileTask] = {}
        done = distributed.as_completed()

        def submit() -> None:
            task = next(waiting, None)
            if task is not None:
                # `pure` would take the result of an equal task that is still in memory.
                future = client.submit(check, task, pure=False)
                under_way[future.key] = task
                done.add(future)

        for _ in range(max(1, len(client.ncores())) * _WAITING * 4):
            submit()
        for future in done:
            task = under_way.pop(future.key)
            yield task, _result(task, future.result, "dask")
            submit()


def _ray(tasks: Sequence[FileTask], check: _Check, address: str | None) -> _Results:
    ray = _imported("ray", "ray", "ray")
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingError(f"--engine ray: no cluster at {address}: {_first(error)}") from None
    try:
        # Only a lost worker is tried again: what a check raises, it would raise again.
        remote = ray.remote(max_retries=-1)(check)
        waiting = iter(tasks)
        under_way: dict[Any, FileTask] = {}
        most = max(1, int(ray.cluster_resources().get("CPU", 1))) * _WAITING
        while True:
            while len(under_way) < most and (task := next(waiting, None)) is not None:
                under_way[remote.remote(task)] = task
            if not under_way:
                return
            done, _ = ray.wait(list(under_way), num_returns=1)
            for reference in done:
                task = under_way.pop(reference)
                yield task, _result(task, partial(ray.get, reference), "ray")
    finally:
        if is_ours:
            ray.shutdown()


_HOST = re.compile(r"(?:\w+://)?\[?([\w.:-]+?)\]?:(\d{1,5})")
_PATIENCE = 10.0  # seconds


def _require_reachable(engine: str, address: str | None) -> None:
    """Look whether a cluster listens: for anything else, Ray would try for minutes, and Dask for
    ever. Both greet whoever connects, except with TLS.

    Raises:
        SettingError: none does.
    """
    match = _HOST.fullmatch(address or "")
    if match is None:
        return
    is_plain = not (address or "").startswith("tls") and not os.environ.get("RAY_USE_TLS")
    try:
        with socket.create_connection((match[1], int(match[2])), _PATIENCE) as connection:
            greeting = connection.recv(8, socket.MSG_WAITALL) if is_plain else b""
    except (OSError, OverflowError) as error:
        reason = _first(error).partition("] ")[2] or _first(error)
        raise SettingError(f"--engine {engine}: no cluster at {address}: {reason}") from None
    if is_plain and not _GREETINGS[engine](greeting):
        reason = f"something else than {engine.capitalize()} listens there"
        raise SettingError(f"--engine {engine}: no cluster at {address}: {reason}")


_GREETINGS: dict[str, Callable[[bytes], bool]] = {
    # The number of bytes that follow, in eight bytes.
    "dask": lambda data: len(data) == 8 and int.from_bytes(data, "little") < 2**32,
    # SETTINGS of HTTP/2, which gRPC begins with.
    "ray": lambda data: data[3:4] == b"\x04",
}


def _imported(name: str, engine: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise SettingError(f"--engine {engine}: pip install {package}") from None


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


ENGINES: dict[str, Callable[[Sequence[FileTask], _Check, str | None], _Results]] = {
    "dask": _dask,
    "ray": _ray,
}
