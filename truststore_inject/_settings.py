"""The environment variables, parsed in one place, except ``TRUSTSTORE_INJECT_DEBUG``, which _record.py reads.

They are read when they are needed, so that a program may still set them.
"""

import os


def enabled() -> bool:
    """False if ``TRUSTSTORE_INJECT`` is ``0``, ``off``, ``false`` or ``no``.  Anything else is on."""
    return _switch("TRUSTSTORE_INJECT")


def extra_ca_certs() -> str | None:
    """The paths that ``TRUSTSTORE_INJECT_EXTRA_CA_CERTS`` adds to the system store, or None."""
    return _of_the_caller("TRUSTSTORE_INJECT_EXTRA_CA_CERTS")


def x509_strict() -> bool:
    """False if ``TRUSTSTORE_INJECT_X509_STRICT`` turns off the strict checks of Python 3.13 and newer."""
    return _switch("TRUSTSTORE_INJECT_X509_STRICT") or _has_more_rights()


def openssl(variable: str) -> str | None:
    """The value of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, or None, as OpenSSL sees it (``secure_getenv``).

    ``CONDA_PREFIX`` too: the caller of a process with more rights must not decide what counts as a tool's bundle there.

    https://docs.openssl.org/3.0/man7/openssl-env/
    """
    return None if _started_with_more_rights() else os.environ.get(variable)


def _of_the_caller(variable: str) -> str | None:
    value = os.environ.get(variable)
    return value if value and not _has_more_rights() else None


def _has_more_rights() -> bool:
    """Whether this process has other rights than its caller, who then may not widen what it trusts."""
    if not hasattr(os, "getuid"):
        return False
    ids_differ = os.getuid() != os.geteuid() or os.getgid() != os.getegid()
    return ids_differ or _started_with_more_rights() is not False


_more_rights: list[
    bool | None
] = []  # once it is known: it stays the same for the life of a process, and in forked ones


def _started_with_more_rights() -> bool | None:
    if not _more_rights:
        _more_rights.append(_ask_the_kernel())
    return _more_rights[0]


def _ask_the_kernel() -> bool | None:
    """What OpenSSL goes by: file capabilities count, and ids that were made equal since.  None: unknown.

    https://man7.org/linux/man-pages/man3/getauxval.3.html (AT_SECURE), https://man.openbsd.org/issetugid.2
    """
    at_secure = 23
    try:
        from posix import close, open, read  # not through `os`, see stores/_files.py

        descriptor = open("/proc/self/auxv", os.O_RDONLY | os.O_CLOEXEC)
        try:
            words = memoryview(read(descriptor, 8192)).cast("L")
        finally:
            close(descriptor)
        return bool(dict(zip(words[::2], words[1::2], strict=True))[at_secure])
    except (AttributeError, ImportError, OSError, LookupError, TypeError, ValueError):  # not Linux, or without /proc
        pass
    try:
        import ctypes  # takes 2 ms

        libc = ctypes.CDLL(None)
        return bool(libc.issetugid() if hasattr(libc, "issetugid") else libc.getauxval(at_secure))
    except Exception:  # an audit hook forbids ctypes, for example
        return None


_ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"0", "off", "false", "no"})  # cli/_run/sitecustomize.py has them, too


def _switch(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value and value not in _ON and value not in OFF:
        from . import _record

        _record.note(f"{variable}={os.environ[variable]!r} is not a valid value (0 or 1): treated as 1")
    return value not in OFF
