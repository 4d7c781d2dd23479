"""``truststore-inject base``: the injection in every virtual environment that is made from a base interpreter."""

import argparse
import contextlib
import glob
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from .. import __version__
from . import _sitecustomize
from ._failure import MISSING, NO, YES, Failure
from ._terminal import colour, paragraph, say

_INDENT = 10
_NEW = ".truststore-inject-"  # how the names of files and directories begin that are not yet in place
_VERSION = sys.version.split()[0]
_ABI = sysconfig.get_config_var("EXT_SUFFIX")  # what a compiled module of this Python is called

# What an installer writes about one installation: left out, so that one version of the packages is one directory.
_INSTALLERS = tuple(f".dist-info/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"))

# Asked of the interpreter that --python names; in a virtual environment the answers are about its base.
_ASK = """
import json, os, sys, sysconfig
from importlib.machinery import PathFinder
from importlib.util import cache_from_source
stdlib = sysconfig.get_path("stdlib")
spec = PathFinder.find_spec("sitecustomize", [stdlib])
file = spec.origin if spec is not None and spec.loader is not None else os.path.join(stdlib, "sitecustomize.py")
print(json.dumps({
    "executable": getattr(sys, "_base_executable", "") or sys.executable,
    "prefix": sys.base_prefix,
    "version": sys.version.split()[0],
    "abi": sysconfig.get_config_var("EXT_SUFFIX"),
    "stdlib": stdlib,
    "is_layout": stdlib in sys.path and os.path.isfile(os.path.join(stdlib, "os.py")) and
        os.path.dirname(os.__file__) == stdlib,
    "file": file,
    "byte_code": [cache_from_source(file, optimization=level) for level in ("", 1, 2)] if file.endswith(".py") else [],
}))
"""

# Asked of the base in the environment of whoever asks: which sitecustomize runs, and whether it armed the injection.
# With -c, site did not see the first entry, "".
_PROVE = """
import json, sys
from importlib.machinery import PathFinder
spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if entry])
print(json.dumps({
    "first": spec.origin if spec is not None else None,
    "armed": any(type(finder).__name__ == "TruststoreInjectFinder" for finder in sys.meta_path),
    "itself": "truststore_inject._startup" in sys.modules,
}))
"""

_COMPILE = """
import compileall, json, os, sys
for path in sys.argv[1:]:
    (compileall.compile_dir if os.path.isdir(path) else compileall.compile_file)(path, quiet=2)
print(json.dumps(True))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, title in (
        ("enable", "cover the base interpreter and every virtual environment made from it"),
        ("disable", "take that back"),
        ("status", "is it covered?"),
    ):
        action = actions.add_parser(name, help=title, description=title)
        action.add_argument(
            "--python", metavar="PATH", default=sys.executable, help="an interpreter of that base (default: this one)"
        )
        action.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """0 if it is as `action` names it, 1 if the base is not covered; a `Failure` (4) leaves everything as it was."""
    base = _base(arguments.python)
    if arguments.action == "enable":
        _enable(base)
    elif arguments.action == "disable":
        _disable(base)
    report = _report(base)
    if arguments.json:
        say(json.dumps(report, indent=2))
    else:
        _show(report)
    return YES if report["covered"] or arguments.action == "disable" else NO


@dataclass(frozen=True)
class _Base:
    """A base interpreter, as it describes itself."""

    executable: str
    prefix: str
    version: str
    abi: str
    stdlib: str
    is_layout: bool
    file: str  # the sitecustomize in the standard library, whether it is there or not
    byte_code: list[str]

    def read(self) -> bytes | None:
        """The content of `file`, None if there is none."""
        try:
            with open(self.file, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def folders(self) -> list[str]:
        """Our directories in the standard library."""
        ours = re.compile(r"truststore-inject-[^-]+-[0-9a-f]{12}")
        found = glob.glob(os.path.join(glob.escape(self.stdlib), "truststore-inject-*"))
        return [path for path in found if ours.fullmatch(os.path.basename(path)) and not os.path.islink(path)]


def _base(python: str) -> _Base:
    base = _Base(**_answer(python, ["-I"], _ASK))
    if not base.is_layout:
        raise Failure(
            f"{python}: its standard library is not a directory that it imports from (an embedded or frozen Python, a"
            " zip file); install truststore-inject in each environment, or call truststore_inject.inject()",
            MISSING,
        )
    if not base.file.endswith(".py"):
        raise Failure(f"{base.file}: this sitecustomize is not a source file, nothing can be added", MISSING)
    return base


def _answer(python: str, options: list[str], code: str, *arguments: str) -> Any:
    """The JSON value that the child prints last; a sitecustomize may print, too."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRUSTSTORE_INJECT")}
    command = [python, *options, "-c", code, *arguments]
    try:
        child = subprocess.run(command, env=env, capture_output=True, timeout=300, check=True)
        return json.loads(child.stdout.decode(errors="replace").rstrip().rpartition("\n")[2])
    except OSError as error:
        raise Failure(f"{python}: {error.strerror}", MISSING) from None
    except (ValueError, subprocess.SubprocessError):
        raise Failure(f"{python}: it does not run as a Python interpreter", MISSING) from None


def _enable(base: _Base) -> None:
    if base.abi != _ABI:
        raise Failure(
            f"{base.executable} is Python {base.version} ({base.abi}), this command runs in {_VERSION} ({_ABI})"
            f" and wrapt is compiled for that. Run it in an environment of that Python: {base.executable} -m venv ENV;"
            " ENV/bin/pip install truststore-inject; ENV/bin/truststore-inject base enable",
            MISSING,
        )
    os.umask(0o022)  # everybody's interpreter reads these files
    sources = _sources()
    folder = os.path.join(base.stdlib, _folder_name(sources))
    with _refusal(base):
        data = base.read()
        wanted = _sitecustomize.insert(data, os.path.basename(folder))
        compile(wanted, base.file, "exec", dont_inherit=True)
        made = _copy(base, sources, folder)
        if wanted != data:
            try:
                _replace(base.file, wanted)
            except BaseException:
                if made:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            _forget_byte_code(base)
            _compile(base, base.file)
        for other in base.folders():
            if other != folder:
                shutil.rmtree(other)


def _disable(base: _Base) -> None:
    with _refusal(base):
        data = base.read()
        block = None if data is None else _sitecustomize.parse(data)
        if block is not None:
            tempfile.TemporaryDirectory(prefix=_NEW, dir=base.stdlib).cleanup()  # or refused before anything changes
            if block.created and not block.rest:
                os.unlink(os.path.realpath(base.file))
            else:
                _replace(base.file, block.rest)
            if _forget_byte_code(base) and os.path.exists(base.file):
                _compile(base, base.file)
        for folder in base.folders():
            shutil.rmtree(folder)


@contextlib.contextmanager
def _refusal(base: _Base) -> Iterator[None]:
    try:
        yield
    except _sitecustomize.Edited:
        raise Failure(
            f"{base.file}: the block between the lines of truststore-inject was edited. Remove it by hand, with both"
            " lines; nothing was changed",
            MISSING,
        ) from None
    except SyntaxError as error:
        raise Failure(f"{base.file}: it is not valid Python ({error}); nothing was changed", MISSING) from None
    except OSError as error:
        where = str(error.filename or base.file)
        if os.path.basename(where).startswith(_NEW):
            where = os.path.dirname(where)
        raise Failure(f"{where}: {error.strerror}; it takes the right to write there", MISSING) from None


def _sources() -> dict[str, str]:
    """The packages as they are installed beside this command: the path in the private directory, and the file."""
    found = {}
    for name in _sitecustomize.NAMES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise Failure(f"{name} is not installed beside this command: pip install truststore-inject", MISSING)
        package = spec.submodule_search_locations[0]
        parents = {os.path.dirname(package): None}
        with contextlib.suppress(metadata.PackageNotFoundError):  # in an editable install they lie apart
            parents[str(metadata.distribution(name).locate_file(""))] = None
        info = [path for parent in parents for path in glob.glob(f"{glob.escape(parent)}/{name}-*.dist-info")]
        for folder in [package, *info]:
            found.update(_files(folder, os.path.dirname(folder)))
    return {name: path for name, path in found.items() if not name.endswith(_INSTALLERS)}


def _files(folder: str, start: str) -> dict[str, str]:
    """The files below `folder` without the byte code, by their path from `start`."""
    found = {}
    for directory, folders, names in os.walk(folder):
        folders[:] = [entry for entry in folders if entry != "__pycache__"]
        for name in names:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, start).replace(os.sep, "/")] = path
    return found


def _folder_name(sources: dict[str, str]) -> str:
    """With a digest of all that is in it: another content is another directory, and a change of the block switches."""
    return f"truststore-inject-{__version__}-{_digest(sources)}"


def _digest(files: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        with open(path, "rb") as file:
            digest.update(f"{name}\0".encode() + hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:12]


def _is_whole(folder: str) -> bool:
    """Whether the directory holds what its name says, and nothing else."""
    return folder.endswith(f"-{_digest(_files(folder, folder))}")


def _copy(base: _Base, sources: dict[str, str], folder: str) -> bool:
    """Make the private directory, if it is not there; whether it was made."""
    if os.path.isdir(folder) and _is_whole(folder):
        return False
    new = tempfile.mkdtemp(prefix=_NEW, dir=base.stdlib)
    try:
        os.chmod(new, 0o755)
        for name, path in sources.items():
            target = os.path.join(new, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
        _compile(base, new)
        if os.path.lexists(folder):
            shutil.rmtree(folder)
        os.rename(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return True


def _replace(path: str, data: bytes) -> None:
    """Whole or not at all; a link stays, mode and owner of the file that it names too."""
    target = os.path.realpath(path)
    descriptor, temporary = tempfile.mkstemp(prefix=_NEW, dir=os.path.dirname(target))
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        try:
            old = os.stat(target)
        except FileNotFoundError:
            os.chmod(temporary, 0o644)
        else:
            if hasattr(os, "chown"):
                os.chown(temporary, old.st_uid, old.st_gid)
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _forget_byte_code(base: _Base) -> bool:
    """It names its source's time in seconds, which two changes may share.  Whether there was any."""
    compiled = [path for path in base.byte_code if os.path.exists(path)]
    for path in compiled:
        os.unlink(path)
    return bool(compiled)


def _compile(base: _Base, path: str) -> None:
    """Byte code, which most users of a base cannot write.  Without it a start is slower, and no more."""
    with contextlib.suppress(Failure):
        _answer(base.executable, ["-I"], _COMPILE, path)


def _report(base: _Base) -> dict[str, Any]:
    """`state` is ``enabled``, ``not enabled``, ``edited``, ``hidden``, ``damaged`` or ``not in effect``."""
    report: dict[str, Any] = {
        "state": "not enabled",
        "covered": False,
        "reason": "",
        "python": {"version": base.version, "executable": base.executable, "prefix": base.prefix},
        "file": None,
        "version": None,
        "current": None,
        "packages": None,
    }
    try:
        data = base.read()
        block = None if data is None else _sitecustomize.parse(data)
    except _sitecustomize.Edited:
        reason = "the block between the lines of truststore-inject was edited: remove it by hand, with both lines"
        return {**report, "state": "edited", "file": base.file, "reason": reason}
    except OSError as error:
        raise Failure(f"{base.file}: {error.strerror}", MISSING) from None
    if block is None:
        return report
    folder = os.path.join(base.stdlib, block.folder)
    proof = _answer(base.executable, [], _PROVE)
    report.update(file=base.file, version=block.version, packages=folder, current=_is_current(base, data, block))
    if proof["armed"] or (proof["itself"] and proof["first"] == base.file and os.path.isdir(folder)):
        return {**report, "state": "enabled", "covered": True}
    if proof["first"] != base.file:
        reason = f"hidden by {proof['first']}, which comes first on sys.path (PYTHONPATH)"
        return {**report, "state": "hidden", "reason": reason}
    if not os.path.isdir(folder) or not _is_whole(folder):
        return {**report, "state": "damaged", "reason": f"{folder} is gone or changed: truststore-inject base enable"}
    return {**report, "state": "not in effect", "reason": f"{base.file} ends before the block, or with an error"}


def _is_current(base: _Base, data: bytes | None, block: _sitecustomize.Block) -> bool:
    """Whether `enable` would write the same; packages for another Python cannot be compared."""
    folder = block.folder
    if base.abi == _ABI:
        folder = _folder_name(_sources())
    return _sitecustomize.insert(data, folder) == data


def _show(report: dict[str, Any]) -> None:
    state = colour(report["state"], "green" if report["covered"] else "red")
    python = report["python"]
    say(f"base Python in {python['prefix']}: {state}")
    if report["reason"]:
        _line("why", report["reason"])
    _line("python", f"{python['version']}, {python['executable']}")
    if report["file"]:
        _line("file", report["file"])
    if report["version"]:
        current = (
            "up to date" if report["current"] else "not what this version would write: truststore-inject base enable"
        )
        _line("version", f"{report['version']}, {current}")
        _line("packages", report["packages"])


def _line(label: str, text: str) -> None:
    say(paragraph(text, _INDENT, label.ljust(_INDENT)))
