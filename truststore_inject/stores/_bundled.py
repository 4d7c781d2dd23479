"""Is this file, or this text, the CA bundle that a library carries as its own default?

It is recognised by the package that it lies in, never by its bare name: ``/etc/corp/cacert.pem`` is the user's own.
"""

import os
import sys

from .. import _record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# A package, which others may vendor (pip/_vendor/certifi), and where in it the bundle lies.
_BUNDLES = (
    ("certifi", "cacert.pem"),
    ("botocore", "cacert.pem"),
    ("boto", os.path.join("cacerts", "cacerts.txt")),
    ("gslib", os.path.join("data", "cacerts.txt")),
    ("grpc", os.path.join("_cython", "_credentials", "roots.pem")),
    ("httplib2", "cacerts.txt"),
    ("requests", "cacert.pem"),  # before 2.16
    ("stripe", os.path.join("data", "ca-certificates.crt")),
    ("twilio", os.path.join("conf", "cacert.pem")),  # before 6.0
    ("truststore_inject", os.path.join("stores", "system.pem")),  # PLACEHOLDER
)

# Stands for the system store where a library wants to see a file.  It is empty: who reads it otherwise trusts nobody.
PLACEHOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "system.pem")


def without_defaults(
    cafile: object = None, capath: object = None, cadata: object = None
) -> tuple[object, object, object] | None:
    """The arguments of ``load_verify_locations`` less a library's own bundle; None if they contain none.

    A bundle that somebody added a CA to stays among them, to be trusted in addition to the system store.
    """
    file_library = None if cafile is None else library(cafile)
    data_is_default = isinstance(cadata, str) and _is_contents(cadata)
    if file_library is None and not data_is_default:
        return None
    keep_file = file_library is None or was_changed(os.path.abspath(os.fsdecode(cafile)))  # type: ignore[arg-type]
    return cafile if keep_file else None, capath, None if data_is_default else cadata


def library(path: object) -> str | None:
    """The name of the library whose own bundle `path` (`str`, `bytes` or `os.PathLike`) is, else None."""
    try:
        file = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None  # not a path: stock will say so
    for package, tail in _BUNDLES:
        folder = file[: -len(tail) - 1]
        if file.endswith(os.sep + tail) and os.path.basename(folder) == package and _is_package(folder, package):
            return package
    if file.endswith("cacert.pem") and any(getattr(core, "_CACERT_PATH", None) == file for core in _certifi_cores()):
        return "certifi"  # from a zip file: certifi.where() has copied it to a temporary one
    return None


def _is_package(folder: str, name: str) -> bool:
    if os.path.exists(os.path.join(folder, "__init__.py")):
        return True
    # In a frozen application only the data files are on the disk.
    return any(folder in getattr(module, "__path__", ()) for module in _modules(name))


def _certifi_cores() -> "Iterator[ModuleType]":
    return _modules("certifi.core")


def _modules(name: str) -> "Iterator[ModuleType]":
    """The loaded modules of that name, vendored ones too."""
    for loaded, module in list(sys.modules.items()):
        if loaded == name or loaded.endswith("." + name):
            yield module


def _is_contents(text: str) -> bool:
    """Whether `text` is what ``certifi.contents()`` gives."""
    for core in _certifi_cores():
        path = getattr(core, "_CACERT_PATH", None)
        try:
            if path is not None and os.stat(path).st_size != len(text):
                continue  # certifi's bundle is ASCII; this spares reading it for every other text
            if core.contents() == text:
                return True
        except (OSError, AttributeError, ValueError):
            pass
    return False


def was_changed(path: str) -> bool:
    """Whether somebody added a CA to a library's own bundle (`path` is absolute): its size is not the recorded one."""
    size = os.stat(path).st_size if os.path.exists(path) else None
    recorded = _recorded_size(path)
    if size is None or recorded is None or size == recorded:
        return False
    _record.note(f"{path} was changed after it was installed: its certificates are trusted in addition to the store")
    return True


_recorded_sizes: dict[str, int | None] = {}


def _recorded_size(path: str) -> int | None:
    """In bytes, from the RECORD that pip and uv write; None if there is none.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file
    """
    if path not in _recorded_sizes:
        _recorded_sizes[path] = _look_up_size(path)
    return _recorded_sizes[path]


def _look_up_size(path: str) -> int | None:
    top = os.path.dirname(path)
    while os.path.exists(os.path.join(os.path.dirname(top), "__init__.py")):
        top = os.path.dirname(top)
    site_packages, package = os.path.split(top)
    line_start = os.path.relpath(path, site_packages).replace(os.sep, "/") + ","
    try:
        for name in os.listdir(site_packages):
            if name.lower().startswith(package.lower()) and name.endswith(".dist-info"):
                with open(os.path.join(site_packages, name, "RECORD"), encoding="utf-8") as record:
                    for line in record:
                        if line.startswith(line_start):
                            return int(line.rpartition(",")[2])
    except (OSError, ValueError):
        pass
    return None
