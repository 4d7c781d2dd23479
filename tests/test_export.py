"""The store as a PEM file, for libraries that do not use ssl."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import OS_VERIFIES, Authorities, environment, openssl_store, run_code, write_bundle

EXPORT = """
import json, os, sys
from truststore_inject.stores import _export
path = _export.pem_file()
{rest}
print(json.dumps([path, path and oct(os.stat(path).st_mode & 0o777), _export.pem_file() == path, text]))
"""


def exported(env: dict[str, str], rest: str = "text = path and open(path).read()") -> list[object]:
    return list(run_code(EXPORT.format(rest=rest), env=env))


def test_a_directory_becomes_a_private_file_that_is_removed(
    store: Path, authorities: Authorities, tmp_path: Path
) -> None:
    path, mode, again, text = exported(environment(SSL_CERT_DIR=store, TMPDIR=tmp_path))
    private = "0o666" if sys.platform == "win32" else "0o600"  # Windows has no such modes: the folder is the user's own
    assert (mode, again, Path(str(path)).parent) == (private, True, tmp_path)
    exported_, system = ("".join(pem.split()) for pem in (str(text), authorities.system.cert_pem.bytes().decode()))
    assert system in exported_ if OS_VERIFIES else system == exported_
    assert list(tmp_path.iterdir()) == []


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


@openssl_store
def test_no_store_no_file(tmp_path: Path) -> None:
    env = environment(SSL_CERT_DIR="/nonexistent", TMPDIR=tmp_path)
    assert (
        run_code("from truststore_inject.stores import _export; print(int(_export.pem_file() is None))", env=env) == 1
    )


@pytest.mark.skipif(OS_VERIFIES, reason="Windows has no fork, and macOS' libraries, which verify, do not survive it")
def test_a_forked_child_leaves_the_file_to_its_parent(store: Path) -> None:
    rest = "child = os.fork()\nif not child: sys.exit(0)\nos.waitpid(child, 0)\ntext = os.path.exists(path)"
    assert exported(environment(SSL_CERT_DIR=store), rest)[3] is True


def test_nothing_is_written_before_it_is_needed_nor_into_the_environment(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("OpenSSL")
    code = """
import json, os, tempfile
before = dict(os.environ)
import OpenSSL.SSL
context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
early = os.listdir(tempfile.gettempdir())
context.set_default_verify_paths()
print(json.dumps([early, len(os.listdir(tempfile.gettempdir())), before == dict(os.environ)]))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store, TMPDIR=tmp_path)) == [[], 1, True]
    assert os.listdir(tmp_path) == []


def test_an_extra_file_that_is_missing_leaves_the_store_and_a_note(store: Path) -> None:
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS="/nonexistent/extra.pem")
    rest = "from truststore_inject import _record, stores\n"
    rest += "text = [open(path).read().count('BEGIN'), len({der for _, der in stores.listing()}), *_record.notes]"
    count, anchors, *notes = exported(env, rest)[3]  # type: ignore[misc]
    assert count == anchors
    assert anchors == 1 or OS_VERIFIES
    assert any("/nonexistent/extra.pem: not loaded" in note for note in notes)


def test_where_nothing_can_be_written_the_librarys_own_default_stays(store: Path) -> None:
    code = """
import json, tempfile
from truststore_inject import _record
from truststore_inject.stores import _export
def full(*arguments):
    raise OSError(28, "No space left on device")
tempfile.mkstemp = full
print(json.dumps([_export.pem_file(), *_record.notes]))
"""
    path, *notes = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert path is None
    assert any("not exported: OSError" in note for note in notes)


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
