"""The environments that are compared, and how a piece of code is run in one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIBRARIES = ("requests", "httpx", "aiohttp")
EXPLICIT = "import truststore; truststore.inject_into_ssl()"
BARE, OURS, OFF, BY_HAND = "bare", "truststore-inject", "opted out", "truststore by hand"
SUBJECTS = {
    BARE: (),
    OURS: (str(HERE.parent),),
    OFF: (str(HERE.parent),),
    "auto-truststore": ("auto-truststore",),
    "pip-system-certs": ("pip-system-certs",),
    BY_HAND: ("truststore",),
}
PEERS = tuple(SUBJECTS)[3:]


def make_environment(folder: Path, *packages: str) -> Path:
    """A virtual environment with `packages`, byte code compiled; its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    subprocess.run(command, check=True, env=env)
    return python


@dataclass
class Subject:
    """One environment.  The libraries' requests go to a store that `store` names, in OpenSSL's variables."""

    name: str
    python: Path
    store: dict[str, str] = field(default_factory=dict)

    def variables(self, store: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {"TRUSTSTORE_INJECT": "0"} if self.name == OFF else {}
        return {"PATH": os.environ["PATH"], **(self.store if store is None else store), **own}

    def code(self, code: str) -> str:
        """`code` as a program with this subject starts; where there is no TLS nobody names truststore by hand."""
        return f"{EXPLICIT}\n{code}" if self.name == BY_HAND and code != "pass" else code

    @property
    def bundle(self) -> Path:
        """That of its certifi."""
        (bundle,) = self.python.parent.parent.glob("lib/python*/site-packages/certifi/cacert.pem")
        return bundle

    def output(self, code: str, *arguments: object) -> str:
        command = [self.python, "-c", self.code(code), *map(str, arguments)]
        return subprocess.run(
            command, check=True, env=self.variables(), stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def start(self, code: str) -> tuple[float, float]:
        """Seconds of CPU (user and system) and of wall time that ``python -c code`` takes."""
        arguments = [str(self.python), "-c", self.code(code)]
        began = time.perf_counter()
        child = os.posix_spawn(self.python, arguments, self.variables({}))
        _, status, usage = os.wait4(child, 0)
        wall = time.perf_counter() - began
        if status:
            raise RuntimeError(f"{self.name}: {code!r} ended with status {status}")
        return usage.ru_utime + usage.ru_stime, wall

    def trace(self, code: str, log: Path) -> dict[str, int]:
        """The system calls and the files opened in ``python -c code``, counted by strace, and the modules loaded."""
        command = ["strace", "-f", "-qq", "-o", log, self.python, "-c", self.code(code)]
        subprocess.run(command, check=True, env=self.variables({}))
        calls = log.read_text(errors="replace").splitlines()
        opened = [line for line in calls if " open" in line and " = -1 " not in line]
        modules = subprocess.check_output(
            [self.python, "-c", f"{self.code(code)}\nimport sys\nprint(len(sys.modules))"], env=self.variables({})
        )
        return {"modules": int(modules), "system calls": len(calls), "files opened": len(opened)}


class Worker:
    """A process of `subject` that runs an operation of operations.py when it is told to, so that turns can be short."""

    def __init__(self, subject: Subject, *arguments: object, store: Mapping[str, str] | None = None) -> None:
        code = subject.code("import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')")
        command = [subject.python, "-c", code, HERE / "operations.py", *map(str, arguments)]
        self.subject = subject
        self._process = subprocess.Popen(
            command, env=subject.variables(store), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, repetitions: int) -> Any:
        """What operations.py says; see there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(repetitions, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.subject.name}: the operation failed")
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self.subject.name}: the operation ended with status {self._process.returncode}")
