"""The situations of test_differential.py: chains, names, stores and clients, and a grid over them.

Everything is the same in each run, but for the keys and the dates.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from harness import write_bundle, write_directory

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
EXPIRED, NOT_YET = (-20, -10), (10, 20)  # days from now
PEM = serialization.Encoding.PEM


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


# --- chains ---


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

# Who holds the anchors: the store, certifi, a certifi that somebody added a CA to, who pins, nobody.
HOLDERS = ("store", "certifi", "added", "private", "nobody")


class Family:
    """The chains whose anchors one holder has."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self._authorities: dict[str, Authority] = {}

    def _authority(self, subject: str, options: dict[str, Any], issuer: Authority | None = None) -> Authority:
        at = f"{subject} {options} {issuer and issuer.certificate.serial_number}"
        if at not in self._authorities:
            options = dict(options)
            kind, generation = options.pop("key", "ec"), options.pop("generation", 1)
            # RSA keys take their time to make: the holders share them.
            private_key = key(
                f"{kind} {subject} of {self.holder} {generation}" if kind == "ec" else f"{kind} {subject[:5]}"
            )
            made = make(f"{subject} of {self.holder}", private_key, issuer, ca=True, **options)
            self._authorities[at] = Authority(made, private_key)
        return self._authorities[at]

    def _root(self, name: str, chain: Chain) -> Authority:
        number = list(CHAINS).index(name)
        own = chain.root or chain.anchor != "root" or chain.special == "new root cross-signed"
        return self._authority(f"root {number if own else number % 2}", chain.root)

    def anchors(self, name: str) -> list[x509.Certificate]:
        chain = CHAINS[name]
        root = self._root(name, chain)
        if chain.anchor in ("twin", "renewed"):
            return [root.certificate, self._second(name, chain).certificate]
        if chain.special == "new root cross-signed":  # and not the new root itself
            return [self._authority("cross-signing root", {}).certificate]
        if chain.anchor == "root":
            return [] if chain.special == "self-signed" else [root.certificate]
        leaf, *sent = self.sent(name, Names(None, ALL_NAMES))[1]
        return [leaf if chain.anchor == "leaf" else sent[0]]

    def _second(self, name: str, chain: Chain) -> Authority:
        """Another anchor with the same name: with another key, or the same that had expired."""
        number = list(CHAINS).index(name)
        return self._authority(f"root {number}", {"generation": 2} if chain.anchor == "twin" else {"days": EXPIRED})

    def sent(self, name: str, names: Names) -> tuple[Any, list[x509.Certificate]]:
        """The private key and what the server sends, the leaf first."""
        chain = CHAINS[name]
        if chain.anchor == "leaf":
            names = Names(None, ALL_NAMES)
        path = [self._second(name, chain) if chain.special == "second" else self._root(name, chain)]
        for level, options in enumerate(chain.intermediates):
            path.append(self._authority(f"intermediate {list(CHAINS).index(name)}.{level}", options, path[-1]))
        options = {"ca": False, "names": names.general, "key": "ec", **chain.leaf}
        private_key = key(f"{options.pop('key')} leaf")
        if options["ca"]:
            san = x509.SubjectAlternativeName(names.general)
            options["changes"] = [*options.get("changes", ()), (x509.SubjectAlternativeName, san, False)]
        issuer: Authority | None = path[-1]
        if chain.special == "self-signed":
            issuer = None
        elif chain.special == "wrong signature":
            issuer = Authority(path[-1].certificate, key("ec of nobody"))
        if chain.anchor == "leaf":  # the same each time
            leaf = self._leaf(name, names, private_key, issuer, options)
        else:
            leaf = make(names.common_name, private_key, issuer, **options)
        others = [authority.certificate for authority in reversed(path[1:])]
        if chain.send == "root too":
            others.append(path[0].certificate)
        elif chain.send == "reversed":
            others.reverse()
        elif chain.send == "nothing":
            others = []
        elif chain.send == "all but the upper":
            others.pop()
        elif chain.send == "unrelated too":
            others.insert(0, self._authority("unrelated", {}).certificate)
        if "cross-signed" in chain.special:
            others = self._cross_signed(chain.special, path, others)
        return private_key, [leaf, *others]

    def _leaf(
        self, name: str, names: Names, private_key: Any, issuer: Authority | None, options: dict[str, Any]
    ) -> x509.Certificate:
        if name not in self._authorities:
            self._authorities[name] = Authority(
                make(f"{name} of {self.holder}", private_key, issuer, **options), private_key
            )
        return self._authorities[name].certificate

    def _cross_signed(self, how: str, path: list[Authority], others: list[x509.Certificate]) -> list[x509.Certificate]:
        """What is sent where a CA of `path` has a second certificate, signed by another root."""
        crossed = path[-1] if how == "intermediate cross-signed" else path[0]
        if how == "new root cross-signed":
            other = self._authority("cross-signing root", {})
        else:
            other = Authority(make("nobody's root", key("ec of nobody"), None, ca=True), key("ec of nobody"))
        subject = crossed.certificate.subject.rfc4514_string().removeprefix("CN=")
        second = make(subject, crossed.key, other, ca=True)
        return [second, *others] if crossed is path[-1] else [*others, second]


# --- stores ---


class Store(NamedTuple):
    """`variables` are its environment; `trusted` are its anchors, by where they are asked for."""

    variables: dict[str, str]
    trusted: dict[str, list[x509.Certificate]]
    places: tuple[str, str] | None = None  # the directory and the bundle of a distribution


def anchors(family: Family) -> list[x509.Certificate]:
    return list(dict.fromkeys(anchor for name in CHAINS for anchor in family.anchors(name)))


def blobs(certificates: Iterable[x509.Certificate]) -> list[Any]:
    """As `write_directory` and `write_bundle` want them."""
    return [SimpleNamespace(cert_pem=trustme.Blob(certificate.public_bytes(PEM))) for certificate in certificates]


NOWHERE = {"SSL_CERT_FILE": "/nonexistent/bundle.pem", "SSL_CERT_DIR": "/nonexistent/directory"}
# Base64 that is no certificate, and what is no base64.
CORRUPT = "".join(
    f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n" for text in ("MIIBYjCC", "MIIBY!")
)


def write_stores(folder: Path, families: dict[str, Family], certifi_file: Path) -> dict[str, Store]:
    """Each layout of a store, in `folder`."""
    every = anchors(families["store"])
    halves = every[::2], every[1::2]
    made: dict[str, Store] = {}

    def directory(name: str, certificates: Iterable[x509.Certificate]) -> str:
        return str(write_directory(folder / name, blobs(certificates)))

    def bundle(name: str, certificates: Iterable[x509.Certificate]) -> str:
        return str(write_bundle(folder / name, blobs(certificates)))

    def store(name: str, trusted: list[x509.Certificate], *places: str, **variables: str) -> None:
        with_certifi = {
            "default": trusted,
            "certifi": trusted or anchors(families["certifi"]),
            "added": [*(trusted or anchors(families["certifi"])), *anchors(families["added"])],
        }
        variables = variables if places else {**NOWHERE, **variables}
        made[name] = Store(variables, with_certifi, (places[0], places[1]) if places else None)

    whole = directory("whole", every)
    store("directory", every, SSL_CERT_DIR=whole)
    store(
        "two directories", every, SSL_CERT_DIR=":".join(directory(f"half-{n}", half) for n, half in enumerate(halves))
    )
    store("bundle", every, SSL_CERT_FILE=bundle("bundle.pem", every))
    store(
        "directory and another bundle",
        every,
        SSL_CERT_DIR=directory("one", halves[0]),
        SSL_CERT_FILE=bundle("other", halves[1]),
    )
    store("directory and its bundle", every, SSL_CERT_DIR=whole, SSL_CERT_FILE=bundle("bundle.pem", every))
    store(
        "bundle appended by hand",
        every,
        SSL_CERT_DIR=directory("before", halves[0]),
        SSL_CERT_FILE=bundle("after", [*halves[0], *halves[1]]),
    )
    for name, in_directory, in_bundle in (
        ("a distribution's", every, every),
        ("a distribution's, bundle appended by hand", halves[0], [*halves[0], *halves[1]]),
    ):
        at = directory(name, in_directory)
        store(name, every, at, bundle(f"{name}/ca-certificates.crt", in_bundle))
    store("a library's bundle named", every, SSL_CERT_DIR=whole, SSL_CERT_FILE=str(certifi_file))
    store(
        "directory and an extra file",
        every,
        SSL_CERT_DIR=directory("few", halves[0]),
        TRUSTSTORE_INJECT_EXTRA_CA_CERTS=bundle("extra", halves[1]),
    )
    corrupt = (
        Path(bundle("corrupt-1", halves[0])).read_text() + CORRUPT + Path(bundle("corrupt-2", halves[1])).read_text()
    )
    (folder / "corrupt").write_text(corrupt)
    store("corrupt entries in the bundle", [], SSL_CERT_FILE=str(folder / "corrupt"))
    at = directory("corrupted", every)
    Path(at, "0badbad0.0").write_text(CORRUPT)
    Path(at, "0badbad1.0").symlink_to("nowhere")
    store("corrupt entries in the directory", every, SSL_CERT_DIR=at)
    store("empty directory", [], SSL_CERT_DIR=directory("empty", []))
    store("empty bundle", [], SSL_CERT_FILE=bundle("empty.pem", []))
    store("none", [])
    return made


# --- the grid ---


class Situation(NamedTuple):
    chain: str
    ask: str
    store: str
    holder: str
    name: str


# Where default trust, a bundle's and explicit trust are asked for in the ordinary way, with whose anchors they accept.
ORDINARY = (
    ("create_default_context", "store"),
    ("load_default_certs", "store"),
    ("strict", "store"),
    ("partial chains", "store"),
    ("certifi's file", "store"),
    ("cafile", "private"),
    ("default and cafile", "private"),
)


def grid(stores: Iterable[str], asks: Iterable[str]) -> list[Situation]:
    """Each pair of values of any two dimensions, each client with each store, and each single defect."""
    dimensions = [list(CHAINS), list(asks), list(stores), list(HOLDERS), list(NAMES)]
    rows = dict.fromkeys(Situation(*row) for row in pairwise(dimensions))
    healthy, names, cycled = (itertools.cycle(values) for values in (HEALTHY, GOOD_NAMES, dimensions[2]))
    others = itertools.cycle(HOLDERS[1:])
    for ask, store in itertools.product(*dimensions[1:3]):
        for holder in (HOLDERS[0], next(others)):
            rows[Situation(next(healthy), ask, store, holder, next(names))] = None
    for ask, holder in (pair for pair in ORDINARY if pair[0] in dimensions[1]):
        for chain in CHAINS:
            for store in dimensions[2] if CHAINS[chain].anchor != "root" else [next(cycled)]:
                rows[Situation(chain, ask, store, holder, next(names))] = None
        for name in NAMES:
            rows[Situation(next(healthy), ask, next(cycled), holder, name)] = None
    # A distribution's places are those of the package: stock, left alone, would look at the machine's.
    rows = {
        row: None for row in rows if not (row.ask == "for another purpose" and row.store.startswith("a distribution"))
    }
    # Of two anchors of one name OpenSSL finds one, where they lie in two places: stock is told of one place here.
    # test_random_stores.py judges these beside a stock that is told of both.
    return [row for row in rows if not (row.store in SPLIT and row.chain.startswith(ONE_NAME))]


SPLIT = ("two directories", "directory and another bundle")
ONE_NAME = ("an anchor of the same name", "an anchor that was renewed")


def pairwise(dimensions: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows, one value of each dimension in each, with all pairs of values among them; greedy."""
    places = range(len(dimensions))
    open_pairs = {
        (one, a, other, b)
        for one, other in itertools.combinations(places, 2)
        for a, b in itertools.product(dimensions[one], dimensions[other])
    }
    rows = []
    while open_pairs:
        one, a, other, b = min(open_pairs)
        row = {one: a, other: b}
        for place in places:
            if place not in row:
                row[place] = max(
                    dimensions[place],
                    key=lambda value: sum(
                        ((at, had, place, value) if at < place else (place, value, at, had)) in open_pairs
                        for at, had in row.items()
                    ),
                )
        rows.append(tuple(row[place] for place in places))
        open_pairs -= {(i, row[i], j, row[j]) for i, j in itertools.combinations(places, 2)}
    return rows
