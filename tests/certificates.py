"""Certificates and servers as the functions behind ``check`` get them."""

from __future__ import annotations

import datetime
import ssl
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lax import certificate

from truststore_inject.cli import _certificate
from truststore_inject.cli._certificate import Certificate
from truststore_inject.cli._target import Target

HERE = Target("server.test", 443, None)
PUBLIC = Target("www.public-name.org", 443, None)
NOW, DAY = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)


def load(pem: trustme.Blob | bytes) -> Certificate:
    return _certificate.read(ssl.PEM_cert_to_DER_cert((pem if isinstance(pem, bytes) else pem.bytes()).decode()))


def leaf_of(authority: trustme.CA, *names: str, **options: Any) -> Certificate:
    return load(authority.issue_cert(*names or ("server.test",), **options).cert_chain_pems[0])


def made(*extensions: x509.ExtensionType, subject: str = "leaf", issuer: str = "Some CA") -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return load(certificate(subject, key, [(extension, False) for extension in extensions], issuer, key))
