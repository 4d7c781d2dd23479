"""The fixtures: a Windows Python with the built wheel and with the system CA in its ROOT store, and servers for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import HERE, HOSTS, Authorities, write_bundle
from servers import Server, server_context
from wine import Windows, is_judged

PACKAGES = ["pip", "truststore", "wrapt", "certifi", "urllib3", "requests", "aiohttp", "httpx", "websockets"]
PACKAGES += ["trustme", "cryptography<43"]  # the command `check`; Wine 8 lacks a DLL that newer ones ask for


@pytest.fixture(scope="session")
def wheel() -> Path:
    """What tox has built, else what lies in dist/."""
    if "TOX_PACKAGE" in os.environ:
        return Path(os.environ["TOX_PACKAGE"])
    wheels = sorted((HERE.parent / "dist").glob("truststore_inject-*.whl"))
    assert wheels, "build the wheel first: python -m build --wheel"
    return wheels[0]


@pytest.fixture(scope="session")
def authorities() -> Authorities:
    """Those that Wine can judge."""
    while True:
        made = Authorities()
        if all(is_judged(ca.cert_pem.bytes()) for ca in vars(made).values()):
            return made


@pytest.fixture(scope="session")
def windows(
    authorities: Authorities, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Windows]]:
    """``windows("3.13")``: that Python with the package, and the system CA in its ROOT store."""
    made: dict[str, Windows] = {}
    root = write_bundle(tmp_path_factory.mktemp("root") / "root.pem", [authorities.system])

    def make(version: str) -> Windows:
        if version not in made:
            lab = made[version] = Windows(tmp_path_factory.mktemp("windows") / version, version, PACKAGES)
            result = lab.run("-m", "pip", "install", "--no-index", "--no-deps", "--no-warn-script-location", wheel)
            assert result.returncode == 0, result.stdout + result.stderr
            lab.trust(root)
        return made[version]

    yield make
    for lab in made.values():
        lab.stop()


@pytest.fixture(scope="session")
def urls(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Servers with certificates that Wine can judge."""
    while True:
        leaves = {**authorities.server_certificates(), "root_sent": authorities.system.issue_cert(*HOSTS)}
        if all(is_judged(pem.bytes()) for leaf in leaves.values() for pem in leaf.cert_chain_pems):
            break
    del leaves["bundled"]
    contexts = {case: server_context(leaf) for case, leaf in leaves.items()}
    chain = tmp_path_factory.mktemp("chain") / "chain.pem"
    chain.write_bytes(leaves["root_sent"].private_key_and_cert_chain_pem.bytes() + authorities.system.cert_pem.bytes())
    contexts["root_sent"].load_cert_chain(chain)
    servers = {case: Server(context) for case, context in contexts.items()}
    yield {case: server.url for case, server in servers.items()}
    for server in servers.values():
        server.close()
