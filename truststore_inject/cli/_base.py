"""A base interpreter: asked what it is, and whether it arms the injection."""

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import _children, _sitecustomize
from ._failure import MISSING, Failure

VERSION = sys.version.split()[0]
ABI = sysconfig.get_config_var("EXT_SUFFIX")  # what a compiled module of this Python is called

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

# Asked of the base, in the caller's environment: which sitecustomize runs, and whether it armed the injection.
_PROVE = """
import json, sys
from importlib.machinery import PathFinder
spec = PathFinder.find_spec("sitecustomize", sys.path)
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


@dataclass(frozen=True)
class Base:
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
        """The content of `file`, or None if there is no such file."""
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

    def prove(self) -> Any:
        """What `_PROVE` prints.  Raises `Failure`."""
        return _answer(self.executable, [], _PROVE)

    def compile(self, path: str) -> None:
        """Write the byte code of the file or folder `path`.  Raises `Failure`."""
        _answer(self.executable, ["-I"], _COMPILE, path)

    def forget_byte_code(self) -> bool:
        """Delete the byte code of `file`: two changes within a second look the same to it.  True if there was any."""
        compiled = [path for path in self.byte_code if os.path.exists(path)]
        for path in compiled:
            os.unlink(path)
        return bool(compiled)


def describe(python: str) -> Base:
    """The base of that interpreter.  Raises `Failure` if nothing can be added to it."""
    base = Base(**_answer(python, ["-I"], _ASK))
    if not base.is_layout:
        raise Failure(
            f"{python}: its standard library is not a directory that it imports from (an embedded or frozen Python, a"
            " zip file); install truststore-inject in each environment, or call truststore_inject.inject()",
            MISSING,
        )
    if not base.file.endswith(".py"):
        raise Failure(f"{base.file}: this sitecustomize is not a source file, nothing can be added", MISSING)
    return base


def _answer(python: str, options: Sequence[str], code: str, *arguments: str) -> Any:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRUSTSTORE_INJECT")}
    if "PYTHONPATH" in env:  # under run every Python is armed; the question is what the base does
        env["PYTHONPATH"] = _sitecustomize.without_start_folder(env["PYTHONPATH"])
    try:
        return _children.ask(code, *arguments, env=env, limit=300, python=python, options=options)
    except OSError as error:
        raise Failure(f"{python}: {error.strerror}", MISSING) from None
    except _children.NoAnswer:
        raise Failure(f"{python}: it does not run as a Python interpreter", MISSING) from None
