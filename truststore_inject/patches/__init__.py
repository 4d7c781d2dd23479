"""One file for each library, named after the module that it patches: ``_requests.py`` patches ``requests``.

A new library is one new file, and its name in the two lists that a test compares with this folder: `_startup.PATCHES`
and `_hook.import_all`.  Importing a patch file changes nothing.  Each has the two functions of `Patch`.

A submodule that is imported later than its package (``urllib3.contrib.pyopenssl``) is put into `submodules` by
``patch`` of the package's file: the finder knows the names of the files only, so that start-up need not read them.
Contexts that a library built before the injection are renewed by `contexts`, what needs wrapt goes through `wrapping`,
and what several libraries share is in `gdal` and `libpq`: files without the underscore that makes a file a patch.
"""

import os
import sys

from .. import _record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Protocol

    from .._startup import PatchFinder

    class Patch(Protocol):
        """The interface of a patch file."""

        def patch(self, module: ModuleType) -> str | None:
            """Patch the imported `module`; a second call changes nothing.

            Return the reason if there is nothing to patch here, else None.  If it raises, `unpatch` is called.
            """

        def unpatch(self, module: ModuleType) -> None:
            """Put back exactly what `patch` replaced, even if it replaced only part of it."""


def part(module: "ModuleType", name: str) -> "Any":
    """The submodule `name` of a library: with ``-X lazy_imports=all`` its package imports it when it is first used.

    https://peps.python.org/pep-0810/
    """
    if not hasattr(module, name):
        __import__(f"{module.__name__}.{name}")
    return getattr(module, name)


finder: "PatchFinder | None" = None  # the hook says which


def own(name: str) -> "ModuleType":
    """A part of this package, imported when it is first needed.

    Raises an `Exception` if it is not there: the package may be half removed since this process started.
    """
    if finder is None:
        __import__(f"truststore_inject.{name}")
        return sys.modules[f"truststore_inject.{name}"]
    return finder.own(name)


def system_bytes(bundle: str | None = None) -> bytes | None:
    """The system store as PEM in the place of a library's own `bundle`, see `stores._export.pem_bytes`.

    Also None if the package was half removed after this process started: the library's own default stays.
    """
    export = _export()
    text: bytes | None = None if export is None else export.pem_bytes(bundle)
    return text


def system_file(bundle: str | None = None) -> str | None:
    """As `system_bytes`, but the path of a file, for what takes no bytes, see `stores._export.pem_file`."""
    export = _export()
    path: str | None = None if export is None else export.pem_file(bundle)
    return path


def is_default(named: object) -> bool:
    """Whether the CA file `named` means default trust, see `stores._defaults`.  So does naming none.

    The machine's own bundle does if it is the store and the settings add something to it.  If the package was half
    removed after this process started, a path counts as the user's own.
    """
    if named is None or named == "":
        return True
    try:
        from .. import _settings

        asked = own("stores").request(named)
        if asked is None or asked.carried or not asked.default:
            return asked is not None and bool(asked.carried)
        variables = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        return _settings.extra_ca_certs() is not None and not any(variables) and own("stores._files").size(named) > 0
    except Exception:
        return False


def default_file(named: object = None) -> str | None:
    """`system_file` in the place of `named`; None if that is the user's own, or there is no store."""
    try:
        bundle = os.path.abspath(os.fsdecode(named)) if named else None  # type: ignore[arg-type]
    except Exception:  # not a path, or there is no current directory
        return None
    return system_file(bundle) if is_default(named) else None


def _export() -> "ModuleType | None":
    try:
        return own("stores._export")
    except Exception as error:
        _record.note(f"the system store is not used: {type(error).__name__}: {error}")
        return None


# Why a library keeps the anchors that are compiled into it.
ON_DEMAND = "Windows fetches public roots on demand: a list of its store does not replace the anchors compiled in"

# The modules that were imported before the injection: the contexts that they keep were built without it.
late: "set[str]" = set()


class Submodule:
    """A `Patch` for one submodule of a library."""

    def __init__(self, patch: "Callable[[ModuleType], str | None]", unpatch: "Callable[[ModuleType], None]") -> None:
        self.patch = patch
        self.unpatch = unpatch


submodules: "dict[str, Submodule]" = {}
