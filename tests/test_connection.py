"""No byte passes before the operating system has agreed, and the connection answers as stock's does."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from harness import Authorities, environment, run_code
from native import PRELUDE, SYSTEM, Sink, child, linux, native

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = linux


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
    code = (
        "import socket, ssl, json, sys\n"
        + PRELUDE.split("from truststore_inject.stores import _connection, _native, _verifier")[1]
    )
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
