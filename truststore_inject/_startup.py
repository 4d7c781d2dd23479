"""Everything that happens at interpreter start: one finder is put in front of ``sys.meta_path``.

This runs in every process, and each additional file costs as much as all that is done here (150 microseconds, 2 % of a
bare start).  So this file imports nothing that a bare interpreter has not loaded, and _hook.py only when there is work.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def run() -> None:
    """Arm the injection; for ``truststore-inject.pth``.  Raises no `Exception`, prints nothing to standard output."""
    try:
        inject()
    except Exception as error:
        _note(f"the injection could not be armed: {type(error).__name__}: {error}")


def inject() -> None:
    """Make default trust in this interpreter that of the operating system.

    Modules that are already imported are patched at once, the others when they are imported.  A second call changes
    nothing.  With ``TRUSTSTORE_INJECT=0`` it does nothing: whoever runs the program has the last word.  A library that
    cannot be patched keeps its own verification; `truststore_inject.status` says why.
    """
    # Reading a variable is free; the file that says what it means is not, and in the ordinary case it is not set.
    if os.environ.get("TRUSTSTORE_INJECT"):
        from . import _settings

        if not _settings.enabled():
            return
    if sys.meta_path[:1] == [finder]:
        return
    sys.audit("truststore_inject.inject")
    if finder in sys.meta_path:  # somebody rearranged the finders: after the one that finds files, ours is never asked
        sys.meta_path.remove(finder)
    if not finder.targets:
        finder.targets = PATCHES
    sys.meta_path.insert(0, finder)
    if any(name in sys.modules for name in finder.targets):
        from . import _hook

        _hook.patch_imported(finder, finder.targets)


def extract() -> None:
    """Undo `inject`: what was replaced is put back exactly, and nothing more is patched.

    Existing contexts keep the trust anchors that they were given.
    """
    sys.audit("truststore_inject.extract")  # even if somebody removed the finder: the patches are still there
    if finder in sys.meta_path:
        sys.meta_path.remove(finder)
    from . import _hook

    _hook.unpatch_all()


# The modules that have a file in patches/: written down, because a frozen application has no folder to list, and
# listing it at each start takes time.
PATCHES = frozenset(
    [
        "OpenSSL",
        "adbc_driver_postgresql",
        "aiohttp",
        "av",
        "couchbase",
        "curl_cffi",
        "fiona",
        "grpc",
        "httpcore",
        "httpr",
        "mysql",
        "netCDF4",
        "pipx",
        "psycopg",
        "psycopg2",
        "pulsar",
        "pycurl",
        "pyogrio",
        "pyproj",
        "rasterio",
        "requests",
        "ssl",
        "tornado",
        "urllib3",
        "ydb",
    ]
)


class PatchFinder:
    """A meta path finder that answers for the modules to be patched and this package's own, and for nothing else."""

    targets: "frozenset[str]" = frozenset()

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec that the other finders give, with a loader that patches; for other modules None."""
        if name not in self.targets:
            return OwnFinder.find_spec(name)
        try:
            spec: ModuleSpec | None = self.own("_hook").find_spec(self, name, path, target)
            return spec
        except Exception as error:
            # The package, or half of it, was removed after this process started: nothing is patched.  Or another finder
            # raised this: the import system asks it next, and it raises again.
            _note(f"{name} is not patched: {type(error).__name__}: {error}")
            return None

    def own(self, name: str) -> "ModuleType":
        """Import a part of this package.  Finders that somebody has put in front of this one are not asked."""
        full_name = f"truststore_inject.{name}"
        in_front = sys.meta_path[:1] != [self] and full_name not in sys.modules
        if in_front:
            sys.meta_path.insert(0, OwnFinder)  # not ourselves: after extract() nothing more is patched
        try:
            __import__(full_name)
        finally:
            if in_front and OwnFinder in sys.meta_path:
                sys.meta_path.remove(OwnFinder)
        return sys.modules[full_name]


class OwnFinder:
    """A meta path finder that loads the modules of this package unchanged.

    Hooks that instrument every module (beartype's, typeguard's) would check our types at run time, against names that
    are imported for a type checker only.  https://github.com/beartype/beartype/issues/259
    """

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec of a file of this package, or None."""
        if not name.startswith("truststore_inject."):
            return None
        # What importlib itself uses: importlib.util costs 3 ms, and a guard against blocking calls, or a mock, replaces
        # os.path.isfile.
        from _frozen_importlib_external import (  # type: ignore[attr-defined]
            _path_isfile,
            spec_from_file_location,
        )

        base = os.path.join(os.path.dirname(__file__), *name.split(".")[1:])
        for file in (base + ".py", os.path.join(base, "__init__.py")):
            if _path_isfile(file):
                spec: ModuleSpec | None = spec_from_file_location(name, file)
                return spec
        return None


def _note(text: str) -> None:
    try:
        from . import _record

        _record.note(text)
    except Exception:  # half of the package was removed
        pass


finder = PatchFinder()
