"""httpr has anchors compiled in, where nobody names a ``ca_cert_file``, the variable ``HTTPR_CA_BUNDLE`` neither."""

import os
import sys

from . import ON_DEMAND, default_file, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def patch(module: "ModuleType") -> str | None:
    """Wrap ``__new__`` of the client: that is what takes the arguments, also of the asynchronous one."""
    if sys.platform == "win32":
        return ON_DEMAND
    code = module.Client.__init__.__code__  # it takes nothing, and documents the parameters
    names = code.co_varnames[: code.co_argcount]
    if "ca_cert_file" not in names:
        return "this version documents no ca_cert_file"

    def new(wrapped: "Callable[..., Any]", instance: "Any", args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Any":
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        named = given.get("ca_cert_file")
        if named is None:
            named = os.environ.get("HTTPR_CA_BUNDLE")
        path = None if named == "" or given.get("verify") is False else default_file(named)  # it refuses an empty one
        if path is not None:
            place = names.index("ca_cert_file")
            if len(args) > place:
                args = (*args[:place], path, *args[place + 1 :])
            else:
                kwargs = {**kwargs, "ca_cert_file": path}
        return wrapped(*args, **kwargs)

    wrapping.wrap(module.Client, "__new__", new)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put it back."""
    wrapping.unwrap(module.Client)
