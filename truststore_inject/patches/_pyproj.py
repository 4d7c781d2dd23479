"""pyproj gives certifi's file to PROJ's libcurl, unless a variable names another.

A variable that holds a library's bundle counts as unset: pyogrio, fiona and rasterio put certifi's file there.
https://pyproj4.github.io/pyproj/stable/transformation_grids.html
"""

import os

from . import default_file, is_default, late, part, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

# What PROJ looks at: https://proj.org/en/stable/usage/network.html
_VARIABLES = ("PROJ_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

# The arguments of the last call that stock would have handled differently.
_last: "dict[ModuleType, tuple[tuple[Any, ...], dict[str, Any]]]" = {}


def patch(module: "ModuleType") -> str | None:
    """Wrap ``set_ca_bundle_path``, and call it again as pyproj did when it was imported."""
    network = part(module, "network")
    if not hasattr(network, "set_ca_bundle_path"):  # before 3.0
        return "this version has no network.set_ca_bundle_path"

    def set_ca_bundle_path(
        wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> None:
        _last.pop(module, None)
        try:
            path = _choose(args[0] if args else kwargs.get("ca_bundle_path"))
        except Exception:  # not a path, which stock reports; or there is no certifi
            path = None
        if path is None:
            wrapped(*args, **kwargs)
        else:
            wrapped(path)
            _last[module] = args, kwargs

    wrapping.wrap(network, "set_ca_bundle_path", set_ca_bundle_path)
    if "pyproj" in late:
        return "it does not tell which CA file it has, and keeps it until set_ca_bundle_path() is called again"
    network.set_ca_bundle_path()
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the function back, and let it do what it would have done."""
    network = part(module, "network")
    wrapping.unwrap(network)
    args, kwargs = _last.pop(module, (None, {}))
    if args is not None:
        network.set_ca_bundle_path(*args, **kwargs)


def _choose(given: "Any") -> str | None:
    """The file that takes the place of what stock would choose, or None."""
    if given not in (None, True, False, ""):
        return default_file(given)
    named = map(os.environ.get, _VARIABLES)
    if given is not True and not all(map(is_default, named)):  # True is certifi's file, whatever the variables say
        return None
    import certifi

    return default_file(certifi.where())
