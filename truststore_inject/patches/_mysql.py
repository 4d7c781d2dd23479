"""mysql-connector-python's C extension: its OpenSSL looks at a place that exists on no machine, /usr/local/mysql/ssl.

So ``ssl_verify_cert`` without ``ssl_ca`` refuses every server there.  With ``use_pure`` it uses Python's ``ssl``.
https://dev.mysql.com/doc/connector-python/en/connector-python-connectargs.html
"""

from . import Submodule, default_file, submodules, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> None:
    """Have its submodule patched when it is imported."""
    submodules["mysql.connector.connection_cext"] = Submodule(_patch, _unpatch)


def unpatch(module: "ModuleType") -> None:
    """Nothing of the package itself was replaced."""


def _patch(cext: "ModuleType") -> str | None:
    if not hasattr(cext, "CMySQLConnection"):
        return "the C extension is not there"
    wrapping.wrap(cext.CMySQLConnection, "_open_connection", _open_connection)
    return None


def _unpatch(cext: "ModuleType") -> None:
    if hasattr(cext, "CMySQLConnection"):
        wrapping.unwrap(cext.CMySQLConnection)


def _open_connection(
    wrapped: "Callable[..., None]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> None:
    options = getattr(instance, "_ssl", {})
    path = default_file(options.get("ca")) if options.get("verify_cert") else None
    if path is None:
        wrapped(*args, **kwargs)
        return
    instance._ssl = {**options, "ca": path}
    try:
        wrapped(*args, **kwargs)
    finally:
        instance._ssl = options
