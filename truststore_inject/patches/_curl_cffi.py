"""curl_cffi gives certifi's bundle to its libcurl, unless a variable or OpenSSL's default names another.

A file named by ``CURL_CA_BUNDLE`` or ``verify=`` is the user's own, and does not come this way.
"""

import os

from . import own, part, system_file, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> str | None:
    """Wrap the method that gives a handle its bundle, if nobody gave it one."""
    curl = part(module, "curl").Curl
    if not hasattr(curl, "_ensure_cacert"):  # before 0.5.10
        return "this version has no Curl._ensure_cacert"
    wrapping.wrap(curl, "_ensure_cacert", _ensure_cacert)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the method back."""
    wrapping.unwrap(part(module, "curl").Curl)


def _ensure_cacert(
    wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> None:
    try:
        if own("stores._defaults").library(instance._cacert) is not None:
            instance._cacert = system_file(os.path.abspath(instance._cacert)) or instance._cacert
    except Exception:  # the package was half removed after this process started
        pass
    wrapped(*args, **kwargs)
