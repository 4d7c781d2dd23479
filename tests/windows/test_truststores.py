"""Each version of truststore that is relied upon, on the stand-in for macOS; test_wine.py has them on Windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from native import SYSTEM, Macos, child, linux
from servers import Server
from wine import install_truststore

from truststore_inject.stores import _verifier

pytestmark = linux


@pytest.fixture(scope="session")
def urls(servers: dict[str, Server]) -> dict[str, str]:
    """Not those that Wine judges."""
    return {case: server.url for case, server in servers.items()}


@pytest.mark.parametrize("version", sorted(_verifier.TESTED))
def test_each_truststore_that_is_relied_upon(version: str, macos: Macos, ports: dict[str, int], tmp_path: Path) -> None:
    install_truststore(version, tmp_path)
    code = """
import truststore  # as a program may, before it connects
verdicts = {case: judge(lambda: wrapped(port).close()) for case, port in json.loads(sys.argv[1]).items()}
import truststore_inject
notes = [note for note in truststore_inject.status().notes if "verif" in note]
print(json.dumps([truststore.__version__, verdicts, notes]))
"""
    ports = {case: port for case, port in ports.items() if case != "expired"}  # the stand-in knows no dates
    expected = {case: SYSTEM[case] for case in ports}
    assert child(code, ports, env=macos(tmp_path, STANDIN_LAX="1")) == [version, expected, []]
