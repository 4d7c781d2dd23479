"""Every client library of docs/libraries.md; those that are not installed are skipped."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import CLIENTS
from harness import HERE, Authorities, environment, run, run_code, shadow_certifi, verdicts
from machines import LAYOUTS, Here, Unavailable, needs_machines, unavailable
from matrix import QUESTIONS, Matrix, expected, install_alone, installed, version_of
from matrix_page import PAGE, parse, render
from servers import Server, decide, server_context

# Some minutes: test_stacks.py tries them.
SLOW = ("couchbase", "pulsar")
# On every machine; each of the others on one of them.
EVERYWHERE = ("urllib_request", "requests_get", "requests_system_bundle", "httpx2_sync", "aiohttp", "psycopg", "pycurl")
CELLS = [
    (client, layout)
    for number, client in enumerate(CLIENTS)
    for turn, layout in enumerate(LAYOUTS)
    if client not in SLOW and not CLIENTS[client].alone and (client in EVERYWHERE or turn == number % len(LAYOUTS))
]


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("matrix"))


@pytest.mark.parametrize(("client", "layout"), CELLS)
def test_each_question(client: str, layout: str, matrix: Matrix) -> None:
    if not installed(client):
        pytest.skip(f"{CLIENTS[client].distribution} is not installed")
    try:
        found = matrix.row(client, layout)
    except Unavailable as reason:
        pytest.skip(str(reason))
    without = isinstance(matrix.machine(layout), Here)
    right = {column: expected(client, column) or found[column] for column in QUESTIONS}
    assert found == {column: "-" if without and found[column] == "-" else verdict for column, verdict in right.items()}
    if CLIENTS[client].adds_a_directory:
        assert found["pinned: CA in the store"] == found["opted out, pinned: CA in the store"]
    if without:
        pytest.skip(f"right where no store is asked; not tried with one: {unavailable()}")


@needs_machines
def test_gsutil(matrix: Matrix, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its default is a bundle that it carries."""
    path = install_alone(tmp_path_factory.mktemp("gsutil"), "gsutil")
    found = matrix.row("gsutil", "Debian", path)
    assert found == {column: expected("gsutil", column) or "refused" for column in QUESTIONS}
    written = parse(PAGE.read_text(encoding="utf-8"))[0]
    assert found == {column: cell[0] for column, cell in written["gsutil"].cells.items()}, "run tests/matrix.py"


def test_the_page_says_what_was_found(matrix: Matrix) -> None:
    page = PAGE.read_text(encoding="utf-8")
    written, where = parse(page)
    assert render(written, where) == page, "written by hand: run tests/matrix.py"
    assert [client for client in written if client in CLIENTS] == list(CLIENTS), "run tests/matrix.py"
    for client, layout in CELLS:
        with contextlib.suppress(Unavailable):
            if installed(client) and not isinstance(matrix.machine(layout), Here):
                cells = {column: cell[list(LAYOUTS).index(layout)] for column, cell in written[client].cells.items()}
                assert cells == matrix.row(client, layout), f"{client}, {layout}: run tests/matrix.py"


@needs_machines
@pytest.mark.parametrize("client", ["httpx2_sync", "openai", "huggingface_hub", "mcp", "pygit2"])
def test_a_ca_that_was_appended_to_debians_bundle(
    client: str, servers: dict[str, Server], authorities: Authorities, tmp_path: Path
) -> None:
    """By a Dockerfile, say: OpenSSL does not look at that file, and httpx2 names OpenSSL's own places."""
    if not installed(client):
        pytest.skip(f"{CLIENTS[client].distribution} is not installed")
    machine = LAYOUTS["Debian"](tmp_path / "machine", [authorities.system])
    machine.bundle("/etc/ssl/certs/ca-certificates.crt", [authorities.system, authorities.private])
    cases = ("system", "private", "unknown")
    urls = json.dumps({case: servers[case].url for case in cases})
    before = {case: servers[case].believed for case in cases}
    said = json.loads(machine.run(machine.python, HERE / "clients", client, "default", urls).stdout.splitlines()[-1])
    found = {case: decide(servers[case], before[case], said[case]) for case in cases}
    assert found == {"system": "accepted", "private": "accepted", "unknown": "refused"}, said


@needs_machines
def test_httpx2s_refusal_has_a_note(urls: dict[str, str], authorities: Authorities, tmp_path: Path) -> None:
    if not installed("httpx2_sync"):
        pytest.skip("httpx2 is not installed")
    code = """
import sys, httpx2
try:
    httpx2.get(sys.argv[1])
except httpx2.ConnectError as error:
    while error is not None:
        print(*getattr(error, "__notes__", []))
        error = error.__cause__ or error.__context__
"""
    machine = LAYOUTS["Debian"](tmp_path / "machine", [authorities.system])
    assert "truststore-inject: " in machine.run(machine.python, "-c", code, urls["unknown"]).stdout
    assert not machine.run(machine.python, "-c", code, urls["unknown"], TRUSTSTORE_INJECT="0").stdout.strip()


def test_a_client_that_hangs_up_is_waited_for(authorities: Authorities) -> None:
    """Else the next one that believes the server makes up for it, and seems to refuse."""
    server = Server(server_context(authorities.system.issue_cert("localhost")))
    context = ssl._create_unverified_context()
    with socket.create_connection(("localhost", server.port)) as plain, context.wrap_socket(plain) as client:
        while not server.completed:
            pass
        threading.Timer(0.2, client.close).start()
        assert server.believed == 0
    server.close()


def test_a_closed_server_answers_nobody(authorities: Authorities) -> None:
    """Else it may answer the next server's clients, with a certificate that they refuse."""
    before = {*threading.enumerate()}
    server = Server(server_context(authorities.system.issue_cert("localhost")))
    assert {*threading.enumerate()} - before
    server.close()
    assert not {*threading.enumerate()} - before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_nobody_else_answers_a_client_that_tries_the_other_address(authorities: Authorities, store: Path) -> None:
    """libcurl asks ::1 first, whatever the machine says of localhost."""
    if not installed("pycurl"):
        pytest.skip("pycurl is not installed")
    server = Server(server_context(authorities.system.issue_cert("localhost")))
    other = None
    with contextlib.suppress(OSError):  # it is taken, or there is no such address
        other = socket.create_server(("::1", server.port), family=socket.AF_INET6)
    assert other is None
    said = verdicts("pycurl", {"system": server.url}, env=environment(SSL_CERT_DIR=store), servers={"system": server})
    assert said == {"system": "accepted"}
    server.close()


def test_check_tries_what_people_use(tmp_path: Path) -> None:
    wanted = {"httpx2": "httpx2", "mcp": "mcp", "psycopg": "psycopg-binary", "psycopg2": "psycopg2-binary"}
    wanted = {client: library for client, library in wanted.items() if version_of(library)}
    said = run("-m", "truststore_inject", "check", "--json", env=environment(HOME=tmp_path))
    assert said.returncode == 0, said.stdout
    rows = {row["client"]: row for row in json.loads(said.stdout)["clients"]}
    for client, library in wanted.items():
        assert rows[client]["version"] == version_of(library)
        assert rows[client]["injected"] == {
            **dict.fromkeys(rows[client]["injected"], "no"),
            "in store": "yes",
            "pinned": "yes",
        }


def ask(client: str, servers: dict[str, Server], env: dict[str, str]) -> dict[str, str]:
    urls = {case: servers[case].url for case in ("system", "private")}
    return verdicts(client, urls, env=env, servers=servers)


@pytest.mark.parametrize(
    ("client", "variable"),
    [
        ("grpc", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
        ("grpc_aio", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
        ("otlp_grpc", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ("otlp_http", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ("psycopg", "PGSSLROOTCERT"),
        ("psycopg_async", "PGSSLROOTCERT"),
        ("curl_cffi", "CURL_CA_BUNDLE"),
        ("requests_get", "REQUESTS_CA_BUNDLE"),
    ],
)
def test_the_librarys_own_variable_wins(
    client: str, variable: str, servers: dict[str, Server], store: Path, ca_file: Callable[[str], Path]
) -> None:
    if not installed(client):
        pytest.skip(f"{CLIENTS[client].distribution} is not installed")
    env = environment(SSL_CERT_DIR=store, **{variable: ca_file("private")})
    assert ask(client, servers, env) == {"system": "refused", "private": "accepted"}


def test_nothing_is_written_into_the_environment(urls: dict[str, str], store: Path) -> None:
    """Children would inherit it."""
    clients = [
        client
        for client in ("requests_get", "pyopenssl", "grpc", "psycopg", "psycopg_async", "pycurl", "curl_cffi", "stripe")
        if installed(client)
    ]
    code = f"""
import json, os, subprocess, sys
sys.path.append({str(HERE)!r})
import clients
before = dict(os.environ)
for client in {clients!r}:
    clients.judge(client, {urls["system"]!r}, "default")
env = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
inherited = json.loads(subprocess.run(env, capture_output=True).stdout)
print(json.dumps([before == dict(os.environ), sorted(inherited.items() ^ before.items())]))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store)) == [True, []]


def test_psycopg_takes_system_from_its_variable(servers: dict[str, Server], store: Path) -> None:
    if not installed("psycopg"):
        pytest.skip("psycopg-binary is not installed")
    env = environment(SSL_CERT_DIR=store, PGSSLROOTCERT="system")
    assert ask("psycopg", servers, env) == {"system": "accepted", "private": "refused"}


@pytest.mark.parametrize("client", ["grpc", "psycopg", "pycurl", "curl_cffi", "pyopenssl", "urllib3_pyopenssl"])
def test_the_file_that_is_exported_decides(
    client: str, servers: dict[str, Server], store: Path, ca_file: Callable[[str], Path]
) -> None:
    """Some TLS stacks read ``SSL_CERT_DIR`` by themselves: the extra CA is only in what we give to them."""
    if not installed(client):
        pytest.skip(f"{CLIENTS[client].distribution} is not installed")
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=ca_file("private"))
    assert ask(client, servers, env) == {"system": "accepted", "private": "accepted"}
    env["TRUSTSTORE_INJECT"] = "0"
    assert ask(client, servers, env)["private"] == "refused"


@pytest.mark.parametrize("client", ["requests_get", "urllib3_certifi", "urllib_cadata", "httpx_sync"])
def test_certifi_in_a_zip_file(
    client: str, servers: dict[str, Server], authorities: Authorities, store: Path, tmp_path: Path
) -> None:
    if not installed(client):
        pytest.skip(f"{CLIENTS[client].distribution} is not installed")
    with shadow_certifi(tmp_path / "folder", authorities.private) as folder:
        archive = shutil.make_archive(str(tmp_path / "certifi"), "zip", folder)
    env = environment(SSL_CERT_DIR=store, PYTHONPATH=archive)
    env.pop("SSL_CERT_FILE")  # httpx fails if it does not exist
    assert ask(client, servers, env) == {"system": "accepted", "private": "refused"}
    if client != "httpx_sync":  # it prefers SSL_CERT_DIR to certifi
        env["TRUSTSTORE_INJECT"] = "0"
        assert ask(client, servers, env) == {"system": "refused", "private": "accepted"}


@pytest.mark.parametrize(
    ("client", "package", "bundle"),
    [
        ("requests_get", "certifi", "cacert.pem"),
        ("pyopenssl", "certifi", "cacert.pem"),
        ("curl_cffi", "certifi", "cacert.pem"),
        ("grpc", "grpc", "_cython/_credentials/roots.pem"),
    ],
)
def test_a_ca_that_was_added_to_the_librarys_bundle_is_kept(
    client: str,
    package: str,
    bundle: str,
    servers: dict[str, Server],
    authorities: Authorities,
    store: Path,
    tmp_path: Path,
) -> None:
    if not installed(client):
        pytest.skip(f"{CLIENTS[client].distribution} is not installed")
    distribution = CLIENTS[client].distribution if package == "grpc" else package
    record = next(file for file in importlib.metadata.files(distribution) or [] if file.name == "RECORD")
    original = Path(importlib.import_module(package).__path__[0])
    shutil.copytree(original, tmp_path / package, copy_function=os.symlink)
    shutil.copytree(record.locate().parent, tmp_path / record.parent.name)
    env = environment(SSL_CERT_DIR=store, PYTHONPATH=tmp_path)
    assert ask(client, servers, env) == {"system": "accepted", "private": "refused"}
    changed = tmp_path / package / bundle
    changed.unlink()
    changed.write_bytes((original / bundle).read_bytes() + authorities.private.cert_pem.bytes())
    assert ask(client, servers, env) == {"system": "accepted", "private": "accepted"}
