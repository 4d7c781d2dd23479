"""The matrix of client libraries: ``matrix.py`` runs it, and writes what it found to docs/libraries.md.

``matrix.py NAME ...`` asks those clients only, and leaves the other rows of the page as they are.

Each client is asked on made-up machines (machines.py), in children without a variable that decides about trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import NamedTuple

import trustme
from clients import CLIENTS
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from harness import HERE, HOSTS, Authorities, write_bundle
from machines import LAYOUTS, Here, Machine, unavailable
from servers import Server, decide, server_context


class Question(NamedTuple):
    """One cell: the client is told `trust`, with the settings `mode`, and meets a server of the kind `server`."""

    trust: str  # default, own (a CA file of its own) or off
    server: str  # of Authorities.server_certificates, or "extra": a CA that TRUSTSTORE_INJECT_EXTRA_CA_CERTS may name
    expected: str | None  # None: the library's own business
    mode: str = ""  # extra: with that variable; out: opted out


QUESTIONS = {
    "CA in the store": Question("default", "system", "accepted"),
    "unknown CA": Question("default", "unknown", "refused"),
    "wrong host": Question("default", "wrong_host", "refused"),
    "expired": Question("default", "expired", "refused"),
    "pinned: its CA": Question("own", "private", "accepted"),
    "pinned: CA in the store": Question("own", "system", "refused"),
    "no verification": Question("off", "unknown", "accepted"),
    "extra CA": Question("default", "extra", "accepted", "extra"),
    "extra CA: CA in the store": Question("default", "system", "accepted", "extra"),
    "pinned: extra CA": Question("own", "extra", "refused", "extra"),
    "opted out: CA in the store": Question("default", "system", None, "out"),
    "opted out: unknown CA": Question("default", "unknown", "refused", "out"),
    "opted out, pinned: CA in the store": Question("own", "system", "refused", "out"),
}
NOT_ASKED = "-"


def expected(client: str, column: str) -> str | None:
    """The verdict that is right; None if it is the library's own business."""
    question, ways = QUESTIONS[column], CLIENTS[client]
    if question.trust == "off" and ways.always_verifies:
        return NOT_ASKED
    if question.trust == "default" and ways.compiled_in:
        return "refused"
    if question.server == "extra" and question.trust == "default" and ways.no_extra_ca:
        # Before its version 5 it went through pyOpenSSL.
        older = client == "snowflake" and int(version(ways.distribution).partition(".")[0]) < 5
        return question.expected if older else "refused"
    if question.server == "wrong_host" and ways.ignores_host:
        return "accepted"
    if question.trust == "own" and question.server != "private":
        if ways.adds_to_default:  # opted out that may be another default
            return "accepted" if question.mode != "out" else None
        if ways.adds_a_directory and question.server == "system":
            return None
    return question.expected


class Matrix:
    """The machines, the certificates and the CA files of a run.  `folder` is new, and stays until the run is over."""

    def __init__(self, folder: Path, *, python: str = sys.executable) -> None:
        self._machines: dict[str, Machine] = {}
        self._rows: dict[tuple[str, ...], dict[str, str]] = {}
        authorities, extra = Authorities(), trustme.CA(organization_name="extra of the tests")
        self._certificates = {**authorities.server_certificates(), "extra": extra.issue_cert(*HOSTS)}
        self._own = write_bundle(folder / "own.pem", [authorities.private])
        self._modes = {
            "": {},
            "extra": {"TRUSTSTORE_INJECT_EXTRA_CA_CERTS": str(write_bundle(folder / "extra.pem", [extra]))},
            "out": {"TRUSTSTORE_INJECT": "0"},
        }
        self._make = {
            layout: functools.partial(make, folder / f"machine-{number}", [authorities.system], python=python)
            for number, (layout, make) in enumerate(LAYOUTS.items())
        }

    def machine(self, layout: str) -> Machine:
        """Raises `machines.Unavailable`."""
        if layout not in self._machines:
            self._machines[layout] = self._make[layout]() if unavailable() is None else Here()
        return self._machines[layout]

    def row(self, client: str, layout: str, python_path: str = "") -> dict[str, str]:
        """``accepted`` or ``refused`` for each of `QUESTIONS`; ``-`` where the library cannot be asked for it.

        So it is, too, for what depends on the store where there are no made-up machines.
        """
        key = (client, layout, python_path)
        if key not in self._rows:
            self._rows[key] = self._find(client, self.machine(layout), python_path)
        return self._rows[key]

    def _find(self, client: str, machine: Machine, python_path: str) -> dict[str, str]:
        asked = [column for column in QUESTIONS if self._can_be_asked(client, column, machine)]
        paths = {"PYTHONPATH": python_path} if python_path else {}
        found = dict.fromkeys(QUESTIONS, NOT_ASKED)
        with contextlib.ExitStack() as stack:
            servers = {column: stack.enter_context(self._server(client, column)) for column in asked}
            for mode, variables in self._modes.items():
                of_mode = {column: server for column, server in servers.items() if QUESTIONS[column].mode == mode}
                found |= self._ask(machine, client, of_mode, variables | paths)
        return found

    def _can_be_asked(self, client: str, column: str, machine: Machine) -> bool:
        trust, server, *_ = QUESTIONS[column]
        if trust == "off":
            return not CLIENTS[client].always_verifies
        return not (isinstance(machine, Here) and trust == "default" and server in ("system", "wrong_host", "expired"))

    def _ask(
        self, machine: Machine, client: str, servers: dict[str, Server | QuicServer], variables: dict[str, str]
    ) -> dict[str, str]:
        """One child for all of them.  Each server is asked once: if the client's words do not decide, it does."""
        by_trust: dict[str, dict[str, str]] = {}
        for column, server in servers.items():
            trust = QUESTIONS[column].trust
            by_trust.setdefault(str(self._own) if trust == "own" else trust, {})[column] = server.url
        pairs = [text for trust, urls in by_trust.items() for text in (trust, json.dumps(urls))]
        result = machine.run(machine.python, HERE / "clients", client, *pairs, **variables)
        assert result.returncode == 0, result.stderr
        lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
        said = {column: verdict for line in lines for column, verdict in json.loads(line).items()}
        return {column: decide(servers[column], 0, verdict) for column, verdict in said.items()}

    @contextlib.contextmanager
    def _server(self, client: str, column: str) -> Iterator[Server | QuicServer]:
        certificate = self._certificates[QUESTIONS[column].server]
        server = QuicServer(certificate) if client == "aioquic" else Server(server_context(certificate), patience=0.5)
        yield server
        server.close()


class QuicServer:
    """A `Server` that completes handshakes over QUIC, and no more."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        from aioquic.asyncio import QuicConnectionProtocol, serve
        from aioquic.quic.configuration import QuicConfiguration
        from aioquic.quic.events import HandshakeCompleted

        self.completed: list[object] = []

        class Protocol(QuicConnectionProtocol):
            def quic_event_received(_, event: object) -> None:
                if isinstance(event, HandshakeCompleted):
                    self.completed.append(event)

        configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
        configuration.certificate = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
        configuration.private_key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = serve("127.0.0.1", 0, configuration=configuration, create_protocol=Protocol)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        port = self._server._transport.get_extra_info("sockname")[1]
        self.url = f"https://localhost:{port}/"

    @property
    def believed(self) -> int:
        """As a `Server` has it; a client of QUIC that refuses does so before its handshake is complete."""
        return len(self.completed)

    def close(self) -> None:
        """To the last socket: one that is collected later is a ResourceWarning, in whatever test runs then."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.1, self._loop.stop)
        self._thread.join()
        self._loop.close()


def installed(client: str) -> bool:
    distribution = CLIENTS[client].distribution
    return not distribution or version_of(distribution) is not None


def version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


class Asked(NamedTuple):
    """A row of the page."""

    name: str
    library: str
    matrix: Matrix
    client: str
    python_path: str = ""


# Beside the one that is installed.
PIPS = ("22.2", "23.2.1", "24.0")


def _rows(folder: Path, names: list[str]) -> Iterator[Asked]:
    """Those of `names`, by default all: then every library of libraries.txt has to be there, and uv."""
    here = Matrix(folder / "here")
    for client, (_, library, *_) in CLIENTS.items():
        if client not in (names or CLIENTS):
            continue
        if CLIENTS[client].alone:
            path = install_alone(folder / client, library)
            (found,) = distributions(name=library, path=[path])
            yield Asked(client, f"{library} {found.version}", here, client, path)
            continue
        yield Asked(client, f"{library} {version(library)}" if library else "standard library", here, client)
        for number in PIPS if client == "pip" else ():
            path = install_alone(folder / number, f"pip=={number}")
            yield Asked(f"pip {number}", f"pip {number}", here, "pip", path)
    if not names or "uv" in names:
        yield from _uv_rows(folder)


def _uv_rows(folder: Path) -> Iterator[Asked]:
    packages = ("requests", "httpx2")
    _install(sys.executable, "-m", "pip", "wheel", f"--wheel-dir={folder / 'wheels'}", HERE.parent, *packages)
    python = str(folder / "uv" / "bin" / "python")
    _install("uv", "venv", f"--python={sys.executable}", folder / "uv")
    install = ("uv", "pip", "install", f"--python={python}", "--no-index", f"--find-links={folder / 'wheels'}")
    _install(*install, "truststore-inject", *packages)
    made = Matrix(folder / "made-by-uv", python=python)
    for client, package in zip(("requests_get", "httpx2_sync"), packages, strict=True):
        yield Asked(f"{client}, environment by uv", f"{package} {version(package)}", made, client)


def install_alone(folder: Path, requirement: str) -> str:
    """Install it, with what it needs, into a folder of its own: that one, for ``PYTHONPATH``."""
    _install(sys.executable, "-m", "pip", "install", f"--target={folder}", requirement)
    return str(folder)


def _install(*command: str | Path) -> None:
    """With the shell's own environment, which installers need to reach their index."""
    subprocess.run([*map(str, command)], check=True, stdout=sys.stderr)


def _find(asked: Asked) -> dict[str, list[str]]:
    rows = [asked.matrix.row(asked.client, layout, asked.python_path) for layout in LAYOUTS]
    print(asked.name, file=sys.stderr, flush=True)
    return {column: [row[column] for row in rows] for column in QUESTIONS}


def _position(name: str) -> int:
    """Of the client, in `CLIENTS`; behind all of them if it is there no more."""
    client = re.findall(r"\w+", name)[0]
    return list(CLIENTS).index(client) if client in CLIENTS else len(CLIENTS)


def main() -> None:
    """Run it, and write the page."""
    from matrix_page import PAGE, Row, parse, render

    if reason := unavailable():
        sys.exit(f"the page needs every machine: {reason}")
    where = f"Python {sys.version.split()[0]}, {sys.platform}"
    page = parse(PAGE.read_text(encoding="utf-8"))[0] if sys.argv[1:] else {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        rows = [*_rows(Path(folder), sys.argv[1:])]
        for asked in rows:
            for layout in LAYOUTS:
                asked.matrix.machine(layout)  # before threads ask for it at once
        for asked, found in zip(rows, pool.map(_find, rows), strict=True):
            page[asked.name] = Row(asked.library, found)
            page = {name: page[name] for name in sorted(page, key=_position) if _position(name) < len(CLIENTS)}
            PAGE.write_text(render(page, where), encoding="utf-8")  # as far as it is known


if __name__ == "__main__":
    main()
