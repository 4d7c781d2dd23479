"""couchbase's C++ core looks for anchors under /etc/ssl, Debian's location, and in a compiled-in list.

For the hosts of Couchbase Capella it has a compiled-in CA, which it ignores once a file is named: these are left alone.
https://docs.couchbase.com/python-sdk/current/howtos/managing-connections.html
"""

import sys

from . import ON_DEMAND, Submodule, default_file, submodules, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_CAPELLA = "cloud.couchbase.com"  # the core's own test of a host


def patch(module: "ModuleType") -> None:
    """Have its submodule patched when it is imported."""
    submodules["couchbase.logic.cluster_settings"] = Submodule(_patch, _unpatch)


def unpatch(module: "ModuleType") -> None:
    """Nothing of the package itself was replaced."""


def _patch(settings: "ModuleType") -> str | None:
    if sys.platform == "win32":
        return ON_DEMAND
    if not hasattr(settings, "ClusterSettings"):
        return "this version has no ClusterSettings"
    wrapping.wrap(settings.ClusterSettings, "build_cluster_settings", _build)
    return None


def _unpatch(settings: "ModuleType") -> None:
    if hasattr(settings, "ClusterSettings"):
        wrapping.unwrap(settings.ClusterSettings)


def _build(wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Any":
    settings = wrapped(*args, **kwargs)
    try:
        _trust(settings.connstr, settings.auth, settings.cluster_options)
    except Exception:  # another version's settings: its own default stays
        pass
    return settings


def _trust(address: str, auth: "dict[str, Any]", options: "dict[str, Any]") -> None:
    given = {**auth, **options}
    if not _verifies(address) or given.get("tls_verify") == "none":
        return
    path = default_file(given.get("trust_store_path"))
    if path is not None:
        options["trust_store_path"] = path
        if "trust_store_path" in auth:
            auth["trust_store_path"] = path


def _verifies(address: str) -> bool:
    """Whether TLS is spoken to hosts other than Capella's."""
    scheme, _, hosts = address.partition("://")
    names = [host.partition(":")[0] for host in hosts.partition("/")[0].split(",")]
    return scheme == "couchbases" and not any(name.endswith(_CAPELLA) for name in names)
