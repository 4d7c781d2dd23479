"""What a program may rely on, with this package, without it, and with others that do the same job.

The others (auto-truststore, pip-system-certs) call ``truststore.inject_into_ssl()``, so that is what is run here; the
packages themselves are under ``tox -e peers``, in folders that `PEERS` names.  Where their column differs from ours,
ours is that of stock Python.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import HERE, Authorities, environment, openssl_store, run, write_bundle

pytestmark = [openssl_store, pytest.mark.long]

# Each scenario of scenarios.py: the outcome of stock Python and ours, and theirs.
EXPECTED: dict[str, tuple[Any, Any]] = {
    "mtls_server": ("refused", "accepted"),
    "pinned_client": ("refused", "accepted"),
    "bare_context": ("refused", "accepted"),
    "get_ca_certs": (1, "NotImplementedError"),
    "cert_store_stats": ({"crl": 0, "x509": 1, "x509_ca": 1}, "NotImplementedError"),
    "the_sockets_context": (["accepted", True], ["accepted", False]),
    "sni_callback": (["accepted", [["localhost", True, True]]], ["refused", []]),
    "session_reuse": ([False, True], [False, True]),
    "keylog": ([True, True], [True, True]),
    "num_tickets": ([False, True], [True, True]),
    "msg_callback": ("called", "RecursionError"),
    "silent_client": ("accepted", "stalled"),
    "fork_while_another_thread_handshakes": ("accepted", "stalled"),
    "threads_on_one_context": ({"accepted": 64, "refused": 64}, {"accepted": 64, "refused": 64}),
    "asyncio_connections": ({"accepted": 200, "refused": 20}, {"accepted": 200, "refused": 20}),
}
PEERS = [folder for folder in os.environ.get("PEERS", "").split(os.pathsep) if folder]
ACTORS = {"us": "-", "stock": "-", "truststore": "truststore", **{Path(folder).name: folder for folder in PEERS}}


def play(actor: str, files: Path, *scenarios: str, command: tuple[str, ...] = (), **variables: str | Path) -> Any:
    """The outcomes in a child process; `command` is what runs the interpreter."""
    ours = actor in ("us", "stock")
    env = environment(TRUSTSTORE_INJECT="1" if actor == "us" else "0", COVERAGE_PROCESS_CONFIG="", **variables)
    # A peer may stall for ever; of us an answer is expected, however slow the machine is.
    arguments = [HERE / "scenarios.py", ACTORS[actor], files, "60" if ours else "3", *scenarios]
    python, *options = [*command, sys.executable]
    result = run(*options, "-W", "ignore", *arguments, env=env, python=python, timeout=600)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def files(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in ("system", "private", "unknown"):
        authority = getattr(authorities, name)
        write_bundle(folder / f"{name}.pem", [authority])
        for kind, host in (("server", "localhost"), ("client", "me")):
            certificate = authority.issue_cert(host)
            certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{kind}-{name}.pem")
    return folder


@pytest.fixture(scope="module", params=ACTORS)
def outcomes(request: pytest.FixtureRequest, files: Path, store: Path) -> tuple[bool, dict[str, Any]]:
    """Whether it is a peer, and the outcome of each scenario."""
    actor: str = request.param
    return actor not in ("us", "stock"), play(actor, files, *EXPECTED, SSL_CERT_DIR=store)


@pytest.mark.parametrize("scenario", EXPECTED)
def test_outcome(scenario: str, outcomes: tuple[bool, dict[str, Any]]) -> None:
    is_peer, found = outcomes
    assert found[scenario] == EXPECTED[scenario][is_peer]


@pytest.mark.parametrize(
    ("actor", "kind"), [("us", "directory"), *((actor, "bundle") for actor in ACTORS if actor != "stock")]
)
def test_how_often_the_store_is_opened(actor: str, kind: str, files: Path, store: Path, tmp_path: Path) -> None:
    """In 1,000 handshakes on one context.  Theirs is read again for each."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    place = {"SSL_CERT_DIR": store} if kind == "directory" else {"SSL_CERT_FILE": files / "system.pem"}
    log = tmp_path / "log"
    strace = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=open,openat,openat2", "-o", str(log))
    assert play(actor, files, "thousand_handshakes", command=strace, **place) == {"thousand_handshakes": 1000}
    (path,) = place.values()
    opened = [line for line in log.read_text().splitlines() if f'"{path}' in line]
    if actor == "us":
        assert 0 < len(opened) < 10
    else:
        assert len(opened) > 1000
