"""The trust anchors of Windows and macOS, as DER, for who wants to see or export them."""

import contextlib
import os
import ssl
import subprocess
import sys

from . import _native, _openssl, _pem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYCHAINS = (
    "/System/Library/Keychains/SystemRootCertificates.keychain",
    "/Library/Keychains/System.keychain",
)
_SERVER_AUTH = ssl.Purpose.SERVER_AUTH.oid


def listing() -> "Iterator[tuple[str, bytes]]":
    """See `truststore_inject.stores`.  Raises `OSError`."""
    if sys.platform == "win32":
        for der, encoding, purposes in ssl.enum_certificates("ROOT"):
            if encoding == "x509_asn" and (purposes is True or _SERVER_AUTH in purposes):
                yield "the Windows certificate store ROOT", der
    elif sys.platform == "darwin":
        for keychain in _KEYCHAINS:
            command = ["/usr/bin/security", "find-certificate", "-a", "-p", keychain]
            listed = subprocess.run(command, capture_output=True, check=False).stdout
            for der in _pem.decode(listed):
                yield keychain, der
    # What is trusted in addition.
    bundle, directories = _native.environment()
    if bundle is not None:
        with contextlib.suppress(OSError):  # stock passes over it in silence
            for der in _pem.certificates(bundle):
                yield bundle, der
    for directory in directories.split(os.pathsep) if directories else ():
        yield from _openssl.hashed_anchors(directory)
