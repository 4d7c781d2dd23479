"""The patch files, given stand-ins for the versions of the libraries that no environment of the tests has."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from harness import Authorities, openssl_store

from truststore_inject import _record
from truststore_inject.patches import _curl_cffi, _grpc, _httpcore, _OpenSSL, _psycopg, _pycurl, wrapping

with contextlib.suppress(ImportError):
    import OpenSSL.crypto  # noqa: F401 - what this package wraps in it is there before a test counts

pytestmark = [openssl_store, pytest.mark.usefixtures("stand_ins")]


def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")


class Loader:
    def get_data(self, path: str) -> bytes:
        return b"stock"


def test_grpc_reads_the_store_and_then_its_own_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, loader = ModuleType("grpc"), Loader()
    monkeypatch.setitem(sys.modules, "grpc._cython", SimpleNamespace(__loader__=loader))
    roots = str(tmp_path / "grpc" / "_cython" / "_credentials" / "roots.pem")
    assert _grpc.patch(module) is None
    assert b"BEGIN CERTIFICATE" in loader.get_data(roots)
    assert loader.get_data(str(tmp_path / "other")) == loader.get_data(str(tmp_path / "other.pem")) == b"stock"
    assert _grpc.patch(module) is None  # a second time
    no_store(monkeypatch)
    assert loader.get_data(roots) == b"stock"
    _grpc.unpatch(module)
    _grpc.unpatch(module)
    assert vars(loader) == {}
    monkeypatch.setitem(sys.modules, "grpc._cython", SimpleNamespace(__loader__=object()))
    assert "has no get_data" in str(_grpc.patch(module))


def fake_pycurl(library: str | None, curl: type, **names: int) -> tuple[Any, str | None]:
    module = ModuleType("pycurl")
    vars(module).update(Curl=curl, error=ValueError, version_info=lambda: ("", "", 0, "", 0, library), **names)
    return module, _pycurl.patch(module)


def test_pycurl_of_other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Curl:
        takes_bytes = True
        options: dict[int, object]

        def __new__(cls) -> Any:
            handle = super().__new__(cls)
            handle.options = {}
            return handle

        def setopt(self, option: int, value: object) -> None:
            if isinstance(value, bytes) and not self.takes_bytes:
                raise ValueError("not built in")
            self.options[option] = value

    assert "which has the system's store" in str(fake_pycurl("Schannel", Curl, CAINFO=1)[1])
    assert fake_pycurl("OpenSSL/1.0", Curl, OTHER=1)[1] == "its libcurl has no CAINFO"
    assert "uses , which" in str(fake_pycurl(None, Curl)[1])

    monkeypatch.setattr(_pycurl, "system_bytes", lambda: b"the store")
    monkeypatch.setattr(_pycurl, "system_file", lambda: "/the/store")
    module, reason = fake_pycurl("OpenSSL/3.0", Curl, CAINFO=1, CAINFO_BLOB=2)
    assert reason is None
    assert _pycurl.patch(module) is None  # a second time
    assert module.Curl().options == {2: b"the store"}
    monkeypatch.setattr(Curl, "takes_bytes", False)
    assert module.Curl().options == {1: "/the/store"}
    older, _ = fake_pycurl("GnuTLS/3.8", Curl, CAINFO=1)
    assert older.Curl().options == {1: "/the/store"}
    for nothing in ("system_bytes", "system_file"):
        monkeypatch.setattr(_pycurl, nothing, lambda: None)
    assert module.Curl().options == {}

    ours = module.Curl
    _pycurl.unpatch(older)
    _pycurl.unpatch(module)
    _pycurl.unpatch(module)
    assert module.Curl is Curl
    monkeypatch.setattr(_pycurl, "system_file", lambda: "/the/store")
    assert ours().options == {}  # a class that a program derived before


def test_curl_cffi_with_a_bundle_that_is_not_its_own(tmp_path: Path) -> None:
    class Curl:
        def __init__(self, cacert: Any) -> None:
            self._cacert = cacert

        def _ensure_cacert(self) -> None:
            pass

    def cacert(given: Any) -> Any:
        handle = Curl(given)
        handle._ensure_cacert()
        return handle._cacert

    old = SimpleNamespace(curl=SimpleNamespace(Curl=type("Curl", (), {})))
    assert _curl_cffi.patch(old) == "this version has no Curl._ensure_cacert"  # type: ignore[arg-type]
    module: Any = SimpleNamespace(curl=SimpleNamespace(Curl=Curl))
    assert _curl_cffi.patch(module) is None
    try:
        import certifi

        own = str(tmp_path / "own.pem")
        assert cacert(own) == own
        assert cacert(3.5) == 3.5  # what is no path is stock's to judge
        assert cacert(certifi.where()) not in (certifi.where(), None)
    finally:
        _curl_cffi.unpatch(module)


def test_psycopg_of_other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    def psycopg(kind: str) -> Any:
        conninfo = SimpleNamespace(
            conninfo_to_dict=lambda text: dict(pair.split("=") for pair in text.split()),
            make_conninfo=lambda text, **more: f"{text} {more['sslmode']} {more['sslrootcert']}",
        )
        generators = SimpleNamespace(connect=lambda *args, **kwargs: (args, kwargs))
        return SimpleNamespace(pq=SimpleNamespace(__impl__=kind), conninfo=conninfo, generators=generators)

    for name in ("PGSSLROOTCERT", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)
    assert _psycopg.patch(psycopg("python")) == "its libpq is not the binary wheel's"
    module = psycopg("binary")
    stock = module.generators.connect
    assert _psycopg.patch(module) is None
    connect = module.generators.connect
    assert connect(timeout=3) == ((), {"timeout": 3})
    for conninfo in ("host=a", "sslrootcert=system sslmode=require"):
        assert connect(conninfo, 3) == ((conninfo, 3), {})
    assert connect("sslrootcert=system")[0][0].startswith("sslrootcert=system verify-full /")
    no_store(monkeypatch)
    assert connect("sslrootcert=system") == (("sslrootcert=system",), {})
    _psycopg.unpatch(module)
    assert module.generators.connect is stock


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before Python 3.11")
def test_httpcore_hands_the_notes_on() -> None:
    class ConnectError(Exception):
        pass

    class Own(Exception):
        def __init__(self) -> None:
            pass

    module: Any = SimpleNamespace(ConnectError=ConnectError)
    assert _httpcore.patch(module) is _httpcore.patch(module) is None
    cause = OSError("refused")
    cause.add_note("do this")  # type: ignore[attr-defined, unused-ignore]
    assert ConnectError(cause).__notes__ == ["do this"]  # type: ignore[attr-defined, unused-ignore]
    assert not hasattr(ConnectError(), "__notes__")
    _httpcore.unpatch(module)
    _httpcore.unpatch(module)
    assert "__init__" not in vars(ConnectError)
    assert "of its own" in str(_httpcore.patch(SimpleNamespace(ConnectError=Own)))  # type: ignore[arg-type]


def test_pyopenssl_without_load_locations_and_without_a_store(
    monkeypatch: pytest.MonkeyPatch, authorities: Authorities
) -> None:
    class Context:
        def __init__(self) -> None:
            self.calls: list[Any] = []

        def get_cert_store(self) -> Any:
            return SimpleNamespace(add_cert=self.calls.append)

        def load_verify_locations(self, *args: Any) -> None:
            self.calls.append(args)

        def set_default_verify_paths(self) -> None:
            self.calls.append("default")

    certifi, crypto = pytest.importorskip("certifi"), pytest.importorskip("OpenSSL").crypto
    monkeypatch.setattr(_OpenSSL, "system_bytes", lambda bundle: authorities.system.cert_pem.bytes())
    module: Any = SimpleNamespace(
        SSL=SimpleNamespace(Context=Context), crypto=SimpleNamespace(X509Store=type("Store", (), {}))
    )
    _OpenSSL.patch(module)
    try:
        context = Context()
        context.load_verify_locations(certifi.where(), "/folder")
        context.set_default_verify_paths()
        (first, second, third) = context.calls
        assert first == (None, "/folder")
        assert second is third  # parsed once
        assert crypto.dump_certificate(crypto.FILETYPE_PEM, second) == authorities.system.cert_pem.bytes()
        monkeypatch.setattr(_OpenSSL, "system_bytes", lambda bundle: None)
        context = Context()
        context.load_verify_locations(certifi.where())
        context.set_default_verify_paths()
        assert context.calls == [(certifi.where(),), "default"]
    finally:
        _OpenSSL.unpatch(module)
    assert Context.load_verify_locations.__name__ == "load_verify_locations"
    assert not [entry for entry in wrapping._wrapped if entry[0] is Context]


def test_what_is_more_than_a_function_stays_what_it_is() -> None:
    class Library:
        async def coroutine(self) -> str:
            return "stock"

        def generator(self) -> Iterator[str]:
            yield "stock"

        @staticmethod
        def static(argument: str) -> str:
            return f"stock {argument}"

        @classmethod
        def of_class(cls) -> str:
            return f"stock {cls.__name__}"

    stock = dict(vars(Library))
    try:
        for name in ("coroutine", "generator", "static", "of_class"):
            wrapping.wrap(Library, name, lambda wrapped, instance, args, kwargs: wrapped(*args, **kwargs))
        assert inspect.iscoroutinefunction(Library.coroutine)
        assert inspect.isgeneratorfunction(Library.generator)
        assert (Library.static("x"), Library().static("x")) == ("stock x", "stock x")
        assert (Library.of_class(), Library().of_class()) == ("stock Library", "stock Library")
        assert [*Library().generator()] == ["stock"]
    finally:
        wrapping.unwrap(Library)
    assert dict(vars(Library)) == stock


def test_wrapping_is_undone_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Base:
        def method(self) -> str:
            return "stock"

    class Holder(Base):
        pass

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> str:
        return f"wrapped {wrapped()}"

    wrapping.wrap(Holder, "method", wrapper)
    wrapping.wrap(Holder, "method", wrapper)  # changes nothing
    assert Holder().method() == "wrapped stock"
    wrapping.unwrap(Holder)
    assert "method" not in vars(Holder)  # it was inherited
    wrapping.wrap(Holder, "method", wrapper)
    Holder.method = theirs = lambda self: "theirs"  # type: ignore[method-assign, assignment, misc]
    wrapping.unwrap(Holder)
    assert vars(Holder)["method"] is theirs
    with pytest.raises(AttributeError):
        wrapping.wrap(Base, "no_such_method", wrapper)
    assert "no_such_method" not in vars(Base)


def test_a_library_that_lacks_what_is_patched_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says why; nothing is replaced."""
    from truststore_inject.patches import _couchbase, _grpc, _httpr, _netCDF4

    older = ModuleType("netCDF4")
    assert "no table" in str(_netCDF4.patch(older))
    settings = ModuleType("couchbase.logic.cluster_settings")
    assert _couchbase._patch(settings) == "this version has no ClusterSettings"
    client = ModuleType("httpr")
    client.Client = type("Client", (), {"__init__": lambda self, proxy=None: None})  # type: ignore[attr-defined]
    assert _httpr.patch(client) == "this version documents no ca_cert_file"
    cython = ModuleType("grpc._cython")
    cython.__loader__ = None
    monkeypatch.setitem(sys.modules, "grpc._cython", cython)
    assert "has no get_data" in str(_grpc.patch(ModuleType("grpc")))


def test_what_somebody_chose_in_gdal_stays() -> None:
    from truststore_inject.patches import gdal

    module, options = ModuleType("pyogrio"), {gdal._OPTION: "ours"}
    gdal._replaced[module] = "certifi's", "ours"
    options[gdal._OPTION] = "corp.pem"
    gdal.put_back(module, options.get, lambda name, value: options.update({name: value}))
    assert options == {gdal._OPTION: "corp.pem"}
    gdal._replaced[module] = "certifi's", "corp.pem"
    gdal.put_back(module, options.get, lambda name, value: options.update({name: value}))
    assert options == {gdal._OPTION: "certifi's"}


def test_a_service_ends_where_the_next_begins() -> None:
    from truststore_inject.patches import libpq

    lines = ["# comment", "[one]", "host=a", "", "[two]", "host=b"]
    assert [libpq._section(name, lines) for name in ("one", "two", "three")] == [{"host": "a"}, {"host": "b"}, None]


def test_a_loader_of_a_module_without_a_spec() -> None:
    """It was made by hand: there is no loader of ours to take away again."""
    from truststore_inject import _hook, _startup

    module, ran = ModuleType("made_by_hand"), []
    module.__spec__ = None
    loader = SimpleNamespace(exec_module=ran.append)
    _hook.PatchLoader(loader, _startup.finder).exec_module(module)
    assert ran == [module]
    assert _record.patches.pop("made_by_hand")[0] == "failed"
