"""The finder among the finders and loaders of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import environment, run_code
from test_hook import patched

# What a program gets from two servers, and what became of the patch of ssl.
ASK = """
import urllib.request
def ask(url):
    try:
        return urllib.request.urlopen(url, timeout=60).read().decode()
    except OSError as error:
        return type(getattr(error, "reason", error)).__name__
said = [ask(url) for url in sys.argv[1:]]
import truststore_inject
print(json.dumps([said, truststore_inject.status().patches["ssl"].state]))
"""


@pytest.mark.parametrize("position", ["insert(0, Other())", "insert(1, Other())"])
def test_another_finder_that_asks_all_finders(position: str) -> None:
    code = f"""
import importlib.util
class Other:
    busy = False
    def find_spec(self, name, path=None, target=None):
        if name != "ssl" or self.busy:
            return None
        self.busy = True
        try:
            return importlib.util.find_spec(name)
        finally:
            self.busy = False
sys.meta_path.{position}
import ssl
"""
    assert patched(code)


def test_another_finder_that_asks_us_without_a_guard() -> None:
    """Without a guard on our side the two would ask each other for ever."""
    code = """
class Other:
    def find_spec(self, name, path=None, target=None):
        for finder in sys.meta_path if name == "ssl" else ():
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                return spec
sys.meta_path.insert(1, Other())
import ssl
"""
    assert patched(code)


def test_the_guard_is_for_one_thread() -> None:
    """One thread looks the spec up and waits; what another thread imports meanwhile is patched."""
    code = """
import threading
asked, done = threading.Event(), threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "ssl" and threading.current_thread() is looker:
            asked.set()
            done.wait(30)
sys.meta_path.insert(1, Slow())
looker = threading.Thread(target=sys.meta_path[0].find_spec, args=("ssl",))
looker.start()
asked.wait(30)
import ssl
done.set()
looker.join()
"""
    assert patched(code)


def test_a_finder_of_the_old_kind_is_passed_over() -> None:
    code = """
import warnings
warnings.simplefilter("ignore")
class Old:
    def find_module(self, name, path=None):
        return None
sys.meta_path.insert(1, Old())
import ssl
"""
    assert patched(code)


def test_a_loader_that_is_a_class_is_not_changed() -> None:
    """An ``exec_module`` set on it would change it for every module that it loads."""
    code = """
import importlib.machinery, types
class Loader:
    @staticmethod
    def create_module(spec): return None
    @staticmethod
    def exec_module(module): exec(compile(open(real.origin, encoding="utf-8").read(), real.origin, "exec"), vars(module))
real = importlib.machinery.PathFinder.find_spec("ssl")
before = dict(vars(Loader))
class Other:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, Loader) if name == "ssl" else None
sys.meta_path.insert(1, Other)
import ssl
assert dict(vars(Loader)) == before and ssl.__loader__ is Loader and ssl.__spec__.loader is Loader
"""
    assert patched(code)


def test_a_loader_without_exec_module_is_recorded() -> None:
    code = """
import importlib.machinery, json, sys, types, truststore_inject
class Loader:
    pass
class Other:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, Loader()) if name == "ssl" else None
sys.meta_path.insert(1, Other)
import importlib.util
importlib.util.find_spec("ssl")
sys.meta_path.pop(1)
from truststore_inject import _record
print(json.dumps(_record.patches["ssl"]))
"""
    state, reason = run_code(code, env=environment())
    assert state == "skipped"
    assert "exec_module" in reason


def test_finders_rearranged_by_others() -> None:
    code = """
import truststore_inject
ours = sys.meta_path.pop(0)
truststore_inject.inject()
assert sys.meta_path[0] is ours
sys.meta_path.reverse()
truststore_inject.inject()
assert sys.meta_path.count(ours) == 1
import ssl
"""
    assert patched(code)


def test_a_loader_of_the_old_kind_is_left_alone() -> None:
    code = """
import importlib.util, json, sys, truststore_inject
class Old:
    def load_module(self, name): ...
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, old) if name == "ssl" else None
old = Old()
sys.meta_path.insert(1, Old)
spec = importlib.util.find_spec("ssl")
del sys.meta_path[1]
from truststore_inject import _record
print(json.dumps([spec.loader is old, *_record.patches["ssl"]]))
"""
    is_theirs, state, reason = run_code(code, env=environment())
    assert (is_theirs, state) == (True, "skipped")
    assert "no exec_module" in reason


def test_the_loader_can_be_copied() -> None:
    code = "import copy, importlib.util, json; l = importlib.util.find_spec('ssl').loader; c = copy.copy(l)"
    assert run_code(f"{code}; print(json.dumps(c.get_filename('ssl') == l.get_filename('ssl')))", env=environment())


@pytest.mark.parametrize("conf", ["", "conf=BeartypeConf(violation_type=UserWarning)"], ids=["raises", "warns"])
def test_beartype_for_every_module(conf: str, urls: dict[str, str], store: Path) -> None:
    pytest.importorskip("beartype")
    code = f"""
import json, sys, warnings
warnings.simplefilter("error")
from beartype import BeartypeConf
from beartype.claw import beartype_all
warnings.simplefilter("ignore")
beartype_all({conf})
{ASK}
"""
    assert run_code(code, urls["system"], urls["unknown"], env=environment(SSL_CERT_DIR=store)) == [
        ["ok", "SSLCertVerificationError"],
        "applied",
    ]


@pytest.mark.parametrize("early", ["", "import ssl"], ids=["", "after ssl"])
def test_typeguard_for_every_module(early: str, urls: dict[str, str], store: Path) -> None:
    """Its finder stands in front of ours."""
    pytest.importorskip("typeguard")
    code = f"""
import json, sys
{early}
import typeguard
typeguard.install_import_hook()
{ASK}
"""
    assert run_code(code, urls["system"], urls["unknown"], env=environment(SSL_CERT_DIR=store)) == [
        ["ok", "SSLCertVerificationError"],
        "applied",
    ]


def test_another_finder_that_fails_does_so_in_its_own_words() -> None:
    code = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "ssl":
            raise ImportError("no ssl here")
for position in (0, 1):
    sys.meta_path.insert(position, blocker := Blocker())
    try:
        import ssl
    except ImportError as error:
        said = str(error)
    sys.meta_path.remove(blocker)
    assert said == "no ssl here"
import truststore_inject
assert any("ssl is not patched: ImportError: no ssl here" in note for note in truststore_inject.status().notes)
import ssl
"""
    assert patched(code)
