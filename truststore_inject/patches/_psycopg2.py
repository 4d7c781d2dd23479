"""psycopg2's binary wheel brings an OpenSSL whose default locations exist nowhere: ``sslrootcert=system`` fails there.

https://github.com/psycopg/psycopg/issues/928
"""

from . import libpq, part, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> str | None:
    """Wrap the function that ``connect`` makes connections with."""
    if module.__libpq_version__ < 160000:
        return "its libpq is older than sslrootcert=system (16)"

    def connect(
        wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> "Any":
        if args:
            args = (_with_system_store(part(module, "extensions"), args[0]), *args[1:])
        return wrapped(*args, **kwargs)

    wrapping.wrap(module, "_connect", connect)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the function back."""
    wrapping.unwrap(module)


def _with_system_store(module: "ModuleType", dsn: str) -> str:
    """`dsn` with a file in the place of ``system``; `module` is ``psycopg2.extensions``."""
    try:
        given = module.parse_dsn(dsn)
    except Exception:  # not a string, or not libpq's: stock reports it in its own words
        return dsn
    ours = libpq.trust(given)
    return str(module.make_dsn(dsn, **ours)) if ours else dsn
