"""What must not be printed: the credentials in the URLs of proxies, also in those that are no URLs."""

import base64
import re
import urllib.parse
from collections.abc import Iterator, Mapping

# Up to the last "@" of whatever looks like a URL: a password may hold any character, also some that it must not.
_BEFORE_HOST = re.compile(r"(?<=://).*@|[^\s'\"]*@")


def without_user(text: str) -> str:
    """`text` without user names and passwords in front of an ``@``."""
    return _BEFORE_HOST.sub("***@", text)


def without_credentials(words: str, env: Mapping[str, str]) -> str:
    """`words`, an error of a library or a server, if they hold no part of a proxy's credentials in `env`.

    Else the exception's name alone: a library that cannot parse a URL may quote any piece of it, in any spelling.
    """
    for credentials in _credentials(env):
        if any(form in words for form in _forms(credentials)) or _pieces(credentials) & _pieces(words):
            name, separator, _ = words.partition(":")
            hidden = "(not shown: it holds credentials of the proxy)"
            return f"{name}: {hidden}" if separator and name.isidentifier() and name not in credentials else hidden
    return words


def _credentials(env: Mapping[str, str]) -> Iterator[str]:
    """``USER:PASSWORD`` of each variable that names a proxy (`urllib.request.getproxies`)."""
    for name, value in env.items():
        if name.lower().endswith("_proxy") and "@" in value:
            yield value.rpartition("@")[0].rpartition("://")[2]


def _forms(credentials: str) -> Iterator[str]:
    for spelling in {credentials, urllib.parse.unquote(credentials)}:
        yield spelling
        yield base64.b64encode(spelling.encode(errors="surrogateescape")).decode()
        if password := spelling.partition(":")[2]:
            yield password


def _pieces(text: str) -> set[str]:
    """The words in it, quoted for a URL or not."""
    return {piece for spelling in (text, urllib.parse.unquote(text)) for piece in re.findall(r"\w\w+", spelling)}
