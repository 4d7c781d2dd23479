"""fiona carries a GDAL, and gives certifi's file to its libcurl."""

from . import gdal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def patch(module: "ModuleType") -> str | None:
    """Give the system store to its GDAL."""
    return gdal.use_system_store_in_environments(module)


def unpatch(module: "ModuleType") -> None:
    """Give certifi's file back to it."""
    gdal.put_back_in_environments(module)
