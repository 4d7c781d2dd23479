"""``truststore-inject check`` without an argument: the proof on this machine, with nothing but loopback."""

import contextlib
import datetime
import functools
import hashlib
import os
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..stores import _defaults
from . import _children, _judges
from ._failure import MISSING, NO, YES, Failure
from ._terminal import colour, paragraph, printable, say

_HOSTS = ("localhost", "127.0.0.1")
_TIMEOUT = 20.0  # seconds
# What an injected interpreter must say.
EXPECTED = {"in store": "yes", "unknown": "no", "bad name": "no", "expired": "no", "pinned": "yes"}


def prove() -> tuple[dict[str, Any], int]:
    """The table, and `YES` if every cell of the injected interpreter is right, else `NO`.  Raises `Failure`."""
    try:
        import trustme
    except ImportError:
        raise Failure("the proof needs trustme: pip install 'truststore-inject[check]'", MISSING) from None
    with tempfile.TemporaryDirectory(prefix="truststore-inject-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        store, unknown, private = (
            trustme.CA(organization_name=f"throw-away {kind} CA") for kind in ("system", "unknown", "private")
        )
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        certificates = {
            "in store": store.issue_cert(*_HOSTS),
            "unknown": unknown.issue_cert(*_HOSTS),
            "bad name": store.issue_cert("other.example"),
            "expired": store.issue_cert(*_HOSTS, not_before=now - 20 * day, not_after=now - 10 * day),
            "private": private.issue_cert(*_HOSTS),
        }
        urls = {case: stack.enter_context(_server(certificate)) for case, certificate in certificates.items()}
        private.cert_pem.write_to_path(str(folder / "private.pem"))
        questions = [(urls[case], "default", _TIMEOUT) for case in EXPECTED if case != "pinned"]
        questions += [(urls[case], str(folder / "private.pem"), _TIMEOUT) for case in ("private", "in store")]
        variables = _store(folder, store.cert_pem.bytes())
        clients = _judges.installed()
        (folder / "empty").mkdir()
        answers = _children.in_parallel(
            (
                f"{client}, {'injected' if injected else 'stock'}",
                functools.partial(
                    _judges.client,
                    client,
                    questions,
                    _environment(client, injected, variables),
                    str(folder / "empty"),
                ),
            )
            for client in clients
            for injected in (False, True)
        )
    rows = []
    for (client, version), stock, injected in zip(clients.items(), answers[::2], answers[1::2], strict=True):
        cells = {"stock": _cells(stock), "injected": _cells(injected)}
        bundle = _foreign_bundle(client)
        asked = [case for case in EXPECTED if bundle is None or case != "in store"]
        wrong = {case: _words(case, injected) for case in asked if cells["injected"][case] != EXPECTED[case]}
        rows.append({"client": client, "version": version, "bundle": bundle, **cells, "wrong": wrong})
    report = {"python": sys.version.split()[0], "executable": sys.executable, "clients": rows}
    return report, NO if any(row["wrong"] for row in rows) else YES


def show(report: dict[str, Any]) -> None:
    """For people, 80 columns."""
    report = printable(report)
    say(paragraph(f"Python {report['python']}, {report['executable']}", 0))
    say(
        paragraph("Throw-away CAs, store and servers on this machine. Left: stock Python. Right: Python as it is here.")
    )
    say()
    say(" " * 20 + "".join(case.ljust(12) for case in EXPECTED).rstrip())
    for row in report["clients"]:
        name = f"{row['client']} {row['version']}" if len(row["client"]) + len(row["version"]) < 18 else row["client"]
        cells = [_cell(case, row) for case in EXPECTED]
        say(name.ljust(20) + "".join(cells).rstrip())
    say()
    say(
        paragraph(
            "yes: the connection is made. no: it is refused. pinned: a client that was given a CA of its own accepts "
            "that CA and refuses the system's."
        )
    )
    for row in report["clients"]:
        if row["bundle"] is not None:
            text = f"{row['client']} trusts {row['bundle']}, as its distributor set it up, and not the store made here"
            say(paragraph(f"{text}: its first column does not count.", 2))
    wrong = [(row["client"], case, words) for row in report["clients"] for case, words in row["wrong"].items()]
    for client, case, words in wrong:
        say(paragraph(f"WRONG: {client}, {case}: should be {EXPECTED[case]}. {words}", 2))
    say(colour(f"{len(wrong)} wrong", "red") if wrong else colour("Everything is as it should be.", "green"))


# The clients whose default is the file that certifi names.
_CERTIFI = {
    **dict.fromkeys(("requests", "httpx", "httpx (async)", "botocore", "httplib2"), "certifi"),
    "pip": "pip._vendor.certifi",
}


def _foreign_bundle(client: str) -> str | None:
    """The file that the client's certifi names, if it is not its own: Debian and others name the system's bundle there.

    To the client it is a CA file like any other that a user names, so the throw-away store does not replace it.
    """
    try:
        where = str(import_module(_CERTIFI[client]).where())
    except (KeyError, ImportError, AttributeError, OSError):
        return None
    return None if _defaults.library(where) is not None else where


def _cell(case: str, row: dict[str, Any]) -> str:
    stock, injected = row["stock"][case], row["injected"][case]
    text = f"{stock} > {injected}" + ("!" if case in row["wrong"] else "")
    return colour(text, "red" if case in row["wrong"] else "green") + " " * (12 - len(text))


def _cells(answers: list[tuple[str, str]]) -> dict[str, str]:
    short = {"accepted": "yes", "refused": "no", "error": "err"}
    *default, own, other = [short[verdict] for verdict, _ in answers]
    pinned = "err" if "err" in (own, other) else "yes" if (own, other) == ("yes", "no") else "no"
    return dict(zip(EXPECTED, [*default, pinned], strict=True))


def _words(case: str, answers: list[tuple[str, str]]) -> str:
    position = list(EXPECTED).index(case)
    return " ".join(
        dict.fromkeys(words for _, words in answers[position : position + (2 if case == "pinned" else 1)] if words)
    )


# Variables that would decide instead of the store, or send the loopback connection elsewhere.
_NOT_PASSED_ON = {
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT"),
    *("HTTPLIB2_CA_CERTS", "PGSSLROOTCERT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", "TRUSTSTORE_INJECT_DEBUG"),
}


def _environment(client: str, injected: bool, variables: dict[str, str]) -> dict[str, str]:
    """The user's environment, with the throw-away store.  ``TRUSTSTORE_INJECT=0`` stays: the table shows its effect."""
    env = {name: value for name, value in os.environ.items() if name.upper() not in _NOT_PASSED_ON} | variables
    if not injected:
        env["TRUSTSTORE_INJECT"] = "0"
    if client in ("httpx2", "mcp"):
        del env["SSL_CERT_FILE"]  # httpx2 takes it for the program's own CA, and fails if it holds none
    elif client.startswith("httpx"):
        # Stock httpx takes SSL_CERT_FILE, then SSL_CERT_DIR, for its own CA; this file is what it has without them.
        with contextlib.suppress(ImportError):
            import certifi

            env["SSL_CERT_FILE"] = certifi.where()
    return env


def _store(folder: Path, pem: bytes) -> dict[str, str]:
    """A hashed directory with that CA, as the system store; where the OS verifies, as an addition to its store."""
    if sys.platform in ("win32", "darwin"):
        (folder / "extra.pem").write_bytes(pem)
        return {"TRUSTSTORE_INJECT_EXTRA_CA_CERTS": str(folder / "extra.pem")}
    (folder / "store").mkdir()
    (folder / "store" / f"{_subject_hash(pem)}.0").write_bytes(pem)
    return {"SSL_CERT_DIR": str(folder / "store"), "SSL_CERT_FILE": os.devnull}


def _subject_hash(pem: bytes) -> str:
    """As ``openssl x509 -subject_hash``, for a subject of ASCII strings: a minimal image may not have the program.

    The first four bytes of the SHA-1 of the RDNs, in lower case and in UTF-8 (X509_NAME_hash_ex, x509_name_canon).
    """
    from cryptography import x509

    subject = x509.load_pem_x509_certificate(pem).subject
    attributes = [x509.NameAttribute(attribute.oid, str(attribute.value).lower()) for attribute in subject]
    der = b"".join(x509.Name([attribute]).public_bytes()[2:] for attribute in attributes)
    return f"{int.from_bytes(hashlib.sha1(der, usedforsecurity=False).digest()[:4], 'little'):08x}"


@contextlib.contextmanager
def _server(certificate: Any) -> Iterator[str]:
    """The URL of a server on a free loopback port; a thread for each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))]
        port = listeners[0].getsockname()[1]
        if sys.platform == "win32":  # localhost is ::1 first, and a port that nobody listens on costs two seconds there
            with contextlib.suppress(OSError):
                listeners.append(stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6)))
        for listener in listeners:
            threading.Thread(target=_serve, args=(listener, context), daemon=True).start()
        yield f"https://localhost:{port}/"


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, context), daemon=True).start()


# How a client of PostgreSQL begins: https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


def _answer(connection: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError), connection:  # a client that refuses hangs up
        connection.settimeout(_TIMEOUT)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        if connection.recv(len(_SSL_REQUEST), socket.MSG_PEEK) == _SSL_REQUEST:
            connection.recv(len(_SSL_REQUEST))
            connection.sendall(b"S")
            answer = b"E\0\0\0\x15SFATAL\0Mno user\0\0"
        with context.wrap_socket(connection, server_side=True) as tls:
            if tls.recv(65536):
                tls.sendall(answer)
