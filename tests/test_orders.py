"""Import, inject, extract, inject: in every order, for each library that keeps contexts or needs more than ssl."""

from __future__ import annotations

import importlib
import json
import os
import ssl
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import HERE, Authorities, environment, openssl_store, run, run_code, shadow_certifi, verdicts

pytestmark = openssl_store  # what extract() leaves where the operating system verifies: test_native.py

ORDERS = [
    "import inject extract inject extract",
    "inject import extract inject extract",
    "inject extract import inject extract",
    "inject extract inject import extract",
]
LIBRARIES = {
    "requests": "requests_get",
    "urllib3": "urllib3_certifi",
    "aiohttp": "aiohttp",
    "tornado": "tornado",
    "urllib3.contrib.pyopenssl": "urllib3_pyopenssl",
}

# -S runs no .pth file: nothing is injected until the steps say so.  After each step from the import on, the verdicts.
CODE = """
import importlib, json, sys
steps, library, client, urls = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
import truststore_inject
said = []
clients = None
for step in steps.split():
    if step == "import":
        importlib.import_module(library)
        import clients
    else:
        getattr(truststore_inject, step)()
    if clients:
        verdicts = {case: clients.judge(client, url, "default") for case, url in urls.items()}
        said.append([step, verdicts["system"], verdicts["bundled"], verdicts["unknown"], verdicts["wrong_host"]])
print(json.dumps([said, sorted({"wrapt", "truststore"} & set(sys.modules))]))
"""


@pytest.fixture(scope="session")
def armed_by_nothing(authorities: Authorities, store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Stock trusts the `bundled` CA, whether it asks certifi or OpenSSL; the store holds the `system` CA."""
    with shadow_certifi(tmp_path_factory.mktemp("certifi"), authorities.bundled) as folder:
        path = os.pathsep.join(map(str, (folder, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), HERE)))
        return environment(PYTHONPATH=path, SSL_CERT_DIR=store, SSL_CERT_FILE=folder / "certifi" / "cacert.pem")


def _keeps_a_context(library: str) -> bool:
    """Whether this version builds its context when it is imported."""
    places = {"aiohttp": ("connector", "_SSL_CONTEXT_VERIFIED"), "requests": ("adapters", "_preloaded_ssl_context")}
    module, name = {**places, "tornado": ("netutil", "_client_ssl_defaults")}.get(library, ("", ""))
    return bool(module) and isinstance(
        getattr(importlib.import_module(f"{library}.{module}"), name, None), ssl.SSLContext
    )


@pytest.mark.parametrize("steps", ORDERS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_order(library: str, steps: str, urls: dict[str, str], armed_by_nothing: dict[str, str]) -> None:
    pytest.importorskip(library)
    pyopenssl = library == "urllib3.contrib.pyopenssl"
    result = run("-S", "-c", CODE, steps, library, LIBRARIES[library], json.dumps(urls), env=armed_by_nothing)
    assert result.returncode == 0, result.stderr  # tornado logs there what it refuses
    said, imported = json.loads(result.stdout)
    assert imported == []
    assert len(said) == len(steps.split()) - steps.split().index("import")
    injected = steps.startswith("inject") and not steps.startswith("inject extract import")
    # A context that a library built for good while it was injected keeps the trust anchors that it was given.
    kept = injected and _keeps_a_context(library)
    for step, system, bundled, *others in said:
        injected = {"inject": True, "extract": False}.get(step, injected)
        stock = "refused" if kept or pyopenssl else "accepted"  # that trusts nobody
        assert bundled == ("refused" if injected else stock), (step, said)
        if injected:
            assert system == "accepted", (step, said)
        assert others == ["refused", "refused"], (step, said)


@pytest.mark.parametrize(
    ("home", "name"),
    [
        ("aiohttp.connector", "_SSL_CONTEXT_VERIFIED"),
        ("requests.adapters", "_preloaded_ssl_context"),
        ("tornado.netutil", "_client_ssl_defaults"),
        ("urllib3.contrib.pyopenssl", "PyOpenSSLContext"),
        ("OpenSSL.SSL", "Context"),
    ],
)
def test_extract_puts_back_the_very_same(home: str, name: str, armed_by_nothing: dict[str, str]) -> None:
    pytest.importorskip(home)
    code = f"""
import importlib, sys, truststore_inject
module = importlib.import_module("{home}")
def state():
    kept = getattr(module, "{name}", None)
    return id(kept), {{key: id(value) for key, value in vars(kept).items()}} if isinstance(kept, type) else None
before = state()
truststore_inject.inject()
between = state()
again = truststore_inject.inject() or state()
truststore_inject.extract()
print(before == state(), between == again, before == between)
"""
    result = run("-S", "-c", code, env=armed_by_nothing)
    assert (result.returncode, result.stderr) == (0, "")
    exact, idempotent, untouched = result.stdout.split()
    assert (exact, idempotent) == ("True", "True")
    if name == "Context":
        assert untouched == "False"


# Where a library keeps its one context, and an expression for it; None where this version keeps it otherwise.
KEPT = {
    "aiohttp": ("aiohttp.connector", "getattr(home, '_SSL_CONTEXT_VERIFIED', None) or cached()"),
    "requests": ("requests.adapters", "getattr(home, '_preloaded_ssl_context', None)"),
    "tornado": (
        "tornado.netutil",
        "home._client_ssl_defaults() if callable(home._client_ssl_defaults) else home._client_ssl_defaults",
    ),
}


@pytest.mark.parametrize("library", KEPT)
def test_what_somebody_did_to_a_kept_context_stays(
    library: str, urls: dict[str, str], armed_by_nothing: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    pytest.importorskip(library)
    home, kept = KEPT[library]
    code = f"""
import clients, json, ssl, sys, truststore_inject
import {home} as home

def cached():  # aiohttp before 3.10.3
    make = home.TCPConnector._make_ssl_context
    return make(True) if hasattr(make, "cache_info") else None

kept = lambda: {kept}
if kept() is None:
    print("null")
    sys.exit()
kept().load_verify_locations({str(ca_file("private"))!r})
truststore_inject.inject()
urls = {urls!r}
accepted = [case for case in urls if clients.judge({LIBRARIES[library]!r}, urls[case], "default") == "accepted"]
truststore_inject.extract()
theirs = kept()
theirs.minimum_version = ssl.TLSVersion.TLSv1_3
truststore_inject.inject()
print(json.dumps([accepted, kept() is theirs]))
"""
    result = run("-S", "-c", code, env=armed_by_nothing)
    assert result.returncode == 0, result.stderr  # tornado logs what it refuses
    if result.stdout.strip() == "null":
        pytest.skip(f"this {library} keeps no context that could be had")
    assert json.loads(result.stdout) == [["system", "intermediate", "private"], True]


def test_the_ordinary_case_imports_neither_wrapt_nor_truststore(urls: dict[str, str], store: Path) -> None:
    code = f"""
import json, sys
import requests, aiohttp, httpx
requests.get({urls["system"]!r}, timeout=20)
print(json.dumps(sorted({{"wrapt", "truststore", "truststore_inject.patches.contexts"}} & set(sys.modules))))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store)) == []


@pytest.mark.parametrize("injected", [True, False])
def test_requests_without_the_file_of_certifi(
    injected: bool, urls: dict[str, str], authorities: Authorities, store: Path, tmp_path: Path
) -> None:
    with shadow_certifi(tmp_path, authorities.bundled) as folder:
        (folder / "certifi" / "cacert.pem").unlink()
        env = environment(PYTHONPATH=folder, SSL_CERT_DIR=store, TRUSTSTORE_INJECT=str(int(injected)))
        if injected:
            expected = {**dict.fromkeys(urls, "refused"), "system": "accepted", "intermediate": "accepted"}
            assert verdicts("requests_get", urls, env=env) == expected
            assert verdicts("requests_session", urls, env=env, trust="off") == dict.fromkeys(urls, "accepted")
        else:
            result = run("-c", f"import requests; requests.get({urls['system']!r}, timeout=20)", env=env)
            assert result.returncode == 1
            assert "OSError" in result.stderr or "FileNotFoundError" in result.stderr
