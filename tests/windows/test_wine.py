"""The built wheel on a Windows Python, under Wine: pip, start-up, and each client library against the ROOT store.

``tox -e wine``, or ``pytest tests/windows`` with a wheel in dist/.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import HERE, Authorities
from wine import ACCEPTED, Windows, expected, install_truststore

from truststore_inject.stores import _verifier

if shutil.which("wine") is None:
    pytest.skip("Wine is not installed (apt-get install wine wine64)", allow_module_level=True)

CLIENTS = [
    "urllib_request",
    "http_client",
    "asyncio_streams",
    "urllib3",
    "requests_get",
    "aiohttp",
    "httpx_sync",
    "httpx_async",
    "websockets",
]
FEW = ["urllib_request", "requests_get", "asyncio_streams"]
MATRIX = [("3.13", client) for client in CLIENTS] + [
    (version, client) for version in ("3.12", "3.11") for client in FEW
]


def verdicts(
    lab: Windows, client: str, urls: dict[str, str], trust: str = "default", **variables: str
) -> dict[str, str]:
    result = lab.run(HERE / "clients", client, trust, json.dumps(urls), **variables)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize(("version", "client"), MATRIX)
def test_the_client_libraries(
    version: str, client: str, windows: Callable[[str], Windows], urls: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    lab = windows(version)
    assert verdicts(lab, client, urls) == expected(urls, *ACCEPTED)
    assert verdicts(lab, client, urls, str(ca_file("private"))) == expected(urls, "private")


@pytest.mark.parametrize("version", sorted(_verifier.TESTED))
def test_each_truststore_that_is_relied_upon(
    version: str, windows: Callable[[str], Windows], urls: dict[str, str], tmp_path: Path
) -> None:
    install_truststore(version, tmp_path)
    lab, path = windows("3.12"), f"Z:{tmp_path}"  # truststore 0.10.0 makes a context while it is imported, before 3.13
    assert lab.json("import json, truststore; print(json.dumps(truststore.__version__))", PYTHONPATH=path) == version
    assert verdicts(lab, "urllib_request", urls, PYTHONPATH=path) == expected(urls, *ACCEPTED)


@pytest.mark.parametrize("client", ["requests_get", "httpx_sync"])
def test_opted_out_is_stock(client: str, windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    """They read certifi's bundle again, where the CA is not."""
    assert verdicts(windows("3.13"), client, urls, TRUSTSTORE_INJECT="0") == expected(urls)


def test_no_verification_stays_none(windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    assert verdicts(windows("3.13"), "requests_get", urls, "off") == dict.fromkeys(urls, "accepted")


def test_ssl_cert_file_is_trusted_in_addition(
    windows: Callable[[str], Windows], urls: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    found = verdicts(windows("3.13"), "urllib_request", urls, SSL_CERT_FILE=str(ca_file("private")))
    assert found == expected(urls, *ACCEPTED, "private")


def test_the_command_line(windows: Callable[[str], Windows], authorities: Authorities, tmp_path: Path) -> None:
    """``status`` knows the store, ``export`` reads it."""
    lab = windows("3.13")
    status = lab.run("-m", "truststore_inject", "status", "--json")
    assert status.returncode == 0, status.stderr
    store = json.loads(status.stdout)["store"]
    assert store["source"].startswith("Windows")
    count = lab.run("-c", "import ssl; print(len({der for der, _, _ in ssl.enum_certificates('ROOT')}))")
    file = tmp_path / "store.pem"
    export = lab.run("-m", "truststore_inject", "export", file)
    assert export.returncode == 0, export.stderr
    written = file.read_bytes().replace(b"\r\n", b"\n")
    assert store["anchors"] is None, "Windows fetches some when they are needed"
    assert written.count(b"-----BEGIN CERTIFICATE-----") == json.loads(count.stdout)
    base64 = authorities.system.cert_pem.bytes().split(b"-----")[2]
    assert b"".join(base64.split()) in b"".join(written.split())


def test_the_proof(windows: Callable[[str], Windows]) -> None:
    """``check``: its throw-away CA comes in addition to the ROOT store."""
    for _ in range(4):  # one in 64 of its chains is one that Wine cannot judge (`is_judged`)
        result = windows("3.13").run("-m", "truststore_inject", "check", "--json")
        if result.returncode == 0:
            break
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {row["client"]: row for row in json.loads(result.stdout)["clients"]}
    assert {"urllib.request", "asyncio", "urllib3", "requests", "pip", "httpx", "aiohttp", "websockets"} <= rows.keys()
    right = {"in store": "yes", "unknown": "no", "bad name": "no", "expired": "no", "pinned": "yes"}
    for client, row in rows.items():
        assert row["injected"] == right, client


def test_run(windows: Callable[[str], Windows], tmp_path: Path) -> None:
    """Another Python, with nothing in it but a sitecustomize; the exit code is the command's."""
    lab = windows("3.12")
    shutil.copytree(lab.python, tmp_path / "bare", ignore=shutil.ignore_patterns("site-packages"))
    own = tmp_path / "bare" / "Lib" / "site-packages" / "sitecustomize.py"
    own.parent.mkdir(parents=True)
    own.write_text("ran = True\n")
    bare = "Z:" + str(tmp_path / "bare" / "python.exe").replace("/", "\\")
    code = (
        "import sitecustomize, sys; print('truststore_inject._startup' in sys.modules, sitecustomize.ran); sys.exit(7)"
    )
    result = lab.run("-m", "truststore_inject", "run", "--", bare, "-c", code)
    assert (result.returncode, result.stdout.strip()) == (7, "True True"), result.stderr
    assert lab.run("-m", "truststore_inject", "run", "--check", bare).returncode == 0
    assert lab.run("-m", "truststore_inject", "run", "--check", bare, "-I").returncode == 1
    assert lab.run("-m", "truststore_inject", "run", "nonsense").returncode == 127


def test_start_and_uninstall(windows: Callable[[str], Windows], urls: dict[str, str]) -> None:
    """Last: nothing of the package is left, and the process starts as before.  It uses the least used Python."""
    lab = windows("3.11")
    code = "import sys, json; print(json.dumps(any(type(f).__module__.startswith('truststore_inject') for f in sys.meta_path)))"
    assert lab.json(code) is True
    assert lab.json(code, TRUSTSTORE_INJECT="0") is False
    pth = lab.site_packages / "truststore-inject.pth"
    assert pth.exists()
    result: Any = lab.run("-m", "pip", "uninstall", "-y", "truststore-inject")
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(lab.site_packages.glob("truststore?inject*"))
    assert lab.json(code) is False
    assert verdicts(lab, "requests_get", urls) == expected(urls)
