"""What may go wrong in the asking of the operating system, and the host name that we check after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import environment, run_code
from native import SYSTEM, Sink, child, linux, native

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = linux


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("lambda *a, **k: None", "accepts a certificate that nobody has signed"),
        ("lambda context: None", "TypeError"),
        ("lambda *a, **k: {}[1]", "KeyError"),
    ],
)
def test_where_truststore_has_changed_stock_verification_stays(
    inside: str, reason: str, sinks: dict[str, Sink], root: Path, store: Path
) -> None:
    code = f"""
_native._native_function = lambda: {inside}
import truststore_inject
ports = json.loads(sys.argv[1])
print(json.dumps([{{case: judge(lambda: wrapped(port).close()) for case, port in ports.items()}},
    type(wrapped(ports["system"])._sslobj).__module__, truststore_inject.status().notes, str(truststore_inject.status())]))
"""
    env = native(root, SSL_CERT_DIR=store)
    found, module, notes, text = child(code, {case: sink.port for case, sink in sinks.items()}, env=env)
    assert (found, module) == (SYSTEM, "_ssl")
    assert any("stock verification stays" in note and reason in note for note in notes)
    assert "each library keeps its own default" in text


def test_truststores_own_linux_back_end_is_no_verifier(root: Path) -> None:
    """It does nothing at all: with it every certificate would be accepted."""
    code = """
from truststore_inject.stores import _native
import json
print(json.dumps([_native._system(), list(_native._record.notes)]))
"""
    verifier, notes = run_code(code, env=environment())
    assert verifier is None
    assert any("truststore._openssl" in note for note in notes)


def test_a_changed_inside_of_truststore_is_seen(root: Path) -> None:
    code = """
import json, sys, truststore
del sys.modules["truststore._api"]._verify_peercerts_impl
from truststore_inject.stores import _native
print(json.dumps([_native._system(), list(_native._record.notes)]))
"""
    verifier, notes = run_code(code, env=environment())
    assert verifier is None
    assert any("AttributeError" in note for note in notes)
