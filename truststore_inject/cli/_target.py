"""A server that ``check`` is asked about: its name, and the proxy on the way to it."""

import base64
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass

from ._failure import USAGE, Failure

# The port and the STARTTLS protocol of each scheme.
_SCHEMES: dict[str, tuple[int, str | None]] = {
    "https": (443, None),
    "http": (80, None),
    "wss": (443, None),
    "ftps": (990, None),
    "imap": (143, "imap"),
    "imaps": (993, None),
    "ldaps": (636, None),
    "pop3s": (995, None),
    "postgres": (5432, "postgres"),
    "postgresql": (5432, "postgres"),
    "smtp": (25, "smtp"),
    "smtps": (465, None),
}
# The ports for which a bare HOST:PORT means STARTTLS.
_PORTS = {25: "smtp", 143: "imap", 587: "smtp", 5432: "postgres"}
# A name as it goes over the wire (with the underscore, which some have), or an address.
_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")


@dataclass(frozen=True)
class Target:
    """`starttls` is ``smtp``, ``imap``, ``postgres`` or None."""

    host: str
    port: int
    starttls: str | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f" (STARTTLS, {self.starttls})" if self.starttls else "")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}/"


def parse(text: str, starttls: str | None) -> Target:
    """The server of a URL or HOST[:PORT].  User name and password are dropped, and never printed.  Raises `Failure`."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if not rest.startswith("[") and rest.count(":") > 1 and "/" not in rest and "@" not in rest:
        rest = f"[{rest}]"  # a bare IPv6 address
    if scheme.lower() not in ("", *_SCHEMES):
        # Without the scheme that was given: if it is not one, it may hold a password.
        raise Failure(f"that scheme is not one of {', '.join(_SCHEMES)}; HOST:PORT works for others", USAGE)
    try:
        parts = urllib.parse.urlsplit("//" + rest)
        host, port = parts.hostname or "", parts.port
        is_host = _is_host(host)
    except ValueError:
        raise Failure("that is not a URL or HOST[:PORT]", USAGE) from None
    if not is_host:
        raise Failure("there is no host name in that URL" if not host else "that is not a host name", USAGE)
    usual_port, usual_starttls = _SCHEMES[scheme.lower()] if scheme else (443, None)
    port = usual_port if port is None else port
    if starttls is None:
        starttls = usual_starttls if scheme else _PORTS.get(port)
    return Target(host, port, starttls)


def _is_host(host: str) -> bool:
    """Raises `ValueError` (`UnicodeError`) too."""
    return _HOST.fullmatch(host.encode("idna")) is not None


def proxy(target: Target) -> tuple[str, int, str | None] | None:
    """Host, port and credentials of the HTTPS proxy that the environment names for `target`, or None.

    Raises `Failure`, which does not quote the variable: it may hold a password.
    """
    if target.starttls or urllib.request.proxy_bypass(target.host):
        return None
    url = urllib.request.getproxies().get("https")
    if not url:
        return None
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else "http://" + url)
        host, port = parts.hostname or "", parts.port or 8080
        # A "/", "?" or "#" in a password ends the host, and leaves an "@" after it.
        usable = parts.scheme == "http" and "@" not in parts.path + parts.query + parts.fragment and _is_host(host)
    except ValueError:
        usable = False
    if not usable:
        form = "http://[USER:PASSWORD@]HOST[:PORT], the only one that this command can use"
        raise Failure(f"HTTPS_PROXY is not of the form {form} (quote special characters: %40 for @)", USAGE)
    credentials = None
    if parts.username is not None:
        plain = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        credentials = base64.b64encode(plain.encode(errors="surrogateescape")).decode()
    return host, port, credentials
