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
    return os.environ.get("TRUSTSTORE_INJECT_EXTRA_CA_CERTS") or None


def x509_strict() -> bool:
    """False if ``TRUSTSTORE_INJECT_X509_STRICT`` asks to do without what Python 3.13 and newer demand of a chain."""
    return _switch("TRUSTSTORE_INJECT_X509_STRICT")


def openssl(variable: str) -> str | None:
    """The value of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, or None.

    OpenSSL ignores both in a process that runs with more rights than its caller (``secure_getenv``), so we do too:
    https://docs.openssl.org/3.0/man7/openssl-env/
    """
    if hasattr(os, "getuid") and (os.getuid() != os.geteuid() or os.getgid() != os.getegid()):
        return None
    return os.environ.get(variable) or None


_ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"0", "off", "false", "no"})  # cli/_sitecustomize.py writes them down


def _switch(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value and value not in _ON and value not in OFF:
        from . import _record

        _record.note(f"{variable}={os.environ[variable]!r} is not a value that it can have (0 or 1): taken as 1")
    return value not in OFF
