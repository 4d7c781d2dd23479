"""Why a server is accepted or refused, in words, and what to do about it."""

import datetime
from typing import Any

from .. import _advice, stores
from ._adding import how_to_add
from ._certificate import Certificate
from ._target import Target

# What the CAs of products that inspect TLS have in their names.
_INSPECTING = """
avast;barracuda;bitdefender;blue coat;bluecoat;burp;charles proxy;check point;cisco umbrella;cloudflare for teams;
cloudflare gateway;eset ssl;fiddler;forcepoint;fortigate;fortinet;kaspersky;mcafee;mitmproxy;netskope;palo alto;
portswigger;sophos;squid;symantec web;untangle;watchguard;websense;zscaler
""".replace("\n", "").split(";")
# Ends of names that no public CA signs.
_PRIVATE = ("local", "internal", "lan", "corp", "home", "test", "example", "localhost", "arpa")

_Reason = tuple[str, list[str]]


def explain(
    target: Target, report: dict[str, Any], chain: list[Certificate], relaxed: dict[str, Any] | None
) -> _Reason:
    """The reason, and what to do: one sentence each.

    `relaxed` is the verdict without VERIFY_X509_STRICT, if it was needed.
    """
    verdict, code, words = (report["store"][key] for key in ("verdict", "code", "words"))
    if verdict == "accepted":
        return _clients(report)
    if verdict == "error":
        return f"There was no verdict: {words}.", []
    if relaxed is not None and relaxed["verdict"] == "accepted":
        return _strict(words, chain)
    now = datetime.datetime.now(datetime.timezone.utc)
    future = [certificate for certificate in chain if certificate.not_before and certificate.not_before > now]
    expired = [certificate for certificate in chain if certificate.not_after and certificate.not_after < now]
    if code in _advice.WRONG_NAME:
        return _wrong_name(target, chain[0])
    if code in _advice.NOT_YET_VALID or (code in _advice.EXPIRED and future and not expired):
        return _not_yet_valid((future or chain)[0], now)
    if code in _advice.EXPIRED:
        return _expired(expired, chain[0], now)
    if code in _advice.UNKNOWN_ISSUER:
        return _unknown_issuer(target, chain)
    return f"Refused: {words} (code {code}).", ["https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/"]


def _clients(report: dict[str, Any]) -> _Reason:
    refusing = [name for name, verdict in report["clients"].items() if verdict["verdict"] == "refused"]
    if not refusing:
        return "The system store accepts this server.", []
    from . import _influences

    deciding = [line for line in _influences.variables(stores.describe()) if line["name"] != "SSL_CERT_DIR"]
    return (
        f"The system store accepts this server, but not {', '.join(refusing)}.",
        [f"{entry['name']}={entry['value']}: {entry['effect']} {entry['fix']}" for entry in deciding]
        or ["To see what else decides about trust here: truststore-inject status"],
    )


def _strict(words: str, chain: list[Certificate]) -> _Reason:
    lacks = " ".join(
        f"{certificate.subject or 'The certificate'} lacks {', '.join(certificate.lacks)}."
        for certificate in chain
        if certificate.lacks
    )
    return (
        f"Refused only because of VERIFY_X509_STRICT, which Python 3.13 and newer set: {words}. {lacks}".rstrip(),
        [
            "The proper fix: whoever runs that CA issues certificates that follow RFC 5280 (critical basicConstraints, "
            "keyUsage, subject and authority key identifiers).",
            "Until then: set TRUSTSTORE_INJECT_X509_STRICT=0, which checks no more than Python 3.12 did.",
        ],
    )


def _wrong_name(target: Target, leaf: Certificate) -> _Reason:
    if leaf.names is None:
        names = "names that cannot be read"
    else:
        names = some(leaf.names) or "no name at all (no subjectAltName)"
    return (
        f"Wrong name: you asked for {target.host}, but the certificate is for {names}.",
        [
            "Use one of those names in the URL, or have the server's administrator add this one to the certificate.",
            "If those names belong to something else, another server answered: check DNS, proxy and port.",
        ],
    )


def some(names: list[str]) -> str:
    """The first names: a certificate can hold thousands."""
    most = 20
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _not_yet_valid(certificate: Certificate, now: datetime.datetime) -> _Reason:
    return (
        f"Not yet valid: {certificate.subject} is valid from {_minute(certificate.not_before)}; "
        f"this machine's clock says {_minute(now)}.",
        ["The clock is the usual cause: set it (timedatectl set-ntp true, w32tm /resync)."],
    )


def _expired(expired: list[Certificate], leaf: Certificate, now: datetime.datetime) -> _Reason:
    if not expired:
        return "This chain ends at a CA certificate in the store that has expired.", ["Update the store."]
    what = "The server's certificate" if expired[0] is leaf else f"The CA certificate {expired[0].subject}"
    return (
        f"Expired: {what} was valid until {_minute(expired[0].not_after)}; this machine's clock says {_minute(now)}.",
        ["If the clock is right, only the server's administrator can fix this, by renewing it."],
    )


def _minute(time: datetime.datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else "a time that cannot be read"


def _unknown_issuer(target: Target, chain: list[Certificate]) -> _Reason:
    leaf, last = chain[0], chain[-1]
    if leaf.self_issued:
        return (
            f"The server's certificate {leaf.subject} is self-signed and not in the store.",
            ["If it really is that server's, trust the certificate itself:", *how_to_add()],
        )
    inspected = inspects(target, chain)
    if not last.self_issued and last.issuer_url and not inspected:
        return (
            f"Missing intermediate: the server has to send the certificate of {last.issuer} as well. "
            "Browsers hide this mistake by fetching it themselves.",
            [
                "The server's administrator has to configure the full chain (certbot: fullchain.pem, not cert.pem).",
                f"The missing certificate: {last.issuer_url}",
                "Until then you can trust it here, once you have compared it with what its CA publishes:",
                *how_to_add(),
            ],
        )
    reason = f"Unknown issuer: the CA {last.issuer} is not in the store."
    if inspected:
        reason += (
            " This looks like a TLS-inspecting proxy: something between here and the server replaces certificates "
            "with its own."
        )
    return reason, [
        f"Get the certificate of {last.issuer} from whoever runs it (your company's IT), then:",
        *how_to_add(),
    ]


def inspects(target: Target, chain: list[Certificate]) -> bool:
    """Whether this chain was made by a TLS-inspecting proxy.

    Such products are known by the names of their CAs; or a certificate for a public name lacks what public CAs include
    (signed certificate timestamps, the issuer's location).
    """
    names = " ".join(certificate.issuer for certificate in chain).lower()
    if any(name in names for name in _INSPECTING):
        return True
    host = target.host
    if "." not in host or host.rpartition(".")[2] in _PRIVATE or host.replace(".", "").isdigit() or ":" in host:
        return False
    return not chain[0].has_timestamps and chain[0].issuer_url is None
