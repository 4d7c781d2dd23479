"""What was applied, skipped or failed in this process, and why.

With ``TRUSTSTORE_INJECT_DEBUG=1`` it is also written to standard error as it happens.
"""

import os
import sys

# The state of each patch, "applied", "skipped" or "failed", and the reason.
patches: dict[str, tuple[str, str]] = {}

# What else helps to find the cause of a problem.  A dict keeps the order and drops repetitions.
notes: dict[str, None] = {}


def applied(name: str) -> None:
    _set(name, "applied", "")


def skipped(name: str, reason: str) -> None:
    _set(name, "skipped", reason)


def failed(name: str, error: Exception) -> None:
    _set(name, "failed", f"{type(error).__name__}: {error}")


def forget(name: str) -> None:
    """The patch was undone."""
    patches.pop(name, None)
    _debug(f"{name}: undone")


def note(text: str) -> None:
    """Keep `text` for `truststore_inject.status`, once."""
    if text not in notes:
        notes[text] = None
        _debug(text)


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would act on escaped: variables may hold any bytes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _set(name: str, state: str, reason: str) -> None:
    patches[name] = (state, reason)
    _debug(f"{name}: {state}" + (f" ({reason})" if reason else ""))


def _debug(text: str) -> None:
    # Not through _settings.py, which records invalid values here.
    if os.environ.get("TRUSTSTORE_INJECT_DEBUG", "").lower() not in ("1", "on", "true", "yes"):
        return
    if sys.stderr is not None:  # None in a program without a console
        try:
            sys.stderr.write(f"truststore-inject: {printable(text)}\n")
        except (OSError, ValueError):  # a closed pipe or file: nobody reads it any more
            pass
