"""What else decides about trust in an interpreter, as ``status`` names it."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import Authorities

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from certificates import leaf_of
from cryptography.hazmat.primitives.serialization import Encoding

from truststore_inject import stores
from truststore_inject.cli import _influences


def test_pips_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = sys.platform == "win32"
    folder, name = ("pip", "pip.ini") if windows else (".pip", "pip.conf")
    files = {
        "own": "[global]\ncert = /own.pem\n[install]\nno-index = true\n",
        f"home/{folder}/{name}": "[install]\ncert = /home.pem\n",
        f"config/pip/{name}": "this is no configuration",
        f"prefix/{name}": "[global]\ncert = \xff",
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="latin-1")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    home, config = ("USERPROFILE", "APPDATA") if windows else ("HOME", "XDG_CONFIG_HOME")
    places = {home: "home", config: "config", "PIP_CONFIG_FILE": "own"}
    monkeypatch.setattr(os, "environ", {name: str(tmp_path / place) for name, place in places.items()})
    found = {entry["name"]: entry["value"] for entry in _influences._pip_config() if str(tmp_path) in entry["name"]}
    at_home, own = tmp_path / "home" / folder / name, tmp_path / "own"
    assert found == {f"install.cert in {at_home}": "/home.pem", f"global.cert in {own}": "/own.pem"}


def test_what_a_variable_means(
    store: Path, ca_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    values = {
        "SSL_CERT_FILE": certifi.where(),
        "SSL_CERT_DIR": str(store),
        "REQUESTS_CA_BUNDLE": str(ca_file("private")),
        "CURL_CA_BUNDLE": str(tmp_path / "none.pem"),
        "PIP_CERT": str(next(store.iterdir())),
        "AWS_CA_BUNDLE": certifi.where(),
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": certifi.where(),
    }
    monkeypatch.setattr(os, "environ", values)
    fixes = {entry["name"]: entry["fix"] for entry in _influences.variables(stores.describe())}
    assert fixes == {
        "SSL_CERT_FILE": "Unset it.",
        "SSL_CERT_DIR": "Nothing to do if that is intended.",
        "REQUESTS_CA_BUNDLE": "Unset it, or leave it if that is intended.",
        "CURL_CA_BUNDLE": "It does not exist: unset it.",
        "PIP_CERT": "It is the system's own. Unset it: that is faster and sees new CAs at once.",
        "AWS_CA_BUNDLE": "Unset it.",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "Unset it, or leave it if that is intended.",
    }


def test_a_changed_certifi(authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = [authority.cert_pem.bytes() for authority in (authorities.bundled, authorities.private)]
    site, info = tmp_path / "site", tmp_path / "site" / "certifi-2026.1.1.dist-info"
    info.mkdir(parents=True)
    (site / "certifi").mkdir()
    (site / "certifi" / "__init__.py").write_text("# as in certifi\n")
    file = site / "certifi" / "cacert.pem"
    digest = base64.urlsafe_b64encode(hashlib.sha256(pem[0]).digest()).decode().rstrip("=")
    (info / "RECORD").write_text(f"certifi/cacert.pem,sha256={digest},{len(pem[0])}\n")
    installed = [SimpleNamespace(name=name, locate=lambda: file) for name in ("core.py", "cacert.pem")]
    monkeypatch.setattr(_influences.metadata, "files", lambda _: installed)

    def effects() -> list[str]:
        return [found["effect"] for found in _influences._changed_certifi()]

    assert effects() == []  # there is no such file
    file.write_bytes(pem[0])
    assert effects() == []
    file.write_bytes(pem[0] + pem[1])
    (words,) = effects()
    assert ("private of the tests" in words, "bundled of the tests" in words) == (True, False)
    file.write_bytes(pem[1])  # what was installed is not in it any more
    assert "private of the tests" in effects()[0]

    def missing(_: str) -> None:
        raise _influences.metadata.PackageNotFoundError

    monkeypatch.setattr(_influences.metadata, "files", missing)
    assert list(_influences._changed_certifi()) == []


def test_the_subject_of_what_is_no_ca(authorities: Authorities) -> None:
    assert _influences.subject(b"AAAA") == "(a certificate that OpenSSL cannot read)"
    assert _influences.subject(leaf_of(authorities.system).parsed.public_bytes(Encoding.DER)) == (
        "(a certificate that is not a CA)"
    )


def test_a_replaced_class_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(_influences._replaced_class()) == []
    monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (), {"__module__": "truststore._api"}))
    assert [entry["value"] for entry in _influences._replaced_class()] == ["truststore._api"]
