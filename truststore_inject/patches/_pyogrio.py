"""pyogrio carries a GDAL, and gives certifi's file to its libcurl (https://github.com/geopandas/pyogrio/issues/66)."""

from . import gdal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def patch(module: "ModuleType") -> str | None:
    """Give the system store to its GDAL."""
    return gdal.use_system_store(module, *_access(module))


def unpatch(module: "ModuleType") -> None:
    """Give certifi's file back to it."""
    gdal.put_back(module, *_access(module))


def _access(module: "ModuleType") -> "tuple[gdal.Get, gdal.Set]":
    return module.get_gdal_config_option, lambda name, value: module.set_gdal_config_options({name: value})
