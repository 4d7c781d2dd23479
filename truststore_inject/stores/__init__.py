"""Where system trust comes from.  The one place that chooses the platform; each platform's file has the same names.

``load(context) -> bool``
    Let `context` trust the system store.  False if there is no usable one.
``describe() -> dict``
    The store, for people and for JSON: ``source``, ``directories``, ``bundles``, and ``left_out``: each ``path`` that
    is not used, with the ``reason``.  `truststore_inject.stores.describe` adds ``extra``: the files of the extra CAs
    that are used.
``listing() -> Iterator[tuple[str, bytes]]``
    Each anchor in the store, for people who ask: where it was found, and its DER.

Where the operating system verifies, there are three more; elsewhere they are None:

``interpositions(cls) -> dict``
    What to replace on the class `SSLContext` for that.
``keep_stock(context, stock)``
    ``stock(context)`` loads what the system store replaced, in case `context` falls back to it.
``release(cls)``
    Those were put back: the contexts that relied on them get what stock Python would have given them.

And for code that needs a list of anchors:

``whole_bundle() -> str | None``
    A file that holds all of the store and nothing else, if that can be told without reading each anchor.
``on_demand``
    Whether the store fetches an anchor only when a chain needs it: then a library's own bundle is trusted as well.
``distrusted() -> frozenset[bytes]``
    What must not be trusted, wherever else it is listed, as DER.
"""

import ssl
import sys
from _weakref import ref  # weakref itself is Python code that a program may not need otherwise

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
    """Whether OpenSSL reads all of default trust here by itself, or default trust has no file that could be named."""
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
    """How many anchors the store of that `source` has; None where the operating system does not say.

    It reads each of them, so it is for people who ask, not for a refused handshake.
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
    except TypeError:  # a subclass that cannot be hashed or weakly referenced: it is not remembered
        pass


def request(*args: object, **kwargs: object) -> "Request | None":
    """What the arguments of ``load_verify_locations`` mean; None if they are wrong, for stock to report."""
    try:
        from . import _defaults  # here: each file costs 0.15 ms, and a default context does not need it

        return _defaults.request(_platform.is_default, _platform.is_carried, *args, **kwargs)
    except Exception:
        return None


def share(context: ssl.SSLContext, arguments: "dict[str, Any]") -> bool:
    """Do ``load_verify_locations(**arguments)`` if it pays to parse the file only once per process; else False.

    Never raises an `Exception`: stock reports what is wrong with the arguments.
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
    ``stock(context)`` does what stock Python would have done.  False if there is no usable store: then the caller does
    that.  Never raises an `Exception`, so that no program fails because of us.
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
    """Add the rest of default trust to the one place of the machine that a program named.

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
        return None  # the ordinary case, which need not load the code that reads them
    from . import _extra

    return _extra.current()


def _apply_settings(context: ssl.SSLContext) -> None:
    if not _settings.x509_strict():
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    extra = _extra_cas()
    if extra is not None:
        _platform.add(context, extra.bundles.values())
