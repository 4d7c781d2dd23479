"""The environment variables, parsed in one place.

They are read when they are needed, so that a program may still set them.
"""

import os


def enabled() -> bool:
    """False if ``TRUSTSTORE_INJECT`` is ``0``, ``off``, ``false`` or ``no``.  Anything else is on."""
    return _switch("TRUSTSTORE_INJECT")


def debug() -> bool:
    """Whether ``TRUSTSTORE_INJECT_DEBUG`` asks for messages on standard error."""
    return os.environ.get("TRUSTSTORE_INJECT_DEBUG", "").lower() in _ON


def extra_ca_certs() -> str | None:
    """The PEM file that ``TRUSTSTORE_INJECT_EXTRA_CA_CERTS`` adds to the system store, or None."""
    return None if _has_more_rights() else os.environ.get("TRUSTSTORE_INJECT_EXTRA_CA_CERTS") or None


def x509_strict() -> bool:
    """False if ``TRUSTSTORE_INJECT_X509_STRICT`` asks to do without what Python 3.13 and newer demand of a chain."""
    return _has_more_rights() or _switch("TRUSTSTORE_INJECT_X509_STRICT")


def openssl(variable: str) -> str | None:
    """The value of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, or None."""
    return None if _has_more_rights() else os.environ.get(variable) or None


def _has_more_rights() -> bool:
    """Whether this process has other rights than its caller, who then may not widen what it trusts.

    OpenSSL ignores its own variables there (``secure_getenv``): https://docs.openssl.org/3.0/man7/openssl-env/
    """
    return hasattr(os, "getuid") and (os.getuid() != os.geteuid() or os.getgid() != os.getegid())


_ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"0", "off", "false", "no"})  # cli/_sitecustomize.py writes them down


def _switch(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value and value not in _ON and value not in OFF:
        from . import _record

        _record.note(f"{variable}={os.environ[variable]!r} is not a value that it can have (0 or 1): taken as 1")
    return value not in OFF
