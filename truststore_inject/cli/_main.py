"""The commands, each a file of its own with ``add_arguments(parser)`` and ``run(arguments) -> exit code``."""

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from .. import __version__
from ._failure import MISSING, USAGE, Failure
from ._secrets import without_user
from ._terminal import complain, output, printable

_COMMANDS = {
    "status": "is it active in this interpreter, and what else decides about trust here?",
    "check": "prove it on this machine, or explain what happens with a server",
    "run": "one command, and every Python that it starts, with nothing installed",
    "base": "cover a base interpreter and every virtual environment made from it",
    "export": "write the system store as one PEM file, for tools outside Python",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, with nothing that a terminal would act on, and without the password of a misplaced URL."""
        self.exit(USAGE, f"{self.prog}: {printable(without_user(message))} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: ``sys.argv``) name, or ``status``; return its exit code.

    Bad usage ends with a message on standard error and exit code 2, as argparse does.  The codes are in docs/cli.md.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name in a certificate must not end a command
    parser = _Parser("truststore-inject", description="Python verifies TLS with the system's trust store.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=title, description=title) for name, title in _COMMANDS.items()}
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments = ["status", *arguments]
    try:
        command = import_module(f".{arguments[0]}", __package__) if arguments[0] in _COMMANDS else None
        if command is not None:
            command.add_arguments(parsers[arguments[0]])
        parsed = parser.parse_args(arguments)
        assert command is not None  # argparse has refused everything else
        code = int(command.run(parsed))
        with output() as stream:
            stream.flush()
    except Failure as failure:
        complain(str(failure))
        return failure.code
    except ModuleNotFoundError as error:
        if error.name != "_ssl":
            raise
        complain("this Python was built without the ssl module: there is nothing to verify")
        return MISSING
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # ``| head``
        return 141
    return code
