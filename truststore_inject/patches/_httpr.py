"""httpr uses compiled-in anchors, unless ``ca_cert_file`` or the variable ``HTTPR_CA_BUNDLE`` names a file."""

import os
import sys

from . import ON_DEMAND, default_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# For each patched module, its client's ``__new__``.
_replaced: "dict[ModuleType, Any]" = {}


def patch(module: "ModuleType") -> str | None:
    """Replace the client's ``__new__``, which takes the arguments, also those of the asynchronous client.

    Not with wrapt: before 1.17 it fails where a function in C has that name.
    """
    if sys.platform == "win32":
        return ON_DEMAND
    client = module.Client
    code = client.__init__.__code__  # it does nothing, and documents the parameters
    names = code.co_varnames[1 : code.co_argcount]
    if "ca_cert_file" not in names:
        return "this version documents no ca_cert_file"
    if "__new__" in vars(client):
        return None if vars(client)["__new__"] is _replaced.get(module) else "its Client has a __new__ of its own"
    stock = client.__new__

    def new(cls: "type[Any]", *args: "Any", **kwargs: "Any") -> "Any":
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
        return stock(cls, *args, **kwargs)

    new.__wrapped__ = client.__init__  # type: ignore[attr-defined]  # inspect.signature() is as in stock
    _replaced[module] = staticmethod(new)
    client.__new__ = _replaced[module]
    return None


def unpatch(module: "ModuleType") -> None:
    """Delete it: the class has none of its own."""
    ours = _replaced.pop(module, None)
    if ours is not None and vars(module.Client).get("__new__") is ours:
        del module.Client.__new__
