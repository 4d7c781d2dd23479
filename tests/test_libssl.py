"""What stands in front of the memory of Python's contexts: each assumption is checked before an address is used.

Each test takes one of them away from under the guard, and looks at what happens to the bundle: stock parses it.
"""

from __future__ import annotations

import _ctypes
import _ssl
import ctypes
import importlib
import os
import shutil
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Authorities, environment, run_code, write_bundle
from places import PADDING, accepts, needs_sharing

pytestmark = needs_sharing

from truststore_inject import _record  # noqa: E402
from truststore_inject.stores import _bundle  # noqa: E402

NAME = "truststore_inject.stores._libssl"
NOTE = "each context parses its bundle anew, as in stock Python: "


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bundle, "_read", {})
    monkeypatch.setattr(_bundle, "_obstacle", None)
    monkeypatch.setattr(_record, "notes", {})


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """_libssl is to be loaded anew; what tests after this one find is the old one."""
    loaded = importlib.import_module(NAME)
    monkeypatch.delitem(sys.modules, NAME)
    monkeypatch.delattr("truststore_inject.stores._libssl")
    yield
    sys.modules[NAME] = loaded
    sys.modules["truststore_inject.stores"]._libssl = loaded  # type: ignore[attr-defined]


@pytest.fixture
def libssl() -> Any:
    return importlib.import_module(NAME)


@pytest.fixture
def bundle(tmp_path: Path, authorities: Authorities) -> Path:
    file = write_bundle(tmp_path / "bundle.pem", [authorities.system, authorities.private])
    file.write_bytes(PADDING + file.read_bytes())
    return file


def is_shared(bundle: Path, authorities: Authorities) -> bool:
    """Whether a context got it by reference; in each case it holds what stock gives it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    shared = _bundle.share(context, bundle)
    asked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asked.load_verify_locations(bundle)
    for held in [asked, *([context] if shared else [])]:
        assert len(held.get_ca_certs()) == 2
        assert accepts(held, authorities.system)
        assert not accepts(held, authorities.unknown)
    return shared


def test_it_is_shared_where_all_is_as_it_should_be(bundle: Path, authorities: Authorities) -> None:
    assert is_shared(bundle, authorities)
    assert not _record.notes


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("a later version", "not known well enough"),
        ("an older version", "not known well enough"),
        ("another implementation", "not known well enough"),
        ("linked into the interpreter", "not known well enough"),
        ("two versions of OpenSSL", "two versions"),
        ("a copy that is not loaded", "OSError"),
        ("no _ctypes", "ModuleNotFoundError"),
        ("a function is missing", "AttributeError"),
    ],
)
def test_what_is_not_known_is_not_touched(
    what: str,
    reason: str,
    bundle: Path,
    authorities: Authorities,
    unloaded: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if what == "a later version":
        monkeypatch.setattr(sys, "version_info", (3, 16, 0, "final", 0))
    elif what == "an older version":
        monkeypatch.setattr(sys, "version_info", (3, 9, 0, "final", 0))
    elif what == "another implementation":
        monkeypatch.setattr(
            sys, "implementation", SimpleNamespace(name="other", cache_tag=sys.implementation.cache_tag)
        )
    elif what == "linked into the interpreter":  # as in the Pythons that uv installs
        monkeypatch.delattr(_ssl, "__file__")
    elif what == "two versions of OpenSSL":
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_NUMBER", ssl.OPENSSL_VERSION_NUMBER + 1)
    elif what == "a copy that is not loaded":
        monkeypatch.setattr(_ssl, "__file__", shutil.copy(_ssl.__file__, tmp_path))
    elif what == "no _ctypes":
        monkeypatch.setitem(sys.modules, "_ctypes", None)
    else:
        dlopen = _ctypes.dlopen
        monkeypatch.setattr(_ctypes, "dlopen", lambda file, mode: dlopen(None, mode))
    for _ in range(2):
        assert not is_shared(bundle, authorities)
    (note,) = _record.notes
    assert note.startswith(NOTE)
    assert reason in note


# The offsets of a context that lacks something, so that all that follows lies elsewhere.
SHORTER = {"object": getattr(object, "__basicsize__", 0), "a pointer": ctypes.sizeof(ctypes.c_void_p), "a number": 4}


@pytest.mark.parametrize("what", SHORTER)
def test_another_layout(
    what: str, libssl: Any, bundle: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_CTX", "_CHECK_HOSTNAME", "_FOLLOWING")[what != "object" :]:
        monkeypatch.setattr(libssl, name, getattr(libssl, name) - SHORTER[what])
    assert not is_shared(bundle, authorities)
    assert "not laid out" in next(iter(_record.notes))


@pytest.mark.parametrize("changed", [{0: 0}, {1: 0}, {2: 7, 3: 7}, {2: 0, 3: 16}])
def test_each_number_that_is_compared(
    changed: dict[int, int], libssl: Any, bundle: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address, whether the host name is checked, the flags, the protocol."""
    memory = libssl._memory
    monkeypatch.setattr(
        libssl, "_memory", lambda context: [*({**dict(enumerate(memory(context))), **changed}).values()]
    )
    assert not is_shared(bundle, authorities)
    assert "not laid out" in next(iter(_record.notes))


def test_the_layout_without_host_flags(
    libssl: Any, bundle: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of newer versions of CPython, where the protocol follows at once."""
    memory = libssl._memory
    monkeypatch.setattr(libssl, "_memory", lambda context: (*memory(context)[:2], int(ssl.PROTOCOL_TLS_CLIENT), 0))
    assert is_shared(bundle, authorities)


def test_an_object_that_is_smaller_than_the_layout(
    libssl: Any, bundle: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libssl, "_END", 9999)
    assert not is_shared(bundle, authorities)
    assert "not CPython's" in next(iter(_record.notes))


def test_an_object_that_lies_about_its_class(bundle: Path, libssl: Any) -> None:
    """`isinstance` believes it, as it does unittest.mock's; its memory is that of an ordinary object."""

    class Liar:
        __class__ = ssl.SSLContext  # type: ignore[assignment]

    assert isinstance(Liar(), ssl.SSLContext)
    with pytest.raises(ValueError, match="not CPython's"):
        libssl.add(Liar(), [])
    assert not _bundle.share(Liar(), bundle)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ssl.SSLContext.load_verify_locations(Liar(), str(bundle))  # type: ignore[arg-type]
    assert _bundle.can_share()


def test_a_subclass_whose_properties_say_something_else(bundle: Path, authorities: Authorities) -> None:
    class Mine(ssl.SSLContext):
        @property
        def check_hostname(self) -> bool:  # type: ignore[override]
            return False

        @property
        def protocol(self) -> Any:  # type: ignore[override]
            raise RuntimeError("not here")

    context = Mine(ssl.PROTOCOL_TLS_CLIENT)
    assert _bundle.share(context, bundle)
    assert len(context.get_ca_certs()) == 2


def test_a_failure_leaves_no_error_for_the_next_call(libssl: Any) -> None:
    """The ssl module takes what lies in OpenSSL's queue for an error of its own next call."""
    peek = libssl._function("ERR_peek_error", ctypes.c_ulong)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def refuse(store: int, entry: object) -> int:
        libssl._lookup_init(None, None, None, None)  # leaves an error
        assert peek()
        return 0

    with pytest.raises(ValueError, match="did not take"):
        libssl.add(context, [(refuse, None)])
    assert peek() == 0


def test_looking_for_subjects_again_and_again_keeps_nothing(
    libssl: Any, bundle: Path, authorities: Authorities
) -> None:
    held = _bundle.read(bundle)
    for _ in range(3):
        found = libssl.find(held.context, held.objects())
        assert found == held.objects()
    assert len(held.context.get_ca_certs()) == 2


FORBIDDEN = """
import json, ssl, sys
if sys.argv[2] == "late":
    ssl.create_default_context()
def forbid(event, arguments):
    if event.startswith("ctypes."):
        raise RuntimeError("no " + event)
sys.addaudithook(forbid)
import truststore_inject
contexts = [ssl.create_default_context(), ssl.create_default_context(cafile=sys.argv[1])]
print(json.dumps([[context.cert_store_stats()["x509"] for context in contexts], truststore_inject.status().notes]))
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_an_audit_hook_that_forbids_ctypes(when: str, bundle: Path) -> None:
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent")
    counts, notes = run_code(FORBIDDEN, str(bundle), when, env=env)
    assert counts == [2, 2]
    assert when == "late" or any(NOTE + "RuntimeError: no ctypes." in note for note in notes), notes


NO_PLACE = """
import json, os, resource, ssl, sys
import truststore_inject.stores
here = os.getcwd()
os.rmdir(here)
context = ssl.create_default_context()
relative = ssl.create_default_context(cafile=sys.argv[1])
first = os.open("/dev/null", os.O_RDONLY)
os.close(first)
resource.setrlimit(resource.RLIMIT_NOFILE, (first, first))
without = ssl.create_default_context()
print(json.dumps([c.cert_store_stats()["x509"] for c in (context, relative, without)]))
"""


def test_without_a_working_directory_and_without_descriptors(bundle: Path, tmp_path: Path) -> None:
    """Nothing is raised that stock would not raise; and what was read before is there."""
    (tmp_path / "gone").mkdir()
    pytest.importorskip("resource")
    # Not measured: coverage needs descriptors.
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent", COVERAGE_PROCESS_CONFIG="")
    found = run_code(NO_PLACE, str(bundle), env=env, cwd=tmp_path / "gone")
    assert found[:2] == [2, 2]
    assert found[2] in (0, 2)  # stock has none then
    assert os.path.exists(bundle)
