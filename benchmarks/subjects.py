"""The environments that are compared, the made-up machines they run in, and how a piece of code is run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIBRARIES = ("requests", "httpx", "httpx2", "aiohttp", "truststore")
EXPLICIT = "import truststore; truststore.inject_into_ssl()"
BARE, OURS, OFF, BY_HAND = "bare", "truststore-inject", "opted out", "truststore by hand"
SUBJECTS = {
    BARE: (),
    OURS: (str(HERE.parent),),
    OFF: (str(HERE.parent),),
    "auto-truststore": ("auto-truststore",),
    "pip-system-certs": ("pip-system-certs",),
    BY_HAND: (),
}
PEERS = tuple(SUBJECTS)[3:]
# Of a base interpreter, which has no libraries.
BASE, RUN, COMMAND = "base enable", "under run", "the command run itself"

# Programs, each started anew; their argument is a URL.
STARTS = {
    "python -c pass": "pass",
    "import ssl": "import ssl",
    "import requests": "import requests",
    "import aiohttp": "import aiohttp",
    "import httpx": "import httpx",
    "import httpx2": "import httpx2",
    "one-shot requests.get": "import requests, sys; requests.get(sys.argv[1])",
    "one-shot urlopen": "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).close()",
}
# Where the store is, and what REQUESTS_CA_BUNDLE names.
DIRECTORY, BUNDLE = "directory", "bundle"
SYSTEMS, OWN = "REQUESTS_CA_BUNDLE: the system's bundle", "REQUESTS_CA_BUNDLE: a bundle of one's own"


@dataclass
class Subject:
    """A Python to measure."""

    name: str
    python: str
    variables: dict[str, str] = field(default_factory=dict)
    launcher: tuple[str, ...] = ()  # what starts it; by default it itself

    def environment(self, **variables: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], **self.variables, **variables}

    def command(self, code: str, *arguments: object) -> list[str]:
        """A program with `code`; where there is no TLS nobody names truststore by hand."""
        code = f"{EXPLICIT}\n{code}" if self.name == BY_HAND and code != "pass" else code
        return [*(self.launcher or (self.python,)), "-c", code, *map(str, arguments)]

    def trace(self, code: str, log: Path) -> dict[str, int]:
        """The system calls and the files opened in ``python -c code``, counted by strace, and the modules loaded."""
        env = self.environment()
        subprocess.run(["strace", "-f", "-qq", "-o", log, *self.command(code)], check=True, env=env)
        calls = log.read_text(errors="replace").splitlines()
        opened = [line for line in calls if " open" in line and " = -1 " not in line]
        modules = subprocess.check_output(self.command(f"{code}\nimport sys\nprint(len(sys.modules))"), env=env)
        return {"modules": int(modules), "system calls": len(calls), "files opened": len(opened)}


@dataclass
class Bench:
    """All that is made for one Python: its subjects and the made-up machines, with a TLS server beside them."""

    folder: Path
    machines: dict[str, list[str]]  # the command that runs another one there
    url: str
    tools: Path
    subjects: list[Subject]
    bases: list[Subject]
    anchors: int

    def place(self, name: str) -> tuple[list[str], dict[str, str]]:
        """`name` is one of the four above, or a machine.  The command that runs another one there, and variables."""
        bundles = {SYSTEMS: "/etc/ssl/certs/ca-certificates.crt", OWN: str(self.folder / "own.pem")}
        variables = {"REQUESTS_CA_BUNDLE": bundles[name]} if name in bundles else {}
        return self.machines[DIRECTORY if name in bundles else name], variables

    def output(self, subject: Subject, code: str, *arguments: object) -> str:
        command = [*self.machines[DIRECTORY], *subject.command(code, *arguments)]
        return subprocess.check_output(command, env=subject.environment(), text=True).strip()


class Worker:
    """A process of `subject` that runs an operation of operations.py when it is told to, so that turns can be short."""

    def __init__(self, bench: Bench, subject: Subject, operation: str, place: str = DIRECTORY) -> None:
        machine, variables = bench.place(place)
        program = subject.command(STARTS[operation], bench.url) if operation in STARTS else []
        code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
        worker = Subject(subject.name, subject.python).command(
            code, HERE / "operations.py", operation, bench.url, bench.folder / "own.pem", *program
        )
        self.subject, self.operation = subject, operation
        temporary = tempfile.mkdtemp(dir=bench.folder)
        self._process = subprocess.Popen(
            [*machine, *worker],
            env=subject.environment(TMPDIR=temporary, **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, repetitions: int) -> Any:
        """What operations.py says; see there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(repetitions, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.subject.name}: {self.operation!r} failed")
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self.subject.name}: {self.operation!r} ended with {self._process.returncode}")


def venv(python: str | Path, folder: Path, *options: str) -> Path:
    subprocess.run([python, "-m", "venv", *options, folder], check=True)
    return folder / "bin" / "python"


@contextmanager
def bench(python: str, folder: Path, names: Iterable[str], sizes: Iterable[int] = ()) -> Iterator[Bench]:
    """Everything for that Python, in `folder`, a new one; packages come from the index."""
    folder.mkdir()
    pip = venv(sys.executable, folder / "pip")
    compiling = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def install(target: Path, *packages: str) -> Path:
        command = [pip, "-m", "pip", "--python", target, "install", "-qq", "--disable-pip-version-check", *packages]
        subprocess.run(command, check=True, env=compiling)
        return target

    install(pip, "--upgrade", "pip")  # a new Python needs a new one
    tools = install(venv(python, folder / "tools", "--without-pip"), "trustme", "pytest", "matplotlib")

    def subject(name: str) -> Subject:
        target = install(venv(python, folder / name, "--without-pip"), *LIBRARIES, *SUBJECTS[name])
        return Subject(name, str(target), {"TRUSTSTORE_INJECT": "0"} if name == OFF else {})

    with ThreadPoolExecutor(2) as pool:
        subjects = list(pool.map(subject, names))
    made = json.loads(subprocess.check_output([tools, HERE / "layouts.py", folder, *map(str, sizes)], text=True))
    for one in subjects:
        if one.name != OURS:  # everybody else's requests and httpx trust what is in certifi's bundle
            (bundle,) = Path(one.python).parent.parent.glob("lib/python*/site-packages/certifi/cacert.pem")
            with bundle.open("ab") as file:
                file.write((folder / "ca.pem").read_bytes())
    ours = next(one.python for one in subjects if one.name == OURS)
    command = [sys.executable, HERE / "server.py", folder / "server.pem"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"https://localhost:{int(server.stdout.readline())}/"
            bases = base_subjects(ours, *made["bases"])
            yield Bench(folder, made["machines"], url, tools, subjects, bases, made["anchors"])
        finally:
            server.terminate()


def base_subjects(ours: str, stock: str, covered: str) -> list[Subject]:
    """A base interpreter as it is, covered by ``base``, and under ``run``."""
    command = str(Path(ours).with_name("truststore-inject"))
    subprocess.run([command, "base", "enable", "--python", covered], check=True, stdout=subprocess.DEVNULL)
    env = {"PATH": os.environ["PATH"]}
    dump = "import json, os; print(json.dumps({n: v for n, v in os.environ.items() if n != 'PATH'}))"
    variables = json.loads(subprocess.check_output([command, "run", stock, "-c", dump], env=env))
    return [
        Subject(BARE, stock),
        Subject(BASE, covered),
        Subject(RUN, stock, variables),
        Subject(COMMAND, stock, launcher=(command, "run", stock)),
    ]
