"""A bundle's certificates, parsed once for each process and not once for each context.

Parsing is what a bundle costs: 0.1 ms for each certificate with OpenSSL 3.0.  A parsed certificate is counted by
reference, and OpenSSL puts the same one into another store in 2 microseconds.  The ssl module has no function for that,
so OpenSSL's are called through ctypes (1.5 ms, once), in the very library that ``_ssl`` is linked with:
https://docs.openssl.org/3.0/man3/X509_STORE_add_cert/

Every context keeps a store of its own, which holds what it would hold otherwise: what a program adds to one is in no
other, ``get_ca_certs()`` lists all of it, and a handshake reads nothing.  docs/bundles.md says what else was tried.
"""

import _ssl
import ctypes
import os
import ssl
import sys

_KNOWN = (3, 10) <= sys.version_info[:2] <= (3, 15) and sys.implementation.name == "cpython"


class _Context(ctypes.Structure):
    """How the ``PySSLContext`` of CPython begins (``Modules/_ssl.c``, 3.10 to 3.15)."""

    _fields_ = (
        ("object", ctypes.c_char * object.__basicsize__),
        ("ctx", ctypes.c_void_p),
        ("alpn_protocols", ctypes.c_void_p),
        ("alpn_protocols_len", ctypes.c_uint),
        ("set_sni_cb", ctypes.c_void_p),
        ("check_hostname", ctypes.c_int),
        ("following", ctypes.c_int * 2),  # the host flags, which newer versions do not have, and the protocol
    )


class Parsed:
    """Certificates that OpenSSL has parsed."""

    def __init__(self, certificates: list[bytes]) -> None:
        """Parse `certificates` (DER).  Raises an `Exception` where that is not possible, or one of them is corrupt."""
        self._certificates: list[int] = []
        self._library = _library()
        for der in certificates:
            certificate = self._library.d2i_X509(None, ctypes.byref(ctypes.c_char_p(der)), len(der))
            if not certificate:
                self._library.ERR_clear_error()  # else the ssl module takes it for an error of its next call
                raise ValueError("a certificate is corrupt")
            self._certificates.append(certificate)

    def add_to(self, context: ssl.SSLContext) -> None:
        """Put the certificates into the store of `context`.  Raises `ValueError` if that cannot be."""
        store = self._library.SSL_CTX_get_cert_store(_ssl_ctx(context))
        for certificate in self._certificates:
            if not self._library.X509_STORE_add_cert(store, certificate):
                self._library.ERR_clear_error()
                raise ValueError("OpenSSL did not take a certificate")

    def __del__(self) -> None:
        while self._certificates:  # the contexts have counted theirs
            self._library.X509_free(self._certificates.pop())


def _library() -> ctypes.PyDLL:
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
    pointer = ctypes.c_void_p
    library.d2i_X509.argtypes, library.d2i_X509.restype = (pointer, pointer, ctypes.c_long), pointer
    library.SSL_CTX_get_cert_store.argtypes, library.SSL_CTX_get_cert_store.restype = (pointer,), pointer
    library.X509_STORE_add_cert.argtypes = pointer, pointer
    library.X509_free.argtypes, library.X509_free.restype = (pointer,), None
    return library


def _ssl_ctx(context: ssl.SSLContext) -> int:
    """The address of OpenSSL's object behind `context`.

    Raises `ValueError` if the memory there is not laid out as we know it: then nothing is done with that address.
    """
    if not isinstance(context, _ssl._SSLContext) or _ssl._SSLContext.__basicsize__ < ctypes.sizeof(_Context):
        raise ValueError("this is not CPython's context")
    view = _Context.from_address(id(context))
    protocol = context.protocol
    as_expected = view.following[0] == protocol or list(view.following) == [context._host_flags, protocol]  # type: ignore[attr-defined, unused-ignore]
    if not view.ctx or view.check_hostname != context.check_hostname or not as_expected:
        raise ValueError("its contexts are not laid out as they were up to CPython 3.15")
    address: int = view.ctx
    return address
