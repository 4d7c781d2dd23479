"""What the strict checks of Python 3.13 (VERIFY_X509_STRICT) find wrong with an anchor: OpenSSL is asked, by ctypes.

Stock Python offers no way to verify a certificate without a handshake.
https://docs.openssl.org/3.0/man3/X509_VERIFY_PARAM_set_flags/
https://docs.python.org/3/whatsnew/3.13.html#ssl
"""

import _ssl
import ctypes
import functools
import ssl
from typing import Any

_X509_STRICT, _PARTIAL_CHAIN, _NO_CHECK_TIME = 0x20, 0x80000, 0x200000
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_ASCII = 0x1001  # MBSTRING_ASC


class Unavailable(Exception):
    """OpenSSL cannot be asked here."""


def faults(anchor: bytes) -> list[str]:
    """What is wrong with `anchor` (DER), in OpenSSL's words; nothing if it passes.  Raises `Unavailable`."""
    library = _openssl()
    certificate = _read(library, anchor)
    if not certificate:
        return ["OpenSSL cannot read it"]
    # It checks the CA of a chain, so there has to be one: a copy that claims `anchor` as its issuer.  That its
    # signature is wrong is found last, and does not matter.
    child, name = _read(library, anchor), library.X509_NAME_new()
    store, context = library.X509_STORE_new(), library.X509_STORE_CTX_new()
    found: list[str] = []

    def keep(passed: int, context: int) -> int:
        if not passed and library.X509_STORE_CTX_get_error_depth(context) == 1:
            code = library.X509_STORE_CTX_get_error(context)
            found.append(library.X509_verify_cert_error_string(code).decode())
        return 1

    callback = _CALLBACK(keep)
    try:
        library.X509_NAME_add_entry_by_txt(name, b"CN", _ASCII, b"server.example", -1, -1, 0)
        library.X509_set_subject_name(child, name)
        library.X509_set_issuer_name(child, library.X509_get_subject_name(certificate))
        library.X509_STORE_add_cert(store, certificate)
        if library.X509_STORE_CTX_init(context, store, child, None):
            library.X509_STORE_CTX_set_flags(context, _X509_STRICT | _PARTIAL_CHAIN | _NO_CHECK_TIME)
            library.X509_STORE_CTX_set_verify_cb(context, callback)
            library.X509_verify_cert(context)
    finally:
        library.X509_STORE_CTX_free(context)
        library.X509_STORE_free(store)
        library.X509_NAME_free(name)
        library.X509_free(child)
        library.X509_free(certificate)
        library.ERR_clear_error()  # otherwise the ssl module takes it for an error of its next call
    return list(dict.fromkeys(found))


def _read(library: Any, der: bytes) -> Any:
    buffer = ctypes.create_string_buffer(der, len(der))
    return library.d2i_X509(None, ctypes.byref(ctypes.c_void_p(ctypes.addressof(buffer))), len(der))


@functools.cache
def _openssl() -> Any:
    """The library that ``_ssl`` is linked with.  Raises `Unavailable`."""
    if ssl.OPENSSL_VERSION_INFO < (3,):
        raise Unavailable("OpenSSL before 3.0 has no such checks")
    pointer, number = ctypes.c_void_p, ctypes.c_int
    prototypes: dict[str, tuple[Any, ...]] = {
        "d2i_X509": (pointer, pointer, pointer, ctypes.c_long),
        "X509_free": (None, pointer),
        "X509_get_subject_name": (pointer, pointer),
        "X509_set_subject_name": (number, pointer, pointer),
        "X509_set_issuer_name": (number, pointer, pointer),
        "X509_NAME_new": (pointer,),
        "X509_NAME_free": (None, pointer),
        "X509_NAME_add_entry_by_txt": (
            number,
            pointer,
            ctypes.c_char_p,
            number,
            ctypes.c_char_p,
            number,
            number,
            number,
        ),
        "X509_STORE_new": (pointer,),
        "X509_STORE_free": (None, pointer),
        "X509_STORE_add_cert": (number, pointer, pointer),
        "X509_STORE_CTX_new": (pointer,),
        "X509_STORE_CTX_free": (None, pointer),
        "X509_STORE_CTX_init": (number, pointer, pointer, pointer, pointer),
        "X509_STORE_CTX_set_flags": (None, pointer, ctypes.c_ulong),
        "X509_STORE_CTX_set_verify_cb": (None, pointer, _CALLBACK),
        "X509_STORE_CTX_get_error": (number, pointer),
        "X509_STORE_CTX_get_error_depth": (number, pointer),
        "X509_verify_cert": (number, pointer),
        "X509_verify_cert_error_string": (ctypes.c_char_p, ctypes.c_long),
        "ERR_clear_error": (None,),
    }
    try:
        library = ctypes.PyDLL(_ssl.__file__)
        for name, (result, *arguments) in prototypes.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError) as error:  # linked in, or hidden
        raise Unavailable(f"its OpenSSL cannot be asked: {error}") from None
    return library
