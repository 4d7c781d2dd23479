"""Made-up machines (machines.py), and default trust on each of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from harness import HERE, Authorities
from machines import LAYOUTS, OPENSSLDIR, STORES, Machine, Unavailable, needs_machines

pytestmark = needs_machines
DEFAULT_PLACES = """
import json, os, ssl, sys
paths = ssl.get_default_verify_paths()
places = [place for place in (paths.openssl_cafile, paths.openssl_capath) if os.path.exists(place)]
print(json.dumps([places, ssl.create_default_context().cert_store_stats()["x509_ca"]]))
"""


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy looks at the distributions' places by itself")
@pytest.mark.parametrize(
    ("layout", "places", "loaded"),
    [
        ("Debian", ["certs"], 0),  # a directory is read when a chain asks
        ("Red Hat", ["/etc/pki/tls/cert.pem", "/etc/pki/tls/certs"], 1),
        ("Red Hat, Python built for /etc/ssl", ["/etc/ssl/certs"], 0),
        ("Debian, Python with a bundle of its own", ["/srv/ssl/cert.pem"], 1),
    ],
)
def test_stock_finds_what_the_layout_has(
    layout: str, places: list[str], loaded: int, authorities: Authorities, tmp_path: Path
) -> None:
    try:
        machine = LAYOUTS[layout](tmp_path / "machine", [authorities.system])
    except Unavailable as reason:
        pytest.skip(str(reason))
    said = machine.run(machine.python, "-c", DEFAULT_PLACES, TRUSTSTORE_INJECT="0").stdout
    assert json.loads(said) == [[os.path.join(machine.openssldir, place) for place in places], loaded]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_default_trust_is_the_machines_store(
    layout: str, urls: dict[str, str], authorities: Authorities, tmp_path: Path
) -> None:
    try:
        machine = LAYOUTS[layout](tmp_path / "machine", [authorities.system])
    except Unavailable as reason:
        pytest.skip(str(reason))
    cases = json.dumps({case: urls[case] for case in ("system", "unknown")})
    said = machine.run(machine.python, HERE / "clients", "urllib_request", "default", cases)
    assert json.loads(said.stdout) == {"system": "accepted", "unknown": "refused"}


def test_only_the_child_sees_it(tmp_path: Path) -> None:
    machine, files = Machine(tmp_path / "machine"), ("/etc/ssl/certs/made-up.pem", "/var/lib/made-up/made-up.pem")
    for file in files:
        machine.write(file, b"seen\n")
    assert machine.run("cat", *files).stdout == "seen\nseen\n"
    assert not any(map(os.path.exists, files))


def test_all_but_the_stores_is_the_machines(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    machine.write("/var/lib/made-up", b"")
    for file in ("/etc/hosts", "/var/lib/dpkg/status"):
        if os.path.isfile(file):
            assert machine.run("cat", file).stdout == Path(file).read_text()


def test_without_a_store_there_is_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    found = machine.run("find", *filter(os.path.isdir, STORES), "-type", "f", "-o", "-type", "l").stdout.split()
    assert set(found) <= {f"{OPENSSLDIR}/openssl.cnf"}


def test_what_it_cannot_play(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no room"):
        Machine(tmp_path / "long", openssldir="/srv/" + "x" * len(OPENSSLDIR))
    with pytest.raises(Unavailable, match="no directory"):
        Machine(tmp_path / "root").write("/no-such-directory/file", b"")
