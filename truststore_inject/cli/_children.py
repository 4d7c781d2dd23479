"""Child processes: interpreters that answer a question."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ._terminal import Progress

# With -c the current directory is first on sys.path, and anybody may have left a json.py there.  (-P: Python 3.11.)
_START = "import sys; sys.path[:] = filter(None, sys.path)\n"


class NoAnswer(Exception):
    """The child printed no JSON; `str` says why."""


def ask(
    code: str,
    *arguments: str,
    env: Mapping[str, str],
    limit: float,
    python: str = sys.executable,
    options: Sequence[str] = (),
    cwd: str | None = None,
) -> Any:
    """The JSON value on the last line that `code` prints.  `limit` is in seconds.  Raises `NoAnswer`, or `OSError` if
    that interpreter cannot be started.

    Nothing of the current directory runs in it, though it may be one of `PYTHONPATH`'s empty entries.
    """
    env = dict(env)
    if "PYTHONPATH" in env:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, env["PYTHONPATH"].split(os.pathsep)))
    try:
        child = subprocess.run(
            [python, *options, "-c", _START + code, *arguments],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=False,
        )
        return json.loads(child.stdout.decode(errors="replace").rstrip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"no answer within {limit:g} seconds") from None
    except ValueError:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise NoAnswer(lines[-1] if lines else f"it ended with code {child.returncode}") from None


def in_parallel(tasks: Iterable[tuple[str, Callable[[], Any]]]) -> list[Any]:
    """Run the tasks, a few at a time, as most of them wait.  Return their results, in order; their names are shown."""
    tasks = list(tasks)
    with Progress() as progress, ThreadPoolExecutor(max(4, min(8, os.cpu_count() or 1))) as pool:
        futures = [pool.submit(function) for _, function in tasks]
        results = []
        for number, (future, (name, _)) in enumerate(zip(futures, tasks, strict=True), 1):
            progress.text = f"{number} of {len(tasks)}: {name}"
            results.append(future.result())
    return results
