"""OpenSSL's own functions for the store behind a context, which Python's ``ssl`` does not offer; called through ctypes.

They are called in the very library that ``_ssl`` is linked with.  The address of OpenSSL's object is read from the
memory of Python's context, which is no public interface: so it is done only where that is known, and each assumption is
checked before the address is used.  Importing this file costs 1.5 ms and raises an `Exception` where any of it cannot
be had.  docs/bundles.md says what is shared and why.
"""

import _ssl
import ctypes
import os
import ssl
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    # Functions that add to a store, each with what it adds.
    Objects = list[tuple[Any, int]]

_KNOWN = (3, 10) <= sys.version_info[:2] <= (3, 15) and sys.implementation.name == "cpython"
_X509, _CRL = 1, 2  # X509_LU_X509, X509_LU_CRL
_SSL_SERVER, _REJECTED = 3, 2  # X509_TRUST_SSL_SERVER, X509_TRUST_REJECTED


class _Context(ctypes.Structure):
    """How the ``PySSLContext`` of CPython begins (``Modules/_ssl.c``, 3.10 to 3.15)."""

    _fields_ = (
        ("object", ctypes.c_char * getattr(object, "__basicsize__", 0)),  # PyPy has none
        ("ctx", ctypes.c_void_p),
        ("alpn_protocols", ctypes.c_void_p),
        ("alpn_protocols_len", ctypes.c_uint),
        ("set_sni_cb", ctypes.c_void_p),
        ("check_hostname", ctypes.c_int),
        ("following", ctypes.c_int * 2),  # the host flags, which newer versions do not have, and the protocol
    )


def _load() -> ctypes.PyDLL:
    """The OpenSSL that ``_ssl`` calls.  Raises `ValueError`, `OSError` or `AttributeError`."""
    file = getattr(_ssl, "__file__", None)
    if not _KNOWN or file is None:
        raise ValueError("this Python's _ssl is not known well enough")
    # NOLOAD: what is loaded, and no other file that took its name since.  A symbol is looked for in this file and in
    # what it is linked with, not in all of the process: there may be a second OpenSSL, of a wheel.
    library = ctypes.PyDLL(file, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    library.OpenSSL_version_num.restype = ctypes.c_ulong
    if library.OpenSSL_version_num() != ssl.OPENSSL_VERSION_NUMBER:
        raise ValueError("there are two versions of OpenSSL")
    return library


def _function(name: str, result: "type | None", *arguments: type) -> "Any":
    function = getattr(_library, name)
    function.argtypes, function.restype = arguments, result
    return function


_library = _load()
_pointer, _int = ctypes.c_void_p, ctypes.c_int
_clear_errors = _function("ERR_clear_error", None)
_cert_store = _function("SSL_CTX_get_cert_store", _pointer, _pointer)
_store_objects = _function("X509_STORE_get0_objects", _pointer, _pointer)
_count = _function("OPENSSL_sk_num", _int, _pointer)
_item = _function("OPENSSL_sk_value", _pointer, _pointer, _int)
_type = _function("X509_OBJECT_get_type", _int, _pointer)
_certificate = _function("X509_OBJECT_get0_X509", _pointer, _pointer)
_revocation_list = _function("X509_OBJECT_get0_X509_CRL", _pointer, _pointer)
_add_certificate = _function("X509_STORE_add_cert", _int, _pointer, _pointer)
_add_revocation_list = _function("X509_STORE_add_crl", _int, _pointer, _pointer)
_is_issued_by = _function("X509_check_issued", _int, _pointer, _pointer)
_subject = _function("X509_get_subject_name", _pointer, _pointer)
_encode = _function("i2d_X509", _int, _pointer, _pointer)
_check_trust = _function("X509_check_trust", _int, _pointer, _int, _int)
_lookup_new = _function("X509_STORE_CTX_new", _pointer)
_lookup_init = _function("X509_STORE_CTX_init", _int, _pointer, _pointer, _pointer, _pointer)
_lookup_free = _function("X509_STORE_CTX_free", None, _pointer)
_by_subject = _function("X509_STORE_CTX_get_by_subject", _int, _pointer, _int, _pointer, _pointer)
_object_new = _function("X509_OBJECT_new", _pointer)
_object_free = _function("X509_OBJECT_free", None, _pointer)
_default_places = [_function("SSL_CTX_set_default_verify_dir", _int, _pointer)]
if hasattr(_library, "SSL_CTX_set_default_verify_store"):  # OpenSSL 3
    _default_places.append(_function("SSL_CTX_set_default_verify_store", _int, _pointer))


def objects(context: "_ssl._SSLContext") -> "Objects":
    """What `context` has in memory: certificates and revocation lists, in their order.

    They live as long as `context` does, which nobody may change meanwhile.
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
    """Put `objects` into `context` too; OpenSSL counts the references.  Raises `ValueError` if it does not take one."""
    store = _store(context)
    for add_to, entry in objects:
        if not add_to(store, entry):
            _clear_errors()  # else the ssl module takes it for an error of its next call
            raise ValueError("OpenSSL did not take a certificate")


def look_into_default_directory(context: "_ssl._SSLContext") -> None:
    """What ``set_default_verify_paths`` does, but for the file: OpenSSL decides which directory (or URI) that is.

    https://docs.openssl.org/3.0/man3/SSL_CTX_load_verify_locations/
    """
    address = _ssl_ctx(context)
    for look in _default_places:
        look(address)
    _clear_errors()


def find(context: "_ssl._SSLContext", objects: "Objects") -> "Objects":
    """Let OpenSSL look in `context` and its directories for the subjects of `objects`; those that it found one of.

    What it finds in a directory is in the memory of `context` from then on, as after a handshake.
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
    result = _object_new()  # one for each look-up: it counts a reference to what it was given
    try:
        return bool(_by_subject(lookup, _X509, subject, result) > 0)
    finally:
        _object_free(result)


def self_issued_first(objects: "Objects") -> "Objects":
    """`objects`, those certificates first that end a chain.

    Of several with the subject that it looks for OpenSSL takes the first, and goes no other way if that leads nowhere:
    a cross-signed form of a root, for example, whose issuer is not there.
    """

    def is_not(entry: "tuple[Any, int]") -> bool:
        return entry[0] is not _add_certificate or _is_issued_by(entry[1], entry[1]) != 0

    return sorted(objects, key=is_not)


def encoded(objects: "Objects") -> "Iterable[bytes]":
    """The certificates among `objects`, as DER; also those that are not a CA, which ``get_ca_certs()`` leaves out.

    Not those that the trust settings beside them (``BEGIN TRUSTED CERTIFICATE``) reject for servers: DER has no place
    for that.  https://docs.openssl.org/3.0/man1/openssl-x509/#trust-settings
    """
    for add_to, entry in objects:
        if add_to is _add_certificate and _check_trust(entry, _SSL_SERVER, 0) != _REJECTED:
            size = _encode(entry, None)
            buffer = ctypes.create_string_buffer(size)
            _encode(entry, ctypes.byref(ctypes.c_void_p(ctypes.addressof(buffer))))
            yield buffer.raw


def _store(context: "_ssl._SSLContext") -> int:
    store: int = _cert_store(_ssl_ctx(context))
    return store


def _ssl_ctx(context: "_ssl._SSLContext") -> int:
    """The address of OpenSSL's object behind `context`.

    Raises `ValueError` if the memory there is not laid out as we know it: then nothing is done with that address.
    """
    # type(), for an object may say of itself that it is a context: unittest.mock's do, with spec=.
    if not issubclass(type(context), _ssl._SSLContext) or _ssl._SSLContext.__basicsize__ < ctypes.sizeof(_Context):
        raise ValueError("this is not CPython's context")
    view = _Context.from_address(id(context))
    # The C class's own attributes: those of a subclass may say anything.
    protocol = _ssl._SSLContext.protocol.__get__(context)  # type: ignore[attr-defined]
    check_hostname = _ssl._SSLContext.check_hostname.__get__(context)  # type: ignore[attr-defined]
    as_expected = view.following[0] == protocol or list(view.following) == [context._host_flags, protocol]  # type: ignore[attr-defined, unused-ignore]
    if not view.ctx or view.check_hostname != check_hostname or not as_expected:
        raise ValueError("its contexts are not laid out as they were up to CPython 3.15")
    address: int = view.ctx
    return address
