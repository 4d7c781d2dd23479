"""TRUSTSTORE_INJECT_EXTRA_CA_CERTS and TRUSTSTORE_INJECT_X509_STRICT, with real certificates."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import Server, environment, openssl_store, run_code, server_context, verdicts

CLIENTS = ["urllib_request", "asyncio_streams", "requests_get", "aiohttp"]
REFUSED = dict.fromkeys(("bundled", "private", "unknown", "wrong_host", "expired"), "refused")


@pytest.mark.parametrize("client", CLIENTS)
def test_the_extra_ca_is_trusted_in_addition(
    client: str, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=ca_file("private"))
    expected = {**REFUSED, "system": "accepted", "intermediate": "accepted", "private": "accepted"}
    assert verdicts(client, urls, env=env) == expected


@pytest.mark.parametrize("content", [None, "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_extra_file_that_cannot_be_used_leaves_the_store_and_a_reason(
    content: str | None, urls: dict[str, str], store: Path, tmp_path: Path
) -> None:
    extra = tmp_path / "extra.pem"
    if content is not None:
        extra.write_text(content)
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=extra)
    assert verdicts("urllib_request", urls, env=env) == {"system": "accepted", "intermediate": "accepted", **REFUSED}
    code = "import json, ssl, truststore_inject as t; ssl.create_default_context(); print(json.dumps(t.status().notes))"
    notes = run_code(code, env=env)
    assert any(note.startswith(f"TRUSTSTORE_INJECT_EXTRA_CA_CERTS={extra}: not loaded") for note in notes), notes


def test_the_extra_ca_does_not_widen_a_pinned_context(
    urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=ca_file("system"))
    expected = {**dict.fromkeys(urls, "refused"), "private": "accepted"}
    assert verdicts("requests_get", urls, env=env, trust=str(ca_file("private"))) == expected


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> bytes:
    """A certificate with just these extensions, as PEM.  (trustme's are without fault.)"""
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        key.public_key(),
        x509.random_serial_number(),
        now - day,
        now + day,
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


KEY_USAGE = (
    x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    ),
    True,
)  # fmt: skip


def lax(fault: str) -> tuple[bytes, trustme.LeafCert]:
    """A CA and a server certificate with a fault that only VERIFY_X509_STRICT minds, as inspecting proxies have."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    subject_id = (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
    constraints = (x509.BasicConstraints(ca=True, path_length=None), fault != "basicConstraints not critical")
    ca = certificate("lax CA", ca_key, [constraints, KEY_USAGE, subject_id], "lax CA", ca_key)
    extensions = [(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)]
    if fault != "no authority key identifier":
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False))
    leaf = certificate("localhost", key, extensions, "lax CA", ca_key)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ca, trustme.LeafCert(pem, leaf, [])


@pytest.fixture(scope="module", params=["basicConstraints not critical", "no authority key identifier"])
def lax_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    ca, leaf = lax(request.param)
    file = tmp_path_factory.mktemp("lax") / "ca.pem"
    file.write_bytes(ca)
    server = Server(server_context(leaf))
    yield server.url, file
    server.close()


@openssl_store
@pytest.mark.parametrize("client", CLIENTS)
def test_x509_strict_0_does_without_what_python_3_13_demands(client: str, lax_server: tuple[str, Path]) -> None:
    url, ca = lax_server
    env = environment(SSL_CERT_FILE=ca)
    demanded = "refused" if sys.version_info >= (3, 13) else "accepted"
    assert verdicts(client, {"lax": url}, env=env) == {"lax": demanded}
    assert verdicts(client, {"lax": url}, env={**env, "TRUSTSTORE_INJECT_X509_STRICT": "0"}) == {"lax": "accepted"}


def test_x509_strict_0_is_for_default_trust_only(lax_server: tuple[str, Path], store: Path) -> None:
    url, ca = lax_server
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_X509_STRICT="0")
    demanded = "refused" if sys.version_info >= (3, 13) else "accepted"
    assert verdicts("urllib_request", {"lax": url}, env=env, trust=str(ca)) == {"lax": demanded}
