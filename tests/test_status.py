"""The public functions, and the command that prints them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import environment, run, run_code

import truststore_inject

CONSOLE_SCRIPT = str(Path(sys.executable).with_name("truststore-inject"))


def status(*arguments: str, **variables: str | Path) -> tuple[int, dict[str, object]]:
    result = run("-m", "truststore_inject", *arguments, "--json", env=environment(**variables))
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


def test_the_public_names() -> None:
    assert set(truststore_inject.__all__) == {"__version__", "extract", "inject", "status"}
    assert set(truststore_inject.__all__) <= set(dir(truststore_inject))
    with pytest.raises(AttributeError, match="nonsense"):
        truststore_inject.nonsense  # noqa: B018


def test_status_of_an_ordinary_interpreter(store: Path) -> None:
    code, found = status(SSL_CERT_DIR=store)
    assert code == 0
    assert found.pop("notes") == ["SSL_CERT_FILE names a file that does not exist or is empty: /nonexistent/bundle.pem"]
    assert found.pop("patches")["ssl"] == {"state": "applied", "reason": ""}  # type: ignore[index]
    assert found == {
        "version": truststore_inject.__version__,
        "active": True,
        "reason": "armed in this interpreter",
        "store": {
            "source": "SSL_CERT_FILE and SSL_CERT_DIR",
            "directories": [str(store)],
            "bundle": None,
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
    assert (found["active"], found["patches"]["ssl"]["state"]) == (False, "waiting")
    assert "extract" in found["reason"]


def test_opted_out(store: Path) -> None:
    code, found = status(SSL_CERT_DIR=store, TRUSTSTORE_INJECT="off")
    assert (code, found["active"]) == (1, False)
    assert "TRUSTSTORE_INJECT" in str(found["reason"])


def test_no_usable_store(tmp_path: Path) -> None:
    _, found = status(SSL_CERT_DIR=tmp_path)
    assert found["store"] == {"source": None, "directories": [], "bundle": None, "anchors": 0}
    assert "no trust anchor there" in str(found["notes"])


def test_a_context_without_a_store_is_noted(tmp_path: Path) -> None:
    code = "import json, ssl, truststore_inject as t; ssl.create_default_context(); print(json.dumps(t.status().notes))"
    notes = run_code(code, env=environment(SSL_CERT_DIR=tmp_path))
    assert any("own default stays" in note for note in notes)


@pytest.mark.parametrize("command", [[sys.executable, "-m", "truststore_inject"], [CONSOLE_SCRIPT]])
def test_for_people(command: list[str], store: Path) -> None:
    result = run(*command[1:], env=environment(SSL_CERT_DIR=store), python=command[0])
    assert (result.returncode, result.stderr) == (0, "")
    assert f"truststore-inject {truststore_inject.__version__}: active" in result.stdout
    assert f"1 trust anchors in {store}, from SSL_CERT_FILE and SSL_CERT_DIR" in result.stdout
    assert "patch: ssl, applied" in result.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["status", "--nonsense"], ["--nonsense"]])
def test_bad_usage(arguments: list[str]) -> None:
    result = run("-m", "truststore_inject", *arguments, env=environment())
    assert (result.returncode, result.stdout) == (2, "")
    assert "nonsense" in result.stderr
    assert "Traceback" not in result.stderr


def test_version_and_help() -> None:
    version = run("-m", "truststore_inject", "--version", env=environment())
    assert version.stdout.strip() == truststore_inject.__version__
    assert "status" in run("-m", "truststore_inject", "--help", env=environment()).stdout


def test_extra_anchors_and_a_file_that_is_none(
    urls: dict[str, str], store: Path, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    code = """
import json, ssl, truststore_inject
c = ssl.create_default_context()
print(json.dumps([len(c.get_ca_certs()), [note for note in truststore_inject.status().notes if "EXTRA" in note]]))
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
