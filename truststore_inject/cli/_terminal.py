"""Colours, paragraphs and progress; all of it for people, none of it where a program reads."""

import contextlib
import errno
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import TextIO

_CODES = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "dim": "2"}


def colour(text: str, name: str) -> str:
    """`text` in that colour if standard output is a terminal.  https://no-color.org"""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{_CODES[name]}m{text}\033[0m"


def plain(text: str) -> str:
    """`text` without what a terminal would obey: a certificate may hold any character."""
    return "".join(character if character.isprintable() else "?" for character in text)


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
    # Python 3.10 says 0 of a terminal that has no size; in less than 40 nothing can be read.
    return max(shutil.get_terminal_size((80, 24)).columns or 80, 40)


@contextlib.contextmanager
def output() -> Iterator[TextIO]:
    """Standard output, to write to.  Raises `BrokenPipeError` where nobody reads it any more."""
    try:
        yield sys.stdout
    except OSError as error:
        # Windows may call it an invalid argument: https://github.com/python/cpython/issues/79935
        if sys.platform == "win32" and error.errno == errno.EINVAL:
            raise BrokenPipeError from error
        raise


def say(line: str = "") -> None:
    """To standard output."""
    with output() as stream:
        stream.write(line + "\n")


class Progress:
    """``with Progress() as progress: progress.text = "..."``: shown on a terminal after a second."""

    text = ""

    def __enter__(self) -> "Progress":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def _show(self) -> None:
        started = time.monotonic()
        width = _columns() - 1
        if self._end.wait(1):
            return
        while not self._end.wait(0.2):
            line = f"{self.text} ({time.monotonic() - started:.0f} s)"[:width]
            sys.stderr.write(f"\r{line.ljust(width)}")
            sys.stderr.flush()
        sys.stderr.write("\r" + " " * width + "\r")
        sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
