"""``ssl.get_default_verify_paths()``, which libraries with a TLS stack of their own ask where the store is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Authorities, environment, run_code
from machines import LAYOUTS, Machine, Unavailable, needs_machines

DEBIAN, RED_HAT, FOR_ETC_SSL, OWN = LAYOUTS
PATHS = """
import json, ssl, sys
paths = ssl.get_default_verify_paths()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
if paths.cafile:
    context.load_verify_locations(paths.cafile)
print(json.dumps([paths, len(context.get_ca_certs(True))]))
"""
pypy_searches = pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy looks at the distributions' places by itself"
)


def made(layout: str, folder: Path, *anchors: trustme.CA) -> Machine:
    try:
        return LAYOUTS[layout](folder / "machine", anchors)
    except Unavailable as reason:
        pytest.skip(str(reason))


def ask(machine: Machine, **variables: str | Path) -> Any:
    result = machine.run(machine.python, "-c", PATHS, **variables)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    (file, directory, *built_in), held = json.loads(result.stdout)
    return file, directory, built_in, held


@needs_machines
@pypy_searches
@pytest.mark.parametrize("layout", [DEBIAN, RED_HAT])
def test_the_machines_own_places_stay(layout: str, authorities: Authorities, tmp_path: Path) -> None:
    machine = made(layout, tmp_path, authorities.system)
    assert ask(machine) == ask(machine, TRUSTSTORE_INJECT="0")


@needs_machines
@pypy_searches
@pytest.mark.parametrize(
    ("layout", "bundle"),
    [
        (FOR_ETC_SSL, "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
        (OWN, "/etc/ssl/certs/ca-certificates.crt"),
    ],
)
def test_a_python_built_for_other_places(layout: str, bundle: str, authorities: Authorities, tmp_path: Path) -> None:
    machine = made(layout, tmp_path, authorities.system, authorities.bundled)
    file, _, built_in, held = ask(machine)
    assert (file, held) == (bundle, 2)
    stock = ask(machine, TRUSTSTORE_INJECT="0")
    assert stock[0] != bundle
    assert built_in == stock[2]


@needs_machines
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_extra_cas_are_in_the_file(layout: str, authorities: Authorities, tmp_path: Path) -> None:
    machine = made(layout, tmp_path, authorities.system)
    authorities.private.cert_pem.write_to_path(tmp_path / "extra.pem")
    assert ask(machine, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=tmp_path / "extra.pem")[3] == 2


@needs_machines
@pypy_searches
def test_without_a_store_they_are_stocks(tmp_path: Path) -> None:
    machine = made(OWN, tmp_path)
    assert ask(machine) == ask(machine, TRUSTSTORE_INJECT="0")


def test_taken_back(store: Path, tmp_path: Path, authorities: Authorities) -> None:
    authorities.private.cert_pem.write_to_path(tmp_path / "extra.pem")
    code = """
import inspect, json, pickle, ssl
from ssl import get_default_verify_paths
import truststore_inject
seen = [inspect.signature(get_default_verify_paths) == inspect.Signature(),
        pickle.loads(pickle.dumps(get_default_verify_paths)) is get_default_verify_paths,
        get_default_verify_paths().cafile is None]
truststore_inject.extract()
seen += [ssl.get_default_verify_paths is get_default_verify_paths.__wrapped__, ssl.get_default_verify_paths().cafile is None]
truststore_inject.inject()
print(json.dumps([*seen, ssl.get_default_verify_paths().cafile is None]))
"""
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=tmp_path / "extra.pem")
    assert run_code(code, env=env) == [True, True, False, True, True, False]
