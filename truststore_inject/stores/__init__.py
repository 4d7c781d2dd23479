"""Where system trust comes from.  The one place that chooses the platform; each platform's file has the same names.

``load(context) -> bool``
    Let `context` trust the system store.  False if there is none that can be used.
``describe() -> dict``
    The store, for people and for JSON: ``source``, ``directories``, ``bundles``, and ``left_out``: each ``path`` that
    is not used, with the ``reason``.  `truststore_inject.stores.describe` adds ``extra``: the files of the extra CAs
    that are used.
``listing() -> Iterator[tuple[str, bytes]]``
    Each anchor in the store, for people who ask: the place where it lies, and DER.

Where the operating system verifies there are three more, elsewhere they are None:

``interpositions(cls) -> dict``
    What has to be replaced on the class `SSLContext` for that.
``keep_stock(context, stock)``
    ``stock(context)`` gives `context` what the system store took the place of; for the day when it has to have that.
``release(cls)``
    It was put back: the contexts that relied on it get what they would have had without us.

And for what needs a list of anchors:

``whole_bundle() -> str | None``
    A file that holds all of the store and nothing else, if that is to be seen without reading each anchor.
``on_demand``
    Whether the store lacks what no chain has needed yet: then a library's own bundle is trusted in addition to it.
``distrusted() -> frozenset[bytes]``
    What is not to be trusted, wherever else it is listed, as DER.
"""

import ssl
import sys
from _weakref import ref  # weakref itself is Python code, which a program may have no other use for

from .. import _record, _settings
from . import _bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from functools import partial
    from typing import Any

    from ._defaults import Request
    from ._extra import Extra
    from ._files import Path

interpositions: "Callable[..., dict[str, object]] | None" = None
keep_stock: "Callable[[ssl.SSLContext, partial[None]], None] | None" = None
release: "Callable[[type[ssl.SSLContext]], None] | None" = None
on_demand = sys.platform == "win32"
distrusted: "Callable[[], frozenset[bytes]]" = frozenset

if sys.platform in ("win32", "darwin"):
    from . import _native as _platform
    from . import _os_anchors as _lister

    distrusted = _lister.distrusted
    interpositions, keep_stock, release = _platform.interpositions, _platform.keep_stock, _platform.release
else:
    from . import _openssl as _lister
    from . import _openssl as _platform

listing = _lister.listing
whole_bundle = _platform.whole_bundle


def is_all_by_itself() -> bool:
    """Whether OpenSSL by itself reads all that default trust is here, or there is no file of it to name."""
    return _platform.is_all_by_itself()


def describe() -> "dict[str, Any]":
    """The store, and the extra CAs: the files that were read, and what was left out."""
    found: dict[str, Any] = {**_platform.describe(), "extra": []}
    extra = _extra_cas()
    if extra is not None:
        found["extra"] = list(extra.bundles)
        found["left_out"] += [
            {"path": path, "reason": f"TRUSTSTORE_INJECT_EXTRA_CA_CERTS: {reason}"}
            for path, reason in extra.left_out.items()
        ]
    return found


def count(source: str | None) -> int | None:
    """How many anchors there are in the store of that `source`; None where the operating system does not say.

    Each is read for that, so it is for people who ask, and not for a refused handshake.
    """
    if source is None:
        return 0
    return sum(1 for _ in listing()) if interpositions is None else None


# The contexts that were given the system store.
_loaded: "set[ref[ssl.SSLContext]]" = set()


def loaded(context: ssl.SSLContext) -> bool:
    """Whether `load` gave the system store to `context`."""
    return ref(context) in _loaded


def _remember(context: ssl.SSLContext) -> None:
    try:
        _loaded.add(ref(context, _loaded.discard))
    except TypeError:  # a subclass that cannot be hashed or referred to: it goes without a note
        pass


def request(*args: object, **kwargs: object) -> "Request | None":
    """What the arguments of ``load_verify_locations`` mean; None if they are wrong, which stock says in its words."""
    try:
        from . import _defaults  # here, as each file costs 0.15 ms: a default context does not need it

        return _defaults.request(_platform.is_default, _platform.is_carried, *args, **kwargs)
    except Exception:
        return None


def share(context: ssl.SSLContext, arguments: "dict[str, Any]") -> bool:
    """Do ``load_verify_locations(**arguments)`` if it pays that the file is parsed once in a process; else False.

    Never raises an `Exception`: what is wrong with the arguments, stock says.
    """
    try:
        if "cafile" not in arguments or "cadata" in arguments or not _bundle.share(context, arguments["cafile"]):
            return False
        if "capath" in arguments:
            _bundle.load_verify_locations(context, capath=arguments["capath"])
        return True
    except Exception:
        return False


def load(context: ssl.SSLContext, stock: "partial[None]", instead_of: "Sequence[Path]" = ()) -> bool:
    """Let `context` trust the system store, and what the settings add to it.

    `instead_of` are the bundles that a library carries and the program named; what somebody added to them is kept.
    ``stock(context)`` does what would have been done without us.  False if there is no store that can be used: then the
    caller does that.  Never raises an `Exception`, so that no program fails for us.
    """
    try:
        _apply_settings(context)
        if _platform.load(context):
            if instead_of:
                from . import _carried

                _platform.add(context, [bundle for path in instead_of for bundle in _carried.gained(path)])
            if keep_stock is not None:
                keep_stock(context, stock)
            _remember(context)
            return True
        _record.note("no usable system store: the library's own default stays")
    except Exception as error:
        _record.note(f"the system store was not loaded: {type(error).__name__}: {error}")
    return False


def complete(context: ssl.SSLContext, names_directory: bool) -> None:
    """Add what default trust has more than the one place of the machine that a program named.

    Never raises an `Exception`.
    """
    try:
        _apply_settings(context)
        _platform.complete(context, names_directory)
        _remember(context)
    except Exception as error:
        _record.note(f"nothing was added to the machine's default: {type(error).__name__}: {error}")


def _extra_cas() -> "Extra | None":
    if _settings.extra_ca_certs() is None:
        return None  # the ordinary case, which need not load what reads them
    from . import _extra

    return _extra.current()


def _apply_settings(context: ssl.SSLContext) -> None:
    if not _settings.x509_strict():
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    extra = _extra_cas()
    if extra is not None:
        _platform.add(context, extra.bundles.values())
