"""What the commands write: for people (colours, paragraphs, progress) and for programs (JSON).

Certificates, servers, variables and file names hold whatever somebody else put there.  So a report is shown as
`printable` makes it: its text cannot control a terminal.  `print_json` escapes it by itself.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from .. import _record
from ._failure import MISSING, Failure

_CODES = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "dim": "2"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(value: Any) -> Any:
    """A copy of `value` (text, or lists and dictionaries of it) with every unprintable character escaped."""
    return _each_text(value, _record.printable)


def _each_text(value: Any, function: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        return {_each_text(key, function): _each_text(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_text(item, function) for item in value]
    return value


def colour(text: str, name: str) -> str:
    """`text` in that colour if standard output is a terminal.  https://no-color.org"""
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{_CODES[name]}m{text}\033[0m"


def paragraph(text: str, indent: int = 0, first: str = "") -> str:
    """`text` wrapped to the terminal (80 columns elsewhere), `first` standing in the indent of its first line."""
    width = min(_columns(), 100)
    return textwrap.fill(
        text,
        width,
        initial_indent=first.ljust(indent),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns() -> int:
    # Python 3.10 gives 0 for a terminal without a size; below 40, nothing can be read.
    return max(shutil.get_terminal_size((80, 24)).columns or 80, 40)


@contextlib.contextmanager
def output() -> Iterator[TextIO]:
    """Standard output, to write to.  Raises `BrokenPipeError` if nobody reads it any more, otherwise `Failure`."""
    if sys.stdout is None:  # closed by whoever started us: https://docs.python.org/3/library/sys.html#sys.__stdout__
        raise Failure("standard output is closed", MISSING)
    try:
        yield sys.stdout
    except OSError as error:
        # What is still buffered would fail once more at exit: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Windows may call a closed pipe an invalid argument: https://github.com/python/cpython/issues/79935
        if isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL):
            raise BrokenPipeError from error
        raise Failure(f"standard output cannot be written: {error.strerror}", MISSING) from None


def say(line: str = "") -> None:
    """Write a line to standard output."""
    with output() as stream:
        stream.write(line + "\n")


def complain(text: str) -> None:
    """Write one line to standard error, if there is any."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"truststore-inject: {printable(text)}\n")


def print_json(value: Any) -> None:
    """To standard output, in ASCII.  A name that is not UTF-8 is escaped: JSON has no lone surrogates (RFC 8259)."""
    text = _each_text(value, lambda text: _SURROGATE.sub(lambda found: _record.printable(found[0]), text))
    say(json.dumps(text, indent=2))


class Progress:
    """``with Progress() as progress: progress.text = "..."``: shown on a terminal after a second."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def __enter__(self) -> "Progress":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        if sys.stderr is not None and sys.stderr.isatty():
            self._thread.start()
        return self

    def _show(self) -> None:
        started = time.monotonic()
        width = _columns() - 1
        if self._end.wait(1):
            return
        while not self._end.wait(0.2):
            line = f"{printable(self.text)} ({time.monotonic() - started:.0f} s)"[:width]
            sys.stderr.write(f"\r{line.ljust(width)}")
            sys.stderr.flush()
        sys.stderr.write("\r" + " " * width + "\r")
        sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
