"""The trust anchors of Windows and macOS, as DER, for who wants to see or export them."""

import ssl
import subprocess
import sys

from . import _pem

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
    yield from ()
    if sys.platform == "win32":
        for store in ("ROOT",):
            for der, encoding, purposes in ssl.enum_certificates(store):
                if encoding == "x509_asn" and (purposes is True or _SERVER_AUTH in purposes):
                    yield f"the Windows certificate store {store}", der
    elif sys.platform == "darwin":
        for keychain in _KEYCHAINS:
            command = ["/usr/bin/security", "find-certificate", "-a", "-p", keychain]
            listed = subprocess.run(command, capture_output=True, check=False).stdout
            for der in _pem.decode(listed):
                yield keychain, der
