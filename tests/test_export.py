"""The store as a PEM file, for libraries that do not use ssl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import (
    OS_VERIFIES,
    Authorities,
    environment,
    openssl_store,
    rehash,
    run_code,
    verdicts,
    write_bundle,
    write_directory,
)
from machines import LAYOUTS, needs_machines
from servers import Server

shares = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="OpenSSL cannot be asked what it finds in a directory"
)
EXPORT = """
import json, os, sys
from truststore_inject.stores import _export
path = _export.pem_file()
{rest}
print(json.dumps([path, path and oct(os.stat(path).st_mode & 0o777), _export.pem_file() == path, text]))
"""


def exported(env: dict[str, str], rest: str = "text = path and open(path).read()") -> list[object]:
    return list(run_code(EXPORT.format(rest=rest), env=env))


@openssl_store
def test_the_machines_bundle_is_used_as_it_is(
    authorities: Authorities, tmp_path: Path, ca_file: Callable[[str], Path]
) -> None:
    bundle = write_bundle(tmp_path / "bundle.pem", [authorities.system])
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent")
    assert exported(env)[0] == str(bundle)
    env["TRUSTSTORE_INJECT_EXTRA_CA_CERTS"] = str(ca_file("private"))
    path, _, _, text = exported(env)
    assert path != str(bundle)
    assert str(text).count("BEGIN CERTIFICATE") == 2


@needs_machines
@pytest.mark.parametrize("is_found", [True, pytest.param(False, marks=shares)])
def test_debians_bundle_is_used_if_openssl_finds_all_of_it_in_the_directory(
    is_found: bool, authorities: Authorities, tmp_path: Path
) -> None:
    """OpenSSL does not read the bundle there, so what it does not find there under its subject's hash is not trusted."""
    machine = LAYOUTS["Debian"](tmp_path / "machine", [authorities.system, authorities.private])
    if not is_found:
        link = next(link for link in machine.path("/etc/ssl/certs").glob("*.0") if link.readlink().name == "ca-1.pem")
        link.rename(link.with_name("00000000.0"))
    code = EXPORT.format(rest="text = path and open(path).read()")
    path, _, _, text = json.loads(machine.run(machine.python, "-c", code).stdout)
    assert (path == "/etc/ssl/certs/ca-certificates.crt") == is_found
    assert text.count("BEGIN CERTIFICATE") == 1 + is_found


@openssl_store
def test_extra_cas_that_the_program_names_later(store: Path, ca_file: Callable[[str], Path]) -> None:
    code = """
import os, sys
from truststore_inject.stores import _export
counts = []
for extra in (None, sys.argv[1], None):
    os.environ.pop("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", None)
    if extra:
        os.environ["TRUSTSTORE_INJECT_EXTRA_CA_CERTS"] = extra
    counts.append(_export.pem_bytes().count(b"BEGIN CERTIFICATE"))
print(counts)
"""
    assert run_code(code, str(ca_file("private")), env=environment(SSL_CERT_DIR=store)) == [1, 2, 1]


@openssl_store
def test_no_store_no_file(tmp_path: Path) -> None:
    env = environment(SSL_CERT_DIR="/nonexistent", TMPDIR=tmp_path)
    assert (
        run_code("from truststore_inject.stores import _export; print(int(_export.pem_file() is None))", env=env) == 1
    )


def test_pyopenssl_needs_no_file_and_nothing_is_written_into_the_environment(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("OpenSSL")
    code = """
import json, os
before = dict(os.environ)
import OpenSSL.SSL
context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
context.set_default_verify_paths()
os.write(1, json.dumps(before == dict(os.environ)).encode())
os._exit(0)
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store, TMPDIR=tmp_path)) is True
    assert os.listdir(tmp_path) == []


def test_an_extra_file_that_is_missing_leaves_the_store_and_a_note(store: Path) -> None:
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS="/nonexistent/extra.pem")
    rest = (
        "from truststore_inject import stores\nleft_out = [entry['path'] for entry in stores.describe()['left_out']]\n"
    )
    rest += "text = [open(path).read().count('BEGIN'), len({der for _, der in stores.listing()}), *left_out]"
    count, anchors, *left_out = exported(env, rest)[3]  # type: ignore[misc]
    assert count == anchors
    assert anchors == 1 or OS_VERIFIES
    assert "/nonexistent/extra.pem" in left_out


def test_bytes_hold_what_the_file_holds_and_nothing_is_written(
    store: Path, tmp_path: Path, ca_file: Callable[[str], Path]
) -> None:
    code = """
import json, os, tempfile
from truststore_inject import patches
text = patches.system_bytes()
early = os.listdir(tempfile.gettempdir())
print(json.dumps([early, text.decode(), open(patches.system_file()).read()]))
"""
    extra = ca_file("private")
    env = environment(SSL_CERT_DIR=store, TMPDIR=tmp_path, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=extra)
    early, text, of_file = run_code(code, env=env)
    assert (early, of_file) == ([], text)
    assert "".join(extra.read_text().split()) in "".join(text.split())


@openssl_store
def test_no_store_no_bytes() -> None:
    code = "import json; from truststore_inject import patches; print(json.dumps(patches.system_bytes()))"
    assert run_code(code, env=environment(SSL_CERT_DIR="/nonexistent")) is None


# pycurl's handles, and what each says of the server of the store and of the server of a CA of the program's own.
PYCURL = """
import json, pickle, pycurl, sys
urls, own_file = json.loads(sys.argv[1]), sys.argv[2]
own = open(own_file).read()

class Derived(pycurl.Curl):
    def __init__(self, name):
        self.name = name

def make(*steps):
    handle = pycurl.Curl()
    for step in steps:
        step(handle)
    return handle

path, text = pycurl.CAINFO, pycurl.CAINFO_BLOB
handles = {
    "new": make,
    "after reset": lambda: make(lambda h: h.setopt(path, own_file), lambda h: h.reset()),
    "duplicate": lambda: make().duphandle(),
    "derived": lambda: Derived("name"),
    "own path": lambda: make(lambda h: h.setopt(path, own_file)),
    "own path, as text": lambda: make(lambda h: h.setopt_string(path, own_file)),
    "own path in a duplicate": lambda: make(lambda h: h.setopt(path, own_file)).duphandle(),
    "own path after a duplicate": lambda: (lambda h: (h.setopt(path, own_file), h)[1])(make().duphandle()),
    "own bytes": lambda: make(lambda h: h.setopt(text, own)),
    "own bytes, then a path": lambda: make(lambda h: h.setopt(text, own), lambda h: h.setopt(path, "/nonexistent")),
    "own path, then bytes taken back": lambda: make(lambda h: h.setopt(path, own_file), lambda h: h.unsetopt(text)),
    "own bytes, taken back": lambda: make(lambda h: h.setopt(text, own), lambda h: h.unsetopt(text)),
    "own bytes, taken back by None": lambda: make(lambda h: h.setopt(text, own), lambda h: h.setopt(text, None)),
}

def accepts(handle, url):
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.WRITEFUNCTION, lambda data: None)
    try:
        handle.perform()
        return True
    except pycurl.error:
        return False

said = {name: [accepts(make_one(), url) for url in urls] for name, make_one in handles.items()}
match pycurl.Curl():
    case pycurl.Curl():
        matched = True
    case _:
        matched = False
kinds = [matched, type(pycurl.Curl()) is pycurl.Curl, isinstance(pycurl.Curl().duphandle(), pycurl.Curl)]
kinds += [pickle.loads(pickle.dumps(pycurl.Curl)) is pycurl.Curl, repr(pycurl.Curl) == "<class 'pycurl.Curl'>"]
kinds += [type("Made", (pycurl.Curl,), {})().errstr() == "", Derived("name").name == "name"]
print(json.dumps([said, kinds]))
"""


def test_pycurls_handles(urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]) -> None:
    pytest.importorskip("pycurl")
    env = environment(SSL_CERT_DIR=store)
    said, kinds = run_code(PYCURL, json.dumps([urls["system"], urls["private"]]), str(ca_file("private")), env=env)
    defaults = ("new", "after reset", "duplicate", "derived", "own bytes, taken back", "own bytes, taken back by None")
    expected = {name: [name in defaults, "own" in name and name not in defaults] for name in said}
    assert said == expected
    assert set(kinds) == {True}


@pytest.mark.parametrize(("module", "client"), [("OpenSSL", "pyopenssl"), ("pycurl", "pycurl"), ("grpc", "grpc")])
def test_a_corrupt_entry_takes_nothing_from_the_others(
    module: str, client: str, servers: dict[str, Server], authorities: Authorities, tmp_path: Path
) -> None:
    pytest.importorskip(module)
    folder = write_directory(tmp_path / "store", [authorities.system])
    for number, body in enumerate(("AAAA", "MAAA", "MIIB", "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8A")):
        block = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
        (folder / f"0badbad{number}.0").write_text(block)
        (folder / f"ffffff0{number}.0").write_text(block)  # before and after the one that counts
    urls = {case: servers[case].url for case in ("system", "unknown")}
    said = verdicts(client, urls, env=environment(SSL_CERT_DIR=folder, TMPDIR=tmp_path), servers=servers)
    assert said == {"system": "accepted", "unknown": "refused"}
    assert os.listdir(tmp_path) == ["store"]


@pytest.mark.parametrize("module", ["OpenSSL", "pycurl", "grpc"])
def test_an_import_loads_nothing_that_stocks_does_not(module: str, store: Path) -> None:
    """gevent has to patch ssl, threading and others before anybody imports them; and wrapt takes 45 ms."""
    pytest.importorskip(module)
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    stock, here = (
        set(run_code(code, env=environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT=switch))) for switch in "01"
    )
    assert not [name for name in here - stock if name.partition(".")[0] != "truststore_inject"]


def test_what_is_wrapped_is_introspected_and_pickled_as_stocks() -> None:
    pytest.importorskip("OpenSSL")
    code = """
import inspect, json, pickle, typing
from unittest import mock
from OpenSSL import SSL, crypto
said = []
for method in (SSL.Context.load_verify_locations, SSL.Context.set_default_verify_paths, crypto.X509Store.load_locations):
    said += [str(inspect.signature(method)), method.__qualname__, method.__doc__, inspect.isfunction(method)]
    said += [pickle.loads(pickle.dumps(method)) is method, str(typing.get_type_hints(method)), inspect.getsource(method)]
with mock.patch.object(SSL.Context, "load_verify_locations", autospec=True) as spy:
    SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations("file", capath="folder")
said.append(str(spy.call_args)[-24:])
try:
    SSL.Context.load_verify_locations()
except TypeError as error:
    said.append("TypeError")
print(json.dumps(said))
"""
    stock, here = (run_code(code, env=environment(TRUSTSTORE_INJECT=switch)) for switch in "01")
    assert here == stock


@openssl_store
@pytest.mark.parametrize("shared", [True, False], ids=["", "without ctypes"])
@pytest.mark.parametrize("where", ["SSL_CERT_DIR", "SSL_CERT_FILE"])
@pytest.mark.parametrize("module", ["OpenSSL", "pycurl", "grpc", "curl_cffi"])
def test_an_anchor_that_the_store_rejects_for_servers_is_not_handed_on(
    module: str, where: str, shared: bool, servers: dict[str, Server], authorities: Authorities, tmp_path: Path
) -> None:
    pytest.importorskip(module)
    folder = write_directory(tmp_path / "store", [authorities.system, authorities.private])
    for file in folder.glob("ca-1.pem"):
        command = ["openssl", "x509", "-addreject", "serverAuth", "-trustout", "-in", file]
        file.write_bytes(subprocess.check_output(command))
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join(file.read_bytes() for file in sorted(folder.glob("*.pem"))))
    env = environment(
        **({where: folder} if where == "SSL_CERT_DIR" else {where: bundle, "SSL_CERT_DIR": "/nonexistent"})
    )
    if not shared:
        (tmp_path / "_ctypes.py").write_text("raise ImportError('not here')")
        env["PYTHONPATH"] = str(tmp_path)
    client = {"OpenSSL": "pyopenssl"}.get(module, module)
    urls = {case: servers[case].url for case in ("system", "private")}
    said = verdicts(client, urls, env=env, servers=servers)
    assert said["private"] == "refused"
    assert said["system"] == "accepted" or not shared


WHOLE = """
import json, sys
from truststore_inject.stores import _bundle, _export, listing
asked = []
read_alone = _bundle.read_alone
_bundle.read_alone = lambda path: (asked.append(path), read_alone(path))[1]
path = _export.pem_file()
one_by_one, text = len(asked), open(path).read()
from truststore_inject.stores import _pem
print(json.dumps([path, one_by_one > 0, set(_pem.certificates(path)) == {anchor for _, anchor in listing()}]))
"""


@openssl_store
@pytest.mark.parametrize(
    ("in_bundle", "in_directory", "whole"),
    [
        (["system", "private"], ["system"], True),
        (["system"], ["system", "private"], False),
        (["system", "commented"], ["system", "private"], False),
        (["system", "twice"], ["system"], True),
        (["system", "private"], ["system", "two in one"], False),
    ],
)
def test_a_bundle_that_is_the_store_is_told_by_its_text(
    in_bundle: list[str], in_directory: list[str], whole: bool, authorities: Authorities, tmp_path: Path
) -> None:
    """Else each file of the directory is read by OpenSSL, one by one."""
    texts = {name: getattr(authorities, name).cert_pem.bytes() for name in ("system", "private", "unknown")}
    texts["commented"] = b"# " + texts["private"]
    texts["twice"] = texts["system"]
    texts["two in one"] = texts["private"] + texts["unknown"]
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join(texts[name] for name in in_bundle))
    directory = write_directory(tmp_path / "directory", [authorities.system])
    for name in in_directory[1:]:
        # A file of two is no file for rehash: its name is that of the first.
        (directory / "other.pem").write_bytes(texts["private"])
        rehash(directory)
        (directory / "other.pem").write_bytes(texts[name])
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR=directory)
    path, one_by_one, right = run_code(WHOLE, env=env)
    assert right
    assert (path == str(bundle), one_by_one) == (whole, not whole)
