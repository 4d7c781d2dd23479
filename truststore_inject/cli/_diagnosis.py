"""``truststore-inject check URL``: what the server sends, who accepts it, and if not, why and what to do."""

import base64
import functools
import os
import ssl
import sys
from typing import Any

from .. import stores
from ..stores import _bundle, _extra, _pem
from . import _certificate, _children, _handshake, _judges, _reasons, _saving, _target
from ._certificate import Certificate
from ._failure import MISSING, NO_ANSWER, Failure
from ._target import Target
from ._terminal import Progress, colour, paragraph, printable, say

_MOST = 20  # certificates and names that are shown


def diagnose(target: Target, timeout: float, ca_file: str | None, save_ca: str | None = None) -> dict[str, Any]:
    """All that is known about `target`.  `timeout` in seconds, for each connection.  Raises `Failure`.

    `save_ca` is where to write the CA that is missing.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Failure("this needs cryptography: pip install 'truststore-inject[check]'", MISSING) from None
    env = dict(os.environ)
    if ca_file is not None:
        _check_pem(ca_file)
        env["TRUSTSTORE_INJECT_EXTRA_CA_CERTS"] = os.path.abspath(ca_file)
    through = _target.proxy(target)
    sent = [base64.b64decode(der) for der in _chain(target, timeout)]
    chain = [_certificate.read(der) for der in sent]
    injected = {name: value for name, value in env.items() if name != "TRUSTSTORE_INJECT"}
    stock, store, clients = _verdicts(target, timeout, env, injected)
    report: dict[str, Any] = {
        "target": str(target),
        "proxy": f"{through[0]}:{through[1]}" if through else None,
        "chain": [certificate.as_dict() for certificate in chain],
        "anchor": _anchor(store["path"], chain, ca_file) if store["verdict"] == "accepted" else None,
        "stock": {key: stock[key] for key in ("verdict", "code", "words")},
        "store": {key: store[key] for key in ("verdict", "code", "words")},
        "clients": clients,
        "left_out": stores.describe()["left_out"],
        "accepted": store["verdict"] == "accepted" and all(v["verdict"] != "refused" for v in clients.values()),
    }
    relaxed = None
    if store["verdict"] == "refused" and sys.version_info >= (3, 13):
        with Progress("without VERIFY_X509_STRICT"):
            relaxed = _judges.handshake(target, timeout, {**injected, "TRUSTSTORE_INJECT_X509_STRICT": "0"})
    report["reason"], fix = _reasons.explain(target, report, chain, relaxed)
    not_used = [] if report["accepted"] else report["left_out"]
    report["fix"] = [*fix, *(f"Not used: {entry['path']}: {entry['reason']}." for entry in not_used)]
    if save_ca is not None:
        _saving.save(report, sent, save_ca)
    return report


def _verdicts(
    target: Target, timeout: float, env: dict[str, str], injected: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, str]]]:
    """The verdicts of stock Python, of the system store, and of each client library by name."""
    names = _judges.of_protocol(target.starttls)
    judges = {"stock Python": {**env, "TRUSTSTORE_INJECT": "0"}, "the system store": injected}
    stock, store, *answers = _children.in_parallel(
        [(name, functools.partial(_judges.handshake, target, timeout, each)) for name, each in judges.items()]
        + [(name, functools.partial(_judges.client, name, [(target.url, "default", timeout)], env)) for name in names]
    )
    clients = {
        name: {"verdict": verdict, "words": words} for name, ((verdict, words),) in zip(names, answers, strict=True)
    }
    return stock, store, clients


def _check_pem(path: str) -> None:
    """Check that `path` is a file of CAs, which the children can read again.  Raises `Failure`."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise Failure(f"{path}: not a regular file", MISSING)
    try:
        _bundle.read(path)
    except OSError as error:  # ssl.SSLError is one
        raise Failure(f"{path}: {_pem.fault(path) or error.strerror or error}", MISSING) from None


def _chain(target: Target, timeout: float) -> list[str]:
    """What the server sends, DER in base64, whether or not it can be trusted.  Raises `Failure`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Progress(f"connecting to {target}"):
        sent = _handshake.handshake(target, timeout, context)
        if not sent["chain"]:
            words = "plain HTTP" if not target.starttls and _speaks_http(target, timeout) else None
            reason = f"speaks {words}" if words else f"does not speak TLS that Python accepts ({sent['words']})"
            hint = ": use http://, or the port for https (443)" if words else ""
            raise Failure(f"{target}: {reason} on that port{hint}", NO_ANSWER)
    chain: list[str] = sent["chain"]
    return chain


def _speaks_http(target: Target, timeout: float) -> bool:
    try:
        return _handshake.speaks_http(target, timeout)
    except Failure:
        return False


def _anchor(path: list[str], chain: list[Certificate], ca_file: str | None) -> dict[str, Any] | None:
    """The anchor at the end of the verified `path` (DER in base64), and where it is."""
    places: dict[bytes, str] = {}
    extra = _extra.current()
    bundles = {} if extra is None else dict(extra.bundles)
    if ca_file is not None:
        bundles[ca_file] = _bundle.read(ca_file)
    for place, bundle in bundles.items():
        places.update(dict.fromkeys(bundle.certificates(), place))
    places.update((anchor, place) for place, anchor in stores.listing())
    if stores.interpositions is not None:
        # The operating system does not say which path it found; it is the issuer of what the server sent last.
        last = chain[-1]
        found = next((der for der in places if _certificate.is_issued_by(last, _certificate.read(der))), None)
    else:
        found = base64.b64decode(path[-1]) if path else None
    if found is None:
        return None
    place = places.get(found, "not found: the interpreter that accepted it looks elsewhere")
    return {"subject": _certificate.read(found).subject, "place": place}


def show(report: dict[str, Any], separate: bool) -> None:
    """For people, 80 columns."""
    report = printable(report)
    if separate:
        say()
    say(colour(report["target"], "bold") + (f", through the proxy {report['proxy']}" if report.get("proxy") else ""))
    if "error" in report:
        say(paragraph(report["error"], 2, "  "))
        return
    say("\nThe server sends:")
    for number, certificate in enumerate(report["chain"][:_MOST]):
        _show_certificate(number, certificate)
    if len(report["chain"]) > _MOST:
        say(f"  and {len(report['chain']) - _MOST} more")
    if report["anchor"]:
        say("It ends at:")
        say(paragraph(report["anchor"]["subject"], 5, "  *"))
        say(paragraph(report["anchor"]["place"], 14, "     in"))
    say("\nVerdicts:")
    verdicts = {"stock Python": report["stock"], "the system store": report["store"], **report["clients"]}
    for name, verdict in verdicts.items():
        shade = {"accepted": "green", "refused": "red"}.get(verdict["verdict"], "yellow")
        # Every client that refuses says the same as the store, at greater length.
        explained = verdict["words"] and (name not in report["clients"] or verdict["verdict"] == "error")
        say(f"  {name.ljust(18)} {colour(verdict['verdict'], shade)}")
        if explained:
            say(paragraph(verdict["words"], 21, " " * 21))
    say()
    say(paragraph(report["reason"]))
    for line in report["fix"]:
        say(line if line.startswith("  ") else paragraph(line))


def _show_certificate(number: int, certificate: dict[str, Any]) -> None:
    say(paragraph(certificate["subject"] or "(no subject)", 5, f"  {number}"))
    say(paragraph(certificate["issuer"], 14, "     issuer"))
    if certificate["not_before"] and certificate["not_after"]:
        until = certificate["not_after"][:16].replace("T", " ")
        say(f"     valid    {certificate['not_before'][:10]} to {until} UTC")
    say(f"     key      {certificate['key']}")
    if certificate["names"]:
        say(paragraph(_reasons.some(certificate["names"]), 14, "     names"))
