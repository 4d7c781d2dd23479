"""The command line where no server and no machine of the tests leads: its functions, called with what they would get."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import errno
import hashlib
import io
import json
import os
import shutil
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from harness import Authorities, environment, run_code

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier
from lax import certificate, lax
from test_cli import speaking

from truststore_inject import _status, stores
from truststore_inject.cli import (
    _certificate,
    _children,
    _clients,
    _diagnosis,
    _handshake,
    _influences,
    _judges,
    _reasons,
    _sitecustomize,
    _target,
    _terminal,
    export,
    status,
)
from truststore_inject.cli._certificate import Certificate
from truststore_inject.cli._failure import Failure
from truststore_inject.cli._handshake import Deadline
from truststore_inject.cli._target import Target

HERE = Target("server.test", 443, None)
PUBLIC = Target("www.public-name.org", 443, None)
NOW, DAY = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)


def load(pem: trustme.Blob | bytes) -> Certificate:
    return _certificate.read(ssl.PEM_cert_to_DER_cert((pem if isinstance(pem, bytes) else pem.bytes()).decode()))


def leaf_of(authority: trustme.CA, *names: str, **options: Any) -> Certificate:
    return load(authority.issue_cert(*names or ("server.test",), **options).cert_chain_pems[0])


def made(*extensions: x509.ExtensionType, subject: str = "leaf", issuer: str = "Some CA") -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return load(certificate(subject, key, [(extension, False) for extension in extensions], issuer, key))


def located(method: ObjectIdentifier) -> x509.AuthorityInformationAccess:
    location = x509.UniformResourceIdentifier("http://ca.example/ca.crt")
    return x509.AuthorityInformationAccess([x509.AccessDescription(method, location)])


# check: why, and what to do.


def explain(
    chain: list[Certificate], code: int, *, verdict: str = "refused", target: Target = HERE, **more: Any
) -> tuple[str, list[str]]:
    report = {
        "store": {"verdict": verdict, "code": code, "words": "OpenSSL's words"},
        "clients": more.get("clients", {}),
    }
    return _reasons.explain(target, report, chain, more.get("relaxed"))


def test_each_reason_has_its_words(authorities: Authorities) -> None:
    good = leaf_of(authorities.system)
    old = leaf_of(authorities.system, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    coming = leaf_of(authorities.system, not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    nameless = made()
    assert explain([good], 0, verdict="error") == ("There was no verdict: OpenSSL's words.", [])
    assert explain([good], 79)[0] == "Refused: OpenSSL's words (code 79)."
    assert "no name at all" in explain([nameless], 62)[0]
    assert explain([old], 10)[0].startswith("Expired: The server's certificate was valid until ")
    assert explain([good, old], 10)[0].startswith("Expired: The CA certificate OU=Testing cert")
    assert explain([good], 10)[0].startswith("This chain ends at a CA certificate in the store that has expired")
    for code in (9, 0x800B0101):  # Windows has one code for both ends
        assert explain([coming], code)[0].startswith("Not yet valid: ")
    assert explain([good], 9)[0].startswith("Not yet valid: ")  # by a clock that was set meanwhile
    self_signed = made(subject="box", issuer="box")
    assert explain([self_signed], 18)[0] == "The server's certificate CN=box is self-signed and not in the store."
    assert explain([made(located(AuthorityInformationAccessOID.CA_ISSUERS))], 20)[0].startswith(
        "Missing intermediate: "
    )
    unknown = explain([good], 20)
    assert unknown[0].startswith("Unknown issuer: ")
    assert "inspecting" not in unknown[0]
    assert "inspecting" in explain([good], 20, target=PUBLIC)[0]


@pytest.mark.parametrize(
    ("fault", "lack"),
    [
        ("basicConstraints not critical", "CN=lax CA lacks a basicConstraints that is critical."),
        ("no authority key identifier", "CN=localhost lacks an authority key identifier."),
    ],
)
def test_what_x509_strict_minds_is_named(fault: str, lack: str) -> None:
    ca, leaf = lax(fault)
    chain = [load(leaf.cert_chain_pems[0]), load(ca)]
    reason, fix = explain(chain, 89, relaxed={"verdict": "accepted"})
    assert reason.startswith("Refused only because of VERIFY_X509_STRICT")
    assert reason.endswith(f": OpenSSL's words. {lack}")
    assert "TRUSTSTORE_INJECT_X509_STRICT=0" in fix[1]
    assert "X509_STRICT" not in explain(chain, 89, relaxed={"verdict": "refused"})[0]


def test_a_ca_that_lacks_all_of_it(authorities: Authorities) -> None:
    bare = made(x509.BasicConstraints(ca=True, path_length=None), subject="CA", issuer="CA")
    everything = "a basicConstraints that is critical, keyUsage, a subject key identifier"
    assert ", ".join(bare.lacks) == everything
    assert load(authorities.system.cert_pem).lacks == []
    unreadable = made(x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.19"), b"\x04\x00"))
    assert explain([unreadable, bare], 89, relaxed={"verdict": "accepted"})[0].endswith(
        f": OpenSSL's words. CN=CA lacks {everything}."
    )


def test_who_refuses_though_the_store_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    clients = {"requests": {"verdict": "refused"}, "httpx": {"verdict": "accepted"}}
    reason, fix = explain([made()], 0, verdict="accepted", clients=clients)
    assert reason == "The system store accepts this server, but not requests."
    assert fix == ["To see what else decides about trust here: truststore-inject status"]


def test_when_it_looks_like_an_inspecting_proxy() -> None:
    to_the_issuer = made(located(AuthorityInformationAccessOID.CA_ISSUERS))
    ocsp_only = made(located(AuthorityInformationAccessOID.OCSP))
    assert _reasons.inspects(PUBLIC, [made()])
    assert _reasons.inspects(PUBLIC, [ocsp_only])
    assert not _reasons.inspects(PUBLIC, [to_the_issuer])
    assert _reasons.inspects(HERE, [made(issuer="Netskope CA")])
    for host in ("server", "server.internal", "10.0.0.1", "::1"):
        assert not _reasons.inspects(Target(host, 443, None), [made()]), host
    assert not _reasons.inspects(PUBLIC, [dataclasses.replace(made(), has_timestamps=True)])


def test_the_validity_of_an_older_cryptography() -> None:
    now = NOW.replace(tzinfo=None)
    older = SimpleNamespace(not_valid_before=now, not_valid_after=now + DAY)
    assert _certificate._utc(older, "not_valid_before") == NOW
    assert _certificate._utc(older, "not_valid_after") == NOW + DAY


def test_where_the_anchor_lies(
    authorities: Authorities, store: Path, ca_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/bundle.pem")
    monkeypatch.setattr(stores, "interpositions", None)
    system, private = (load(authority.cert_pem) for authority in (authorities.system, authorities.private))
    path = [base64.b64encode(one.parsed.public_bytes(Encoding.DER)).decode() for one in (system, private)]
    leaf = leaf_of(authorities.system)

    def place(path: list[str], ca_file: str | None = None) -> str | None:
        found = _diagnosis._anchor(path, [leaf], ca_file)
        return None if found is None else found["place"]

    assert str(place(path[:1])).startswith(str(store))
    assert place(path[1:], str(ca_file("private"))) == str(ca_file("private"))
    assert str(place(path[1:], str(ca_file("unknown")))).startswith("not found: ")
    assert place([]) is None
    # Where the operating system verifies it names no path: who signed what was sent?
    monkeypatch.setattr(stores, "interpositions", ())
    assert str(place([])).startswith(str(store))
    assert _certificate.is_issued_by(leaf, _certificate.read(b"no certificate")) is False
    assert _certificate.is_issued_by(leaf, private) is False
    assert _certificate.is_issued_by(leaf, system) is _certificate.is_issued_by(system, system) is True


def test_a_ca_file_that_cannot_be_read(tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.pem"
    corrupt.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(Failure, match="line 1: a corrupt certificate"):
        _diagnosis._check_pem(str(corrupt))
    with pytest.raises(Failure, match="No such file"):
        _diagnosis._check_pem(str(tmp_path / "none.pem"))


def test_a_report_for_people(capsys: pytest.CaptureFixture[str], authorities: Authorities) -> None:
    chain = [leaf_of(authorities.system).as_dict(), made().as_dict()]
    verdict = {"verdict": "error", "code": 0, "words": "words of an error"}
    report = {
        "target": "server.test:443",
        "proxy": "proxy.test:3128",
        "chain": [{**chain[0], "subject": ""}, chain[1]],
        "anchor": {"subject": "CN=anchor", "place": "/etc/anchor.pem"},
        "stock": verdict,
        "store": verdict,
        "clients": {"requests": verdict},
        "reason": "Because.",
        "fix": ["Do this:", "  a command"],
    }
    _diagnosis.show({"target": "other.test:443", "error": "nothing listens"}, separate=False)
    _diagnosis.show(report, separate=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "other.test:443",
        "  nothing listens",
        "",
        "server.test:443, through the proxy proxy.test:3128",
    ]
    assert {"  0  (no subject)", "  *  CN=anchor", "     in       /etc/anchor.pem", "Because.", "  a command"} <= {
        *lines
    }
    assert sum(line.strip() == "words of an error" for line in lines) == 3


# check: how a server is named and reached.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::1", "[::1]:443"),
        ("[::1]:8443", "[::1]:8443"),
        ("server.test:587", "server.test:587 (STARTTLS, smtp)"),
        ("imap://server.test", "server.test:143 (STARTTLS, imap)"),
        ("LDAPS://server.test", "server.test:636"),
        ("gopher://server.test", None),
        ("https://server.test:port", None),
        ("https://user:secret@" + "x" * 70, None),
        ("https://", None),
        ("two words", None),
    ],
)
def test_how_a_server_is_named(text: str, expected: str | None) -> None:
    if expected is not None:
        assert str(_target.parse(text, None)) == expected
        return
    with pytest.raises(Failure) as raised:
        _target.parse(text, None)
    assert raised.value.code == 2
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", None),
        ("proxy.test", ("proxy.test", 8080, None)),
        ("http://me:p%40ss@proxy.test:3128", ("proxy.test", 3128, base64.b64encode(b"me:p@ss").decode())),
        ("http://me@proxy.test", ("proxy.test", 8080, base64.b64encode(b"me:").decode())),
        ("socks5://proxy.test", Failure),
        ("http://proxy.test:none", Failure),
        ("http://", Failure),
    ],
)
def test_the_proxy_of_the_environment(url: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"https_proxy": url} if url else {})
    if expected is Failure:
        with pytest.raises(Failure, match="HTTPS_PROXY"):
            _target.proxy(PUBLIC)
    else:
        assert _target.proxy(PUBLIC) == expected
        assert _target.proxy(Target(PUBLIC.host, 25, "smtp")) is None


def test_credentials_for_the_proxy_and_an_ipv6_server(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n" if len(asked) == 1 else b"HTTP/1.1 407 Who\r\n\r\n")

    with speaking(answer) as port:
        monkeypatch.setattr(os, "environ", {"https_proxy": f"http://me:pass@127.0.0.1:{port}"})
        with _handshake.connection(Target("2001:db8::1", 443, None), Deadline(20)):
            pass
        with pytest.raises(Failure, match=r"refused to connect to www\.public-name\.org:443: 'HTTP/1\.1 407 Who'"):
            _handshake.speaks_http(PUBLIC, 20)
    assert asked[0].startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n" in asked[0]


@pytest.mark.parametrize(
    ("protocol", "said", "words"),
    [
        ("smtp", b"220-a\r\n220 b\r\n500 no\r\n", "does not speak SMTP with EHLO, it says '500 no'"),
        ("smtp", b"", "does not speak SMTP, it says ''"),
        ("imap", b"+OK POP3\r\n", r"does not speak IMAP, it says '\+OK POP3'"),
        ("imap", b"* OK\r\n* BYE\r\na NO\r\n", "does not offer STARTTLS, it says 'a NO'"),
        ("postgres", b"N", "does not offer TLS"),
        ("postgres", b"H", "does not speak PostgreSQL, it says 'H'"),
    ],
)
def test_a_server_without_starttls(protocol: str, said: bytes, words: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    with speaking(answer) as port, pytest.raises(Failure, match=words):
        _handshake.speaks_http(Target("127.0.0.1", port, protocol), 20)


def test_what_else_goes_wrong_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"no_proxy": "*"})
    with speaking(lambda connection: None) as port:
        target = Target("127.0.0.1", port, None)
        with (
            pytest.raises(ssl.SSLError),
            _handshake.connection(target, Deadline(20)),
        ):  # not a failure of the connection
            raise ssl.SSLError("inside")

    def unreachable(*_: Any) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    with pytest.raises(Failure, match=f"127\\.0\\.0\\.1:{port}: Network is unreachable"):
        _handshake.speaks_http(target, 20)
    assert _diagnosis._speaks_http(target, 20) is False


def ssl_error(words: str) -> ssl.SSLError:
    error = ssl.SSLError(1, words)
    error.reason = ""
    return error


class Handshake:
    """An `ssl.SSLContext` and its socket, whose handshake ends with `error`."""

    def __init__(self, error: Exception | None, *, wrapping: Exception | None = None) -> None:
        self._error, self._wrapping = error, wrapping

    def wrap_socket(self, *_: Any, **__: Any) -> Handshake:
        if self._wrapping is not None:
            raise self._wrapping
        return self

    def do_handshake(self) -> None:
        if self._error is not None:
            raise self._error

    def version(self) -> str | None:
        return None if self._error else "TLSv1.3"

    def getpeercert(self, binary: bool) -> bytes:
        return b"leaf"

    def close(self) -> None:
        pass


def test_a_handshake_that_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"no_proxy": "*"})

    def handshake(error: Exception | None, **options: Any) -> dict[str, Any]:
        return _handshake.handshake(target, 20, Handshake(error, **options))  # type: ignore[arg-type]

    with speaking(lambda connection: connection.recv(1) and None) as port:
        target = Target("127.0.0.1", port, None)
        hung_up = handshake(None, wrapping=ssl_error("hung up"))
        assert (hung_up["verdict"], hung_up["chain"]) == ("error", [])
        assert "hung up" in hung_up["words"]
        assert handshake(ConnectionResetError())["words"] == "the connection was cut during the handshake"
        assert "alert" in handshake(ssl_error("alert"))["words"]
        # An interpreter that tells the server's certificate only, as PyPy's.
        told = handshake(None)
        assert (told["verdict"], told["chain"]) == ("accepted", [base64.b64encode(b"leaf").decode()])


def test_the_child_says_why_there_was_no_handshake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import truststore_inject

    monkeypatch.setattr(truststore_inject, "inject", lambda: None)
    monkeypatch.setattr(os, "environ", {"no_proxy": "*"})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(sys, "argv", ["-c", _handshake.question(Target("127.0.0.1", port, None), 20)])
    _handshake.main()
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["chain"]) == ("error", [])
    assert "nothing listens on that port" in said["words"]


# Its children.


def test_a_child_that_says_nothing() -> None:
    for code, limit, words in (
        ("raise SystemExit(7)", 60, "it ended with code 7"),
        ("1 / 0", 60, "ZeroDivisionError: division by zero"),
        ("import time; time.sleep(60)", 0.1, "no answer within 0.1 seconds"),
    ):
        with pytest.raises(_children.NoAnswer, match=words):
            _children.ask(code, env=os.environ, limit=limit)
    with pytest.raises(FileNotFoundError):
        _children.ask("", env=os.environ, limit=60, python="/nonexistent/python")


def test_which_clients_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    clients = {
        "of Python": ("ssl", None),
        "gone": ("no_such", None),
        "half": ("no.x", None),
        "broken": ("broken.x", None),
    }
    monkeypatch.setattr(_clients, "CLIENTS", clients)
    assert _judges.installed() == {"of Python": ""}


def test_who_speaks_which_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"httpx2": ("ssl", None), "psycopg2": ("ssl", None)}
    monkeypatch.setattr(_clients, "CLIENTS", clients)
    assert [_judges.of_protocol(protocol) for protocol in (None, "postgres", "smtp")] == [["httpx2"], ["psycopg2"], []]


def test_known_clients_are_not_imported() -> None:
    """``status`` would change what it describes."""
    code = """
import json, sys
from truststore_inject.cli import _judges
before = {*sys.modules}
known = _judges.known()
print(json.dumps([[name for name in ("urllib.request", "asyncio") if name not in known], sorted({*sys.modules} - before)]))
"""
    left_out, imported = run_code(code, env=environment())
    assert not left_out
    assert not [name for name in imported if name.partition(".")[0] in {"botocore", "mcp", "pip", "tornado", "httpx2"}]


# status


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (TimeoutError("timed out while waiting for handshake response"), "accepted"),  # of the WebSocket
        (TimeoutError("timed out during handshake"), "accepted"),  # the same, before websockets 15
        (EOFError("connection closed while reading HTTP status line"), "accepted"),
        (TimeoutError("The handshake operation timed out"), "error"),  # of TLS
        (ssl.SSLCertVerificationError("unable to get local issuer certificate"), "refused"),
    ],
)
def test_who_speaks_tls_need_not_speak_websocket(
    error: Exception, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="check needs it, for this row")

    def connect(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(client, "connect", connect)
    assert _clients.judge("websockets", "https://localhost/", "default", 1)[0] == verdict


def test_pips_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = sys.platform == "win32"
    folder, name = ("pip", "pip.ini") if windows else (".pip", "pip.conf")
    files = {
        "own": "[global]\ncert = /own.pem\n[install]\nno-index = true\n",
        f"home/{folder}/{name}": "[install]\ncert = /home.pem\n",
        f"config/pip/{name}": "this is no configuration",
        f"prefix/{name}": "[global]\ncert = \xff",
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="latin-1")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    home, config = ("USERPROFILE", "APPDATA") if windows else ("HOME", "XDG_CONFIG_HOME")
    places = {home: "home", config: "config", "PIP_CONFIG_FILE": "own"}
    monkeypatch.setattr(os, "environ", {name: str(tmp_path / place) for name, place in places.items()})
    found = {entry["name"]: entry["value"] for entry in _influences._pip_config() if str(tmp_path) in entry["name"]}
    at_home, own = tmp_path / "home" / folder / name, tmp_path / "own"
    assert found == {f"install.cert in {at_home}": "/home.pem", f"global.cert in {own}": "/own.pem"}


def test_what_a_variable_means(
    store: Path, ca_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    values = {
        "SSL_CERT_FILE": certifi.where(),
        "SSL_CERT_DIR": str(store),
        "REQUESTS_CA_BUNDLE": str(ca_file("private")),
        "CURL_CA_BUNDLE": str(tmp_path / "none.pem"),
        "PIP_CERT": str(next(store.iterdir())),
        "AWS_CA_BUNDLE": certifi.where(),
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": certifi.where(),
    }
    monkeypatch.setattr(os, "environ", values)
    fixes = {entry["name"]: entry["fix"] for entry in _influences.variables(stores.describe())}
    assert fixes == {
        "SSL_CERT_FILE": "Unset it.",
        "SSL_CERT_DIR": "Nothing to do if that is intended.",
        "REQUESTS_CA_BUNDLE": "Unset it, or leave it if that is intended.",
        "CURL_CA_BUNDLE": "It does not exist: unset it.",
        "PIP_CERT": "It is the system's own. Unset it: that is faster and sees new CAs at once.",
        "AWS_CA_BUNDLE": "Unset it.",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "Unset it, or leave it if that is intended.",
    }


def test_a_changed_certifi(authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = [authority.cert_pem.bytes() for authority in (authorities.bundled, authorities.private)]
    site, info = tmp_path / "site", tmp_path / "site" / "certifi-2026.1.1.dist-info"
    info.mkdir(parents=True)
    (site / "certifi").mkdir()
    (site / "certifi" / "__init__.py").write_text("# as in certifi\n")
    file = site / "certifi" / "cacert.pem"
    digest = base64.urlsafe_b64encode(hashlib.sha256(pem[0]).digest()).decode().rstrip("=")
    (info / "RECORD").write_text(f"certifi/cacert.pem,sha256={digest},{len(pem[0])}\n")
    installed = [SimpleNamespace(name=name, locate=lambda: file) for name in ("core.py", "cacert.pem")]
    monkeypatch.setattr(_influences.metadata, "files", lambda _: installed)

    def effects() -> list[str]:
        return [found["effect"] for found in _influences._changed_certifi()]

    assert effects() == []  # there is no such file
    file.write_bytes(pem[0])
    assert effects() == []
    file.write_bytes(pem[0] + pem[1])
    (words,) = effects()
    assert ("private of the tests" in words, "bundled of the tests" in words) == (True, False)
    file.write_bytes(pem[1])  # what was installed is not in it any more
    assert "private of the tests" in effects()[0]

    def missing(_: str) -> None:
        raise _influences.metadata.PackageNotFoundError

    monkeypatch.setattr(_influences.metadata, "files", missing)
    assert list(_influences._changed_certifi()) == []


def test_the_subject_of_what_is_no_ca(authorities: Authorities) -> None:
    assert _influences.subject(b"AAAA") == "(a certificate that OpenSSL cannot read)"
    assert _influences.subject(leaf_of(authorities.system).parsed.public_bytes(Encoding.DER)) == (
        "(a certificate that is not a CA)"
    )


def test_a_replaced_class_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(_influences._replaced_class()) == []
    monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (), {"__module__": "truststore._api"}))
    assert [entry["value"] for entry in _influences._replaced_class()] == ["truststore._api"]


def test_why_it_is_active_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ("/base/sitecustomize.py", "/base/folder")
    here = str(Path(status.__file__).parents[2])

    def reason(active: bool, **facts: Any) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", facts.get("environ", {}))
            patch.setattr(_sitecustomize, "covering", lambda: facts.get("base"))
            patch.setattr(_sitecustomize, "hidden_by", lambda: facts.get("hidden"))
            patch.setattr(status, "_start_files", facts.get("files", lambda places=None: ["/armed.pth"]))
            patch.setattr(status, "_site_directories", lambda: facts.get("site", [here]))
            patch.setattr(sys, "prefix", facts.get("prefix", sys.base_prefix))
            return status._reason(_status.Status(**{**vars(_status.status()), "active": active}))

    def nothing(_: object = None) -> list[str]:
        return []

    assert reason(True) == "armed by /armed.pth"
    assert reason(True, files=nothing) == "armed by a call to truststore_inject.inject()"
    assert reason(True, prefix="/venv").endswith("is not covered")
    assert reason(True, base=base).startswith("armed by /armed.pth; /base/sitecustomize.py covers the base Python in ")
    assert reason(True, base=(base[0], here)).startswith("armed by /base/sitecustomize.py, in every environment")
    assert reason(False, base=base, hidden="/x.py") == (
        "/base/sitecustomize.py would arm it, but /x.py runs in its place (PYTHONPATH)"
    )
    assert reason(False, files=nothing).startswith(f"there is no truststore-inject.pth in {here}: ")
    elsewhere = reason(False, files=lambda places=None: places or [], site=["/site"])
    assert elsewhere == f"it is installed in {here}, another site; this interpreter runs the .pth files in /site"
    assert reason(False).startswith("its .pth file did not run to the end")
    assert reason(False, environ={"TRUSTSTORE_INJECT": "off"}) == "switched off by TRUSTSTORE_INJECT=off"


def test_status_of_a_machine_without_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [{"path": "/x", "reason": "empty"}]
    empty = {"source": None, "directories": [], "bundles": [], "anchors": None, "changed": None, "left_out": left_out}
    python = {"version": "3", "executable": "python"}
    patches = {
        "ssl": {"state": "applied", "reason": ""},
        "x": {"state": "waiting", "reason": "not installed"},
        "y": {"state": "waiting", "reason": ""},
    }
    report = {
        "version": "1",
        "active": False,
        "reason": "",
        "python": python,
        "store": empty,
        "patches": patches,
        "clients": {"asyncio": "", "psycopg2": "2"},
        "settings": {"TRUSTSTORE_INJECT_DEBUG": "1"},
        "notes": ["a note"],
        "warnings": [{"name": "n", "value": "v", "effect": "It hurts.", "fix": "Mend it."}],
        "influences": [],
    }
    status._show(report)
    status._show({**report, "store": {**empty, "source": "Windows"}, "active": True})
    without, native = capsys.readouterr().out.split("truststore-inject 1: active")
    assert "none usable" in without
    assert "TRUSTSTORE_INJECT_DEBUG=1" in without
    assert "notes     a note" in without
    assert "left out /x: empty" in without
    assert "Warnings:\n  n, v\n    It hurts. Mend it.\n" in without
    assert without.index("Warnings:") < without.index("patches   ssl: applied\n          not installed: x\n")
    assert "clients   asyncio, psycopg2 2" in without
    assert "the trust anchors in Windows" in native
    assert status._changed({"directories": ["/nonexistent"], "bundles": []}) is None
    for active, words in (
        (True, "patched when it is imported"),
        (False, "not patched: the injection is not active"),
    ):
        assert status._patch("json", {"state": "waiting", "reason": ""}, active)["reason"] == words


def test_a_block_that_is_not_to_be_read_covers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sitecustomize.sysconfig, "get_path", lambda _: str(tmp_path))
    assert _sitecustomize.covering() is None
    file, folder = tmp_path / "sitecustomize.py", tmp_path / "truststore-inject-1-0123456789ab"
    written = _sitecustomize.insert(None, folder.name)
    file.write_bytes(b"import os\n")
    assert _sitecustomize.covering() is None
    file.write_bytes(written.replace(b"off", b"on"))
    assert _sitecustomize.covering() is None
    file.write_bytes(written)
    assert _sitecustomize.covering() is None
    folder.mkdir()
    assert _sitecustomize.covering() == (str(file), str(folder))
    monkeypatch.setattr(os, "environ", {"PYTHONPATH": f"{tmp_path}{os.pathsep}"})
    assert _sitecustomize.hidden_by() == str(file)
    monkeypatch.setattr(os, "environ", {})
    assert _sitecustomize.hidden_by() is None


# export, and the terminal


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", "export X='/a '\"'\"'b'\"'\"' \u2018c\u2019\\d'"),
        ("fish", "set -gx X '/a \\'b\\' \u2018c\u2019\\\\d'"),
        ("powershell", "$env:X = '/a ''b'' \u2018\u2018c\u2019\u2019\\d'"),
    ],
)
def test_the_lines_of_each_shell(shell: str, line: str) -> None:
    assert export._lines({"X": "/a 'b' \u2018c\u2019\\d"}, shell) == [line]


def test_a_store_that_cannot_be_exported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", "/nonexistent/extra.pem")
    monkeypatch.setattr(stores, "listing", list)
    with pytest.raises(Failure, match="no trust anchor"):
        export._anchors()
    assert "left out TRUSTSTORE_INJECT_EXTRA_CA_CERTS, /nonexistent/extra.pem: No such file" in capsys.readouterr().err

    def unreadable() -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(stores, "listing", unreadable)
    with pytest.raises(Failure, match="the system store cannot be read: input/output error"):
        export._anchors()
    monkeypatch.setattr(stores, "describe", lambda: {"bundles": []})
    with pytest.raises(Failure, match="this store is not one file"):
        export.run(SimpleNamespace(env=True, file=None, shell="sh", from_windows=False))  # type: ignore[arg-type]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_cut_to_the_terminal_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda _: os.terminal_size((50, 24)))
    progress = _terminal.Progress()
    answers = iter([False, False, True])  # the first second, one line, the end
    progress._end = SimpleNamespace(wait=lambda _: next(answers))  # type: ignore[assignment]
    progress.text = "x" * 99
    progress._show()
    line, wiped = screen.getvalue()[1:].split("\r")[:2]
    assert (line, wiped) == ("x" * 49, " " * 49)
    with _terminal.Progress():  # over within a second: nothing is shown
        pass
    assert screen.getvalue().count("\r") == 3


def test_what_is_odd_in_a_chain_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    certificate = {
        "subject": "CN=x", "issuer": "CN=y", "not_before": None, "not_after": None, "key": "unknown", "names": [],
        "lacks": [], "ca": False,
    }  # fmt: skip
    verdict = {"verdict": "accepted", "code": 0, "words": ""}
    report = {
        "target": "server.test:443", "proxy": None, "chain": [certificate] * 23, "anchor": None, "stock": verdict,
        "store": verdict, "clients": {}, "reason": "Because.", "fix": [],
    }  # fmt: skip
    _diagnosis.show(report, separate=False)
    printed = capsys.readouterr().out
    assert "and 3 more" in printed
    assert "valid" not in printed
    with pytest.raises(Failure, match="not a regular file"):
        _diagnosis._check_pem(str(tmp_path))


def test_a_certificate_whose_names_cannot_be_read() -> None:
    reason, _ = _reasons._wrong_name(HERE, SimpleNamespace(names=None))  # type: ignore[arg-type]
    assert "names that cannot be read" in reason
