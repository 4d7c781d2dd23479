"""Where the operating system verifies: the fixtures and the client of the tests of that.

On Linux a stand-in plays the operating system (standin/sitecustomize.py); tests/windows/ is the real thing.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import HERE, Authorities, environment, run_code, shadow_certifi, write_bundle
from servers import Acceptor, server_context
from test_clients import REFUSED

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the operating system needs no stand-in")

SYSTEM = {"system": "accepted", "intermediate": "accepted", **REFUSED}


@pytest.fixture(scope="session")
def root(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stand-in for the operating system trusts."""
    return write_bundle(tmp_path_factory.mktemp("root") / "root.pem", [authorities.system])


def native(root: Path, *python_path: Path, **variables: str | Path) -> dict[str, str]:
    path = ":".join(map(str, [HERE / "standin", *python_path]))
    return environment(PYTHONPATH=path, STANDIN_ROOT=root, **variables)


class Sink:
    """Sends ``greeting`` when the handshake ends, and keeps what clients send after it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.received: list[bytes] = []
        self._context = context
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = listener.getsockname()[1]
        self._acceptor = Acceptor(listener, self._answer)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with self._context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(b"greeting")
            while data := tls.recv(65536):
                self.received.append(data)

    def stop(self) -> None:
        self._acceptor.close()

    def close(self) -> list[bytes]:
        """Wait for the connections to end; what was received in them."""
        self.stop()
        for thread in self._acceptor.answering:
            thread.join(40)
            assert not thread.is_alive(), "the client did not close the connection"
        return self.received


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def sinks(request: pytest.FixtureRequest, authorities: Authorities) -> Iterator[dict[str, Sink]]:
    made: dict[str, Sink] = {}
    for case, certificate in authorities.server_certificates().items():
        context = server_context(certificate)
        context.maximum_version = ssl.TLSVersion[request.param]
        made[case] = Sink(context)
    yield made
    for sink in made.values():
        sink.stop()


@pytest.fixture(scope="session")
def ports(urls: dict[str, str]) -> dict[str, int]:
    """Of the servers of `urls`."""
    return {case: int(url.rstrip("/").rpartition(":")[2]) for case, url in urls.items()}


Macos = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def macos(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Macos:
    """``macos(STANDIN_LAX="1")``: the environment of a program on macOS, which trusts the system CA."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("macos")
    library = folder / "security.so"
    command = [compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, HERE / "macos" / "security.c"]
    subprocess.run(command, check=True)
    (folder / "anchor.der").write_bytes(ssl.PEM_cert_to_DER_cert(authorities.system.cert_pem.bytes().decode()))

    def variables(*python_path: Path, **variables: str | os.PathLike[str]) -> dict[str, str]:
        path = os.pathsep.join(map(str, [HERE / "macos", *python_path]))
        standin = {"STANDIN_LIBRARY": library, "STANDIN_ANCHORS": folder / "anchor.der"}
        return environment(PYTHONPATH=path, **{**standin, **variables})

    return variables


PRELUDE = """
import contextlib, gc, json, os, select, signal, socket, ssl, sys, threading
import sitecustomize
from truststore_inject.stores import _connection, _native, _verifier
def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 30)
    return connection
def wrapped(port, context=None, server_hostname="localhost", **options):
    context = context or ssl.create_default_context()
    return context.wrap_socket(connect(port), server_hostname=server_hostname, **options)
def later(port, **options):
    return wrapped(port, do_handshake_on_connect=False, **options)
def wait(function, connection):
    while True:
        try:
            return function()
        except ssl.SSLWantReadError:
            select.select([connection], [], [], 30)
        except ssl.SSLWantWriteError:
            select.select([], [connection], [], 30)
class Bio:
    "An SSLObject and the socket that it does not have."
    def __init__(self, port, context=None):
        self.incoming, self.outgoing, self.connection = ssl.MemoryBIO(), ssl.MemoryBIO(), connect(port)
        context = context or ssl.create_default_context()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
    def pump(self, function):
        while True:
            try:
                result = function()
            except ssl.SSLWantReadError:
                self.connection.sendall(self.outgoing.read())
                self.incoming.write(self.connection.recv(65536))
            else:
                self.connection.sendall(self.outgoing.read())
                return result
def judge(function, *arguments):
    try:
        got = function(*arguments)
    except ssl.SSLCertVerificationError:
        return "refused"
    return "accepted" if got is None else got
"""


def child(code: str, *arguments: object, env: dict[str, str]) -> Any:
    return run_code(PRELUDE + code, *(json.dumps(argument) for argument in arguments), env=env)


@pytest.fixture(scope="session")
def certifi(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with shadow_certifi(tmp_path_factory.mktemp("certifi"), authorities.bundled) as folder:
        return folder
