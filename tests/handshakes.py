"""The client of test_differential.py, in a process of its own: ``handshakes.py WORK.json`` prints a verdict for each.

It runs injected and, with ``TRUSTSTORE_INJECT=0``, stock: there it trusts the same anchors, given explicitly.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

INJECTED = os.environ.get("TRUSTSTORE_INJECT") != "0"


class Subclass(ssl.SSLContext):
    pass


def bare(*calls: Callable[[ssl.SSLContext], object], cls: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    context = cls(ssl.PROTOCOL_TLS_CLIENT)
    for call in calls:
        call(context)
    return context


def default(files: Any, *flags: tuple[str, object]) -> ssl.SSLContext:
    """Default trust, and then these attributes."""
    context = ssl.create_default_context() if INJECTED else ssl.create_default_context(cafile=files.default)
    for name, value in flags:
        setattr(context, name, value)
    return context


def with_flag(context: ssl.SSLContext, flag: int, on: bool = True) -> ssl.SSLContext:
    context.verify_flags = context.verify_flags | flag if on else context.verify_flags & ~flag
    return context


def load(cafile: Any = None, capath: Any = None, cadata: Any = None) -> Callable[[ssl.SSLContext], None]:
    return lambda context: context.load_verify_locations(cafile, capath, cadata)


def defaults(files: Any) -> Callable[[ssl.SSLContext], None]:
    return ssl.SSLContext.load_default_certs if INJECTED else load(files.default)


def contents() -> str:
    import certifi

    return certifi.contents()


def either(injected: Callable[[Any], Any], stock: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return injected if INJECTED else stock


# How a client asks, and what stock is told instead; the same where trust is explicit.
ASKS: dict[str, Callable[[Any], ssl.SSLContext]] = {
    "create_default_context": default,
    "load_default_certs": lambda f: bare(defaults(f)),
    "load_default_certs, a subclass": lambda f: bare(defaults(f), cls=Subclass),
    "set_default_verify_paths": either(
        lambda f: bare(ssl.SSLContext.set_default_verify_paths), lambda f: bare(load(f.default))
    ),
    "urllib's": either(
        lambda f: ssl._create_default_https_context(), lambda f: ssl.create_default_context(cafile=f.default)
    ),
    "strict": lambda f: bare(lambda c: with_flag(c, ssl.VERIFY_X509_STRICT), defaults(f)),
    "not strict": lambda f: with_flag(default(f), ssl.VERIFY_X509_STRICT, False),
    "partial chains": lambda f: with_flag(default(f), ssl.VERIFY_X509_PARTIAL_CHAIN),
    "whole chains": lambda f: with_flag(default(f), ssl.VERIFY_X509_PARTIAL_CHAIN, False),
    "TLS 1.2": lambda f: default(f, ("maximum_version", ssl.TLSVersion.TLSv1_2)),
    "no host name check": lambda f: default(f, ("check_hostname", False)),
    "no verification": lambda f: default(f, ("check_hostname", False), ("verify_mode", ssl.CERT_NONE)),
    "certifi's file": lambda f: ssl.create_default_context(cafile=f.certifi_file if INJECTED else f.certifi),
    "certifi's file, bare": lambda f: bare(load(f.certifi_file if INJECTED else f.certifi)),
    "certifi's contents": either(
        lambda f: ssl.create_default_context(cadata=contents()), lambda f: ssl.create_default_context(cafile=f.certifi)
    ),
    "certifi's file with a CA added": lambda f: bare(load(f.added_file if INJECTED else f.added)),
    "cafile": lambda f: ssl.create_default_context(cafile=f.private_file),
    "cafile, bare": lambda f: bare(load(f.private_file)),
    "capath": lambda f: ssl.create_default_context(capath=f.private_directory),
    "cadata, PEM": lambda f: bare(load(cadata=Path(f.private_file).read_text())),
    "cadata, DER": lambda f: bare(load(cadata=Path(f.private_der).read_bytes())),
    "default and cafile": lambda f: bare(defaults(f), load(f.private_file)),
    "cafile and default": lambda f: bare(load(f.private_file), defaults(f)),
    "default and capath": lambda f: bare(defaults(f), load(capath=f.private_directory)),
    "default and cadata": lambda f: bare(defaults(f), load(cadata=Path(f.private_der).read_bytes())),
    "certifi's file and cafile": lambda f: bare(load(f.certifi_file if INJECTED else f.certifi), load(f.private_file)),
    "certifi's file and capath, one call": lambda f: bare(
        load(f.certifi_file if INJECTED else f.certifi, f.private_directory)
    ),
    "cafile that does not exist": lambda f: ssl.create_default_context(cafile="/nonexistent/ca.pem"),
    "bare": lambda f: bare(),
    "for another purpose": lambda f: bare(lambda c: c.load_default_certs(ssl.Purpose.CLIENT_AUTH)),
}


def verdict(error: BaseException) -> str:
    """What was refused and why: the code of OpenSSL's verification, wherever a library has put it, else its own words."""
    inner: BaseException | None = error
    seen: list[BaseException] = []
    while inner is not None and inner not in seen:
        seen.append(inner)
        if hasattr(inner, "verify_code"):
            return f"refused {inner.verify_code}"
        inside = [one for one in (*inner.args, getattr(inner, "reason", None)) if isinstance(one, BaseException)]
        inner = inner.__cause__ or inner.__context__ or next(iter(inside), None)
    return f"refused {type(error).__name__} {getattr(error, 'reason', '')}"


def handshake(context: ssl.SSLContext, server: ssl.SSLContext, host: str | None) -> str:
    """A TLS handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = context.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(8):
        try:
            here.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return "accepted"
        try:
            there.do_handshake()
        except ssl.SSLWantReadError:
            pass
    raise AssertionError("the handshake does not end")


def enter(store: Any) -> None:
    """Let `store` be that of this process."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", "TRUSTSTORE_INJECT_EXTRA_CA_CERTS"):
        os.environ.pop(variable, None)
    os.environ.update(store["variables"])
    if INJECTED:
        from truststore_inject.stores import _openssl, _places

        directory, bundle = store["places"] or ("/nonexistent/certs", "/nonexistent/bundle")
        _places.BUNDLES, _places.DIRECTORIES = (bundle,), (directory,)
        _places.built_in = lambda: ("SSL_CERT_FILE", "/nonexistent/cert.pem", "SSL_CERT_DIR", directory)
        _openssl._found = None
        if store["places"]:  # this OpenSSL looks there by itself, and Python knows of no variable
            os.putenv("SSL_CERT_FILE", "/nonexistent/cert.pem")
            os.putenv("SSL_CERT_DIR", directory)


@cache
def server_context(file: str) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_ciphers("ALL:@SECLEVEL=0")  # the client decides
    server.load_cert_chain(file)
    return server


def judge_all(work: Any) -> list[str]:
    verdicts = []
    current, contexts = None, {}
    for store, ask, chain, host in work["situations"]:
        if store != current:
            current, contexts = store, {}
            enter(work["stores"][store])
        try:
            if ask not in contexts:
                contexts[ask] = ASKS[ask](SimpleNamespace(**work["stores"][store]["files"], **work["files"]))
            verdicts.append(handshake(contexts[ask], server_context(chain), host))
        except (OSError, ValueError) as error:
            verdicts.append(verdict(error))
    return verdicts


def judge_libraries(work: Any) -> list[str]:
    """The clients of tests/clients, against real servers."""
    import clients

    verdicts = []
    for client, trust, url in work["situations"]:
        try:
            clients.CLIENTS[client].request(url, trust)
            verdicts.append("accepted")
        except Exception as error:
            verdicts.append(verdict(error))
    return verdicts


if __name__ == "__main__":
    work = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(judge_libraries(work) if work["libraries"] else judge_all(work)))
