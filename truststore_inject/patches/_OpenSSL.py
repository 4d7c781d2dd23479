"""pyOpenSSL has its own contexts and stores: where a library's bundle would be loaded into one, the system store is.

Its ``set_default_verify_paths`` reads the default locations of the OpenSSL in cryptography's wheel: none on Windows,
Homebrew's on macOS.  A context does not tell whether it is a server's, so a bundle is replaced there too.
https://www.pyopenssl.org/en/latest/api/ssl.html#OpenSSL.SSL.Context.set_default_verify_paths
"""

import os

from . import own, part, system_bytes, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_END = b"-----END CERTIFICATE-----\n"


def patch(module: "ModuleType") -> None:
    """Wrap the three methods."""
    context, store = part(module, "SSL").Context, part(module, "crypto").X509Store
    wrapping.wrap(context, "load_verify_locations", _load_locations)
    wrapping.wrap(context, "set_default_verify_paths", _set_default_verify_paths)
    if hasattr(store, "load_locations"):  # since 20.0
        wrapping.wrap(store, "load_locations", _load_locations)


def unpatch(module: "ModuleType") -> None:
    """Put the three methods back."""
    wrapping.unwrap(part(module, "SSL").Context)
    wrapping.unwrap(part(module, "crypto").X509Store)


def _load_locations(
    wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> None:
    try:
        asked = own("stores").request(*args, **kwargs)
    except Exception:  # the package was half removed meanwhile
        asked = None
    if asked is None or not asked.carried:  # None: wrong arguments, which stock reports in its own words
        wrapped(*args, **kwargs)
        return
    if asked.own:
        wrapped(asked.own.get("cafile"), asked.own.get("capath"))
    if not _add_store(instance, _path(*args, **kwargs)):
        wrapped(*args, **kwargs)


def _path(cafile: "Any" = None, capath: "Any" = None) -> str | None:
    return None if cafile is None else os.path.abspath(os.fsdecode(cafile))


def _set_default_verify_paths(
    wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> None:
    if not _add_store(instance):
        wrapped(*args, **kwargs)


# The store as it was given by `system_bytes`, and its certificates, parsed once for all contexts.
_parsed: "tuple[bytes, list[Any]]" = b"", []


def _add_store(holder: "Any", bundle: str | None = None) -> bool:
    """Add the system store to a ``Context`` or an ``X509Store``, in the place of `bundle`; False if there is none."""
    global _parsed
    text = system_bytes(bundle)
    if text is None:
        return False
    from OpenSSL import crypto

    seen, certificates = _parsed  # read once: another thread may replace it
    if seen != text:
        blocks = [block + _END for block in text.split(_END)[:-1]]
        certificates = [crypto.load_certificate(crypto.FILETYPE_PEM, block) for block in blocks]
        _parsed = text, certificates
    store = holder if isinstance(holder, crypto.X509Store) else holder.get_cert_store()
    for certificate in certificates:
        store.add_cert(certificate)
    return True
