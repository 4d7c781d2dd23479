"""The public functions.  What the command line makes of them is in test_cli_status.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import environment, openssl_store, run, run_code

import truststore_inject

SHARES = sys.implementation.name == "cpython"


def status(**variables: str | Path) -> dict[str, Any]:
    code = "import json, ssl, truststore_inject; print(json.dumps(truststore_inject.status().as_dict()))"
    return dict(run_code(code, env=environment(**variables)))


def test_the_public_names() -> None:
    assert set(truststore_inject.__all__) == {"__version__", "extract", "inject", "status"}
    assert set(truststore_inject.__all__) <= set(dir(truststore_inject))
    with pytest.raises(AttributeError, match="nonsense"):
        truststore_inject.nonsense  # noqa: B018


@openssl_store
def test_status_of_an_ordinary_interpreter(store: Path) -> None:
    found = status(SSL_CERT_DIR=store)
    notes = found.pop("notes")
    assert notes == [] if SHARES else all("as in stock Python" in note for note in notes)
    assert found.pop("patches")["ssl"] == {"state": "applied", "reason": ""}
    assert found == {
        "version": truststore_inject.__version__,
        "active": True,
        "reason": "armed in this interpreter",
        "store": {
            "source": "SSL_CERT_FILE and SSL_CERT_DIR",
            "directories": [str(store)],
            "bundles": [],
            "extra": [],
            "left_out": [{"path": "/nonexistent/bundle.pem", "reason": "there is no such file"}],
            "anchors": 1,
        },
    }


def test_a_library_that_is_not_imported_waits() -> None:
    code = """
import json, sys, truststore_inject
import truststore_inject._hook
truststore_inject.extract()
print(json.dumps(truststore_inject.status().as_dict()))
"""
    found = run_code(code, env=environment())
    # The store that is described is asked through ssl, which nothing patches any more.
    assert (found["active"], found["patches"]["ssl"]["state"]) == (False, "waiting")
    assert "extract" in found["reason"]


def test_opted_out(store: Path) -> None:
    found = status(SSL_CERT_DIR=store, TRUSTSTORE_INJECT="off")
    assert found["active"] is False
    assert "TRUSTSTORE_INJECT" in str(found["reason"])


@openssl_store
def test_no_usable_store(tmp_path: Path) -> None:
    found = status(SSL_CERT_DIR=tmp_path)
    assert (found["store"]["source"], found["store"]["anchors"]) == (None, 0)
    assert {entry["path"] for entry in found["store"]["left_out"]} == {"/nonexistent/bundle.pem", str(tmp_path)}


@openssl_store
def test_a_context_without_a_store_is_noted(tmp_path: Path) -> None:
    code = "import json, ssl, truststore_inject as t; ssl.create_default_context(); print(json.dumps(t.status().notes))"
    notes = run_code(code, env=environment(SSL_CERT_DIR=tmp_path))
    assert any("own default stays" in note for note in notes)


@openssl_store
def test_it_is_for_people_too(store: Path) -> None:
    text = run("-c", "import truststore_inject; print(truststore_inject.status())", env=environment(SSL_CERT_DIR=store))
    assert f"truststore-inject {truststore_inject.__version__}: active" in text.stdout
    assert f"1 trust anchors in {store}, from SSL_CERT_FILE and SSL_CERT_DIR" in text.stdout


def test_extra_anchors_behind_a_ctrl_z(ca_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Where Windows ends a file that is opened as text."""
    file = tmp_path / "extra.pem"
    file.write_bytes(b"# \x1a\r\n" + ca_file("private").read_bytes())
    code = "import json, ssl; print(json.dumps(len(ssl.create_default_context().get_ca_certs())))"
    assert run_code(code, env=environment(SSL_CERT_DIR="/nonexistent", TRUSTSTORE_INJECT_EXTRA_CA_CERTS=file)) == 1


def test_extra_anchors_and_a_file_that_is_none(
    urls: dict[str, str], store: Path, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    code = """
import json, ssl, truststore_inject
c = ssl.create_default_context()
left_out = truststore_inject.status().store["left_out"]
print(json.dumps([len(c.get_ca_certs()), [entry["reason"] for entry in left_out if "EXTRA" in entry["reason"]]]))
"""
    variables = {"SSL_CERT_DIR": store, "TRUSTSTORE_INJECT_EXTRA_CA_CERTS": ca_file("private")}
    assert run_code(code, env=environment(**variables)) == [1, []]
    for content in (None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        bad = tmp_path / "bad.pem"
        if content is not None:
            bad.write_bytes(content)
        found = run_code(code, env=environment(**{**variables, "TRUSTSTORE_INJECT_EXTRA_CA_CERTS": bad}))
        assert found[0] == 0
        assert len(found[1]) == 1
