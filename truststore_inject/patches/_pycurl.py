"""libcurl's default CA is a path that was fixed when it was built; the one in pycurl's wheels is Red Hat's.

A CA that the program gives to a handle (``CAINFO``, ``CAINFO_BLOB``) takes the place of the default, as ever.
https://curl.se/libcurl/c/CURLOPT_CAINFO.html
"""

from . import system_file, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> str | None:
    """Wrap ``pycurl.Curl``, so that a new handle has the system store as its default."""
    library = module.version_info()[5] or ""
    if "OpenSSL" not in library and "GnuTLS" not in library:
        return f"its libcurl uses {library}, which has the system's store"
    if not hasattr(module, "CAINFO"):
        return "its libcurl has no CAINFO"
    options = [getattr(module, name) for name in ("CAINFO", "PROXY_CAINFO") if hasattr(module, name)]

    def curl(
        wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> "Any":
        handle = wrapped(*args, **kwargs)
        path = system_file()
        if path is not None:
            for option in options:
                handle.setopt(option, path)
        return handle

    wrapping.wrap(module, "Curl", curl)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the class back."""
    wrapping.unwrap(module)
