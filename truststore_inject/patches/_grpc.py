"""gRPC's C core asks for the roots once, and grpcio answers with the ``roots.pem`` that it carries.

A file that the user names in ``GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`` is read by the core itself, before it asks.
https://grpc.github.io/grpc/cpp/grpc__security__constants_8h.html
"""

import os
import sys

from . import system_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_PACKAGE = "grpc._cython"
_TAIL = os.path.join("_credentials", "roots.pem")


def patch(module: "ModuleType") -> str | None:
    """Let the loader of ``grpc._cython``, an object of its own, give the system store as ``roots.pem``."""
    if _PACKAGE not in sys.modules:  # -X lazy_imports=all
        __import__(_PACKAGE)
    loader = getattr(sys.modules[_PACKAGE], "__loader__", None)
    stock = getattr(loader, "get_data", None)
    if stock is None or "get_data" in vars(loader):
        return None if stock is not None else f"the loader of {_PACKAGE} has no get_data: {loader!r}"

    def get_data(path: str) -> bytes:
        if os.path.normpath(path).endswith(os.sep + _TAIL):
            system = system_bytes(os.path.abspath(path))
            if system is not None:
                return system
        data: bytes = stock(path)
        return data

    _loaders[module] = loader, get_data
    loader.get_data = get_data  # type: ignore[union-attr]
    return None


def unpatch(module: "ModuleType") -> None:
    """Give the loader its own ``get_data`` back.  The core keeps what it has read as long as the process lives."""
    loader, ours = _loaders.get(module, (None, None))
    if loader is not None and vars(loader).get("get_data") is ours:
        del loader.get_data  # type: ignore[attr-defined]
    _loaders.pop(module, None)


# The loader of each patched module, and its replacement.
_loaders: "dict[ModuleType, tuple[object, object]]" = {}
