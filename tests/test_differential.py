"""Never weaker than stock: the verdict of an injected process is that of stock Python with the same anchors.

For each situation (situations.py) two child processes (handshakes.py) judge: one with the package, whose trust comes
from where the situation has it, and one without, which is told the same anchors by ``load_verify_locations``.  Which
anchors those are is known from how the situation was made; nothing of the package is asked.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="not every PyPy has it")

from chains import CHAINS, GOOD_NAMES, HEALTHY, NAMES, WWW, Names
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from handshakes import ASKS
from harness import HERE, environment, openssl_store, run, shadow_certifi, write_bundle, write_directory, write_record
from servers import Server
from situations import HOLDERS, NOWHERE, PEM, Family, Situation, anchors, blobs, grid, write_stores

pytestmark = [openssl_store, pytest.mark.long]

SHARE = 0.2  # of the situations, at the least, are accepted, and refused


class World:
    """The files: anchors, stores, and the chains that the servers send."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.families = {holder: Family(holder) for holder in HOLDERS}
        with shadow_certifi(folder / "certifi", blobs(anchors(self.families["certifi"]))[0]) as python_path:
            self.python_path = python_path
        installed = anchors(self.families["certifi"])
        certifi = self.bundle("certifi/certifi/cacert.pem", installed)
        write_record(folder / "certifi", "certifi/cacert.pem")
        added = self.bundle("added/certifi/cacert.pem", installed)
        write_record(folder / "added", "certifi/cacert.pem")
        (folder / "added" / "certifi" / "__init__.py").touch()
        self.bundle("added/certifi/cacert.pem", [*installed, *anchors(self.families["added"])])
        private = self.pinned("private", anchors(self.families["private"]))
        self.files = {"certifi_file": certifi, "added_file": added, **private}
        nobody = [Family("nobody's business").anchors("direct")[0]]
        self.stores = {
            name: {
                "variables": store.variables,
                "places": store.places,
                # load_verify_locations refuses a file without a certificate.
                "files": {
                    of: self.bundle(f"{name} {of}.pem", trusted or nobody) for of, trusted in store.trusted.items()
                },
            }
            for name, store in write_stores(folder / "stores", self.families, Path(certifi)).items()
        }
        self._chains: dict[tuple[str, str, Names], str] = {}

    def bundle(self, name: str, certificates: Iterable[x509.Certificate]) -> str:
        return str(write_bundle(self.folder / name, blobs(certificates)))

    def pinned(self, name: str, certificates: list[x509.Certificate]) -> dict[str, str]:
        """`certificates` in each form that a client can load."""
        der = self.folder / f"{name}.der"
        der.write_bytes(b"".join(certificate.public_bytes(serialization.Encoding.DER) for certificate in certificates))
        return {
            "private_file": self.bundle(f"{name}.pem", certificates),
            "private_directory": str(write_directory(self.folder / name, blobs(certificates))),
            "private_der": str(der),
        }

    def chain(self, holder: str, chain: str, names: Names) -> str:
        """The file that a server of this kind loads."""
        at = holder, chain, names
        if at not in self._chains:
            key, certificates = self.families[holder].sent(chain, names)
            file = self.folder / f"chain-{len(self._chains)}.pem"
            pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            file.write_bytes(pem + b"".join(certificate.public_bytes(PEM) for certificate in certificates))
            self._chains[at] = str(file)
        return self._chains[at]

    def work(self, situations: Iterable[Situation], stores: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
        """What handshakes.py has to do."""
        rows = [
            (row.store, row.ask, self.chain(row.holder, row.chain, NAMES[row.name]), NAMES[row.name].asked)
            for row in situations
        ]
        return {"libraries": False, "stores": stores, "files": files, "situations": rows}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def judge(work: dict[str, Any], file: Path, **variables: str | Path) -> Any:
    """What handshakes.py says, a verdict for each of the situations in `work`."""
    file.write_text(json.dumps(work))
    result = run(
        Path(__file__).with_name("handshakes.py"), file, env=environment(**{**NOWHERE, **variables}), timeout=600
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stderr[-3000:]
    return json.loads(result.stdout)


def compare(injected: dict[Any, str], stock: dict[Any, str], capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Fail for each difference, and where too few were accepted or refused for the comparison to mean anything."""
    accepted = sum(verdict == "accepted" for verdict in stock.values())
    with capsys.disabled():
        print(f"\n{what}: {len(stock)}, accepted {accepted}, refused {len(stock) - accepted}", end=" ")
    assert min(accepted, len(stock) - accepted) >= SHARE * len(stock)
    different = {one: (injected[one], stock[one]) for one in stock if injected[one] != stock[one]}
    assert not different, f"{len(different)} differ, (injected, stock):\n" + "\n".join(
        f"{one}: {verdicts}" for one, verdicts in list(different.items())[:40]
    )


def test_every_situation(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    situations = sorted(grid(world.stores, ASKS), key=lambda situation: (situation.store, situation.ask))
    work = world.work(situations, world.stores, world.files)
    path = {"PYTHONPATH": world.python_path}
    injected, stock = (
        dict(zip(situations, judge(work, tmp_path / "work.json", **path, **more), strict=True))
        for more in ({}, {"TRUSTSTORE_INJECT": "0"})
    )
    compare(injected, stock, capsys, "situations")


LIBRARIES = (
    "urllib_request",
    "asyncio_streams",
    "urllib3",
    "urllib3_certifi",
    "requests_session",
    "httpx_sync",
    "aiohttp",
)
# Here the host is this one.
LOCALHOST, ADDRESS = Names("localhost", ("localhost",)), Names("127.0.0.1", ("127.0.0.1",))
REFUSED = (
    "intermediate missing",
    "leaf expired",
    "root expired",
    "intermediate that is no CA",
    "leaf for clients",
    "path length 0 in the upper intermediate",
    "excluded names",
    "leaf signed with SHA-1",
    "self-signed leaf",
    "intermediate without authorityKeyIdentifier",  # VERIFY_X509_STRICT alone
)
SERVERS = {
    **{f"{chain}, {holder}": (holder, chain, LOCALHOST) for chain in HEALTHY[1:5] for holder in ("store", "private")},
    **{holder: (holder, "one intermediate", LOCALHOST) for holder in ("certifi", "added", "nobody")},
    **{
        chain: ("store", chain, LOCALHOST)
        for chain in (*REFUSED, *(one for one in CHAINS if one.startswith("an anchor")))
    },
    "address": ("store", "RSA", ADDRESS),
    "a name and not the address": ("store", "one intermediate", ADDRESS._replace(names=("localhost",))),
    "another name": ("store", "one intermediate", LOCALHOST._replace(names=WWW)),
    "the common name": ("store", "one intermediate", Names("localhost", (), "localhost")),
    "one of several names": ("store", "one intermediate", LOCALHOST._replace(names=(*WWW, "localhost"))),
}


@pytest.fixture(scope="module")
def library_urls(world: World) -> Iterator[dict[str, str]]:
    servers = {}
    for case, (holder, chain, names) in SERVERS.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")  # the client decides
        context.load_cert_chain(world.chain(holder, chain, names))
        servers[case] = Server(context)
    yield {case: f"https://{SERVERS[case][2].asked}:{server.port}/" for case, server in servers.items()}
    for server in servers.values():
        server.close()


Judged = dict[tuple[str, str, str], str]


@pytest.fixture(scope="module")
def libraries(
    world: World, library_urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Judged]:
    """The verdicts of the libraries, where default trust is asked for, as `default` says, and with a CA file."""
    ways = [(client, "default", case) for client in LIBRARIES for case in SERVERS]
    ways += [(client, "pinned", case) for client in LIBRARIES for case in SERVERS if SERVERS[case][1] in HEALTHY]
    file = tmp_path_factory.mktemp("libraries") / "work.json"

    def judge_them(default: str, **variables: str | Path) -> Judged:
        trust = {"default": default, "pinned": world.files["private_file"]}
        rows = [(client, trust[way], library_urls[case]) for client, way, case in ways]
        found = judge({"libraries": True, "situations": rows}, file, PYTHONPATH=world.python_path, **variables)
        return dict(zip(ways, found, strict=True))

    return judge_them


# Their anchors are the same, so that stock has to be asked once.
STORES = ("a library's bundle named", "bundle", "bundle appended by hand")


@pytest.fixture(scope="module")
def stock_libraries(world: World, libraries: Callable[..., Judged]) -> Judged:
    return libraries(world.stores[STORES[0]]["files"]["default"], TRUSTSTORE_INJECT="0")


@pytest.mark.parametrize("store", STORES)
def test_every_library(
    world: World,
    libraries: Callable[..., Judged],
    stock_libraries: Judged,
    capsys: pytest.CaptureFixture[str],
    store: str,
) -> None:
    injected = libraries("default", **world.stores[store]["variables"])
    compare(injected, stock_libraries, capsys, f"with libraries, {store}")


# Where the operating system verifies: trust that it has no part in, and default trust in each way.
EXPLICIT = ("cafile", "capath", "bare", "for another purpose", "no verification")
NATIVE = (
    *("create_default_context", "load_default_certs", "strict", "not strict", "partial chains", "TLS 1.2"),
    *("no host name check", "certifi's file", "default and cafile", "cafile and default", *EXPLICIT),
)
# What it may accept although OpenSSL does not (docs/platforms.md), as codes of OpenSSL: VERIFY_X509_STRICT, the security
# level.  And as chains: paths that OpenSSL does not try, anchors that are not self-signed, a leaf's keyUsage.
OWN_RULES = {f"refused {code}" for code in (*range(79, 95), *range(66, 69))}
OWN_WAYS = (
    "intermediate cross-signed",
    "only the intermediate is an anchor",
    "only the leaf is an anchor",
    "leaf that may not sign",
)
BY_THE_SYSTEM = "refused 4711"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the operating system needs no stand-in")
def test_where_the_operating_system_verifies(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may refuse more, by its own rules; what stock refuses, it accepts only where that is documented.

    A stand-in (standin/sitecustomize.py) plays the operating system.
    """

    def roots(holder: str, chains: Iterable[str] = HEALTHY) -> list[x509.Certificate]:
        # Among a context's own anchors these alone: with one that is no CA in it, OpenSSL would verify.
        return [anchor for chain in chains for anchor in world.families[holder].anchors(chain)]

    system, beside = roots("store", CHAINS), world.bundle("beside.pem", roots("nobody"))
    stores = {}
    for name, variables, own in (
        ("the system's", {}, []),
        ("the system's and SSL_CERT_FILE", {"SSL_CERT_FILE": beside}, roots("nobody")),
        ("the system's and an extra file", {"TRUSTSTORE_INJECT_EXTRA_CA_CERTS": beside}, roots("nobody")),
    ):
        trusted = world.bundle(f"{name}.pem", [*system, *own])
        stores[name] = {
            "variables": {**NOWHERE, **variables},
            "places": None,
            "files": {"default": trusted, "certifi": trusted},
        }
    situations = sorted(grid(stores, NATIVE), key=lambda situation: (situation.store, situation.ask))
    work = world.work(situations, stores, {**world.files, **world.pinned("roots", roots("private"))})
    path = f"{HERE / 'standin'}:{world.python_path}"
    root = world.bundle("root.pem", system)
    found = judge(work, tmp_path / "work.json", PYTHONPATH=path, STANDIN_ROOT=root)
    stock = judge(work, tmp_path / "work.json", PYTHONPATH=world.python_path, TRUSTSTORE_INJECT="0")

    def as_stock(row: Situation, verdict: str, by_stock: str) -> str:
        """`verdict` where it is allowed, else that of stock."""
        if row.ask in EXPLICIT:
            return by_stock
        if verdict == "accepted":
            return verdict if by_stock in OWN_RULES or row.chain in OWN_WAYS else by_stock
        healthy = by_stock == "accepted" and row.chain in HEALTHY and row.name in GOOD_NAMES and row.name != "wildcard"
        return verdict if row.name == "nothing asked" or (verdict == BY_THE_SYSTEM and not healthy) else by_stock

    allowed = {
        row: as_stock(row, verdict, by_stock) for row, verdict, by_stock in zip(situations, found, stock, strict=True)
    }
    compare(dict(zip(situations, found, strict=True)), allowed, capsys, "where the operating system verifies")
