"""``truststore-inject check URL``: what the server sends, who accepts it, and if not why and what to do."""

import base64
import datetime
import functools
import os
import platform
import ssl
import sys
from typing import Any

from .. import _advice, _settings, stores
from ..stores import _pem
from . import _children, _target
from ._failure import MISSING, NO_ANSWER, Failure
from ._target import Target
from ._terminal import Progress, colour, paragraph, plain, say

# In the names of the CAs that products make who read along.
_INSPECTING = (
    *("avast", "barracuda", "bitdefender", "blue coat", "bluecoat", "burp", "charles proxy", "check point"),
    *(
        "cisco umbrella",
        "cloudflare for teams",
        "cloudflare gateway",
        "eset ssl",
        "fiddler",
        "forcepoint",
        "fortigate",
        "fortinet",
    ),
    *("kaspersky", "mcafee", "mitmproxy", "netskope", "palo alto", "portswigger", "sophos", "squid", "symantec web"),
    *("untangle", "watchguard", "websense", "zscaler"),
)
# Ends of names that no public CA signs.
_PRIVATE = ("local", "internal", "lan", "corp", "home", "test", "example", "localhost", "arpa")


def diagnose(target: Target, timeout: float, ca_file: str | None) -> dict[str, Any]:
    """All that is known about `target`.  `timeout` in seconds, for each answer.  Raises `Failure`."""
    try:
        from cryptography import x509
    except ImportError:
        raise Failure("this needs cryptography: pip install 'truststore-inject[check]'", MISSING) from None
    env = dict(os.environ)
    if ca_file is not None:
        _check_pem(ca_file)
        env["TRUSTSTORE_INJECT_EXTRA_CA_CERTS"] = os.path.abspath(ca_file)
    through = _target.proxy(target)
    sent = _chain(target, timeout)
    chain = [x509.load_der_x509_certificate(base64.b64decode(der)) for der in sent["chain"]]
    injected = {name: value for name, value in env.items() if name != "TRUSTSTORE_INJECT"}
    clients = {} if target.starttls else _children.installed()
    stock, store, *answers = _children.in_parallel(
        [
            (
                "stock Python",
                functools.partial(_children.handshake, target, timeout, {**env, "TRUSTSTORE_INJECT": "0"}),
            ),
            ("the system store", functools.partial(_children.handshake, target, timeout, injected)),
            *(
                (name, functools.partial(_children.client, name, [(target.url, "default", timeout)], env))
                for name in clients
            ),
        ]
    )
    verdicts = {
        name: dict(zip(("verdict", "words"), answer[0], strict=True))
        for name, answer in zip(clients, answers, strict=True)
    }
    report: dict[str, Any] = {
        "target": str(target),
        "proxy": f"{through[0]}:{through[1]}" if through else None,
        "chain": [_describe(certificate) for certificate in chain],
        "anchor": _anchor(store["path"], chain, ca_file) if store["verdict"] == "accepted" else None,
        "stock": {key: stock[key] for key in ("verdict", "code", "words")},
        "store": {key: store[key] for key in ("verdict", "code", "words")},
        "clients": verdicts,
        "accepted": store["verdict"] == "accepted" and all(v["verdict"] != "refused" for v in verdicts.values()),
    }
    relaxed = None
    if store["verdict"] == "refused" and sys.version_info >= (3, 13):
        relaxed = _children.handshake(target, timeout, {**injected, "TRUSTSTORE_INJECT_X509_STRICT": "0"})
    report["reason"], report["fix"] = _explain(target, report, chain, relaxed)
    return report


def _check_pem(path: str) -> None:
    try:
        anchors = _pem.certificates(path)
        if not anchors:
            raise Failure(f"{path}: not a PEM file, there is no BEGIN CERTIFICATE in it", MISSING)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(anchors))
    except (ssl.SSLError, ValueError) as error:
        raise Failure(f"{path}: a certificate in it cannot be read ({error})", MISSING) from None
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", MISSING) from None


def _chain(target: Target, timeout: float) -> dict[str, Any]:
    """What the server sends, with no regard to whether it is to be trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Progress() as progress:
        progress.text = f"connecting to {target}"
        sent = _target.handshake(target, timeout, context)
        if not sent["chain"]:
            words = "plain HTTP" if not target.starttls and _speaks_http(target, timeout) else None
            reason = f"speaks {words}" if words else f"does not speak TLS that Python accepts ({sent['words']})"
            hint = ": use http://, or the port for https (443)" if words else ""
            raise Failure(f"{target}: {reason} on that port{hint}", NO_ANSWER)
    return sent


def _speaks_http(target: Target, timeout: float) -> bool:
    try:
        return _target.speaks_http(target, timeout)
    except Failure:
        return False


def _describe(certificate: Any) -> dict[str, Any]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [plain(str(name.value)) for name in names]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    not_before, not_after = _validity(certificate)
    return {
        "subject": _name(certificate.subject),
        "issuer": _name(certificate.issuer),
        "not_before": not_before.isoformat(),
        "not_after": not_after.isoformat(),
        "key": _key(certificate),
        "names": names,
    }


def _name(name: Any) -> str:
    return plain(name.rfc4514_string())


def _validity(certificate: Any) -> tuple[datetime.datetime, datetime.datetime]:
    """In UTC; cryptography before 42 has it without the zone only."""
    if hasattr(certificate, "not_valid_before_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    utc = datetime.timezone.utc
    return certificate.not_valid_before.replace(tzinfo=utc), certificate.not_valid_after.replace(tzinfo=utc)


def _key(certificate: Any) -> str:
    try:
        key = certificate.public_key()
    except ValueError:
        return "of a kind that cryptography does not know"
    kind = type(key).__name__.replace("PublicKey", "").lstrip("_")
    return {"EllipticCurve": "EC"}.get(kind, kind) + (f" {key.key_size} bits" if hasattr(key, "key_size") else "")


def _anchor(path: list[str], chain: list[Any], ca_file: str | None) -> dict[str, Any] | None:
    """The anchor at the end of the verified `path` (DER in base64), and where it lies."""
    from cryptography import x509

    places: dict[bytes, str] = {}
    for file in (ca_file, _settings.extra_ca_certs()):
        places.update(dict.fromkeys(_certificates(file) if file is not None else (), str(file)))
    places.update((anchor, place) for place, anchor in stores.listing())
    if stores.interpositions is not None:
        # The operating system does not say which path it found; it is the issuer of what the server sent last.
        found = next((der for der in places if _issued(chain[-1], der)), None)
    else:
        found = base64.b64decode(path[-1]) if path else None
    if found is None:
        return None
    place = places.get(found, "not found: the interpreter that accepted it looks elsewhere")
    return {"subject": _name(x509.load_der_x509_certificate(found).subject), "place": place}


def _issued(certificate: Any, der: bytes) -> bool:
    """Whether the CA `der` has signed `certificate`, or is it."""
    from cryptography import exceptions, x509

    try:
        issuer = x509.load_der_x509_certificate(der)
        if issuer != certificate:
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return True


def _certificates(path: str) -> list[bytes]:
    try:
        return _pem.certificates(path)
    except OSError:
        return []


def _explain(
    target: Target, report: dict[str, Any], chain: list[Any], relaxed: dict[str, Any] | None
) -> tuple[str, list[str]]:
    """The reason in words, and what to do, a sentence each."""
    verdict, code, words = (report["store"][key] for key in ("verdict", "code", "words"))
    if verdict == "accepted":
        return _explain_clients(report)
    if verdict == "error":
        return f"There was no verdict: {words}.", []
    if relaxed is not None and relaxed["verdict"] == "accepted":
        return (
            f"Refused only by VERIFY_X509_STRICT, which Python sets since 3.13: {words}. {_lacks(chain)}".rstrip(),
            [
                "Best: let whoever runs that CA issue one that keeps RFC 5280 (critical basicConstraints, keyUsage, "
                "subject and authority key identifiers).",
                "Until then: set TRUSTSTORE_INJECT_X509_STRICT=0, which asks no more than Python 3.12 did.",
            ],
        )
    now = datetime.datetime.now(datetime.timezone.utc)
    leaf = chain[0]
    if code in _advice.WRONG_NAME:
        names = ", ".join(report["chain"][0]["names"]) or "no name at all (no subjectAltName)"
        return (
            f"Wrong name: you asked for {target.host}, the certificate is for {names}.",
            [
                "Use one of those names in the URL, or let the server's administrator add this one to the certificate.",
                "If these are names of something else, another server answers: look at DNS, proxy and port.",
            ],
        )
    expired = [certificate for certificate in chain if _validity(certificate)[1] < now]
    future = [certificate for certificate in chain if _validity(certificate)[0] > now]
    if code in _advice.NOT_YET_VALID or (code in _advice.EXPIRED and future and not expired):
        which = (future or chain)[0]
        return (
            f"Not yet valid: {_name(which.subject)} is valid from "
            f"{_validity(which)[0]:%Y-%m-%d %H:%M} UTC; this machine's clock says {now:%Y-%m-%d %H:%M} UTC.",
            ["Most often it is the clock: set it (timedatectl set-ntp true, w32tm /resync)."],
        )
    if code in _advice.EXPIRED:
        if not expired:
            return "An expired CA certificate in the store ends this chain.", ["Update the store's certificates."]
        which, until = expired[0], _validity(expired[0])[1]
        what = "The server's certificate" if which is leaf else f"The CA certificate {_name(which.subject)}"
        return (
            f"Expired: {what} was valid until {until:%Y-%m-%d %H:%M} UTC; "
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC.",
            ["If the clock is right, the server's administrator has to renew it; nothing here can or should."],
        )
    if code in _advice.UNKNOWN_ISSUER:
        return _explain_unknown_issuer(target, chain)
    return f"Refused: {words} (code {code}).", ["https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/"]


def _explain_clients(report: dict[str, Any]) -> tuple[str, list[str]]:
    refusing = [name for name, verdict in report["clients"].items() if verdict["verdict"] == "refused"]
    if not refusing:
        return "The system store accepts this server.", []
    from . import _influences

    deciding = [line for line in _influences.variables() if line["name"] != "SSL_CERT_DIR"]
    return (
        f"The system store accepts this server, but not {', '.join(refusing)}.",
        [f"{entry['name']}={entry['value']}: {entry['effect']} {entry['fix']}" for entry in deciding]
        or ["truststore-inject status says what else decides about trust here."],
    )


def _explain_unknown_issuer(target: Target, chain: list[Any]) -> tuple[str, list[str]]:
    leaf, last = chain[0], chain[-1]
    missing = _name(last.issuer)
    if leaf.issuer == leaf.subject:
        return (
            f"The server's certificate {_name(leaf.subject)} is self-signed and not in the store.",
            ["If it is really that server's, trust the certificate itself:", *how_to_add()],
        )
    if last.issuer != last.subject and (url := _issuer_url(last)) and not _inspects(target, chain):
        return (
            f"The server forgot its intermediate: it has to send the certificate of {missing}, too. Browsers hide that "
            "mistake, they fetch it by themselves.",
            [
                "The server's administrator has to configure the full chain (certbot: fullchain.pem, not cert.pem).",
                f"The missing certificate: {plain(url)}",
                "Until then it can be trusted here, after it was compared with what its CA publishes:",
                *how_to_add(),
            ],
        )
    reason = f"Unknown issuer: the CA {missing} is not in the store."
    if _inspects(target, chain):
        reason += (
            " It looks like a TLS-inspecting proxy: between here and the server somebody signs with a CA of his own."
        )
    return reason, [f"Get the certificate of {missing} from who runs it (a company's IT), then:", *how_to_add()]


def _inspects(target: Target, chain: list[Any]) -> bool:
    """By the names that products give to their CAs; or a certificate for a public name that lacks what public CAs put
    into it (signed certificate timestamps, a way to the issuer).
    """
    from cryptography import x509

    names = " ".join(_name(certificate.issuer) for certificate in chain).lower()
    if any(name in names for name in _INSPECTING):
        return True
    host = target.host
    if "." not in host or host.rpartition(".")[2] in _PRIVATE or host.replace(".", "").isdigit() or ":" in host:
        return False
    try:
        chain[0].extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    except (x509.ExtensionNotFound, ValueError):
        return _issuer_url(chain[0]) is None
    return False


def _issuer_url(certificate: Any) -> str | None:
    """Where the certificate of its issuer is (RFC 5280 4.2.2.1)."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID as Method

    try:
        accesses = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    return next((str(a.access_location.value) for a in accesses if a.access_method == Method.CA_ISSUERS), None)


def _lacks(chain: list[Any]) -> str:
    """What of RFC 5280 the CAs and the certificate that were sent lack."""
    from cryptography import x509

    found = []
    for certificate in chain:
        try:
            extensions = certificate.extensions
        except ValueError:
            continue
        kinds = {type(extension.value): extension for extension in extensions}
        lacks = []
        constraints = kinds.get(x509.BasicConstraints)
        if constraints is not None and constraints.value.ca:
            lacks += [] if constraints.critical else ["a basicConstraints that is critical"]
            lacks += [] if x509.KeyUsage in kinds else ["keyUsage"]
            lacks += [] if x509.SubjectKeyIdentifier in kinds else ["a subject key identifier"]
        if certificate.subject != certificate.issuer and x509.AuthorityKeyIdentifier not in kinds:
            lacks += ["an authority key identifier"]
        if lacks:
            found.append(f"{_name(certificate.subject) or 'The certificate'} lacks {', '.join(lacks)}.")
    return " ".join(found)


def how_to_add() -> list[str]:
    """The commands that add ``ca.pem`` to the store of this system, and what works without its administrator."""
    without = "Without root: TRUSTSTORE_INJECT_EXTRA_CA_CERTS=/path/of/ca.pem in the environment (Python only)."
    if sys.platform == "win32":
        return ["  certutil -addstore -f Root ca.pem", without]
    if sys.platform == "darwin":
        keychain = "/Library/Keychains/System.keychain"
        return [f"  sudo security add-trusted-cert -d -r trustRoot -k {keychain} ca.pem", without]
    if "freebsd" in sys.platform:
        return ["  cp ca.pem /usr/local/share/certs/ && certctl rehash", without]
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if family & {"fedora", "rhel", "centos"}:
        command = "cp ca.pem /etc/pki/ca-trust/source/anchors/ && update-ca-trust"
    elif family & {"suse", "opensuse", "sles"}:
        command = "cp ca.pem /etc/pki/trust/anchors/ && update-ca-certificates"
    elif "arch" in family:
        command = "trust anchor --store ca.pem"
    elif "nixos" in family:
        command = "security.pki.certificateFiles = [ ./ca.pem ];  # in configuration.nix"
    else:  # Debian, Ubuntu, Alpine, Gentoo
        command = "cp ca.pem /usr/local/share/ca-certificates/ca.crt && update-ca-certificates"
    return [f"  {command}", without]


def show(report: dict[str, Any], separate: bool) -> None:
    """For people, 80 columns."""
    if separate:
        say()
    say(colour(report["target"], "bold") + (f", through the proxy {report['proxy']}" if report.get("proxy") else ""))
    if "error" in report:
        say(paragraph(report["error"], 2, "  "))
        return
    say("\nThe server sends:")
    for number, certificate in enumerate(report["chain"]):
        say(paragraph(certificate["subject"] or "(no subject)", 5, f"  {number}"))
        say(paragraph(certificate["issuer"], 14, "     issuer"))
        say(f"     valid    {certificate['not_before'][:10]} to {certificate['not_after'][:16].replace('T', ' ')} UTC")
        say(f"     key      {certificate['key']}")
        if certificate["names"]:
            say(paragraph(", ".join(certificate["names"]), 14, "     names"))
    if report["anchor"]:
        say("It ends at:")
        say(paragraph(report["anchor"]["subject"], 5, "  *"))
        say(paragraph(report["anchor"]["place"], 14, "     in"))
    say("\nVerdicts:")
    verdicts = {"stock Python": report["stock"], "the system store": report["store"], **report["clients"]}
    for name, verdict in verdicts.items():
        shade = {"accepted": "green", "refused": "red"}.get(verdict["verdict"], "yellow")
        # Every client that refuses says the same as the store, in its own long words.
        explained = verdict["words"] and (name not in report["clients"] or verdict["verdict"] == "error")
        say(f"  {name.ljust(18)} {colour(verdict['verdict'], shade)}")
        if explained:
            say(paragraph(plain(verdict["words"]), 21, " " * 21))
    say()
    say(paragraph(report["reason"]))
    for line in report["fix"]:
        say(line if line.startswith("  ") else paragraph(line))
