"""Guards and mocks that a program puts in front of the operating system's functions: they meet the program's calls.

Making a context raises nothing that stock would not raise, and the store is used and not given up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Authorities, environment, run_code, shadow_certifi, write_bundle
from places import PADDING, needs_openssl

pytestmark = needs_openssl

# What a coroutine may not call.  blockbuster's guard is like it; that of `langgraph dev` excludes no module from it.
# https://github.com/cbornet/blockbuster
GUARD = """
import asyncio, os
def forbid(holder, name):
    function = getattr(holder, name)
    def guarded(*args, **kwargs):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function(*args, **kwargs)
        raise RuntimeError(f"blocking call to {name}")
    setattr(holder, name, guarded)
for name in ("access", "getcwd", "listdir", "read", "readlink", "scandir", "stat", "statvfs", "write", "lstat", "open",
             "fstat", "close"):
    forbid(os, name)
for name in ("abspath", "islink", "isfile", "isdir", "exists", "realpath", "samefile"):
    forbid(os.path, name)
forbid(__import__("time"), "sleep")
forbid(__import__("io"), "open")
forbid(__import__("builtins"), "open")
"""
BLOCKBUSTER = """
from blockbuster import BlockBuster
BlockBuster({settings}).activate()
"""
MAKE = """
import json, ssl, sys, certifi
{before}
{guard}
async def main():
    contexts = [
        ssl.create_default_context(), ssl.create_default_context(cafile=certifi.where()),
        ssl.create_default_context(cafile=sys.argv[1]), ssl.create_default_context(cafile=sys.argv[2]),
    ]
    return [context.cert_store_stats()["x509"] for context in contexts]
import asyncio
made = asyncio.run(main())
sys.stdout.write(json.dumps(made)); sys.stdout.flush()
import os; os._exit(0)
"""


@pytest.fixture
def env(authorities: Authorities, tmp_path: Path) -> dict[str, str]:
    """A store of two in a bundle, which has not changed lately, and a certifi with one."""
    bundle = write_bundle(tmp_path / "store.pem", [authorities.system, authorities.unknown])
    bundle.write_bytes(PADDING + bundle.read_bytes())
    with shadow_certifi(tmp_path / "site", authorities.bundled) as folder:
        # Not measured: coverage calls what is guarded, and what is mocked.
        return environment(
            SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent", PYTHONPATH=folder, COVERAGE_PROCESS_CONFIG=""
        )


@pytest.mark.parametrize("before", ["", "import truststore_inject.stores", "ssl.create_default_context()"])
@pytest.mark.parametrize("guard", ["ours", "blockbuster's", "langgraph's"])
def test_a_guard_against_blocking_calls(
    guard: str, before: str, env: dict[str, str], ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """https://github.com/encode/httpx/discussions/3486"""
    if guard != "ours":
        pytest.importorskip("blockbuster", reason="installed in one environment")
    excluded = "scanned_modules=None, excluded_modules=[]" if guard == "langgraph's" else ""
    code = GUARD if guard == "ours" else BLOCKBUSTER.format(settings=excluded)
    code = MAKE.format(guard=code, before=before)
    large = tmp_path / "large.pem"
    large.write_bytes(PADDING + ca_file("private").read_bytes())
    files = str(ca_file("private")), str(large)
    stock = run_code(code, *files, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert stock == [2, 1, 1, 1]
    assert run_code(code, *files, env=env) == [2, 2, 1, 1]


MOCKS = {
    "os.path.exists": "os.path.exists = lambda path: True",
    "os.path.isfile": "os.path.isfile = os.path.isdir = lambda path: False",
    "os.stat": "os.stat = os.lstat = mock.Mock(side_effect=AssertionError('not expected'))",
    "os.open": "os.open = os.close = os.read = mock.Mock(side_effect=AssertionError('not expected'))",
    "os.scandir": "os.scandir = os.listdir = mock.Mock(return_value=[])",
    "os.readlink": "os.readlink = os.path.realpath = mock.Mock(return_value='/etc/passwd')",
    "os.getcwd": "os.getcwd = mock.Mock(side_effect=FileNotFoundError)",
    "open": "import builtins, io; builtins.open = io.open = mock.Mock(side_effect=AssertionError('not expected'))",
    "time": "import time; time.time = time.time_ns = mock.Mock(return_value=0)",
}
MOCKED = """
import json, os, ssl, sys, certifi
from unittest import mock
import truststore_inject.stores
stdout = sys.stdout
where = certifi.where()
{mock}
contexts = [ssl.create_default_context(), ssl.create_default_context(cafile=where), ssl.create_default_context(cafile=sys.argv[1])]
stdout.write(json.dumps([context.cert_store_stats()["x509"] for context in contexts])); stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("name", MOCKS)
def test_a_mock_of_a_function_of_the_system(name: str, env: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    code = MOCKED.format(mock=MOCKS[name])
    assert run_code(code, str(ca_file("private")), env={**env, "TRUSTSTORE_INJECT": "0"}) == [2, 1, 1]
    assert run_code(code, str(ca_file("private")), env=env) == [2, 2, 1]


NO_PROC = """
import json, os, ssl, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])
sys.addaudithook(hook)
contexts = [ssl.create_default_context(), ssl.create_default_context(cafile=sys.argv[1])]
print(json.dumps([context.cert_store_stats()["x509"] for context in contexts]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no /proc")
@pytest.mark.parametrize("more", ["", "sys.modules['ctypes'] = None\n"])
def test_without_proc(more: str, env: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    """And without ctypes, too, nothing is known of the rights of this process: what OpenSSL does is right."""
    code = NO_PROC.replace("contexts =", f"{more}contexts =")
    assert run_code(code, str(ca_file("private")), env=env) == [2, 1]
