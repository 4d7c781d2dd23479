"""What goes wrong around the package: the program runs, nothing is half-patched, and nothing is trusted that stock refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Authorities, environment, openssl_store, run, run_code, write_bundle, write_directory
from test_trust import HANDSHAKE

import truststore_inject

pytestmark = [openssl_store, pytest.mark.long]

PACKAGE = Path(truststore_inject.__file__).parent
MODULES = sorted(
    str(file.relative_to(PACKAGE))
    for file in PACKAGE.rglob("*.py")
    if "cli" not in file.parts and file.stem != "__main__"
)
# What is loaded for the first context, or for the first refusal.
LATE = [module for module in MODULES if module.startswith("stores/") or module in ("_advice.py", "_settings.py")]

REPLACED = """
def replaced():
    import ssl
    methods = ("load_default_certs", "set_default_verify_paths", "load_verify_locations")
    return [name for name in methods if hasattr(getattr(ssl.SSLContext, name), "__wrapped__")]
"""
# sys.argv: the servers, and the CA that a context is pinned to.
VERDICTS = f"""
{HANDSHAKE}
{REPLACED}
def accepted(context):
    return sorted(case for case, verdict in judge(context).items() if verdict == "accepted")
def verdicts():
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return [len(replaced()), *map(accepted, (ssl.create_default_context(), ssl.create_default_context(cafile=sys.argv[2]), bare))]
"""


class Probe:
    """Runs programs that judge servers with a default context, a pinned one and a bare one."""

    def __init__(self, urls: dict[str, str], private: Path, store: Path) -> None:
        cases = {case: urls[case] for case in ("system", "private", "unknown", "wrong_host")}
        self.arguments = (json.dumps(cases), str(private))
        self.store = store

    def run(self, before: str = "", between: str = "", **variables: str | Path) -> bool:
        """Whether ``ssl`` is patched; `before` runs before ``ssl`` is imported, `between` after that."""
        code = f"{before}\n{VERDICTS}\n{between}\nprint(json.dumps(verdicts()))"
        env = environment(**{"SSL_CERT_DIR": self.store, **variables})
        count, *trust = run_code(code, *self.arguments, env=env)
        assert trust == [["system"], ["private"], []]  # as stock: SSL_CERT_DIR is OpenSSL's own variable
        assert count in (0, 3), "half-patched"
        return bool(count)


@pytest.fixture(scope="module")
def probe(urls: dict[str, str], ca_file: Callable[[str], Path], store: Path) -> Probe:
    return Probe(urls, ca_file("private"), store)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may damage, in a folder for PYTHONPATH."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy" / PACKAGE.name


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


# --- the package itself ---


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


# --- what it is made of ---

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


# --- the store ---


@pytest.mark.parametrize("kind", ["SSL_CERT_DIR", "SSL_CERT_FILE"])
def test_the_store_changes_while_the_process_runs(
    kind: str, authorities: Authorities, probe: Probe, tmp_path: Path
) -> None:
    """New contexts see it, as with stock; an old one keeps what stock's keeps."""
    stores = {"system": ["system"], "private": ["private"], "both": ["system", "private"], "empty": []}
    for name, held in stores.items():
        anchors = [getattr(authorities, authority) for authority in held]
        if kind == "SSL_CERT_DIR":
            write_directory(tmp_path / name, anchors)
        else:
            write_bundle(tmp_path / name, anchors)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "not a directory").symlink_to(tmp_path / "system" / "x" / "y")
    steps = {
        "system": ["system"],
        "private": ["private"],
        "both": ["private", "system"],
        "empty": [],
        "loop": [],
        "not a directory": [],
        "gone": [],
    }
    code = f"""{VERDICTS}
import os
def replace(name):
    os.path.lexists("live") and os.unlink("live")
    if name != "gone":
        os.symlink(name, "live")
replace("system")
old = ssl.create_default_context()
outcomes = []
for name in [*json.loads(sys.argv[3]), "system"]:
    replace(name)
    outcomes.append([name, accepted(ssl.create_default_context()), accepted(old)])
print(json.dumps(outcomes))
"""
    env = environment(**{kind: tmp_path / "live"})
    found, stock = (
        run_code(code, *probe.arguments, json.dumps(steps), env={**env, **off}, cwd=tmp_path)
        for off in ({}, {"TRUSTSTORE_INJECT": "0"})
    )
    assert {name: new for name, new, _ in found} == steps
    assert found == stock


def test_privileges_are_given_up_while_it_runs(copy: Path, probe: Probe) -> None:
    """The store, and what is not loaded yet of the package, cannot be read any more."""
    if os.getuid() != 0:
        pytest.skip("only root can give up privileges")
    code = f"""{VERDICTS}
import os
private = open(sys.argv[2]).read()
"a".encode("idna")  # a codec that the client needs, and that cannot be read any more either
os.setuid(65534)
print(json.dumps([len(replaced()), accepted(ssl.create_default_context()), accepted(ssl.create_default_context(cadata=private))]))
"""
    closed = probe.store, copy.parent
    modes = [folder.stat().st_mode for folder in closed]
    for folder in closed:
        folder.chmod(0o700)
    try:
        env = environment(SSL_CERT_DIR=probe.store, PYTHONPATH=copy.parent)
        assert run_code(code, *probe.arguments, env=env) == [3, [], ["private"]]
    finally:
        for folder, mode in zip(closed, modes, strict=True):
            folder.chmod(mode)


# --- the machine ---


def test_a_full_disk(store: Path, tmp_path: Path) -> None:
    """Nothing of a file that could not be written stays, and who wanted it goes without."""
    code = """
import json, os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from truststore_inject import _record
from truststore_inject.stores import _export
print(json.dumps([_export.pem_file(), os.listdir(os.environ["TMPDIR"]), list(_record.notes)]))
"""
    path, left, notes = run_code(code, env=environment(SSL_CERT_DIR=store, TMPDIR=tmp_path))
    assert (path, left) == (None, [])
    assert any("not exported: OSError" in note for note in notes)


def test_the_command_export_on_a_full_disk(store: Path, tmp_path: Path) -> None:
    (tmp_path / "out.pem").write_text("old")
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from truststore_inject.cli import main
sys.exit(main(["export", "out.pem"]))
"""
    result = run("-c", code, env=environment(SSL_CERT_DIR=store), cwd=tmp_path)
    assert result.returncode == 4
    assert "out.pem: cannot be written, File too large" in result.stderr
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_messages_that_cannot_be_written(probe: Probe) -> None:
    code = f"import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n{VERDICTS}\nprint(json.dumps(verdicts()))"
    env = environment(SSL_CERT_DIR=probe.store, TRUSTSTORE_INJECT_DEBUG="1")
    result = run("-c", code, *probe.arguments, env=env)
    # Not the exit status: it is 120, as for each program whose standard error could not be written.
    assert result.stdout == '[3, ["system"], ["private"], []]\n'


FILES = """
import os, resource, sys
def exhaust():
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(free()), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
def free():
    first = os.open("/dev/null", os.O_RDONLY)
    os.close(first)
    return [first]
def recover():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""


@pytest.mark.parametrize(
    "meanwhile",
    [
        "ssl.create_default_context()",
        "ssl.create_default_context(); ssl.create_default_context()",
        "import truststore_inject.stores; ssl.create_default_context()",
    ],
)
def test_no_file_descriptors_are_left(meanwhile: str, probe: Probe) -> None:
    """Nothing that is done then raises; and when there are some again, everything is as ever."""
    between = f"""
{"import truststore_inject.stores" if meanwhile.startswith("import") else ""}
exhaust()
{meanwhile}
recover()
"""
    assert probe.run(FILES, between)


def test_ssl_is_imported_when_no_file_descriptors_are_left(probe: Probe) -> None:
    """That import fails, with and without us; the next one does not."""
    before = f"""{FILES}
import socket, threading
exhaust()
try:
    import ssl
except OSError:
    failed = True
recover()
assert failed
"""
    assert probe.run(before)
    assert not probe.run(before, TRUSTSTORE_INJECT="0")


# --- the import system ---

REARRANGED = {
    "reversed": "sys.meta_path.reverse()",
    "another list": "sys.meta_path = list(sys.meta_path)",
    "ours last": "sys.meta_path.append(sys.meta_path.pop(0))",
    "ours twice": "sys.meta_path.append(sys.meta_path[0])",
    "ours removed": "sys.meta_path.pop(0)",
    "ours alone for a while": "ours, *rest = sys.meta_path[:]; sys.meta_path[:] = [ours]\n"
    "try: import ssl\nexcept ImportError: sys.meta_path[:] = [ours, *rest]",
    "emptied for a while": "rest = sys.meta_path[:]; sys.meta_path.clear()\n"
    "try: import ssl\nexcept ImportError: sys.meta_path[:] = rest",
    "behind a proxy": "class Proxy:\n def __init__(self, finder): self.find_spec = finder.find_spec\n"
    "sys.meta_path[:] = [Proxy(finder) for finder in sys.meta_path]",
}


@pytest.mark.parametrize("how", REARRANGED)
def test_finders_are_rearranged(how: str, probe: Probe) -> None:
    before = "import sys\n" + REARRANGED[how]
    assert probe.run(before) == (how not in ("reversed", "ours last", "ours removed"))


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("error", ["ImportError", "RuntimeError", "KeyError", "OSError", "KeyboardInterrupt"])
def test_another_finder_raises(error: str, position: int, probe: Probe) -> None:
    """For ssl the program hears it, as ever.  For a part of this package it has no say."""
    before = f"""
import sys
class Other:
    def find_spec(self, name, path=None, target=None):
        if name == victim or name.startswith(victim + "."):
            raise {error}("from another finder")
sys.meta_path.insert({position}, Other())
victim = "ssl"
try:
    import ssl
except {error} as heard:
    assert "from another finder" in str(heard)
else:
    raise AssertionError("not heard")
victim = {"'truststore_inject'" if error != "KeyboardInterrupt" else "'nothing'"}
"""
    assert probe.run(before)


@pytest.mark.parametrize("moment", ["import", "inject", "context", "refusal", "extract"])
def test_an_interrupt_at_any_moment(moment: str, probe: Probe) -> None:
    """Ctrl-C comes, in turn, wherever Python looks for it: when a function begins, and when one in C has ended."""
    code = f"""{VERDICTS}
import contextlib, os, truststore_inject
from truststore_inject import _startup
package = os.path.dirname(_startup.__file__)
def interrupted(moment, action):
    "Whether there was a moment of that number."
    count = 0
    def profile(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename.startswith(package) and event in ("call", "c_return"):
            count += 1
            if count == moment:
                sys.setprofile(None)
                raise KeyboardInterrupt
    try:
        sys.setprofile(profile)
        action()
    except (KeyboardInterrupt, ssl.SSLError):
        pass
    finally:
        sys.setprofile(None)
    return count == moment
def state():
    return replaced() + [cls.__name__ for cls in (ssl.SSLSocket, ssl.SSLObject) if hasattr(cls.do_handshake, "__wrapped__")]
def fresh():
    "As after the start of the interpreter."
    _startup.extract()
    for name in [name for name in sys.modules if name == "ssl" or name.startswith("truststore_inject.")]:
        if name != _startup.__name__:
            del sys.modules[name]
            vars(truststore_inject).pop(name.rpartition(".")[2], None)
    _startup.finder.targets = frozenset()
def armed():
    global ssl
    fresh()
    _startup.inject()
    import ssl
def unarmed():
    global ssl
    fresh()
    import ssl
def load():
    global ssl
    import ssl
def unloaded():
    fresh()
    _startup.inject()
def refused():
    context = ssl.create_default_context()
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    handshake(context, json.loads(sys.argv[1])["unknown"])
sys.unraisablehook = lambda unraisable: None  # one that struck while a generator was closed
prepare, action = {{
    "import": (unloaded, load), "inject": (unarmed, _startup.inject), "extract": (armed, _startup.extract),
    "context": (armed, lambda: ssl.create_default_context()), "refusal": (armed, refused),
}}[{moment!r}]
whole = state()
assert len(whole) == (5 if sys.version_info >= (3, 11) else 3)
_startup.extract()
stock = {{name: value for name, value in vars(ssl.SSLContext).items()}}
number = 0
while True:
    number += 1
    prepare()
    if not interrupted(number, action):
        break
    load()
    assert state() in ([], whole), (number, state())
    _startup.extract()
    assert state() == [] and vars(ssl.SSLContext).keys() == stock.keys(), (number, state())
    _startup.inject()
    assert state() == whole, (number, state())
    default = ssl.create_default_context()
    from truststore_inject import stores
    assert stores.loaded(default), number
    if number % 10 == 1:
        assert verdicts() == [3, ["system"], ["private"], []], number
print(json.dumps(number))
"""
    env = environment(SSL_CERT_DIR=probe.store)
    assert run_code(code, *probe.arguments, env=env) > 10


# --- the interpreter ---

LAST_WORDS = f"""{HANDSHAKE}
import atexit, os
def say(who):
    try:
        context = ssl.create_default_context()
        os.write(1, f"{{who}}: {{judge(context)}}\\n".encode())
    except BaseException as error:
        os.write(1, f"{{who}}: {{type(error).__name__}}\\n".encode())
class Finalized:
    def __init__(self, who): self.who = who
    def __del__(self, say=say): say(self.who)
module = Finalized("module")
cycle = Finalized("cycle"); cycle.self = cycle
sys.finalized = Finalized("sys")
ssl.SSLContext.finalized = Finalized("class")
atexit.register(say, "atexit")
threading.Thread(target=lambda: (threading.main_thread().join(), say("thread"))).start()
"""


def test_connections_while_the_interpreter_ends(probe: Probe) -> None:
    """For the first time in this process, or not: what is said is what stock says."""
    for before in ("", "ssl.create_default_context()"):
        code = f"{LAST_WORDS}\n{before}"
        env = environment(SSL_CERT_DIR=probe.store)
        ours = run("-c", code, *probe.arguments, env=env)
        stock = run("-c", code, *probe.arguments, env={**env, "TRUSTSTORE_INJECT": "0"})
        assert (ours.returncode, ours.stdout, ours.stderr) == (0, stock.stdout, stock.stderr)
        assert "atexit: {'system': 'accepted', 'private': 'refused'" in stock.stdout


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
