"""The host name that is checked after the operating system: OpenSSL, asked about the same certificate, is the judge."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import random
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="it makes certificates that trustme does not")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from truststore_inject.stores import _verifier

LABELS = [
    "*",
    "a",
    "A",
    "b",
    "1",
    "a*",
    "*a",
    "*.a",
    "xn--a",
    "xn--*",
    "_a",
    "a_b",
    "-a",
    "a-",
    "a b",
    "com",
    "example",
]
HOSTS = [
    "a",
    "A.example.com",
    "ab.example.com",
    "a.com",
    "b.a.com",
    "xn--a.example.com",
    "a_b.example.com",
    "-a.example.com",
]
HOSTS += [
    "example.com",
    "example.com.",
    "a.b.example.com",
    "127.0.0.1",
    "127.0.0.2",
    "::1",
    "0:0:0:0:0:0:0:1",
    "127.0.0.1.com",
]
# What people have, and what somebody once got wrong (RFC 9525, section 6).
FIXED: list[tuple[list[str], list[str], str | None]] = [
    (["*.example.com"], [], None),
    (["*.example.com", "example.com"], [], "a.com"),
    (["*.com"], [], None),
    (["*"], [], None),
    (["*.b.example.com"], [], None),
    (["a.*.com"], [], None),
    (["a*.example.com"], [], None),
    (["*b.example.com"], [], None),
    (["127.0.0.1"], [], "127.0.0.1"),
    ([], ["127.0.0.1"], "example.com"),
    ([], ["::1"], "127.0.0.1"),
    ([], [], "*.example.com"),
    ([], [], "example.com"),
    ([], [], "127.0.0.1"),
    ([], [], None),
    (["example.com\0.a.com"], [], None),
    (["EXAMPLE.COM"], [], None),
]


class Issuer:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
        self.certificate = self.issue(self.name, [], x509.BasicConstraints(ca=True, path_length=None))

    def issue(self, subject: x509.Name, names: list[x509.GeneralName], constraints: x509.BasicConstraints) -> bytes:
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(self.name, subject, self.key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + day).add_extension(constraints, True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def server(self, file: Path, dns: list[str], addresses: list[str], common_name: str | None) -> ssl.SSLContext:
        attributes = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        leaf = self.issue(x509.Name(attributes), names, x509.BasicConstraints(ca=False, path_length=None))
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(key + leaf)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def shake(client: ssl.SSLContext, server: ssl.SSLContext, host: str | None) -> ssl.SSLObject:
    """A handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=host)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for end in itertools.islice(itertools.cycle([one, other]), 6):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return one


def verdict(judge: Callable[..., object], *arguments: object) -> tuple[int, str] | None:
    """The code and the message of a refusal."""
    try:
        judge(*arguments)
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


def certificates() -> Iterator[tuple[list[str], list[str], str | None]]:
    yield from FIXED
    chance = random.Random(1)
    for _ in range(60):
        dns = [".".join(chance.choices(LABELS, k=chance.randint(1, 4))) for _ in range(chance.randint(0, 2))]
        addresses = chance.sample(["127.0.0.1", "::1"], k=chance.choice([0, 0, 1]))
        yield dns, addresses, chance.choice([None, ".".join(chance.choices(LABELS, k=chance.randint(1, 3)))])


@pytest.mark.long
def test_names_are_compared_as_openssl_compares_them(tmp_path: Path) -> None:
    issuer = Issuer()
    counts = {True: 0, False: 0}
    for dns, addresses, common_name in certificates():
        server = issuer.server(tmp_path / "server.pem", dns, addresses, common_name)
        for checks_common_name in (True, False):
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.load_verify_locations(cadata=issuer.certificate.decode())
            client.hostname_checks_common_name = checks_common_name
            client.check_hostname = False
            decoded = shake(client, server, None).getpeercert()
            client.check_hostname = True
            for host in HOSTS:
                stock = verdict(shake, client, server, host)
                ours = verdict(_verifier._must_be_for, host, decoded or {}, checks_common_name)
                assert ours == stock, (dns, addresses, common_name, checks_common_name, host)
                counts[stock is None] += 1
    assert counts[True] > 100
    assert counts[False] > 1000
