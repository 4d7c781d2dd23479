"""What programs do with the contexts of the ssl module: ``scenarios.py ACTOR FOLDER PATIENCE [NAME ...]``.

Prints a JSON object, the outcome of each scenario, all or those named.  ACTOR says who may change ssl before:
``-`` nobody but what the interpreter starts with, ``truststore`` its ``inject_into_ssl()``, else a folder that holds an
installed package, whose ``.pth`` file is run.  FOLDER holds the certificates, PATIENCE is in seconds: who has not got an
answer by then is ``stalled``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import site
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def server_context(certificate: str = "server-system", **settings: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / f"{certificate}.pem")
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[str, Any]:
    """In a word, and what `function` returned."""
    try:
        return "accepted", function(*arguments, **options)
    except TimeoutError:
        return "stalled", None
    except ssl.SSLCertVerificationError:
        return "refused", None
    except (OSError, NotImplementedError, RecursionError) as error:
        return type(error).__name__, None


def connect(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    look: Callable[[Any], Any] = lambda tls: None,
    patience: float = 0,
    **options: Any,
) -> tuple[str, str, Any]:
    """What the client and the server say of each other, and what `look` sees of the client's open socket."""
    a, b = socket.socketpair()
    for end in (a, b):
        end.settimeout(patience or PATIENCE)
    said = []

    def serve() -> None:
        word, tls = outcome(server.wrap_socket, b, server_side=True)
        said.append(word)
        if tls is not None:
            outcome(tls.sendall, b"x")
            outcome(tls.recv, 1)
            tls.close()
        b.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    word, tls = outcome(client.wrap_socket, a, server_hostname="localhost", **options)
    seen = None
    if tls is not None:
        outcome(tls.recv, 1)
        seen = look(tls)
        tls.close()
    a.close()
    thread.join(patience or PATIENCE)
    return word, said[0] if said else "stalled", seen


def mtls_server() -> str:
    """It trusts a private CA, the client's certificate is from a system CA."""
    server = server_context(verify_mode=ssl.CERT_REQUIRED)
    server.load_verify_locations(FOLDER / "private.pem")
    client = ssl.create_default_context()
    client.load_cert_chain(FOLDER / "client-system.pem")
    return connect(client, server)[1]


def pinned_client() -> str:
    return connect(ssl.create_default_context(cafile=FOLDER / "private.pem"), server_context())[0]


def bare_context() -> str:
    return connect(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), server_context())[0]


def get_ca_certs() -> Any:
    context = ssl.create_default_context(cafile=FOLDER / "private.pem")
    word, found = outcome(context.get_ca_certs)
    return word if found is None else len(found)


def cert_store_stats() -> Any:
    word, found = outcome(ssl.create_default_context(cafile=FOLDER / "private.pem").cert_store_stats)
    return found or word


def the_sockets_context() -> list[Any]:
    context = ssl.create_default_context()
    word, _, same = connect(context, server_context(), lambda tls: tls.context is context)
    return [word, same]


def sni_callback() -> list[Any]:
    """The callback sees the context, and puts another in its place, whose certificate the client then gets."""
    server, other = server_context("server-unknown"), server_context()
    seen = []

    def choose(connection: Any, name: str, context: ssl.SSLContext) -> None:
        seen.append([name, context is server, connection.context is server])
        connection.context = other

    server.sni_callback = choose  # type: ignore[assignment]
    return [connect(ssl.create_default_context(), server)[0], seen]


def session_reuse() -> list[bool]:
    client, server = ssl.create_default_context(), server_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    session, first = connect(client, server, lambda tls: (tls.session, tls.session_reused))[2]
    return [first, connect(client, server, lambda tls: tls.session_reused, session=session)[2]]


def keylog() -> list[bool]:
    client, server = ssl.create_default_context(), server_context()
    files = [FOLDER / f"{SCENARIO_FILES}-{side}.log" for side in ("client", "server")]
    client.keylog_filename, server.keylog_filename = map(str, files)
    connect(client, server)
    return ["TRAFFIC_SECRET" in file.read_text() for file in files]


def num_tickets() -> list[Any]:
    """Whether the client gets one that it could come back with."""
    client = ssl.create_default_context()

    def ticket(tls: Any) -> bool:
        return tls.session is not None and tls.session.has_ticket

    return [connect(client, server_context(num_tickets=count), ticket)[2] for count in (0, 2)]


def msg_callback() -> str:
    """Whether it is called; when it is set, what goes wrong."""
    client, seen = ssl.create_default_context(), []
    word, _ = outcome(setattr, client, "_msg_callback", lambda *arguments: seen.append(arguments))
    connect(client, server_context())
    return "called" if seen else word


def silent_client() -> str:
    """While it is connected to a server, another one is served."""
    server = server_context()
    silent, accepted = socket.socketpair()
    thread = threading.Thread(target=outcome, args=(server.wrap_socket, accepted), kwargs={"server_side": True})
    _in_handshake(thread)
    word, said, _ = connect(ssl.create_default_context(), server)
    silent.close()
    return word if word == said else f"{word}, {said}"


def fork_while_another_thread_handshakes() -> str:
    """The child uses the same context, which in the parent is in the middle of a handshake."""
    client = ssl.create_default_context()
    silent, ours = socket.socketpair()
    thread = threading.Thread(target=outcome, args=(client.wrap_socket, ours), kwargs={"server_hostname": "localhost"})
    _in_handshake(thread)
    # When its first message is out it waits, without a lock of OpenSSL's, which a fork would leave held for ever.
    silent.recv(1, socket.MSG_PEEK)
    time.sleep(0.2)
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))
        words = [connect(client, server_context(f"server-{who}"))[0] for who in ("system", "unknown")]
        os._exit(0 if words == ["accepted", "refused"] else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    silent.close()
    thread.join()
    return {0: "accepted", -signal.SIGALRM: "stalled"}.get(status, f"status {status}")


def _in_handshake(thread: threading.Thread) -> None:
    """Start `thread` and wait until its handshake has begun."""
    thread.start()
    while sys._current_frames()[thread.ident].f_code.co_name != "do_handshake":  # type: ignore[index]
        time.sleep(0.01)


def threads_on_one_context() -> dict[str, int]:
    """64 of them, each with a server that is right and one that is not."""
    client = ssl.create_default_context()
    barrier, words = threading.Barrier(64), []

    def work() -> None:
        servers = [server_context(f"server-{who}") for who in ("system", "unknown")]
        barrier.wait()
        # Whoever has a lock about each handshake needs long for all of them, and answers.
        words.extend(connect(client, server, patience=60)[0] for server in servers)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {word: words.count(word) for word in sorted(set(words))}


def asyncio_connections() -> dict[str, int]:
    """200 that are all open at once, and 20 that are refused meanwhile."""

    async def go() -> dict[str, int]:
        open_, all_open = [], asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_.append(writer)
            if len(open_) == 200:
                all_open.set()
            await all_open.wait()
            writer.write(b"x")
            await writer.drain()
            await reader.read()
            writer.close()

        async def client(port: int) -> str:
            try:
                reader, writer = await asyncio.open_connection("localhost", port, ssl=context, family=socket.AF_INET)
            except ssl.SSLCertVerificationError:
                return "refused"
            assert await reader.read(1) == b"x"
            writer.close()
            return "accepted"

        context = ssl.create_default_context()
        ports = []
        for who in ("system", "unknown"):
            tls = server_context(f"server-{who}")
            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, backlog=256, ssl_handshake_timeout=600)
            ports.append(server.sockets[0].getsockname()[1])
        words = await asyncio.gather(*map(client, [ports[0]] * 200 + [ports[1]] * 20))
        return {word: words.count(word) for word in sorted(set(words))}

    return asyncio.run(go())


def thousand_handshakes() -> int:
    """On one context.  The number of those that ended well."""
    client, server = ssl.create_default_context(), server_context()
    done = 0
    for _ in range(1000):
        pipes = [ssl.MemoryBIO() for _ in range(2)]
        ends = [
            client.wrap_bio(*pipes, server_hostname="localhost"),
            server.wrap_bio(*reversed(pipes), server_side=True),
        ]
        while ends:
            for end in ends[:]:
                try:
                    end.do_handshake()
                    ends.remove(end)
                except ssl.SSLWantReadError:
                    pass
        done += 1
    return done


def perform(scenario: Callable[[], Any]) -> Any:
    try:
        return scenario()
    except Exception as error:  # one that goes wrong does not hide the others
        return f"{type(error).__name__}: {error}"


SCENARIOS = (
    mtls_server,
    pinned_client,
    bare_context,
    get_ca_certs,
    cert_store_stats,
    the_sockets_context,
    sni_callback,
    session_reuse,
    keylog,
    num_tickets,
    msg_callback,
    silent_client,
    fork_while_another_thread_handshakes,
    threads_on_one_context,
    asyncio_connections,
    thousand_handshakes,
)


if __name__ == "__main__":
    ACTOR, FOLDER, PATIENCE = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    SCENARIO_FILES = os.getpid()
    if ACTOR == "truststore":
        import truststore

        truststore.inject_into_ssl()
    elif ACTOR != "-":
        site.addsitedir(ACTOR)
        site.execsitecustomize()  # what some .pth files wait for
    chosen = [scenario for scenario in SCENARIOS if scenario.__name__ in (sys.argv[4:] or scenario.__name__)]
    print(json.dumps({scenario.__name__: perform(scenario) for scenario in chosen}))
