"""Contexts that a library built before the injection, and keeps in its module globals."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

# What must be as in a new context of the library's: otherwise the program has changed this one, and it is left alone.
# Not verify_flags: TRUSTSTORE_INJECT_X509_STRICT may change them.
_SETTINGS = ("protocol", "verify_mode", "check_hostname", "options", "minimum_version", "maximum_version")

# What was replaced: the module and the name, the library's context, and the new one.
_renewed: "list[tuple[ModuleType, str, ssl.SSLContext, ssl.SSLContext]]" = []


def renew(
    modules: "Iterable[ModuleType]", name: str, make: "Callable[[], ssl.SSLContext]", known: "Iterable[bytes]"
) -> str | None:
    """Replace the context that is the global `name` of `modules` by a new one of `make`, the library's own function.

    `known` are the anchors (DER) that the old context was made with.  Return the reason if it stays as it is.
    """
    new = None
    for module in modules:
        old = getattr(module, name)
        if any(old is renewed for *_, renewed in _renewed):
            continue
        if new is None:
            new = make()
            reason = _keep_own(old, new, known)
            if reason is not None:
                return f"{name}: {reason}"
        _renewed.append((module, name, old, new))
        setattr(module, name, new)
    return None


def put_back(module: "ModuleType") -> None:
    """Put the contexts of `module` back, unless somebody has replaced ours."""
    for entry in [entry for entry in _renewed if entry[0] is module]:
        _, name, old, new = entry
        if getattr(module, name, None) is new:
            setattr(module, name, old)
        _renewed.remove(entry)


def renew_cached(make: "Any", *arguments: object, known: "Iterable[bytes]") -> str | None:
    """Renew the context that `make`, a function under `functools.lru_cache`, has cached.

    Return the reason if it stays as it is.
    """
    if not make.cache_info().currsize:
        return None
    old = make(*arguments)
    reason = _keep_own(old, make.__wrapped__(*arguments), known)
    if reason is None:
        make.cache_clear()
        _keep_own(old, make(*arguments), known)
    return reason


def _keep_own(old: "ssl.SSLContext", new: "ssl.SSLContext", known: "Iterable[bytes]") -> str | None:
    """Add the anchors that somebody added to `old` to `new`.  Return the reason if `new` can't take its place."""
    changed = [setting for setting in _SETTINGS if getattr(old, setting, None) != getattr(new, setting, None)]
    if type(old) is not type(new) or changed:
        return f"the context is not the library's own any more ({', '.join(changed) or type(old).__name__})"
    own = set(old.get_ca_certs(binary_form=True)).difference(known)
    if own:
        new.load_verify_locations(cadata=b"".join(own))
    return None


def stock_anchors() -> list[bytes]:
    """The anchors (DER) of a stock default context; as in stock, without those in a hashed directory."""
    import ssl  # here: a Python without it has libraries to patch too

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stock = ssl.SSLContext.set_default_verify_paths
    getattr(stock, "__wrapped__", stock)(context)
    if hasattr(ssl, "enum_certificates"):
        for store in ("CA", "ROOT"):
            context._load_windows_store_certs(store, ssl.Purpose.SERVER_AUTH)  # type: ignore[attr-defined]
    return context.get_ca_certs(binary_form=True)
