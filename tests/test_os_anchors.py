"""The lists of anchors of Windows and macOS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import environment, run, run_code
from native import linux, native

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = linux


def test_what_the_variables_name_is_listed_too(root: Path, store: Path, ca_file: Callable[[str], Path]) -> None:
    """As it is trusted in addition to what the operating system lists: pyOpenSSL, grpcio and ``export`` get it."""
    code = """
import json
from truststore_inject.stores import _os_anchors
print(json.dumps([place for place, _ in _os_anchors.listing()]))
"""
    (file,) = store.glob("ca-*.pem")
    private = ca_file("private")
    found = run_code(code, env=environment(SSL_CERT_FILE=private, SSL_CERT_DIR=store))
    assert found == [str(private), str(file)]
    result = run("-m", "truststore_inject", "export", "--env", env=native(root, SSL_CERT_FILE=private))
    assert result.returncode == 4
    assert "this store is not one file" in result.stderr


def test_what_the_variables_name_is_not_the_whole_store(
    root: Path, store: Path, ca_file: Callable[[str], Path]
) -> None:
    """A library that wants a file gets one with all of the store, also where the variable names a file that is missing."""
    code = """
import json
from truststore_inject.stores import _export
path = _export.pem_file()
print(json.dumps([path, path and open(path).read().count("BEGIN")]))
"""
    for named in ("/nonexistent/bundle.pem", str(ca_file("system"))):
        path, count = run_code(code, env=native(root, SSL_CERT_FILE=named, SSL_CERT_DIR=store))
        assert (path in (None, named), count) == (False, 1)
