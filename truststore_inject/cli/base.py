"""``truststore-inject base``: the injection in every virtual environment that is made from a base interpreter."""

import argparse
import contextlib
import glob
import hashlib
import importlib.util
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from .. import __version__
from . import _base, _files, _sitecustomize
from ._base import Base
from ._failure import MISSING, NO, YES, Failure
from ._terminal import Progress, colour, paragraph, print_json, printable, say

_INDENT = 10
# What installers write about one installation: left out, so that each version of the packages gives one directory.
_INSTALLERS = tuple(f".dist-info/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"))


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
    """0 if the base is as `action` wants it, 1 if it is not covered; a `Failure` (4) leaves everything as it was."""
    base = _base.describe(arguments.python)
    with Progress(f"base {arguments.action}"):
        if arguments.action == "enable":
            _enable(base)
        elif arguments.action == "disable":
            _disable(base)
        report = _report(base)
    if arguments.json:
        print_json(report)
    else:
        _show(printable(report))
    return YES if report["covered"] or arguments.action == "disable" else NO


def _enable(base: Base) -> None:
    if base.abi != _base.ABI:
        raise Failure(
            f"{base.executable} is Python {base.version} ({base.abi}), but this command runs in {_base.VERSION}"
            f" ({_base.ABI}), and wrapt is compiled for that. Run it in an environment of that Python:"
            f" {shlex.quote(base.executable)} -m venv ENV; ENV/bin/pip install truststore-inject;"
            " ENV/bin/truststore-inject base enable",
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
            base.forget_byte_code()
            _compile(base, base.file)
        for other in base.folders():
            if other != folder:
                shutil.rmtree(other)


def _disable(base: Base) -> None:
    with _refusal(base):
        data = base.read()
        block = None if data is None else _sitecustomize.parse(data)
        if block is not None:
            # Refused here, before anything changes, or never.
            tempfile.TemporaryDirectory(prefix=_files.PREFIX, dir=base.stdlib).cleanup()
            if block.created and not block.rest:
                os.unlink(os.path.realpath(base.file))
            else:
                _replace(base.file, block.rest)
            if base.forget_byte_code() and os.path.exists(base.file):
                _compile(base, base.file)
        for folder in base.folders():
            shutil.rmtree(folder)


@contextlib.contextmanager
def _refusal(base: Base) -> Iterator[None]:
    try:
        yield
    except _sitecustomize.Edited:
        raise Failure(
            f"{base.file}: the block between truststore-inject's marker lines was edited. Remove it by hand,"
            " including both lines; nothing was changed",
            MISSING,
        ) from None
    except SyntaxError as error:
        raise Failure(f"{base.file}: it is not valid Python ({error}); nothing was changed", MISSING) from None
    except OSError as error:
        where = str(error.filename or base.file)
        if os.path.basename(where).startswith(_files.PREFIX):
            where = os.path.dirname(where)
        raise Failure(f"{where}: {error.strerror}; you need permission to write there", MISSING) from None


def _sources() -> dict[str, str]:
    """The packages that are installed beside this command: the path in the private directory, and the file."""
    found = {}
    for name in _sitecustomize.NAMES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise Failure(f"{name} is not installed beside this command: pip install truststore-inject", MISSING)
        package = spec.submodule_search_locations[0]
        parents = {os.path.dirname(package): None}
        with contextlib.suppress(metadata.PackageNotFoundError):  # in an editable install they are apart
            parents[str(metadata.distribution(name).locate_file(""))] = None
        info = [path for parent in parents for path in glob.glob(f"{glob.escape(parent)}/{name}-*.dist-info")]
        for folder in [package, *info]:
            found.update(_below(folder, os.path.dirname(folder)))
    return {name: path for name, path in found.items() if not name.endswith(_INSTALLERS)}


def _below(folder: str, start: str) -> dict[str, str]:
    """The files under `folder`, without byte code, by their path from `start`."""
    found = {}
    for directory, folders, names in os.walk(folder):
        folders[:] = [entry for entry in folders if entry != "__pycache__"]
        for name in names:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, start).replace(os.sep, "/")] = path
    return found


def _folder_name(sources: dict[str, str]) -> str:
    """With a digest of its content: other content means another directory, and changing the block switches to it."""
    return f"truststore-inject-{__version__}-{_digest(sources)}"


def _digest(files: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        with open(path, "rb") as file:
            digest.update(f"{name}\0".encode() + hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:12]


def _is_whole(folder: str) -> bool:
    """Whether the directory holds what its name says, and nothing else."""
    return folder.endswith(f"-{_digest(_below(folder, folder))}")


def _copy(base: Base, sources: dict[str, str], folder: str) -> bool:
    """Make the private directory, if it is not there.  Return whether it was made."""
    if os.path.isdir(folder) and _is_whole(folder):
        return False
    new = tempfile.mkdtemp(prefix=_files.PREFIX, dir=base.stdlib)
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
    """Write the file.  A link stays, and so do the mode and owner of the file that it names."""
    target = os.path.realpath(path)
    _files.replace(target, data, like=os.stat(target) if os.path.exists(target) else None)


def _compile(base: Base, path: str) -> None:
    """Write byte code, which most users of a base cannot.  Without it a start is only slower."""
    with contextlib.suppress(Failure):
        base.compile(path)


def _report(base: Base) -> dict[str, Any]:
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
        reason = (
            "the block between truststore-inject's marker lines was edited: remove it by hand, including both lines"
        )
        return {**report, "state": "edited", "file": base.file, "reason": reason}
    except OSError as error:
        raise Failure(f"{base.file}: {error.strerror}", MISSING) from None
    if block is None:
        return report
    folder = os.path.join(base.stdlib, block.folder)
    proof = base.prove()
    report.update(file=base.file, version=block.version, packages=folder, current=_is_current(base, data, block))
    if proof["armed"] or (proof["itself"] and proof["first"] == base.file and os.path.isdir(folder)):
        return {**report, "state": "enabled", "covered": True}
    if proof["first"] != base.file:
        reason = f"hidden by {proof['first']}, which comes first on sys.path (PYTHONPATH)"
        return {**report, "state": "hidden", "reason": reason}
    if not os.path.isdir(folder) or not _is_whole(folder):
        return {**report, "state": "damaged", "reason": f"{folder} is gone or changed: truststore-inject base enable"}
    return {**report, "state": "not in effect", "reason": f"{base.file} ends before the block, or fails"}


def _is_current(base: Base, data: bytes | None, block: _sitecustomize.Block) -> bool:
    """Whether `enable` would write the same; packages for another Python cannot be compared."""
    folder = block.folder
    if base.abi == _base.ABI:
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
