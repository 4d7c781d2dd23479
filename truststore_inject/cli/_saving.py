"""``check URL --save-ca FILE``: the CA that is missing, if the server sends it, as a file that nothing trusts yet."""

import datetime
import hashlib
import os
import ssl
from typing import Any

from .. import _advice
from . import _certificate, _files
from ._adding import how_to_add
from ._certificate import Certificate
from ._failure import MISSING, Failure
from ._terminal import printable

_WARNING = (
    "NOT verified: it was sent by whoever answered for that server. Trust it only if whoever runs",
    "this CA (your company's IT) confirms the SHA-256 fingerprint, over a channel other than this network.",
)
_INTERMEDIATE = (
    "This is an intermediate: the server does not send the root. As a trust anchor it is enough for",
    "Python 3.13 and newer; OpenSSL and older Pythons want the root.",
)


def check_free(path: str) -> None:
    """Before anything is connected: no file is replaced, as it may be a CA that is in use.  Raises `Failure`."""
    if os.path.lexists(path):
        raise Failure(f"{path}: already exists, name another file for --save-ca", MISSING)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise Failure(f"{folder}: no such directory", MISSING)


def save(report: dict[str, Any], chain: list[bytes], path: str) -> None:
    """Write the CA of `chain` (DER, as sent) that the store lacks to `path`, and put what to do next into `report`.

    ``report["saved"]`` is None where there is nothing to save, and the reason is the first line of ``report["fix"]``.
    Raises `Failure`.
    """
    report["saved"] = None
    if report["store"]["verdict"] != "refused" or report["store"]["code"] not in _advice.UNKNOWN_ISSUER:
        report["fix"].insert(0, f"Nothing was saved in {path}: no CA is missing for this server.")
        return
    certificates = [_certificate.read(der) for der in chain]
    number = _end(certificates)
    found = certificates[number]
    if number == 0 and not found.self_issued:
        where = "nor does it say where that is"
        if found.issuer_url:
            where = f"its certificate says that it is here: {found.issuer_url}"
        report["fix"].insert(
            0, f"Nothing was saved in {path}: the server does not send the CA {found.issuer}, {where}."
        )
        return
    fingerprint = _fingerprint(chain[number])
    try:
        _files.replace(path, _text(report["target"], found, chain[number], fingerprint).encode("ascii"))
    except OSError as error:
        raise Failure(f"{path}: cannot be written, {error.strerror}", MISSING) from None
    report["saved"] = {
        "file": os.path.abspath(path),
        "sha256": fingerprint,
        "root": found.self_issued,
        **{key: value for key, value in found.as_dict().items() if key not in ("key", "names")},
    }
    report["fix"] = [
        f"Saved in {path}, nothing trusts it yet: {found.subject}",
        f"  SHA-256 {fingerprint}",
        *([] if found.self_issued else [" ".join(_INTERMEDIATE)]),
        "Compare the fingerprint with your IT department. Only if it is the same, trust it:",
        *how_to_add(report["saved"]["file"]),
    ]


def _end(chain: list[Certificate]) -> int:
    """Where the chain from the server's certificate ends: servers send other certificates too, in any order."""
    number, seen = 0, {0}
    while not chain[number].self_issued:
        ways = (n for n, issuer in enumerate(chain) if n not in seen and _signed(chain[number], issuer))
        following = next(ways, None)
        if following is None:
            break
        number = following
        seen.add(number)
    return number


def _signed(certificate: Certificate, issuer: Certificate) -> bool:
    return certificate.issuer == issuer.subject and _certificate.is_issued_by(certificate, issuer)


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).digest().hex(":").upper()


def _text(server: str, certificate: Certificate, der: bytes, fingerprint: str) -> str:
    """PEM, with comment lines that say what a person has to know.  In ASCII: some tools read nothing else."""
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = [
        f"Sent by {server}, {now:%Y-%m-%d %H:%M} UTC",
        *_WARNING,
        *(() if certificate.self_issued else _INTERMEDIATE),
        "",
        f"Subject  {certificate.subject}",
        f"Issuer   {certificate.issuer}",
        f"SHA-256  {fingerprint}",
        f"Valid    {_day(certificate.not_before)} to {_day(certificate.not_after)}",
    ]
    # A name may look like the line that begins a certificate, which some readers look for anywhere.
    comments = [
        printable(line).replace("-----", "- - -").encode("ascii", "backslashreplace").decode() for line in lines
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + ssl.DER_cert_to_PEM_cert(der)


def _day(time: datetime.datetime | None) -> str:
    return f"{time:%Y-%m-%d}" if time else _certificate.UNREADABLE
