"""Is this file, or this text, the CA bundle that a library or a tool carries as its default?  What was added to it?

It is recognised by what the package's installer recorded, or by its loaded module, never by the name of a folder: an
application may have a package ``requests`` of its own, with a ``cacert.pem`` that it pins.
"""

import os
import sys

from .. import _record, _settings
from . import _bundle
from ._files import identity, is_directory, names, read, resolve, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from ._files import Path

# The package, where the bundle is in it, and a name that the library's module has: an application's own module that
# merely shares the package's name does not.
_LIBRARIES = (
    ("certifi", "cacert.pem", "where"),
    ("botocore", "cacert.pem", "UNSIGNED"),
    ("boto", "cacerts/cacerts.txt", "connect_s3"),
    ("gslib", "data/cacerts.txt", "GSUTIL_DIR"),
    ("grpc", "_cython/_credentials/roots.pem", "insecure_channel"),
    ("httplib2", "cacerts.txt", "HTTPSConnectionWithTimeout"),
    ("requests", "cacert.pem", "Session"),  # before 2.16
    ("stripe", "data/ca-certificates.crt", "api_key"),
    ("twilio", "conf/cacert.pem", "rest"),  # before 6.0
)
_FILES = frozenset(tail.rpartition("/")[2] for _, tail, _ in _LIBRARIES)

# Stands for the system store where a library wants to see a file.  It is empty: whatever else reads it trusts nobody.
PLACEHOLDER = os.path.join(os.path.dirname(__file__), "system.pem")


def library(path: object) -> str | None:
    """The library whose own bundle is at `path`, also through links; else None.  Never raises an `Exception`."""
    try:
        file = resolve(path)  # type: ignore[arg-type]
        if file == _placeholder():
            return "truststore_inject"
        if _is_condas(file):
            return "conda"
        if getattr(sys, "frozen", False) and file == resolve(f"{sys.prefix}/share/certs.pem"):
            return "cx_Freeze"  # its applications carry it, and name it in SSL_CERT_FILE when ssl is imported
        if file.rpartition("/")[2] not in _FILES:
            return "certifi" if _copied_from_a_zip(file) else None
        for package, tail, known in _LIBRARIES:
            folder = file[: -len(tail) - 1]
            if (
                file == f"{folder}/{tail}"
                and folder.rpartition("/")[2] == package
                and (_is_loaded(package, folder, known) or _is_installed(package, folder, file))
            ):
                return package
    except Exception:  # not a path, no working directory, a strange module: then it is the user's own
        pass
    return None


def _placeholder() -> str:
    global _resolved_placeholder
    if not _resolved_placeholder:
        _resolved_placeholder = resolve(PLACEHOLDER)
    return _resolved_placeholder


_resolved_placeholder = ""


def _is_condas(file: str) -> bool:
    """Whether it is a conda environment's bundle or directory: activating one sets OpenSSL's variables to them."""
    # The active one, and this Python's own: a virtual environment may belong to any Python.
    prefixes = [prefix for prefix in (sys.prefix, sys.base_prefix) if is_directory(f"{prefix}/conda-meta")]
    prefixes += filter(None, [_settings.openssl("CONDA_PREFIX")])
    return any(file == resolve(f"{prefix}/{place}") for prefix in prefixes for place in _CONDAS)


_CONDAS = ("ssl/cacert.pem", "ssl/cert.pem", "ssl/certs", "Library/ssl/cacert.pem", "Library/ssl/certs")


def _is_loaded(package: str, folder: str, known: str) -> bool:
    # These are vendored as they are (pip._vendor.certifi, awscli.botocore).
    return any(
        (name == package or package in ("botocore", "certifi"))
        and known in vars(module)
        and any(resolve(place) == folder for place in getattr(module, "__path__", ()))
        for name, module in _modules(package)
    )


def _is_installed(package: str, folder: str, file: str) -> bool:
    """Whether an installer put `file` there for the library, not for an application with a folder of that name."""
    is_vendored = package == "certifi" and bool(size(f"{folder}/core.py"))
    return _installed(file) is not None and (is_vendored or not _is_package(os.path.dirname(folder)))


def _is_package(folder: str) -> bool:
    return bool(identity(f"{folder}/__init__.py"))  # which is empty in many


def _modules(name: str) -> "Iterator[tuple[str, ModuleType]]":
    """The loaded modules of that name, vendored ones too."""
    # In one string: there may be thousands, and most contexts with a file of their own ask.
    for before in "\n".join([*sys.modules, ""]).split(f"{name}\n")[:-1]:
        parent = before.rpartition("\n")[2]
        module = sys.modules.get(parent + name)
        if module is not None and (not parent or parent.endswith(".")):
            yield parent + name, module


def _copied_from_a_zip(file: str) -> bool:
    """Whether ``certifi.where()`` has copied it from a zip file to a temporary one."""
    for _, core in _modules("certifi.core"):
        path = getattr(core, "_CACERT_PATH", None)
        if path is not None and not size(core.__file__ or "") and resolve(path) == file:
            return True
    return False


def contents(text: str) -> str | None:
    """The path of certifi's bundle, if `text` is what ``certifi.contents()`` gives."""
    for _, core in _modules("certifi.core"):
        try:
            # Its contents() reads the file beside it, whether or not its where() was called before.
            path = getattr(core, "_CACERT_PATH", None) or f"{os.path.dirname(core.__file__ or '')}/cacert.pem"
            if not size(path):  # inside a zip file
                if core.contents() == text:
                    return path
            # certifi's bundle is ASCII; comparing sizes saves reading it for every other text.
            elif size(path) == len(text) and read(path) == text.encode():
                return path if library(path) is not None else None
        except (AttributeError, OSError, ValueError):
            pass
    return None


class Installed:
    """What an installer recorded about a file: its size in bytes, and its SHA-256 (hexadecimal) if known."""

    def __init__(self, size: int | None, digest: str | None, version: str = "") -> None:
        self.size, self.digest, self.version = size, digest, version


def _installed(file: str) -> Installed | None:
    if file not in _installed_files:
        _installed_files[file] = _look_up(file)
    return _installed_files[file]


_installed_files: "dict[str, Installed | None]" = {}


def _look_up(file: str) -> Installed | None:
    """From the RECORD that pip and uv write, or conda's metadata; None if `file` is in neither.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file
    """
    top = os.path.dirname(file)
    while _is_package(os.path.dirname(top)):
        top = os.path.dirname(top)
    site_packages, package = os.path.split(top)
    tail = file[len(site_packages) + 1 :]
    package = {"gslib": "gsutil"}.get(package, package)
    for name in names(site_packages):
        if name.lower().startswith(package.lower()) and name.endswith(".dist-info"):
            version = name[: -len(".dist-info")].partition("-")[2]
            for line in _lines(f"{site_packages}/{name}/RECORD"):
                if line.startswith(tail + ","):
                    digest, _, length = line[len(tail) + 1 :].rpartition(",")
                    return Installed(int(length) if length.strip().isdigit() else None, _sha256(digest), version)
    return _of_conda(file)


def _of_conda(file: str) -> Installed | None:
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, _settings.openssl("CONDA_PREFIX") or sys.prefix)):
        if not file.startswith(resolve(prefix) + "/"):
            continue
        tail = file[len(resolve(prefix)) + 1 :]
        for name in names(f"{prefix}/conda-meta"):
            if name.endswith(".json") and name.startswith(("ca-certificates-", "certifi-", "openssl-")):
                import json

                paths = json.loads(read(f"{prefix}/conda-meta/{name}")).get("paths_data", {}).get("paths", ())
                for entry in paths:
                    if entry.get("_path") == tail and "size_in_bytes" in entry:
                        return Installed(entry["size_in_bytes"], entry.get("sha256"))
    return None


def _lines(path: str) -> list[str]:
    try:
        return read(path).decode(errors="replace").splitlines()
    except OSError:
        return []


def _sha256(recorded: str) -> str | None:
    """``sha256=`` and URL-safe base64 without its padding, in hexadecimal; None for anything else."""
    name, _, value = recorded.partition("=")
    if name != "sha256" or len(value) != 43:
        return None
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(value + "=").hex()


def gained(path: "Path") -> "tuple[_bundle.Bundle, ...]":
    """What somebody added to a carried bundle after it was installed.  Never raises an `Exception`.

    For a company's own build of certifi, recognised by the local label in its version (PEP 440), that is all of it.
    """
    try:
        file = resolve(path)
        before = identity(file)
        known = _gained.get(file)
        if known is None or known[0] != before:
            known = _gained[file] = before, _read_gained(file)
        return known[1]
    except Exception as error:
        _record.note(f"{path!r}: what was added to it, if anything, is not known: {type(error).__name__}: {error}")
        return ()


_gained: "dict[str, tuple[object, tuple[_bundle.Bundle, ...]]]" = {}


def _read_gained(file: str) -> "tuple[_bundle.Bundle, ...]":
    installed = _installed(file)
    if installed is None or installed.size is None:
        return ()
    if "+" in installed.version:
        _record.note(f"{file} is from {installed.version}, a custom build: it is trusted in addition to the store")
        return (_bundle.read(file),)
    data = read(file)
    added = _added(data, installed.size, installed.digest)
    if added is None:  # rewritten: nothing tells what is new in it, and a user's own CA must not be lost
        _record.note(f"{file} was rewritten after it was installed: all of it is trusted in addition to the store")
        return (_bundle.read(file),)
    bundle = _from_text(added)
    if bundle is None:
        return ()
    _record.note(f"{file} was added to after it was installed: what it gained is trusted in addition to the store")
    return (bundle,)


def _added(data: bytes, size: int, digest: str | None) -> bytes | None:
    """What `data` has beyond what was installed; None if that is no longer a part of it."""
    if digest is None:
        return data[size:]
    from hashlib import sha256

    if sha256(data[:size]).hexdigest() == digest:
        return data[size:]
    if len(data) > size and sha256(data[-size:]).hexdigest() == digest:
        return data[:-size]
    return None


def _from_text(data: bytes) -> "_bundle.Bundle | None":
    """What OpenSSL reads from it; None if it reads nothing."""
    text = data.decode("latin-1").encode("ascii", "replace").decode()  # ssl takes only ASCII; a comment may be anything
    context = _bundle.new_context()
    try:
        _bundle.load_verify_locations(context, cadata=text)
    except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: there is no text at all
        return None
    return _bundle.Bundle(context, lambda: [{"cadata": text}])
