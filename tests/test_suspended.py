"""OpenSSL's own verification is off for the making of one object: nobody ever sees it, whatever comes between."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from native import Sink, child, linux, native

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
