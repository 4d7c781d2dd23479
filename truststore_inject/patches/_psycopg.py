"""psycopg's binary wheel brings an OpenSSL whose default locations exist nowhere: ``sslrootcert=system`` fails there.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLROOTCERT
"""

from . import libpq, part, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> str | None:
    """Wrap the function that all connections, sync and async, are made with."""
    if part(module, "pq").__impl__ != "binary":
        return "its libpq is not the binary wheel's"

    def connect(
        wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> "Any":
        if args:
            args = (_with_system_store(part(module, "conninfo"), args[0]), *args[1:])
        return wrapped(*args, **kwargs)

    wrapping.wrap(part(module, "generators"), "connect", connect)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the function back."""
    wrapping.unwrap(part(module, "generators"))


def _with_system_store(module: "ModuleType", conninfo: str) -> str:
    """`conninfo`, as libpq takes it, with a file in the place of ``system``; `module` is ``psycopg.conninfo``."""
    ours = libpq.trust(module.conninfo_to_dict(conninfo))
    return str(module.make_conninfo(conninfo, **ours)) if ours else conninfo
