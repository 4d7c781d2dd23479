"""OpenSSL's own functions for the store behind a context, which Python's ``ssl`` does not offer.

They are called in the very library that ``_ssl`` is linked with.  The address of OpenSSL's object is read from the
memory of Python's context, which is not a public interface: so it is done only where the layout is known, and each
assumption is checked before the address is used.  Importing this file raises an `Exception` where any of it is missing.
docs/bundles.md says what is shared and why.

They are called through ``_ctypes``, the C part of ctypes.  The Python part takes 1.5 ms to import, more than
everything done here, and minutes under a hook that instruments every import.
https://github.com/beartype/beartype/issues/259
"""

import _ssl
import os
import ssl
import sys
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    CFuncPtr,
    _SimpleCData,
    addressof,
    byref,
    dlopen,
    sizeof,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    # Functions that add to a store, each with what it adds.
    Objects = list[tuple[Any, int]]

_KNOWN = (3, 10) <= sys.version_info[:2] <= (3, 15) and sys.implementation.name == "cpython"
_X509, _CRL = 1, 2  # X509_LU_X509, X509_LU_CRL
_SSL_SERVER, _REJECTED = 3, 2  # X509_TRUST_SSL_SERVER, X509_TRUST_REJECTED


# The letters are those of https://docs.python.org/3/library/struct.html.
class _Pointer(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "P"


class _Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _UnsignedLong(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "L"


class _Byte(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


# Where the ``PySSLContext`` of CPython (``Modules/_ssl.c``, 3.10 to 3.15) has what is read from it.
_CTX = getattr(object, "__basicsize__", 0)  # PyPy has none
_CHECK_HOSTNAME = _CTX + 4 * sizeof(_Pointer)  # after the ALPN protocols, their length and the callback for SNI
_FOLLOWING = _CHECK_HOSTNAME + sizeof(_Int)
_END = _FOLLOWING + 2 * sizeof(_Int)


class _Library:
    """The OpenSSL that ``_ssl`` calls.  Raises `ValueError`, `OSError` or `AttributeError`."""

    def __init__(self) -> None:
        file = getattr(_ssl, "__file__", None)
        if not _KNOWN or file is None:
            raise ValueError("this Python's _ssl is not known well enough")
        # NOLOAD: what is loaded, not another file that has taken its name since.  A symbol is looked up in this file
        # and in what it is linked with, not in the whole process: there may be a second OpenSSL, from a wheel.
        self._handle = dlopen(file, os.RTLD_NOLOAD | os.RTLD_NOW)  # where CFuncPtr looks for it
        if self.function("OpenSSL_version_num", _UnsignedLong)() != ssl.OPENSSL_VERSION_NUMBER:
            raise ValueError("there are two versions of OpenSSL")

    def function(self, name: str, result: "type | None", *arguments: type) -> "Any":
        function = _Function((name, self))  # type: ignore[arg-type]
        function.argtypes, function.restype = arguments, result
        return function


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI  # as ctypes.PyDLL: the GIL stays held
    _restype_ = _Int


_library = _Library()
_function = _library.function
_clear_errors = _function("ERR_clear_error", None)
_cert_store = _function("SSL_CTX_get_cert_store", _Pointer, _Pointer)
_store_objects = _function("X509_STORE_get0_objects", _Pointer, _Pointer)
_count = _function("OPENSSL_sk_num", _Int, _Pointer)
_item = _function("OPENSSL_sk_value", _Pointer, _Pointer, _Int)
_type = _function("X509_OBJECT_get_type", _Int, _Pointer)
_certificate = _function("X509_OBJECT_get0_X509", _Pointer, _Pointer)
_revocation_list = _function("X509_OBJECT_get0_X509_CRL", _Pointer, _Pointer)
_add_certificate = _function("X509_STORE_add_cert", _Int, _Pointer, _Pointer)
_add_revocation_list = _function("X509_STORE_add_crl", _Int, _Pointer, _Pointer)
_is_issued_by = _function("X509_check_issued", _Int, _Pointer, _Pointer)
_subject = _function("X509_get_subject_name", _Pointer, _Pointer)
_encode = _function("i2d_X509", _Int, _Pointer, _Pointer)
_check_trust = _function("X509_check_trust", _Int, _Pointer, _Int, _Int)
_lookup_new = _function("X509_STORE_CTX_new", _Pointer)
_lookup_init = _function("X509_STORE_CTX_init", _Int, _Pointer, _Pointer, _Pointer, _Pointer)
_lookup_free = _function("X509_STORE_CTX_free", None, _Pointer)
_by_subject = _function("X509_STORE_CTX_get_by_subject", _Int, _Pointer, _Int, _Pointer, _Pointer)
_object_new = _function("X509_OBJECT_new", _Pointer)
_object_free = _function("X509_OBJECT_free", None, _Pointer)
_default_places = [_function("SSL_CTX_set_default_verify_dir", _Int, _Pointer)]
if ssl.OPENSSL_VERSION_INFO >= (3,):
    _default_places.append(_function("SSL_CTX_set_default_verify_store", _Int, _Pointer))


def objects(context: "_ssl._SSLContext") -> "Objects":
    """What `context` has in memory: certificates and revocation lists, in order.

    They live as long as `context` does; nobody may change it meanwhile.
    https://docs.openssl.org/3.0/man3/X509_STORE_get0_param/
    """
    stack = _store_objects(_store(context))
    found = []
    for index in range(_count(stack)):
        entry = _item(stack, index)
        kind = _type(entry)
        if kind == _X509:
            found.append((_add_certificate, _certificate(entry)))
        elif kind == _CRL:
            found.append((_add_revocation_list, _revocation_list(entry)))
    return found


def add(context: "_ssl._SSLContext", objects: "Objects") -> None:
    """Put `objects` into `context` too; OpenSSL counts the references.  Raises `ValueError` if it refuses one."""
    store = _store(context)
    for add_to, entry in objects:
        if not add_to(store, entry):
            _clear_errors()  # else the ssl module would report it as an error of its next call
            raise ValueError("OpenSSL did not take a certificate")


def look_into_default_directory(context: "_ssl._SSLContext") -> None:
    """What ``set_default_verify_paths`` does, except for the file: OpenSSL decides which directory (or URI) that is.

    https://docs.openssl.org/3.0/man3/SSL_CTX_load_verify_locations/
    """
    address = _ssl_ctx(context)
    for look in _default_places:
        look(address)
    _clear_errors()


def find(context: "_ssl._SSLContext", objects: "Objects") -> "Objects":
    """The certificates among `objects` whose subject OpenSSL finds in `context` or its directories.

    What it finds in a directory stays in the memory of `context`, as after a handshake.
    https://docs.openssl.org/3.0/man3/X509_STORE_get_by_subject/
    """
    lookup, found = _lookup_new(), []
    try:
        if _lookup_init(lookup, _store(context), None, None):
            found = [entry for entry in objects if entry[0] is _add_certificate and _finds(lookup, _subject(entry[1]))]
    finally:
        _lookup_free(lookup)
        _clear_errors()
    return found


def _finds(lookup: int, subject: int) -> bool:
    result = _object_new()  # a new one for each look-up: it holds a reference to what was found
    try:
        return bool(_by_subject(lookup, _X509, subject, result) > 0)
    finally:
        _object_free(result)


def ordered(objects: "Objects") -> "Objects":
    """`objects`, with the certificates that are rejected for servers first, then those that end a chain.

    OpenSSL keeps the first of two equal certificates, so a rejection counts whichever file it is in.  Of several with
    the subject that it looks for, it takes the first and tries no other if that leads nowhere: a cross-signed form of a
    root, for example, whose issuer is missing.
    """

    def rank(entry: "tuple[Any, int]") -> int:
        if entry[0] is not _add_certificate:
            return 2
        return 0 if _is_rejected(entry[1]) else 1 + (_is_issued_by(entry[1], entry[1]) != 0)

    return sorted(objects, key=rank)


def _is_rejected(certificate: int) -> bool:
    """Whether the trust settings stored with it say so (``BEGIN TRUSTED CERTIFICATE``).

    https://docs.openssl.org/3.0/man1/openssl-x509/#trust-settings
    """
    return bool(_check_trust(certificate, _SSL_SERVER, 0) == _REJECTED)


def encoded(objects: "Objects") -> "Iterable[bytes]":
    """The certificates among `objects`, as DER; also those that are not CAs, which ``get_ca_certs()`` leaves out.

    Not those that are rejected for servers: DER cannot say that.
    """
    for add_to, entry in objects:
        if add_to is _add_certificate and not _is_rejected(entry):
            size = _encode(entry, None)
            buffer = (_Byte * size)()
            _encode(entry, byref(_Pointer(addressof(buffer))))
            yield buffer.raw


def _store(context: "_ssl._SSLContext") -> int:
    store: int = _cert_store(_ssl_ctx(context))
    return store


def _ssl_ctx(context: "_ssl._SSLContext") -> int:
    """The address of OpenSSL's object behind `context`.

    Raises `ValueError` if the memory there is not laid out as expected: then the address is not used.
    """
    # type(), because an object may claim to be a context: unittest.mock's do, with spec=.
    if not issubclass(type(context), _ssl._SSLContext) or _ssl._SSLContext.__basicsize__ < _END:
        raise ValueError("this is not CPython's context")
    ctx, check_hostname, *following = _memory(context)
    # The C class's own attributes: those of a subclass may say anything.
    protocol = _ssl._SSLContext.protocol.__get__(context)  # type: ignore[attr-defined]
    is_checked = _ssl._SSLContext.check_hostname.__get__(context)  # type: ignore[attr-defined]
    as_expected = following[0] == protocol or following == [context._host_flags, protocol]  # type: ignore[attr-defined, unused-ignore]
    if not ctx or check_hostname != is_checked or not as_expected:
        raise ValueError("its contexts are not laid out as they were up to CPython 3.15")
    return ctx


def _memory(context: "_ssl._SSLContext") -> tuple[int, int, int, int]:
    """The address of OpenSSL's object, whether the host name is checked, and the two numbers that follow.

    These are the host flags, which newer versions do not have, and the protocol.
    """
    start = id(context)
    numbers = (_CHECK_HOSTNAME, _FOLLOWING, _FOLLOWING + sizeof(_Int))
    check_hostname, *following = (_Int.from_address(start + offset).value for offset in numbers)
    return _Pointer.from_address(start + _CTX).value, check_hostname, following[0], following[1]
