"""Whose file is it: a library's own default, or the user's?"""

from __future__ import annotations

import os
import shutil
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
)

from truststore_inject import _record
from truststore_inject.stores import _carried

PACKAGED = [
    ("certifi", "certifi/cacert.pem"),
    ("certifi", "pip/_vendor/certifi/cacert.pem"),
    ("certifi", "somebody/_vendor/certifi/cacert.pem"),
    ("botocore", "botocore/cacert.pem"),
    ("botocore", "awscli/botocore/cacert.pem"),
    ("boto", "boto/cacerts/cacerts.txt"),
    ("gslib", "gslib/data/cacerts.txt"),  # gsutil
    ("grpc", "grpc/_cython/_credentials/roots.pem"),
    ("httplib2", "httplib2/cacerts.txt"),
    ("requests", "requests/cacert.pem"),
    ("stripe", "stripe/data/ca-certificates.crt"),
    ("twilio", "twilio/conf/cacert.pem"),
]


def package(folder: Path, name: str, file: str) -> Path:
    """Lay `file`, which the package `name` carries, below `folder`, with the package around it."""
    path = write_bundle(folder / file, [])
    while path.parent.name != name:
        path = path.parent
    (path.parent / "__init__.py").touch()
    return folder / file


@pytest.mark.parametrize(("name", "file"), PACKAGED)
def test_recognised_by_the_package_that_it_lies_in(tmp_path: Path, name: str, file: str) -> None:
    path = package(tmp_path, name, file)
    assert _carried.library(str(path)) == name
    assert _carried.library(path) == name
    assert _carried.library(os.fsencode(path)) == name


@pytest.mark.parametrize(("name", "file"), PACKAGED)
def test_not_by_its_name(tmp_path: Path, name: str, file: str) -> None:
    assert _carried.library(write_bundle(tmp_path / file, [])) is None  # no package around it
    assert _carried.library(write_bundle(tmp_path / Path(file).name, [])) is None
    assert _carried.library(package(tmp_path / "b", name, file).with_name("corp.pem")) is None


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


def test_a_frozen_application_has_only_the_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bundle(tmp_path / "certifi" / "cacert.pem", [])
    assert _carried.library(path) is None
    frozen = types.ModuleType("application.certifi")
    frozen.__path__ = [str(path.parent)]
    monkeypatch.setitem(sys.modules, "application.certifi", frozen)
    assert _carried.library(path) == "certifi"


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


class Installed:
    """A certifi that an installer laid down, with its RECORD."""

    def __init__(self, folder: Path, authorities: Authorities) -> None:
        with shadow_certifi(folder, authorities.bundled):
            self.folder = folder
        self.bundle = folder / "certifi" / "cacert.pem"
        self.record = folder / "certifi-2026.1.1.dist-info" / "RECORD"
        self.record.parent.mkdir()
        self.record.write_text(
            f"certifi/__init__.py,sha256=x,94\ncertifi/cacert.pem,sha256=x,{self.bundle.stat().st_size}\n"
            "certifi-2026.1.1.dist-info/RECORD,,\n"
        )


@pytest.mark.parametrize("record", ["as installed", "none", "corrupt"])
def test_a_ca_that_was_added_to_certifis_file_is_kept(
    record: str, urls: dict[str, str], store: Path, authorities: Authorities, tmp_path: Path
) -> None:
    installed = Installed(tmp_path, authorities)
    env = environment(SSL_CERT_DIR=store, PYTHONPATH=installed.folder)
    cases = {case: urls[case] for case in ("system", "bundled", "private", "unknown")}
    untouched = {"system": "accepted", "bundled": "refused", "private": "refused", "unknown": "refused"}
    assert verdicts("requests_get", cases, env=env) == untouched
    with installed.bundle.open("ab") as bundle:
        bundle.write(authorities.private.cert_pem.bytes())
    if record == "as installed":
        assert verdicts("requests_get", cases, env=env) == {**untouched, "bundled": "accepted", "private": "accepted"}
        return
    installed.record.unlink() if record == "none" else installed.record.write_text("certifi/cacert.pem,,nonsense\n")
    assert verdicts("requests_get", cases, env=env) == untouched  # nothing tells that it was changed


def test_the_status_says_so(tmp_path: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = Installed(tmp_path, authorities)
    monkeypatch.setattr(_record, "notes", {})
    assert _carried.without_defaults(str(installed.bundle)) == (None, None, None)
    assert not _record.notes
    with installed.bundle.open("ab") as bundle:
        bundle.write(authorities.private.cert_pem.bytes())
    assert _carried.without_defaults(str(installed.bundle)) == (str(installed.bundle), None, None)
    assert any(str(installed.bundle) in note for note in _record.notes)


def test_a_vendored_bundle_is_looked_up_in_its_own_record(tmp_path: Path) -> None:
    path = package(tmp_path, "certifi", "pip/_vendor/certifi/cacert.pem")
    for folder in (tmp_path / "pip", tmp_path / "pip" / "_vendor"):
        (folder / "__init__.py").touch()
    record = tmp_path / "pip-26.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("pip/_vendor/certifi/cacert.pem,sha256=x,1234\n")
    assert _carried._recorded_size(str(path)) == 1234


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
