"""aiohttp keeps one context for all connectors: made when it is imported; before 3.10.6, when it is first needed."""

from . import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def patch(module: "ModuleType") -> str | None:
    """Renew the context, if aiohttp was imported before the injection."""
    from . import late

    if "aiohttp" not in late:
        return None
    from . import contexts

    connector = part(module, "connector")
    if hasattr(connector, "_SSL_CONTEXT_VERIFIED"):
        return contexts.renew(
            [connector], "_SSL_CONTEXT_VERIFIED", lambda: connector._make_ssl_context(True), contexts.stock_anchors()
        )
    if hasattr(connector.TCPConnector._make_ssl_context, "cache_info"):
        return contexts.renew_cached(connector.TCPConnector._make_ssl_context, True, known=contexts.stock_anchors())
    _forget(connector)
    return None


def unpatch(module: "ModuleType") -> None:
    """Put aiohttp's own context back; an older aiohttp makes a new one."""
    from . import contexts

    connector = part(module, "connector")
    contexts.put_back(connector)
    if not hasattr(connector, "_SSL_CONTEXT_VERIFIED"):
        _forget(connector)


def _forget(connector: "ModuleType") -> None:
    cls = connector.TCPConnector
    if hasattr(cls, "_made_ssl_context"):  # 3.10.3 to 3.10.5
        cls._made_ssl_context.pop(True, None)
    else:
        cls._make_ssl_context.cache_clear()
