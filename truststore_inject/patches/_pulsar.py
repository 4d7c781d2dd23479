"""pulsar-client gives certifi's file to its C++ core, unless ``tls_trust_certs_file_path`` is named."""

from . import default_file, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_METHOD = "tls_trust_certs_file_path"


def patch(module: "ModuleType") -> str | None:
    """Wrap the method of the core's that takes the path."""
    if not hasattr(module, "_pulsar"):
        return "it is not pulsar-client's module"
    wrapping.wrap(module._pulsar.ClientConfiguration, _METHOD, _trust)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the method back."""
    if hasattr(module, "_pulsar"):
        wrapping.unwrap(module._pulsar.ClientConfiguration)


def _trust(wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Any":
    path = default_file(args[0]) if args else None
    if path is not None:
        args = (path, *args[1:])
    return wrapped(*args, **kwargs)
