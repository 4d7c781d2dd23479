"""The system store where the operating system itself verifies: Windows and macOS, through `truststore`.

OpenSSL has no system store there.  So a context with default trust is remembered (weakly), and when one of its client
connections has finished its handshake, the operating system verifies the chain that the server sent.

How OpenSSL is kept from refusing what it cannot judge: `SSL_new` copies the verification mode of the context, so the
mode is off for the making of that one object and on again at once, under a lock in which nothing waits.  Whoever reads
or sets `verify_mode` and `check_hostname` meanwhile waits for that, so nobody ever sees it.

`_Connection` then lets no byte of the application pass before the operating system has agreed.  (What
`truststore.SSLContext` makes verifies in ``do_handshake`` alone: a program that writes first makes OpenSSL do the
handshake, and nothing is verified.)
"""

import _socket
import _ssl
import base64
import os
import socket
import ssl
import sys
from _thread import RLock
from functools import partial, wraps
from weakref import WeakKeyDictionary, ref

from .. import _record, _settings
from . import _bundled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    # verify(settings of a context, chain in DER, server_hostname=...) raises `ssl.SSLCertVerificationError`
    Verifier = Callable[..., None]

_SYSTEM = {"win32": "Windows", "darwin": "macOS"}.get(sys.platform, sys.platform)


class _Trust:
    """What is remembered of a context with default trust."""

    __slots__ = ("anchors", "chains", "stock", "suspended")

    def __init__(self) -> None:
        # The verification mode and whether the host name is checked, while both are off for the making of an object.
        self.suspended: tuple[int, bool] | None = None
        # For each server certificate that a session was taken from, the chain: a resumed handshake sends none.
        self.chains: dict[bytes, list[bytes]] = {}
        # What gives the context the trust that ours took the place of.
        self.stock: list[partial[None]] = []
        # cert_store_stats() and verify_flags when `_beyond` last looked at the anchors.
        self.anchors: object = None


_contexts: "WeakKeyDictionary[ssl.SSLContext, _Trust]" = WeakKeyDictionary()

# One for all contexts, so that a fork finds none of them half way.  Re-entrant: a signal handler or a finalizer that
# runs inside may want a connection too.
_lock = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def load(context: ssl.SSLContext, load_verify_locations: "Callable[..., None]") -> bool:
    """See `truststore_inject.stores`."""
    if _verifier() is None:
        return False
    bundle, directory = environment()
    for variable, given in (("SSL_CERT_FILE", {"cafile": bundle}), ("SSL_CERT_DIR", {"capath": directory})):
        try:
            if any(given.values()):
                load_verify_locations(context, **given)
        except OSError as error:  # stock passes over it in silence; ssl.SSLError is an OSError
            _record.note(f"{variable}: not loaded, {error}")
    _contexts.setdefault(context, _Trust())
    return True


def keep_stock(context: ssl.SSLContext, stock: "partial[None]") -> None:
    """See `truststore_inject.stores`.  Each once: urllib3 loads the same file for each connection."""
    kept = _contexts[context].stock
    if not any((one.func, one.args, one.keywords) == (stock.func, stock.args, stock.keywords) for one in kept):
        kept.append(stock)


def _give_back(context: ssl.SSLContext, trust: _Trust) -> None:
    """Let OpenSSL verify `context` from now on, with the trust that it would have had without us."""
    for stock in trust.stock:
        try:
            stock(context)
        except OSError as error:  # ssl.SSLError is one; the file is gone
            _record.note(f"a context lacks trust anchors: {type(error).__name__}: {error}")
    with _lock:
        _resume(context, trust)
        _contexts.pop(context, None)


def describe() -> dict[str, object]:
    """See `truststore_inject.stores`.  `anchors` is None where the operating system does not say how many there are."""
    if _verifier() is None:
        return {"source": None, "directories": [], "bundle": None, "anchors": 0}
    bundle, directory = environment()
    return {
        "source": f"{_SYSTEM}, which verifies by itself, through truststore",
        "directories": directory.split(os.pathsep) if directory else [],
        "bundle": bundle,
        "anchors": _count(),
    }


def _count() -> int | None:
    try:
        return len(getattr(ssl, "enum_certificates")("ROOT"))  # noqa: B009 - only Windows has it
    except (AttributeError, OSError):
        return None


def environment() -> tuple[str | None, str | None]:
    """``SSL_CERT_FILE`` and ``SSL_CERT_DIR``: on Windows stock Python trusts them in addition to the system's store."""
    bundle, directory = _settings.openssl("SSL_CERT_FILE"), _settings.openssl("SSL_CERT_DIR")
    if bundle is not None and _bundled.library(bundle) is not None:
        _record.note(f"SSL_CERT_FILE names a library's own bundle and counts as not set: {bundle}")
        bundle = None
    return bundle, directory


# --- what is taken from inside truststore: this, and nothing else ---

# Whose key nobody has, valid until 2099, in no store: whatever accepts it does not verify.
_NOBODY = base64.b64decode(
    "MIIBYjCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBl0cnVzdHN0b3JlLWluamVjdC5pbnZhbGlkMCAXDTIwMDEwMTAwMDAwMFoY"
    "DzIwOTkxMjMxMDAwMDAwWjAkMSIwIAYDVQQDDBl0cnVzdHN0b3JlLWluamVjdC5pbnZhbGlkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnPOW"
    "0U8EV0PGWwaXg/Pa0DYtDFpqxke4Q1KewPvjD1I3XwE7joD/0qx5guRPshPZNTdjj4a2Nn66XjpYBpxf0aMoMCYwJAYDVR0RBB0wG4IZdHJ1c3Rz"
    "dG9yZS1pbmplY3QuaW52YWxpZDAKBggqhkjOPQQDAgNJADBGAiEAjSUEEs89Q5gBZYTnHddGFl7daj47eoUK77+aql0TyOcCIQCvAbyNulMbPBuX"
    "qSM7Wz83Zixy6ZLHCwTt3HCwYJpqdg=="
)

_loaded: "tuple[Verifier | None] | None" = None


def _verifier() -> "Verifier | None":
    """truststore's function that asks the operating system; None, with a note, if there is none that verifies."""
    global _loaded
    if _loaded is None:
        try:
            verify = _native_function()
            _must_refuse(verify)
        except Exception as error:  # no truststore, a system that it does not support, or its inside has changed
            _record.note(f"{_SYSTEM} does not verify, stock verification stays: {type(error).__name__}: {error}")
            _loaded = (None,)
        else:
            _loaded = (verify,)
    return _loaded[0]


def _native_function() -> "Verifier":
    # truststore's public class cannot be asked about a connection that it did not make.
    from truststore import _api

    verify: Verifier = getattr(_api, "_verify_peercerts_impl")  # noqa: B009 - type checkers look inside too
    if verify.__module__ not in ("truststore._windows", "truststore._macos"):
        raise ImportError(f"truststore verifies with {verify.__module__}")  # on other systems that does nothing at all
    return verify


def _must_refuse(verify: "Verifier") -> None:
    try:
        verify(_Settings(None, True, ssl.VerifyFlags(0)), [_NOBODY], server_hostname="truststore-inject.invalid")
    except ssl.SSLCertVerificationError:
        return
    raise ImportError("truststore accepts a certificate that nobody has signed")


class _Settings:
    """What truststore asks a context for: that of the time when the object was made, as OpenSSL has it."""

    # Not CERT_OPTIONAL, which for a client is the same: truststore on macOS accepts an unknown CA then.
    verify_mode = ssl.CERT_REQUIRED

    def __init__(self, context: ssl.SSLContext | None, check_hostname: bool, verify_flags: ssl.VerifyFlags) -> None:
        self._context = context
        self.check_hostname = check_hostname
        self.verify_flags = verify_flags

    def get_ca_certs(self, binary_form: bool = False) -> "list[Any]":
        """The anchors that were loaded on top of default trust."""
        return [] if self._context is None else self._context.get_ca_certs(binary_form)


# --- making the object ---

# Those of the C class: properties of subclasses must not come between.
_mode: "Any" = _ssl._SSLContext.verify_mode
_check: "Any" = _ssl._SSLContext.check_hostname


def interpositions(cls: type[ssl.SSLContext]) -> "dict[str, object]":
    """What has to be in the place of the attributes of `cls`, by name."""
    wrap_socket, wrap_bio = cls._wrap_socket, cls._wrap_bio  # type: ignore[attr-defined]

    @wraps(wrap_socket)
    def _wrap_socket(
        self: ssl.SSLContext, sock: "Any", server_side: bool, server_hostname: "Any" = None, **options: "Any"
    ) -> object:
        make = partial(wrap_socket, self, sock, server_side, server_hostname, **options)
        return _wrap(self, make, server_side, server_hostname, sock)

    @wraps(wrap_bio)
    def _wrap_bio(
        self: ssl.SSLContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool,
        server_hostname: "Any" = None,
        **options: "Any",
    ) -> object:
        make = partial(wrap_bio, self, incoming, outgoing, server_side, server_hostname, **options)
        return _wrap(self, make, server_side, server_hostname, None)

    return {
        "_wrap_socket": _wrap_socket,
        "_wrap_bio": _wrap_bio,
        "verify_mode": _guarded(cls, "verify_mode"),
        "check_hostname": _guarded(cls, "check_hostname"),
    }


def release(cls: type[ssl.SSLContext]) -> None:
    """See `truststore_inject.stores`."""
    for context, trust in list(_contexts.items()):
        if isinstance(context, cls):
            _give_back(context, trust)


def _wrap(
    context: ssl.SSLContext,
    make: "Callable[[], Any]",
    server_side: bool,
    server_hostname: object,
    sock: object,
) -> object:
    while True:
        trust = _contexts.get(context)
        if trust is None:
            made = make()
            if context not in _contexts:
                return made
            continue  # remembered by another thread meanwhile, whose own object may have been in the making
        with _lock:
            if _contexts.get(context) is not trust:
                continue  # forgotten meanwhile: nobody but us would know that it is off
            _resume(context, trust)
            mode, check_hostname = _mode.__get__(context), _check.__get__(context)
            if server_side or mode == ssl.CERT_NONE:
                return make()
            reason = _beyond(context, trust)
            if reason is None:
                if check_hostname and not server_hostname:
                    raise ValueError("check_hostname requires server_hostname")
                settings = _Settings(context, check_hostname, context.verify_flags)
                trust.suspended = mode, check_hostname
                try:
                    _check.__set__(context, False)
                    _mode.__set__(context, ssl.CERT_NONE)
                    made = make()
                finally:
                    # Set again: who came between (a signal handler, a finalizer) has switched on and gone.
                    trust.suspended = mode, check_hostname
                    _resume(context, trust)
                return _Connection(made, context, trust, settings, sock)
        _record.note(f"a context is verified as stock does, not by {_SYSTEM}: {reason}")
        _give_back(context, trust)


def _resume(context: ssl.SSLContext, trust: _Trust) -> None:
    """Switch OpenSSL's own verification on again.

    Whoever enters the lock calls it: an interrupt (Ctrl-C) may have come between any two steps of who was there before.
    """
    if trust.suspended is not None:
        mode, check_hostname = trust.suspended
        _mode.__set__(context, mode)
        _check.__set__(context, check_hostname)
        trust.suspended = None


def _beyond(context: ssl.SSLContext, trust: _Trust) -> str | None:
    """What the context demands that the operating system cannot be told."""
    flags, anchors = context.verify_flags, context.cert_store_stats()
    if flags & (ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN):
        return "it checks revocation lists of its own"
    if anchors["x509"] != anchors["x509_ca"]:
        return "one of its own trust anchors is not a CA"
    if trust.anchors != (flags, anchors):
        if flags & getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0):
            own = context.get_ca_certs()
            subjects = [anchor["subject"] for anchor in own]
            if any(anchor["issuer"] not in subjects for anchor in own):
                return "one of its own trust anchors is an intermediate CA"
        trust.anchors = flags, anchors
    return None


def _guarded(cls: type[ssl.SSLContext], name: str) -> property:
    """The attribute of stock, for a remembered context never as it is while an object is being made."""
    stock: Any = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))

    def get(self: ssl.SSLContext) -> "Any":
        trust = _contexts.get(self)
        if trust is None:
            return stock.__get__(self)
        with _lock:
            _resume(self, trust)
            return stock.__get__(self)

    def set_(self: ssl.SSLContext, value: "Any") -> None:
        trust = _contexts.get(self)
        if trust is None:
            stock.__set__(self, value)
            return
        with _lock:
            _resume(self, trust)
            stock.__set__(self, value)

    return property(get, set_, doc=stock.__doc__)


# --- the object ---


class _Connection:
    """Stands before the `_ssl._SSLSocket` of a client connection, in the `_sslobj` of an SSLSocket or SSLObject.

    What is not defined here is that of the object behind.
    """

    __slots__ = ("_context", "_final", "_leaf", "_refusal", "_settings", "_sock", "_ssl", "_trust")

    def __init__(self, made: "Any", context: ssl.SSLContext, trust: _Trust, settings: _Settings, sock: "Any") -> None:
        self._ssl = made
        self._context = context
        self._trust = trust
        self._settings = settings
        self._sock = None if sock is None else ref(sock)  # the SSLSocket holds us
        self._leaf: bytes | None = None  # the server certificate that was verified
        self._final = False  # and no other can come
        self._refusal: tuple[str, int] | None = None

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._ssl, name)

    def do_handshake(self) -> None:
        self._raise_refusal()
        self._ssl.do_handshake()
        self._verify()

    def read(self, size: int, *buffer: "Any") -> "Any":
        self._ready()
        got = self._ssl.read(size, *buffer)
        if not self._final:
            try:
                self._verify()  # a renegotiation may have happened inside
            except BaseException:
                for into in buffer:
                    memoryview(into).cast("B")[:got] = bytes(got)
                raise
        return got

    def write(self, data: "Any") -> int:
        self._ready()
        written: int = self._ssl.write(data)
        return written

    def getpeercert(self, binary_form: bool = False, /) -> "Any":
        if self._leaf is None:  # as stock has it after a refusal, where the handshake never ends
            raise ValueError("handshake not done yet")
        if not self._final:
            self._verify()
        return self._peer(binary_form)

    def get_verified_chain(self) -> "Any":
        # The operating system does not hand out the chain that it verified, and what OpenSSL has put together was not
        # verified by anybody, except for its first certificate.
        chain = None if self._leaf is None else self._ssl.get_unverified_chain()
        return chain and chain[:1]

    @property
    def context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = self._ssl.context
        return context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._ssl.context = context

    @property
    def owner(self) -> "Any":
        return self._ssl.owner

    @owner.setter
    def owner(self, owner: "Any") -> None:
        self._ssl.owner = owner

    @property
    def session(self) -> "Any":
        if self._leaf is None:
            return None  # a session with somebody who is not verified is of no use to anybody
        if self._leaf not in self._trust.chains:
            self._trust.chains[self._leaf] = self._chain(self._leaf)
        return self._ssl.session

    @session.setter
    def session(self, session: "Any") -> None:
        self._ssl.session = session

    def _ready(self) -> None:
        """Before a byte of the application passes: OpenSSL would do an outstanding handshake by itself, unverified."""
        if not self._final:
            self.do_handshake()

    def _verify(self) -> None:
        """Let the operating system verify the server, unless it has verified this certificate of it.

        More than once: up to TLS 1.2 a renegotiation can bring another certificate.
        """
        self._raise_refusal()
        try:
            leaf = self._ssl.getpeercert(True)
        except ValueError:
            return  # in the middle of a renegotiation: what came so far is from whom was verified
        if leaf is None or leaf != self._leaf:
            try:
                self._ask(leaf)
            except Exception as error:  # whatever goes wrong: what is not verified is refused
                self._refuse(error)
            self._leaf = leaf
        self._final = self._ssl.version() == "TLSv1.3"

    def _ask(self, leaf: bytes | None) -> None:
        verify = _verifier()
        if leaf is None or verify is None:
            raise ssl.SSLCertVerificationError("the server sent no certificate")
        if self._ssl.context is not self._context:
            raise ssl.SSLCertVerificationError("its context was replaced before it was verified")
        settings, server_hostname = self._settings, self._ssl.server_hostname
        if settings.check_hostname:
            if not server_hostname:
                raise ssl.SSLCertVerificationError("there is no host name to check")
            # The operating system falls back to the common name; urllib3 forbids that.
            if not self._context.hostname_checks_common_name and not self._peer(False).get("subjectAltName"):
                raise ssl.SSLCertVerificationError("the certificate has no subjectAltName")
        verify(settings, self._chain(leaf), server_hostname=server_hostname)

    def _chain(self, leaf: bytes) -> list[bytes]:
        """`leaf` and what else the server has sent, as DER.  A resumed session brings the leaf alone."""
        sent = [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in self._ssl.get_unverified_chain() or ()]
        others = [certificate for certificate in sent if certificate != leaf]
        return [leaf, *others] if others else self._trust.chains.get(leaf, [leaf])

    def _peer(self, binary_form: bool) -> "Any":
        with _lock:  # OpenSSL decodes it only for a context that verifies
            _resume(self._context, self._trust)
            return self._ssl.getpeercert(binary_form)

    def _refuse(self, error: Exception) -> "NoReturn":
        message = str(getattr(error, "verify_message", "") or error) or type(error).__name__
        self._refusal = message, getattr(error, "verify_code", 0)
        self._leaf = None
        sock = None if self._sock is None else self._sock()
        if sock is not None:
            try:
                # Not close(): SSLSocket.do_handshake sets the timeout afterwards, and its error would hide ours.
                _socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except (OSError, TypeError):  # the server was faster, or it is not a socket
                pass
        raise _refusal(*self._refusal) from None if isinstance(error, ssl.SSLCertVerificationError) else error

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise _refusal(*self._refusal)


def _refusal(message: str, code: int) -> ssl.SSLCertVerificationError:
    """In OpenSSL's words and with its attributes: programs look for both."""
    text = f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {message} ({_SYSTEM})"
    error = ssl.SSLCertVerificationError(1, text)
    error.library, error.reason = "SSL", "CERTIFICATE_VERIFY_FAILED"
    error.verify_message, error.verify_code = message, code
    return error
