"""A part of the package, or what it is made of, is missing or broken: the program runs, and nothing is half-patched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from harness import environment, openssl_store, run, run_code
from probes import PACKAGE, Probe

pytestmark = [openssl_store, pytest.mark.long]
MODULES = sorted(
    str(file.relative_to(PACKAGE))
    for file in PACKAGE.rglob("*.py")
    if "cli" not in file.parts and file.stem != "__main__"
)


# What is loaded for the first context, or for the first refusal.
LATE = [module for module in MODULES if module.startswith("stores/") or module in ("_advice.py", "_settings.py")]


def library(module: str, folder: Path) -> str:
    """Code that imports what the patch file `module` is for; where it is not installed, something of that name."""
    where, _, name = module.removesuffix(".py").rpartition("/")
    if where != "patches" or name == "__init__":
        name = "_ssl"
    name = {"contexts": "_aiohttp", "wrapping": "_OpenSSL"}.get(name, name)
    name = name.removeprefix("_")
    if importlib.util.find_spec(name) is None:
        (folder / f"{name}.py").touch()
    return f"import {name}"


@pytest.mark.parametrize("module", [*MODULES, "the first half", "the second half"])
def test_a_part_of_the_package_is_missing(module: str, copy: Path, probe: Probe) -> None:
    """Before the interpreter starts, and after that."""
    half = len(MODULES) // 2
    gone = {"the first half": MODULES[:half], "the second half": MODULES[half:]}.get(module, [module])
    code = library(gone[0], copy.parent)
    probe.run(
        before=f"import os\nfor part in {gone}: os.unlink({str(copy)!r} + '/' + part)",
        between=code,
        PYTHONPATH=copy.parent,
    )
    assert not any((copy / part).exists() for part in gone)
    probe.run(between=code, PYTHONPATH=copy.parent)


@pytest.mark.parametrize("module", LATE)
def test_a_part_is_removed_after_ssl_was_patched(module: str, copy: Path, probe: Probe) -> None:
    assert probe.run(between=f"import os; os.unlink({str(copy / module)!r})", PYTHONPATH=copy.parent)


@pytest.mark.parametrize("part", ["stores/_export.py", "stores/_carried.py", "stores", ""])
def test_a_part_is_removed_before_a_library_wants_the_store(part: str, copy: Path, probe: Probe) -> None:
    """Its own default stays."""
    pytest.importorskip("OpenSSL")
    between = f"""
import os, shutil, certifi, OpenSSL
path = {str(copy / part)!r}
shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
context.load_verify_locations(certifi.where())
context.set_default_verify_paths()
from truststore_inject import _record
assert _record.patches["OpenSSL"] == ("applied", ""), _record.patches
"""
    assert probe.run(between=between, PYTHONPATH=copy.parent)


def corruptions(code: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "another version's": b"\0\0\0\0" + code[4:],
        "cut": code[:40],
        "no content": code[:16],
        "noise": code[:16] + bytes(range(255, 100, -1)),
        "not code": code[:16] + b"N",
    }


@pytest.mark.parametrize("kind", corruptions(b""))
def test_corrupt_byte_code(kind: str, copy: Path, probe: Probe) -> None:
    """Of all the modules; and of each alone that is loaded with ssl, where Python does not notice by itself."""
    first = probe.run(PYTHONPATH=copy.parent)
    compiled = {file: corruptions(file.read_bytes())[kind] for file in copy.rglob("*.pyc")}
    if not compiled:
        pytest.skip("this Python writes no byte code")
    assert first
    whole = {file: file.read_bytes() for file in compiled}
    for damaged in [list(compiled), *([file] for file in compiled if kind == "noise")]:
        for file in damaged:
            file.write_bytes(compiled[file])
        healed = probe.run(PYTHONPATH=copy.parent)
        assert healed == (kind in ("empty", "another version's")) or len(damaged) == 1
        for file, content in whole.items():
            file.write_bytes(content)


LIBRARIES = {
    "missing": "raise ModuleNotFoundError(__name__)",
    "broken": "raise RuntimeError('broken')",
    "not Python": "this is not Python",
    "ancient": "",
}


@pytest.mark.parametrize("fault", LIBRARIES)
def test_without_a_wrapt_that_works(fault: str, probe: Probe, tmp_path: Path) -> None:
    """What it should wrap stays as it is; a function in Python does not need it."""
    pytest.importorskip("OpenSSL")
    (tmp_path / "wrapt.py").write_text(LIBRARIES[fault])
    between = """
import OpenSSL
from truststore_inject import _record
assert _record.patches["OpenSSL"] == ("applied", ""), _record.patches
from truststore_inject.patches import wrapping
class Library:
    def function(self): return "stock"
    def generator(self): yield "stock"
stock = dict(vars(Library))
wrapping.wrap(Library, "function", lambda *arguments: "ours")
assert Library().function() == "ours"
try:
    wrapping.wrap(Library, "generator", lambda *arguments: "ours")
except Exception:
    wrapping.unwrap(Library)
assert dict(vars(Library)) == stock
"""
    assert probe.run(between=between, PYTHONPATH=tmp_path)


def test_a_library_that_can_be_patched_in_part_keeps_its_own_verification(probe: Probe, tmp_path: Path) -> None:
    pytest.importorskip("OpenSSL")
    (tmp_path / "OpenSSL.py").write_text("""
class SSL:
    class Context:
        def load_verify_locations(self): pass
class crypto:
    class X509Store:
        pass
stock = dict(vars(SSL.Context))
""")
    between = """
import OpenSSL
from truststore_inject import _record
assert _record.patches["OpenSSL"][0] == "failed", _record.patches
assert dict(vars(OpenSSL.SSL.Context)) == OpenSSL.stock
"""
    assert probe.run(between=between, PYTHONPATH=tmp_path)


@pytest.mark.parametrize("fault", ["missing", "broken", "not Python", "ancient"])
def test_without_a_truststore_that_works(fault: str, probe: Probe, tmp_path: Path) -> None:
    """Where the operating system should verify, stock verification stays."""
    (tmp_path / "truststore.py").write_text(LIBRARIES[fault])
    before = """
from truststore_inject import stores
from truststore_inject.stores import _native
stores._platform = _native
stores.interpositions, stores.keep_stock, stores.release = _native.interpositions, _native.keep_stock, _native.release
"""
    between = """
default, before = ssl.create_default_context(), ssl.SSLContext._wrap_socket
from truststore_inject import _record
assert any("stock verification stays" in note for note in _record.notes), _record.notes
assert type(default.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")._sslobj).__module__ == "_ssl"
"""
    assert probe.run(before, between, PYTHONPATH=tmp_path)


def test_a_python_without_ssl() -> None:
    """Built without OpenSSL: importing ssl fails as it does there, the rest of the standard library works."""
    code = """
import sys
sys.modules["_ssl"] = None
import http.client, json, asyncio, urllib.request
outcomes = [hasattr(http.client, "HTTPSConnection"), asyncio.run(asyncio.sleep(0, "ran"))]
for name in ("ssl", "ssl", "requests", "urllib3"):
    try:
        outcomes.append(__import__(name).__name__)
    except ImportError as error:
        outcomes.append(f"{name}: {error.name}")
import truststore_inject
truststore_inject.inject(); truststore_inject.extract(); truststore_inject.inject()
print(json.dumps(outcomes))
"""
    env = environment()
    found = run_code(code, env=env)
    assert found == run_code(code, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert found[:4] == [False, "ran", "ssl: _ssl", "ssl: _ssl"]


def test_the_commands_of_a_python_without_ssl() -> None:
    for command in ("status", "check", "export"):
        code = f"import sys; sys.modules['_ssl'] = None; from truststore_inject.cli import main; sys.exit(main(['{command}']))"
        result = run("-c", code, env=environment())
        assert (result.returncode, result.stdout) == (4, "")
        assert (
            result.stderr
            == "truststore-inject: this Python was built without the ssl module: there is nothing to verify\n"
        )
