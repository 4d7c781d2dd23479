"""requests sends nothing if certifi's file is missing; 2.32.0 to 2.32.4 build one context when they are imported."""

import os

from . import own, part

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from types import ModuleType

# For each patched module: its DEFAULT_CA_BUNDLE_PATH, and what stands in for it.
_replaced: "dict[ModuleType, tuple[str, str]]" = {}


def patch(module: "ModuleType") -> str | None:
    """Let requests start where certifi's file is missing; renew the context, if it is older than the injection."""
    from . import late

    adapters = part(module, "adapters")
    bundle = adapters.DEFAULT_CA_BUNDLE_PATH
    if not os.path.exists(bundle):
        _defaults = own("stores._defaults")
        if _defaults.library(bundle) is not None:
            _replaced[module] = bundle, _defaults.PLACEHOLDER
            adapters.DEFAULT_CA_BUNDLE_PATH = _defaults.PLACEHOLDER
    if "requests" not in late or getattr(adapters, "_preloaded_ssl_context", None) is None:
        return None
    from . import contexts

    def make() -> "ssl.SSLContext":
        context: ssl.SSLContext = adapters.create_urllib3_context()
        context.load_verify_locations(bundle)
        return context

    known = own("stores._bundle").read(bundle).certificates() if os.path.exists(bundle) else []
    return contexts.renew([adapters], "_preloaded_ssl_context", make, known)


def unpatch(module: "ModuleType") -> None:
    """Put back the path and the context."""
    adapters = part(module, "adapters")
    bundle, placeholder = _replaced.get(module, ("", ""))
    if bundle and placeholder == adapters.DEFAULT_CA_BUNDLE_PATH:
        adapters.DEFAULT_CA_BUNDLE_PATH = bundle
    _replaced.pop(module, None)
    from . import contexts

    contexts.put_back(adapters)
