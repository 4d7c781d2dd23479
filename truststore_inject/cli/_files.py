"""Writing a file in a directory that other users may be able to write to."""

import contextlib
import os
import secrets

PREFIX = ".truststore-inject-"  # what the names of files that are not yet in place begin with
# Where a directory can be held open, everything is done in that one, wherever its path leads meanwhile.
_HOLDS_DIRECTORIES = {os.open, os.rename, os.stat, os.unlink} <= os.supports_dir_fd


class Swapped(OSError):
    """Another user put something in the file's place before it was moved to where it belongs."""


def replace(path: str, data: bytes, like: os.stat_result | None = None) -> None:
    """Put a file with `data` at `path`: whole or not at all, and nothing else is touched.  Raises `OSError`.

    What is at `path` is replaced; a link is not followed.  Owner and mode are those of `like`; without it, the file is
    ours and readable by everybody.
    """
    folder, name = os.path.split(path)
    flags = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
    directory = os.open(folder or ".", flags) if _HOLDS_DIRECTORIES else None
    try:
        if directory is None:
            _replace(path, os.path.join(folder, _new_name()), data, like, None)
        else:
            _replace(name, _new_name(), data, like, directory)
    except OSError as error:
        # The temporary name means nothing to the user.
        raise type(error)(error.errno, error.strerror, folder or ".") from None
    finally:
        if directory is not None:
            os.close(directory)


def _new_name() -> str:
    return PREFIX + secrets.token_hex(8)


def _replace(name: str, new: str, data: bytes, like: os.stat_result | None, directory: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # never through a link, and never a file that is there
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(new, flags, 0o600, dir_fd=directory)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if hasattr(os, "fchown") and like is not None:
                os.fchown(descriptor, like.st_uid, like.st_gid)
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, 0o644 if like is None else like.st_mode & 0o7777)
            os.fsync(descriptor)
            written = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=directory)
        raise
    # Whoever may rename files in this directory (it is not sticky) may have given that name to another one meanwhile.
    if not os.path.samestat(written, os.stat(name, dir_fd=directory, follow_symlinks=False)):
        raise Swapped(0, "another user replaced the file while it was being written")
