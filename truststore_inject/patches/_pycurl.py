"""libcurl's default CA is a path that was fixed when it was built, or that pycurl finds; a handle's options replace it.

So ``pycurl.Curl`` becomes a subclass of stock's: subclassing it, `isinstance` and pickling work as before.  A handle is
given the store as bytes: there is no file that can be swept away, or that another user, whom the process became, has to
open.  A CA that the program gives to a handle replaces the default, as usual; libcurl prefers bytes to a path, so ours
are removed where the program sets a path.
https://curl.se/libcurl/c/CURLOPT_CAINFO_BLOB.html
"""

from . import system_bytes, system_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# For each patched module: stock's class and ours.
_replaced: "dict[ModuleType, tuple[type, type]]" = {}


def patch(module: "ModuleType") -> str | None:
    """Replace ``pycurl.Curl``, so that a handle has the system store as its default."""
    if module in _replaced:
        return None
    library = module.version_info()[5] or ""
    if "OpenSSL" not in library and "GnuTLS" not in library:
        return f"its libcurl uses {library}, which has the system's store"
    if not hasattr(module, "CAINFO"):
        return "its libcurl has no CAINFO"
    stock, ours = module.Curl, _derive(module)
    _replaced[module] = stock, ours
    module.Curl = ours  # type: ignore[attr-defined]
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the class back.  Handles that were made with the store keep it."""
    stock, ours = _replaced.pop(module, (None, None))
    if ours is not None and module.Curl is ours:
        module.Curl = stock  # type: ignore[attr-defined]


def _derive(module: "ModuleType") -> type:
    stock: Any = module.Curl
    # For servers and for proxies: the option that takes a path, and the one that takes bytes, since libcurl 7.77.
    options = {
        getattr(module, path): getattr(module, f"{path}_BLOB", None)
        for path in ("CAINFO", "PROXY_CAINFO")
        if hasattr(module, path)
    }

    def give_store(handle: "Any", path_option: int) -> None:
        """Make the store the default: as bytes, or as a path, which a path of the program's simply replaces."""
        if module not in _replaced:
            return
        text = system_bytes()
        if text is not None and options[path_option] is not None:
            try:
                stock.setopt(handle, options[path_option], text)
                return
            except module.error:  # GnuTLS has no bytes before libcurl 8.18, and none for proxies
                pass
        path = system_file()
        if path is not None:
            stock.setopt(handle, path_option, path)

    def start_anew(handle: "Any") -> None:
        handle._truststore_inject_chosen = frozenset()  # pycurl keeps it with the handle, and copies it in duphandle
        for path_option in options:
            give_store(handle, path_option)

    def follow(handle: "Any", option: object, *value: object) -> None:
        """The program has set or unset `option`."""
        for path_option, bytes_option in options.items():
            if bytes_option is None or option not in (path_option, bytes_option):
                continue
            chosen = set(handle._truststore_inject_chosen)
            if option == bytes_option and value in ((), (None,)):
                chosen.discard(option)
            else:
                chosen.add(option)
            handle._truststore_inject_chosen = frozenset(chosen)
            if bytes_option not in chosen:
                if path_option in chosen:
                    stock.unsetopt(handle, bytes_option)
                else:
                    give_store(handle, path_option)

    class Curl(stock):  # type: ignore[misc]
        __doc__ = stock.__doc__
        __module__ = stock.__module__
        __qualname__ = stock.__qualname__
        __slots__ = ()

        def __new__(cls, *args: "Any", **kwargs: "Any") -> "Any":
            handle = stock.__new__(cls, *args, **kwargs)  # not in __init__: a subclass need not call that
            start_anew(handle)
            return handle

        def reset(self) -> "Any":
            result = super().reset()
            start_anew(self)
            return result

        def setopt(self, *args: "Any") -> "Any":
            result = super().setopt(*args)
            follow(self, *args)
            return result

        def setopt_string(self, *args: "Any") -> "Any":
            result = super().setopt_string(*args)
            follow(self, *args)
            return result

        def unsetopt(self, *args: "Any") -> "Any":
            result = super().unsetopt(*args)
            follow(self, *args)
            return result

    return Curl
