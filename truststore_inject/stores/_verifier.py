"""Asking the operating system about a chain, through `truststore`, with guards around it.

truststore has no public function for a connection that it did not make, so one of its private functions is called.  It
may be wrong, crash or be slow, and so may what it calls: everything known about that is in this file.
"""

import base64
import ssl
import sys
from _socket import AF_INET, AF_INET6, inet_pton

from ._bundle import load_verify_locations, new_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    # ask(settings of a context, chain in DER, server_hostname=...) raises `ssl.SSLCertVerificationError`
    Ask = Callable[..., object]

NAME = {"win32": "Windows", "darwin": "macOS"}.get(sys.platform, sys.platform)

# The versions whose two back ends are known; they are the same in all of these: tests/windows tries each.
TESTED = frozenset({"0.10.0", "0.10.1", "0.10.3", "0.10.4", "0.10.5"})
_BACK_ENDS = ("truststore._windows", "truststore._macos")

# What SecTrustEvaluateWithError gives for every chain where a sandbox keeps the process from trustd (errSecInternal).
# https://github.com/openai/codex/issues/5980
_NO_TRUSTD = -26276


class CouldNotBeAsked(Exception):
    """The operating system has not said anything about the chain."""

    verify_code = _NO_TRUSTD


def native_function() -> "Ask":
    """truststore's function for this system.  Raises `Exception` if there is no usable one."""
    _api = _import_without_wmi() if sys.platform == "win32" and "truststore" not in sys.modules else _import()
    ask: Ask = getattr(_api, "_verify_peercerts_impl")  # noqa: B009 - type checkers look inside too
    if ask.__module__ not in _BACK_ENDS:
        raise ImportError(f"truststore verifies with {ask.__module__}")  # on other systems that does nothing at all
    if ask.__module__ == "truststore._macos":
        _let_no_null_pass(sys.modules[ask.__module__])
    return ask


def _import() -> "Any":
    from truststore import _api

    return _api


def _import_without_wmi() -> "Any":
    """truststore calls ``platform.system()``, which since Python 3.12 asks WMI for everything else it could tell.

    Where WMI is forbidden that takes 10 seconds; where it hangs, for ever: https://github.com/python/cpython/issues/125315
    """
    import platform

    def system() -> str:
        return "Windows"

    original, platform.system = platform.system, system
    try:
        return _import()
    finally:
        if platform.system is system:
            platform.system = original


def _let_no_null_pass(macos: "Any") -> None:
    """Catch NULL before truststore passes it on.

    CoreFoundation ends a process that puts NULL into an array, and anybody can send a certificate that OpenSSL parses
    and Security does not (https://github.com/golang/go/issues/51759).  Without a policy, SecTrustCreateWithCertificates
    takes one that checks no name, and SecPolicyCreateSSL has none to give if the executable was replaced or removed
    (https://github.com/golang/go/issues/54590).

    The functions are truststore's alone: each `ctypes.CDLL` has its own.  Raises `AttributeError` if it calls others.
    """
    for library, names in (
        (macos.CoreFoundation, ("CFArrayCreateMutable", "CFDataCreate", "CFStringCreateWithCString")),
        (macos.Security, ("SecCertificateCreateWithData", "SecPolicyCreateRevocation", "SecPolicyCreateSSL")),
    ):
        for name in names:
            getattr(library, name).errcheck = _not_null


def _not_null(result: "Any", function: "Any", _arguments: object) -> "Any":
    if result:
        return result
    if function.__name__ == "SecCertificateCreateWithData":
        raise ValueError("a certificate that the server sent, or one that is trusted in addition, cannot be read")
    raise CouldNotBeAsked(f"{function.__name__} gave NULL")


class Verifier:
    """The operating system, asked through `ask`."""

    def __init__(self, ask: "Ask") -> None:
        self._ask = ask
        self._unusable: tuple[str | None] | None = None

    @property
    def is_known(self) -> bool:
        """Whether `unusable` answers at once."""
        return self._unusable is not None

    def unusable(self) -> str | None:
        """Why the system cannot be relied upon, or None.

        On Windows a tested version of truststore is relied upon without a probe: the probe's chain ends in an unknown
        root, for which Windows may ask the network for 15 seconds and more.  On macOS there is always a probe, which
        stays on the machine: nothing else tells whether trustd can be reached.  It may block: hold no lock meanwhile.
        """
        if self._unusable is None:
            self._unusable = (None if sys.platform == "win32" and _is_tested(self._ask) else self._probe(),)
        return self._unusable[0]

    def _probe(self) -> str | None:
        settings = Settings(new_context(), True, False)
        try:
            answer: Any = self._ask(settings, [_NOBODY], server_hostname="truststore-inject.invalid")
        except ssl.SSLCertVerificationError as error:
            return f"it could not be asked: {words(error)}" if _code(error) == _NO_TRUSTD else None
        except CouldNotBeAsked as error:
            return f"it could not be asked: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if answer is None:
            return "truststore accepts a certificate that nobody has signed"
        if hasattr(answer, "close"):  # a coroutine, which warns if nobody awaits it
            answer.close()
        return f"truststore answers with {type(answer).__name__}"

    def verify(
        self,
        settings: "Settings",
        chain: list[bytes],
        server_hostname: str | None,
        decoded: "Callable[[], Mapping[str, Any]]",
    ) -> None:
        """Raise `Exception` unless the system trusts `chain` (DER) and its first certificate is for `server_hostname`.

        ``decoded()`` is that certificate as the ssl module decodes it.
        """
        check_hostname = settings.check_hostname  # before it is handed to others
        if check_hostname and not server_hostname:
            raise ssl.SSLCertVerificationError("there is no host name to check")
        helpers = [helper for helper in settings.intermediates() if helper not in chain]
        try:
            answer = self._ask(settings, chain + helpers, server_hostname=server_hostname)
        except ssl.SSLCertVerificationError as error:
            if _code(error) == _NO_TRUSTD:
                raise CouldNotBeAsked(words(error)) from None
            raise
        if answer is not None:
            raise CouldNotBeAsked(f"truststore answers with {type(answer).__name__}")
        if check_hostname and server_hostname:
            _must_be_for(server_hostname, decoded(), settings.common_name)


def _is_tested(ask: "Ask") -> bool:
    version = getattr(sys.modules.get("truststore"), "__version__", None)
    return ask.__module__ in _BACK_ENDS and version in TESTED


def words(error: Exception) -> str:
    """What `error` says; an `ssl.SSLError` with one argument would say it as a tuple."""
    said = getattr(error, "verify_message", "") or (error.args[0] if len(error.args) == 1 else error)
    return str(said) or type(error).__name__


def _code(error: ssl.SSLCertVerificationError) -> int:
    code: int = getattr(error, "verify_code", 0)
    return code


class Settings:
    """What truststore asks a context for, as it was in OpenSSL when the object was made."""

    # Not CERT_OPTIONAL, which means the same for a client: with it, truststore on macOS accepts an unknown CA.
    verify_mode = ssl.CERT_REQUIRED

    def __init__(self, context: "Any", check_hostname: bool, common_name: bool) -> None:
        self._context = context
        self.check_hostname = check_hostname
        self.common_name = common_name  # whether a certificate without a DNS name is for the name in its subject
        self.verify_flags = context.verify_flags

    def __getattr__(self, name: str) -> "Any":
        """Anything else comes from the context."""
        return getattr(self._context, name)

    def get_ca_certs(self, binary_form: bool = False) -> "list[Any]":
        """The anchors that were loaded on top of default trust, if OpenSSL takes them as the end of a chain."""
        decoded = self._loaded()
        if not self.verify_flags & getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0):
            decoded = {der: info for der, info in decoded.items() if is_root(info)}
        return list(decoded if binary_form else decoded.values())

    def intermediates(self) -> list[bytes]:
        """The other certificates that were loaded, which help to build the chain, as DER."""
        return [der for der, info in self._loaded().items() if not is_root(info)]

    def _loaded(self) -> "dict[bytes, Any]":
        return decode(self._context.get_ca_certs(True))


# The certificates that were loaded on top of default trust, decoded: the same ones come with each connection.
_decoded: "dict[bytes, Any]" = {}


def decode(certificates: list[bytes]) -> "dict[bytes, Any]":
    """CA certificates (DER) as the ssl module decodes them."""
    new = [der for der in certificates if der not in _decoded]
    if new:
        # Not two calls to the context itself: another thread may load something in between.
        private = new_context()
        load_verify_locations(private, cadata=b"".join(new))
        _decoded.update(zip(private.get_ca_certs(True), private.get_ca_certs(), strict=True))
    return {der: _decoded[der] for der in certificates}


def is_root(info: "Mapping[str, Any]") -> bool:
    """Whether a certificate, decoded, can be the end of a chain for OpenSSL without X509_V_FLAG_PARTIAL_CHAIN."""
    return bool(info["subject"] == info["issuer"])


# --- the host name ---


def _must_be_for(host: str, certificate: "Mapping[str, Any]", common_name: bool) -> None:
    """Raise `ssl.SSLCertVerificationError`, in OpenSSL's words, if `certificate` is not for `host`.

    The operating system checks it too, but not always: see `_let_no_null_pass`.  This is what OpenSSL does with the
    flags that the ssl module sets: X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, perhaps X509_CHECK_FLAG_NEVER_CHECK_SUBJECT.
    https://docs.openssl.org/3.0/man3/X509_check_host/, https://www.rfc-editor.org/rfc/rfc9525
    """
    names = certificate.get("subjectAltName", ())
    address = _address(host)
    if address is not None:
        if not any(kind == "IP Address" and _address(name.strip()) == address for kind, name in names):
            _refuse_name(64, f"IP address mismatch, certificate is not valid for '{host}'.")
        return
    patterns = [name for kind, name in names if kind == "DNS"]
    if not patterns and common_name:
        patterns = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
    if not any(_matches(pattern, host) for pattern in patterns):
        _refuse_name(62, f"Hostname mismatch, certificate is not valid for '{host}'.")


def _refuse_name(code: int, message: str) -> "NoReturn":
    error = ssl.SSLCertVerificationError(message)
    error.verify_code, error.verify_message = code, message
    raise error


def _address(text: str) -> bytes | None:
    """The bytes of an IP address, else None.  For OpenSSL, one with a scope (``fe80::1%en0``) is not an address."""
    for family in (AF_INET, AF_INET6):
        try:
            return None if "%" in text else inet_pton(family, text)
        except (OSError, ValueError):
            pass
    return None


_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _matches(pattern: str, host: str) -> bool:
    """Whether a name in a certificate matches the host: a wildcard stands for the whole leftmost label."""
    pattern, host = _lower(pattern), _lower(host)
    if pattern == host:
        return "\0" not in pattern
    star, _, parent = pattern.partition(".")
    label, _, domain = host.partition(".")
    if star != "*" or parent != domain or not label or not _LABEL.issuperset(label):
        return False
    labels = parent.split(".")
    return len(labels) > 1 and all(
        part and _LABEL.issuperset(part) and part[0] != "-" and part[-1] != "-" for part in labels
    )


def _lower(name: str) -> str:
    """ASCII letters only, as DNS names are compared."""
    return name.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")


# --- the probe ---

# A certificate whose key nobody has, valid until 2099, in no store: whatever accepts it does not verify.
_NOBODY = base64.b64decode(
    "MIIBYjCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBl0cnVzdHN0b3JlLWluamVjdC5pbnZhbGlkMCAXDTIwMDEwMTAwMDAwMFoY"
    "DzIwOTkxMjMxMDAwMDAwWjAkMSIwIAYDVQQDDBl0cnVzdHN0b3JlLWluamVjdC5pbnZhbGlkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnPOW"
    "0U8EV0PGWwaXg/Pa0DYtDFpqxke4Q1KewPvjD1I3XwE7joD/0qx5guRPshPZNTdjj4a2Nn66XjpYBpxf0aMoMCYwJAYDVR0RBB0wG4IZdHJ1c3Rz"
    "dG9yZS1pbmplY3QuaW52YWxpZDAKBggqhkjOPQQDAgNJADBGAiEAjSUEEs89Q5gBZYTnHddGFl7daj47eoUK77+aql0TyOcCIQCvAbyNulMbPBuX"
    "qSM7Wz83Zixy6ZLHCwTt3HCwYJpqdg=="
)
