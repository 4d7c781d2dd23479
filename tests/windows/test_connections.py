"""Connections on a Windows Python, under Wine: nothing passes before Windows has agreed, whatever the program does."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_host_names as host_names
from harness import Authorities
from servers import Server
from wine import ACCEPTED, Windows, expected, is_judged

if shutil.which("wine") is None:
    pytest.skip("Wine is not installed (apt-get install wine wine64)", allow_module_level=True)

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


class Issuer(host_names.Issuer):
    """One that Wine can judge."""

    def issue(self, *arguments: Any) -> bytes:
        while not is_judged(certificate := super().issue(*arguments)):
            pass
        return certificate


def test_names_agree_with_stock(windows: Callable[[str], Windows], tmp_path: Path) -> None:
    """Windows looks at them in its way, and then the package in OpenSSL's: nothing is accepted that stock refuses."""
    issuer = Issuer()
    (tmp_path / "issuer.pem").write_bytes(issuer.certificate)
    stock = ssl.create_default_context(cafile=str(tmp_path / "issuer.pem"))
    code = f"""{CODE}
context = ssl.create_default_context()
found = []
for url, host in json.loads(open(sys.argv[1]).read()):
    found.append(judge(lambda: context.wrap_socket(connect(url), server_hostname=host).close()))
print(json.dumps(found))
"""
    questions, right = {}, {}
    for number, (dns, addresses, common_name) in enumerate(host_names.FIXED):
        context = issuer.server(tmp_path / "server.pem", dns, addresses, common_name)
        url = Server(context).url
        for host in host_names.HOSTS:
            accepted = host_names.verdict(host_names.shake, stock, context, host) is None
            # Wine knows no addresses in names, and refuses every name of a certificate that has one.
            known = not addresses and ":" not in host and host.strip("0123456789.")
            questions[number, host] = (url, host)
            right[number, host] = "accepted" if accepted and known else "refused"
    (tmp_path / "questions.json").write_text(json.dumps([*questions.values()]))
    variables = {"SSL_CERT_FILE": str(tmp_path / "issuer.pem")}
    said = windows("3.13").json(code, str(tmp_path / "questions.json"), **variables)
    found = dict(zip(questions, said, strict=True))
    assert found == right
    assert [*found.values()].count("accepted") > 10


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
