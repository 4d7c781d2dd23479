"""PEM files (RFC 7468), without parsing what is in them."""

import binascii
import os


def certificates(path: str) -> list[bytes]:
    """The DER certificates in the PEM file `path`.  A block that is not base64 is left out.  Raises `OSError`."""
    return decode(read(path))


def plain_certificates(path: str) -> list[bytes] | None:
    """As `certificates`, or None if the file holds anything else: trust settings, revocation lists, old labels."""
    data = read(path)
    return decode(data) if data.count(_BEGIN) == data.count(b"-----BEGIN ") else None


_BEGIN = b"-----BEGIN CERTIFICATE-----"


def decode(data: bytes) -> list[bytes]:
    """As `certificates`, of a file's content."""
    found = []
    for block in data.split(_BEGIN)[1:]:
        try:
            found.append(binascii.a2b_base64(block.partition(b"-----END ")[0]))
        except binascii.Error:
            pass
    return found


def read(path: str) -> bytes:
    """Raises `OSError`."""
    # Not open(): a store is a few hundred small files, and this is three times faster.
    # Without O_BINARY Windows ends the file at a Ctrl-Z, which a comment in it may hold.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 20):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
