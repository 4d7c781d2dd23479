"""tornado keeps one client context: made when it is imported; since 6.6, when it is first needed."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_NAME = "_client_ssl_defaults"
_MODULES = ("tornado.netutil", "tornado.iostream", "tornado.simple_httpclient")  # the others import it by its name


def patch(module: "ModuleType") -> str | None:
    """Renew the context, if tornado was imported before the injection."""
    from . import late

    modules = _loaded()
    if "tornado" not in late or not modules:
        return None
    import ssl

    from . import contexts

    old = getattr(modules[0], _NAME)
    if isinstance(old, ssl.SSLContext):

        def make() -> ssl.SSLContext:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
            context.options |= ssl.OP_NO_COMPRESSION
            return context

        return contexts.renew(modules, _NAME, make, contexts.stock_anchors())
    return contexts.renew_cached(old, known=contexts.stock_anchors())


def unpatch(module: "ModuleType") -> None:
    """Put the context back; since 6.6, let tornado make a new one."""
    from . import contexts

    for loaded in _loaded():
        contexts.put_back(loaded)
        if hasattr(getattr(loaded, _NAME), "cache_clear"):
            getattr(loaded, _NAME).cache_clear()


def _loaded() -> "list[ModuleType]":
    return [sys.modules[name] for name in _MODULES if hasattr(sys.modules.get(name), _NAME)]
