"""Where system trust comes from.  The one place that chooses the platform; each platform's file has the same names.

``load(context, load_verify_locations) -> bool``
    Let `context` trust the system store.  False if there is none that can be used.
``describe() -> dict``
    The store, for people and for JSON.
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

``on_demand``
    Whether the store lacks what no chain has needed yet: then a library's own bundle is trusted in addition to it.
``distrusted() -> frozenset[bytes]``
    What is not to be trusted, wherever else it is listed, as DER.
"""

import ssl
import sys
from _weakref import ref  # weakref itself is Python code, which a program may have no other use for

from .. import _record, _settings
from . import _pem
from ._bundled import without_defaults as without_defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial

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

describe = _platform.describe
listing = _lister.listing

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


def load(context: ssl.SSLContext, load_verify_locations: "Callable[..., None]", stock: "partial[None]") -> bool:
    """Let `context` trust the system store, and what the settings add to it.

    `load_verify_locations` is the method of the stock class; ``stock(context)`` does what would have been done without
    us.  False if there is no store that can be used: then the caller does that.  Never raises an `Exception`, so that
    no program fails for us.
    """
    try:
        if not _settings.x509_strict():
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        extra = _settings.extra_ca_certs()
        if extra is not None:
            _load_extra(context, load_verify_locations, extra)
        if _platform.load(context, load_verify_locations):
            if keep_stock is not None:
                keep_stock(context, stock)
            _remember(context)
            return True
        _record.note("no usable system store: the library's own default stays")
    except Exception as error:
        _record.note(f"the system store was not loaded: {type(error).__name__}: {error}")
    return False


def _load_extra(context: ssl.SSLContext, load_verify_locations: "Callable[..., None]", path: str) -> None:
    try:
        anchors = _pem.certificates(path)
        if not anchors:
            raise ValueError("it holds no certificate")
        load_verify_locations(context, cadata=b"".join(anchors))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        _record.note(f"TRUSTSTORE_INJECT_EXTRA_CA_CERTS={path}: not loaded, {error}")
