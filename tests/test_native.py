"""Where the operating system verifies: what must never happen, and that everything else works.

On Linux a stand-in plays the operating system (standin/sitecustomize.py); tests/windows/ is the real thing.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import (
    HERE,
    Authorities,
    environment,
    run,
    run_code,
    server_context,
    shadow_certifi,
    verdicts,
    write_bundle,
)
from test_clients import CERTIFI, OPENSSL, REFUSED

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the operating system needs no stand-in")

SYSTEM = {"system": "accepted", "intermediate": "accepted", **REFUSED}


@pytest.fixture(scope="session")
def root(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stand-in for the operating system trusts."""
    return write_bundle(tmp_path_factory.mktemp("root") / "root.pem", [authorities.system])


def native(root: Path, *python_path: Path, **variables: str | Path) -> dict[str, str]:
    path = ":".join(map(str, [HERE / "standin", *python_path]))
    return environment(PYTHONPATH=path, STANDIN_ROOT=root, **variables)


class Sink:
    """Sends ``greeting`` when the handshake ends, and keeps what clients send after it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.received: list[bytes] = []
        self._context = context
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:  # a client that refuses us hangs up
            connection.settimeout(30)
            with self._context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"greeting")
                while data := tls.recv(65536):
                    self.received.append(data)

    def close(self) -> list[bytes]:
        """Wait for the connections to end; what was received in them."""
        self._listener.close()
        for thread in self._threads:
            thread.join(40)
            assert not thread.is_alive(), "the client did not close the connection"
        return self.received


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def sinks(request: pytest.FixtureRequest, authorities: Authorities) -> Iterator[dict[str, Sink]]:
    made: dict[str, Sink] = {}
    for case, certificate in authorities.server_certificates().items():
        context = server_context(certificate)
        context.maximum_version = ssl.TLSVersion[request.param]
        made[case] = Sink(context)
    yield made
    for sink in made.values():
        sink._listener.close()


PRELUDE = """
import contextlib, gc, json, os, select, signal, socket, ssl, sys, threading
import sitecustomize
from truststore_inject.stores import _native
def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 30)
    return connection
def wrapped(port, context=None, server_hostname="localhost", **options):
    context = context or ssl.create_default_context()
    return context.wrap_socket(connect(port), server_hostname=server_hostname, **options)
def later(port, **options):
    return wrapped(port, do_handshake_on_connect=False, **options)
def wait(function, connection):
    while True:
        try:
            return function()
        except ssl.SSLWantReadError:
            select.select([connection], [], [], 30)
        except ssl.SSLWantWriteError:
            select.select([], [connection], [], 30)
class Bio:
    "An SSLObject and the socket that it does not have."
    def __init__(self, port, context=None):
        self.incoming, self.outgoing, self.connection = ssl.MemoryBIO(), ssl.MemoryBIO(), connect(port)
        context = context or ssl.create_default_context()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
    def pump(self, function):
        while True:
            try:
                result = function()
            except ssl.SSLWantReadError:
                self.connection.sendall(self.outgoing.read())
                self.incoming.write(self.connection.recv(65536))
            else:
                self.connection.sendall(self.outgoing.read())
                return result
def judge(function, *arguments):
    try:
        got = function(*arguments)
    except ssl.SSLCertVerificationError:
        return "refused"
    return "accepted" if got is None else got
"""


def child(code: str, *arguments: object, env: dict[str, str]) -> Any:
    return run_code(PRELUDE + code, *(json.dumps(argument) for argument in arguments), env=env)


# --- the attacks: each passes application data without asking for the handshake first, or after a refusal ---

ATTACKS = {
    "write": "s = later(port); s.sendall(b'app')",
    "write, one byte": "s = later(port); s.write(b'a')",
    "read": "s = later(port); assert s.recv(100) == b'greeting'; s.sendall(b'app')",
    "recv_into": "s = later(port); b = bytearray(9); s.recv_into(b); assert b[:8] == b'greeting'; s.sendall(b'app')",
    "makefile": "s = later(port); f = s.makefile('rwb', buffering=0); f.write(b'app'); f.close()",
    "sendfile": "import tempfile\ns = later(port); f = tempfile.TemporaryFile(); f.write(b'app'); f.seek(0); s.sendfile(f)",
    "non-blocking write": "s = later(port); s.setblocking(False); wait(lambda: s.send(b'app'), s)",
    "non-blocking read": "s = later(port); s.setblocking(False)\n"
    "assert wait(lambda: s.recv(100), s) == b'greeting'; wait(lambda: s.send(b'app'), s)",
    "non-blocking handshake": "s = later(port); s.setblocking(False); wait(s.do_handshake, s)\nwait(lambda: s.send(b'app'), s)",
    "handshake on connect": "s = wrapped(port); s.sendall(b'app')",
    "handshake": "s = later(port); s.do_handshake(); s.sendall(b'app')",
    "wrapped, then connected": "s = ssl.create_default_context().wrap_socket(socket.socket(), server_hostname='localhost')\n"
    "s.settimeout(30); s.connect(('127.0.0.1', port)); s.sendall(b'app')",
    "wrapped, connected, write": "s = ssl.create_default_context().wrap_socket(socket.socket(), server_hostname='localhost',"
    " do_handshake_on_connect=False)\ns.settimeout(30); s.connect(('127.0.0.1', port)); s.sendall(b'app')",
    "memory BIO write": "s = Bio(port); s.pump(lambda: s.tls.write(b'app'))",
    "memory BIO read": "s = Bio(port); assert s.pump(lambda: s.tls.read(100)) == b'greeting'\ns.pump(lambda: s.tls.write(b'app'))",
    "memory BIO read into": "s = Bio(port); b = bytearray(9)\n"
    "assert s.pump(lambda: s.tls.read(9, b)) == 8 and b[:8] == b'greeting'; s.pump(lambda: s.tls.write(b'app'))",
    "memory BIO handshake": "s = Bio(port); s.pump(s.tls.do_handshake); s.pump(lambda: s.tls.write(b'app'))",
}
ATTACK = """
def attack(port):
    global s
    {way}
verdicts = {{}}
for case, port in json.loads(sys.argv[1]).items():
    s = None
    verdicts[case] = judge(attack, port)
    if verdicts[case] == "refused" and s is not None:
        if getattr(s, "_sslobj", s) is None:
            s.close()  # after a failed connect() stock has let go of TLS: what recv() gives is as it came
        for more in ("s.sendall(b'more')", "s.write(b'more')", "s.recv(1)", "s.do_handshake()", "s.tls.write(b'more')",
                     "s.tls.read(1)", "s.tls.do_handshake()"):
            try:
                verdicts[case] = more if eval(more) != b"" else "refused"
            except (AttributeError, ValueError, OSError):
                pass
        with contextlib.suppress(AttributeError):
            assert s.tls.session is None
            s.connection.close()
    elif s is not None:  # or the server is told of a reset before it has read all
        raw = getattr(s, "connection", s)
        socket.socket.shutdown(raw, socket.SHUT_WR)
        raw.setblocking(True)
        while socket.socket.recv(raw, 4096):
            pass
        raw.close()
    del s
    gc.collect()
print(json.dumps(verdicts))
"""


@pytest.mark.parametrize("way", ATTACKS)
def test_no_data_passes_before_the_verification(way: str, sinks: dict[str, Sink], root: Path) -> None:
    code = ATTACK.format(way=ATTACKS[way].replace("\n", "\n    "))
    assert child(code, {case: sink.port for case, sink in sinks.items()}, env=native(root)) == SYSTEM
    for case, sink in sinks.items():
        received = b"".join(sink.close())
        assert (received[:1] == b"a") is (SYSTEM[case] == "accepted"), (case, received)


def test_stock_refuses_the_same(sinks: dict[str, Sink], root: Path) -> None:
    """The attacks are none on stock Python: what they show of ours is what stock does."""
    code = "import socket, ssl, json, sys\n" + PRELUDE.split("from truststore_inject.stores import _native")[1]
    code = "import contextlib, gc, select\n" + code.replace(
        "ssl.create_default_context()", f"ssl.create_default_context(cafile={str(root)!r})"
    )
    code = "import json, socket, ssl, sys\n" + code + ATTACK.format(way=ATTACKS["write"])
    env = environment(TRUSTSTORE_INJECT="0")
    assert run_code(code, json.dumps({case: sink.port for case, sink in sinks.items()}), env=env) == SYSTEM
    assert not sinks["unknown"].close()


def test_an_interrupted_verification_is_none(sinks: dict[str, Sink], root: Path) -> None:
    code = """
s = later(json.loads(sys.argv[1]))
outcomes = []
for attempt in range(3):
    try:
        s.sendall(b"app")
    except KeyboardInterrupt:
        outcomes.append("interrupted")
try:
    s.getpeercert()
except ValueError as error:
    outcomes.append(str(error))
del os.environ["STANDIN_FAULT"]
outcomes.append(judge(s.sendall, b"app"))
print(json.dumps(outcomes))
"""
    env = native(root, STANDIN_FAULT="KeyboardInterrupt")
    expected = ["interrupted"] * 3 + ["handshake not done yet"]
    assert child(code, sinks["unknown"].port, env=env) == [*expected, "refused"]
    assert child(code, sinks["system"].port, env=env) == [*expected, "accepted"]
    assert not sinks["unknown"].close()
    assert sinks["system"].close() == [b"app"]


@pytest.mark.parametrize("fault", ["OSError", "RuntimeError", "MemoryError", "NotImplementedError", "AttributeError"])
def test_whatever_goes_wrong_in_the_verifier_refuses(fault: str, sinks: dict[str, Sink], root: Path) -> None:
    code = """
try:
    wrapped(json.loads(sys.argv[1]))
except ssl.SSLCertVerificationError as error:
    assert not isinstance(error.__cause__, ssl.SSLCertVerificationError), error.__cause__
    print(json.dumps([str(error), error.reason, type(error.__cause__).__name__]))
"""
    text, reason, cause = child(code, sinks["system"].port, env=native(root, STANDIN_FAULT=fault))
    assert "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: made by the test" in text
    assert (reason, cause) == ("CERTIFICATE_VERIFY_FAILED", fault)
    assert not sinks["system"].close()


def test_a_refusal_is_that_of_openssl_for_programs_that_look(sinks: dict[str, Sink], root: Path) -> None:
    code = """
s = later(json.loads(sys.argv[1]))
errors = []
for _ in range(2):
    try:
        s.do_handshake()
    except ssl.SSLCertVerificationError as error:
        errors.append([error.args[0], error.library, error.reason, error.verify_code, bool(error.verify_message)])
        assert str(error).startswith("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ") and error.__suppress_context__
for question in (s.getpeercert, lambda: s.getpeercert(True)):
    try:
        question()
    except ValueError as error:
        errors.append(str(error))
try:
    socket.socket.send(s, b"plain text")  # not through TLS
except OSError:
    errors.append("closed")
print(json.dumps(errors))
"""
    error = [1, "SSL", "CERTIFICATE_VERIFY_FAILED", 4711, True]
    unverified = "handshake not done yet"
    found = child(code.replace(" and error.__suppress_context__", ""), sinks["unknown"].port, env=native(root))
    assert found == [error, error, unverified, unverified, "closed"]


def test_a_resumed_session_is_verified(sinks: dict[str, Sink], root: Path) -> None:
    """Also when the first handshake was not verified, and when the server needs its intermediate, which is not sent."""
    code = """
ports = json.loads(sys.argv[1])
outcomes = {}
for case, port in ports.items():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with wrapped(port, context) as s:
        s.recv(8)
        assert type(s._sslobj).__module__ == "_ssl"
        session = s.session
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
    outcomes[case] = judge(lambda: wrapped(port, context, session=session).close())
    if case == "intermediate":  # before 3.14 a session loses all of the chain but the server's own certificate
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with wrapped(port, context, session=session) as s:
            outcomes["kept"] = s.session_reused, len(s._sslobj.get_unverified_chain() or ()) > 1
context = ssl.create_default_context()
with wrapped(ports["intermediate"], context) as s:
    s.recv(8)
    session = s.session
count = len(sitecustomize.asked)
with wrapped(ports["intermediate"], context, session=session) as s:
    outcomes["resumed"] = s.session_reused, len(sitecustomize.asked) - count
    s.sendall(b"app")
    outcomes["chain"] = len(s.getpeercert()["subjectAltName"])
print(json.dumps(outcomes))
"""
    outcomes = child(code, {case: sink.port for case, sink in sinks.items()}, env=native(root))
    assert outcomes.pop("resumed") == [True, 1]
    assert outcomes.pop("chain") == 2
    # Its session was taken while nobody looked at the chain: an intermediate that is lost cannot be verified.
    resumed, kept = outcomes.pop("kept")
    assert resumed
    assert outcomes == {**SYSTEM, "intermediate": "accepted" if kept else "refused"}
    assert not sinks["unknown"].close()


def test_a_session_of_a_refused_connection_is_not_to_be_had(sinks: dict[str, Sink], root: Path) -> None:
    code = """
s = Bio(json.loads(sys.argv[1]))
assert s.tls.session is None
verdict = judge(s.pump, s.tls.do_handshake)
print(json.dumps([verdict, s.tls.session is None, s.tls.version()]))
"""
    verdict, no_session, _ = child(code, sinks["unknown"].port, env=native(root))
    assert (verdict, no_session) == ("refused", True)


THREADS = """
good, bad = json.loads(sys.argv[1])
context = ssl.create_default_context()
wrong, errors, stop = [], [], threading.Event()
sys.setswitchinterval(1e-6)
def shake(port, expected):
    for _ in range(40):
        try:
            verdict = judge(lambda: wrapped(port, context).close())
            if verdict != expected:
                wrong.append((port, verdict))
        except Exception as error:
            errors.append(repr(error))
def look():
    while not stop.is_set():
        if context.verify_mode is not ssl.CERT_REQUIRED or context.check_hostname is not True:
            wrong.append("seen off")
def peer():
    with wrapped(good, context) as s:
        while not stop.is_set():
            if not s.getpeercert():
                wrong.append("getpeercert")
def write():
    while not stop.is_set():
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
watchers = [threading.Thread(target=f) for f in (look, peer, write)]
workers = [threading.Thread(target=shake, args=a) for a in [(good, "accepted"), (bad, "refused")] * 2]
for thread in watchers + workers: thread.start()
for thread in workers: thread.join()
stop.set()
for thread in watchers: thread.join()
print(json.dumps([wrong[:5], errors[:5], context.verify_mode, context.check_hostname]))
"""


def test_a_shared_context_is_never_seen_off(sinks: dict[str, Sink], root: Path) -> None:
    ports = sinks["system"].port, sinks["unknown"].port
    assert child(THREADS, ports, env=native(root)) == [[], [], ssl.CERT_REQUIRED, True]
    assert not sinks["unknown"].close()


def test_no_lock_is_held_while_a_server_is_silent(sinks: dict[str, Sink], root: Path) -> None:
    code = """
silent = socket.create_server(("127.0.0.1", 0))
context = ssl.create_default_context()
stuck = later(silent.getsockname()[1], context=context)
thread = threading.Thread(target=lambda: contextlib.suppress(OSError).__enter__() or judge_silently(), daemon=True)
def judge_silently():
    with contextlib.suppress(OSError):
        stuck.do_handshake()
accepted, _ = silent.accept()
thread.start()
accepted.recv(1)  # the client hello: the handshake has begun
print(json.dumps([judge(lambda: wrapped(json.loads(sys.argv[1]), context).close()), context.check_hostname]))
sys.stdout.flush()
accepted.close()
thread.join()
"""
    assert child(code, sinks["system"].port, env=native(root)) == ["accepted", True]


def test_an_interrupt_leaves_no_context_off(sinks: dict[str, Sink], root: Path) -> None:
    """The exception strikes in each line of the making of the object, in turn."""
    code = """
port, other = json.loads(sys.argv[1])
lines = range(_native._wrap.__code__.co_firstlineno, _native._Connection.__init__.__code__.co_firstlineno)
struck = set()
for target in lines:
    context = ssl.create_default_context()
    def trace(frame, event, argument):
        if frame.f_code.co_filename == _native.__file__ and event == "line" and frame.f_lineno == target:
            struck.add(target)
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace
    connection = connect(port)
    sys.settrace(trace)
    try:
        context.wrap_socket(connection, server_hostname="localhost").close()
    except (KeyboardInterrupt, ssl.SSLError):
        pass
    finally:
        sys.settrace(None)
        connection.close()
    tls = Bio(other, context)  # which asks nothing of the context before
    verdict = judge(tls.pump, tls.tls.do_handshake)
    tls.connection.close()
    assert (context.verify_mode, context.check_hostname, verdict) == (ssl.CERT_REQUIRED, True, "refused"), (target, verdict)
    assert judge(lambda: wrapped(port, context).close()) == "accepted", target
print(json.dumps(len(struck)))
"""
    assert child(code, (sinks["system"].port, sinks["unknown"].port), env=native(root)) > 10


def test_a_finalizer_in_the_middle_may_connect(sinks: dict[str, Sink], root: Path) -> None:
    """It uses the same context while that is off: neither connection goes unverified."""
    code = """
good, bad = json.loads(sys.argv[1])
outcomes = set()
for steps in range(1, 40):
    context, nested, count = ssl.create_default_context(), [], 0
    def trace(frame, event, argument):
        global count
        if frame.f_code is _native._wrap.__code__ and event == "line":
            count += 1
            if count == steps:
                sys.settrace(None)
                nested.append(judge(lambda: wrapped(bad, context).close()))
                nested.append(context.verify_mode)
        return trace
    connection = connect(bad)
    sys.settrace(trace)
    try:
        outer = judge(lambda: context.wrap_socket(connection, server_hostname="localhost").close())
    except ValueError:  # it is on again where the outer one wants it off
        outer = "refused"
    sys.settrace(None)
    assert (outer, context.verify_mode, context.check_hostname) == ("refused", ssl.CERT_REQUIRED, True), (steps, outer, nested)
    if nested:
        assert nested == ["refused", ssl.CERT_REQUIRED]
        outcomes.add(steps)
print(json.dumps(len(outcomes)))
"""
    ports = sinks["system"].port, sinks["unknown"].port
    assert child(code, ports, env=native(root)) > 10
    assert not sinks["unknown"].close()


def test_a_fork_finds_no_context_off(sinks: dict[str, Sink], root: Path) -> None:
    code = """
import warnings
warnings.simplefilter("ignore")
good, bad = json.loads(sys.argv[1])
context, stop = ssl.create_default_context(), threading.Event()
judge(lambda: wrapped(bad, context))  # imports what a connection needs: a fork may find an import lock held
def make():
    while not stop.is_set():
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=make) for _ in range(2)]
for thread in threads: thread.start()
codes = []
for _ in range(15):
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        state = _native._mode.__get__(context) == ssl.CERT_REQUIRED and _native._check.__get__(context)
        refused = judge(lambda: wrapped(bad, context).close()) == "refused"
        os._exit(0 if state and refused else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
stop.set()
for thread in threads: thread.join()
print(json.dumps(codes))
"""
    ports = sinks["system"].port, sinks["unknown"].port
    assert child(code, ports, env=native(root, COVERAGE_PROCESS_CONFIG="")) == [0] * 15


def test_what_is_changed_afterwards_counts_as_with_stock(sinks: dict[str, Sink], root: Path) -> None:
    code = """
ports = json.loads(sys.argv[1])
def verdicts(change):
    context = ssl.create_default_context()
    change(context)
    return {case: judge(lambda: wrapped(port, context).close()) for case, port in ports.items()}
def no_name(context): context.check_hostname = False
def nothing(context): no_name(context); context.verify_mode = ssl.CERT_NONE
def optional(context): context.verify_mode = ssl.CERT_OPTIONAL
def back(context): nothing(context); context.check_hostname = True
print(json.dumps([verdicts(change) for change in (no_name, nothing, optional, back)]))
"""
    ports = {case: sink.port for case, sink in sinks.items()}
    no_name, nothing, optional, back = child(code, ports, env=native(root))
    assert no_name == {**SYSTEM, "wrong_host": "accepted"}
    assert nothing == dict.fromkeys(SYSTEM, "accepted")
    assert optional == back == SYSTEM


def test_a_context_put_in_place_of_another_is_refused(sinks: dict[str, Sink], root: Path) -> None:
    code = """
s = later(json.loads(sys.argv[1]))
s.context = ssl.create_default_context()
print(json.dumps(judge(s.do_handshake)))
"""
    assert child(code, sinks["system"].port, env=native(root)) == "refused"


def test_a_renegotiation_with_another_certificate_is_verified(
    authorities: Authorities, root: Path, tmp_path: Path
) -> None:
    """Only up to TLS 1.2.  The data that follows the new certificate is not delivered."""
    crypto = pytest.importorskip("OpenSSL.SSL", reason="pyOpenSSL can renegotiate as a server, the ssl module cannot")
    verdicts = {}
    code = """
outcomes = []
s = wrapped(json.loads(sys.argv[1]))
outcomes.append(s.recv(100).decode())
buffer = bytearray(8)
def receive():
    return s.recv_into(buffer)
for step in (lambda: s.sendall(b"more"), receive, receive):
    outcomes.append(judge(step))
print(json.dumps([outcomes, buffer.decode()]))
"""
    for second in ("system", "unknown", "wrong_host"):
        contexts = []
        for case in ("system", second):
            certificate = authorities.server_certificates()[case]
            context = crypto.Context(crypto.TLS_SERVER_METHOD)
            context.set_max_proto_version(crypto.TLS1_2_VERSION)
            context.set_options(crypto.OP_NO_TICKET)  # nor a session: a resumed one brings no certificate
            context.set_session_cache_mode(crypto.SESS_CACHE_OFF)
            certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
            context.use_privatekey_file(str(tmp_path / "server.pem"))
            context.use_certificate_chain_file(str(tmp_path / "server.pem"))
            contexts.append(context)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve(listener: socket.socket = listener, contexts: list[Any] = contexts) -> None:
            connection, _ = listener.accept()
            tls = crypto.Connection(contexts[0], connection)
            tls.set_accept_state()
            with contextlib.suppress(crypto.Error, OSError):
                tls.do_handshake()
                tls.sendall(b"greeting")
                tls.recv(4)
                tls.set_context(contexts[1])
                tls.renegotiate()
                tls.do_handshake()
                connection.setblocking(False)
                while tls.renegotiate_pending():
                    try:
                        tls.recv(1)
                    except crypto.WantReadError:
                        if tls.renegotiate_pending():
                            select.select([connection], [], [], 30)
                connection.setblocking(True)
                tls.sendall(b"hidden-1")
                tls.sendall(b"hidden-2")
                tls.recv(10)
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        verdicts[second] = child(code, listener.getsockname()[1], env=native(root))
        thread.join(30)
        listener.close()
    assert verdicts["system"] == [["greeting", "accepted", 8, 8], "hidden-2"]
    refused = [["greeting", "accepted", "refused", "refused"], "\0" * 8]
    assert verdicts["unknown"] == verdicts["wrong_host"] == refused


# --- falling back to stock: never to less ---


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("lambda *a, **k: None", "accepts a certificate that nobody has signed"),
        ("lambda context: None", "TypeError"),
        ("lambda *a, **k: {}[1]", "KeyError"),
    ],
)
def test_where_truststore_has_changed_stock_verification_stays(
    inside: str, reason: str, sinks: dict[str, Sink], root: Path, store: Path
) -> None:
    code = f"""
_native._native_function = lambda: {inside}
import truststore_inject
ports = json.loads(sys.argv[1])
print(json.dumps([{{case: judge(lambda: wrapped(port).close()) for case, port in ports.items()}},
    type(wrapped(ports["system"])._sslobj).__module__, truststore_inject.status().notes, str(truststore_inject.status())]))
"""
    env = native(root, SSL_CERT_DIR=store)
    found, module, notes, text = child(code, {case: sink.port for case, sink in sinks.items()}, env=env)
    assert (found, module) == (SYSTEM, "_ssl")
    assert any("stock verification stays" in note and reason in note for note in notes)
    assert "each library keeps its own default" in text


def test_truststores_own_linux_back_end_is_no_verifier(root: Path) -> None:
    """It does nothing at all: with it every certificate would be accepted."""
    code = """
from truststore_inject.stores import _native
import json
print(json.dumps([_native._verifier(), list(_native._record.notes)]))
"""
    verifier, notes = run_code(code, env=environment())
    assert verifier is None
    assert any("truststore._openssl" in note for note in notes)


def test_a_changed_inside_of_truststore_is_seen(root: Path) -> None:
    code = """
import json, sys, truststore
del sys.modules["truststore._api"]._verify_peercerts_impl
from truststore_inject.stores import _native
print(json.dumps([_native._verifier(), list(_native._record.notes)]))
"""
    verifier, notes = run_code(code, env=environment())
    assert verifier is None
    assert any("AttributeError" in note for note in notes)


def test_what_the_system_cannot_be_told_is_verified_by_stock(sinks: dict[str, Sink], root: Path, store: Path) -> None:
    code = """
ports, store = json.loads(sys.argv[1])
import truststore_inject
def verdicts(change):
    os.environ.pop("SSL_CERT_DIR", None)
    context = ssl.create_default_context()
    change(context)
    os.environ["SSL_CERT_DIR"] = store  # where stock looks, once it has to
    return {case: judge(lambda: wrapped(port, context).close()) for case, port in ports.items()}
def revocation(context): context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
def pinned(context):
    context.verify_flags |= 0x80000  # VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=ssl.get_server_certificate(("127.0.0.1", ports["private"])))
print(json.dumps([verdicts(revocation), verdicts(pinned), sitecustomize.asked, truststore_inject.status().notes]))
"""
    ports = {case: sink.port for case, sink in sinks.items()}
    revocation, pinned, asked, notes = child(code, (ports, str(store)), env=native(root))
    assert revocation == dict.fromkeys(SYSTEM, "refused")
    assert pinned == {**SYSTEM, "private": "accepted"}
    assert asked == []
    assert sum("is verified as stock does" in note for note in notes) == 2


def test_the_common_name_counts_only_where_the_context_says_so(root: Path, tmp_path: Path) -> None:
    """urllib3 switches it off; the operating system would fall back to it."""
    code = """
class Peer:
    "What _Connection asks of the object behind it."
    context, server_hostname = ssl.create_default_context(), "localhost"
    def getpeercert(self, binary): return b"leaf" if binary else {"subject": ()}
    def do_handshake(self): pass
    def version(self): return "TLSv1.3"
    def get_unverified_chain(self): return None
_native._loaded = (lambda *a, **k: None,)
def verdict():
    context = Peer.context
    settings = _native._Settings(context, context.check_hostname, 0)
    return judge(_native._Connection(Peer(), context, _native._contexts[context], settings, None).do_handshake)
verdicts = [verdict()]
Peer.context.hostname_checks_common_name = False
verdicts.append(verdict())
Peer.context.check_hostname = False
verdicts.append(verdict())
print(json.dumps(verdicts))
"""
    assert child(code, env=native(root)) == ["accepted", "refused", "accepted"]


def test_extract_leaves_the_contexts_with_what_stock_gives(sinks: dict[str, Sink], root: Path, store: Path) -> None:
    code = """
import truststore_inject
ports, store = json.loads(sys.argv[1])
names = ("_wrap_socket", "_wrap_bio", "verify_mode", "check_hostname")
context = ssl.create_default_context()
assert all(name in vars(ssl.SSLContext) for name in names)
connection = later(ports["unknown"], context=context)
good = later(ports["system"], context=context)
os.environ["SSL_CERT_DIR"] = store  # where stock looks, once it has to
truststore_inject.extract()
import inspect
left = [name for name in names if name in vars(ssl.SSLContext)]
assert inspect.getsourcefile(ssl.SSLContext.verify_mode.fget) == ssl.__file__
fresh = {case: judge(lambda: wrapped(port, context).close()) for case, port in ports.items()}
print(json.dumps([left, fresh, judge(connection.do_handshake), judge(good.do_handshake),
    type(wrapped(ports["system"], context)._sslobj).__module__, len(_native._contexts)]))
"""
    ports = {case: sink.port for case, sink in sinks.items()}
    found = child(code, (ports, str(store)), env=native(root))
    assert found == [["verify_mode"], SYSTEM, "refused", "accepted", "_ssl", 0]


def test_what_was_replaced_comes_back(sinks: dict[str, Sink], root: Path, certifi: Path) -> None:
    """A context that trusted a library's own bundle gets that, once; stock's own default may be empty."""
    code = """
import certifi, truststore_inject
ports = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=certifi.where())
for _ in range(3):  # as urllib3 does for each connection
    context.load_verify_locations(certifi.where())
assert context.cert_store_stats()["x509"] == 0
kept = len(_native._contexts[context].stock)
truststore_inject.extract()
print(json.dumps([kept, {case: judge(lambda: wrapped(port, context).close()) for case, port in ports.items()}]))
"""
    ports = {case: sink.port for case, sink in sinks.items()}
    kept, found = child(code, ports, env=native(root, certifi))
    assert kept == 1
    assert found == {**dict.fromkeys(SYSTEM, "refused"), "bundled": "accepted"}


def test_an_interrupt_leaves_no_class_half_way(sinks: dict[str, Sink], root: Path) -> None:
    """It strikes in each line of what replaces the store's part, in turn; the next context has it all."""
    code = """
from truststore_inject.patches import _ssl
import truststore_inject
port, bad = json.loads(sys.argv[1])
names = ("_wrap_socket", "_wrap_bio", "verify_mode", "check_hostname")
struck = 0
for steps in range(1, 100):
    truststore_inject.extract()
    truststore_inject.inject()
    count, hit = 0, False
    def trace(frame, event, argument):
        global count, hit
        if frame.f_code is _ssl._interpose.__code__ or (frame.f_code is _ssl._replace.__code__ and event == "line"):
            count += 1
            if count == steps:
                sys.settrace(None)
                hit = True
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        ssl.create_default_context()
    except KeyboardInterrupt:
        pass
    sys.settrace(None)
    if not hit:
        break
    struck += 1
    there = {name in vars(ssl.SSLContext) and "_native" in str(getattr(vars(ssl.SSLContext)[name], "fget", vars(ssl.SSLContext)[name]).__module__)
        for name in names}
    assert len(there) == 1, (steps, there)
    verdicts = [judge(lambda: wrapped(p).close()) for p in (port, bad)]
    assert verdicts == ["accepted", "refused"], (steps, verdicts)
print(json.dumps(struck))
"""
    assert child(code, (sinks["system"].port, sinks["unknown"].port), env=native(root)) > 10


# --- and everything else works ---


@pytest.fixture(scope="session")
def certifi(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with shadow_certifi(tmp_path_factory.mktemp("certifi"), authorities.bundled) as folder:
        return folder


@pytest.mark.parametrize("client", [*CERTIFI, *OPENSSL])
def test_the_client_libraries(
    client: str, urls: dict[str, str], root: Path, certifi: Path, ca_file: Callable[[str], Path]
) -> None:
    env = native(root, certifi)
    if client.startswith("httpx"):
        env["SSL_CERT_FILE"] = str(certifi / "certifi" / "cacert.pem")
    assert verdicts(client, urls, env=env) == SYSTEM
    pinned = {**dict.fromkeys(urls, "refused"), "private": "accepted"}
    assert verdicts(client, urls, env=env, trust=str(ca_file("private"))) == pinned
    assert verdicts(client, urls, env=env, trust="off") == dict.fromkeys(urls, "accepted")


def test_extra_anchors_are_honoured(
    sinks: dict[str, Sink], root: Path, ca_file: Callable[[str], Path], store: Path
) -> None:
    code = """
ports, private, private_directory = json.loads(sys.argv[1])
def verdicts(**anchors):
    context = ssl.create_default_context()
    if anchors: context.load_verify_locations(**anchors)
    assert type(wrapped(ports["system"], context)._sslobj) is _native._Connection
    return {case: judge(lambda: wrapped(port, context).close()) for case, port in ports.items()}
context = ssl.create_default_context()
before = context.get_ca_certs(), context.cert_store_stats()
context.load_verify_locations(private)
print(json.dumps([verdicts(), verdicts(cafile=private), verdicts(capath=private_directory), before,
    len(context.get_ca_certs()), context.cert_store_stats()]))
"""
    from harness import write_directory

    ports = {case: sink.port for case, sink in sinks.items()}
    private = ca_file("private")
    authority = type("Authority", (), {"cert_pem": None})()
    authority.cert_pem = type("Pem", (), {"write_to_path": lambda self, path: path.write_bytes(private.read_bytes())})()
    directory = write_directory(private.parent / "hashed", [authority])
    both = {**SYSTEM, "private": "accepted"}
    arguments = ports, str(private), str(directory)
    plain, cafile, capath, before, certificates, stats = child(code, arguments, env=native(root))
    assert (plain, cafile, capath) == (SYSTEM, both, both)
    assert before == [[], {"x509": 0, "x509_ca": 0, "crl": 0}]
    assert (certificates, stats) == (1, {"x509": 1, "x509_ca": 1, "crl": 0})
    assert child(code, arguments, env=native(root, SSL_CERT_FILE=private))[0] == both
    assert child(code, arguments, env=native(root, SSL_CERT_DIR=directory))[0] == both
    assert child(code, arguments, env=native(root, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=private))[0] == both


def test_what_is_not_default_trust_stays_stock(
    sinks: dict[str, Sink], root: Path, ca_file: Callable[[str], Path]
) -> None:
    code = """
import warnings
warnings.simplefilter("ignore")
port, private = json.loads(sys.argv[1])
pinned = ssl.create_default_context(cafile=private)
off = ssl._create_unverified_context()
bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
both_sides = ssl.SSLContext(ssl.PROTOCOL_TLS)
both_sides.load_default_certs()
both_sides.verify_mode = ssl.CERT_REQUIRED
def kinds(context, **options):
    made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **options)
    return [type(made).__name__, type(made._sslobj).__module__]
client, listening = dict(server_hostname="localhost"), dict(server_side=True)
print(json.dumps([kinds(pinned, **client), kinds(off, **client), kinds(bare, **client), kinds(server, **listening),
    kinds(both_sides, **listening), kinds(both_sides, **client), len(_native._contexts), sitecustomize.asked]))
"""
    *stock, both_sides, remembered, asked = child(
        code, (sinks["private"].port, str(ca_file("private"))), env=native(root)
    )
    assert stock == [["SSLObject", "_ssl"]] * 5
    assert both_sides == ["SSLObject", "truststore_inject.stores._native"]
    assert (remembered, asked) == (1, [])


def test_the_answers_of_stock(sinks: dict[str, Sink], root: Path) -> None:
    """Of the object too: each attribute that it has in stock, with the same answer."""
    code = """
port, cafile = json.loads(sys.argv[1])
def answers(context):
    with wrapped(port, context) as s:
        assert s.context is context and s.owner is s if hasattr(s, "owner") else s.context is context
        raw = s._sslobj
        found = {name: str(getattr(raw, name)) for name in ("server_side", "server_hostname", "session_reused")}
        found |= {name: str(getattr(raw, name)()) for name in
            ("version", "cipher", "compression", "pending", "selected_alpn_protocol", "shared_ciphers", "getpeercert")}
        found["names"] = sorted(name for name in dir(context) if name[0] != "_" or name.startswith("_wrap"))
        found |= {"type": type(s).__name__, "binary": s.getpeercert(True).hex(), "mode": repr(context.verify_mode)}
        found |= {"channel": bool(s.get_channel_binding()), "session": type(s.session).__name__}
        assert raw.owner is s
        s.recv(8)
        s.sendall(b"app")
        try:
            s._sslobj.no_such_thing
        except AttributeError:
            pass
        s.session = s.session if s._sslobj is None else None
    return found
"""
    code = code.replace("        s.session = s.session if s._sslobj is None else None\n", "")
    code += """
ours, stock = answers(ssl.create_default_context()), answers(ssl.create_default_context(cafile=cafile))
print(json.dumps([{name: [ours[name], stock[name]] for name in ours if ours[name] != stock[name]}, len(ours)]))
"""
    assert child(code, (sinks["system"].port, str(root)), env=native(root)) == [{}, 16]


def test_a_host_name_is_demanded(root: Path) -> None:
    code = """
outcomes = []
for make in (lambda c: c.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()), lambda c: c.wrap_socket(socket.socket())):
    try:
        make(ssl.create_default_context())
    except ValueError as error:
        outcomes.append(str(error))
print(json.dumps(outcomes))
"""
    assert child(code, env=native(root)) == ["check_hostname requires server_hostname"] * 2


def test_a_context_is_forgotten_with_its_last_reference(sinks: dict[str, Sink], root: Path) -> None:
    code = """
import weakref
for _ in range(20):
    context = ssl.create_default_context()
    connection = wrapped(json.loads(sys.argv[1]), context)
    connection.recv(8)
    gone = weakref.ref(connection), weakref.ref(context)
    connection.close()
    del connection, context
gc.collect()
print(json.dumps([len(_native._contexts), [reference() is None for reference in gone]]))
"""
    assert child(code, sinks["system"].port, env=native(root)) == [0, [True, True]]


ASYNC = {
    "start_tls": """
import asyncio, ssl
async def go():
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    start_tls = asyncio.get_running_loop().start_tls
    context = ssl.create_default_context()
    transport = await start_tls(writer.transport, asyncio.Protocol(), context, server_hostname="localhost")
    transport.abort()
def client(): asyncio.run(go())
""",
    "trio": """
import trio, ssl
async def go():
    stream = await trio.open_ssl_over_tcp_stream("localhost", port)
    assert await stream.receive_some(8) == b"greeting"
    await stream.send_all(b"app")
def client():
    try:
        trio.run(go)
    except trio.BrokenResourceError as error:
        raise error.__cause__
""",
    "trio, write first": """
import trio, ssl
async def go():
    stream = await trio.open_ssl_over_tcp_stream("localhost", port)
    await stream.send_all(b"app")
def client():
    try:
        trio.run(go)
    except trio.BrokenResourceError as error:
        raise error.__cause__
""",
    "gevent": """
from gevent import monkey
monkey.patch_all()
import gevent
def client():
    verdicts = {job.get() for job in [gevent.spawn(judge, lambda: wrapped(port).close()) for _ in range(5)]}
    return verdicts.pop() if len(verdicts) == 1 else None
""",
    "gevent, write first": """
from gevent import monkey
monkey.patch_all()
def client(): later(port).sendall(b"app")
""",
    "eventlet": """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
def client():
    verdicts = {job.wait() for job in [eventlet.spawn(judge, lambda: wrapped(port).close()) for _ in range(5)]}
    return verdicts.pop() if len(verdicts) == 1 else None
""",
    "eventlet, write first": """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
def client(): later(port).sendall(b"app")
""",
}


@pytest.mark.parametrize("way", ASYNC)
def test_other_ways_to_connect(way: str, sinks: dict[str, Sink], root: Path) -> None:
    module = way.split(",")[0]
    if module != "start_tls":
        pytest.importorskip(module, reason=f"{module} is not installed")
    # Monkey patching comes first, as these libraries demand; the function `client` needs PRELUDE and the port.
    setup, function, client = ASYNC[way].rpartition("def client()")
    found = {}
    cases = ("system", "intermediate", "unknown", "wrong_host")
    for case in cases:
        sink = sinks[case]
        code = f"{setup}{PRELUDE}port = {sink.port}\n{function}{client}"
        code += "print(json.dumps([judge(client), len(sitecustomize.asked) > 0]))"
        result = run("-c", code, env=native(root))
        errors = [line for line in result.stderr.splitlines() if "not greened" not in line]  # the stand-in came first
        assert (result.returncode, errors) == (0, []), result.stderr
        found[case], asked = json.loads(result.stdout)
        assert asked
    assert found == {case: SYSTEM[case] for case in cases}
    assert not sinks["unknown"].close()


def test_tls_in_tls(authorities: Authorities, urls: dict[str, str], root: Path) -> None:
    """Through an HTTPS proxy: urllib3 has a memory BIO of its own for the inner connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    proxy = server_context(authorities.system.issue_cert("localhost"))

    def pump(source: Any, target: Any) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.close()

    def tunnel(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), proxy.wrap_socket(connection, server_side=True) as tls:
            port = int(tls.recv(65536).split()[1].split(b":")[1])
            inner = socket.create_connection(("127.0.0.1", port))
            tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=pump, args=(inner, tls), daemon=True).start()
            pump(tls, inner)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=tunnel, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    code = """
import urllib3
proxy, urls = json.loads(sys.argv[1])
def get(url):
    with urllib3.ProxyManager(proxy, retries=False, timeout=30) as pool:
        try:
            pool.request("GET", url)
        except urllib3.exceptions.SSLError as error:
            raise ssl.SSLCertVerificationError if "CERTIFICATE_VERIFY_FAILED" in str(error) else error
print(json.dumps([{case: judge(get, url) for case, url in urls.items()}, len(sitecustomize.asked)]))
"""
    proxy_url = f"https://localhost:{listener.getsockname()[1]}"
    found, asked = child(code, (proxy_url, urls), env=native(root))
    listener.close()
    assert found == SYSTEM
    assert asked == 2 * len(urls)


def test_status_says_who_verifies(root: Path) -> None:
    result = run("-m", "truststore_inject", "status", env=native(root))
    assert result.returncode == 0, result.stderr
    assert "verifies by itself, through truststore" in result.stdout


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before Python 3.11")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("0x800B0109", "It does not have the CA 'OU=Testing CA #"),
        ("0x800B010A", "It does not have the CA 'OU=Testing CA #"),
        ("-67843", "It does not have the CA 'OU=Testing CA #"),
        ("0x800B010F", "The certificate is not for 'localhost'"),
        ("-67602", "The certificate is not for 'localhost'"),
        ("0x800B0101", "has expired"),
        ("-67818", "has expired"),
        ("-67819", "not valid yet"),
        ("4711", "The chain was refused: "),
    ],
)
def test_the_note_understands_the_codes_of_windows_and_macos(
    code: str, words: str, sinks: dict[str, Sink], root: Path
) -> None:
    ask = """
try:
    wrapped(json.loads(sys.argv[1]))
except ssl.SSLCertVerificationError as error:
    print(json.dumps([error.verify_code, *error.__notes__]))
"""
    number, note = child(ask, sinks["unknown"].port, env=native(root, STANDIN_CODE=code))
    assert number == int(code, 0)
    assert note.startswith("truststore-inject: the system store (linux) was asked.")
    assert words in note
    assert "python -m truststore_inject check localhost" in note


def test_check_finds_the_anchor_that_the_system_does_not_name(
    urls: dict[str, str], root: Path, ca_file: Callable[[str], Path]
) -> None:
    extra = ca_file("system")
    env = {**native(root, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=extra), "NO_PROXY": "*"}
    for case in ("system", "intermediate"):
        result = run("-m", "truststore_inject", "check", urls[case], "--json", env=env)
        assert result.returncode == 0, result.stdout + result.stderr
        (found,) = json.loads(result.stdout)
        assert "system of the tests" in found["anchor"]["subject"]
        assert found["anchor"]["place"] == str(extra)


def test_what_the_variables_name_is_listed_too(root: Path, store: Path, ca_file: Callable[[str], Path]) -> None:
    """As it is trusted in addition to what the operating system lists: pyOpenSSL, grpcio and ``export`` get it."""
    code = """
import json
from truststore_inject.stores import _os_anchors
print(json.dumps([place for place, _ in _os_anchors.listing()]))
"""
    (file,) = store.glob("ca-*.pem")
    private = ca_file("private")
    found = run_code(code, env=environment(SSL_CERT_FILE=private, SSL_CERT_DIR=store))
    assert found == [str(private), str(file)]
    result = run("-m", "truststore_inject", "export", "--env", env=native(root, SSL_CERT_FILE=private))
    assert result.returncode == 4
    assert "this store is not one file" in result.stderr


def test_what_the_variables_name_is_not_the_whole_store(
    root: Path, store: Path, ca_file: Callable[[str], Path]
) -> None:
    """A library that wants a file gets one with all of the store, also where the variable names a file that is missing."""
    code = """
import json
from truststore_inject.stores import _export
path = _export.pem_file()
print(json.dumps([path, path and open(path).read().count("BEGIN")]))
"""
    for named in ("/nonexistent/bundle.pem", str(ca_file("system"))):
        path, count = run_code(code, env=native(root, SSL_CERT_FILE=named, SSL_CERT_DIR=store))
        assert (path in (None, named), count) == (False, 1)


def test_nothing_of_it_is_loaded_on_linux(store: Path) -> None:
    code = """
import json, ssl, sys
ssl.create_default_context()
print(json.dumps([name for name in ("truststore", "truststore_inject.stores._native") if name in sys.modules]
    + [name for name in ("_wrap_socket", "_wrap_bio", "check_hostname") if name in vars(ssl.SSLContext)]))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store)) == []
