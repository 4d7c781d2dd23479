"""``truststore-inject run``: one command, and every Python that it starts, with nothing installed where they live."""

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import NoReturn

from .. import _settings
from ._failure import MISSING, USAGE, Failure
from ._sitecustomize import NAMES, START_FILE, START_FOLDER, without_start_folder
from ._switches import SWITCHES
from ._terminal import print_json

# https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "truststore-inject run [--python-only] [--check [--json]] [--] COMMAND [ARGUMENTS]"
    parser.add_argument("--python-only", action="store_true", help="leave out the switches of uv, Node.js and Deno")
    parser.add_argument("--check", action="store_true", help="do not run it: say whether it can be reached")
    parser.add_argument("--json", action="store_true", help="with --check: print JSON")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND [ARGUMENTS]")


def run(arguments: argparse.Namespace) -> int:
    """The command's exit code; on POSIX it replaces this process.  126 and 127: it cannot be run, as in a shell.

    With ``--check``: 0 if the command itself is reached, 1 if it is not.
    """
    command = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not command:
        raise Failure("no command: truststore-inject run COMMAND [ARGUMENTS]", USAGE)
    env = environment(os.environ, python_only=arguments.python_only)
    program = _program(command[0], env)
    if not arguments.check:
        return _execute(program, command, env)
    from . import _reach

    found = _reach.judge(program, command, env)
    if arguments.json:
        print_json(found.as_dict())
    else:
        _reach.show(found)
    return found.code


def environment(env: Mapping[str, str], *, python_only: bool = False) -> dict[str, str]:
    """The command's environment.  With ``TRUSTSTORE_INJECT=0`` it is `env`, unchanged."""
    if not _settings.enabled():
        return dict(env)
    _check_packages()
    # An empty PYTHONPATH counts as none, but an empty entry in it is the current directory.
    rest = without_start_folder(env.get("PYTHONPATH", ""))
    pythonpath = f"{START_FOLDER}{os.pathsep}{rest}" if rest else START_FOLDER
    return {**({} if python_only else SWITCHES), **env, "PYTHONPATH": pythonpath}


def _check_packages() -> None:
    """The start folder's finder looks in one folder only: that of this package."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(START_FOLDER)))
    if os.pathsep in START_FOLDER or not os.path.isfile(START_FILE):
        raise Failure(f"{START_FOLDER}: this cannot be an entry of PYTHONPATH", MISSING)
    for name in NAMES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
            raise Failure(f"{name} is not installed beside this command: pip install truststore-inject", MISSING)
        where = os.path.dirname(os.path.dirname(spec.origin))
        if os.path.realpath(where) != os.path.realpath(folder):
            raise Failure(
                f"{name} is in {where}, truststore_inject in {folder}: run needs them in one folder, as pip install"
                " puts them in a new environment",
                MISSING,
            )


def _program(name: str, env: Mapping[str, str]) -> str:
    """The file that a shell would find for `name`."""
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    if found is not None:
        return found
    folders = [""] if os.path.dirname(name) else env.get("PATH", os.defpath).split(os.pathsep)
    for path in (os.path.join(folder, name) for folder in folders):
        if os.path.lexists(path):
            raise _refusal(path, "it is a directory" if os.path.isdir(path) else "it is not executable")
    raise Failure(f"{name}: there is no such command", _NOT_FOUND)


def _refusal(path: str, reason: str) -> Failure:
    return Failure(f"{path}: {reason}", _NOT_EXECUTABLE)


def _execute(program: str, command: list[str], env: Mapping[str, str]) -> int:
    try:
        if sys.platform == "win32":
            return _wait(program, command, env)
        _replace(program, command, env)
    except OSError as error:
        raise _refusal(program, f"it cannot be executed, {error.strerror}") from None


def _replace(program: str, command: list[str], env: Mapping[str, str]) -> NoReturn:
    """Become the command."""
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):  # Python ignores them, and so would the command
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(program, command, env)


def _wait(program: str, command: list[str], env: Mapping[str, str]) -> int:
    """Windows has no exec that its shells wait for.  Ctrl-C goes to both processes: the command decides about it."""
    with subprocess.Popen([program, *command[1:]], env=env) as child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(signal, "SIGBREAK"):
            signal.signal(signal.SIGBREAK, signal.SIG_IGN)
        code = child.wait()
    return code - 2**32 if code >= 2**31 else code  # sys.exit takes a signed number
