"""netCDF4 gives certifi's file to its libcurl at import (https://github.com/Unidata/netcdf4-python/issues/1246)."""

from . import default_file, is_default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_KEY = "HTTP.SSL.CAINFO"

# The library's bundle that was replaced in each patched module, and the system store.
_replaced: "dict[ModuleType, tuple[str, str]]" = {}


def patch(module: "ModuleType") -> str | None:
    """Give the system store to it, if certifi's file is what it has."""
    if not getattr(module, "__has_nc_rc_set__", False):  # before netcdf-c 4.9.0
        return "its netCDF library has no table that can be set"
    if module in _replaced:
        return None
    stock = module.rc_get(_KEY)
    if not is_default(stock):
        return f"{_KEY} is the user's own: {stock}"
    path = default_file(stock)
    if path is None:
        return "no usable system store"
    _replaced[module] = stock, path
    module.rc_set(_KEY, path)
    return None


def unpatch(module: "ModuleType") -> None:
    """Give certifi's file back to it, unless another was chosen meanwhile."""
    stock, ours = _replaced.pop(module, (None, None))
    if ours is not None and module.rc_get(_KEY) == ours:
        module.rc_set(_KEY, stock)
