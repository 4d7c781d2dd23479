"""What must not be printed: credentials in the URLs of proxies, even malformed ones."""

import base64
import re
import urllib.parse
from collections.abc import Iterator, Mapping

# Up to the last "@" of whatever looks like a URL: a password may hold any character, even one that is not allowed.
_BEFORE_HOST = re.compile(r"(?<=://).*@|[^\s'\"]*@")


def without_user(text: str) -> str:
    """`text` without user names and passwords in front of an ``@``."""
    return _BEFORE_HOST.sub("***@", text)


def without_credentials(words: str, env: Mapping[str, str]) -> str:
    """The beginning of `words`, an error of a library or a server, unless they hold a part of the credentials of a
    proxy in `env`.

    Otherwise the exception's name alone: a library that cannot parse a URL may quote any piece of it, in any spelling.
    """
    for credentials in _credentials(env):
        if any(form in words for form in _forms(credentials)) or _pieces(credentials) & _pieces(words):
            name, separator, _ = words.partition(":")
            hidden = "(not shown: it contains credentials of the proxy)"
            return f"{name}: {hidden}" if separator and name.isidentifier() and name not in credentials else hidden
    return words if len(words) <= 500 else f"{words[:500]}..."


def _credentials(env: Mapping[str, str]) -> Iterator[str]:
    """``USER:PASSWORD`` of each variable that names a proxy (`urllib.request.getproxies`)."""
    for name, value in env.items():
        if name.lower().endswith("_proxy") and "@" in value:
            yield value.rpartition("@")[0].rpartition("://")[2]


def _forms(credentials: str) -> Iterator[str]:
    """In whole: as they are, the password alone, and as they are sent (RFC 7617)."""
    for spelling in {credentials, urllib.parse.unquote(credentials)}:
        user, _, password = spelling.partition(":")
        yield from filter(None, (spelling, password))
        for encoding in ("utf-8", "latin-1"):
            sent = f"{user}:{password}".encode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
            yield base64.b64encode(sent).decode()


def _pieces(text: str) -> set[str]:
    """The words in it, quoted for a URL or not."""
    return {piece for spelling in (text, urllib.parse.unquote(text)) for piece in re.findall(r"\w\w+", spelling)}
