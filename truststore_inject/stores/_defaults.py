"""The one place that answers: does what a program loads mean default trust?

A library's own bundle does: the system store takes its place.  The machine's default, named by its path, does too: it
is loaded as named, together with what the settings add.  Everything else is the program's own choice and is loaded
exactly as it is.
"""

from . import _carried
from ._carried import PLACEHOLDER as PLACEHOLDER
from ._carried import library as library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Request:
    """What the arguments of ``load_verify_locations`` mean."""

    def __init__(self) -> None:
        self.own: dict[str, Any] = {}  # what is loaded as named
        self.carried: dict[str, Any] = {}  # what the system store replaces
        self.bundles: list[Any] = []  # the paths of those bundles
        self.default: str | None = None  # "cafile" or "capath", if that names the machine's default


def request(
    is_default: "Callable[[Any], bool]",
    is_carried: "Callable[[Any], bool]",
    cafile: object = None,
    capath: object = None,
    cadata: object = None,
) -> Request:
    """What these arguments mean.  Raises `TypeError` for others.

    The functions say, of a path, whether it is the machine's default, and whether a tool carries it for OpenSSL.
    """
    asked = Request()
    for name, path in (("cafile", cafile), ("capath", capath)):
        if path is None:
            continue
        if _carried.library(path) is not None or is_carried(path):
            asked.carried[name] = path
            asked.bundles.append(path)
            continue
        asked.own[name] = path
        if is_default(path):
            asked.default = name
    if cadata is not None:
        bundle = _carried.contents(cadata) if isinstance(cadata, str) else None
        if bundle is None:
            asked.own["cadata"] = cadata
        else:
            asked.carried["cadata"] = cadata
            asked.bundles.append(bundle)
    return asked
