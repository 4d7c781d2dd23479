"""What is at a path.  The operating system is asked through the module that `os` gets its functions from.

A guard against blocking calls, or a test's mock, replaces them in `os`, for the program's own calls; the stock ssl
module makes none through `os`, so what replaces it makes none there either.
"""

import os
from errno import ELOOP
from os import fsdecode
from stat import S_ISDIR, S_ISLNK, S_ISREG
from time import time_ns

try:
    from posix import close, fstat, getcwd, listdir, lstat, readlink, stat
    from posix import open as open_
    from posix import read as read_
except ImportError:  # Windows
    from nt import close, fstat, getcwd, listdir, lstat, readlink, stat  # type: ignore[attr-defined, no-redef]
    from nt import open as open_  # type: ignore[attr-defined, no-redef]
    from nt import read as read_  # type: ignore[attr-defined, no-redef]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    Identity = tuple[int, ...]

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_MOST_LINKS = 40  # as on Linux
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


def identity(path: "Path") -> "Identity":
    """Which file is there, and in what state; empty if there is none.

    The last number is the time of its last status change, in nanoseconds, which nobody can set.
    """
    try:
        status = stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_settled(state: "Identity") -> bool:
    """False if the file changed so recently that another change may leave the same `identity` (a clock's tick)."""
    return not state or abs(time_ns() - state[-1]) > 100_000_000


def size(path: "Path") -> int:
    """The size of a regular file, in bytes; else 0."""
    try:
        status = stat(path)
    except (OSError, ValueError):
        return 0
    return status.st_size if S_ISREG(status.st_mode) else 0


def is_directory(path: "Path") -> bool:
    try:
        return S_ISDIR(stat(path).st_mode)
    except (OSError, ValueError):
        return False


def read(path: "Path") -> bytes:
    """The content of a regular file; empty for any other kind, which might have no end.  Raises `OSError`."""
    descriptor = open_(path, _FLAGS)  # not open(): a store is a few hundred small files, and this is three times faster
    try:
        status = fstat(descriptor)
        if not S_ISREG(status.st_mode):
            return b""
        chunks = []
        while chunk := read_(descriptor, status.st_size + 1):
            chunks.append(chunk)
            if len(chunk) <= status.st_size:  # less than was asked for: that is the end
                break
        return b"".join(chunks)
    finally:
        close(descriptor)


def names(directory: "Path") -> list[str]:
    """The names in it, sorted; none if it cannot be read."""
    try:
        return sorted(listdir(fsdecode(directory)))
    except (OSError, ValueError):
        return []


def hashed(directory: str) -> "Iterator[str]":
    """The paths in it that OpenSSL may ask for; only OpenSSL knows whether it finds anything there.

    They are named after the hash of a subject, and a number: https://docs.openssl.org/3.0/man1/openssl-rehash/
    """
    for name in names(directory):
        # Not with `re`: compiling the pattern costs a tenth of what the first context costs.
        if name[8:9] == "." and name[9:].isdigit() and _HEXADECIMAL.issuperset(name[:8]):
            yield f"{directory}/{name}"


def resolve(path: "Path") -> str:
    """The absolute path without links, as far as it exists.  Raises `OSError` if the working directory is gone.

    `os.path.realpath` calls the functions in `os`, which somebody may have replaced.
    """
    text = fsdecode(path)
    if os.sep != "/":  # Windows
        return os.path.realpath(text).replace(os.sep, "/")
    if not text.startswith("/"):
        text = f"{getcwd()}/{text}"
    parts, found, links = text.split("/")[::-1], "", 0
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            found = found.rpartition("/")[0]
            continue
        try:
            is_link = S_ISLNK(lstat(f"{found}/{part}").st_mode)
        except OSError:
            is_link = False
        if not is_link:
            found += f"/{part}"
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(ELOOP, os.strerror(ELOOP), text)
        target = readlink(f"{found}/{part}")
        if target.startswith("/"):
            found = ""
        parts += target.split("/")[::-1]
    return found or "/"


def is_below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or inside it; both as `resolve` returns them."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
