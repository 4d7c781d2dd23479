"""The system store as PEM, for libraries with a TLS stack of their own, which take nothing else.

A library should be given bytes where it takes them: nobody else can change them.  Where it wants a path, it gets the
machine's own bundle, if that holds all of the store.  A file of our own comes last:

- Linux: it has no name.  It is in memory, sealed, and its path is ``/proc/self/fd/N``.  So a killed process leaves
  nothing behind, nothing can be swept, and no folder that a variable names matters.  A forked child inherits it.  The
  kernel lets a process open its own descriptors whatever user it has become, and everybody may read the file.  A new
  program (``exec``) has neither the descriptor nor the path.
  https://man7.org/linux/man-pages/man2/memfd_create.2.html
- Elsewhere: it is in the temporary folder if that is the user's own, as on Windows and macOS, and is removed when
  the process ends.  What a killed process leaves there is useless and harmless.  In a folder that others can write to,
  no file is used: it would be swept, and somebody else could take its name.
"""

import atexit
import binascii
import contextlib
import os
import ssl
import sys

from .. import _record, _settings
from . import _bundle, _carried, _extra, _files, describe, distrusted, interpositions, listing, on_demand, whole_bundle

# By the values of the variables that decide: the store as PEM.
_texts: "dict[tuple[str | None, ...], bytes]" = {}
# And the path, with the identity of the file there.
_paths: "dict[tuple[str | None, ...], tuple[str, tuple[int, ...]]]" = {}


def pem_bytes(bundle: str | None = None) -> bytes | None:
    """The system store and what the settings add to it, each certificate once, as PEM; None if there is no store.

    `bundle` is the file that it replaces, if a library carries one: a CA that somebody added there is kept, and all of
    it where the store fetches its anchors on demand.  This process does not see a CA that is added to the store later.
    Never raises an `Exception`.
    """
    try:
        kept = _kept(bundle)
        key = _key(kept)
        if key not in _texts:
            anchors = _anchors(kept)
            if not anchors:
                return None
            _texts[key] = _encode(anchors)
        return _texts[key]
    except Exception as error:
        _record.note(f"the system store was not exported: {type(error).__name__}: {error}")
        return None


def pem_file(bundle: str | None = None) -> str | None:
    """The path of a file that holds what `pem_bytes` gives: the machine's own bundle, or a file of this process.

    Also None where no file can be had that only this process can write.  Never raises an `Exception`.
    """
    try:
        kept = _kept(bundle)
        key = _key(kept)
        path, file = _paths.get(key, (None, ()))
        if path is None or _identity(path) != file:
            path = _find_or_write(kept)
            if path is not None:
                _paths[key] = path, _identity(path)
    except Exception as error:
        _record.note(f"the system store was not exported: {type(error).__name__}: {error}")
        return None
    return path


def _kept(bundle: str | None) -> str | None:
    return bundle if bundle is not None and (on_demand or _carried.gained(bundle)) else None


def _key(kept: str | None) -> "tuple[str | None, ...]":
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), _settings.extra_ca_certs(), kept


def _identity(path: str) -> "tuple[int, ...]":
    """Which file is there; empty if there is none.

    A program that becomes a daemon closes all descriptors, and a temporary folder is swept: then another file may have
    the path of ours.  The time of the last status change is the one that nobody can set.
    """
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _anchors(kept: str | None) -> "list[bytes]":
    """The anchors (DER), each once; none if the store holds none, whatever the settings would add."""
    whole = whole_bundle()
    anchors = [anchor for _, anchor in listing()] if whole is None else _bundle.read(whole).certificates()
    if not anchors:
        _record.note("no usable system store: the library's own default stays")
        return []
    if whole is None and not _bundle.can_share() and any(map(_has_trust_settings, _places())):
        # Only OpenSSL knows whom they reject, and it cannot be asked here.
        _record.note("the system store has trust settings: a library with a TLS stack of its own keeps its default")
        return []
    extra = _extra.current()
    added = [] if extra is None else list(extra.bundles.values())
    if kept is not None:
        added += [_bundle.read(kept)] if on_demand else _carried.gained(kept)
    for bundle in added:
        anchors += bundle.certificates()
    refused = distrusted()
    return _sound([anchor for anchor in dict.fromkeys(anchors) if anchor not in refused])


def _places() -> "list[str]":
    """The files that the store is read from."""
    found = describe()
    return [*found["bundles"], *(path for directory in found["directories"] for path in _files.hashed(directory))]


def _sound(anchors: "list[bytes]") -> "list[bytes]":
    """Those that OpenSSL takes: a library would refuse all of them because of a corrupt one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(ssl.SSLError):
        context.load_verify_locations(cadata=b"".join(anchors))
        if context.cert_store_stats()["x509"] == len(anchors):  # it may have taken a corrupt one for the end
            return anchors
    middle = len(anchors) // 2
    return [*_sound(anchors[:middle]), *_sound(anchors[middle:])] if middle else []


def machines_bundle() -> str | None:
    """The machine's own bundle, if it holds the store and what the settings add to it, all of that and nothing else.

    Raises `OSError`.
    """
    anchors = _anchors(None)
    return _whole_bundle(anchors) if anchors else None


def _find_or_write(kept: str | None) -> str | None:
    anchors = _anchors(kept)
    if not anchors:
        return None
    return _whole_bundle(anchors) or _write(_encode(anchors))


def _whole_bundle(anchors: "list[bytes]") -> str | None:
    """The machine's own bundle, if it holds `anchors`, all of them and no others."""
    if interpositions is not None:  # there, what the variables name is trusted in addition
        return None
    whole = whole_bundle()
    for bundle in describe()["bundles"] if whole is None else [whole]:
        with contextlib.suppress(OSError):  # ssl.SSLError is one
            if not _has_trust_settings(bundle) and set(anchors) == set(_bundle.read(bundle).certificates()):
                return str(bundle)
    return None


def _has_trust_settings(file: str) -> bool:
    """Whether it says more about a certificate than that it is trusted: not every library understands that."""
    return b"-----BEGIN TRUSTED" in _files.read(file)


def _encode(anchors: "list[bytes]") -> bytes:
    lines = []
    for anchor in anchors:
        base64 = binascii.b2a_base64(anchor, newline=False)
        body = [base64[start : start + 64] for start in range(0, len(base64), 64)]
        lines += [b"-----BEGIN CERTIFICATE-----", *body, b"-----END CERTIFICATE-----"]
    return b"\n".join([*lines, b""])


def _write(text: bytes) -> str:
    if sys.platform in ("linux", "android"):
        return _write_to_memory(text)
    import tempfile  # costs 5 ms

    folder = tempfile.gettempdir()
    if os.name == "posix":
        status = os.stat(folder)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise OSError(f"{folder} is not this user's own")
    descriptor, path = tempfile.mkstemp(".pem", "truststore-inject-", folder)  # 0600, O_EXCL
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
    except BaseException:  # the disk is full, or an interrupt came: half a file is of no use
        _remove(path, os.getpid())
        raise
    atexit.register(_remove, path, os.getpid())
    return path


# From the kernel's headers: those that the interpreter was built with may have been too old.
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _F_ADD_SEALS, _ALL_SEALS = 0x1, 0x2, 1033, 0xF
_HIGH = 1000


def _write_to_memory(text: bytes) -> str:
    import fcntl

    descriptor = _memory_file("truststore-inject.pem", _MFD_CLOEXEC | _MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text)
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _ALL_SEALS)
        # A high number: a program that has closed ours with all others does not soon get it for another file.
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    finally:
        os.close(descriptor)
    path = f"/proc/self/fd/{high}"
    if not _identity(path):
        os.close(high)
        raise OSError("/proc is not mounted")
    return path


def _memory_file(name: str, flags: int) -> int:
    if hasattr(os, "memfd_create"):  # missing from uv's and conda's Pythons before 2026
        return os.memfd_create(name, flags)
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.memfd_create(name.encode(), flags)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _remove(path: str, process: int) -> None:
    if os.getpid() != process:
        return  # a forked child ends: its parent still needs the file
    with contextlib.suppress(OSError):
        os.unlink(path)
