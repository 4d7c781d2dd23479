"""CA files, read by OpenSSL once per process; all contexts share the parsed certificates.

Reading is what a bundle costs: 0.1 ms for each certificate with OpenSSL 3.0.  So OpenSSL reads it into a context of our
own, which nobody else sees, and every other context gets the same objects by reference.  OpenSSL alone decides what is
in a file and what of it is trusted: comments, trust settings, revocation lists, order, errors.
"""

import _ssl
import os
import ssl
import sys

from .. import _record
from ._files import hashed, identity, is_settled, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from ._files import Identity, Path
    from ._libssl import Objects

# In bytes.  A smaller file, ten certificates or so, is parsed for each context, which costs no more than `_libssl`.
SMALL = 16 * 1024
_KEPT = 16  # how many files are kept; each certificate takes 4 to 5 kB

load_verify_locations = _ssl._SSLContext.load_verify_locations


def new_context() -> "_ssl._SSLContext":
    """A context that trusts nobody, for our own use.  Raises `ssl.SSLError`, for example without usable ciphers."""
    return _Context(ssl.PROTOCOL_TLS_CLIENT)


_Context: type[_ssl._SSLContext] = _ssl._SSLContext
if sys.implementation.name == "pypy":  # whose class has no place for what its constructor sets
    _Context = type("_Context", (_ssl._SSLContext,), {})


class Bundle:
    """What OpenSSL has read, in a context of its own that no longer changes."""

    def __init__(self, context: "_ssl._SSLContext", calls: "Callable[[], Iterable[dict[str, Any]]]") -> None:
        """`calls` gives the arguments for ``load_verify_locations`` that would read it again."""
        self.context = context
        self.calls = calls
        self._objects: Objects | None = None

    def objects(self) -> "Objects":
        """OpenSSL's objects, for `_libssl`.  Raises an `Exception` where they cannot be shared."""
        if self._objects is None:
            from . import _libssl

            self._objects = _libssl.objects(self.context)
        return self._objects

    def add_to(self, context: "_ssl._SSLContext") -> None:
        """Let `context` trust it.  If it has to be read again, what is refused this time is skipped."""
        if not _share(context, self):
            _load(context, self.calls())

    def certificates(self) -> list[bytes]:
        """The trust anchors, as DER."""
        if can_share():
            try:
                from . import _libssl

                return list(_libssl.encoded(self.objects()))
            except Exception as error:
                _cannot_share(error)
        return self.context.get_ca_certs(True)

    def has_a_ca(self) -> bool:
        return bool(self.context.cert_store_stats()["x509_ca"])


def read(path: "Path") -> Bundle:
    """The file `path`.  Raises what ``load_verify_locations(path)`` raises: `OSError`, `ssl.SSLError`."""
    before = identity(path)
    kept = _read.get(before)
    if kept is not None:
        return kept
    context = new_context()
    load_verify_locations(context, path)
    bundle = Bundle(context, lambda: _cafiles([path]))
    if before and before == identity(path) and is_settled(before):
        for oldest in list(_read)[: max(0, len(_read) + 1 - _KEPT)]:
            _read.pop(oldest, None)
        _read[before] = bundle
    return bundle


def read_alone(path: "Path") -> Bundle:
    """Like `read`, for one of very many small files: it is not kept."""
    context = new_context()
    load_verify_locations(context, path)
    return Bundle(context, lambda: _cafiles([path]))


def read_all(paths: "Iterable[Path]", subjects: "set[object] | None" = None) -> Bundle | None:
    """What OpenSSL reads from the files, together; None if no CA is among it.  What it refuses is skipped.

    With `subjects`, only from the files that have a CA with one of these.
    """
    context, good = new_context(), []
    for path in paths:
        if not size(path):
            continue  # a pipe, for example, which has no end
        try:
            if subjects is not None and subjects.isdisjoint(_subjects(read_alone(path))):
                continue
            load_verify_locations(context, path)
        except OSError:  # ssl.SSLError is one
            continue
        good.append(path)
    bundle = Bundle(context, lambda: _cafiles(good))
    return bundle if bundle.has_a_ca() else None


def looking_into(directories: "Sequence[str]", by_itself: bool) -> "_ssl._SSLContext":
    """A context that looks into `directories`.  `by_itself`: OpenSSL does so without being told where they are.

    Raises an `Exception` where that cannot be had without also loading the file that OpenSSL reads.
    """
    context = new_context()
    if by_itself:
        from . import _libssl

        _libssl.look_into_default_directory(context)
    else:
        load_verify_locations(context, capath=os.pathsep.join(directories))
    return context


def beside(
    added: "Sequence[Bundle]",
    directories: "Sequence[str]",
    by_itself: bool,
    *,
    in_memory: Bundle | None = None,
    lacks: Bundle | None = None,
) -> Bundle | None:
    """What OpenSSL finds in `directories` for the subjects in `added`; None if it finds nothing.

    It looks into a directory only for a subject that is not in memory, so what is added to memory hides what is in the
    directory.  But a renewed CA keeps its subject, with a new key, or with the old one and new dates.  `in_memory` is
    what hides something there in stock Python, too.  `lacks`, if known, holds everything in the directories that
    `added` does not hold.
    https://docs.openssl.org/3.0/man3/X509_LOOKUP_hash_dir/
    """
    if not directories:
        return None
    if can_share():
        try:
            from . import _libssl

            context, found = looking_into(directories, by_itself), []
            for bundle in added:
                objects = bundle.objects() if lacks is None else _libssl.find(bundle.context, lacks.objects())
                if in_memory is not None:
                    hidden = _libssl.find(in_memory.context, objects)
                    objects = [entry for entry in objects if entry not in hidden]
                found += _libssl.find(context, objects)
            return Bundle(context, lambda: _cafiles(_hashed(directories))) if found else None
        except Exception as error:
            _cannot_share(error)
    return read_all(_hashed(directories), {subject for bundle in added for subject in _subjects(bundle)})


def _subjects(bundle: Bundle) -> "Iterator[object]":
    return (anchor["subject"] for anchor in bundle.context.get_ca_certs())


def _hashed(directories: "Iterable[str]") -> "Iterator[str]":
    return (path for directory in directories for path in hashed(directory) if size(path))


def _cafiles(paths: "Iterable[Path]") -> "Iterator[dict[str, Any]]":
    return ({"cafile": path} for path in paths)


def together(bundles: "Sequence[Bundle]") -> Bundle | None:
    """What `bundles` hold, as one, in the order in which OpenSSL should find it (`_libssl.ordered`)."""
    return in_order(bundles) if len(bundles) > 1 else next(iter(bundles), None)


def in_order(bundles: "Sequence[Bundle]") -> Bundle:
    """Like `together`, but for a single bundle, too."""

    def calls() -> "Iterator[dict[str, Any]]":
        return (arguments for bundle in bundles for arguments in bundle.calls())

    context = new_context()
    if can_share():
        try:
            from . import _libssl

            _libssl.add(context, _libssl.ordered([one for bundle in bundles for one in bundle.objects()]))
        except Exception as error:
            _cannot_share(error)
        else:
            return Bundle(context, calls)
    _load(context, calls())
    return Bundle(context, calls)


def _load(context: "_ssl._SSLContext", calls: "Iterable[dict[str, Any]]") -> None:
    for arguments in calls:
        try:
            load_verify_locations(context, **arguments)
        except OSError:  # ssl.SSLError is one: it was not refused the first time
            pass


# By the identity that the file had before it was read.
_read: "dict[Identity, Bundle]" = {}


def share(context: "_ssl._SSLContext", path: "Path") -> bool:
    """Let `context` trust the file `path` if it pays to share what is read from it; False if not, or if that fails."""
    if size(path) < SMALL or not can_share():
        return False
    try:
        return _share(context, read(path))
    except OSError:  # ssl.SSLError is one
        return False


# Why the objects cannot be shared in this process; None while they can.
_obstacle: str | None = None if hasattr(os, "RTLD_NOLOAD") else "not on this system"


def can_share() -> bool:
    return _obstacle is None


def _cannot_share(error: Exception) -> None:
    global _obstacle
    _obstacle = f"{type(error).__name__}: {error}"
    _record.note(f"each context parses its bundle anew, as in stock Python: {_obstacle}")


def _share(context: "_ssl._SSLContext", bundle: Bundle) -> bool:
    if not can_share() or not issubclass(type(context), _ssl._SSLContext):
        return False
    try:
        from . import _libssl

        _libssl.add(context, bundle.objects())
    except Exception as error:  # also whatever an audit hook that forbids ctypes raises
        _cannot_share(error)
        return False
    return True
