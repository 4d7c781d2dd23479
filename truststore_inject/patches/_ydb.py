"""ydb carries a bundle as the text of a module, and gives it to grpc unless ``root_certificates`` is named."""

import sys

from . import ON_DEMAND, part, system_bytes, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> str | None:
    """Wrap the function that gives the bundle."""
    if sys.platform == "win32":
        return ON_DEMAND
    wrapping.wrap(part(module, "default_pem"), "load_default_pem", _load_default_pem)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put the function back."""
    wrapping.unwrap(part(module, "default_pem"))


def _load_default_pem(
    wrapped: "Callable[..., bytes]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> bytes:
    carried = wrapped(*args, **kwargs)
    system = system_bytes()
    return carried if system is None else system
