"""The command line.  Nothing else in the package imports it."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run the command that `arguments` (default: ``sys.argv``) name, or ``status``; return its exit code."""
    _leave_out_the_current_directory()
    from . import _main

    return _main.main(arguments)


def _leave_out_the_current_directory() -> None:
    """An empty entry of ``PYTHONPATH`` puts it on `sys.path`: the commands import nothing that happens to lie there."""
    entries = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        return
    meant = {os.path.abspath(entry) for entry in (*entries, os.path.dirname(os.__file__)) if entry}
    if len(entries) > 1 and "" in entries and here not in meant:
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]
