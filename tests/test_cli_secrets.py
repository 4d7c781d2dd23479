"""Credentials in the URLs of servers and proxies: never printed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from commands import command, failure, speaking

from truststore_inject.cli import _judges, _secrets


@pytest.mark.parametrize(
    "url", ["https://user:secret@/", "https://user:secret@host:port/", "gopher://user:secret@host"]
)
def test_a_password_is_never_printed(url: str, env: dict[str, str]) -> None:
    assert "secret" not in failure("check", url, env=env, code=2)


def test_a_password_is_never_printed_of_a_url_that_works(env: dict[str, str], urls: dict[str, str]) -> None:
    result = command("check", urls["system"].replace("://", "://somebody:secret@"), env=env)
    assert result.returncode == 0
    assert "secret" not in result.stdout + result.stderr
    assert "somebody" not in result.stdout + result.stderr


PROXIES = [
    "http://us%40er:hunter2%21@127.0.0.1:{port}",
    "http://user:hunter2@127.0.0.1:notaport",
    "http://user:hunter2@[::1",
    "user:hunter2@127.0.0.1:1",
    "http:/user:hunter2@127.0.0.1:{port}",
    "http://user:hun/ter2@127.0.0.1:{port}",
    "http://user:hunter2#@127.0.0.1:{port}",
    "http://hunter2/x@127.0.0.1:{port}",
    "http://hunter2@127.0.0.1:{port}",
    "http://user:hunter2@127.0.0.1 :{port}",
    "socks5://user:hunter2@127.0.0.1:{port}",
    "ftp://user:hunter2@127.0.0.1:{port}",
    "://user:hunter2@127.0.0.1:{port}",
]


@pytest.fixture
def asked_through(env: dict[str, str]) -> Iterator[Callable[[str, str], dict[str, str]]]:
    """The environment with that variable for a proxy, which refuses, and repeats what it was told."""

    def answer(connection: socket.socket) -> None:
        head = connection.recv(65536).decode("latin-1")
        echo = head.partition("Authorization: ")[2].partition("\r\n")[0]
        connection.sendall(f"HTTP/1.1 407 Not {echo}\r\nContent-Length: 0\r\n\r\n".encode())

    with speaking(answer) as port:
        without = {name: value for name, value in env.items() if name != "NO_PROXY"}
        yield lambda variable, proxy: {**without, variable: proxy.format(port=port)}


def assert_without_password(said: str, proxy: str) -> None:
    for secret in ("hunter2", "hun", "ter2", "aHVudGVy", "VyMi"):  # the last two: in base64
        assert secret not in said, (proxy, secret, said)


@pytest.mark.parametrize("proxy", PROXIES)
def test_no_password_of_a_proxy_is_printed(proxy: str, asked_through: Callable[..., Any], urls: dict[str, str]) -> None:
    result = command("check", urls["system"], "--timeout", "5", env=asked_through("HTTPS_PROXY", proxy))
    assert result.returncode in (2, 3), result.stdout
    assert len(result.stderr.splitlines()) == 1
    assert_without_password(result.stdout + result.stderr, proxy)


@pytest.mark.long
@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_no_client_quotes_the_password_of_a_proxy(
    client: str, asked_through: Callable[..., Any], urls: dict[str, str]
) -> None:
    """Whatever it makes of a URL that is none; that these libraries do quote it is the reason."""
    words = []
    for proxy in PROXIES:
        ((_, said),) = _judges.client(client, [(urls["system"], "default", 2)], asked_through("ALL_PROXY", proxy))
        assert_without_password(said, proxy)
        words.append(said)
    assert any("(not shown: it contains credentials of the proxy)" in said for said in words), words


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("ProxyError: 407 Proxy Authentication Required", True),
        ("InvalidURL: Failed to parse: http://me:s3cret!@host", False),
        ("ValueError: Port could not be cast to integer value as 's3cret'", False),
        ("Error: s3cret%21", False),
        ("Error: bWU6czNjcmV0IQ==", False),
    ],
)
def test_words_with_a_piece_of_the_credentials_are_not_shown(words: str, shown: bool) -> None:
    said = _secrets.without_credentials(words, {"https_proxy": "http://me:s3cret%21@host:1"})
    assert said == (words if shown else f"{words.partition(':')[0]}: (not shown: it contains credentials of the proxy)")
    assert _secrets.without_credentials(words, {"HTTPS_PROXY": "http://host:1"}) == words


@pytest.mark.parametrize(
    "arguments",
    [
        ["https://user:hunter2@host/"],
        ["check", "user:hunter2@host://x"],
        ["check", "hunter2://user@host"],
        ["check", "localhost", "https://user:hunter2@host:port"],
        ["check", "--starttls", "https://user:hunter2@host/"],
        ["check", "--timeout", "https://user:hunter2@host/"],
        ["status", "https://us er:hunter2@host/"],
    ],
)
def test_no_password_of_a_url_in_the_wrong_place_is_printed(arguments: list[str], env: dict[str, str]) -> None:
    assert "hunter2" not in failure(*arguments, env=env, code=2)
