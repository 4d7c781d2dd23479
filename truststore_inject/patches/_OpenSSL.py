"""pyOpenSSL has contexts and stores of its own; what loads a library's bundle into them gets the system store instead.

Its ``set_default_verify_paths`` reads the places of the OpenSSL in cryptography's wheel: nothing on Windows, on macOS
Homebrew's.  A context does not say whether it is a server's: there a bundle is replaced too.
https://www.pyopenssl.org/en/latest/api/ssl.html#OpenSSL.SSL.Context.set_default_verify_paths
"""

from . import system_file, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> None:
    """Wrap the three methods."""
    wrapping.wrap(module.SSL.Context, "load_verify_locations", _load_locations)
    wrapping.wrap(module.SSL.Context, "set_default_verify_paths", _set_default_verify_paths)
    if hasattr(module.crypto.X509Store, "load_locations"):  # since 20.0
        wrapping.wrap(module.crypto.X509Store, "load_locations", _load_locations)


def unpatch(module: "ModuleType") -> None:
    """Put the three methods back."""
    wrapping.unwrap(module.SSL.Context)
    wrapping.unwrap(module.crypto.X509Store)


def _load_locations(
    wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> None:
    try:
        from ..stores import _bundled

        own = _bundled.without_defaults(*args, **kwargs)
    except Exception:  # wrong arguments: stock says so in its own words; or the package was half removed meanwhile
        own = None
    path = None if own is None else system_file()
    if own is None or path is None:
        wrapped(*args, **kwargs)
        return
    if own[0] is not None or own[1] is not None:
        wrapped(own[0], own[1])
    wrapped(path)


def _set_default_verify_paths(
    wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> None:
    path = system_file()
    if path is None:
        wrapped(*args, **kwargs)
    else:
        instance.load_verify_locations(path)
