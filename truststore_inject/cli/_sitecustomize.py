"""The managed block in a base interpreter's ``sitecustomize.py``: bytes in, bytes out.

Of the files that a base runs at start, ``sitecustomize.py`` in its standard library is the only one that every virtual
environment made from it runs too.  Only one ``sitecustomize`` runs, the first on ``sys.path``; so where the file did
not exist, the block then runs the one that it hides.
"""

import hashlib
import os
import re
import sys
import sysconfig
from dataclasses import dataclass, field
from importlib.machinery import PathFinder, SourceFileLoader

from .. import __version__

NAMES = ("truststore", "truststore_inject", "wrapt")

# As under ``truststore-inject run``, except where the packages are: beside os.__file__, so that a base can be moved.
START_FOLDER = os.path.join(os.path.dirname(__file__), "_run")
START_FILE = os.path.join(START_FOLDER, "sitecustomize.py")
_OWN_FOLDER = "os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))"
_BASE_FOLDER = 'os.path.join(os.path.dirname(os.__file__), "{}")'
_ARM, _GO_ON = "def _truststore_inject():", "def _next_sitecustomize():"

_BLOCK = re.compile(
    rb"^# >>> truststore-inject (?P<version>\S+) \((?P<flags>[a-z, ]+)\) (?P<digest>[0-9a-f]{16}) >>> "
    rb"[^\r\n]*(?P<newline>\r?\n)(?P<code>.*?)^# <<< truststore-inject <<<(?:\r?\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
_MARKER = b"# >>> truststore-inject "
_FOLDER = re.compile(rb'"(truststore-inject-[^"/\\]+)"\)')


class Edited(ValueError):
    """The block was edited."""


@dataclass(frozen=True)
class Block:
    """A block that was not edited."""

    version: str
    folder: str  # the name of the directory with the packages, in the standard library
    created: bool  # the file was made for the block
    rest: bytes  # the file without the block
    found: re.Match[bytes] = field(compare=False, repr=False)


def parse(data: bytes) -> Block | None:
    """The block in a file with that content, or None.  Raises `Edited`."""
    if _MARKER not in data and b"# <<< truststore-inject <<<" not in data:
        return None
    found = _BLOCK.search(data)
    if found is None or data.count(_MARKER) != 1:
        raise Edited
    code, flags = found["code"].replace(b"\r\n", b"\n"), found["flags"].decode()
    folder = _FOLDER.search(code)
    if folder is None or found["digest"].decode() != _digest(flags, code):
        raise Edited
    before, after = data[: found.start()], data[found.end() :]
    if "newline" in flags and not after:  # text after the block needs it
        before = before.removesuffix(found["newline"])
    return Block(found["version"].decode(), folder[1].decode(), flags.startswith("created"), before + after, found)


def insert(data: bytes | None, folder: str) -> bytes:
    """The file's content `data` (None: no file) with a block that is up to date.

    An existing block stays in its place.  Raises `Edited`.
    """
    block = None if data is None else parse(data)
    if block is not None:
        found = block.found
        text = _render(folder, block.created, b"newline" in found["flags"], found["newline"])
        return found.string[: found.start()] + text + found.string[found.end() :]
    created, data = data is None, data or b""
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    open_line = data != b"" and not data.endswith(b"\n")
    return data + newline * open_line + _render(folder, created, open_line, newline)


def _render(folder: str, created: bool, open_line: bool, newline: bytes) -> bytes:
    text = _code(folder, go_on=created)
    flags = ("created" if created else "added") + (", newline" if open_line else "")
    head = (
        f"# >>> truststore-inject {__version__} ({flags}) {_digest(flags, text.encode())} >>> "
        "written and taken away by the command: truststore-inject base"
    )
    return f"{head}\n{text}# <<< truststore-inject <<<\n".encode("ascii").replace(b"\n", newline)


def _code(folder: str, *, go_on: bool) -> str:
    """Code that arms the injection with the packages in that folder and, if asked, runs the next sitecustomize."""
    with open(START_FILE, encoding="ascii") as file:
        text = file.read()
    arm, go = text.index(_ARM), text.index(_GO_ON)
    code = text[arm:].rstrip() if go_on else text[arm:go].rstrip()
    return code.replace(_OWN_FOLDER, _BASE_FOLDER.format(folder)) + "\n"


def _digest(flags: str, code: bytes) -> str:
    return hashlib.sha256(flags.encode() + b"\n" + code).hexdigest()[:16]


def covering() -> tuple[str, str] | None:
    """The ``sitecustomize.py`` of this interpreter's base, if it arms the injection, and the packages' folder."""
    stdlib = sysconfig.get_path("stdlib")
    spec = PathFinder.find_spec("sitecustomize", [stdlib])
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        return None
    try:
        with open(spec.origin, "rb") as file:
            block = parse(file.read())
    except (OSError, Edited):
        return None
    folder = os.path.join(stdlib, block.folder) if block is not None else ""
    return (spec.origin, folder) if os.path.isdir(folder) else None


def is_under_run() -> bool:
    """Whether ``truststore-inject run`` of this installation has started this interpreter."""
    return START_FOLDER in sys.path


def without_start_folder(pythonpath: str) -> str:
    """The rest of `PYTHONPATH`; an empty entry in it stays what it is, the current directory."""
    return os.pathsep.join(entry for entry in pythonpath.split(os.pathsep) if entry != START_FOLDER)


def hidden_by() -> str | None:
    """The ``sitecustomize`` that this interpreter runs instead of its base's."""
    entries = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in entries if entry])
    return None if spec is None else spec.origin
