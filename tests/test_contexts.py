"""The contexts that libraries keep are renewed, and given back."""

from __future__ import annotations

import functools
import ssl
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from harness import openssl_store

from truststore_inject import patches
from truststore_inject.patches import _aiohttp, _requests, _tornado, _urllib3, contexts
from truststore_inject.stores import _defaults

pytestmark = [openssl_store, pytest.mark.usefixtures("stand_ins")]


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
