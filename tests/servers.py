"""TLS servers on free loopback ports, as many at a time as a test wants, and what they know of their clients."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

import trustme


class Acceptor:
    """Calls `answer` with each connection to `listener`, in a thread of its own, until it is closed."""

    def __init__(self, listener: socket.socket, answer: Callable[[socket.socket], object]) -> None:
        self._listener, self._answer = listener, answer
        self._is_closing = False
        self.answering: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with self._listener:
            while True:
                connection, _ = self._listener.accept()
                if self._is_closing:
                    connection.close()
                    return
                self.answering.append(threading.Thread(target=self._guarded, args=(connection,), daemon=True))
                self.answering[-1].start()

    def _guarded(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:  # a client that refuses us hangs up
            self._answer(connection)

    def close(self) -> None:
        """Wait until the thread that accepts has ended, not for those that answer.

        Closing its socket does not end it.  It would wait on, and when the process is stopped and continued, it asks again
        for a connection to that descriptor: by then another server's, whose clients would meet this one's certificate.
        """
        if not self._is_closing:
            self._is_closing = True
            socket.create_connection(self._listener.getsockname()[:2]).close()
            self._thread.join()


class Server:
    """Answers HTTP over TLS on a free loopback port, a thread for each connection, until it is closed.

    `pages` are the bodies for the paths that it knows; every other path has the body ``ok``.  A client that has said
    nothing for `patience` seconds after the handshake, as it waits for our greeting, gets the end of the connection.
    """

    def __init__(self, context: ssl.SSLContext, pages: dict[str, bytes] | None = None, *, patience: float = 20) -> None:
        self._context = context
        self._pages = pages or {}
        self._patience = patience
        context.set_alpn_protocols(["http/1.1", "h2"])
        self.completed: list[object] = []  # the handshakes; lists, because a thread may append to them
        self.hung_up: list[object] = []  # those after which the client left at once: some verify only then
        self.pending: list[object] = []  # the connections of which it is not known yet
        found = listeners()
        self.port: int = found[0].getsockname()[1]
        self.url = f"https://localhost:{self.port}/"
        self._acceptors = [Acceptor(listener, self._answer) for listener in found]

    @property
    def believed(self) -> int:
        """How many clients have accepted our certificate.  It waits for those of which it is not known yet, but not for long."""
        deadline = time.monotonic() + 5
        while self.pending and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(self.completed) - len(self.hung_up)

    def _answer(self, connection: socket.socket) -> None:
        self.pending.append(connection)
        connection.settimeout(20)
        try:
            tls = self._handshake(connection)
            request = self._listen(tls)
        finally:
            self.pending.remove(connection)

        with tls:
            if tls.selected_alpn_protocol() == "h2":
                tls.sendall(b"\0\0\0\x04\0\0\0\0\0")  # an empty SETTINGS frame: a gRPC channel is ready
                while tls.recv(65536):
                    pass
            elif request:
                path = request[1].decode("latin-1") if len(request) > 1 else ""  # not everybody speaks HTTP
                body = self._pages.get(path, b"ok")
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
                kind = "Content-Type: text/html\r\n\r\n" if body.startswith(b"<") else "\r\n"
                tls.sendall((head + kind).encode() + body)

    def _handshake(self, connection: socket.socket) -> ssl.SSLSocket:
        if connection.recv(8, socket.MSG_PEEK)[:4] == b"\0\0\0\x08":  # PostgreSQL's SSLRequest
            connection.recv(8)
            connection.sendall(b"S")
        tls = self._context.wrap_socket(connection, server_side=True)
        self.completed.append(tls.version())  # in TLS 1.3 too: the client's Finished follows its verification
        return tls

    def _listen(self, tls: ssl.SSLSocket) -> list[bytes]:
        """The words that the client says first; none if it waits for ours."""
        tls.settimeout(self._patience)
        try:
            said = tls.recv(65536)
        except TimeoutError:
            return []
        except OSError:  # an alert
            said = b""
        if not said:
            self.hung_up.append(tls.version())
        return said.split()

    def close(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()


def listeners() -> list[socket.socket]:
    """On a free port, that of ::1 as well.

    Some clients try that address of localhost first, libcurl whatever the machine says: they would ask whoever listens
    there.  (And on Windows a port where nobody does costs two seconds.)
    """
    while True:
        found = [socket.create_server(("127.0.0.1", 0), backlog=128)]
        try:
            port = found[0].getsockname()[1]
            return [*found, socket.create_server(("::1", port), family=socket.AF_INET6, backlog=128)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # there is no such address
                return found
            found[0].close()


class MySqlServer(Server):
    """One whose greeting comes before TLS: a client of MySQL's waits for that, and asks for TLS then."""

    def _handshake(self, connection: socket.socket) -> ssl.SSLSocket:
        flags = 0xFFFFFFFF & ~(1 << 5)  # it can do everything but compress
        halves = struct.pack("<HBHH", flags & 0xFFFF, 0x21, 2, flags >> 16)
        body = b"\x0a8.0.30\0" + struct.pack("<I", 1) + b"abcdefgh\0" + halves + b"\x15" + bytes(10) + b"ijklmnopqrst\0"
        body += b"mysql_native_password\0"
        connection.sendall(struct.pack("<I", len(body))[:3] + b"\0" + body)
        head = connection.recv(4, socket.MSG_WAITALL)
        connection.recv(int.from_bytes(head[:3], "little"), socket.MSG_WAITALL)
        return super()._handshake(connection)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def decide(server: Server, before: int, said: str) -> str:
    """What a client has thought of `server`, if it has `said` so, or whether more clients than `before` have believed it."""
    return said if said in ("accepted", "refused") else "accepted" if server.believed > before else "refused"
