"""The fixtures: a Windows Python with the built wheel and with the system CA in its ROOT store, and servers for it."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import HERE, Authorities, write_bundle
from servers import Server, server_context
from wine import Windows

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


def start_servers(authorities: Authorities) -> dict[str, Server]:
    contexts = {case: server_context(leaf) for case, leaf in authorities.server_certificates().items()}
    del contexts["bundled"]
    contexts["root_sent"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authorities.system.issue_cert("localhost", "127.0.0.1")
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(leaf.private_key_and_cert_chain_pem.bytes() + authorities.system.cert_pem.bytes())
        file.flush()
        contexts["root_sent"].load_cert_chain(file.name)
    return {case: Server(context) for case, context in contexts.items()}


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


# What truststore alone says of argv[1], a port: without this package.
ALONE = """
import json, socket, ssl, sys, truststore
context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        context.wrap_socket(connection, server_hostname="localhost").close()
    print(json.dumps("accepted"))
except ssl.SSLCertVerificationError:
    print(json.dumps("refused"))
"""


@pytest.fixture(scope="session")
def urls(authorities: Authorities, windows: Callable[[str], Windows]) -> Iterator[dict[str, str]]:
    """Servers that Wine itself can judge: of chains that are right, it refuses about three in a hundred."""
    servers = start_servers(authorities)
    lab, replaced = windows("3.12"), []
    for case in ("system", "intermediate"):
        for _ in range(5):
            if lab.json(ALONE, str(servers[case].port), TRUSTSTORE_INJECT="0") == "accepted":
                break
            replaced.append(servers[case])
            servers[case] = Server(server_context(authorities.server_certificates()[case]))
    yield {case: server.url for case, server in servers.items()}
    for server in (*servers.values(), *replaced):
        server.close()
