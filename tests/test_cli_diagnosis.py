"""``truststore-inject check URL``: who accepts a server, and what there is to say where nobody answers."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from harness import HOSTS, Authorities, environment, openssl_store

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from certificates import leaf_of, load, made
from commands import command, diagnosis, failure, report, speaking
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from truststore_inject import stores
from truststore_inject.cli import _certificate, _diagnosis
from truststore_inject.cli._failure import Failure


def trust_name(authority: trustme.CA) -> str:
    return x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject.rfc4514_string()


@openssl_store
def test_an_accepted_server(env: dict[str, str], urls: dict[str, str], store: Path, authorities: Authorities) -> None:
    found = diagnosis(urls["intermediate"], env=env)
    assert found["accepted"]
    assert len(found["chain"]) == 2
    assert found["chain"][0]["names"] == list(HOSTS)
    assert found["chain"][0]["key"].startswith("EC ")
    assert found["anchor"]["subject"] == trust_name(authorities.system)
    assert Path(found["anchor"]["place"]) == next(store.glob("ca-*.pem"))
    assert found["stock"]["verdict"] == found["store"]["verdict"] == "accepted"
    assert found["clients"]["requests"]["verdict"] == "accepted"
    text = command("check", urls["intermediate"], env=env).stdout
    assert "The system store accepts this server." in text
    assert max(map(len, text.splitlines())) <= 80


@openssl_store
def test_a_file_that_openssl_gives_up_is_named(urls: dict[str, str], authorities: Authorities, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    anchor = authorities.system.cert_pem.bytes()
    bundle.write_bytes(anchor + anchor.replace(b"MII", b"AAA", 1))
    (tmp_path / "empty").mkdir()
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR=tmp_path / "empty")
    line = anchor.count(b"\n") + 1
    found = diagnosis(urls["system"], env=env, code=1)
    (left_out,) = (entry for entry in found["left_out"] if entry["path"] == str(bundle))
    assert f"line {line}: a corrupt certificate" in left_out["reason"]
    text = " ".join(command("check", urls["system"], env=env).stdout.split())
    assert f"Not used: {bundle}: line {line}: a corrupt certificate" in text


def test_a_variable_that_makes_requests_refuse(
    env: dict[str, str], urls: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    env = {**env, "REQUESTS_CA_BUNDLE": str(ca_file("private"))}
    found = diagnosis(urls["system"], env=env, code=1)
    assert found["store"]["verdict"] == "accepted"
    assert found["clients"]["requests"]["verdict"] == "refused"
    assert any(line.startswith("REQUESTS_CA_BUNDLE=") for line in found["fix"])


@pytest.mark.long
def test_through_a_proxy(env: dict[str, str], urls: dict[str, str]) -> None:
    asked = []

    def answer(client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        asked.append(head.decode())
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    with speaking(answer) as port:
        proxied = {name: value for name, value in env.items() if name != "NO_PROXY"}
        proxied["HTTPS_PROXY"] = f"http://user:secret@127.0.0.1:{port}"
        result = command("check", urls["system"], "--json", env=proxied)
        without = diagnosis(urls["system"], env={**proxied, "HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert without["accepted"]
    assert any("Proxy-Authorization" not in head for head in asked)
    assert "secret" not in result.stdout + result.stderr
    (found,) = json.loads(result.stdout)
    assert result.returncode == 0, found
    assert found["proxy"] == f"127.0.0.1:{port}"
    assert found["clients"]["requests"]["verdict"] == "accepted"
    credentials = base64.b64encode(b"user:secret").decode()
    assert any(f"Proxy-Authorization: Basic {credentials}" in head for head in asked)


def test_an_unresolvable_host(env: dict[str, str]) -> None:
    assert "cannot be resolved" in failure("check", "https://host.invalid/", env=env, code=3)


def test_a_closed_port(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "connection refused" in failure("check", f"127.0.0.1:{port}", env=env, code=3)


def test_several_servers(env: dict[str, str], urls: dict[str, str]) -> None:
    """One that does not answer does not hide the others; the exit code is the highest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    closed, accepted = report("check", f"127.0.0.1:{port}", urls["system"], env=env, code=3)
    assert "connection refused" in closed["error"]
    assert accepted["accepted"]


def test_plain_http(env: dict[str, str]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with speaking(answer) as port:
        assert "speaks plain HTTP" in failure("check", f"localhost:{port}", env=env, code=3)


def test_something_else(env: dict[str, str]) -> None:
    with speaking(lambda connection: connection.sendall(b"HELLO\r\n")) as port:
        assert "does not speak TLS" in failure("check", f"localhost:{port}", env=env, code=3)
        assert "does not speak SMTP" in failure("check", f"smtp://localhost:{port}", env=env, code=3)
        assert "does not speak IMAP" in failure("check", f"imap://localhost:{port}", env=env, code=3)
        assert "does not speak PostgreSQL" in failure("check", f"postgres://localhost:{port}", env=env, code=3)


def test_a_timeout(env: dict[str, str]) -> None:
    with speaking(lambda connection: connection.recv(65536) and connection.recv(65536) and None) as port:
        line = failure("check", f"localhost:{port}", "--timeout", "0.3", env=env, code=3)
    assert "no answer within 0.3 seconds" in line


def test_a_timeout_that_is_none(env: dict[str, str]) -> None:
    result = command("check", "localhost:1", "--timeout", "0", env=env)
    assert result.returncode == 2
    assert "more than 0 and less than 3600" in result.stderr


@pytest.mark.parametrize("content", ["not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_not_pem(content: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(content)
    assert "ca.pem" in failure("check", "localhost:1", "--ca-file", str(tmp_path / "ca.pem"), env=env, code=4)
    assert "No such file" in failure("check", "localhost:1", "--ca-file", str(tmp_path / "none"), env=env, code=4)


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


def test_judged_with_a_further_ca(env: dict[str, str], urls: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    found = diagnosis(urls["private"], "--ca-file", str(ca_file("private")), env=env)
    assert found["store"]["verdict"] == "accepted"
    assert found["anchor"]["place"] == str(ca_file("private"))
