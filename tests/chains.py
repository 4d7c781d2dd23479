"""The certificates of test_differential.py: chains that are in order or at fault, and names for a server."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from collections.abc import Sequence
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
EXPIRED, NOT_YET = (-20, -10), (10, 20)  # days from now


class Authority(NamedTuple):
    certificate: x509.Certificate
    key: Any


@functools.cache
def key(label: str) -> Any:
    """The private key of that label; what it starts with is its kind, if that is not ECDSA on P-256."""
    kind, _, size = label.partition(" ")[0].partition("-")
    return rsa.generate_private_key(65537, int(size)) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def usage(*allowed: str) -> x509.KeyUsage:
    everything = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{one: one in allowed for one in everything})


def make(
    subject: str | None,
    private_key: Any,
    issuer: Authority | None,
    *,
    ca: bool,
    names: Sequence[x509.GeneralName] = (),
    days: tuple[int, int] = (-2, 300),
    digest: str = "SHA256",
    changes: Sequence[tuple[type[x509.ExtensionType], x509.ExtensionType | None, bool]] = (),
) -> x509.Certificate:
    """A certificate, self-signed without `issuer`, that is right even for ``VERIFY_X509_STRICT`` but for `changes`.

    `changes`: the class of an extension, what it is instead (None: it is missing), and whether it is critical.
    """
    own_id = x509.SubjectKeyIdentifier.from_public_key(private_key.public_key())
    issuer_id = next(
        (one.value for one in (issuer.certificate.extensions if issuer else ()) if one.oid == own_id.oid), own_id
    )
    extensions: dict[type[x509.ExtensionType], tuple[x509.ExtensionType | None, bool]] = {
        x509.BasicConstraints: (x509.BasicConstraints(ca, None), True),
        x509.KeyUsage: (usage("key_cert_sign", "crl_sign") if ca else usage("digital_signature"), True),
        x509.SubjectKeyIdentifier: (own_id, False),
        x509.AuthorityKeyIdentifier: (
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
            False,
        ),
    }
    if not ca:
        extensions[x509.ExtendedKeyUsage] = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
        extensions[x509.SubjectAlternativeName] = x509.SubjectAlternativeName(names) if names else None, not subject
    for kind, value, critical in changes:
        extensions[kind] = value, critical
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    builder = x509.CertificateBuilder(issuer.certificate.subject if issuer else name, name, private_key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW + datetime.timedelta(days=days[0]))
    builder = builder.not_valid_after(NOW + datetime.timedelta(days=days[1]))
    for extension, critical in extensions.values():
        if extension is not None:
            builder = builder.add_extension(extension, critical)
    signer = issuer.key if issuer else private_key
    certificate = builder.sign(signer, hashes.SHA256())
    return certificate if digest == "SHA256" else weakly_signed(certificate, signer, digest)


def weakly_signed(certificate: x509.Certificate, signer: rsa.RSAPrivateKey, digest: str) -> x509.Certificate:
    """`certificate` signed with MD5 or SHA-1, which cryptography does not offer: the OIDs differ in their last byte."""
    sha256 = bytes.fromhex("2a864886f70d0101")
    last, algorithm = {"MD5": (4, hashes.MD5()), "SHA1": (5, hashes.SHA1())}[digest]
    old, new = sha256 + b"\x0b", sha256 + bytes([last])
    signature = signer.sign(certificate.tbs_certificate_bytes.replace(old, new), padding.PKCS1v15(), algorithm)
    der = certificate.public_bytes(serialization.Encoding.DER).replace(old, new)
    return x509.load_der_x509_certificate(der[: -len(signature)] + signature)


class Chain(NamedTuple):
    """What is out of the ordinary; the dicts are options of `make`."""

    intermediates: tuple[dict[str, Any], ...] = ()  # from the root down
    root: dict[str, Any] = {}  # noqa: RUF012 - read only
    leaf: dict[str, Any] = {}  # noqa: RUF012
    send: str = "intermediates"  # or: root too, reversed, nothing, all but the upper, unrelated too
    anchor: str = "root"  # what is in the store: or intermediate, leaf, twin, renewed
    special: str = ""


def no(kind: type[x509.ExtensionType]) -> dict[str, Any]:
    return {"changes": [(kind, None, False)]}


def but(value: x509.ExtensionType, critical: bool = True) -> dict[str, Any]:
    return {"changes": [(type(value), value, critical)]}


def constraints(**which: Sequence[x509.GeneralName]) -> dict[str, Any]:
    return but(x509.NameConstraints(**{"permitted_subtrees": None, "excluded_subtrees": None, **which}))


RSA, TINY = {"key": "rsa-2048"}, {"key": "rsa-1024"}
SHA1, MD5 = {"digest": "SHA1"}, {"digest": "MD5"}


DATED = {"expired": {"days": EXPIRED}, "not yet valid": {"days": NOT_YET}}
CLIENT_ONLY = but(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
NO_CA = but(x509.BasicConstraints(False, None))
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55738.1"), b"\x05\x00")
TEST = [x509.DNSName("test"), x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))]
LENGTH_0 = but(x509.BasicConstraints(True, 0))


CHAINS = {
    "direct": Chain(),
    "direct, root sent": Chain(send="root too"),
    "one intermediate": Chain(({},)),
    "one intermediate, root sent": Chain(({},), send="root too"),
    "two intermediates": Chain(({}, {})),
    "two intermediates, in the wrong order": Chain(({}, {}), send="reversed"),
    "four intermediates": Chain(({}, {}, {}, {})),
    "unrelated certificates sent": Chain(({},), send="unrelated too"),
    "RSA": Chain((RSA,), RSA, RSA),
    "intermediate missing": Chain(({},), send="nothing"),
    "upper intermediate missing": Chain(({}, {}), send="all but the upper"),
    "intermediate cross-signed": Chain(({},), special="intermediate cross-signed"),
    "root cross-signed by an unknown one": Chain(({},), special="root cross-signed"),
    "only the cross-signing root is an anchor": Chain(({},), special="new root cross-signed"),
    "an anchor of the same name, the other's key": Chain(({},), anchor="twin"),
    "an anchor of the same name, its own key": Chain(({},), anchor="twin", special="second"),
    "an anchor that was renewed": Chain(({},), anchor="renewed"),
    **{f"leaf {when}": Chain(({},), leaf=days) for when, days in DATED.items()},
    **{f"intermediate {when}": Chain((days,)) for when, days in DATED.items()},
    **{f"upper intermediate {when}": Chain((days, {})) for when, days in DATED.items()},
    **{f"root {when}": Chain(({},), days) for when, days in DATED.items()},
    "intermediate without keyCertSign": Chain((but(usage("digital_signature")),)),
    "intermediate without keyUsage": Chain((no(x509.KeyUsage),)),
    "root without keyCertSign": Chain(({},), but(usage("crl_sign"))),
    "intermediate for clients": Chain((CLIENT_ONLY,)),
    "root for clients": Chain(({},), CLIENT_ONLY),
    "leaf for clients": Chain(({},), leaf=CLIENT_ONLY),
    "leaf for any use": Chain(leaf=but(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
    "leaf for no certain use": Chain(leaf=no(x509.ExtendedKeyUsage)),
    "leaf that may not sign": Chain(leaf=but(usage("crl_sign"))),
    "leaf that is a CA": Chain(leaf={"changes": [(x509.BasicConstraints, x509.BasicConstraints(True, None), True)]}),
    "intermediate that is no CA": Chain((NO_CA,)),
    "intermediate without basicConstraints": Chain((no(x509.BasicConstraints),)),
    "root that is no CA": Chain(({},), NO_CA),
    "root without basicConstraints": Chain(({},), no(x509.BasicConstraints)),
    "path length 0, direct": Chain(root=LENGTH_0),
    "path length 0, one intermediate": Chain(({},), LENGTH_0),
    "path length 0 in the intermediate": Chain((LENGTH_0,)),
    "path length 0 in the upper intermediate": Chain((LENGTH_0, {})),
    "path length 1, two intermediates": Chain(({}, {}), but(x509.BasicConstraints(True, 1))),
    "permitted names": Chain((constraints(permitted_subtrees=TEST),)),
    "permitted names, root": Chain(({},), constraints(permitted_subtrees=TEST)),
    "other permitted names": Chain((constraints(permitted_subtrees=[x509.DNSName("elsewhere.test")]),)),
    "excluded names": Chain((constraints(excluded_subtrees=TEST),)),
    "excluded names, root": Chain(({},), constraints(excluded_subtrees=TEST)),
    "other excluded names": Chain((constraints(excluded_subtrees=[x509.DNSName("elsewhere.test")]),)),
    "self-signed leaf": Chain(special="self-signed"),
    "self-signed leaf, an anchor": Chain(special="self-signed", anchor="leaf"),
    "self-signed CA as the leaf, an anchor": Chain(special="self-signed", anchor="leaf", leaf={"ca": True}),
    "only the intermediate is an anchor": Chain(({},), anchor="intermediate"),
    "only the leaf is an anchor": Chain(({},), anchor="leaf"),
    "leaf signed with SHA-1": Chain(root=RSA, leaf=SHA1),
    "intermediate signed with SHA-1": Chain((SHA1,), RSA),
    "root signed with SHA-1": Chain(({},), {**RSA, **SHA1}),
    "leaf signed with MD5": Chain(root=RSA, leaf=MD5),
    "intermediate signed with MD5": Chain((MD5,), RSA),
    "leaf with RSA 1024": Chain(({},), leaf=TINY),
    "intermediate with RSA 1024": Chain((TINY,)),
    "root with RSA 1024": Chain(({},), TINY),
    "leaf signed by another key": Chain(({},), special="wrong signature"),
    "critical extension that nobody knows": Chain(leaf=but(UNKNOWN_EXTENSION)),
    "extension that nobody knows": Chain(leaf=but(UNKNOWN_EXTENSION, False)),
    # Refused by VERIFY_X509_STRICT alone.
    "leaf without authorityKeyIdentifier": Chain(({},), leaf=no(x509.AuthorityKeyIdentifier)),
    "intermediate without authorityKeyIdentifier": Chain((no(x509.AuthorityKeyIdentifier),)),
    "intermediate without subjectKeyIdentifier": Chain((no(x509.SubjectKeyIdentifier),)),
    "root without subjectKeyIdentifier": Chain(({},), no(x509.SubjectKeyIdentifier)),
    "root without keyUsage": Chain(({},), no(x509.KeyUsage)),
    "basicConstraints not critical": Chain(({},), but(x509.BasicConstraints(True, None), False)),
}


HEALTHY = list(CHAINS)[:9]


class Names(NamedTuple):
    """What the leaf is for, and what the client asks for."""

    asked: str | None
    names: tuple[str, ...] = ()  # DNS names and addresses
    common_name: str | None = "leaf"

    @property
    def general(self) -> list[x509.GeneralName]:
        def one(name: str) -> x509.GeneralName:
            try:
                return x509.IPAddress(ipaddress.ip_address(name))
            except ValueError:
                return x509.DNSName(name.removeprefix("dns:"))

        return [one(name) for name in self.names]


WWW, IP4, IP6 = ("www.example.test",), ("192.0.2.1",), ("2001:db8::1",)


IDN = ("xn--bcher-kva.example.test",)
NAMES = {
    "DNS": Names("www.example.test", WWW),
    "DNS, upper case": Names("WWW.Example.TEST", WWW),
    "one of several": Names("www.example.test", ("a.test", *IP4, *WWW, *IP6)),
    "wildcard": Names("a.example.test", ("*.example.test",)),
    "IPv4": Names("192.0.2.1", IP4),
    "IPv6": Names("2001:db8::1", IP6),
    "IPv6, written out": Names("2001:0DB8:0:0:0:0:0:1", IP6),
    "IDN": Names("bücher.example.test", IDN),
    "IDN, encoded": Names("xn--bcher-kva.example.test", IDN),
    "common name only": Names("www.example.test", (), "www.example.test"),
    "no common name": Names("www.example.test", WWW, None),
    "another DNS name": Names("other.example.test", WWW),
    "trailing dot": Names("www.example.test.", WWW),
    "wildcard, too deep": Names("a.b.example.test", ("*.example.test",)),
    "wildcard, the domain itself": Names("example.test", ("*.example.test",)),
    "wildcard in a label": Names("www.example.test", ("w*.example.test",)),
    "wildcard for an IDN": Names("bücher.example.test", ("xn--*.example.test",)),
    "another IPv4": Names("192.0.2.2", IP4),
    "IPv4 as a DNS name": Names("192.0.2.1", ("dns:192.0.2.1",)),
    "IPv4 as the common name": Names("192.0.2.1", (), "192.0.2.1"),
    "another IPv6": Names("2001:db8::2", IP6),
    "another IDN": Names("bucher.example.test", IDN),
    "common name that does not count": Names("www.example.test", ("other.test",), "www.example.test"),
    "no name at all": Names("www.example.test", (), None),
    "nothing asked": Names(None, WWW),
    "the empty name asked": Names("", WWW),
}


GOOD_NAMES = list(NAMES)[:9]
ALL_NAMES = tuple(dict.fromkeys(name for names in NAMES.values() for name in names.names))
