"""The command line: one file for each command, with ``add_arguments(parser)`` and ``run(arguments) -> exit code``.

Nothing else in the package imports it.
"""

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from . import status

_COMMANDS = {"status": status}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: ``sys.argv``) name, or ``status``; return its exit code.

    Bad usage ends with a message on standard error and exit code 2, as argparse has it.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        "truststore-inject", description="Python verifies TLS with the system's trust store."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in _COMMANDS.items():
        title = (command.__doc__ or "").partition(": ")[2]
        command.add_arguments(commands.add_parser(name, help=title, description=title))
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments = ["status", *arguments]
    parsed = parser.parse_args(arguments)
    exit_code: int = _COMMANDS[parsed.command].run(parsed)
    return exit_code
