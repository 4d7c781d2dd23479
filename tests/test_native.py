"""Which contexts the operating system verifies, and that nobody sees how."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import HOSTS, Authorities, environment, run_code
from native import SYSTEM, Sink, child, linux, native
from servers import Server

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = linux


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
    assert sum("is verified as in stock Python" in note for note in notes) == 2


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


def test_a_host_name_is_demanded(ports: dict[str, int], root: Path) -> None:
    """Not when the object is made over memory BIOs, where stock demands none: truststore 0.10.0 makes one when imported."""
    code = """
outcomes = []
try:
    ssl.create_default_context().wrap_socket(socket.socket())
except ValueError as error:
    outcomes.append(str(error))
class Nameless(ssl.SSLContext):
    def wrap_bio(self, *arguments, server_hostname): return super().wrap_bio(*arguments)
context = Nameless(ssl.PROTOCOL_TLS_CLIENT)
context.load_default_certs()
try:
    tls = Bio(json.loads(sys.argv[1]), context)
    tls.pump(tls.tls.do_handshake)
except ssl.SSLCertVerificationError as error:
    outcomes.append(error.verify_message)
except ValueError as error:
    outcomes.append(str(error))
print(json.dumps(outcomes))
"""
    demanded = "check_hostname requires server_hostname"
    refused = (
        demanded if sys.version_info >= (3, 14) else "there is no host name to check"
    )  # since 3.14 stock demands one
    assert child(code, ports["system"], env=native(root)) == [demanded, refused]


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


@pytest.fixture(scope="session")
def intermediate(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A CA below the system's, and the port of a server that does not send it."""
    folder = tmp_path_factory.mktemp("intermediate")
    issuing = authorities.system.create_child_ca()
    leaf = issuing.issue_cert(*HOSTS)
    (folder / "server.pem").write_bytes(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())
    issuing.cert_pem.write_to_path(folder / "issuing.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "issuing.pem", int(Server(context).url.rstrip("/").rpartition(":")[2])


def test_an_intermediate_of_the_context_helps_to_build_the_chain(intermediate: tuple[Path, int], root: Path) -> None:
    """As in stock; the operating system takes none that is not its own or the server's."""
    code = """
port, issuing = json.loads(sys.argv[1])
def verdict(*files):
    context = ssl.create_default_context()
    context.verify_flags &= ~0x80000  # VERIFY_X509_PARTIAL_CHAIN
    for file in files:
        context.load_verify_locations(file)
    return judge(lambda: wrapped(port, context).close())
print(json.dumps([verdict(), verdict(issuing)]))
"""
    file, port = intermediate
    assert child(code, (port, str(file)), env=native(root)) == ["refused", "accepted"]


def test_an_intermediate_takes_nothing_away(
    ports: dict[str, int], intermediate: tuple[Path, int], root: Path, certifi: Path
) -> None:
    """One that the program adds: stock verifies, with what it had. One of the settings': the system does, as for all."""
    code = """
import certifi
ports, issuing = json.loads(sys.argv[1])
def found(*files):
    context = ssl.create_default_context(cafile=certifi.where())
    context.verify_flags |= 0x80000  # VERIFY_X509_PARTIAL_CHAIN, which Python 3.13 sets
    for file in files:
        context.load_verify_locations(file)
    return type(wrapped(ports["system" if not files else "bundled"], context)._sslobj).__name__
print(json.dumps([found(), found(issuing) if issuing else None]))
"""
    file, _ = intermediate
    assert child(code, (ports, str(file)), env=native(root, certifi)) == ["Connection", "_SSLSocket"]
    env = native(root, certifi, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=file)
    assert child(code, (ports, None), env=env)[0] == "Connection"


def test_an_extra_certificate_that_is_no_ca_takes_nothing_away(
    ports: dict[str, int], root: Path, authorities: Authorities, tmp_path: Path
) -> None:
    extra = tmp_path / "extra.pem"
    extra.write_bytes(authorities.private.issue_cert("localhost").cert_chain_pems[0].bytes())
    code = """
port = json.loads(sys.argv[1])
context = ssl.create_default_context()
print(json.dumps([context.cert_store_stats()["x509"], type(wrapped(port, context)._sslobj).__name__]))
"""
    env = native(root, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=extra)
    assert child(code, ports["system"], env=env) == [1, "Connection"]


@pytest.mark.parametrize("place", ["Library/ssl", "ssl"])
def test_the_bundle_that_conda_activate_names_counts_as_not_set(
    place: str, ports: dict[str, int], root: Path, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """On Windows it sets SSL_CERT_FILE; that bundle is read in 0.3 seconds, for each context."""
    bundle = tmp_path / "environment" / place / "cacert.pem"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(ca_file("private").read_bytes())
    code = """
ports = json.loads(sys.argv[1])
context = ssl.create_default_context()
print(json.dumps([context.cert_store_stats()["x509"], judge(lambda: wrapped(ports["private"], context).close())]))
"""
    env = native(root, SSL_CERT_FILE=bundle)
    assert child(code, ports, env=env) == [1, "accepted"]
    assert child(code, ports, env={**env, "CONDA_PREFIX": str(tmp_path / "environment")}) == [0, "refused"]


@pytest.mark.parametrize("system", ["ios", "android", "emscripten", "wasi"])
def test_other_systems_have_openssl_or_nothing(system: str, ports: dict[str, int], store: Path, tmp_path: Path) -> None:
    """Their Pythons call themselves so since 3.13: what verifies there is OpenSSL, with the store that it finds."""
    (tmp_path / "sitecustomize.py").write_text(f"import socket, subprocess, sys, tempfile\nsys.platform = {system!r}\n")
    code = """
import socket, ssl
import truststore_inject
def judge(port):
    try:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            ssl.create_default_context().wrap_socket(raw, server_hostname="localhost").close()
    except ssl.SSLCertVerificationError:
        return "refused"
    return "accepted"
print(json.dumps([{case: judge(port) for case, port in json.loads(sys.argv[1]).items()}, "truststore" in sys.modules,
    truststore_inject.status().active]))
"""
    env = environment(PYTHONPATH=tmp_path, SSL_CERT_DIR=store)
    found, truststore, active = run_code("import json, sys\n" + code, json.dumps(ports), env=env)
    assert (found, truststore, active) == (SYSTEM, False, True)
