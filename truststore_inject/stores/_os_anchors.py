"""The trust anchors of Windows and macOS as DER, for libraries with a TLS stack of their own and for people.

A list is not the store: the operating system knows what it distrusts, and Windows fetches a public root when a chain
needs it.  Only what the system trusts for TLS servers is listed.
"""

import contextlib
import hashlib
import os
import ssl
import subprocess
import sys
import tempfile

from . import _bundle, _native, _openssl, _pem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SERVER_AUTH = ssl.Purpose.SERVER_AUTH.oid


def listing() -> "Iterator[tuple[str, bytes]]":
    """See `truststore_inject.stores`.  Raises `OSError`."""
    if sys.platform == "win32":
        yield from _root_store()
    elif sys.platform == "darwin":
        yield from _keychains()
    # What is trusted in addition.
    bundle, directories = _native.environment()
    if bundle is not None:
        with contextlib.suppress(OSError):  # stock ignores it silently
            for der in _bundle.read(bundle).certificates():
                yield bundle, der
    for directory in directories.split(os.pathsep) if directories else ():
        yield from _openssl.hashed_anchors(directory)


def distrusted() -> frozenset[bytes]:
    """What the system refuses, wherever else it is trusted, as DER.  Raises `OSError`."""
    if sys.platform == "win32":
        return frozenset(der for der, _, _ in ssl.enum_certificates("Disallowed"))
    if sys.platform == "darwin":
        settings = _trust_settings()
        return frozenset(der for _, der in _certificates() if _is_trusted(der, settings) is False)
    return frozenset()


# --- Windows ---


def _root_store() -> "Iterator[tuple[str, bytes]]":
    disallowed = distrusted()
    for der, encoding, purposes in getattr(ssl, "enum_certificates")("ROOT"):  # noqa: B009 - only Windows has it
        for_servers = purposes is True or _SERVER_AUTH in purposes
        if encoding == "x509_asn" and for_servers and der not in disallowed and _can_be_parsed(der):
            yield "the Windows certificate store ROOT", der


def _can_be_parsed(der: bytes) -> bool:
    """One that cannot be makes OpenSSL give up on a whole file: https://github.com/python/cpython/issues/79846"""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):
        return False
    return True


# --- macOS ---

_SYSTEM_ROOTS = "/System/Library/Keychains/SystemRootCertificates.keychain"
# Without one (None) the tool looks in the user's search list: the login keychain and others.
_OTHERS = ("/Library/Keychains/System.keychain", None)

# CSSMOID_APPLE_TP_SSL (1.2.840.113635.100.1.3), the policy of a setting for TLS servers.
# https://developer.apple.com/documentation/security/ksectrustsettingspolicy
_SSL_POLICY = bytes.fromhex("2a864886f763640103")
_TRUST_ROOT, _TRUST_AS_ROOT, _DENY = 1, 2, 3
_TRUST = (_TRUST_ROOT, _TRUST_AS_ROOT)
_KEY_USE_SIGN_CERT, _KEY_USE_ANY = 8, 0xFFFFFFFF


def _keychains() -> "Iterator[tuple[str, bytes]]":
    """A certificate is not trusted just because it is in a keychain: the trust settings decide.

    https://github.com/golang/go/issues/24084
    """
    settings = _trust_settings()
    for place, der in _certificates():
        trusted = _is_trusted(der, settings)
        if trusted or (trusted is None and place == _SYSTEM_ROOTS):
            yield place, der


def _certificates() -> "Iterator[tuple[str, bytes]]":
    for keychain in (_SYSTEM_ROOTS, *_OTHERS):
        arguments = ["find-certificate", "-a", "-p", *filter(None, [keychain])]
        for der in _pem.decode(_security(*arguments).stdout):
            yield keychain or "the user's keychains", der


def _security(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["/usr/bin/security", *arguments], capture_output=True, check=False)


def _trust_settings() -> "list[dict[str, list[dict[str, Any]]]]":
    """The user's settings, then the administrator's: what each certificate, by its SHA-1, is trusted for.

    The user's take precedence: https://developer.apple.com/documentation/security/sectrustsettingsdomain
    Raises `OSError`: without them it is not known what must not be trusted.
    """
    import plistlib

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for domain in ((), ("-d",)):
            file = os.path.join(folder, "settings.plist")
            done = _security("trust-settings-export", *domain, file)
            if done.returncode and b"No Trust Settings were found" in done.stderr + done.stdout:
                continue
            if done.returncode:
                raise OSError(f"security trust-settings-export: {done.stderr.decode(errors='replace').strip()}")
            with open(file, "rb") as opened:
                found.append(
                    {
                        # A certificate without any setting is trusted for everything.
                        sha1: entry.get("trustSettings", [])
                        for sha1, entry in plistlib.load(opened)["trustList"].items()
                    }
                )
    return found


def _is_trusted(der: bytes, settings: "list[dict[str, list[dict[str, Any]]]]") -> bool | None:
    """Whether the settings trust a certificate for TLS servers; None if they say nothing about that.

    https://developer.apple.com/documentation/security/sectrustsettingscopytrustsettings(_:_:_:)
    """
    sha1 = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    for domain in settings:
        if domain.get(sha1) == []:
            return True
        entries = [entry for entry in domain.get(sha1, ()) if _is_for_servers(entry)]
        if _DENY in map(_result, entries):
            return False
        # A list of anchors cannot express a setting for a single host.
        if any(_result(entry) in _TRUST and "kSecTrustSettingsPolicyString" not in entry for entry in entries):
            return True
    return None


def _result(entry: "dict[str, Any]") -> int:
    result: int = entry.get("kSecTrustSettingsResult", _TRUST_ROOT)
    return result


def _is_for_servers(entry: "dict[str, Any]") -> bool:
    usage = entry.get("kSecTrustSettingsKeyUsage", _KEY_USE_ANY)
    return entry.get("kSecTrustSettingsPolicy", _SSL_POLICY) == _SSL_POLICY and (
        usage == _KEY_USE_ANY or bool(usage & _KEY_USE_SIGN_CERT)
    )
