"""The situations of test_differential.py: who holds the anchors, which stores, and a grid over them and the chains.

Everything is the same in each run, but for the keys and the dates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import trustme
from chains import ALL_NAMES, CHAINS, EXPIRED, GOOD_NAMES, HEALTHY, NAMES, Authority, Chain, Names, key, make
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from harness import write_bundle, write_directory

PEM = serialization.Encoding.PEM


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
