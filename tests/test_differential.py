"""Never weaker than stock: the verdict of an injected process is that of stock Python with the same anchors.

For each situation (situations.py) two child processes (handshakes.py) judge: one with the package, whose trust comes
from where the situation has it, and one without, which is told the same anchors by ``load_verify_locations``.  Which
anchors those are is known from how the situation was made; nothing of the package is asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from handshakes import ASKS
from harness import environment, run, shadow_certifi, write_bundle, write_directory
from situations import HOLDERS, NAMES, NOWHERE, PEM, Family, anchors, blobs, grid, write_stores

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the operating system verifies there")

SHARE = 0.2  # of the situations, at the least, are accepted, and refused


class World:
    """The files: anchors, stores, and the chains that the servers send."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.families = {holder: Family(holder) for holder in HOLDERS}
        with shadow_certifi(folder / "certifi", blobs(anchors(self.families["certifi"]))[0]) as python_path:
            self.python_path = python_path
        certifi = self._bundle("certifi/certifi/cacert.pem", anchors(self.families["certifi"]))
        added = self._bundle(
            "added/certifi/cacert.pem", [*anchors(self.families["certifi"]), *anchors(self.families["added"])]
        )
        (folder / "added" / "certifi" / "__init__.py").touch()
        record = folder / "added" / "certifi-1.dist-info" / "RECORD"
        record.parent.mkdir()
        record.write_text(f"certifi/cacert.pem,sha256=of-the-original,{Path(certifi).stat().st_size}\n")
        private = anchors(self.families["private"])
        self.files = {
            "certifi_file": certifi,
            "added_file": added,
            "private_file": self._bundle("private.pem", private),
            "private_directory": str(write_directory(folder / "private", blobs(private))),
            "private_der": str(folder / "private.der"),
        }
        der = serialization.Encoding.DER
        (folder / "private.der").write_bytes(b"".join(anchor.public_bytes(der) for anchor in private))
        nobody = [Family("nobody's business").anchors("direct")[0]]
        self.stores = {
            name: {
                "variables": store.variables,
                "places": store.places,
                # load_verify_locations refuses a file without a certificate.
                "files": {
                    of: self._bundle(f"{name} {of}.pem", trusted or nobody) for of, trusted in store.trusted.items()
                },
            }
            for name, store in write_stores(folder / "stores", self.families, Path(certifi)).items()
        }
        self._chains: dict[tuple[str, str, str], str] = {}

    def _bundle(self, name: str, certificates: Iterable[x509.Certificate]) -> str:
        return str(write_bundle(self.folder / name, blobs(certificates)))

    def chain(self, holder: str, chain: str, name: str) -> str:
        """The file that a server of this kind loads."""
        at = holder, chain, name
        if at not in self._chains:
            key, certificates = self.families[holder].sent(chain, NAMES[name])
            file = self.folder / f"chain-{len(self._chains)}.pem"
            pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            file.write_bytes(pem + b"".join(certificate.public_bytes(PEM) for certificate in certificates))
            self._chains[at] = str(file)
        return self._chains[at]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def judge(work: dict[str, Any], file: Path, **variables: str | Path) -> Any:
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
        print(f"\n{what}: {len(stock)}, accepted by stock {accepted}, refused {len(stock) - accepted}", end=" ")
    assert min(accepted, len(stock) - accepted) >= SHARE * len(stock)
    different = {one: (injected[one], stock[one]) for one in stock if injected[one] != stock[one]}
    assert not different, f"{len(different)} differ, (injected, stock):\n" + "\n".join(
        f"{one}: {verdicts}" for one, verdicts in list(different.items())[:40]
    )


def test_every_situation(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    situations = sorted(grid(world.stores, ASKS), key=lambda situation: (situation.store, situation.ask))
    work = {
        "libraries": False,
        "stores": world.stores,
        "files": world.files,
        "situations": [
            (row.store, row.ask, world.chain(row.holder, row.chain, row.name), NAMES[row.name].asked)
            for row in situations
        ],
    }
    path = {"PYTHONPATH": world.python_path}
    injected, stock = (
        dict(zip(situations, judge(work, tmp_path / "work.json", **path, **more), strict=True))
        for more in ({}, {"TRUSTSTORE_INJECT": "0"})
    )
    compare(injected, stock, capsys, "situations")
