"""The system store where OpenSSL reads it by itself: Linux, BSD and other Unix systems.

A *hashed directory* (``openssl rehash``: links like ``1001acf7.0``, named after the hash of a subject) is read lazily,
one certificate when a chain asks for it, and costs nothing.  A *bundle* is parsed whole, 15 to 25 ms with OpenSSL 3.0.
So the directory is used where there is one, and of the bundle only what the directory lacks; that is parsed once.
https://docs.openssl.org/3.0/man3/SSL_CTX_load_verify_locations/
"""

import _ssl
import os
import ssl
import sys

from .. import _record, _settings
from . import _bundled, _pem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ._parsed import Parsed

# The hashed directory of a distribution and the bundle that is written from the same anchors.
_PAIRS = (
    ("/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Alpine, Arch, Gentoo
    (  # Fedora, RHEL and relatives
        "/etc/pki/ca-trust/extracted/pem/directory-hash",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ),
    ("/var/lib/ca-certificates/pem", "/var/lib/ca-certificates/ca-bundle.pem"),  # SUSE
)
_DIRECTORIES = tuple(directory for directory, _ in _PAIRS)
_BUNDLES = (
    *(bundle for _, bundle in _PAIRS),
    "/etc/pki/tls/cert.pem",  # older RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # older SUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
    "/usr/local/share/certs/ca-root-nss.crt",  # FreeBSD
    "/etc/ssl/certs/ca-bundle.crt",  # NixOS
    "/data/data/com.termux/files/usr/etc/tls/cert.pem",  # Termux on Android
)

# With fewer anchors than this, to parse them for each context costs no more than what _parsed.py needs.
_MANY = 16


class Store:
    """A system store that holds at least one anchor."""

    def __init__(self, source: str, directories: list[str], bundle: str | None) -> None:
        self.source = source  # who says that it is there
        self.directories = directories  # hashed, read by OpenSSL when a chain asks for an anchor
        self.bundle = bundle
        self.places: list[str] = []  # where it was looked for: a change there means another search
        self.anchors: list[bytes] = []  # DER: what the bundle holds and the directories lack
        self.parsed: Parsed | None = None  # the anchors, for all contexts
        self.parsable = True
        self.opaque = False  # the bundle holds more than plain certificates, only OpenSSL can read it
        self.corrupt = False  # not all of the bundle could be loaded
        self.by_subject: dict[bytes, list[bytes]] | None = None  # what the directories hold, once it was needed


def load(context: ssl.SSLContext, load_verify_locations: "Callable[..., None]") -> bool:
    """See `truststore_inject.stores`."""
    store = _current()
    if store is None:
        return False
    if store.anchors and not _add_parsed(store, context):
        good = _load_anchors(store.anchors, context, load_verify_locations)
        if len(good) < len(store.anchors):
            _record.note(f"{store.bundle}: left out {len(store.anchors) - len(good)} corrupt certificates")
            store.anchors, store.parsable, store.corrupt = good, True, True
    if store.opaque:
        try:
            load_verify_locations(context, cafile=store.bundle)
        except OSError as error:  # ssl.SSLError is one
            _record.note(f"{store.bundle}: not loaded, {error}")
            store.opaque, store.corrupt = False, True
    directories = store.directories
    if store.corrupt:  # it was the bundle, perhaps, that made an empty directory a store
        directories = [directory for directory in directories if _has_anchors(directory)]
    if directories:
        in_memory = {*store.anchors, *_ssl._SSLContext.get_ca_certs(context, True)}  # a subclass may not offer it
        _load_anchors(_hidden(store, in_memory), context, load_verify_locations)
        load_verify_locations(context, capath=os.pathsep.join(directories))
    return bool(store.anchors or store.opaque or directories)


def _add_parsed(store: Store, context: ssl.SSLContext) -> bool:
    """Put the anchors, which are parsed once for each process, into `context`; False if that cannot be done."""
    if len(store.anchors) < _MANY or not store.parsable:
        return False
    try:
        if store.parsed is None:
            from . import _parsed

            store.parsed = _parsed.Parsed(store.anchors)
        store.parsed.add_to(context)
    except Exception as error:  # also whatever an audit hook raises that forbids ctypes; there is the ordinary way
        store.parsable = False
        _record.note(f"{store.bundle}: parsed for each context, {type(error).__name__}: {error}")
        return False
    return True


def describe() -> dict[str, object]:
    """See `truststore_inject.stores`."""
    store = _current()
    if store is None:
        return {"source": None, "directories": [], "bundle": None, "anchors": 0}
    return {
        "source": store.source,
        "directories": store.directories,
        "bundle": store.bundle,
        "anchors": sum(1 for directory in store.directories for _ in _hashed(directory)) + len(store.anchors),
    }


def listing() -> "Iterator[tuple[str, bytes]]":
    """See `truststore_inject.stores`."""
    store = _current()
    if store is None:
        return
    for directory in store.directories:
        yield from hashed_anchors(directory)
    if store.bundle is not None:
        anchors = store.anchors
        if store.opaque:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                context.load_verify_locations(cafile=store.bundle)
            except OSError as error:  # ssl.SSLError is one
                _record.note(f"{store.bundle}: not read, {error}")
            anchors = context.get_ca_certs(binary_form=True)
        for anchor in anchors:
            yield store.bundle, anchor


def hashed_anchors(directory: str) -> "Iterator[tuple[str, bytes]]":
    """The path and the DER of each anchor in a hashed directory."""
    for entry in sorted(_hashed(directory), key=lambda entry: entry.name):
        for anchor in _certificates(entry.path):
            yield os.path.realpath(entry.path), anchor


# The store of this process, and what would have to change for another search: the two variables and the places.
_found: "tuple[object, Store] | None" = None


def _current() -> Store | None:
    global _found
    found = _found  # one look: another thread may replace it
    if found is not None and found[0] == _stamp(found[1]):
        return found[1]
    store = _search()
    _found = None if store is None else (_stamp(store), store)
    return store


def _stamp(store: Store) -> object:
    places = dict.fromkeys([*store.places, *store.directories])
    return [os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), *map(_identity, places)]


def _identity(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _search() -> Store | None:
    built_in = ssl.get_default_verify_paths()
    bundle, directory = built_in.openssl_cafile, built_in.openssl_capath
    own_bundle = _settings.openssl(built_in.openssl_cafile_env)
    own_directory = _settings.openssl(built_in.openssl_capath_env)
    if own_bundle is not None and _bundled.library(own_bundle) is not None:
        _record.note(f"{built_in.openssl_cafile_env} names a library's own bundle and counts as not set: {own_bundle}")
        own_bundle = None
    if own_bundle is not None or own_directory is not None:
        # As OpenSSL defines them: each on its own, what is not set is what OpenSSL was built with, and nothing beyond.
        source = " and ".join(
            variable
            for variable, value in (("SSL_CERT_FILE", own_bundle), ("SSL_CERT_DIR", own_directory))
            if value is not None
        )
        if own_bundle is not None and not _size(own_bundle):
            _record.note(f"SSL_CERT_FILE names a file that does not exist or is empty: {own_bundle}")
        store = _open(source, (own_directory or directory).split(os.pathsep), own_bundle or bundle)
        if store is None:
            _record.note(f"{source}: no trust anchor there")
        return store
    return (
        _open(
            "the places that this Python's OpenSSL was built with",
            [directory] if _belongs_to_system(directory) else [],
            bundle if _belongs_to_system(bundle) else None,
            complete=True,
        )
        or _open(
            "the distribution's places",
            [path for path in _DIRECTORIES if _has_anchors(path)][:1],
            next((path for path in _BUNDLES if _size(path)), None),
        )
        or _open("inside this Python's prefix", [directory], bundle)
    )


def _open(source: str, directories: list[str], bundle: str | None, complete: bool = False) -> Store | None:
    """The store that these places make together, None if no anchor is in them.

    With `complete`, also what was added by hand to the bundle that goes with the directory, which OpenSSL does not look
    at on Debian: ``cat corp.pem >> /etc/ssl/certs/ca-certificates.crt``.
    """
    places = [*directories, *filter(None, [bundle])]
    directories = [directory for directory in directories if os.path.isdir(directory)]
    if not _size(bundle) and complete and directories:
        bundle = _partner(directories[0], _PAIRS)
        places += filter(None, [bundle])
    if not _size(bundle):
        bundle = None
    store = Store(source, directories, bundle)
    store.places = places  # also what is not there, or empty: it may come back
    if bundle is not None:
        _add_bundle(store, bundle)
    return store if store.anchors or store.opaque or any(map(_has_anchors, store.directories)) else None


def _add_bundle(store: Store, bundle: str) -> None:
    """Find what `bundle` adds to the directories; if they are empty, whether its own directory can stand for it."""
    directories = store.directories
    if not any(map(_has_anchors, directories)):
        partner = _partner(bundle, [(of, directory) for directory, of in _PAIRS])
        directories = [partner] if partner is not None and _has_anchors(partner) else []
    if directories and _is_concatenation(bundle, directories):
        store.directories = directories
        return
    try:
        anchors = _pem.plain_certificates(bundle)
    except OSError as error:
        _record.note(f"{bundle}: not read, {error}")
        return
    if anchors is None:
        store.opaque = True
        return
    held = {anchor for directory in directories for entry in _hashed(directory) for anchor in _certificates(entry.path)}
    if directories is not store.directories:
        if not held <= set(anchors):
            held = set()
        elif held:
            store.directories = directories
    store.anchors = [anchor for anchor in dict.fromkeys(anchors) if anchor not in held]


def _is_concatenation(bundle: str, directories: list[str]) -> bool:
    """Whether the bundle can only be what update-ca-certificates made of the directory's files: their sizes add up.

    Comparing the certificates themselves costs four times as much (2 ms for Debian's 144).  The time alone does not
    tell: a bundle that was mounted or renamed into its place may be older than the directory.
    """
    try:
        status = os.stat(bundle)
        return status.st_mtime_ns <= max(os.stat(directory).st_mtime_ns for directory in directories) and (
            status.st_size == sum(entry.stat().st_size for directory in directories for entry in _hashed(directory))
        )
    except OSError:
        return False


def _hashed(directory: str) -> "Iterator[os.DirEntry[str]]":
    """The entries that OpenSSL would look at: eight hexadecimal digits, a dot, a number."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                hash_, _, number = entry.name.partition(".")
                if len(hash_) == 8 and number.isdigit() and not hash_.strip("0123456789abcdef"):
                    yield entry
    except FileNotFoundError:
        pass
    except OSError as error:
        _record.note(f"{directory}: not read, {error}")


def _has_anchors(directory: str) -> bool:
    return next(_hashed(directory), None) is not None


def _certificates(path: str) -> list[bytes]:
    try:
        return _pem.certificates(path)
    except OSError:  # a link to a file that is gone, or that we may not read: OpenSSL passes over it too
        return []


def _load_anchors(
    anchors: list[bytes], context: ssl.SSLContext, load_verify_locations: "Callable[..., None]"
) -> list[bytes]:
    """Load what is not corrupt of `anchors`, and return it."""
    if anchors:
        try:
            load_verify_locations(context, cadata=b"".join(anchors))
        except ssl.SSLError:  # one by one: a corrupt certificate makes OpenSSL give up on all of them
            good = []
            for anchor in anchors:
                try:
                    load_verify_locations(context, cadata=anchor)
                except (ssl.SSLError, ValueError):
                    continue
                good.append(anchor)
            return good
    return anchors


def _hidden(store: Store, loaded: set[bytes]) -> list[bytes]:
    """The anchors in the directories that OpenSSL would not find, because others with their subject were `loaded`.

    It looks into a directory only for a subject that it has nothing of in memory, and into the next one only for what
    the one before lacks.  But a CA that is renewed keeps its subject: with a new key, or the old one and new dates.
    https://docs.openssl.org/3.0/man3/X509_LOOKUP_hash_dir/
    """
    if not loaded and len(store.directories) == 1:
        return []  # nothing is read: the ordinary case
    if store.by_subject is None:
        store.by_subject = {}
        for directory in store.directories:
            for entry in _hashed(directory):
                for anchor in _certificates(entry.path):
                    store.by_subject.setdefault(_subject(anchor), []).append(anchor)
    subjects = set(map(_subject, loaded))
    return [
        anchor
        for subject, anchors in store.by_subject.items()
        if subject in subjects or (len(store.directories) > 1 and len(anchors) > 1)
        for anchor in anchors
        if anchor not in loaded
    ]


# OpenSSL compares names without regard to case and to the kind of string (PrintableString, T61String, IA5String).
_CANONICAL = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\x13\x14\x16", b"abcdefghijklmnopqrstuvwxyz\x0c\x0c\x0c")


def _subject(certificate: bytes) -> bytes:
    """The subject of a DER certificate, to compare with others; empty for what is none.

    It follows the version, the serial number, the algorithm, the issuer and the validity (RFC 5280, section 4.1).
    """
    try:
        at, _ = _content(certificate, _content(certificate, 0)[0])
        for _ in range(5 if certificate[at] == 0xA0 else 4):  # version 1 is not written down
            _, at = _content(certificate, at)
        return certificate[at : _content(certificate, at)[1]].translate(_CANONICAL)
    except IndexError:
        return b""


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends.  Raises `IndexError`."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start], "big")
    return start, start + length


def _size(path: str | None) -> int:
    """In bytes; 0 if there is no such file."""
    try:
        return 0 if path is None else os.stat(path).st_size
    except OSError:
        return 0


def _partner(path: str, pairs: "Iterable[tuple[str, str]]") -> str | None:
    real = os.path.realpath(path)
    return next((partner for one, partner in pairs if os.path.realpath(one) == real), None)


def _belongs_to_system(path: str) -> bool:
    """False for what a relocatable Python (conda's and others) carries in its own prefix."""
    real = os.path.realpath(path)
    prefixes = {os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix)} - {"/", "/usr"}
    return not any(real.startswith(prefix + os.sep) for prefix in prefixes)
