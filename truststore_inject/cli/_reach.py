"""``truststore-inject run --check``: can that command be reached?

A Python is asked: it is started as the command would be, with `_ASK` in place of the program.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import _settings
from . import _children
from ._failure import NO, YES
from ._terminal import colour, paragraph, printable, say

_INDENT = 10

# In any Python.
_ASK = """
import json
armed = any(type(finder).__module__ == "truststore_inject._startup" for finder in sys.meta_path)
print(json.dumps({
    "version": "%d.%d.%d" % tuple(sys.version_info[:3]),
    "executable": sys.executable,
    "packages": sys.modules["truststore_inject"].__file__ if armed else None,
}))
"""

_PYTHON = re.compile(r"(python|pypy)[0-9.]*[tw]?(\.exe)?", re.IGNORECASE)
_ISOLATED_IN_SCRIPT = re.compile(rb"""(?:python|pypy)[0-9.]*["']?[ \t]+(-[a-zA-Z]*[IE][a-zA-Z]*)""")
_PYINSTALLER = b"MEI\014\013\012\013\016"  # https://pyinstaller.org/en/stable/advanced-topics.html (CArchive)

# Tools that are not Python, and the switch that makes each follow the system store.
_SWITCHED = {
    "uv": ("uv", "UV_SYSTEM_CERTS"),
    "uvx": ("uv", "UV_SYSTEM_CERTS"),
    "node": ("Node.js (22.19, 24.6 and newer)", "NODE_USE_SYSTEM_CA"),
    "deno": ("Deno", "DENO_TLS_CA_STORE"),
}


@dataclass(frozen=True)
class Reach:
    """Whether the command itself is reached, and why.  None: a script that is not Python, whose Pythons are reached."""

    command: list[str]
    file: str
    reached: bool | None
    reason: str
    python: dict[str, str] | None = None  # version and executable

    @property
    def code(self) -> int:
        return NO if self.reached is False else YES

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(program: str, command: list[str], env: Mapping[str, str]) -> Reach:
    """Whether the file `program`, started as `command` in `env`, is reached.  Starts its Python, if it has one."""
    if not _settings.enabled():
        return Reach(command, program, False, f"switched off by TRUSTSTORE_INJECT={os.environ['TRUSTSTORE_INJECT']}")
    interpreter, options = program, command[1:]
    head = _read(program)
    if head.startswith(b"#!") and not _is_python(program):
        interpreter, options = _shebang(head, env)
    if _is_python(interpreter):
        return _ask(Reach(command, program, False, ""), interpreter, _isolating(options), env)
    name = os.path.basename(interpreter).lower().removesuffix(".exe")
    if name in _SWITCHED:
        tool, variable = _SWITCHED[name]
        value = env.get(variable)
        if value is None or value.lower() in _settings.OFF:
            return Reach(command, program, False, f"not Python: {tool} follows the store only with {variable}")
        return Reach(command, program, True, f"{tool} follows the system store: {variable}={value}")
    if _PYINSTALLER in head[-65536:]:
        reason = "a frozen application (PyInstaller): its Python reads no PYTHONPATH, and it keeps its own trust"
        return Reach(command, program, False, reason)
    unless = "unless they are started with -I or -E, or without this PYTHONPATH"
    if not head.startswith(b"#!"):
        reason = f"not Python: it keeps its own trust. The Pythons that it starts are reached, {unless}"
        return Reach(command, program, False, reason)
    isolated = _ISOLATED_IN_SCRIPT.search(head)
    if isolated is not None:
        return Reach(command, program, False, f"a script that starts {_words(isolated[1].decode())}")
    reason = f"a script for {interpreter}: the Pythons that it starts are reached, {unless}"
    return Reach(command, program, None, reason)


def show(found: Reach) -> None:
    state = {
        True: colour("reached", "green"),
        False: colour("NOT reached", "red"),
        None: colour("what it starts", "yellow"),
    }[found.reached]
    command = subprocess.list2cmdline(found.command) if os.name == "nt" else shlex.join(found.command)
    say(f"{printable(command)}: {state}")
    lines = [("why", found.reason), ("file", found.file)]
    if found.python is not None:
        lines.append(("python", f"{found.python['version']}, {found.python['executable']}"))
    for label, text in lines:
        say(paragraph(printable(text), _INDENT, label.ljust(_INDENT)))


def _ask(found: Reach, python: str, options: str, env: Mapping[str, str]) -> Reach:
    """Let the interpreter say whether it is armed."""
    try:
        answer = _children.ask(_ASK, env=env, limit=60, python=python, options=[f"-{options}"] if options else [])
    except (OSError, _children.NoAnswer):
        return Reach(found.command, found.file, False, f"{python} does not run as a Python interpreter")
    packages = answer.pop("packages")
    if packages is not None:
        reason = f"this Python is armed, by the package in {os.path.dirname(os.path.dirname(packages))}"
    elif options:
        reason = _words(f"-{options}")
    elif tuple(map(int, answer["version"].split("."))) < (3, 10):
        reason = f"Python {answer['version']} is too old (3.10 is needed): it starts as usual, and keeps its own trust"
    else:
        reason = "its sitecustomize did not run to the end (python -v shows why), or it has another PYTHONPATH"
    return Reach(found.command, found.file, packages is not None, reason, answer)


def _words(options: str) -> str:
    what = "runs no sitecustomize" if "S" in options else "takes nothing from PYTHONPATH"
    return f"python {options}, which {what}: install truststore-inject in that environment"


def _is_python(path: str) -> bool:
    """Judged by its name: a shim is a shell script."""
    return _PYTHON.fullmatch(os.path.basename(path)) is not None


def _read(path: str) -> bytes:
    """The head and the end of a file."""
    try:
        with open(path, "rb") as file:
            head = file.read(65536)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(len(head), end - 65536))
            return head + file.read()
    except OSError:
        return b""


def _shebang(head: bytes, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """The interpreter that a script names, and its options."""
    lines = head.decode(errors="replace").splitlines()
    words = _split(lines[0][2:])
    # If the path is too long, or has a space in it, installers write: #!/bin/sh, then '''exec' PATH "$0" "$@"
    if len(lines) > 1 and lines[1].startswith("'''exec' "):
        words = _split(lines[1])[1:]
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word != "-S" and "=" not in word]
        words[:1] = [shutil.which(word, path=env.get("PATH", os.defpath)) or word for word in words[:1]]
    return (words[0], words[1:]) if words else ("", [])


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _isolating(arguments: Sequence[str]) -> str:
    """Those of Python's own options that decide whether a sitecustomize on PYTHONPATH is run."""
    found = ""
    skip = False
    for argument in arguments:
        if skip:
            skip = False
            continue
        if len(argument) < 2 or not argument.startswith("-") or argument.startswith("--"):
            break
        letters = re.split("[cmWX]", argument[1:])[0]
        found += "".join(letter for letter in letters if letter in "IES")
        if letters != argument[1:]:
            if argument[1 + len(letters)] in "cm":
                break
            skip = len(letters) + 2 == len(argument)  # -W and -X take the next word, if nothing follows
    return found
