"""Commands of truststore-inject in child processes, and servers for them that speak as they like."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Venv, environment, run
from servers import Acceptor, Server, server_context

NO_PROXY = {"NO_PROXY": "*"}
NOT_UTF8 = b"/\xff\xfe.pem".decode("utf-8", "surrogateescape")
unix = pytest.mark.skipif(os.name == "nt", reason="there are no such links and modes")


def command(
    *arguments: str | os.PathLike[str], env: dict[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    return run("-m", "truststore_inject", *arguments, env=env, **options)


def failure(*arguments: str, env: dict[str, str], code: int) -> str:
    """The one line on standard error."""
    result = command(*arguments, env=env)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def report(*arguments: str | os.PathLike[str], env: dict[str, str], code: int = 0) -> Any:
    result = command(*arguments, "--json", env=env)
    assert (result.returncode, result.stderr) == (code, ""), result.stderr
    return json.loads(result.stdout)


def diagnosis(url: str, *arguments: str, env: dict[str, str], code: int = 0) -> Any:
    (found,) = report("check", url, *arguments, env=env, code=code)
    return found


@contextlib.contextmanager
def speaking(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that answers each connection with that function."""

    def patient(connection: socket.socket) -> None:
        connection.settimeout(20)
        answer(connection)

    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    with contextlib.closing(Acceptor(listener, patient)):
        yield port


def on_a_terminal(*arguments: str, env: dict[str, str]) -> tuple[int, bytes, bytes]:
    """The exit code, and what a terminal shows of standard output and of standard error."""
    pty = pytest.importorskip("pty", reason="there is no pty on Windows")
    screens = [pty.openpty(), pty.openpty()]
    (_, stdout), (_, stderr) = screens
    command = [sys.executable, "-m", "truststore_inject", *arguments]
    process = subprocess.Popen(command, env={**env, "TERM": "xterm"}, stdout=stdout, stderr=stderr)
    for _, child in screens:  # before anything is read: macOS closes the last one only when all was read
        os.close(child)
    shown = []
    for parent, _ in screens:
        shown.append(b"")
        with contextlib.suppress(OSError):  # the end of a pty
            while chunk := os.read(parent, 65536):
                shown[-1] += chunk
        os.close(parent)
    return process.wait(60), shown[0], shown[1]


@pytest.fixture(scope="module")
def env(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(SSL_CERT_DIR=store, HOME=tmp_path_factory.mktemp("home"), **NO_PROXY)


@pytest.fixture
def serving() -> Iterator[Callable[[trustme.LeafCert], str]]:
    servers: list[Server] = []

    def start(certificate: trustme.LeafCert) -> str:
        servers.append(Server(server_context(certificate)))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


def is_printable(text: str) -> bool:
    """A terminal obeys nothing in it but the ends of its lines."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """An environment with nothing in it.  Do not change it."""
    return Venv(tmp_path_factory.mktemp("bare") / "venv", with_package=False)


def under_run(
    *command: str | os.PathLike[str], options: tuple[str, ...] = (), **variables: str | os.PathLike[str]
) -> subprocess.CompletedProcess[str]:
    return run("-m", "truststore_inject", "run", *options, "--", *command, env=environment(**variables))


def json_under_run(*command: str | os.PathLike[str], **variables: str | os.PathLike[str]) -> Any:
    result = under_run(*command, **variables)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return json.loads(result.stdout)


def other_python(version: str) -> str:
    found = shutil.which(version if version.startswith("pypy") else f"python{version}")
    if found is None or subprocess.run([found, "-c", ""], env=environment(), capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    return found
