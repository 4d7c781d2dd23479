"""The system store as PEM, for libraries with a TLS stack of their own, which want nothing else."""

import atexit
import binascii
import contextlib
import os

from .. import _record, _settings
from . import _bundled, _pem, describe, interpositions, listing

# For each setting of the variables that decide: the store as PEM.
_texts: "dict[tuple[str | None, ...], bytes]" = {}
# And the path, with which file it was that lay there.
_paths: "dict[tuple[str | None, ...], tuple[str, tuple[int, ...]]]" = {}


def pem_bytes(bundle: str | None = None) -> bytes | None:
    """The system store and what the settings add to it, each certificate once, as PEM; None if there is no store.

    `bundle` is the file that it stands for, if a library carries it: a CA that somebody added there is kept.
    This process does not see a CA that is added to the store later.  Never raises an `Exception`.
    """
    try:
        changed = _changed(bundle)
        key = _key(changed)
        if key not in _texts:
            anchors = _anchors(changed)
            if not anchors:
                return None
            whole = _whole_bundle(anchors)
            _texts[key] = _encode(anchors) if whole is None else _pem.read(whole)
        return _texts[key]
    except Exception as error:
        _record.note(f"the system store was not exported: {type(error).__name__}: {error}")
        return None


def pem_file(bundle: str | None = None) -> str | None:
    """The path of a file that holds what `pem_bytes` gives.

    The machine's own bundle where that holds all of it, else a private temporary file, written when this is first
    called and removed when the process ends.  Never raises an `Exception`.
    """
    try:
        changed = _changed(bundle)
        key = _key(changed)
        path, file = _paths.get(key, (None, ()))
        if path is None or _identity(path) != file:
            path = _find_or_write(changed)
            if path is not None:
                _paths[key] = path, _identity(path)
    except Exception as error:
        _record.note(f"the system store was not exported: {type(error).__name__}: {error}")
        return None
    return path


def _changed(bundle: str | None) -> str | None:
    return bundle if bundle is not None and _bundled.was_changed(bundle) else None


def _key(changed: str | None) -> "tuple[str | None, ...]":
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), _settings.extra_ca_certs(), changed


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


def _anchors(changed: str | None) -> "list[bytes]":
    """The anchors (DER), each once; none if the store holds none, whatever the settings would add."""
    anchors = [anchor for _, anchor in listing()]
    if not anchors:
        _record.note("no usable system store: the library's own default stays")
        return []
    extra = _settings.extra_ca_certs()
    if extra is not None:
        try:
            anchors += _pem.certificates(extra)
        except OSError as error:
            _record.note(f"TRUSTSTORE_INJECT_EXTRA_CA_CERTS={extra}: not loaded, {error}")
    if changed is not None:
        anchors += _pem.certificates(changed)
    return list(dict.fromkeys(anchors))


def _find_or_write(changed: str | None) -> str | None:
    anchors = _anchors(changed)
    if not anchors:
        return None
    return _whole_bundle(anchors) or _write(_encode(anchors))


def _whole_bundle(anchors: "list[bytes]") -> str | None:
    """The machine's own bundle, if it holds all of `anchors`; or says more of them than can be written again."""
    bundle = describe()["bundle"]
    if isinstance(bundle, str) and interpositions is None:  # elsewhere it is trusted in addition to the store
        plain = _pem.plain_certificates(bundle)
        if plain is None or set(anchors) == set(plain):
            return bundle
    return None


def _encode(anchors: "list[bytes]") -> bytes:
    lines = []
    for anchor in anchors:
        base64 = binascii.b2a_base64(anchor, newline=False)
        body = [base64[start : start + 64] for start in range(0, len(base64), 64)]
        lines += [b"-----BEGIN CERTIFICATE-----", *body, b"-----END CERTIFICATE-----"]
    return b"\n".join([*lines, b""])


def _write(text: bytes) -> str:
    import tempfile  # costs 5 ms, and is needed where there is no bundle only

    descriptor, path = tempfile.mkstemp(".pem", "truststore-inject-")  # 0600, O_EXCL
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
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
