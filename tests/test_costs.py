"""What the package costs, in figures that do not jitter: modules, files, anchors read.  benchmarks/ has the times."""

from __future__ import annotations

import _ssl
import ctypes
import os
import sys
from pathlib import Path

import pytest
from harness import Venv, environment, run_code

verified_by_openssl = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="the operating system verifies there, through truststore"
)

# What site opens and lists, with the folders that differ from venv to venv cut off.
FILES = """
import json, os, sys
seen = []
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        seen.append((event, str(arguments[0])))
sys.addaudithook(hook)
import site
site.main()
seen = [(event, path.replace(os.sep, "/").rpartition("site-packages")[2]) for event, path in seen]
print(json.dumps([[event, path.replace(sys.implementation.cache_tag, "TAG")] for event, path in seen if path]))
"""
MODULES = "print(json.dumps(sorted(sys.modules)))"

ARMED = {"truststore_inject", "truststore_inject._startup"}
PATCHED = ARMED | {f"truststore_inject.{name}" for name in ("_hook", "_record", "patches", "patches._ssl")}
STORE = ["_bundle", "_carried", "_files", "_openssl", "_places"]
if sys.implementation.name == "cpython" and getattr(_ssl, "__file__", None) is not None:  # else nothing can be shared
    STORE.append("_libssl")
LOADED = PATCHED | {
    f"truststore_inject.{name}" for name in ("_settings", "stores", *(f"stores.{one}" for one in STORE))
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    venv = Venv(tmp_path_factory.mktemp("installed"))
    venv.json(FILES, "-S")  # byte code is cached
    return venv


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    venv = Venv(tmp_path_factory.mktemp("bare"), with_package=False)
    (venv.site_packages / "other.pth").write_text("# from Python 3.13 on, site loads a codec for any .pth file\n")
    return venv


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy reads byte code without an audit event")
def test_files_opened_at_start(installed: Venv) -> None:
    times = 1 if sys.version_info >= (3, 15) else 2  # site runs the .pth files of a venv twice
    package = "/truststore_inject"
    seen = [tuple(entry) for entry in installed.json(FILES, "-S") if entry[1].startswith("/truststore")]
    pth = [("open", "/truststore-inject.pth")]
    once = [
        ("open", f"{package}/__pycache__/__init__.TAG.pyc"),
        ("os.listdir", package),
        ("open", f"{package}/__pycache__/_startup.TAG.pyc"),
    ]
    assert seen == [*pth, *once, *pth * (times - 1)]


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("pass", ARMED),
        ("import ssl", PATCHED),
        pytest.param("import ssl; ssl.create_default_context()", LOADED, marks=verified_by_openssl),
    ],
)
def test_modules(installed: Venv, bare: Venv, code: str, ours: set[str], store: Path) -> None:
    """Our own that are needed, and of the standard library none that stock does not load, but for _ctypes."""
    code = f"import json, sys\n{code}\n{MODULES}"
    allowed = "import _ctypes\n" if ours == LOADED else ""
    variables = {"SSL_CERT_DIR": str(store)}
    assert set(installed.json(code, **variables)) - set(bare.json(allowed + code, **variables)) == ours


@verified_by_openssl
@pytest.mark.parametrize(
    ("library", "request_"),
    [
        ("ssl", "from urllib.request import urlopen; urlopen(url).close()"),
        ("requests", "requests.get(url)"),
        ("httpx", "httpx.get(url, trust_env=False)"),
        (
            "aiohttp",
            """
async def main():
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        await response.read()
import asyncio; asyncio.run(main())
""",
        ),
    ],
)
def test_nothing_third_party_is_imported(library: str, request_: str, urls: dict[str, str], store: Path) -> None:
    code = f"import json, sys, {library}\nurl = {urls['system']!r}\n{request_}\n{MODULES}"
    modules = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert not {"wrapt", "truststore"}.intersection(modules)
    assert set(modules) >= LOADED


@verified_by_openssl
@pytest.mark.parametrize("kind", ["directory", "bundle"])
def test_the_search_reads_the_disk_once(kind: str, store: Path) -> None:
    """Making the second context opens and lists nothing."""
    (anchor,) = store.glob("*.pem")
    variables = {"SSL_CERT_DIR": store} if kind == "directory" else {"SSL_CERT_FILE": anchor, "SSL_CERT_DIR": "/none"}
    code = """
import json, ssl, sys
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event in ("open", "os.listdir", "os.scandir") else None)
ssl.create_default_context()
first = len(seen)
for _ in range(3):
    ssl.create_default_context()
print(json.dumps([first > 0, seen[first:]]))
"""
    assert run_code(code, env=environment(**variables)) == [True, []]


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_openssl_reads_an_anchor_once_for_each_context(urls: dict[str, str], store: Path) -> None:
    (anchor,) = store.glob("*.pem")
    libc, opened, closed = ctypes.CDLL(None, use_errno=True), 0x20, 0x10
    watch = libc.inotify_init1(os.O_NONBLOCK)
    # Both: two equal events in a row, which are not read meanwhile, would be one.
    assert libc.inotify_add_watch(watch, os.fsencode(anchor), opened | closed) > 0
    code = f"""
import json, socket, ssl
for context in [ssl.create_default_context() for _ in range(3)]:
    for _ in range(2):
        with socket.create_connection(("localhost", {urls["system"].rpartition(":")[2].strip("/")})) as connection:
            context.wrap_socket(connection, server_hostname="localhost").close()
print(json.dumps(True))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store))
    with open(watch, "rb", buffering=0) as events:
        data = events.read(65536)
    masks = [int.from_bytes(data[start + 4 : start + 8], sys.byteorder) for start in range(0, len(data), 16)]
    # Whether there is a CA in the store, and whether OpenSSL finds it; where that cannot be asked, one more.
    assert masks.count(opened) == 3 + 2 + ("_libssl" not in STORE)
