"""Which contexts the operating system verifies, and that nobody sees how."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import environment, run_code
from native import SYSTEM, Sink, child, linux, native

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = linux


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
lines = range(_native._wrap.__code__.co_firstlineno, _native._resume.__code__.co_firstlineno)
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


def test_extra_anchors_are_honoured(
    sinks: dict[str, Sink], root: Path, ca_file: Callable[[str], Path], store: Path
) -> None:
    code = """
ports, private, private_directory = json.loads(sys.argv[1])
def verdicts(**anchors):
    context = ssl.create_default_context()
    if anchors: context.load_verify_locations(**anchors)
    assert type(wrapped(ports["system"], context)._sslobj) is _connection.Connection
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
    assert both_sides == ["SSLObject", "truststore_inject.stores._connection"]
    assert (remembered, asked) == (1, [])


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


def test_nothing_of_it_is_loaded_on_linux(store: Path) -> None:
    code = """
import json, ssl, sys
ssl.create_default_context()
print(json.dumps([name for name in ("truststore", "truststore_inject.stores._native") if name in sys.modules]
    + [name for name in ("_wrap_socket", "_wrap_bio", "check_hostname") if name in vars(ssl.SSLContext)]))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store)) == []
