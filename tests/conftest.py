from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from harness import Authorities, write_bundle, write_directory
from servers import Server, server_context

pytest_plugins = ["commands", "native", "probes"]  # their fixtures

# A temporary folder for each of the environments that tox runs at the same time.  In a common one each session clears away
# what the others have left, and what goes wrong when two do that is an error, after the last test and without a summary.
if "TOX_ENV_NAME" in os.environ:
    root = Path(tempfile.gettempdir()) / f"tox-{getpass.getuser()}-{os.environ['TOX_ENV_NAME']}"
    root.mkdir(mode=0o700, exist_ok=True)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(root)


@pytest.fixture(scope="session")
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture(scope="session")
def servers(authorities: Authorities) -> Iterator[dict[str, Server]]:
    """A running server for each case of `Authorities.server_certificates`."""
    servers = {
        case: Server(server_context(certificate)) for case, certificate in authorities.server_certificates().items()
    }
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture(scope="session")
def urls(servers: dict[str, Server]) -> dict[str, str]:
    return {case: server.url for case, server in servers.items()}


@pytest.fixture(scope="session")
def store(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hashed directory that holds the system CA.  Do not change it; make another with `write_directory`."""
    return write_directory(tmp_path_factory.mktemp("store"), [authorities.system])


@pytest.fixture(scope="session")
def ca_file(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``ca_file("private")``: a PEM file with that authority's certificate."""
    folder = tmp_path_factory.mktemp("ca")

    def write(name: str) -> Path:
        authority: trustme.CA = getattr(authorities, name)
        return write_bundle(folder / f"{name}.pem", [authority])

    return write


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes in the home of whoever runs it."""
    for name in ("HOME", "USERPROFILE"):  # the second is Windows'
        monkeypatch.setenv(name, str(tmp_path))


@pytest.fixture
def stand_ins(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a test that patches stand-ins of libraries: the store is a directory, nothing is exported yet, no patch is left."""
    from truststore_inject.patches import contexts, wrapping
    from truststore_inject.stores import _export

    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/bundle.pem")
    monkeypatch.setattr(_export, "_paths", {})
    before = [*wrapping._wrapped], [*contexts._renewed]
    yield
    assert ([*wrapping._wrapped], [*contexts._renewed]) == before, "a test left a patch"
