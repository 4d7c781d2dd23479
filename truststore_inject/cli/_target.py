"""A server that ``check`` is asked about: how it is named, how it is reached, and one handshake with it.

``python -c "from truststore_inject.cli._target import main; main()" JSON`` makes that handshake in a child process,
stock or injected, as its environment says.
"""

import base64
import contextlib
import json
import socket
import ssl
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ._failure import NO_ANSWER, USAGE, Failure
from ._terminal import say

# The port and the STARTTLS protocol of each scheme.
_SCHEMES: dict[str, tuple[int, str | None]] = {
    "https": (443, None),
    "http": (80, None),
    "wss": (443, None),
    "ftps": (990, None),
    "imap": (143, "imap"),
    "imaps": (993, None),
    "ldaps": (636, None),
    "pop3s": (995, None),
    "postgres": (5432, "postgres"),
    "postgresql": (5432, "postgres"),
    "smtp": (25, "smtp"),
    "smtps": (465, None),
}
# Where a bare HOST:PORT asks for STARTTLS.
_PORTS = {25: "smtp", 143: "imap", 587: "smtp", 5432: "postgres"}


@dataclass(frozen=True)
class Target:
    """`starttls` is ``smtp``, ``imap``, ``postgres`` or None."""

    host: str
    port: int
    starttls: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f" (STARTTLS, {self.starttls})" if self.starttls else "")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}/"


def parse(text: str, starttls: str | None) -> Target:
    """Of a URL or HOST[:PORT].  User name and password are dropped, and never printed.  Raises `Failure`."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if not rest.startswith("[") and rest.count(":") > 1 and "/" not in rest and "@" not in rest:
        rest = f"[{rest}]"  # a bare IPv6 address
    if scheme.lower() not in ("", *_SCHEMES):
        raise Failure(f"the scheme {scheme!r} is not one of {', '.join(_SCHEMES)}; HOST:PORT works for others", USAGE)
    try:
        parts = urllib.parse.urlsplit("//" + rest)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:  # UnicodeError too.  Not the text: it may hold a password
        raise Failure("that is not a URL or HOST[:PORT]", USAGE) from None
    if not host or " " in host:
        raise Failure("there is no host name in that URL", USAGE)
    usual_port, usual_starttls = _SCHEMES[scheme.lower()] if scheme else (443, None)
    port = usual_port if port is None else port
    if starttls is None:
        starttls = usual_starttls if scheme else _PORTS.get(port)
    return Target(host, port, starttls)


def proxy(target: Target) -> tuple[str, int, str | None] | None:
    """Host, port and credentials of the HTTPS proxy that the environment names for `target`, or None."""
    if target.starttls or urllib.request.proxy_bypass(target.host):
        return None
    url = urllib.request.getproxies().get("https")
    if not url:
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else "http://" + url)
    try:
        host, port = parts.hostname, parts.port or 8080
    except ValueError:
        host = None
    if parts.scheme != "http" or not host:
        raise Failure("HTTPS_PROXY is not of the form http://HOST:PORT, the only one that this command can use", USAGE)
    credentials = None
    if parts.username is not None:
        plain = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        credentials = base64.b64encode(plain.encode()).decode()
    return host, port, credentials


@contextlib.contextmanager
def connection(target: Target, timeout: float) -> Iterator[socket.socket]:
    """A socket on which `target` expects a TLS handshake.  `timeout` in seconds.  Raises `Failure`."""
    through = proxy(target)
    host, port = through[:2] if through else (target.host, target.port)
    where = f"{'the proxy ' if through else ''}{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout) as raw:
            if through:
                _through_proxy(raw, target, where, through[2])
            if target.starttls:
                _STARTTLS[target.starttls](raw, where)
            yield raw
    except socket.gaierror as error:
        raise Failure(f"{host}: the name cannot be resolved ({error.strerror})", NO_ANSWER) from None
    except TimeoutError:
        raise Failure(f"{where}: no answer within {timeout:g} seconds (--timeout)", NO_ANSWER) from None
    except ConnectionRefusedError:
        raise Failure(f"{where}: nothing listens on that port (connection refused)", NO_ANSWER) from None
    except ssl.SSLError:
        raise
    except (OSError, OverflowError) as error:
        raise Failure(f"{where}: {getattr(error, 'strerror', None) or error}", NO_ANSWER) from None


def _through_proxy(raw: socket.socket, target: Target, where: str, credentials: str | None) -> None:
    host = f"[{target.host}]" if ":" in target.host else target.host.encode("idna").decode()
    head = f"CONNECT {host}:{target.port} HTTP/1.1\r\nHost: {host}:{target.port}\r\n"
    if credentials:
        head += f"Proxy-Authorization: Basic {credentials}\r\n"
    raw.sendall((head + "\r\n").encode())
    status = _line(raw)
    if status.split()[1:2] != ["200"]:
        raise Failure(f"{where}: refused to connect to {target.host}:{target.port}: {status[:80]!r}", NO_ANSWER)
    while _line(raw):
        pass


def _smtp(raw: socket.socket, where: str) -> None:
    _smtp_reply(raw, where, "220", "SMTP")
    raw.sendall(b"EHLO localhost\r\n")
    _smtp_reply(raw, where, "250", "SMTP with EHLO")
    raw.sendall(b"STARTTLS\r\n")
    _smtp_reply(raw, where, "220", "STARTTLS")


def _smtp_reply(raw: socket.socket, where: str, code: str, what: str) -> None:
    line = _line(raw)
    while line[3:4] == "-":
        line = _line(raw)
    if not line.startswith(code):
        raise Failure(f"{where}: does not speak {what}, it says {line[:80]!r}", NO_ANSWER)


def _imap(raw: socket.socket, where: str) -> None:
    greeting = _line(raw)
    if not greeting.startswith("* OK"):
        raise Failure(f"{where}: does not speak IMAP, it says {greeting[:80]!r}", NO_ANSWER)
    raw.sendall(b"a STARTTLS\r\n")
    answer = _line(raw)
    while answer.startswith("*"):
        answer = _line(raw)
    if not answer.startswith("a OK"):
        raise Failure(f"{where}: does not offer STARTTLS, it says {answer[:80]!r}", NO_ANSWER)


def _postgres(raw: socket.socket, where: str) -> None:
    """https://www.postgresql.org/docs/current/protocol-message-formats.html (SSLRequest)"""
    raw.sendall((8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"))
    answer = raw.recv(1)
    if answer != b"S":
        words = "does not offer TLS" if answer == b"N" else f"does not speak PostgreSQL, it says {answer!r}"
        raise Failure(f"{where}: {words}", NO_ANSWER)


_STARTTLS = {"smtp": _smtp, "imap": _imap, "postgres": _postgres}


def _line(raw: socket.socket) -> str:
    """Byte by byte: what comes after the line belongs to TLS."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 8192:
        byte = raw.recv(1)
        if not byte:
            break
        line += byte
    return line.decode("latin-1").rstrip("\r\n")


def handshake(target: Target, timeout: float, context: ssl.SSLContext) -> dict[str, Any]:
    """One TLS handshake: ``verdict`` is ``accepted``, ``refused`` or ``error``; ``chain`` is what the server sends, and
    ``path`` what was verified up to the anchor, both DER in base64.  Raises `Failure` where no TLS is spoken.
    """
    result: dict[str, Any] = {"verdict": "accepted", "code": 0, "words": "", "path": []}
    with connection(target, timeout) as raw:
        try:
            tls = context.wrap_socket(raw, server_hostname=target.host, do_handshake_on_connect=False)
        except ssl.SSLError as error:  # the server hung up before
            return {**result, "verdict": "error", "words": error.reason or str(error), "chain": []}
        try:
            tls.do_handshake()
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


def _der(tls: ssl.SSLSocket, method: str) -> list[str]:
    """Before Python 3.13 only the private object has the methods; PyPy may have none."""
    try:
        import _ssl

        certificates = getattr(tls._sslobj, method)() or ()  # type: ignore[attr-defined]
        chain = [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in certificates]
    except (AttributeError, ImportError, ValueError, ssl.SSLError):
        chain = [tls.getpeercert(True)] if tls.version() else []
    return [base64.b64encode(der).decode() for der in chain if der]


def speaks_http(target: Target, timeout: float) -> bool:
    """Whether plain HTTP is spoken on that port."""
    with connection(target, timeout) as raw:
        raw.sendall(f"HEAD / HTTP/1.0\r\nHost: {target.host}\r\n\r\n".encode())
        return raw.recv(5) == b"HTTP/"


def question(target: Target, timeout: float) -> str:
    """What `main` reads."""
    return json.dumps({"target": asdict(target), "timeout": timeout})


def main() -> None:
    from .. import inject

    inject()  # also where no .pth file is run; it does nothing with TRUSTSTORE_INJECT=0
    asked = json.loads(sys.argv[1])
    context = ssl.create_default_context()
    try:
        result = handshake(Target(**asked["target"]), asked["timeout"], context)
    except Failure as failure:
        result = {"verdict": "error", "code": 0, "words": str(failure), "chain": [], "path": []}
    say(json.dumps(result))
