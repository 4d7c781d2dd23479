"""Certificates with faults that OpenSSL alone does not mind."""

from __future__ import annotations

import datetime

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


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
