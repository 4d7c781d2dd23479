"""One conversation with a server: the way to it, STARTTLS, one TLS handshake.  It ends when its time is up.

``python -c "from truststore_inject.cli._handshake import main; main()" JSON`` makes that handshake in a child process,
stock or injected, as its environment says.
"""

import base64
import contextlib
import json
import os
import queue
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ._failure import NO_ANSWER, Failure
from ._secrets import without_credentials
from ._target import Target, proxy
from ._terminal import say

_MOST = 65536  # bytes of plain text that a server or proxy may send before TLS begins; a greeting has a few hundred


class Deadline:
    """The end of a conversation, `seconds` from now: a peer that keeps talking cannot postpone it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left.  Raises `TimeoutError` if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Peer:
    """What is exchanged in plain text before TLS begins."""

    def __init__(self, raw: socket.socket, where: str, deadline: Deadline) -> None:
        self._raw, self._where, self._deadline = raw, where, deadline
        self._received = 0

    def send(self, data: bytes) -> None:
        self._raw.settimeout(self._deadline.left())
        self._raw.sendall(data)

    def receive(self, count: int) -> bytes:
        """At most `count` bytes; none at the end of the connection."""
        self._raw.settimeout(self._deadline.left())
        data = self._raw.recv(count)
        self._received += len(data)
        if self._received > _MOST:
            raise Failure(f"{self._where}: it keeps sending plain text where TLS should begin", NO_ANSWER)
        return data

    def line(self) -> str:
        """Read a line byte by byte: what follows it belongs to TLS."""
        line = b""
        while not line.endswith(b"\n") and (byte := self.receive(1)):
            line += byte
        return line.decode("latin-1").rstrip("\r\n")

    def refuse(self, reason: str, said: str | None = None) -> Failure:
        """The failure that `reason` names, with the beginning of what was `said`."""
        words = "" if said is None else f" {without_credentials(said, os.environ)[:80]!r}"
        return Failure(f"{self._where}: {reason}{words}", NO_ANSWER)


@contextlib.contextmanager
def connection(target: Target, deadline: Deadline) -> Iterator[socket.socket]:
    """A socket on which `target` expects a TLS handshake, with what is left as its timeout.  Raises `Failure`."""
    through = proxy(target)
    host, port = through[:2] if through else (target.host, target.port)
    where = f"{'the proxy ' if through else ''}{host}:{port}"
    try:
        with _connect(host, port, deadline) as raw:
            peer = Peer(raw, where, deadline)
            if through:
                _through_proxy(peer, target, through[2])
            if target.starttls:
                _STARTTLS[target.starttls](peer)
            raw.settimeout(deadline.left())
            yield raw
    except socket.gaierror as error:
        raise Failure(f"{host}: the name cannot be resolved ({error.strerror})", NO_ANSWER) from None
    except TimeoutError:
        raise Failure(f"{where}: no answer within {deadline.seconds:g} seconds (--timeout)", NO_ANSWER) from None
    except ConnectionRefusedError:
        raise Failure(f"{where}: nothing listens on that port (connection refused)", NO_ANSWER) from None
    except ssl.SSLError:
        raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise Failure(f"{where}: {getattr(error, 'strerror', None) or error}", NO_ANSWER) from None


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """As `socket.create_connection`, which allows the time for each address anew, and sets no limit to the look-up."""
    error: OSError = TimeoutError()
    for family, kind, protocol, _, address in _addresses(host, port, deadline):
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout(deadline.left())
            raw.connect(address)
        except OSError as failed:
            raw.close()
            error = failed
        else:
            return raw
    raise error


def _addresses(host: str, port: int, deadline: Deadline) -> Any:
    """`socket.getaddrinfo`, which has no timeout: if it takes too long, its thread is left behind."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _through_proxy(peer: Peer, target: Target, credentials: str | None) -> None:
    host = f"[{target.host}]" if ":" in target.host else target.host.encode("idna").decode()
    head = f"CONNECT {host}:{target.port} HTTP/1.1\r\nHost: {host}:{target.port}\r\n"
    if credentials:
        head += f"Proxy-Authorization: Basic {credentials}\r\n"
    peer.send((head + "\r\n").encode())
    status = peer.line()
    if status.split()[1:2] != ["200"]:
        raise peer.refuse(f"refused to connect to {target.host}:{target.port}:", status)
    while peer.line():
        pass


def _smtp(peer: Peer) -> None:
    _smtp_reply(peer, "220", "SMTP")
    peer.send(b"EHLO localhost\r\n")
    _smtp_reply(peer, "250", "SMTP with EHLO")
    peer.send(b"STARTTLS\r\n")
    _smtp_reply(peer, "220", "STARTTLS")


def _smtp_reply(peer: Peer, code: str, what: str) -> None:
    line = peer.line()
    while line[3:4] == "-":
        line = peer.line()
    if not line.startswith(code):
        raise peer.refuse(f"does not speak {what}, it says", line)


def _imap(peer: Peer) -> None:
    greeting = peer.line()
    if not greeting.startswith("* OK"):
        raise peer.refuse("does not speak IMAP, it says", greeting)
    peer.send(b"a STARTTLS\r\n")
    answer = peer.line()
    while answer.startswith("*"):
        answer = peer.line()
    if not answer.startswith("a OK"):
        raise peer.refuse("does not offer STARTTLS, it says", answer)


def _postgres(peer: Peer) -> None:
    """https://www.postgresql.org/docs/current/protocol-message-formats.html (SSLRequest)"""
    peer.send((8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"))
    answer = peer.receive(1)
    if answer == b"N":
        raise peer.refuse("does not offer TLS")
    if answer != b"S":
        raise peer.refuse("does not speak PostgreSQL, it says", answer.decode("latin-1"))


_STARTTLS = {"smtp": _smtp, "imap": _imap, "postgres": _postgres}


def handshake(target: Target, timeout: float, context: ssl.SSLContext) -> dict[str, Any]:
    """One TLS handshake: ``verdict`` is ``accepted``, ``refused`` or ``error``; ``chain`` is what the server sends, and
    ``path`` what was verified up to the anchor, both DER in base64.

    `timeout` is in seconds, for all of it.  Raises `Failure` if the server does not speak TLS.
    """
    result: dict[str, Any] = {"verdict": "accepted", "code": 0, "words": "", "path": []}
    with connection(target, Deadline(timeout)) as raw:
        try:
            tls = context.wrap_socket(raw, server_hostname=target.host, do_handshake_on_connect=False)
        except ssl.SSLError as error:  # the server hung up first
            return no_verdict(error.reason or str(error))
        try:
            tls.do_handshake()  # the timeout of the socket is that of the handshake as a whole
            result["path"] = _der(tls, "get_verified_chain")
        except ssl.SSLCertVerificationError as error:
            result.update(verdict="refused", code=error.verify_code, words=error.verify_message)
        except ssl.SSLError as error:
            result.update(verdict="error", words=error.reason or str(error))
        except (ConnectionResetError, BrokenPipeError):
            result.update(verdict="error", words="the connection was cut during the handshake")
        result["chain"] = _der(tls, "get_unverified_chain")
        tls.close()
    return result


def no_verdict(words: str) -> dict[str, Any]:
    """What `handshake` returns if there was none."""
    return {"verdict": "error", "code": 0, "words": words, "chain": [], "path": []}


def _der(tls: ssl.SSLSocket, method: str) -> list[str]:
    """Before Python 3.13 only the private object has these methods; PyPy may not have them at all."""
    try:
        import _ssl

        certificates = getattr(tls._sslobj, method)() or ()  # type: ignore[attr-defined]
        chain = [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in certificates]
    except (AttributeError, ImportError, ValueError, ssl.SSLError):
        chain = [tls.getpeercert(True)] if tls.version() else []
    return [base64.b64encode(der).decode() for der in chain if der]


def speaks_http(target: Target, timeout: float) -> bool:
    """Whether the server speaks plain HTTP on that port.  Raises `Failure`."""
    deadline = Deadline(timeout)
    with connection(target, deadline) as raw:
        peer = Peer(raw, str(target), deadline)
        peer.send(f"HEAD / HTTP/1.0\r\nHost: {target.host}\r\n\r\n".encode())
        return peer.receive(5) == b"HTTP/"


def question(target: Target, timeout: float) -> str:
    """What `main` reads."""
    return json.dumps({"target": asdict(target), "timeout": timeout})


def main() -> None:
    from .. import inject

    inject()  # needed where no .pth file is run; it does nothing with TRUSTSTORE_INJECT=0
    asked = json.loads(sys.argv[1])
    context = ssl.create_default_context()
    try:
        result = handshake(Target(**asked["target"]), asked["timeout"], context)
    except Failure as failure:
        result = no_verdict(str(failure))
    say(json.dumps(result))
