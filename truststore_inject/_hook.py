"""What happens when a module that has a file in patches/ is imported: it is loaded as usual, then patched."""

import sys
from _thread import get_ident

from . import _record, patches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from ._startup import PatchFinder
    from .patches import Patch, Submodule

# What the other finders are being asked for: the thread that asks, and the module.
_asking: "set[tuple[int, str]]" = set()

# The modules that are patched, in that order.
_patched: "list[tuple[str, ModuleType]]" = []


def find_spec(
    finder: "PatchFinder", name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    """The spec that the finders other than `finder` give for `name`, with a loader that patches."""
    # Another injector's finder may itself ask sys.meta_path, and so us.  The guard is per thread: with one for all
    # threads, a module that a second thread imports meanwhile would stay unpatched.
    question = (get_ident(), name)
    if question in _asking:
        return None
    try:
        _asking.add(question)  # inside: an interrupt must not leave it there
        for other in sys.meta_path[:]:
            if other is finder or not hasattr(other, "find_spec"):
                continue
            spec = other.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = PatchLoader(spec.loader, finder)  # type: ignore[arg-type, assignment]
                else:
                    _record.skipped(name, f"its loader has no exec_module: {spec.loader!r}")
                return spec
        return None
    finally:
        _asking.discard(question)


class PatchLoader:
    """Lets the module's own loader run, puts that loader back in its place, then patches.

    A loader of ours, not an ``exec_module`` set on theirs: a loader may be a class (BuiltinImporter) or one object for
    many modules (zipimporter), and would be changed for all of them.
    """

    def __init__(self, loader: "Loader", finder: "PatchFinder") -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> object:
        # Code that only looks up a spec (runpy, pkgutil, importlib.resources) asks its loader for get_code and more.
        if name == "_loader":  # copy and pickle ask before there is one
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        create_module = getattr(self._loader, "create_module", None)
        return create_module(spec) if create_module is not None else None

    def exec_module(self, module: "ModuleType") -> None:
        if module.__spec__ is not None and module.__spec__.loader is self:  # type: ignore[comparison-overlap]
            module.__spec__.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader
        self._loader.exec_module(module)
        _patch(module.__name__, module, self._finder)


def patch_imported(finder: "PatchFinder", names: "Iterable[str]") -> None:
    """Patch those of the modules that are already imported."""
    # ssl first: the other patches build new contexts, which need it patched.
    for name in sorted(names, key=lambda name: (name != "ssl", name)):
        if sys.modules.get(name) is not None:
            patches.late.add(name)
            try:
                # An import, not a look-up: it waits for a thread that is in the middle of importing the module.
                __import__(name)
            except Exception:  # that import failed, and its importer gets the error
                pass
            module = sys.modules.get(name)
            if module is not None:
                _patch(name, module, finder)


def unpatch_all() -> None:
    """Undo every patch, the last one first."""
    while _patched:
        name, module = _patched[-1]
        patch_file = _patch_file(name)
        try:
            patch_file.unpatch(module)
        except Exception:  # the others can still be undone
            _forget(name, module)
            raise
        except BaseException:  # a KeyboardInterrupt: nothing stays half-patched
            patch_file.unpatch(module)
            raise
        _forget(name, module)
        _record.forget(name)


def _patch(name: str, module: "ModuleType", finder: "PatchFinder") -> None:
    """Patch `module`.  Where that fails the module is left as it was and the reason is recorded; the import goes on."""
    patches.finder = finder
    try:
        patch_file = _patch_file(name)
        try:
            if (name, module) not in _patched:
                _patched.append((name, module))  # first: wherever an interrupt comes, it can be undone
            reason = patch_file.patch(module)
            if reason is None:
                sys.audit("truststore_inject.patch", name)
        except BaseException:  # a KeyboardInterrupt too: nothing stays half-patched; or an audit hook objects
            patch_file.unpatch(module)
            _forget(name, module)
            raise
    except Exception as error:
        _record.failed(name, error)
        return
    if reason is not None:
        _record.skipped(name, reason)
        return
    _record.applied(name)
    submodules = patches.submodules.keys() - finder.targets
    if submodules:
        finder.targets |= submodules
        patch_imported(finder, submodules)


def _forget(name: str, module: "ModuleType") -> None:
    _patched[:] = [entry for entry in _patched if entry != (name, module)]


def _patch_file(name: str) -> "Patch | Submodule":
    if name in patches.submodules:
        return patches.submodules[name]
    return patches.own("patches._" + name)


def import_all() -> None:
    """Never called: PyInstaller, cx_Freeze and Nuitka read here which files an application needs."""
    from . import _advice  # noqa: F401
    from .patches import (  # noqa: F401
        _adbc_driver_postgresql,
        _aiohttp,
        _av,
        _couchbase,
        _curl_cffi,
        _fiona,
        _grpc,
        _httpcore,
        _httpr,
        _mysql,
        _netCDF4,
        _OpenSSL,
        _pipx,
        _psycopg,
        _psycopg2,
        _pulsar,
        _pycurl,
        _pyogrio,
        _pyproj,
        _rasterio,
        _requests,
        _ssl,
        _tornado,
        _urllib3,
        _ydb,
    )
    from .stores import _defaults, _export  # noqa: F401
