"""What each client is registered with, and what they share."""

from __future__ import annotations

import ssl
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple, TypeVar

Request = Callable[[str, str], None]
RequestT = TypeVar("RequestT", bound=Request)


class Client(NamedTuple):
    """A client, and what its library does in its own way by design."""

    request: Request
    distribution: str = ""  # "" is the standard library
    always_verifies: bool = False  # its API has no switch for it, or not in all versions
    adds_to_default: bool = False  # a CA that it is given; so does stock
    adds_a_directory: bool = False  # it looks into OpenSSL's directory, too, which is Debian's store; so does stock
    ignores_host: bool = False  # it verifies the chain; the host name is its caller's business
    compiled_in: bool = False  # its roots, which are out of reach
    no_extra_ca: bool = False  # it looks at the store by itself
    alone: bool = False  # it wants older versions of what others need, and is installed by itself when it is asked


CLIENTS: dict[str, Client] = {}


def client(distribution: str = "", **ways: bool) -> Callable[[RequestT], RequestT]:
    """Register the function as a client that needs `distribution`."""

    def register(request: RequestT) -> RequestT:
        CLIENTS[request.__name__] = Client(request, distribution, **ways)
        return request

    return register


def context(trust: str) -> ssl.SSLContext | None:
    if trust == "default":
        return None
    if trust == "off":
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=trust)


def verify(trust: str) -> str | bool:
    return {"default": True, "off": False}.get(trust, trust)


def address(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
