"""A refused certificate: what was missing and what to do, as a note on the exception (PEP 678, Python 3.11).

Loaded when a handshake on a context with default trust fails verification, so it costs nothing before.
"""

import ssl

from . import _record, stores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# OpenSSL's codes, Windows' and macOS'.  Windows has one for all that is outside its validity period.
# https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
# https://learn.microsoft.com/en-us/windows/win32/api/wincrypt/ns-wincrypt-cert_chain_policy_status
# https://developer.apple.com/documentation/security/security-framework-result-codes
EXPIRED = frozenset({10, 0x800B0101, -67818})
NOT_YET_VALID = frozenset({9, -67819})
UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21, 0x800B0109, 0x800B010A, -67843})
NOT_ASKED = frozenset({-26276})  # macOS, in a sandbox that keeps a process from talking to trustd
WRONG_NAME = frozenset({62, 64, 0x800B010F, -67602})


def add_note(error: ssl.SSLCertVerificationError, connection: "Any") -> None:
    """Say what to do about `error`, which `connection` (an `ssl.SSLSocket` or `ssl.SSLObject`) raised.

    Its arguments, type and `verify_code` stay as they are.  A context with its own trust anchors gets no note: the
    system store was not asked.
    """
    if stores.loaded(connection.context):
        error.add_note(_text(error, connection))  # type: ignore[attr-defined, unused-ignore]


def _text(error: ssl.SSLCertVerificationError, connection: "Any") -> str:
    found = stores.describe()
    asked = "could not be asked" if error.verify_code in NOT_ASKED else "was asked"
    lines = [f"truststore-inject: {place(found)} {asked}."]
    if found["extra"]:
        lines.append(f"  So were the extra CAs in {', '.join(found['extra'])}.")
    lines += [f"  Not used: {entry['path']}: {entry['reason']}." for entry in found["left_out"]]
    lines.append("  " + _reason(error.verify_code, error.verify_message, connection))
    lines.append(f"  What to do:  python -m truststore_inject check {_server(connection)}")
    return "\n".join(map(_record.printable, lines))


def _server(connection: "Any") -> str:
    """The server as it is typed in a shell."""
    host, port = _host(connection), _port(connection)
    return f"'[{host}]{port}'" if host is not None and ":" in host and port else f"{host or 'HOST'}{port}"


def _host(connection: "Any") -> str | None:
    """The host that was asked for, if that is a host name or an address.

    Anything else was chosen by whoever wrote a link, and must not appear in a command or next to one.
    """
    host = connection.server_hostname
    of_hosts = set("abcdefghijklmnopqrstuvwxyz0123456789.:_-")
    return host if host and host[0] != "-" and of_hosts.issuperset(host.lower()) else None


def place(found: "dict[str, Any]") -> str:
    """The system store, as `stores.describe` found it, in words."""
    if stores.interpositions is not None:  # what the variables name is used as well
        return f"the system store ({str(found['source']).partition(',')[0]})"
    places = [*found["directories"], *found["bundles"]]
    return f"the system store ({places[0]})" if places else "the system store"


def _reason(code: int, message: str, connection: "Any") -> str:
    if code in UNKNOWN_ISSUER:
        issuer = _last_issuer(connection)
        return f"It does not have the CA {issuer!r}." if issuer else "It does not have the CA that signed this chain."
    if code in WRONG_NAME:
        host = _host(connection)
        return f"The certificate is not for {repr(host) if host else 'the name that was asked for'}."
    if code in EXPIRED:
        return "A certificate of the chain has expired (or this machine's clock is wrong)."
    if code in NOT_YET_VALID:
        return "A certificate of the chain is not valid yet (or this machine's clock is wrong)."
    text = f"The chain was refused: {message}."
    # 79 to 94 come from X509_V_FLAG_X509_STRICT only, which Python sets since 3.13.
    strict = connection.context.verify_flags & ssl.VERIFY_X509_STRICT and 79 <= code <= 94
    return text + (" TRUSTSTORE_INJECT_X509_STRICT=0 turns off this check of Python 3.13." if strict else "")


def _last_issuer(connection: "Any") -> str | None:
    """Who issued the last certificate of the chain that was sent: the one that is missing.

    OpenSSL keeps the chain of a refused handshake.  The public method (Python 3.13) gives DER, which would have to be
    parsed; the private one gives names.
    """
    raw = connection._sslobj
    chain = raw.get_unverified_chain() if hasattr(raw, "get_unverified_chain") else None
    return name(chain[-1].get_info()["issuer"])[:200] if chain else None


def name(rdns: "Any") -> str:
    """A distinguished name as the ssl module gives it, in one line: ``CN=Example CA, O=Example``."""
    pairs = [pair for rdn in reversed(rdns) for pair in rdn]
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    return ", ".join(f"{short[key]}={value}" for key, value in pairs if key in short)


def _port(connection: "Any") -> str:
    try:
        port = connection.getpeername()[1]
    except (AttributeError, OSError, IndexError):  # an SSLObject has no socket
        return ""
    return "" if port == 443 else f":{port}"
