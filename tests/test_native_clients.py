"""Client libraries, the notes and the commands where the operating system verifies."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Authorities, run, verdicts
from native import PRELUDE, SYSTEM, Sink, child, linux, native
from servers import Acceptor, server_context
from test_clients import CERTIFI, OPENSSL

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = [linux, pytest.mark.long]


ASYNC = {
    "start_tls": """
import asyncio, ssl
async def go():
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    start_tls = asyncio.get_running_loop().start_tls
    context = ssl.create_default_context()
    transport = await start_tls(writer.transport, asyncio.Protocol(), context, server_hostname="localhost")
    transport.abort()
def client(): asyncio.run(go())
""",
    "trio": """
import trio, ssl
async def go():
    stream = await trio.open_ssl_over_tcp_stream("localhost", port)
    assert await stream.receive_some(8) == b"greeting"
    await stream.send_all(b"app")
def client():
    try:
        trio.run(go)
    except trio.BrokenResourceError as error:
        raise error.__cause__
""",
    "trio, write first": """
import trio, ssl
async def go():
    stream = await trio.open_ssl_over_tcp_stream("localhost", port)
    await stream.send_all(b"app")
def client():
    try:
        trio.run(go)
    except trio.BrokenResourceError as error:
        raise error.__cause__
""",
    "gevent": """
from gevent import monkey
monkey.patch_all()
import gevent
def client():
    verdicts = {job.get() for job in [gevent.spawn(judge, lambda: wrapped(port).close()) for _ in range(5)]}
    return verdicts.pop() if len(verdicts) == 1 else None
""",
    "gevent, write first": """
from gevent import monkey
monkey.patch_all()
def client(): later(port).sendall(b"app")
""",
    "eventlet": """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
def client():
    verdicts = {job.wait() for job in [eventlet.spawn(judge, lambda: wrapped(port).close()) for _ in range(5)]}
    return verdicts.pop() if len(verdicts) == 1 else None
""",
    "eventlet, write first": """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
def client(): later(port).sendall(b"app")
""",
}


@pytest.mark.parametrize("way", ASYNC)
def test_other_ways_to_connect(way: str, sinks: dict[str, Sink], root: Path) -> None:
    module = way.split(",")[0]
    if module != "start_tls":
        pytest.importorskip(module, reason=f"{module} is not installed")
    # Monkey patching comes first, as these libraries demand; the function `client` needs PRELUDE and the port.
    setup, function, client = ASYNC[way].rpartition("def client()")
    found = {}
    cases = ("system", "intermediate", "unknown", "wrong_host")
    for case in cases:
        sink = sinks[case]
        code = f"{setup}{PRELUDE}port = {sink.port}\n{function}{client}"
        code += "print(json.dumps([judge(client), len(sitecustomize.asked) > 0]))"
        result = run("-c", code, env=native(root))
        errors = [line for line in result.stderr.splitlines() if "not greened" not in line]  # the stand-in came first
        assert (result.returncode, errors) == (0, []), result.stderr
        found[case], asked = json.loads(result.stdout)
        assert asked
    assert found == {case: SYSTEM[case] for case in cases}
    assert not sinks["unknown"].close()


def test_tls_in_tls(authorities: Authorities, urls: dict[str, str], root: Path) -> None:
    """Through an HTTPS proxy: urllib3 has a memory BIO of its own for the inner connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    proxy = server_context(authorities.system.issue_cert("localhost"))

    def pump(source: Any, target: Any) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.close()

    def tunnel(connection: socket.socket) -> None:
        with proxy.wrap_socket(connection, server_side=True) as tls:
            port = int(tls.recv(65536).split()[1].split(b":")[1])
            inner = socket.create_connection(("127.0.0.1", port))
            tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=pump, args=(inner, tls), daemon=True).start()
            pump(tls, inner)

    code = """
import urllib3
proxy, urls = json.loads(sys.argv[1])
def get(url):
    with urllib3.ProxyManager(proxy, retries=False, timeout=30) as pool:
        try:
            pool.request("GET", url)
        except urllib3.exceptions.SSLError as error:
            raise ssl.SSLCertVerificationError if "CERTIFICATE_VERIFY_FAILED" in str(error) else error
print(json.dumps([{case: judge(get, url) for case, url in urls.items()}, len(sitecustomize.asked)]))
"""
    proxy_url = f"https://localhost:{listener.getsockname()[1]}"
    with contextlib.closing(Acceptor(listener, tunnel)):
        found, asked = child(code, (proxy_url, urls), env=native(root))
    assert found == SYSTEM
    assert asked == 2 * len(urls)


@pytest.mark.parametrize("client", [*CERTIFI, *OPENSSL])
def test_the_client_libraries(
    client: str, urls: dict[str, str], root: Path, certifi: Path, ca_file: Callable[[str], Path]
) -> None:
    env = native(root, certifi)
    if client.startswith("httpx"):
        env["SSL_CERT_FILE"] = str(certifi / "certifi" / "cacert.pem")
    assert verdicts(client, urls, env=env) == SYSTEM
    pinned = {**dict.fromkeys(urls, "refused"), "private": "accepted"}
    assert verdicts(client, urls, env=env, trust=str(ca_file("private"))) == pinned
    assert verdicts(client, urls, env=env, trust="off") == dict.fromkeys(urls, "accepted")


def test_status_says_who_verifies(root: Path) -> None:
    result = run("-m", "truststore_inject", "status", env=native(root))
    assert result.returncode == 0, result.stderr
    assert "verifies by itself, through truststore" in result.stdout


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before Python 3.11")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("0x800B0109", "It does not have the CA 'OU=Testing CA #"),
        ("0x800B010A", "It does not have the CA 'OU=Testing CA #"),
        ("-67843", "It does not have the CA 'OU=Testing CA #"),
        ("0x800B010F", "The certificate is not for 'localhost'"),
        ("-67602", "The certificate is not for 'localhost'"),
        ("0x800B0101", "has expired"),
        ("-67818", "has expired"),
        ("-67819", "not valid yet"),
        ("4711", "The chain was refused: "),
    ],
)
def test_the_note_understands_the_codes_of_windows_and_macos(
    code: str, words: str, sinks: dict[str, Sink], root: Path
) -> None:
    ask = """
try:
    wrapped(json.loads(sys.argv[1]))
except ssl.SSLCertVerificationError as error:
    print(json.dumps([error.verify_code, *error.__notes__]))
"""
    number, note = child(ask, sinks["unknown"].port, env=native(root, STANDIN_CODE=code))
    assert number == int(code, 0)
    assert note.startswith("truststore-inject: the system store (linux) was asked.")
    assert words in note
    assert "python -m truststore_inject check localhost" in note


def test_check_finds_the_anchor_that_the_system_does_not_name(
    urls: dict[str, str], root: Path, ca_file: Callable[[str], Path]
) -> None:
    extra = ca_file("system")
    env = {**native(root, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=extra), "NO_PROXY": "*"}
    for case in ("system", "intermediate"):
        result = run("-m", "truststore_inject", "check", urls[case], "--json", env=env)
        assert result.returncode == 0, result.stdout + result.stderr
        (found,) = json.loads(result.stdout)
        assert "system of the tests" in found["anchor"]["subject"]
        assert found["anchor"]["place"] == str(extra)
