"""A store that is only a bundle: parsed once in a process, and every context holds what stock would give it."""

from __future__ import annotations

import _ssl
import gc
import ssl
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from harness import Authorities, environment, openssl_store, run_code, verdicts, write_bundle
from test_store import Loaded, Places

pytestmark = openssl_store

from truststore_inject import _record  # noqa: E402
from truststore_inject.stores import _openssl  # noqa: E402

needs_cpython = pytest.mark.skipif(
    sys.implementation.name != "cpython" or getattr(_ssl, "__file__", None) is None,
    reason="this Python's _ssl is not known to share certificates",
)

# What a child needs to connect to argv[1], a port.
HANDSHAKE = """
import json, os, socket, ssl, sys
def handshake(context):
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
            context.wrap_socket(connection, server_hostname="localhost").close()
        return "accepted"
    except ssl.SSLCertVerificationError:
        return "refused"
"""


@pytest.fixture(scope="module")
def many(authorities: Authorities) -> list[trustme.CA]:
    """More anchors than are parsed for each context."""
    others = [trustme.CA(organization_name=f"CA {number}") for number in range(_openssl._MANY)]
    return [*others, authorities.system]


@pytest.fixture(scope="module")
def bundle(many: list[trustme.CA], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not change it."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "ca.pem", many)


@pytest.fixture
def only_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path) -> Places:
    places = Places(tmp_path, monkeypatch)
    places.bundle = write_bundle(tmp_path / "etc" / "cert.pem", [])
    places.bundle.write_bytes(bundle.read_bytes())
    return places


def der(authority: trustme.CA) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())


@needs_cpython
def test_a_bundle_is_parsed_once(only_bundle: Places, many: list[trustme.CA]) -> None:
    for _ in range(3):
        loaded = Loaded()
        assert (loaded.usable, loaded.calls, loaded.anchors) == (True, [], len(many))
    assert _openssl.describe()["anchors"] == len(many)
    assert not _record.notes


@needs_cpython
def test_a_changed_bundle_is_noticed(only_bundle: Places, many: list[trustme.CA], authorities: Authorities) -> None:
    assert Loaded().anchors == len(many)
    with only_bundle.bundle.open("ab") as file:
        file.write(authorities.private.cert_pem.bytes())
    loaded = Loaded()
    assert (loaded.calls, loaded.anchors) == ([], len(many) + 1)


def test_a_small_bundle_is_parsed_for_each_context(only_bundle: Places, many: list[trustme.CA]) -> None:
    write_bundle(only_bundle.bundle, many[: _openssl._MANY - 1])
    assert [list(call) for call in Loaded().calls] == [["cadata"]]


@needs_cpython
def test_a_corrupt_certificate_among_many(only_bundle: Places, many: list[trustme.CA]) -> None:
    with only_bundle.bundle.open("a") as file:
        file.write(ssl.DER_cert_to_PEM_cert(b"\x30\x03\x02\x01\x01"))
    assert Loaded().anchors == len(many)
    assert any("left out 1 corrupt" in note for note in _record.notes)
    loaded = Loaded()
    assert (loaded.calls, loaded.anchors) == ([], len(many))


@needs_cpython
def test_a_block_that_is_longer_than_its_certificate(only_bundle: Places, many: list[trustme.CA]) -> None:
    """OpenSSL, when it reads a bundle by itself, does not mind."""
    with only_bundle.bundle.open("a") as file:
        file.write(ssl.DER_cert_to_PEM_cert(der(trustme.CA()) + b"\0"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    super(ssl.SSLContext, context).load_verify_locations(only_bundle.bundle)
    assert Loaded().anchors == len(context.get_ca_certs()) == len(many) + 1


@needs_cpython
def test_a_failure_leaves_no_error_for_the_next_call() -> None:
    from truststore_inject.stores import _parsed

    with pytest.raises(ValueError, match="corrupt"):
        _parsed.Parsed([b"\x30\x03\x02\x01\x01"])
    assert _parsed._library().ERR_peek_error() == 0


@needs_cpython
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no ctypes", "ModuleNotFoundError"),
        ("no file", "is not known"),
        ("layout", "not laid out"),
        ("not a context", "not CPython's"),
        ("other OpenSSL", "two versions"),
        ("not loaded", "OSError"),
    ],
)
def test_where_certificates_cannot_be_shared(
    only_bundle: Places, many: list[trustme.CA], monkeypatch: pytest.MonkeyPatch, what: str, reason: str
) -> None:
    """Nothing is done with an address that is not known for sure; the bundle is loaded as stock does it."""
    from truststore_inject.stores import _parsed

    if what == "no ctypes":
        monkeypatch.delitem(sys.modules, "truststore_inject.stores._parsed")
        monkeypatch.delattr("truststore_inject.stores._parsed")
        monkeypatch.setitem(sys.modules, "ctypes", None)
    elif what == "no file":  # linked into the interpreter, as in the Pythons that uv installs
        monkeypatch.setattr(_parsed, "_ssl", SimpleNamespace(_SSLContext=_ssl._SSLContext))
    elif what == "layout":
        fields = [field for field in _parsed._Context._fields_ if field[0] != "set_sni_cb"]
        monkeypatch.setattr(_parsed, "_Context", type("_", (_parsed._Context.__base__,), {"_fields_": fields}))
    elif what == "not a context":
        monkeypatch.setattr(_parsed, "_ssl", SimpleNamespace(_SSLContext=type, __file__=_ssl.__file__))
    elif what == "other OpenSSL":
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_NUMBER", ssl.OPENSSL_VERSION_NUMBER + 1)
    else:
        nobodys = only_bundle.root / "_ssl.so"
        nobodys.write_bytes(Path(_ssl.__file__).read_bytes())
        monkeypatch.setattr(_parsed, "_ssl", SimpleNamespace(_SSLContext=_ssl._SSLContext, __file__=str(nobodys)))
    for _ in range(2):
        loaded = Loaded()
        assert (loaded.usable, loaded.anchors, [list(call) for call in loaded.calls]) == (True, len(many), [["cadata"]])
    (note,) = (note for note in _record.notes if "parsed for each context" in note)
    assert reason in note


@needs_cpython
def test_the_layout_without_host_flags(only_bundle: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of newer versions of CPython."""
    from truststore_inject.stores import _parsed

    from_address = _parsed._Context.from_address

    def without_flags(address: int) -> object:
        view = from_address(address)
        return SimpleNamespace(
            ctx=view.ctx, check_hostname=view.check_hostname, following=[int(ssl.PROTOCOL_TLS_CLIENT), 0]
        )

    cls = type("_", (_parsed._Context,), {"from_address": staticmethod(without_flags)})
    monkeypatch.setattr(_parsed, "_Context", cls)
    assert Loaded().calls == []


@needs_cpython
def test_the_certificates_are_given_back(only_bundle: Places, many: list[trustme.CA]) -> None:
    """When the bundle changed; the contexts keep theirs."""
    from truststore_inject.stores import _parsed

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    parsed = _parsed.Parsed([der(many[0])])
    parsed.add_to(context)
    freed: list[int] = []
    parsed._library = SimpleNamespace(X509_free=freed.append)  # type: ignore[assignment]
    held = list(parsed._certificates)
    del parsed
    gc.collect()  # PyPy
    assert freed == held
    assert context.get_ca_certs(binary_form=True) == [der(many[0])]


@pytest.mark.parametrize("client", ["urllib_request", "requests_get", "asyncio_streams"])
def test_verdicts(client: str, urls: dict[str, str], bundle: Path) -> None:
    cases = {case: urls[case] for case in ("system", "intermediate", "unknown", "wrong_host", "expired")}
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent")
    accepted = ("system", "intermediate")
    assert verdicts(client, cases, env=env) == {case: "accepted" if case in accepted else "refused" for case in cases}


def test_a_context_holds_what_stock_gives_it(bundle: Path) -> None:
    code = """
import json, ssl
contexts = [ssl.create_default_context() for _ in range(3)]
print(json.dumps([[context.cert_store_stats(), context.get_ca_certs()] for context in contexts]))
"""
    places = {"SSL_CERT_FILE": bundle, "SSL_CERT_DIR": "/nonexistent"}
    ours = run_code(code, env=environment(**places))
    stock = run_code(code, env=environment(**places, TRUSTSTORE_INJECT="0"))
    assert ours[0][0]["x509"] > _openssl._MANY
    by_serial = [
        [stats, sorted(anchors, key=lambda anchor: anchor["serialNumber"])] for stats, anchors in (*ours, *stock)
    ]
    assert all(context == by_serial[-1] for context in by_serial)


@pytest.mark.parametrize("case", ["private", "unknown"])
def test_what_is_added_to_one_context_is_in_no_other(
    case: str, urls: dict[str, str], bundle: Path, authorities: Authorities, tmp_path: Path
) -> None:
    own = write_bundle(tmp_path / "own.pem", [getattr(authorities, case)])
    code = f"""{HANDSHAKE}
before, context, after = (ssl.create_default_context() for _ in range(3))
context.load_verify_locations({str(own)!r})
print(json.dumps([handshake(c) for c in (before, context, after, ssl.create_default_context())]))
"""
    port = urls[case].rpartition(":")[2].strip("/")
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent")
    assert run_code(code, port, env=env) == ["refused", "accepted", "refused", "refused"]


def test_contexts_outlive_the_bundle(urls: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    """Stock has its anchors in memory: a deleted file, a dropped privilege or a chroot changes nothing."""
    copy = tmp_path / "ca.pem"
    copy.write_bytes(bundle.read_bytes())
    code = f"""{HANDSHAKE}
context = ssl.create_default_context()
os.unlink({str(copy)!r})
ssl.create_default_context()  # notices, and gives the parsed certificates back
print(json.dumps([handshake(context), handshake(ssl.create_default_context())]))
"""
    port = urls["system"].rpartition(":")[2].strip("/")
    env = environment(SSL_CERT_FILE=copy, SSL_CERT_DIR="/nonexistent")
    assert run_code(code, port, env=env) == ["accepted", "refused"]


def test_threads_and_forks(urls: dict[str, str], bundle: Path) -> None:
    """The first contexts are made at the same time; they are freed in any order, also in a forked child."""
    code = f"""{HANDSHAKE}
import threading
said = []
def work():
    for _ in range(5):
        said.append(handshake(ssl.create_default_context()))
context = ssl.create_default_context()
child = os.fork()
if child == 0:
    del context
    os._exit(handshake(ssl.create_default_context()) != "accepted")
del context
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps([sorted(set(said)), len(said), os.waitpid(child, 0)[1]]))
"""
    port = urls["system"].rpartition(":")[2].strip("/")
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent")
    assert run_code(code, port, env=env) == [["accepted"], 80, 0]


@needs_cpython
def test_an_audit_hook_that_forbids_ctypes(bundle: Path) -> None:
    code = """
import json, ssl, sys
def forbid(event, arguments):
    if event.startswith("ctypes."):
        raise RuntimeError("no " + event)
sys.addaudithook(forbid)
import truststore_inject
print(json.dumps([ssl.create_default_context().cert_store_stats()["x509"], truststore_inject.status().notes]))
"""
    count, notes = run_code(code, env=environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent"))
    assert count == _openssl._MANY + 1
    assert any("RuntimeError: no ctypes." in note for note in notes) or getattr(_ssl, "__file__", None) is None
