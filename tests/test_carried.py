"""Whose file is it: a library's own default, or the user's?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import sys
import types
from collections.abc import Callable
from pathlib import Path

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
    write_record,
)
from places import Places, accepted, needs_openssl, renewed_ca
from places import places as places

from truststore_inject import _record
from truststore_inject.stores import _carried, _openssl

# A package, its bundle, and a name in the library's module.
PACKAGED = [
    ("certifi", "certifi/cacert.pem", "where"),
    ("certifi", "pip/_vendor/certifi/cacert.pem", "where"),
    ("certifi", "somebody/_vendor/certifi/cacert.pem", "where"),
    ("botocore", "botocore/cacert.pem", "UNSIGNED"),
    ("botocore", "awscli/botocore/cacert.pem", "UNSIGNED"),
    ("boto", "boto/cacerts/cacerts.txt", "connect_s3"),
    ("gslib", "gslib/data/cacerts.txt", "GSUTIL_DIR"),  # gsutil
    ("grpc", "grpc/_cython/_credentials/roots.pem", "insecure_channel"),
    ("httplib2", "httplib2/cacerts.txt", "HTTPSConnectionWithTimeout"),
    ("requests", "requests/cacert.pem", "Session"),
    ("stripe", "stripe/data/ca-certificates.crt", "api_key"),
    ("twilio", "twilio/conf/cacert.pem", "rest"),
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_installed_files", "_gained"):
        monkeypatch.setattr(_carried, name, {})
    monkeypatch.setattr(_record, "notes", {})


def package(folder: Path, file: str) -> Path:
    """Lay `file` below `folder`, with packages around it; that file."""
    path = write_bundle(folder / file, [])
    for parent in path.parents[: len(Path(file).parts) - 1]:
        (parent / "__init__.py").touch()
    return path


def recognised(path: Path) -> str | None:
    """By each of its spellings, and through links."""
    link, folder = path.with_name("link"), path.parent.with_name("another folder")
    link.symlink_to(path)
    folder.symlink_to(path.parent)
    spellings = [
        path,
        str(path),
        os.fsencode(path),
        link,
        folder / path.name,
        path.parent / ".." / folder.name / path.name,
    ]
    (found,) = {_carried.library(spelling) for spelling in spellings}
    link.unlink()
    folder.unlink()
    return found


@pytest.mark.parametrize(("name", "file", "known"), PACKAGED)
def test_recognised_by_what_its_installer_wrote_down(tmp_path: Path, name: str, file: str, known: str) -> None:
    path, top = package(tmp_path, file), Path(file).parts[0]
    write_record(tmp_path, file, f"{'gsutil' if name == 'gslib' else top}-1.0")
    is_vendored = top not in (name, "gslib")
    assert recognised(path) == (None if is_vendored else name)
    if is_vendored and name == "certifi":  # an application's own folder of this name has no such module in it
        _carried._installed_files.clear()
        (path.parent / "core.py").write_text("def where(): ...\n")
        assert recognised(path) == name


@pytest.mark.parametrize(("name", "file", "known"), PACKAGED)
def test_recognised_by_its_loaded_module(
    tmp_path: Path, name: str, file: str, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a frozen application there is nothing else; an application's own module of this name is none of them."""
    path = package(tmp_path, file)
    is_vendored = name in ("botocore", "certifi")
    module = types.ModuleType(f"application.{name}" if is_vendored else name)
    depth = len(Path(file).parts) - Path(file).parts.index(name) - 1
    module.__path__ = [str(path.parents[depth - 1])]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert recognised(path) is None
    setattr(module, known, object())
    assert recognised(path) == name
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setitem(sys.modules, f"another.{name}", module)
    assert recognised(path) == (name if is_vendored else None)
    module.__path__ = [str(tmp_path)]
    assert recognised(path) is None


@pytest.mark.parametrize(("name", "file", "known"), PACKAGED)
def test_never_by_the_name_of_a_folder(tmp_path: Path, name: str, file: str, known: str) -> None:
    """An application pins what it has there, also if it was installed."""
    assert recognised(write_bundle(tmp_path / "a" / file, [])) is None
    assert recognised(package(tmp_path / "b", file)) is None
    assert recognised(write_bundle(tmp_path / Path(file).name, [])) is None
    path = package(tmp_path / "c", f"application/{file}")
    write_record(tmp_path / "c", f"application/{file}", "application-1.0")
    assert recognised(path) is None
    assert recognised(package(tmp_path / "d", file).with_name("corp.pem")) is None


@pytest.mark.parametrize("path", ["", "/etc/corp/cacert.pem", "cacert.pem", "/", 5, None, b"\xff", "a\0b", object()])
def test_everything_else_is_the_users(path: object) -> None:
    assert _carried.library(path) is None


def test_the_real_ones() -> None:
    import botocore
    import certifi
    import pip._vendor.certifi as vendored

    assert _carried.library(certifi.where()) == "certifi"
    assert _carried.library(vendored.where()) == "certifi"
    assert _carried.library(os.path.join(botocore.__path__[0], "cacert.pem")) == "botocore"


def test_certifi_inside_a_zip_file(urls: dict[str, str], store: Path, authorities: Authorities, tmp_path: Path) -> None:
    """Its where() copies the bundle to a temporary file."""
    with shadow_certifi(tmp_path / "certifi", authorities.bundled) as folder:
        archive = shutil.make_archive(str(tmp_path / "packages"), "zip", folder)
    cases = {case: urls[case] for case in ("system", "bundled")}
    env = environment(SSL_CERT_DIR=store, PYTHONPATH=archive)
    assert verdicts("requests_get", cases, env=env) == {"system": "accepted", "bundled": "refused"}
    stock = verdicts("requests_get", cases, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert stock == {"system": "refused", "bundled": "accepted"}


@pytest.mark.parametrize("contents", [True, False])
def test_text_that_certifi_gave(
    contents: bool, urls: dict[str, str], store: Path, authorities: Authorities, tmp_path: Path
) -> None:
    """The same text is the bundle; one certificate more, and it is the user's own."""
    text = "certifi.contents()" if contents else "certifi.contents() + open(sys.argv[2]).read()"
    own = write_bundle(tmp_path / "own.pem", [authorities.private])
    code = f"""
import certifi, json, ssl, sys
c = ssl.create_default_context(cadata={text})
print(json.dumps(len(c.get_ca_certs())))
"""
    with shadow_certifi(tmp_path / "certifi", authorities.bundled) as folder:
        env = environment(SSL_CERT_DIR=store, PYTHONPATH=folder)
        assert run_code(code, "", str(own), env=env) == (0 if contents else 2)


# --- what it gained ---


class Installed:
    """A certifi as an installer laid it down, beside a store with `system`: `default` is what a context gets of both."""

    def __init__(self, folder: Path, authorities: Authorities) -> None:
        with shadow_certifi(folder, authorities.bundled):
            self.folder = folder
        self.bundle = folder / "certifi" / "cacert.pem"
        self.record = folder / "certifi-2026.1.1.dist-info" / "RECORD"
        self.data = self.bundle.read_bytes()
        self._everybody = authorities.system, authorities.bundled, authorities.private, authorities.unknown

    def default(self) -> list[bool]:
        """What of the system's CA, certifi's, the company's and a stranger's is accepted."""
        context = ssl.create_default_context(cafile=str(self.bundle))
        return accepted(context, *self._everybody)


@pytest.fixture
def installed(tmp_path: Path, authorities: Authorities, places: Places) -> Installed:
    places.debian(authorities.system)
    return Installed(tmp_path / "site", authorities)


NOTHING, ADDED, ALL = [True, False, False, False], [True, False, True, False], [True, True, True, False]


@needs_openssl
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("as installed", NOTHING),
        ("appended", ADDED),
        ("appended with a comment", ADDED),
        ("prepended", ADDED),
        ("a comment appended", NOTHING),
        ("a line break appended", NOTHING),
        ("not ASCII appended", ADDED),
        ("something corrupt appended", NOTHING),
        ("touched", NOTHING),
        ("rewritten", ALL),
        ("rewritten, of the same size", [True, False, False, False]),
    ],
)
def test_what_somebody_added_is_kept_and_only_that(
    how: str, expected: list[bool], installed: Installed, authorities: Authorities
) -> None:
    added, data = authorities.private.cert_pem.bytes(), installed.data
    content = {
        "appended": data + added,
        "appended with a comment": data + b"\n# the company's\n" + added,
        "prepended": added + data,
        "a comment appended": data + b"# hello\n",
        "a line break appended": data + b"\n",
        "not ASCII appended": data + "# für uns\n".encode() + added,
        "something corrupt appended": data + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "rewritten": b"# by a tool\n" + data + added,
    }.get(how, data)
    if how != "rewritten, of the same size":
        installed.bundle.write_bytes(content)
    if how == "touched":
        os.utime(installed.bundle)
    assert installed.default() == expected
    assert any(str(installed.bundle) in note for note in _record.notes) == (expected != NOTHING)


@needs_openssl
@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("certifi/cacert.pem,,{size}\n", ADDED),
        ("certifi/cacert.pem,md5=x,{size}\n", ADDED),
        ("certifi/cacert.pem,,\n", NOTHING),
        ("certifi/cacert.pem,,nonsense\n", NOTHING),
        ("certifi/__init__.py,,{size}\n", NOTHING),
        ("", NOTHING),
        (None, NOTHING),
    ],
)
def test_what_was_installed_is_what_was_written_down(
    record: str | None,
    expected: list[bool],
    installed: Installed,
    authorities: Authorities,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it was not, nothing tells that the file was changed."""
    module = types.ModuleType("application.certifi")
    module.__path__, module.where = [str(installed.bundle.parent)], None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    installed.record.unlink()
    if record is not None:
        installed.record.write_text(record.format(size=len(installed.data)))
    installed.bundle.write_bytes(installed.data + authorities.private.cert_pem.bytes())
    assert installed.default() == expected


@needs_openssl
@pytest.mark.parametrize("in_store", [True, False])
def test_what_it_lost_is_lost_where_there_is_no_store(
    in_store: bool, authorities: Authorities, places: Places, tmp_path: Path
) -> None:
    places.debian(*[authorities.system, authorities.bundled] if in_store else [])
    installed = Installed(tmp_path / "site", authorities)
    write_bundle(installed.bundle, [authorities.bundled, authorities.unknown])
    write_record(installed.folder, "certifi/cacert.pem")
    assert installed.default() == ([True, True, False, False] if in_store else [False, True, False, True])
    write_bundle(installed.bundle, [authorities.unknown])
    assert installed.default()[:2] == [in_store, in_store]


@needs_openssl
@pytest.mark.parametrize("version", ["2026.1.1+company.1", "2026.1.1"])
def test_a_companys_own_build(version: str, installed: Installed, authorities: Authorities) -> None:
    """The local label of its version (PEP 440) tells it: its bundle is trusted in addition to the store."""
    shutil.rmtree(installed.record.parent)
    installed.bundle.write_bytes(installed.data + authorities.private.cert_pem.bytes())
    write_record(installed.folder, "certifi/cacert.pem", f"certifi-{version}")
    assert installed.default() == (ALL if "+" in version else NOTHING)


@needs_openssl
def test_a_change_is_seen_by_the_next_context(installed: Installed, authorities: Authorities) -> None:
    assert installed.default() == NOTHING
    with installed.bundle.open("ab") as file:
        file.write(authorities.private.cert_pem.bytes())
    assert installed.default() == ADDED
    installed.bundle.write_bytes(installed.data)
    assert installed.default() == NOTHING


@needs_openssl
def test_what_was_added_hides_nothing_in_the_store(installed: Installed, places: Places) -> None:
    old, new = renewed_ca()
    shutil.rmtree(places.path("/etc/ssl/certs"))
    places.path("/usr/lib/ssl/certs").unlink()
    places.debian(old)
    with installed.bundle.open("ab") as file:
        file.write(new.cert_pem.bytes())
    assert accepted(ssl.create_default_context(cafile=str(installed.bundle)), old, new) == [True, True]


@needs_openssl
def test_what_somebody_added_to_conda_s_bundle_is_kept(places: Places, authorities: Authorities) -> None:
    prefix = places.prefix("/opt/conda", conda=True)
    places.built_for("/opt/conda/ssl")
    bundle = places.bundle("/opt/conda/ssl/cacert.pem", [authorities.bundled])
    places.link("/opt/conda/ssl/cert.pem", "/opt/conda/ssl/cacert.pem")
    data = bundle.read_bytes()
    entry = {"_path": "ssl/cacert.pem", "size_in_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    record = prefix / "conda-meta" / "ca-certificates-2026.1.1-0.json"
    others = [{"_path": "ssl/openssl.cnf", "size_in_bytes": 1}, {"_path": "ssl/cacert.pem"}]
    record.write_text(json.dumps({"paths_data": {"paths": [*others, entry]}}))
    (prefix / "conda-meta" / "certifi-2026.1.1.json").write_text(json.dumps({"paths_data": {"paths": others[:1]}}))
    (prefix / "conda-meta" / "history").write_text("==> conda create <==")
    places.debian(authorities.system)
    everybody = authorities.system, authorities.bundled, authorities.private
    assert accepted(ssl.create_default_context(), *everybody) == [True, False, False]
    with bundle.open("ab") as file:
        file.write(authorities.private.cert_pem.bytes())
    _openssl._found = None
    assert accepted(ssl.create_default_context(), *everybody) == [True, False, True]


def test_an_application_that_cx_freeze_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It carries a bundle, and names it in ``SSL_CERT_FILE`` when ssl is imported."""
    bundle = write_bundle(tmp_path / "share" / "certs.pem", [])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert _carried.library(bundle) is None
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert _carried.library(bundle) == "cx_Freeze"
    assert _carried.library(bundle.with_name("corp.pem")) is None


def test_a_process_sees_it(urls: dict[str, str], store: Path, authorities: Authorities, tmp_path: Path) -> None:
    installed = Installed(tmp_path, authorities)
    env = environment(SSL_CERT_DIR=store, PYTHONPATH=installed.folder)
    cases = {case: urls[case] for case in ("system", "bundled", "private", "unknown")}
    untouched = dict.fromkeys(cases, "refused") | {"system": "accepted"}
    assert verdicts("requests_get", cases, env=env) == untouched
    with installed.bundle.open("ab") as bundle:
        bundle.write(authorities.private.cert_pem.bytes())
    assert verdicts("requests_get", cases, env=env) == {**untouched, "private": "accepted"}
    code = "import certifi, json, ssl, truststore_inject as t; ssl.create_default_context(cafile=certifi.where())\n"
    said = run_code(f"{code}print(json.dumps(str(t.status())))", env=env)
    assert any(str(installed.bundle) in line and "was added to" in line for line in said.splitlines()), said


def test_a_missing_bundle_does_not_matter(
    urls: dict[str, str], store: Path, authorities: Authorities, tmp_path: Path, ca_file: Callable[[str], Path]
) -> None:
    with shadow_certifi(tmp_path, authorities.bundled) as folder:
        (folder / "certifi" / "cacert.pem").unlink()
        env = environment(SSL_CERT_DIR=store, PYTHONPATH=folder)
        assert verdicts("urllib3_certifi", {"system": urls["system"]}, env=env) == {"system": "accepted"}


@openssl_store
def test_no_usable_store_leaves_the_librarys_default(
    urls: dict[str, str], authorities: Authorities, tmp_path: Path
) -> None:
    with shadow_certifi(tmp_path / "certifi", authorities.bundled) as folder:
        env = environment(SSL_CERT_DIR=write_directory(tmp_path / "empty", []), PYTHONPATH=folder)
        found = verdicts("requests_get", urls, env=env)
        assert found == {**dict.fromkeys(urls, "refused"), "bundled": "accepted"}
