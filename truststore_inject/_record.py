"""What was applied, skipped or failed in this process, and why.

With ``TRUSTSTORE_INJECT_DEBUG=1`` it is said on standard error as it happens.
"""

import os
import sys

# The state of each patch, "applied", "skipped" or "failed", and the reason.
patches: dict[str, tuple[str, str]] = {}

# What else a person who looks for the cause has to know.  A dict: it keeps the order and drops what is repeated.
notes: dict[str, None] = {}


def applied(name: str) -> None:
    _set(name, "applied", "")


def skipped(name: str, reason: str) -> None:
    _set(name, "skipped", reason)


def failed(name: str, error: Exception) -> None:
    _set(name, "failed", f"{type(error).__name__}: {error}")


def forget(name: str) -> None:
    """The patch was taken back."""
    patches.pop(name, None)
    _debug(f"{name}: taken back")


def note(text: str) -> None:
    """Keep `text` for `truststore_inject.status`, once."""
    if text not in notes:
        notes[text] = None
        _debug(text)


def printable(text: str) -> str:
    """`text` on one line, without what a stream cannot encode or a terminal would obey: variables hold any bytes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _set(name: str, state: str, reason: str) -> None:
    patches[name] = (state, reason)
    _debug(f"{name}: {state}" + (f" ({reason})" if reason else ""))


def _debug(text: str) -> None:
    # Not by way of _settings.py, which records values that it does not know.
    if os.environ.get("TRUSTSTORE_INJECT_DEBUG", "").lower() not in ("1", "on", "true", "yes"):
        return
    if sys.stderr is not None:  # None in a program without a console
        try:
            sys.stderr.write(f"truststore-inject: {printable(text)}\n")
        except (OSError, ValueError):  # a closed pipe or a closed file: whoever asked for this is gone
            pass
