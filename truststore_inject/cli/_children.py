"""Child processes that judge: stock and injected, each client library."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

from . import _clients
from ._target import Target, question
from ._terminal import Progress

_HANDSHAKE = "from truststore_inject.cli._target import main; main()"


def installed() -> dict[str, str]:
    """The clients of _clients.py that can be imported here, with their versions."""
    found = {}
    for name, (module, _) in _clients.CLIENTS.items():
        try:
            if importlib.util.find_spec(module) is None:
                continue
        except ImportError:
            continue
        try:
            found[name] = metadata.version(module.partition(".")[0])
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def client(
    name: str, questions: list[tuple[str, str, float]], env: Mapping[str, str], cwd: str | None = None
) -> list[tuple[str, str]]:
    """What that client says, ``(verdict, words)`` for each ``(url, trust, timeout)``."""
    limit = sum(timeout for *_, timeout in questions) + 30
    with open(_clients.__file__, encoding="utf-8") as source:
        # Over standard input, so that the folder of this file is not the first on the child's sys.path.
        answer = _run(["-", name, json.dumps(questions)], env, limit, stdin=source, cwd=cwd)
    return answer if isinstance(answer, list) else [("error", answer)] * len(questions)


def handshake(target: Target, timeout: float, env: Mapping[str, str]) -> dict[str, Any]:
    """What `ssl.create_default_context` says in an interpreter with that environment."""
    answer = _run(["-c", _HANDSHAKE, question(target, timeout)], env, timeout * 2 + 30)
    return (
        answer
        if isinstance(answer, dict)
        else {"verdict": "error", "code": 0, "words": answer, "chain": [], "path": []}
    )


def _run(arguments: list[str], env: Mapping[str, str], limit: float, **options: Any) -> Any:
    """The JSON value that the child prints; `str`, the reason, if it prints none."""
    try:
        child = subprocess.run(
            [sys.executable, *arguments], env=dict(env), capture_output=True, timeout=limit, check=False, **options
        )
        return json.loads(child.stdout.decode(errors="replace").rpartition("\n")[0].rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        return f"no answer within {limit:g} seconds"
    except ValueError:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {child.returncode}"


def in_parallel(tasks: Iterable[tuple[str, Callable[[], Any]]]) -> list[Any]:
    """Run the tasks, as many at a time as there are processors; their results, in order.  Their names are shown."""
    tasks = list(tasks)
    with Progress() as progress, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(function) for _, function in tasks]
        results = []
        for number, (future, (name, _)) in enumerate(zip(futures, tasks, strict=True), 1):
            progress.text = f"{number} of {len(tasks)}: {name}"
            results.append(future.result())
    return results
