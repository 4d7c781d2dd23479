"""One conversation with a server, which may say anything, and go on for ever."""

from __future__ import annotations

import base64
import errno
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness import HOSTS, Authorities
from servers import server_context

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from certificates import PUBLIC
from commands import NO_PROXY, command, diagnosis, failure, speaking

from truststore_inject.cli import _diagnosis, _handshake
from truststore_inject.cli._failure import Failure
from truststore_inject.cli._handshake import Deadline
from truststore_inject.cli._target import Target


def _smtp(connection: socket.socket) -> None:
    connection.sendall(b"220-hello\r\n220 ready\r\n")
    assert connection.recv(1024).startswith(b"EHLO ")
    connection.sendall(b"250-here\r\n250 STARTTLS\r\n")
    assert connection.recv(1024) == b"STARTTLS\r\n"
    connection.sendall(b"220 go\r\n")


def _imap(connection: socket.socket) -> None:
    connection.sendall(b"* OK ready\r\n")
    assert connection.recv(1024) == b"a STARTTLS\r\n"
    connection.sendall(b"* note\r\na OK go\r\n")


def _postgres(connection: socket.socket) -> None:
    assert connection.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
    connection.sendall(b"S")


@pytest.mark.parametrize(("protocol", "greet"), [("smtp", _smtp), ("imap", _imap), ("postgres", _postgres)])
@pytest.mark.long
def test_starttls(
    protocol: str, greet: Callable[[socket.socket], None], env: dict[str, str], authorities: Authorities
) -> None:
    context = server_context(authorities.system.issue_cert(*HOSTS))

    def answer(connection: socket.socket) -> None:
        greet(connection)
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with speaking(answer) as port:
        found = diagnosis(f"{protocol}://localhost:{port}", env=env)
        assert found["store"]["verdict"] == "accepted"
        assert set(found["clients"]) <= ({"psycopg", "psycopg2"} if protocol == "postgres" else set())
        assert diagnosis(f"localhost:{port}", "--starttls", protocol, env=env)["accepted"]


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
        ("smtp", b"5" * 9999 + b"\x1b\r\n", "does not speak SMTP, it says '5{80}'$"),
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


def _for_ever(connection: socket.socket, beginning: bytes, again: bytes, pause: float) -> None:
    connection.sendall(beginning)
    while True:
        connection.sendall(again)
        time.sleep(pause)


TALKERS = {
    "smtp": (b"", b"220-hello\r\n"),
    "imap": (b"* OK\r\n", b"* still here\r\n"),
    "a line without an end": (b"", b"220 "),
    "a proxy": (b"HTTP/1.1 200 OK\r\n", b"Via: me\r\n"),
    "TLS": (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", b"x"),
}


@pytest.mark.parametrize("pause", [0.0, 0.2], ids=["fast", "slow"])
@pytest.mark.parametrize("who", TALKERS)
def test_a_server_that_does_not_stop_talking(who: str, pause: float, env: dict[str, str]) -> None:
    """If nothing else ends it, the limit of the tests' own `run` does, and fails them."""
    with speaking(lambda connection: _for_ever(connection, *TALKERS[who], pause)) as port:
        if who == "a proxy":
            env = {name: value for name, value in env.items() if name != "NO_PROXY"}
            env["HTTPS_PROXY"] = f"127.0.0.1:{port}"
        options = ["--starttls", "imap" if who == "imap" else "smtp"] if who not in ("a proxy", "TLS") else []
        timeout = "1" if pause else "60"
        line = failure("check", f"127.0.0.1:{port}", "--timeout", timeout, *options, env=env, code=3)
    if pause:
        assert "no answer within 1 seconds" in line
    else:
        assert ("does not speak TLS" if who == "TLS" else "keeps sending plain text") in line


@pytest.mark.long
def test_a_client_that_is_kept_by_a_server_that_does_not_stop_talking(
    env: dict[str, str], authorities: Authorities
) -> None:
    """Over TLS; with a head, which ends as little as a body."""
    context = server_context(authorities.system.issue_cert(*HOSTS))

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            if tls.recv(65536):
                _for_ever(tls, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1)

    with speaking(answer) as port:
        (found,) = json.loads(command("check", f"localhost:{port}", "--timeout", "1", "--json", env=env).stdout)
    assert found["store"]["verdict"] == "accepted"
    assert found["clients"]["asyncio"]["verdict"] == "accepted"
    assert found["clients"]["urllib.request"] == {"verdict": "error", "words": "it did not finish within 1 seconds"}


@pytest.mark.long
def test_a_body_without_an_end_is_not_read(env: dict[str, str], authorities: Authorities) -> None:
    context = server_context(authorities.system.issue_cert(*HOSTS))

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            if tls.recv(65536):
                _for_ever(tls, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 16384, 0.0)

    import certifi

    env = {**env, "SSL_CERT_FILE": certifi.where()}  # httpx fails if it does not exist
    with speaking(answer) as port:
        (found,) = json.loads(command("check", f"localhost:{port}", "--timeout", "5", "--json", env=env).stdout)
    said = {name: client for name, client in found["clients"].items() if client["verdict"] != "accepted"}
    assert said == {}


def test_a_name_whose_look_up_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from truststore_inject.cli import _handshake
    from truststore_inject.cli._failure import Failure
    from truststore_inject.cli._target import Target

    monkeypatch.setattr(os, "environ", NO_PROXY)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(60))
    with pytest.raises(Failure, match=r"no answer within 0\.2 seconds"):
        _handshake.speaks_http(Target("slow.test", 443, None), 0.2)
    # Nor is there more time because it has many addresses.
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 1000)
    tried = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(self.gettimeout())
        time.sleep(0.1)
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Failure, match=r"no answer within 0\.2 seconds"):
        _handshake.speaks_http(Target("many.test", 443, None), 0.2)
    assert 0 < len(tried) < 5
