"""What a certificate says, as far as it can be read: OpenSSL takes some that cryptography does not, and a server may
send anything.
"""

import datetime
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")
UNREADABLE = "(cannot be read)"


@dataclass(frozen=True)
class Certificate:
    """What cannot be read is None, or `UNREADABLE` where text is expected.  Times are in UTC."""

    subject: str
    issuer: str
    self_issued: bool
    not_before: datetime.datetime | None
    not_after: datetime.datetime | None
    key: str
    names: list[str] | None  # subjectAltName
    issuer_url: str | None  # where the certificate of its issuer is: RFC 5280, 4.2.2.1
    has_timestamps: bool  # of certificate transparency, which public CAs put into it
    lacks: list[str]  # what RFC 5280 requires and VERIFY_X509_STRICT checks
    parsed: Any  # of cryptography; None if that cannot read it at all

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "not_before": self.not_before.isoformat() if self.not_before else None,
            "not_after": self.not_after.isoformat() if self.not_after else None,
            "key": self.key,
            "names": self.names,
        }


def read(der: bytes) -> Certificate:
    """Never raises an `Exception`, whatever `der` holds."""
    from cryptography import x509

    parsed = _or(None, lambda: x509.load_der_x509_certificate(der))
    timestamps = x509.PrecertificateSignedCertificateTimestamps
    return Certificate(
        subject=_or(UNREADABLE, lambda: _name(parsed.subject)),
        issuer=_or(UNREADABLE, lambda: _name(parsed.issuer)),
        self_issued=_or(False, lambda: bool(parsed.subject == parsed.issuer)),
        not_before=_or(None, lambda: _utc(parsed, "not_valid_before")),
        not_after=_or(None, lambda: _utc(parsed, "not_valid_after")),
        key=_or("of a kind that cryptography does not know", lambda: _key(parsed)),
        names=_or(None, lambda: _names(parsed)),
        issuer_url=_or(None, lambda: _issuer_url(parsed)),
        has_timestamps=_or(False, lambda: _extension(parsed, timestamps) is not None),
        lacks=_or([], lambda: list(_lacks(parsed))),
        parsed=parsed,
    )


def _or(otherwise: _T, function: Callable[[], _T]) -> _T:
    """What `function` returns, or `otherwise` if it fails, in whatever way a parser fails."""
    try:
        with warnings.catch_warnings():  # cryptography warns of what it accepts today and may refuse tomorrow
            warnings.simplefilter("ignore")
            return function()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in cryptography's Rust is no Exception: https://pyo3.rs (PanicException)
        return otherwise


def _name(name: Any) -> str:
    """A distinguished name in one line (RFC 4514)."""
    return _short(name.rfc4514_string())


def _short(text: str) -> str:
    """Cut: a certificate may hold 100 kB of it."""
    return text if len(text) <= 500 else f"{text[:500]}..."


def is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether `issuer` has signed `certificate`, or is it."""

    def check() -> bool:
        if certificate.parsed != issuer.parsed:
            certificate.parsed.verify_directly_issued_by(issuer.parsed)
        return issuer.parsed is not None

    return _or(False, check)


def _utc(parsed: Any, attribute: str) -> datetime.datetime:
    """Before version 42, cryptography has it without a time zone only."""
    if hasattr(parsed, f"{attribute}_utc"):
        return getattr(parsed, f"{attribute}_utc")  # type: ignore[no-any-return]
    return getattr(parsed, attribute).replace(tzinfo=datetime.timezone.utc)  # type: ignore[no-any-return]


def _key(parsed: Any) -> str:
    key = parsed.public_key()
    kind = type(key).__name__.replace("PublicKey", "").lstrip("_")
    return {"EllipticCurve": "EC"}.get(kind, kind) + (f" {key.key_size} bits" if hasattr(key, "key_size") else "")


def _names(parsed: Any) -> list[str]:
    from cryptography import x509

    return [_short(str(name.value)) for name in _extension(parsed, x509.SubjectAlternativeName) or ()]


def _issuer_url(parsed: Any) -> str | None:
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID as Method

    accesses = _extension(parsed, x509.AuthorityInformationAccess) or ()
    urls = (access.access_location.value for access in accesses if access.access_method == Method.CA_ISSUERS)
    return next((_short(str(url)) for url in urls), None)


def _extension(parsed: Any, kind: Any) -> Any:
    """The value of that extension, or None."""
    from cryptography import x509

    try:
        return parsed.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _lacks(parsed: Any) -> Iterator[str]:
    from cryptography import x509

    kinds = {type(extension.value): extension for extension in parsed.extensions}
    constraints = kinds.get(x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        if not constraints.critical:
            yield "a basicConstraints that is critical"
        if x509.KeyUsage not in kinds:
            yield "keyUsage"
        if x509.SubjectKeyIdentifier not in kinds:
            yield "a subject key identifier"
    if parsed.subject != parsed.issuer and x509.AuthorityKeyIdentifier not in kinds:
        yield "an authority key identifier"
