"""Other packages that arm themselves in an environment so that its programs use the system store.

Each is installed beside this package in an environment of its own, which needs the package index: ``tox -e peers``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import HERE, Authorities, Venv, environment, run
from test_trust import MUTUAL, PRIVATE_CA, SERVER

if "TRUSTSTORE_INJECT_TEST_PEERS" not in os.environ:
    pytest.skip("installs packages: tox -e peers", allow_module_level=True)

# These put truststore's class in the place of ssl.SSLContext: pinned contexts and servers trust the store, too.
REPLACE_THE_CLASS = ("auto-truststore", "pip-system-certs")
PEERS = (*REPLACE_THE_CLASS, "certifi-linux", "python-certifi-win32")
CASES = ("system", "private", "unknown", "wrong_host", "expired")
JUDGE = """
import json, sys
here, urls, trust = json.loads(sys.argv[1])
sys.path.append(here)
{prelude}
import clients, truststore_inject
said = {{
    client: [case for case in urls if clients.judge(client, urls[case], trust) == "accepted"]
    for client in ("urllib_request", "urllib3_certifi", "requests_get")
}}
status = truststore_inject.status()
print(json.dumps([said, status.active, status.notes]))
"""


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def environment_with_peer(peer: str, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    made = Venv(tmp_path_factory.mktemp(peer) / "venv")
    install = [sys.executable, "-m", "pip", "--python", made.python, "install", "--quiet", peer, "requests"]
    subprocess.run(install, check=True)
    if peer == "python-certifi-win32":
        # Its wheel puts the file where only Windows looks for it.
        next(made.python.parent.parent.rglob("python-certifi-win32-init.pth")).rename(made.site_packages / "win32.pth")
    return made


@pytest.fixture(scope="module", params=["before", "after"])
def together(environment_with_peer: Venv, request: pytest.FixtureRequest) -> Venv:
    """Both packages; site runs the ``.pth`` file of the peer before ours or after."""
    folder = environment_with_peer.site_packages
    names = {file.name for file in folder.glob("*.pth")} - {"truststore-inject.pth", "distutils-precedence.pth"}
    assert len(names) == 1
    (folder / names.pop()).rename(folder / ("a.pth" if request.param == "before" else "z.pth"))
    return environment_with_peer


def prelude(peer: str, bundle: Path) -> str:
    """certifi-linux has the paths of the distributions; the store of the test stands for them."""
    return (
        f"import certifi_linux.certifi_linux as c; c._FOUND_CERT_PATH = {str(bundle)!r}"
        if peer == "certifi-linux"
        else ""
    )


def judge(
    made: Venv, peer: str, urls: dict[str, str], store: Path, bundle: Path, trust: str, **variables: str
) -> tuple[dict[str, list[str]], bool, list[str]]:
    code = JUDGE.format(prelude=prelude(peer, bundle))
    given = json.dumps([str(HERE), {case: urls[case] for case in CASES}, trust])
    env = environment(SSL_CERT_DIR=store, LOCALAPPDATA=store, **variables)
    result = run("-W", "ignore", "-c", code, given, env=env, python=made.python)
    assert (result.returncode, result.stderr) == (0, "")
    said, active, notes = json.loads(result.stdout)
    return said, active, notes


def test_default_trust_is_the_store(
    peer: str, together: Venv, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    said, active, notes = judge(together, peer, urls, store, ca_file("system"), "default")
    assert list(said.values()) == [["system"]] * len(said)
    assert active
    # The record says what was found.
    assert any("SSLContext was replaced by" in note for note in notes) == (peer in REPLACE_THE_CLASS)


def test_what_is_pinned_is_not_weakened_by_us(
    peer: str, together: Venv, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    pinned = str(ca_file("private"))
    said, *_ = judge(together, peer, urls, store, ca_file("system"), pinned)
    alone, *_ = judge(together, peer, urls, store, ca_file("system"), pinned, TRUSTSTORE_INJECT="0")
    assert said == alone
    assert said["requests_get"] == (["system", "private"] if peer in REPLACE_THE_CLASS else ["private"])


def test_no_verification_stays_none(
    peer: str, together: Venv, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    said, *_ = judge(together, peer, urls, store, ca_file("system"), "off")
    assert said["urllib_request"] == said["requests_get"] == list(CASES)


def test_an_mtls_server_is_not_weakened_by_us(
    peer: str, together: Venv, authorities: Authorities, store: Path, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    authorities.system.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    code = MUTUAL.format(server=SERVER.format(trust=PRIVATE_CA))

    def verdict(client_ca: str, **variables: str) -> Any:
        certificate = getattr(authorities, client_ca).issue_cert("me")
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
        files = (tmp_path / "server.pem", ca_file("private"), ca_file("system"), tmp_path / "client.pem")
        env = environment(SSL_CERT_DIR=store, LOCALAPPDATA=store, **variables)
        result = run("-W", "ignore", "-c", code, *files, env=env, python=together.python)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout)

    assert verdict("private") == ["accepted"]
    assert verdict("system") == verdict("system", TRUSTSTORE_INJECT="0")
    assert verdict("system") == (["accepted"] if peer in REPLACE_THE_CLASS else ["CERTIFICATE_VERIFY_FAILED"])
