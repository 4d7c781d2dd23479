"""Programs that judge servers while something goes wrong around the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import environment, run_code
from test_trust import HANDSHAKE

import truststore_inject

PACKAGE = Path(truststore_inject.__file__).parent
REPLACED = """
def replaced():
    import ssl
    methods = ("load_default_certs", "set_default_verify_paths", "load_verify_locations")
    return [name for name in methods if hasattr(getattr(ssl.SSLContext, name), "__wrapped__")]
"""


# sys.argv: the servers, and the CA that a context is pinned to.
VERDICTS = f"""
{HANDSHAKE}
{REPLACED}
def accepted(context):
    return sorted(case for case, verdict in judge(context).items() if verdict == "accepted")
def verdicts():
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return [len(replaced()), *map(accepted, (ssl.create_default_context(), ssl.create_default_context(cafile=sys.argv[2]), bare))]
"""


class Probe:
    """Runs programs that judge servers with a default context, a pinned one and a bare one."""

    def __init__(self, urls: dict[str, str], private: Path, store: Path) -> None:
        cases = {case: urls[case] for case in ("system", "private", "unknown", "wrong_host")}
        self.arguments = (json.dumps(cases), str(private))
        self.store = store

    def run(self, before: str = "", between: str = "", **variables: str | Path) -> bool:
        """Whether ``ssl`` is patched; `before` runs before ``ssl`` is imported, `between` after that."""
        code = f"{before}\n{VERDICTS}\n{between}\nprint(json.dumps(verdicts()))"
        env = environment(**{"SSL_CERT_DIR": self.store, **variables})
        count, *trust = run_code(code, *self.arguments, env=env)
        assert trust == [["system"], ["private"], []]  # as stock: SSL_CERT_DIR is OpenSSL's own variable
        assert count in (0, 3), "half-patched"
        return bool(count)


@pytest.fixture(scope="module")
def probe(urls: dict[str, str], ca_file: Callable[[str], Path], store: Path) -> Probe:
    return Probe(urls, ca_file("private"), store)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may damage, in a folder for PYTHONPATH."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy" / PACKAGE.name
