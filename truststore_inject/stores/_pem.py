"""PEM files (RFC 7468) as text.  OpenSSL alone decides what in a file is trusted; nothing here does."""

import binascii

from ._files import read

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"


def plain_blocks(data: bytes) -> "set[bytes] | None":
    """The texts of the certificates in `data`; None if there is more than plain certificates, or anything unusual."""
    if data.startswith(_BEGIN) and data.endswith(_END + b"\n") and data.count(b"-----") == 4:  # as most files are
        return {data[len(_BEGIN) : -len(_END) - 1]}
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    *pieces, rest = data.split(_END)
    texts: set[bytes] = set()
    for piece in pieces:
        begin = piece.find(_BEGIN)
        begins_a_line = piece[begin - 1 : begin] == b"\n" if begin else not texts
        if begin < 0 or not begins_a_line or piece.count(b"-----") != 2:
            return None  # for OpenSSL to judge: it is commented out, for example
        texts.add(piece[begin + len(_BEGIN) :])
    return None if b"-----" in rest else texts


def plain_blocks_of(path: str) -> "set[bytes] | None":
    """Like `plain_blocks`, for the file `path`; empty if it cannot be read."""
    try:
        return plain_blocks(read(path))
    except OSError:
        return set()


def single_block(path: str) -> set[bytes]:
    """The text of the certificate in the file `path`, if it is the only one there."""
    texts = plain_blocks_of(path)
    return texts if texts is not None and len(texts) == 1 else set()


def fault(path: str) -> str | None:
    """What is wrong with the file `path`, which OpenSSL refused, and where; None if that cannot be told here."""
    try:
        data = read(path)
    except OSError as error:
        return str(error.strerror)
    if data.startswith(b"0\x82"):
        return "it is in DER, not in PEM: openssl x509 -inform der -in FILE -out FILE.pem"
    import re  # here: few processes need it

    marks_of = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]+)-----")
    opened: tuple[int, bytes] | None = None
    body: list[bytes] = []
    for number, line in enumerate(data.splitlines(), 1):
        marks = marks_of.findall(line)
        if len(marks) > 1:
            return (
                f"line {number}: two certificates without a line break between them, so OpenSSL reads none of the file"
            )
        if marks and not line.startswith(b"-----"):
            continue  # commented out
        if marks and marks[0][0] == b"BEGIN":
            if opened is not None:
                return f"line {opened[0]}: a certificate without an end, so OpenSSL reads none of the file"
            opened, body = (number, marks[0][1]), []
        elif marks and opened is not None:
            if not _is_der(b"".join(body)):
                return f"line {opened[0]}: a corrupt certificate, so OpenSSL reads none of the file"
            opened = None
        elif opened is not None:
            body.append(line)
    if opened is not None:
        return f"line {opened[0]}: a certificate without an end, so OpenSSL reads none of the file"
    return None if _BEGIN in data or b"-----BEGIN " in data else "there is no certificate in it"


def _is_der(base64: bytes) -> bool:
    """Whether it is the base64 of one DER sequence that is as long as it says."""
    try:
        der = binascii.a2b_base64(base64)
    except binascii.Error:
        return False
    if len(der) < 4 or der[0] != 0x30:
        return False
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    return start + length == len(der)


def certificates(path: str) -> list[bytes]:
    """The DER certificates in the PEM file `path`, for lists; what is not base64 is left out.  Raises `OSError`."""
    return decode(read(path))


def decode(data: bytes) -> list[bytes]:
    """Like `certificates`, for a file's content."""
    found = []
    for block in data.split(_BEGIN)[1:]:
        try:
            found.append(binascii.a2b_base64(block.partition(b"-----END ")[0]))
        except binascii.Error:
            pass
    return found
