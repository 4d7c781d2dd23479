"""The trust rule: who gets the system store, who does not, and that the methods are otherwise those of stock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import (
    Authorities,
    environment,
    openssl_store,
    run_code,
    shadow_certifi,
    verdicts,
    write_bundle,
    write_directory,
)
from servers import Server

HANDSHAKE = """
import json, socket, ssl, sys, threading
def handshake(context, url, name="localhost"):
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/"))), 20) as connection:
        try:
            context.wrap_socket(connection, server_hostname=name).close()
        except ssl.SSLCertVerificationError:
            return "refused"
        return "accepted"
def judge(context):
    return {case: handshake(context, url) for case, url in json.loads(sys.argv[1]).items()}
"""

STORE = {"system": "accepted", "intermediate": "accepted"}


def judge(make_context: str, urls: dict[str, str], *arguments: object, **variables: str | Path) -> dict[str, str]:
    """The verdicts of the context that the code `make_context` leaves in the variable ``c``."""
    code = f"{HANDSHAKE}\n{make_context}\nprint(json.dumps(judge(c)))"
    return dict(run_code(code, json.dumps(urls), *map(str, arguments), env=environment(**variables)))


def expected(urls: dict[str, str], *accepted: str) -> dict[str, str]:
    return {case: "accepted" if case in accepted else "refused" for case in urls}


DEFAULT = {
    "create_default_context": "c = ssl.create_default_context()",
    "load_default_certs": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_default_certs()",
    "load_default_certs, a purpose": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.load_default_certs(purpose=ssl.Purpose.SERVER_AUTH)",
    "set_default_verify_paths": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.set_default_verify_paths()",
    "_create_default_https_context": "c = ssl._create_default_https_context()",
    "twice": "c = ssl.create_default_context(); c.load_default_certs(); c.set_default_verify_paths()",
    "a subclass": "class Mine(ssl.SSLContext): pass\nc = Mine(ssl.PROTOCOL_TLS_CLIENT); c.load_default_certs()",
    "the class, imported before": "SSLContext = ssl.SSLContext\nc = SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_default_certs()",
    "the old neutral protocol": "import warnings; warnings.simplefilter('ignore')\nc = ssl.SSLContext(ssl.PROTOCOL_TLS)\n"
    "c.verify_mode = 2; c.check_hostname = True; c.load_default_certs()",
    "certifi's file": "import certifi; c = ssl.create_default_context(cafile=certifi.where())",
    "certifi's file, bytes": "import certifi, os; c = ssl.create_default_context(cafile=os.fsencode(certifi.where()))",
    "certifi's file, a Path": "import certifi, pathlib; c = ssl.create_default_context(cafile=pathlib.Path(certifi.where()))",
    "certifi's file, relative": "import certifi, os; c = ssl.create_default_context(cafile=os.path.relpath(certifi.where()))",
    "certifi's file, positional": "import certifi; c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_verify_locations(certifi.where())",
    "certifi's contents": "import certifi; c = ssl.create_default_context(cadata=certifi.contents())",
    "pip's certifi": "import pip._vendor.certifi as v; c = ssl.create_default_context(cafile=v.where())",
    "botocore's file": "import botocore, os; c = ssl.create_default_context(cafile=os.path.join(botocore.__path__[0], 'cacert.pem'))",
}


@pytest.mark.parametrize("way", DEFAULT)
def test_default_trust_is_the_store(way: str, urls: dict[str, str], store: Path) -> None:
    assert judge(DEFAULT[way], urls, SSL_CERT_DIR=store) == expected(urls, "system", "intermediate")


EXPLICIT = {
    "cafile": "c = ssl.create_default_context(cafile=sys.argv[2])",
    "cafile, positional": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_verify_locations(sys.argv[2])",
    "cafile, bytes": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_verify_locations(sys.argv[2].encode())",
    "cafile, a Path": "import pathlib; c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.load_verify_locations(pathlib.Path(sys.argv[2]))",
    "capath": "c = ssl.create_default_context(capath=sys.argv[3])",
    "capath, positional": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_verify_locations(None, sys.argv[3])",
    "cadata, PEM": "c = ssl.create_default_context(cadata=open(sys.argv[2]).read())",
    "cadata, DER": "c = ssl.create_default_context(cadata=ssl.PEM_cert_to_DER_cert(open(sys.argv[2]).read()))",
    "cadata, positional": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.load_verify_locations(None, None, open(sys.argv[2]).read())",
}


@pytest.mark.parametrize("way", EXPLICIT)
def test_explicit_trust_is_never_widened(
    way: str,
    urls: dict[str, str],
    store: Path,
    ca_file: Callable[[str], Path],
    authorities: Authorities,
    tmp_path: Path,
) -> None:
    directory = write_directory(tmp_path / "private", [authorities.private])
    arguments = (ca_file("private"), directory)
    assert judge(EXPLICIT[way], urls, *arguments, SSL_CERT_DIR=store) == expected(urls, "private")


@pytest.mark.parametrize(
    "default", ["c.load_default_certs()", "import certifi; c.load_verify_locations(certifi.where())"]
)
@pytest.mark.parametrize("order", ["{default}\n{own}", "{own}\n{default}"])
def test_both_on_one_context(
    default: str, order: str, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    code = order.format(default=default, own="c.load_verify_locations(sys.argv[2])")
    code = f"c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n{code}"
    found = judge(code, urls, ca_file("private"), SSL_CERT_DIR=store)
    assert found == expected(urls, "system", "intermediate", "private")


def test_both_in_one_call(
    urls: dict[str, str], store: Path, authorities: Authorities, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    code = """
import certifi
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.load_verify_locations(certifi.where(), sys.argv[2], open(sys.argv[3]).read())
"""
    directory = write_directory(tmp_path / "private", [authorities.private])
    found = judge(code, urls, directory, ca_file("unknown"), SSL_CERT_DIR=store)
    assert found == expected(urls, "system", "intermediate", "private", "unknown")


def test_a_bare_context_trusts_nobody(urls: dict[str, str], store: Path) -> None:
    assert judge("c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)", urls, SSL_CERT_DIR=store) == expected(urls)


def test_no_verification_stays_none(urls: dict[str, str], store: Path) -> None:
    found = judge("c = ssl._create_unverified_context()", urls, SSL_CERT_DIR=store)
    assert found == expected(urls, *urls)
    lax = "c = ssl.create_default_context(); c.check_hostname = False"
    assert judge(lax, urls, SSL_CERT_DIR=store) == expected(urls, "system", "intermediate", "wrong_host")


def test_a_library_bundle_of_this_name_elsewhere_is_the_users(
    urls: dict[str, str], store: Path, authorities: Authorities, tmp_path: Path
) -> None:
    own = write_bundle(tmp_path / "certifi" / "cacert.pem", [authorities.private])
    assert judge(EXPLICIT["cafile"], urls, own, SSL_CERT_DIR=store) == expected(urls, "private")


SERVER = """
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
context.verify_mode = ssl.CERT_REQUIRED
{trust}
"""
PRIVATE_CA = "context.load_verify_locations(sys.argv[2])"
MUTUAL = """
import json, socket, ssl, sys, threading
{server}
client = ssl.create_default_context(cafile=sys.argv[3])
client.load_cert_chain(sys.argv[4])
a, b = socket.socketpair()
def serve():
    try:
        with context.wrap_socket(a, server_side=True) as tls:
            verdict.append("accepted"); tls.sendall(b"x")
    except ssl.SSLError as error:
        verdict.append(error.reason)
verdict = []
thread = threading.Thread(target=serve); thread.start()
try:
    with client.wrap_socket(b, server_hostname="localhost") as tls:
        tls.recv(1)
except OSError:
    pass
thread.join()
print(json.dumps(verdict))
"""


@pytest.mark.parametrize("trust", [PRIVATE_CA, "import certifi; context.load_verify_locations(certifi.where())", ""])
@pytest.mark.parametrize("variables", [{}, {"TRUSTSTORE_INJECT": "0"}])
def test_an_mtls_server_stays_strict(
    trust: str,
    variables: dict[str, str],
    authorities: Authorities,
    ca_file: Callable[[str], Path],
    store: Path,
    tmp_path: Path,
) -> None:
    """A client certificate that a system CA signed is refused by a server that does not trust the system's CAs."""

    def verdict(client_ca: str) -> Any:
        chain = {
            "server": authorities.system.issue_cert("localhost"),
            "client": getattr(authorities, client_ca).issue_cert("me"),
        }
        for name, certificate in chain.items():
            certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
        code = MUTUAL.format(server=SERVER.format(trust=trust))
        files = (tmp_path / "server.pem", ca_file("private"), ca_file("system"), tmp_path / "client.pem")
        return run_code(code, *map(str, files), env=environment(SSL_CERT_DIR=store, **variables))

    assert verdict("system") == ["CERTIFICATE_VERIFY_FAILED"]
    assert verdict("private") == (["accepted"] if trust == PRIVATE_CA else ["CERTIFICATE_VERIFY_FAILED"])


@pytest.mark.parametrize(
    "server",
    [
        "c = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); c.verify_mode = 2",
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_default_certs()",
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.set_default_verify_paths()",
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_default_certs(ssl.Purpose.CLIENT_AUTH)",
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.load_default_certs(ssl.Purpose.CLIENT_AUTH)",
        "import certifi; c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_verify_locations(certifi.where())",
    ],
)
def test_who_verifies_clients_is_stock(server: str, ca_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Nothing of the extra CA, which every context with default trust of ours has, and the same anchors as stock."""
    code = f"import json, ssl\n{server}\nprint(json.dumps([len(c.get_ca_certs()), c.cert_store_stats()]))"
    env = environment(SSL_CERT_FILE=ca_file("system"), TRUSTSTORE_INJECT_EXTRA_CA_CERTS=ca_file("private"))
    stock = run_code(code, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert run_code(code, env=env) == stock
    client = code.replace(server, "c = ssl.create_default_context()")
    assert run_code(client, env=env) != run_code(client, env={**env, "TRUSTSTORE_INJECT": "0"})


CALLS = [
    "c.load_verify_locations()",
    "c.load_verify_locations(None)",
    "c.load_verify_locations(None, None, None)",
    "c.load_verify_locations(5)",
    "c.load_verify_locations(cafile=5)",
    "c.load_verify_locations(capath=5)",
    "c.load_verify_locations(cadata=5)",
    "c.load_verify_locations(cadata='')",
    "c.load_verify_locations(cadata=b'nonsense')",
    "c.load_verify_locations(cadata='nonsense')",
    "c.load_verify_locations('/nonexistent')",
    "c.load_verify_locations(b'/nonexistent')",
    "c.load_verify_locations('a\\0b')",
    "c.load_verify_locations(1, 2, 3, 4)",
    "c.load_verify_locations(nonsense=1)",
    "c.load_verify_locations('/nonexistent', cafile='/nonexistent')",
    "c.load_default_certs('nonsense')",
    "c.load_default_certs(purpose=None)",
    "c.load_default_certs(1, 2)",
    "c.load_default_certs(nonsense=1)",
    "c.set_default_verify_paths(1)",
    "ssl.SSLContext.load_verify_locations()",
    "ssl.SSLContext.load_verify_locations(5, '/nonexistent')",
    "import certifi; c.load_verify_locations(certifi.where(), capath=5)",
]


def test_wrong_arguments_raise_what_stock_raises(store: Path) -> None:
    code = """
import json, ssl, sys
def outcome(call):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        exec(call, {"c": c, "ssl": ssl})
    except Exception as error:
        return [type(error).__name__, getattr(error, "errno", None)]
print(json.dumps({call: outcome(call) for call in json.loads(sys.argv[1])}))
"""
    env = environment(SSL_CERT_DIR=store)
    stock = run_code(code, json.dumps(CALLS), env={**env, "TRUSTSTORE_INJECT": "0"})
    assert run_code(code, json.dumps(CALLS), env=env) == stock
    assert None not in stock.values()


def test_the_methods_look_like_stock() -> None:
    code = """
import inspect, json, ssl
names = ("load_default_certs", "set_default_verify_paths", "load_verify_locations")
methods = [getattr(ssl.SSLContext, name) for name in names]
print(json.dumps([[m.__name__, m.__qualname__, m.__doc__, str(inspect.signature(m)).replace("/, ", "")] for m in methods]))
"""
    assert run_code(code, env=environment()) == run_code(code, env=environment(TRUSTSTORE_INJECT="0"))


def test_what_a_context_says_of_itself(ca_file: Callable[[str], Path], store: Path) -> None:
    """truststore.SSLContext raises NotImplementedError from two of these."""
    code = """
import json, ssl, sys
c = ssl.create_default_context()
d = ssl.create_default_context(cafile=sys.argv[1])
print(json.dumps([
    type(c) is ssl.SSLContext, c.check_hostname, c.verify_mode, c.verify_flags, c.options, len(c.get_ciphers()),
    len(d.get_ca_certs()), d.cert_store_stats(), d.verify_flags, len(d.get_ca_certs(True)),
]))
"""
    env = environment(SSL_CERT_DIR=store)
    found = run_code(code, str(ca_file("private")), env=env)
    assert found == run_code(code, str(ca_file("private")), env={**env, "TRUSTSTORE_INJECT": "0"})


def test_extract_gives_back_the_librarys_own_default(
    urls: dict[str, str], authorities: Authorities, store: Path, tmp_path: Path
) -> None:
    with shadow_certifi(tmp_path, authorities.bundled) as folder:
        code = DEFAULT["certifi's file"]
        variables = {"SSL_CERT_DIR": store, "PYTHONPATH": folder}
        out = f"import truststore_inject; truststore_inject.extract()\n{code}"
        assert judge(code, urls, **variables) == expected(urls, "system", "intermediate")
        assert judge(out, urls, **variables) == expected(urls, "bundled")
        assert judge(f"{out}\ntruststore_inject.inject()\n{code}", urls, **variables) == expected(
            urls, "system", "intermediate"
        )


def test_requests_own_variable_wins(urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]) -> None:
    env = environment(SSL_CERT_DIR=store, REQUESTS_CA_BUNDLE=ca_file("private"))
    assert verdicts("requests_session", urls, env=env) == expected(urls, "private")


def test_the_silent_client_stalls_nobody(servers: dict[str, Server], store: Path) -> None:
    """truststore holds a lock for the whole handshake."""
    code = f"""{HANDSHAKE}
listener = socket.create_server(("127.0.0.1", 0))
c = ssl.create_default_context()
def stall():
    with socket.create_connection(listener.getsockname()) as connection, suppress(OSError):
        c.wrap_socket(connection, server_hostname="localhost")
from contextlib import suppress
threading.Thread(target=stall, daemon=True).start()
silent, _ = listener.accept()
silent.recv(1)  # the first handshake is under way, and stays so
print(json.dumps(handshake(c, sys.argv[1])))
"""
    assert run_code(code, servers["system"].url, env=environment(SSL_CERT_DIR=store)) == "accepted"


@openssl_store
def test_an_error_of_our_own_leaves_stock(urls: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    code = """
from truststore_inject.stores import _openssl
def broken(*arguments):
    raise RuntimeError("a bug of ours")
_openssl.search = broken
c = ssl.create_default_context()
from truststore_inject import _record
assert any("a bug of ours" in note for note in _record.notes)
"""
    assert judge(code, urls, SSL_CERT_FILE=ca_file("private")) == expected(urls, "private")


@openssl_store  # elsewhere it must be remembered, to be verified: stock stays
def test_a_context_that_cannot_be_remembered_gets_the_store(store: Path) -> None:
    code = """
import json, ssl, truststore_inject.stores as stores
class Context(ssl.SSLContext):
    __hash__ = None
context = Context(ssl.PROTOCOL_TLS_CLIENT)
print(json.dumps([stores.load(context, None), len(context.get_ca_certs())]))
"""
    (anchor,) = store.glob("*.pem")
    assert run_code(code, env=environment(SSL_CERT_FILE=anchor)) == [True, 1]
