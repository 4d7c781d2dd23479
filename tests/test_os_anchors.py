"""The lists of anchors of Windows and macOS, for what has a TLS stack of its own: only what the system trusts for servers."""

from __future__ import annotations

import plistlib
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Authorities, environment, run, run_code
from native import linux, native

from truststore_inject.stores import _export, _os_anchors

pytestmark = linux


class System:
    """Stands for `sys` in a module."""

    def __init__(self, platform: str) -> None:
        self.platform = platform


def der(authority: trustme.CA) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())


# --- Windows ---

SERVERS, MAIL = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.4"


@pytest.fixture
def windows(authorities: Authorities, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Windows' stores.  The path of a library's own bundle: one CA that is nowhere else, and one that is distrusted."""
    system, private, unknown = der(authorities.system), der(authorities.private), der(authorities.unknown)
    stores = {
        "ROOT": [
            (system, "x509_asn", {SERVERS, MAIL}),
            (private, "x509_asn", {MAIL}),
            (unknown, "x509_asn", True),
            (b"0\x03abc", "x509_asn", True),  # what OpenSSL cannot parse
            (system[:-1], "x509_asn", True),
            (system, "pkcs_7_asn", True),
        ],
        "Disallowed": [(unknown, "x509_asn", True)],
    }
    monkeypatch.setattr(ssl, "enum_certificates", stores.__getitem__, raising=False)
    monkeypatch.setattr(_os_anchors, "sys", System("win32"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    described = {"bundles": [], "directories": []}
    for name, value in (
        *(("listing", _os_anchors.listing), ("distrusted", _os_anchors.distrusted), ("on_demand", True)),
        *(("whole_bundle", lambda: None), ("describe", lambda: described)),
    ):
        monkeypatch.setattr(_export, name, value)
    bundle = tmp_path / "certifi" / "cacert.pem"
    bundle.parent.mkdir()
    bundle.write_bytes(authorities.bundled.cert_pem.bytes() + authorities.unknown.cert_pem.bytes())
    return bundle


def test_windows_root_store(windows: Path, authorities: Authorities) -> None:
    """Less what is distrusted, what is not for servers, and what OpenSSL cannot parse."""
    assert [anchor for _, anchor in _os_anchors.listing()] == [der(authorities.system)]


def test_public_roots_that_windows_has_not_needed_yet(windows: Path, authorities: Authorities) -> None:
    """ROOT holds those that a chain once needed: a library's own bundle has the others, less what is distrusted."""
    text = _export.pem_bytes(str(windows))
    assert text is not None
    assert text.count(b"BEGIN") == 2
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=text.decode())
    assert set(context.get_ca_certs(True)) == {der(authorities.system), der(authorities.bundled)}


def test_pyopenssl_says_whose_bundle_the_store_stands_for(
    authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the roots that ROOT lacks would be lost."""
    library = pytest.importorskip("OpenSSL.SSL")
    certifi = pytest.importorskip("certifi")
    from truststore_inject.patches import _OpenSSL

    asked = []

    def system_bytes(bundle: str | None = None) -> bytes:
        asked.append(bundle)
        return authorities.system.cert_pem.bytes()

    monkeypatch.setattr(_OpenSSL, "system_bytes", system_bytes)
    context = library.Context(library.TLS_CLIENT_METHOD)
    context.load_verify_locations(certifi.where())
    context.set_default_verify_paths()
    assert asked == [certifi.where(), None]


# --- macOS ---

# kSecTrustSettingsResult: 1 trust root, 2 trust as root, 3 deny, 4 unspecified.
ANY_USE: list[dict[str, Any]] = []
SSL_ONLY = {"kSecTrustSettingsPolicy": bytes.fromhex("2a864886f763640103"), "kSecTrustSettingsPolicyName": "sslServer"}
MAIL_ONLY = {"kSecTrustSettingsPolicy": bytes.fromhex("2a864886f763640108"), "kSecTrustSettingsPolicyName": "SMIME"}
NEVER, ALWAYS, SAYS_NOTHING = ({"kSecTrustSettingsResult": result} for result in (3, 1, 4))
ONE_HOST = {"kSecTrustSettingsPolicyString": "one.example"}
EXPIRED_TOO = {"kSecTrustSettingsAllowedError": -2147409654}
FOR_SIGNING_MAIL = {"kSecTrustSettingsKeyUsage": 1}


@pytest.mark.parametrize(
    ("user", "admin", "trusted"),
    [
        (None, None, None),
        (None, ANY_USE, True),
        (ANY_USE, None, True),
        (None, [NEVER], False),
        ([NEVER], ANY_USE, False),  # the user's count first
        (ANY_USE, [NEVER], True),
        ([SSL_ONLY], None, True),
        ([MAIL_ONLY], None, None),
        ([SSL_ONLY | NEVER, MAIL_ONLY], None, False),
        ([MAIL_ONLY | NEVER], ANY_USE, True),
        ([SAYS_NOTHING], ANY_USE, True),
        ([SAYS_NOTHING], None, None),
        ([SSL_ONLY | ONE_HOST], None, None),
        ([SSL_ONLY | ONE_HOST | NEVER], ANY_USE, False),
        ([SSL_ONLY | EXPIRED_TOO, SSL_ONLY | ALWAYS], None, True),
        ([FOR_SIGNING_MAIL], None, None),
    ],
)
def test_a_keychain_is_no_trust(
    user: list[dict[str, Any]] | None,
    admin: list[dict[str, Any]] | None,
    trusted: bool | None,
    authorities: Authorities,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what the trust settings say is; the system's own roots are trusted unless these say otherwise."""
    certificate = der(authorities.private)
    sha1 = _os_anchors.hashlib.sha1(certificate).hexdigest().upper()
    own = "/System/Library/Keychains/SystemRootCertificates.keychain"

    def security(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        assert command.pop(0) == "/usr/bin/security"
        output = b""
        if command[0] == "find-certificate":
            where = command[3:] or ["login"]
            held = {own: roots, "login": authorities.private.cert_pem.bytes()}
            output = held.get(where[0], b"")
        else:
            settings = admin if "-d" in command else user
            if settings is None:
                text = b"SecTrustSettingsCreateExternalRepresentation: No Trust Settings were found.\n"
                return subprocess.CompletedProcess(command, 1, b"", text)
            trust_list = {sha1: {"trustSettings": settings}, "0" * 40: {"trustSettings": [NEVER]}}
            Path(command[-1]).write_bytes(plistlib.dumps({"trustVersion": 1, "trustList": trust_list}))
        return subprocess.CompletedProcess(command, 0, output, b"")

    monkeypatch.setattr(_os_anchors.subprocess, "run", security)
    monkeypatch.setattr(_os_anchors, "sys", System("darwin"))
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "")
    roots = authorities.system.cert_pem.bytes()
    found = {anchor: place for place, anchor in _os_anchors.listing()}
    assert found.pop(der(authorities.system)) == own
    assert found == ({certificate: "the user's keychains"} if trusted else {})
    assert (certificate in _os_anchors.distrusted()) is (trusted is False)
    roots = authorities.private.cert_pem.bytes()  # the same certificate among the system's own
    assert (certificate in {anchor for _, anchor in _os_anchors.listing()}) is (trusted is not False)


def test_without_the_trust_settings_nothing_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known what the user distrusts."""

    def security(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(command, 1, b"", b"security: SecTrustSettings: denied\n")

    monkeypatch.setattr(_os_anchors.subprocess, "run", security)
    monkeypatch.setattr(_os_anchors, "sys", System("darwin"))
    with pytest.raises(OSError, match="denied"):
        list(_os_anchors.listing())


# --- both ---


def test_what_the_variables_name_is_listed_too(root: Path, store: Path, ca_file: Callable[[str], Path]) -> None:
    """As it is trusted in addition to what the operating system lists: pyOpenSSL, grpcio and ``export`` get it."""
    code = """
import json
from truststore_inject.stores import _os_anchors
print(json.dumps([place for place, _ in _os_anchors.listing()]))
"""
    (file,) = store.glob("ca-*.pem")
    private = ca_file("private")
    found = run_code(code, env=environment(SSL_CERT_FILE=private, SSL_CERT_DIR=store))
    assert found == [str(private), str(file)]
    pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
    result = run("-m", "truststore_inject", "export", "--env", env=native(root, SSL_CERT_FILE=private))
    assert result.returncode == 4
    assert "this store is not one file" in result.stderr


def test_what_the_variables_name_is_not_the_whole_store(
    root: Path, store: Path, ca_file: Callable[[str], Path]
) -> None:
    """A library that wants a file gets one with all of the store, also where the variable names a file that is missing."""
    pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
    code = """
import json
from truststore_inject.stores import _export
path = _export.pem_file()
print(json.dumps([path, path and open(path).read().count("BEGIN")]))
"""
    for named in ("/nonexistent/bundle.pem", str(ca_file("system"))):
        path, count = run_code(code, env=native(root, SSL_CERT_FILE=named, SSL_CERT_DIR=store))
        assert (path in (None, named), count) == (False, 1)
