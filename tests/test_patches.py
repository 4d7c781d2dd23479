"""The patch files, given stand-ins for the versions of the libraries that no environment of the tests has."""

from __future__ import annotations

import contextlib
import functools
import inspect
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from harness import Authorities, openssl_store

from truststore_inject import _record, patches
from truststore_inject.patches import (
    _aiohttp,
    _curl_cffi,
    _grpc,
    _httpcore,
    _OpenSSL,
    _psycopg,
    _pycurl,
    _requests,
    _tornado,
    _urllib3,
    contexts,
    wrapping,
)
from truststore_inject.stores import _defaults, _export

with contextlib.suppress(ImportError):
    import OpenSSL.crypto  # noqa: F401 - what this package wraps in it is there before a test counts

pytestmark = openssl_store


@pytest.fixture(autouse=True)
def system(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A system store that is a directory, and nothing exported of it yet."""
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/bundle.pem")
    monkeypatch.setattr(_export, "_paths", {})
    before = [*wrapping._wrapped], [*contexts._renewed]
    yield
    assert ([*wrapping._wrapped], [*contexts._renewed]) == before, "a test left a patch"


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


def test_urllib3_that_has_the_method() -> None:
    class Own:
        def load_default_certs(self) -> None:
            pass

    class Lacks:
        def set_default_verify_paths(self) -> str:
            return "set"

    own, lacks = (SimpleNamespace(PyOpenSSLContext=cls) for cls in (Own, Lacks))
    for module in (own, lacks):
        _urllib3._give_load_default_certs(module)  # type: ignore[arg-type]
    stock, given = vars(Own)["load_default_certs"], vars(Lacks)["load_default_certs"]
    assert given is _urllib3._load_default_certs is not stock
    for module in (own, lacks):
        _urllib3._take_load_default_certs(module)  # type: ignore[arg-type]
    assert vars(Own)["load_default_certs"] is stock
    assert "load_default_certs" not in vars(Lacks)


def test_aiohttp_of_each_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "late", {"aiohttp"})
    make = ssl.create_default_context
    stock = make()

    class Before:
        _made_ssl_context = {True: stock, False: stock}  # noqa: RUF012 - so it is in aiohttp 3.10.3 to 3.10.5

        @staticmethod
        def _make_ssl_context(verified: bool) -> ssl.SSLContext:
            return make()

    class Cached:
        _make_ssl_context = staticmethod(functools.lru_cache(lambda verified: make()))

    def connector(cls: type, **names: Any) -> Any:
        return SimpleNamespace(connector=SimpleNamespace(TCPConnector=cls, **names))

    old = connector(Before)
    assert _aiohttp.patch(old) is None
    assert set(Before._made_ssl_context) == {False}
    _aiohttp.unpatch(old)
    cached = connector(Cached)
    assert _aiohttp.patch(cached) is None  # nothing is kept yet
    first = Cached._make_ssl_context(True)
    assert _aiohttp.patch(cached) is None
    assert Cached._make_ssl_context(True) is not first
    _aiohttp.unpatch(cached)
    assert Cached._make_ssl_context.cache_info().currsize == 0
    kept = connector(Before, _SSL_CONTEXT_VERIFIED=stock)
    kept.connector._make_ssl_context = Before._make_ssl_context
    assert _aiohttp.patch(kept) is None
    renewed = kept.connector._SSL_CONTEXT_VERIFIED
    assert renewed is not stock
    assert _aiohttp.patch(kept) is None  # a second time
    assert kept.connector._SSL_CONTEXT_VERIFIED is renewed
    _aiohttp.unpatch(kept)
    assert kept.connector._SSL_CONTEXT_VERIFIED is stock


def test_a_context_that_is_not_the_librarys_any_more(authorities: Any) -> None:
    module: Any = ModuleType("library")
    module.context = ssl.create_default_context()
    module.context.check_hostname = False
    old = module.context
    reason = contexts.renew([module], "context", ssl.create_default_context, [])
    assert "not the library's own any more (check_hostname)" in str(reason)
    assert module.context is old
    for setting, value in (("minimum_version", ssl.TLSVersion.TLSv1_3), ("maximum_version", ssl.TLSVersion.TLSv1_2)):
        module.context = ssl.create_default_context()
        setattr(module.context, setting, value)
        assert setting in str(contexts.renew([module], "context", ssl.create_default_context, []))
    module.context = old = ssl.create_default_context()
    old.load_verify_locations(cadata=authorities.private.cert_pem.bytes().decode())
    known = contexts.stock_anchors()
    assert contexts.renew([module], "context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), known) is None
    assert module.context.get_ca_certs(True) == [
        ssl.PEM_cert_to_DER_cert(authorities.private.cert_pem.bytes().decode())
    ]
    module.context = "of somebody else"
    contexts.put_back(module)
    assert module.context == "of somebody else"


def test_tornado_of_each_age(monkeypatch: pytest.MonkeyPatch) -> None:
    def tornado(value: Any) -> Any:
        module = ModuleType("tornado.netutil")
        setattr(module, _tornado._NAME, value)
        for name in _tornado._MODULES:
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, _tornado._MODULES[0], module)
        return module

    library = ModuleType("tornado")
    monkeypatch.setattr(patches, "late", {"tornado"})
    old = ssl.create_default_context()
    old.options |= ssl.OP_NO_COMPRESSION
    module = tornado(old)
    assert _tornado.patch(library) is None
    assert getattr(module, _tornado._NAME) is not old
    _tornado.unpatch(library)
    assert getattr(module, _tornado._NAME) is old
    make = functools.lru_cache(ssl.create_default_context)
    tornado(make)
    first = make()
    assert _tornado.patch(library) is None
    assert make() is not first
    _tornado.unpatch(library)
    assert make.cache_info().currsize == 0


def test_requests_without_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "late", set())
    missing = str(tmp_path / "missing.pem")
    module: Any = ModuleType("requests")
    module.adapters = SimpleNamespace(DEFAULT_CA_BUNDLE_PATH=missing)
    assert _requests.patch(module) is None
    assert missing == module.adapters.DEFAULT_CA_BUNDLE_PATH  # not a library's own: stock complains
    monkeypatch.setattr(_defaults, "library", lambda path: "certifi")
    assert _requests.patch(module) is None
    assert module.adapters.DEFAULT_CA_BUNDLE_PATH == _defaults.PLACEHOLDER
    _requests.unpatch(module)
    assert missing == module.adapters.DEFAULT_CA_BUNDLE_PATH


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
