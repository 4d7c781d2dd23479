"""The system store on Windows and macOS, where the operating system itself verifies: which contexts it verifies.

OpenSSL has no system store there.  So a context with default trust is remembered (weakly), and when one of its client
connections has finished its handshake, the operating system verifies the chain that the server sent.

How OpenSSL is kept from refusing what it cannot judge: `SSL_new` copies the verification mode of the context, so the
mode is switched off while that one object is made and on again at once, under a lock in which nothing blocks.  Whoever
reads or sets `verify_mode` and `check_hostname` meanwhile waits for that, so nobody ever sees it off.
"""

import _ssl
import os
import ssl
import sys
from _thread import RLock, get_ident
from functools import partial, wraps
from weakref import WeakKeyDictionary

from .. import _record, _settings
from . import _carried, _verifier
from ._bundle import load_verify_locations
from ._connection import Connection
from ._verifier import native_function as _native_function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ._bundle import Bundle
    from ._connection import Chains


class _Trust:
    """What is remembered about a context with default trust."""

    __slots__ = ("beyond", "chains", "from_settings", "stock", "suspended", "system")

    def __init__(self, system: _verifier.Verifier) -> None:
        self.system = system
        # The verification mode and whether the host name is checked, while both are off to make an object.
        self.suspended: tuple[int, bool] | None = None
        # The chain of each server certificate that a session was saved for: a resumed handshake sends none.
        self.chains: Chains = {}
        # What loads the trust that ours replaced.
        self.stock: list[partial[None]] = []
        # Of the anchors that the settings gave it: how many are not CAs, and the CAs.
        self.from_settings: tuple[int, frozenset[bytes]] = 0, frozenset()
        # verify_flags and cert_store_stats() when `_beyond` last looked at the anchors and found nothing.
        self.beyond: object = None


_contexts: "WeakKeyDictionary[ssl.SSLContext, _Trust]" = WeakKeyDictionary()

# One for all contexts, so that a fork finds none of them halfway.  Re-entrant: a signal handler or a finalizer that
# runs inside may want a connection too.
_lock = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def load(context: ssl.SSLContext) -> bool:
    """See `truststore_inject.stores`.  Asks the operating system nothing: most contexts of a process are never used."""
    system = _system()
    if system is None:
        return False
    bundle, directory = environment()
    for variable, given in (("SSL_CERT_FILE", {"cafile": bundle}), ("SSL_CERT_DIR", {"capath": directory})):
        try:
            if any(given.values()):
                load_verify_locations(context, **given)
        except OSError as error:  # stock ignores it silently; ssl.SSLError is an OSError
            _record.note(f"{variable}: not loaded, {error}")
    named = _settings.openssl("SSL_CERT_FILE")
    if named is not None and bundle is None:
        add(context, _carried.gained(named))
    if context not in _contexts:
        trust = _Trust(system)
        if named or directory or _settings.extra_ca_certs():
            trust.from_settings = _no_cas(context), frozenset(context.get_ca_certs(True))
        _contexts.setdefault(context, trust)
    return True


def _no_cas(context: ssl.SSLContext) -> int:
    anchors = context.cert_store_stats()
    return anchors["x509"] - anchors["x509_ca"]


def add(context: ssl.SSLContext, bundles: "Iterable[Bundle]") -> None:
    """Let `context` trust `bundles` in addition to the system store."""
    for bundle in bundles:
        bundle.add_to(context)


def is_default(path: object) -> bool:
    """No path is the machine's default where the operating system verifies."""
    return False


is_carried = is_default


def is_all_by_itself() -> bool:
    """True: the store has no file that could be named."""
    return True


def complete(context: ssl.SSLContext, names_directory: bool) -> None:
    """Nothing to add: no path names the machine's default."""


def keep_stock(context: ssl.SSLContext, stock: "partial[None]") -> None:
    """See `truststore_inject.stores`.  Each once: urllib3 loads the same file for each connection."""
    kept = _contexts[context].stock
    if not any((one.func, one.args, one.keywords) == (stock.func, stock.args, stock.keywords) for one in kept):
        kept.append(stock)


def _give_back(context: ssl.SSLContext, trust: _Trust) -> None:
    """Let OpenSSL verify `context` from now on, with the trust that stock Python would have given it."""
    for stock in trust.stock:
        try:
            stock(context)
        except OSError as error:  # ssl.SSLError is one; the file is gone
            _record.note(f"a context lacks trust anchors: {type(error).__name__}: {error}")
    with _lock:
        _resume(context, trust)
        _contexts.pop(context, None)


def whole_bundle() -> None:
    """See `truststore_inject.stores`: no file holds the store here."""


def describe() -> dict[str, object]:
    """See `truststore_inject.stores`."""
    system = _system()
    reason = None if system is None else system.unusable()
    if system is None or reason is not None:
        if reason is not None:
            _record.note(_does_not_verify(reason))
        return {"source": None, "directories": [], "bundles": [], "left_out": []}
    bundle, directory = environment()
    return {
        "source": f"{_verifier.NAME}, which verifies by itself, through truststore",
        "directories": directory.split(os.pathsep) if directory else [],
        "bundles": [] if bundle is None else [bundle],
        "left_out": [],
    }


def environment() -> tuple[str | None, str | None]:
    """``SSL_CERT_FILE`` and ``SSL_CERT_DIR``: on Windows stock Python trusts them in addition to the system's store.

    ``conda activate`` sets the first to the environment's own bundle on Windows: nobody chose that, and reading it
    takes 0.3 seconds.
    """
    found = []
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        value = _settings.openssl(variable)
        if value is not None and _carried.library(value) is not None:
            _record.note(f"{variable} names a library's own bundle and is ignored: {value}")
            value = None
        found.append(value)
    return found[0], found[1]


_found: "tuple[_verifier.Verifier | None] | None" = None
_importing: set[int] = set()  # the threads that are importing truststore


def _system() -> "_verifier.Verifier | None":
    """The operating system; None, with a note, if truststore has no function that asks it."""
    global _found
    if _found is not None:
        return _found[0]
    thread = get_ident()
    if thread in _importing:
        return None  # before Python 3.13, truststore 0.10.0 makes a context while it is imported
    try:
        _importing.add(thread)
        _found = (_verifier.Verifier(_native_function()),)
    except Exception as error:  # no truststore, a system that it does not support, or its internals have changed
        _record.note(_does_not_verify(f"{type(error).__name__}: {error}"))
        _found = (None,)
    finally:
        _importing.discard(thread)
    return _found[0]


def _does_not_verify(reason: str) -> str:
    return f"{_verifier.NAME} does not verify, stock verification stays: {reason}"


# The C class's own: a subclass's properties must not come in between.
_mode: "Any" = _ssl._SSLContext.verify_mode
_check: "Any" = _ssl._SSLContext.check_hostname
# PyPy's setter asks the context for `check_hostname`, and would get ours, which switches verification on again.
_set_mode: "Callable[[ssl.SSLContext, int], None]" = getattr(_ssl._SSLContext, "_set_verify_mode", _mode.__set__)


def interpositions(cls: type[ssl.SSLContext]) -> "dict[str, object]":
    """What replaces the attributes of `cls`, by name."""
    wrap_socket, wrap_bio = cls._wrap_socket, cls._wrap_bio  # type: ignore[attr-defined]

    @wraps(wrap_socket)
    def _wrap_socket(
        self: ssl.SSLContext, sock: "Any", server_side: bool, server_hostname: "Any" = None, **options: "Any"
    ) -> object:
        make = partial(wrap_socket, self, sock, server_side, server_hostname, **options)
        return _wrap(self, make, server_side, sock)

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
        return _wrap(self, make, server_side, None)

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


def _wrap(context: ssl.SSLContext, make: "Callable[[], Any]", server_side: bool, sock: object) -> object:
    while True:
        trust = _contexts.get(context)
        if trust is None:
            made = make()
            if context not in _contexts:
                return made
            continue  # another thread has remembered it meanwhile, and may have been making its own object
        with _lock:
            if _contexts.get(context) is not trust:
                continue  # forgotten meanwhile: nobody else would know that verification is off
            _resume(context, trust)
            mode, check_hostname = _mode.__get__(context), _check.__get__(context)
            if server_side or mode == ssl.CERT_NONE:
                return make()
            known = trust.system.is_known
            reason = _why_stock(context, trust) if known else None
            if known and reason is None:
                settings = _verifier.Settings(context, check_hostname, context.hostname_checks_common_name)
                trust.suspended = mode, check_hostname
                try:
                    _check.__set__(context, False)
                    _set_mode(context, ssl.CERT_NONE)
                    made = make()
                finally:
                    # Set again: a signal handler or a finalizer in between may have resumed, and so cleared it.
                    trust.suspended = mode, check_hostname
                    _resume(context, trust)
                verifying = partial(_verifying, context, trust)
                return Connection(made, context, trust.system, settings, trust.chains, verifying, sock)
        if reason is None:
            trust.system.unusable()  # it may wait for the system: not under the lock
        else:
            _record.note(reason)
            _give_back(context, trust)


def _resume(context: ssl.SSLContext, trust: _Trust) -> None:
    """Switch OpenSSL's own verification on again.

    Whoever takes the lock calls it: an interrupt (Ctrl-C) may have come between any two steps of the last holder.
    """
    if trust.suspended is not None:
        mode, check_hostname = trust.suspended
        _mode.__set__(context, mode)
        _check.__set__(context, check_hostname)
        trust.suspended = None


def _verifying(context: ssl.SSLContext, trust: _Trust, function: "Callable[[], Any]") -> "Any":
    """``function()``, while OpenSSL's own verification is on in the context, as everybody sees it."""
    with _lock:
        _resume(context, trust)
        return function()


def _why_stock(context: ssl.SSLContext, trust: _Trust) -> str | None:
    """Why OpenSSL has to verify `context` as in stock, for a note; None if it does not."""
    unusable = trust.system.unusable()
    if unusable is not None:
        return _does_not_verify(unusable)
    beyond = _beyond(context, trust)
    return beyond and f"a context is verified as in stock Python, not by {_verifier.NAME}: {beyond}"


def _beyond(context: ssl.SSLContext, trust: _Trust) -> str | None:
    """What the program demands of the context that the operating system cannot be told.

    Not what the settings demand: one file would make a whole process do without the operating system.
    """
    flags, anchors = context.verify_flags, context.cert_store_stats()
    if trust.beyond == (flags, anchors):
        return None
    no_cas, from_settings = trust.from_settings
    if flags & (ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN):
        return "it checks revocation lists of its own"
    if _no_cas(context) > no_cas:
        return "one of its own trust anchors is not a CA"
    # macOS takes any certificate that it is given as the end of a chain, Windows only a self-signed one.
    if sys.platform != "darwin" and flags & getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0):
        own = _verifier.decode(context.get_ca_certs(True))
        subjects = [info["subject"] for info in own.values()]
        if any(info["issuer"] not in subjects for der, info in own.items() if der not in from_settings):
            return "one of its own trust anchors is an intermediate CA"
    trust.beyond = flags, anchors
    return None


def _guarded(cls: type[ssl.SSLContext], name: str) -> property:
    """Stock's attribute; for a remembered context, never as it is while an object is being made."""
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
