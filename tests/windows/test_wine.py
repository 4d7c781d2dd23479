"""The built wheel on a Windows Python, under Wine: pip, start-up, and each client library against the ROOT store.

``tox -e wine``, or ``pytest tests/windows`` with a wheel in dist/.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_host_names as host_names
from harness import HERE, Authorities, Server, server_context, write_bundle
from wine import Windows, install_truststore

from truststore_inject.stores import _verifier

if shutil.which("wine") is None:
    pytest.skip("Wine is not installed (apt-get install wine wine64)", allow_module_level=True)

CLIENTS = [
    "urllib_request",
    "http_client",
    "asyncio_streams",
    "urllib3",
    "requests_get",
    "aiohttp",
    "httpx_sync",
    "httpx_async",
    "websockets",
]
FEW = ["urllib_request", "requests_get", "asyncio_streams"]
MATRIX = [("3.13", client) for client in CLIENTS] + [
    (version, client) for version in ("3.12", "3.11") for client in FEW
]
PACKAGES = ["pip", "truststore", "wrapt", "certifi", "urllib3", "requests", "aiohttp", "httpx", "websockets"]
PACKAGES += ["trustme", "cryptography<43"]  # the command `check`; Wine 8 lacks a DLL that newer ones ask for

ACCEPTED = ("system", "root_sent", "intermediate")


@pytest.fixture(scope="session")
def wheel() -> Path:
    """What tox has built, else what lies in dist/."""
    if "TOX_PACKAGE" in os.environ:
        return Path(os.environ["TOX_PACKAGE"])
    wheels = sorted((HERE.parent / "dist").glob("truststore_inject-*.whl"))
    assert wheels, "build the wheel first: python -m build --wheel"
    return wheels[0]


@pytest.fixture(scope="session")
def servers(authorities: Authorities) -> Iterator[dict[str, Server]]:
    contexts = {case: server_context(leaf) for case, leaf in authorities.server_certificates().items()}
    del contexts["bundled"]
    contexts["root_sent"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authorities.system.issue_cert("localhost", "127.0.0.1")
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(leaf.private_key_and_cert_chain_pem.bytes() + authorities.system.cert_pem.bytes())
        file.flush()
        contexts["root_sent"].load_cert_chain(file.name)
    servers = {case: Server(context) for case, context in contexts.items()}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture(scope="session")
def windows(
    authorities: Authorities, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Windows]]:
    """``windows("3.13")``: that Python with the package, and the system CA in its ROOT store."""
    made: dict[str, Windows] = {}
    root = write_bundle(tmp_path_factory.mktemp("root") / "root.pem", [authorities.system])

    def make(version: str) -> Windows:
        if version not in made:
            lab = made[version] = Windows(tmp_path_factory.mktemp("windows") / version, version, PACKAGES)
            result = lab.run("-m", "pip", "install", "--no-index", "--no-deps", "--no-warn-script-location", wheel)
            assert result.returncode == 0, result.stdout + result.stderr
            lab.trust(root)
        return made[version]

    yield make
    for lab in made.values():
        lab.stop()


# What truststore alone says of argv[1], a port: without this package.
ALONE = """
import json, socket, ssl, sys, truststore
context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        context.wrap_socket(connection, server_hostname="localhost").close()
    print(json.dumps("accepted"))
except ssl.SSLCertVerificationError:
    print(json.dumps("refused"))
"""


@pytest.fixture(scope="session")
def urls(
    servers: dict[str, Server], authorities: Authorities, windows: Callable[[str], Windows]
) -> Iterator[dict[str, str]]:
    """Servers that Wine itself can judge: of chains that are right, it refuses about three in a hundred."""
    lab, replaced = windows("3.12"), []
    for case in ("system", "intermediate"):
        for _ in range(5):
            if lab.json(ALONE, str(servers[case].port), TRUSTSTORE_INJECT="0") == "accepted":
                break
            replaced.append(servers[case])
            servers[case] = Server(server_context(authorities.server_certificates()[case]))
    yield {case: server.url for case, server in servers.items()}
    for server in replaced:
        server.close()


def verdicts(
    lab: Windows, client: str, urls: dict[str, str], trust: str = "default", **variables: str
) -> dict[str, str]:
    result = lab.run(HERE / "clients", client, trust, json.dumps(urls), **variables)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def expected(urls: dict[str, str], *accepted: str) -> dict[str, str]:
    return {case: "accepted" if case in accepted else "refused" for case in urls}


@pytest.mark.parametrize(("version", "client"), MATRIX)
def test_the_client_libraries(
    version: str, client: str, windows: Callable[[str], Windows], urls: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    lab = windows(version)
    assert verdicts(lab, client, urls) == expected(urls, *ACCEPTED)
    assert verdicts(lab, client, urls, str(ca_file("private"))) == expected(urls, "private")


@pytest.mark.parametrize("version", sorted(_verifier.TESTED))
def test_each_truststore_that_is_relied_upon(
    version: str, windows: Callable[[str], Windows], urls: dict[str, str], tmp_path: Path
) -> None:
    install_truststore(version, tmp_path)
    lab, path = windows("3.12"), f"Z:{tmp_path}"  # truststore 0.10.0 makes a context while it is imported, before 3.13
    assert lab.json("import json, truststore; print(json.dumps(truststore.__version__))", PYTHONPATH=path) == version
    assert verdicts(lab, "urllib_request", urls, PYTHONPATH=path) == expected(urls, *ACCEPTED)


def test_names_agree_with_stock(windows: Callable[[str], Windows], tmp_path: Path) -> None:
    """Windows looks at them in its way, and then the package in OpenSSL's: nothing is accepted that stock refuses."""
    issuer = host_names.Issuer()
    (tmp_path / "issuer.pem").write_bytes(issuer.certificate)
    stock = ssl.create_default_context(cafile=str(tmp_path / "issuer.pem"))
    code = f"""{CODE}
context = ssl.create_default_context()
found = []
for url, host in json.loads(open(sys.argv[1]).read()):
    found.append(judge(lambda: context.wrap_socket(connect(url), server_hostname=host).close()))
print(json.dumps(found))
"""
    expected: dict[tuple[int, str], str] = {}
    found: dict[tuple[int, str], str] = {}
    asked = set(range(len(host_names.FIXED)))
    for _ in range(4):
        questions = {}
        for number in sorted(asked):
            dns, addresses, common_name = host_names.FIXED[number]
            context = issuer.server(tmp_path / "server.pem", dns, addresses, common_name)
            url = Server(context).url
            for host in host_names.HOSTS:
                accepted = host_names.verdict(host_names.shake, stock, context, host) is None
                # Wine knows no addresses in names, and refuses every name of a certificate that has one.
                known = not addresses and ":" not in host and host.strip("0123456789.")
                questions[number, host] = (url, host)
                expected[number, host] = "accepted" if accepted and known else "refused"
        (tmp_path / "questions.json").write_text(json.dumps([*questions.values()]))
        variables = {"SSL_CERT_FILE": str(tmp_path / "issuer.pem")}
        said = windows("3.13").json(code, str(tmp_path / "questions.json"), **variables)
        found.update(zip(questions, said, strict=True))
        # Of chains that are right, Wine refuses about three in a hundred, whatever the name: those are made anew.
        wanted = {number for (number, _), verdict in expected.items() if verdict == "accepted"}
        asked = wanted - {number for (number, _), verdict in found.items() if verdict == "accepted"}
        if not asked:
            break
    assert found == expected
    assert [*found.values()].count("accepted") > 10


@pytest.mark.parametrize("client", ["requests_get", "httpx_sync"])
def test_opted_out_is_stock(client: str, windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    """They read certifi's bundle again, where the CA is not."""
    assert verdicts(windows("3.13"), client, urls, TRUSTSTORE_INJECT="0") == expected(urls)


def test_no_verification_stays_none(windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    assert verdicts(windows("3.13"), "requests_get", urls, "off") == dict.fromkeys(urls, "accepted")


def test_ssl_cert_file_is_trusted_in_addition(
    windows: Callable[[str], Windows], urls: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    found = verdicts(windows("3.13"), "urllib_request", urls, SSL_CERT_FILE=str(ca_file("private")))
    assert found == expected(urls, *ACCEPTED, "private")


def test_the_command_line(windows: Callable[[str], Windows], authorities: Authorities, tmp_path: Path) -> None:
    """``status`` knows the store, ``export`` reads it."""
    lab = windows("3.13")
    status = lab.run("-m", "truststore_inject", "status", "--json")
    assert status.returncode == 0, status.stderr
    store = json.loads(status.stdout)["store"]
    assert store["source"].startswith("Windows")
    count = lab.run("-c", "import ssl; print(len({der for der, _, _ in ssl.enum_certificates('ROOT')}))")
    file = tmp_path / "store.pem"
    export = lab.run("-m", "truststore_inject", "export", file)
    assert export.returncode == 0, export.stderr
    written = file.read_bytes().replace(b"\r\n", b"\n")
    assert store["anchors"] is None, "Windows fetches some when they are needed"
    assert written.count(b"-----BEGIN CERTIFICATE-----") == json.loads(count.stdout)
    base64 = authorities.system.cert_pem.bytes().split(b"-----")[2]
    assert b"".join(base64.split()) in b"".join(written.split())


def test_the_proof(windows: Callable[[str], Windows]) -> None:
    """``check``: its throw-away CA comes in addition to the ROOT store."""
    result = windows("3.13").run("-m", "truststore_inject", "check", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {row["client"]: row for row in json.loads(result.stdout)["clients"]}
    assert {"urllib.request", "asyncio", "urllib3", "requests", "pip", "httpx", "aiohttp", "websockets"} <= rows.keys()
    right = {"in store": "yes", "unknown": "no", "bad name": "no", "expired": "no", "pinned": "yes"}
    for client, row in rows.items():
        assert row["injected"] == right, client


CODE = """
import json, socket, ssl, sys, threading
def connect(url):
    return socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/"))), 60)
def judge(function):
    try:
        function()
    except ssl.SSLCertVerificationError as error:
        assert "CERTIFICATE_VERIFY_FAILED" in str(error), error
        return "refused"
    return "accepted"
"""


def test_a_refusal_says_what_to_do(windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    code = f"""{CODE}
found = {{}}
for case, url in json.loads(sys.argv[1]).items():
    try:
        ssl.create_default_context().wrap_socket(connect(url), server_hostname="localhost").close()
    except ssl.SSLCertVerificationError as error:
        (found[case],) = error.__notes__
print(json.dumps(found))
"""
    notes = windows("3.13").json(code, json.dumps({case: urls[case] for case in ("unknown", "wrong_host", "expired")}))
    assert all(note.startswith("truststore-inject: the system store (Windows) was asked.") for note in notes.values())
    assert "unknown of the tests" in notes["unknown"]
    assert "is not for 'localhost'" in notes["wrong_host"]
    assert "has expired" in notes["expired"]


@pytest.mark.parametrize("version", ["3.13", "3.12", "3.11"])
def test_no_data_passes_before_the_verification(
    version: str, windows: Callable[[str], Windows], urls: dict[str, str]
) -> None:
    """What `truststore.SSLContext` does not see: a program that writes or reads first."""
    code = f"""{CODE}
def write(context, url):
    with context.wrap_socket(connect(url), server_hostname="localhost", do_handshake_on_connect=False) as s:
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
def bio(context, url):
    incoming, outgoing, s = ssl.MemoryBIO(), ssl.MemoryBIO(), connect(url)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            return tls.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
        except ssl.SSLWantReadError:
            s.sendall(outgoing.read())
            incoming.write(s.recv(65536))
urls, context = json.loads(sys.argv[1]), ssl.create_default_context()
print(json.dumps([{{case: judge(lambda: way(context, url)) for case, url in urls.items()}} for way in (write, bio)]))
"""
    assert windows(version).json(code, json.dumps(urls)) == [expected(urls, *ACCEPTED)] * 2


def test_the_context_answers_as_stock_and_its_store_is_not_read(
    windows: Callable[[str], Windows], urls: dict[str, str]
) -> None:
    code = f"""{CODE}
reads = []
stock = ssl.enum_certificates
ssl.enum_certificates = lambda store: reads.append(store) or stock(store)
context = ssl.create_default_context()
url = json.loads(sys.argv[1])["system"]
with context.wrap_socket(connect(url), server_hostname="localhost") as s:
    names = s.getpeercert()["subjectAltName"]
    kinds = type(s) is ssl.SSLSocket, s.context is context
import truststore_inject
print(json.dumps([reads[:], context.verify_mode, context.check_hostname, context.get_ca_certs(),
    context.cert_store_stats(), names, kinds, str(truststore_inject.status())]))
"""
    reads, mode, check_hostname, certificates, stats, names, kinds, status = windows("3.13").json(
        code, json.dumps(urls)
    )
    assert (reads, mode, check_hostname) == ([], ssl.CERT_REQUIRED, True)
    assert (certificates, stats) == ([], {"x509": 0, "x509_ca": 0, "crl": 0})
    assert names == [["DNS", "localhost"], ["IP Address", "127.0.0.1"]]
    assert kinds == [True, True]
    assert "from Windows, which verifies by itself" in status


def test_a_resumed_session_is_verified(windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    code = f"""{CODE}
urls, context, outcomes = json.loads(sys.argv[1]), ssl.create_default_context(), {{}}
def request(url, session=None):
    with context.wrap_socket(connect(url), server_hostname="localhost", session=session) as s:
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        s.recv(4)
        return s.session, s.session_reused
for case in ("system", "unknown"):
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session, _ = request(urls[case])
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
    outcomes[case] = judge(lambda: request(urls[case], session))
session, _ = request(urls["intermediate"])
outcomes["intermediate"] = request(urls["intermediate"], session)[1]
print(json.dumps(outcomes))
"""
    found = windows("3.13").json(code, json.dumps(urls))
    assert found == {"system": "accepted", "unknown": "refused", "intermediate": True}


def test_an_application_of_truststore_is_not_verified_twice(
    windows: Callable[[str], Windows], urls: dict[str, str]
) -> None:
    """Also when its class has taken the place of ssl's: the object below is that of stock."""
    code = f"""{CODE}
import truststore
urls, kinds = json.loads(sys.argv[1]), set()
def verdicts(context):
    def wrap(url):
        with context.wrap_socket(connect(url), server_hostname="localhost") as s:
            kinds.add(type(s._sslobj).__module__)
    return {{case: judge(lambda: wrap(url)) for case, url in urls.items()}}
def judge(function):
    try:
        function()
    except ssl.SSLCertVerificationError:
        return "refused"
    return "accepted"
found = [verdicts(truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT))]
truststore.inject_into_ssl()
found.append(verdicts(ssl.create_default_context()))
print(json.dumps([found, *kinds]))
"""
    assert windows("3.13").json(code, json.dumps(urls)) == [[expected(urls, *ACCEPTED)] * 2, "_ssl"]


def test_a_server_stays_strict(
    windows: Callable[[str], Windows], authorities: Authorities, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """It trusts a private CA for its clients; one with a certificate from a CA of the system store is refused."""
    for name in ("server", "system", "private"):
        authority = getattr(authorities, "private" if name == "server" else name)
        leaf = authority.issue_cert("localhost")
        leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    code = """
import json, socket, ssl, sys, threading
folder, cafile = sys.argv[1:]
outcomes = {}
for name in ("private", "system"):
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cafile)
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_cert_chain(folder + "/server.pem")
    client = ssl.create_default_context(cafile=cafile)
    client.load_cert_chain(folder + f"/{name}.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    def serve():
        connection, _ = listener.accept()
        try:
            with listening.wrap_socket(connection, server_side=True) as tls:
                outcomes[name] = "accepted"
        except ssl.SSLError as error:
            outcomes[name] = error.reason
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost") as s:
            s.recv(1)
    except OSError:
        pass
    thread.join()
print(json.dumps(outcomes))
"""
    found = windows("3.13").json(code, str(tmp_path), str(ca_file("private")))
    assert found == {"private": "accepted", "system": "CERTIFICATE_VERIFY_FAILED"}


def test_run(windows: Callable[[str], Windows], tmp_path: Path) -> None:
    """Another Python, with nothing in it but a sitecustomize; the exit code is the command's."""
    lab = windows("3.12")
    shutil.copytree(lab.python, tmp_path / "bare", ignore=shutil.ignore_patterns("site-packages"))
    own = tmp_path / "bare" / "Lib" / "site-packages" / "sitecustomize.py"
    own.parent.mkdir(parents=True)
    own.write_text("ran = True\n")
    bare = "Z:" + str(tmp_path / "bare" / "python.exe").replace("/", "\\")
    code = (
        "import sitecustomize, sys; print('truststore_inject._startup' in sys.modules, sitecustomize.ran); sys.exit(7)"
    )
    result = lab.run("-m", "truststore_inject", "run", "--", bare, "-c", code)
    assert (result.returncode, result.stdout.strip()) == (7, "True True"), result.stderr
    assert lab.run("-m", "truststore_inject", "run", "--check", bare).returncode == 0
    assert lab.run("-m", "truststore_inject", "run", "--check", bare, "-I").returncode == 1
    assert lab.run("-m", "truststore_inject", "run", "nonsense").returncode == 127


def test_start_and_uninstall(windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    """Last: nothing of the package is left, and the process starts as before.  It uses the least used Python."""
    lab = windows("3.11")
    code = "import sys, json; print(json.dumps(any(type(f).__module__.startswith('truststore_inject') for f in sys.meta_path)))"
    assert lab.json(code) is True
    assert lab.json(code, TRUSTSTORE_INJECT="0") is False
    pth = lab.site_packages / "truststore-inject.pth"
    assert pth.exists()
    result: Any = lab.run("-m", "pip", "uninstall", "-y", "truststore-inject")
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(lab.site_packages.glob("truststore?inject*"))
    assert lab.json(code) is False
    assert verdicts(lab, "requests_get", urls) == expected(urls)
