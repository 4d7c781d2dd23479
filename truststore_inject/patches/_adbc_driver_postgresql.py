"""ADBC's driver for PostgreSQL carries a libpq whose OpenSSL looks under /etc/ssl for ``sslrootcert=system``.

That is Debian's location; on Red Hat's systems there is nothing.
"""

from . import libpq, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> None:
    """Wrap ``connect``, which ``adbc_driver_postgresql.dbapi`` uses too."""
    wrapping.wrap(module, "connect", _connect)


def unpatch(module: "ModuleType") -> None:
    """Put the function back."""
    wrapping.unwrap(module)


def _connect(
    wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> "Any":
    if args:
        args = (_with_system_store(args[0]), *args[1:])
    elif "uri" in kwargs:
        kwargs = {**kwargs, "uri": _with_system_store(kwargs["uri"])}
    return wrapped(*args, **kwargs)


def _with_system_store(uri: object) -> object:
    given = libpq.parse(uri) if isinstance(uri, str) else None
    ours = {} if given is None else libpq.trust(given)
    return libpq.change(str(uri), ours) if ours else uri
