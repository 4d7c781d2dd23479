"""What ``truststore-inject status`` warns of: anchors that strict checks refuse, a company's own build of certifi."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Authorities, environment, openssl_store, run, write_bundle, write_directory
from machines import debian, needs_machines

pytest.importorskip("cryptography", reason="it makes the certificates, and not every PyPy has it")

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lax import KEY_USAGE, certificate, lax

from truststore_inject.cli import _strict

ROOT = x509.BasicConstraints(ca=True, path_length=None)


def status(**variables: str | Path) -> Any:
    result = run("-m", "truststore_inject", "status", "--json", env=environment(**variables))
    assert result.stderr == ""
    return json.loads(result.stdout)


def available() -> bool:
    try:
        _strict.faults(b"")
    except _strict.Unavailable:
        return False
    return True


needs_openssl = pytest.mark.skipif(not available(), reason="this Python's OpenSSL cannot be asked")


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def authority(*extensions: tuple[x509.ExtensionType, bool], name: str = "old CA") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return certificate(name, key, [*extensions], name, key)


@needs_openssl
def test_openssl_says_what_an_anchor_lacks() -> None:
    root = trustme.CA()
    for anchor in (root, root.create_child_ca()):
        assert _strict.faults(der(anchor.cert_pem.bytes())) == []
    assert _strict.faults(der(lax("none")[0])) == []
    assert len(_strict.faults(der(lax("basicConstraints not critical")[0]))) == 1
    found = _strict.faults(der(authority((ROOT, True))))
    assert [any(words in fault for fault in found) for words in ("key usage", "Subject Key Identifier")] == [True] * 2
    assert _strict.faults(b"garbage") == ["OpenSSL cannot read it"]
    context = ssl.create_default_context()  # OpenSSL's queue of errors is empty
    context.set_ciphers("DEFAULT")


@needs_openssl
@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python checks so since 3.13")
@pytest.mark.parametrize("fault", ["none", "basicConstraints not critical"])
def test_it_says_what_a_handshake_says(fault: str) -> None:
    pem, leaf = lax(fault)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=pem.decode())
    leaf.configure_cert(server)
    (a, b), (c, d) = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    ours, theirs = client.wrap_bio(a, b, server_hostname="localhost"), server.wrap_bio(c, d, server_side=True)
    words = None
    for _ in range(4):
        for end, source, target in ((ours, b, c), (theirs, d, a)):
            try:
                end.do_handshake()
            except ssl.SSLCertVerificationError as error:
                words = error.verify_message
            except ssl.SSLError:  # it waits for the other end, or is told by it
                pass
            target.write(source.read())
    assert _strict.faults(der(pem)) == ([] if words is None else [words])


@needs_machines
@needs_openssl
def test_what_was_added_to_the_machine_is_judged(authorities: Authorities, tmp_path: Path) -> None:
    """And not what the distribution brings, however old that is."""
    machine = debian(tmp_path / "machine", [authorities.system])
    old, own = authority((ROOT, True), name="corp CA"), authority((ROOT, True), name="public CA")
    for number, pem in enumerate([old, own]):
        machine.write(f"/etc/ssl/certs/added-{number}.pem", pem)
    subprocess.run(["openssl", "rehash", machine.path("/etc/ssl/certs")], check=True, capture_output=True)
    machine.write("/usr/share/ca-certificates/mozilla/public.crt", own)
    command = [machine.python, "-m", "truststore_inject", "status"]
    (warning,) = json.loads(machine.run(*command, "--json").stdout)["warnings"]
    assert warning["name"] == "CN=corp CA"
    assert warning["value"].endswith("added-0.pem")
    assert "key usage" in warning["effect"]
    assert "TRUSTSTORE_INJECT_X509_STRICT=0" in warning["fix"]
    first_screen = machine.run(*command).stdout.splitlines()[:24]
    assert any("CN=corp CA" in line for line in first_screen)
    assert json.loads(machine.run(*command, "--json", TRUSTSTORE_INJECT_X509_STRICT="0").stdout)["warnings"] == []


@openssl_store
@needs_openssl
def test_the_extra_cas_are_judged(authorities: Authorities, tmp_path: Path) -> None:
    store = write_directory(tmp_path / "store", [authorities.system])
    (tmp_path / "old.pem").write_bytes(authority((ROOT, True), KEY_USAGE))
    variables = {"SSL_CERT_DIR": store, "TRUSTSTORE_INJECT_EXTRA_CA_CERTS": tmp_path / "old.pem"}
    (warning,) = [entry for entry in status(**variables)["warnings"] if entry["name"] == "CN=old CA"]
    assert (warning["value"], "Subject Key Identifier" in warning["effect"]) == (str(tmp_path / "old.pem"), True)


def build_of_certifi(site: Path, version: str, anchors: Iterable[trustme.CA], *, named: bool) -> Path:
    """As an installer leaves it."""
    folder, info = site / "certifi", site / f"certifi-{version}.dist-info"
    folder.mkdir(parents=True)
    info.mkdir()
    label = b'# Label: "a CA"\n' if named else b""
    data = b"".join(label + anchor.cert_pem.bytes() for anchor in anchors)
    (folder / "cacert.pem").write_bytes(data)
    (folder / "__init__.py").write_text("")
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: certifi\nVersion: {version}\n")
    (info / "RECORD").write_text(f"certifi/cacert.pem,sha256={digest},{len(data)}\n")
    return site


@openssl_store
def test_a_companys_own_build_of_certifi(authorities: Authorities, tmp_path: Path) -> None:
    store = write_bundle(tmp_path / "store.pem", [authorities.system])
    anchors = [authorities.system, authorities.private]
    cases: list[tuple[str, bool, str | None]] = [
        ("2026.10.19+company.1", False, "trusted in addition to the system store"),
        ("2026.10.19", False, "not trusted here"),
        ("2026.10.19", True, None),
    ]
    for number, (version, named, words) in enumerate(cases):
        site = build_of_certifi(tmp_path / str(number), version, anchors, named=named)
        warnings = status(SSL_CERT_FILE=store, PYTHONPATH=site)["warnings"]
        found = [entry for entry in warnings if entry["name"].startswith("certifi")]
        if words is None:
            assert found == []
            continue
        (warning,) = found
        assert (warning["name"], warning["value"]) == (f"certifi {version}", str(site / "certifi" / "cacert.pem"))
        assert words in warning["effect"]
        assert "O=private of the tests" in warning["effect"] + warning["fix"]
        assert "O=system of the tests" not in warning["effect"] + warning["fix"]
