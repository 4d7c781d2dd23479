"""aiohttp 3.10 and newer build one context for all connectors when they are imported."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def patch(module: "ModuleType") -> str | None:
    """Renew the context, if aiohttp was imported before the injection."""
    from . import late

    connector = module.connector
    if "aiohttp" not in late or not hasattr(connector, "_SSL_CONTEXT_VERIFIED"):
        return None
    from . import contexts

    return contexts.renew(
        [connector], "_SSL_CONTEXT_VERIFIED", lambda: connector._make_ssl_context(True), contexts.stock_anchors()
    )


def unpatch(module: "ModuleType") -> None:
    """Put aiohttp's own context back."""
    from . import contexts

    contexts.put_back(module.connector)
