"""The system store as a PEM file, for libraries with a TLS stack of their own, which want nothing else."""

import atexit
import binascii
import contextlib
import os

from .. import _record, _settings
from . import _bundled, _pem, describe, interpositions, listing

# For each setting of the variables that decide: the path, and which file it was that lay there.
_paths: "dict[tuple[str | None, ...], tuple[str, tuple[int, ...]]]" = {}


def pem_file(bundle: str | None = None) -> str | None:
    """The path of a PEM file that holds the system store and what the settings add to it; None if there is no store.

    `bundle` is the file that it stands for, if a library carries it: a CA that somebody added there is kept.

    The machine's own bundle where that holds all of it, else a private temporary file, written when this is first
    called and removed when the process ends.  This process does not see a CA that is added to the store later.
    Never raises an `Exception`.
    """
    try:
        changed = bundle if bundle is not None and _bundled.was_changed(bundle) else None
        key = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), _settings.extra_ca_certs(), changed
        path, file = _paths.get(key, (None, ()))
        if path is None or _identity(path) != file:
            path = _find_or_write(changed)
            if path is not None:
                _paths[key] = path, _identity(path)
    except Exception as error:
        _record.note(f"the system store was not exported: {type(error).__name__}: {error}")
        return None
    return path


def _identity(path: str) -> "tuple[int, ...]":
    """Which file lies there; empty if there is none.

    A temporary folder is swept of old files, and then anybody may give another file the name of ours.  The time of the
    last change is the one that nobody can set.
    """
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _find_or_write(changed: str | None) -> str | None:
    anchors = [anchor for _, anchor in listing()]
    if not anchors:
        _record.note("no usable system store: the library's own default stays")
        return None
    bundle = describe()["bundle"]
    extra = _settings.extra_ca_certs()
    if extra is not None:
        try:
            anchors = [*anchors, *_pem.certificates(extra)]
        except OSError as error:
            _record.note(f"TRUSTSTORE_INJECT_EXTRA_CA_CERTS={extra}: not loaded, {error}")
    if changed is not None:
        anchors = [*anchors, *_pem.certificates(changed)]
    if isinstance(bundle, str) and interpositions is None:  # elsewhere it is trusted in addition to the store
        plain = _pem.plain_certificates(bundle)
        if plain is None or set(anchors) == set(plain):  # None: it says more of its anchors than can be written again
            return bundle
    return _write(anchors)


def _write(anchors: "list[bytes]") -> str:
    import tempfile  # costs 5 ms, and is needed where there is no bundle only

    descriptor, path = tempfile.mkstemp(".pem", "truststore-inject-")  # 0600, O_EXCL
    try:
        with open(descriptor, "wb") as file:
            for anchor in dict.fromkeys(anchors):
                base64 = binascii.b2a_base64(anchor, newline=False)
                lines = [base64[start : start + 64] for start in range(0, len(base64), 64)]
                file.write(b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""]))
    except BaseException:  # the disk is full, or an interrupt came: half a file is of no use
        _remove(path, os.getpid())
        raise
    atexit.register(_remove, path, os.getpid())
    return path


def _remove(path: str, process: int) -> None:
    if os.getpid() != process:
        return  # a forked child ends: its parent still needs the file
    with contextlib.suppress(OSError):
        os.unlink(path)
