"""A module that has a patch file is imported: loaded as ever, then patched."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from harness import environment, run, run_code, verdicts

from truststore_inject import _startup

PATCHES = sorted(_startup.PATCHES)
PATCHED = "print(json.dumps('load_verify_locations' in vars(ssl.SSLContext)))"


def patched(code: str, **variables: str) -> bool:
    """Whether ``ssl.SSLContext`` is patched after `code`, which imports it."""
    return bool(run_code(f"import json, sys\n{code}\n{PATCHED}", env=environment(**variables)))


def test_the_loader_is_put_back() -> None:
    code = """
import importlib.util, inspect, json, ssl
print(json.dumps([
    type(ssl.__loader__).__name__, type(ssl.__spec__.loader).__name__, inspect.getsource(ssl).startswith("# Wrapper"),
    ssl.__spec__.name, ssl.__file__ == ssl.__spec__.origin,
]))
"""
    assert run_code(code, env=environment()) == ["SourceFileLoader", "SourceFileLoader", True, "ssl", True]


def test_looking_a_spec_up_works_as_ever() -> None:
    code = """
import importlib.util, json, pkgutil
spec = importlib.util.find_spec("ssl")
print(json.dumps([
    spec.loader.get_filename("ssl") == spec.origin, spec.loader.get_code("ssl").co_name, spec.loader.is_package("ssl"),
    len(spec.loader.get_data(spec.origin)) > 10000, hasattr(spec.loader, "nonsense"),
]))
"""
    assert run_code(code, env=environment()) == [True, "<module>", False, True, False]


def test_running_it_as_a_module() -> None:
    result = run("-m", "ssl", env=environment())
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_lazy_loader() -> None:
    code = """
import importlib.util
spec = importlib.util.find_spec("ssl")
spec.loader = importlib.util.LazyLoader(spec.loader)
ssl = importlib.util.module_from_spec(spec)
sys.modules["ssl"] = ssl
spec.loader.exec_module(ssl)
"""
    assert patched(code)


def test_reload() -> None:
    code = """
import ssl, importlib
first = ssl.SSLContext
importlib.reload(ssl)
assert first is not ssl.SSLContext and "load_verify_locations" in vars(first)
"""
    assert patched(code)
    undo = "import truststore_inject; truststore_inject.extract()"
    check = (
        "assert not {'load_verify_locations', 'set_default_verify_paths'} & (vars(first).keys() | vars(ssl.SSLContext))"
    )
    assert not patched(f"{code}\n{undo}\n{check}")


def test_a_second_module_object() -> None:
    code = """
import ssl as first
del sys.modules["ssl"]
import ssl
assert first.SSLContext is not ssl.SSLContext and "load_verify_locations" in vars(first.SSLContext)
import truststore_inject
"""
    assert patched(code)
    undo = "truststore_inject.extract(); assert 'load_verify_locations' not in vars(first.SSLContext)"
    assert not patched(code + undo)


THREADS = """
import json, sys, threading
import truststore_inject
barrier = threading.Barrier(17)
seen = []
def load():
    barrier.wait()
    import ssl
    seen.append("load_verify_locations" in vars(ssl.SSLContext))
threads = [threading.Thread(target=load) for _ in range(16)]
"""


def test_many_threads_import_at_once() -> None:
    code = """
for thread in threads: thread.start()
barrier.wait()
for thread in threads: thread.join()
print(json.dumps(seen))
"""
    assert run_code(THREADS + code, env=environment()) == [True] * 16


def test_inject_waits_for_an_import_that_is_under_way() -> None:
    """A module that is half imported in another thread is patched when it is whole."""
    code = """
truststore_inject.extract()
for thread in threads: thread.start()
barrier.wait()
while "ssl" not in sys.modules: pass
truststore_inject.inject()
for thread in threads: thread.join()
import ssl
"""
    assert patched(THREADS + code)


def test_a_patch_that_fails_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    """A library that changed beyond recognition: the import goes on, and the reason is there to be read."""
    (tmp_path / "ssl.py").write_text("dumps = print\n")
    code = """
import json, ssl, truststore_inject._record
print(json.dumps([sorted(set(vars(ssl)) & {"SSLContext", "dumps"}), truststore_inject._record.patches["ssl"]]))
"""
    names, (state, reason) = run_code(code, env=environment(PYTHONPATH=tmp_path))
    assert names == ["dumps"]
    assert (state, reason.partition(":")[0]) == ("failed", "AttributeError")


def test_an_interrupt_in_the_middle_of_a_patch() -> None:
    """It reaches the program, and nothing stays half-patched."""
    code = """
import ssl, truststore_inject
from truststore_inject.patches import _ssl
truststore_inject.extract()
before = dict(vars(ssl.SSLContext))
replacements = _ssl._replacements
class Interrupted(dict):
    def items(self):
        yield from list(super().items())[:2]
        if not raised:
            raised.append(dict(vars(ssl.SSLContext)) != before)
            raise KeyboardInterrupt
raised, caught = [], []
_ssl._replacements = lambda *arguments: Interrupted(replacements(*arguments))
try:
    truststore_inject.inject()
except KeyboardInterrupt:
    caught.append(1)
assert raised == [True] and caught and dict(vars(ssl.SSLContext)) == before
_ssl._replacements = replacements
truststore_inject.extract()
truststore_inject.inject()
"""
    assert patched(code)


def test_a_subclass_in_the_place_of_the_class() -> None:
    """As gevent and truststore put it there; who imported the name before has the stock class."""
    code = """
import ssl, truststore_inject
truststore_inject.extract()
stock = ssl.SSLContext
class SSLContext(stock):
    pass
ssl.SSLContext = SSLContext
truststore_inject.inject()
assert "load_verify_locations" in vars(stock) and "load_verify_locations" not in vars(SSLContext)
ssl.SSLContext = stock
"""
    assert patched(code)
    assert not patched(code + "truststore_inject.extract()")


@pytest.mark.parametrize(
    "order", ["import ssl; extract()", "extract(); import ssl", "import ssl; extract(); extract()"]
)
def test_extract_is_exact(order: str) -> None:
    code = f"""
import json, os, sys
from truststore_inject import extract, inject
{order.replace("; ", chr(10))}
now = [sorted(vars(ssl.SSLContext)), ssl.SSLContext.load_default_certs.__code__.co_filename == ssl.__file__,
       len(sys.meta_path), type(ssl.SSLContext.load_verify_locations).__name__]
print(json.dumps(now))
"""
    stock = code.replace("extract()", "pass")
    assert run_code(code, env=environment()) == run_code(stock, env=environment(TRUSTSTORE_INJECT="0"))
    inject = "extract(); inject(); extract(); inject()"
    assert patched(f"from truststore_inject import extract, inject\nimport ssl\n{inject}")


def test_patch_and_unpatch_by_themselves() -> None:
    """A second patch changes nothing, and each module object is undone on its own."""
    code = """
import ssl as first
del sys.modules["ssl"]
import ssl
from truststore_inject.patches import _ssl
before = dict(vars(ssl.SSLContext))
_ssl.patch(ssl)
assert dict(vars(ssl.SSLContext)) == before
_ssl.unpatch(first)
assert "load_verify_locations" not in vars(first.SSLContext)
"""
    assert patched(code)
    assert not patched(code + "_ssl.unpatch(ssl); _ssl.unpatch(ssl)")


def test_inject_while_an_import_fails_in_another_thread(tmp_path: Path) -> None:
    """The error is for who imports; the other libraries are patched."""
    (tmp_path / "requests.py").write_text(
        "import builtins\nbuiltins.half.set()\nbuiltins.go.wait(30)\nraise ImportError\n"
    )
    code = """
import builtins, contextlib, ssl, threading, truststore_inject
truststore_inject.extract()
builtins.half, builtins.go = threading.Event(), threading.Event()
def load():
    with contextlib.suppress(ImportError):
        import requests
loader = threading.Thread(target=load)
loader.start()
half.wait(30)
threading.Timer(0.2, go.set).start()
truststore_inject.inject()
loader.join()
from truststore_inject import _record
assert "requests" not in _record.patches and "requests" not in sys.modules
"""
    assert patched(code, PYTHONPATH=str(tmp_path))


def test_a_library_that_was_imported_past_the_finder_is_named(tmp_path: Path) -> None:
    (tmp_path / "tornado.py").write_text("")
    code = """
import json, sys, truststore_inject
from importlib.machinery import PathFinder
sys.meta_path.insert(0, PathFinder)
import tornado
before = truststore_inject.status().patches["tornado"]
truststore_inject.inject()
print(json.dumps([before.state, "a finder in front" in before.reason, truststore_inject.status().patches["tornado"].state]))
"""
    assert run_code(code, env=environment(PYTHONPATH=tmp_path)) == ["failed", True, "applied"]


def test_where_ssl_is_not_patched_status_does_not_say_active() -> None:
    code = """
import json, sys, truststore_inject
sys.modules["truststore_inject.patches._ssl"] = None  # an application that was frozen without it
truststore_inject.inject()
import ssl
status = truststore_inject.status()
print(json.dumps([status.active, status.reason.partition(":")[0], status.patches["ssl"].state]))
"""
    assert run_code(code, env=environment()) == [False, "ssl is not patched", "failed"]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="imports are lazy since Python 3.15")
def test_lazy_imports(urls: dict[str, str], store: Path) -> None:
    """PEP 810: then a package may not have its parts yet when it is imported."""
    # httpcore does not survive it by itself: it gives what it imports another __module__.
    names = [name for name in PATCHES if name != "httpcore" and importlib.util.find_spec(name) is not None]
    code = f"""
import importlib, json, sys, truststore_inject
for name in {names}:
    importlib.import_module(name)
states = truststore_inject.status().patches
print(json.dumps([(name, states[name].reason) for name in {names} if states[name].state in ("failed", "waiting")]))
"""
    env = environment(SSL_CERT_DIR=store, PYTHON_LAZY_IMPORTS="all")
    assert run_code(code, env=env) == []
    for client in ("urllib_request", "requests_get", "pyopenssl", "urllib3_pyopenssl"):
        cases = {case: urls[case] for case in ("system", "unknown")}
        if client == "urllib_request" or importlib.util.find_spec("OpenSSL") is not None:
            assert verdicts(client, cases, env=env) == {"system": "accepted", "unknown": "refused"}
