"""PROJ is told of a CA file in several ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import environment, run_code
from test_stacks import need

PYPROJ = """
import json, os, sys
import truststore_inject
from truststore_inject import _record
{first}
import certifi, pyproj.network as network
given = []
network._set_context_ca_bundle_path = given.append
{then}
certifis = certifi.where()
print(json.dumps([["certifi" if path == certifis else path for path in given], _record.patches.get("pyproj")]))
"""


@pytest.mark.parametrize(
    ("calls", "variables", "expected"),
    [
        (["None", "True", "False", "''", "certifi.where()"], {}, ["store"] * 5),
        (["'/own.pem'", "pathlib.Path('/own.pem')"], {}, ["/own.pem", "/own.pem"]),
        # The variables are PROJ's to read; True is certifi's, whatever they say.
        (["None", "False", "True"], {"CURL_CA_BUNDLE": "/own.pem"}, ["", "", "store"]),
        # pyogrio has put certifi's path into PROJ's first one.
        (["None"], {"PROJ_CURL_CA_BUNDLE": "certifi", "CURL_CA_BUNDLE": "/own.pem"}, [""]),
        (["None"], {"PROJ_CURL_CA_BUNDLE": "certifi"}, ["store"]),
    ],
)
def test_pyproj(calls: list[str], variables: dict[str, str], expected: list[str], store: Path) -> None:
    need("pyproj")
    import certifi

    env = environment(SSL_CERT_DIR=store)
    del env["SSL_CERT_FILE"]
    env |= {name: certifi.where() if value == "certifi" else value for name, value in variables.items()}
    then = "import pathlib\n" + "\n".join(f"network.set_ca_bundle_path({call})" for call in calls)
    given, state = run_code(PYPROJ.format(first="", then=then), env=env)
    named = [path if path in ("", "/own.pem", "certifi") else "store" for path in given]
    assert (named, state) == (expected, ["applied", ""])


def test_pyproj_late_and_taken_back(store: Path) -> None:
    """Which file it has cannot be asked: one that the program named is not lost."""
    need("pyproj")
    first = "truststore_inject.extract()\nimport pyproj\npyproj.network.set_ca_bundle_path('/own.pem')"
    then = "truststore_inject.inject()\nnetwork.set_ca_bundle_path()\ntruststore_inject.extract()"
    env = environment(SSL_CERT_DIR=store)
    del env["SSL_CERT_FILE"]
    given, _ = run_code(PYPROJ.format(first=first, then=then), env=env)
    assert given[1:] == ["certifi"]
    assert given[0] != "certifi"
    _, state = run_code(PYPROJ.format(first=first, then="truststore_inject.inject()"), env=env)
    assert "keeps" in state[1]
