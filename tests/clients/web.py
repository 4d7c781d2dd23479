"""Libraries for HTTP and WebSocket that use Python's ``ssl``."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

from .registry import address, client, context, verify


@client("urllib3")
def urllib3(url: str, trust: str) -> None:
    import urllib3

    if trust == "off":
        urllib3.disable_warnings()
    options: dict[str, Any] = {"default": {}, "off": {"cert_reqs": "CERT_NONE"}}.get(trust, {"ca_certs": trust})
    with urllib3.PoolManager(retries=False, timeout=20, **options) as pool:
        pool.request("GET", url)


@client("urllib3")
def urllib3_certifi(url: str, trust: str) -> None:
    import certifi

    urllib3(url, certifi.where() if trust == "default" else trust)


@client("requests")
def requests_get(url: str, trust: str) -> None:
    import requests
    import urllib3

    urllib3.disable_warnings()
    options = {} if trust == "default" else {"verify": verify(trust)}
    requests.get(url, timeout=20, **options)


@client("requests")
def requests_session(url: str, trust: str) -> None:
    import requests
    import urllib3

    urllib3.disable_warnings()
    with requests.Session() as session:
        if trust != "default":
            session.verify = verify(trust)
        session.get(url, timeout=20)


@client("requests")
def requests_system_bundle(url: str, trust: str) -> None:
    """With the variable that many Dockerfiles set."""
    bundles = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
    os.environ["REQUESTS_CA_BUNDLE"] = next((bundle for bundle in bundles if os.path.exists(bundle)), bundles[0])
    requests_get(url, trust)


@client("aiohttp")
def aiohttp(url: str, trust: str) -> None:
    import aiohttp

    async def connect() -> None:
        async with aiohttp.ClientSession() as session:
            options = {"default": {}, "off": {"ssl": False}}.get(trust) if trust in ("default", "off") else None
            if options is None:
                options = {"ssl": context(trust)}
            async with session.get(url, **options) as response:
                await response.read()

    asyncio.run(connect())


@client("httpx")
def httpx_sync(url: str, trust: str) -> None:
    import httpx

    with httpx.Client(verify=context(trust) or True if trust != "off" else False, timeout=20) as client:
        client.get(url)


@client("httpx")
def httpx_async(url: str, trust: str) -> None:
    import httpx

    async def connect() -> None:
        chosen = context(trust) or True if trust != "off" else False
        async with httpx.AsyncClient(verify=chosen, timeout=20) as client:
            await client.get(url)

    asyncio.run(connect())


@client("httpx2")
def httpx2_sync(url: str, trust: str) -> None:
    with sdk_client(trust) as client:
        client.get(url)


@client("httpx2")
def httpx2_async(url: str, trust: str) -> None:
    import httpx2

    async def connect() -> None:
        async with httpx2.AsyncClient(verify=sdk_verify(trust), timeout=20) as client:
            await client.get(url)

    asyncio.run(connect())


def sdk_verify(trust: str) -> ssl.SSLContext | bool:
    return False if trust == "off" else context(trust) or True


def sdk_client(trust: str) -> Any:
    """A client for the SDKs that take one; they have followed httpx2, or still have httpx."""
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx  # type: ignore[no-redef]
    return httpx.Client(verify=sdk_verify(trust), timeout=20)


@client("websockets")
def websockets(url: str, trust: str) -> None:
    from websockets.exceptions import InvalidHandshake

    options: dict[str, Any] = {} if trust == "default" else {"ssl": context(trust)}
    options |= {"uri": url.replace("https:", "wss:"), "open_timeout": 20}

    async def connect_without_sync() -> None:
        from websockets.client import connect

        await connect(**options)

    try:
        from websockets.sync.client import connect
    except ImportError:  # before 11
        connect = None
    try:
        if connect is None:
            asyncio.run(connect_without_sync())
        else:
            connect(**options).close()
    except InvalidHandshake:
        pass  # the server speaks HTTP only; the handshake of TLS was accepted
    # It was here too.  Then a thread of its reads while it writes, which before Python 3.14 loses what is written now and
    # then, with whatever context: https://github.com/python/cpython/pull/124993
    except EOFError:
        pass
    except TimeoutError as error:
        if str(error) not in ("timed out during handshake", "timed out while waiting for handshake response"):
            raise


@client("websocket-client")
def websocket_client(url: str, trust: str) -> None:
    import websocket

    options: dict[str, Any] = {"default": {}, "off": {"cert_reqs": ssl.CERT_NONE}}.get(trust, {"ca_certs": trust})
    websocket.create_connection(url.replace("https:", "wss:"), timeout=20, sslopt=options).close()


@client("tornado")
def tornado(url: str, trust: str) -> None:
    from tornado.httpclient import AsyncHTTPClient
    from tornado.simple_httpclient import SimpleAsyncHTTPClient

    assert AsyncHTTPClient.configurable_default() is SimpleAsyncHTTPClient
    options: dict[str, Any] = {"default": {}, "off": {"validate_cert": False}}.get(trust, {"ca_certs": trust})

    async def connect() -> None:
        client = AsyncHTTPClient(force_instance=True)
        await client.fetch(url, **options)
        client.close()

    asyncio.run(connect())


@client("trio")
def trio(url: str, trust: str) -> None:
    import trio

    async def connect() -> None:
        host, port = address(url)
        stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context(trust))
        await stream.do_handshake()

    trio.run(connect)


@client("httplib2")
def httplib2(url: str, trust: str) -> None:
    import httplib2

    options = {"default": {}, "off": {"disable_ssl_certificate_validation": True}}.get(trust, {"ca_certs": trust})
    httplib2.Http(timeout=20, **options).request(url)


@client("truststore", adds_to_default=True)
def truststore_context(url: str, trust: str) -> None:
    from urllib.request import urlopen

    import truststore

    chosen = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust == "off":
        chosen.check_hostname = False
        chosen.verify_mode = ssl.CERT_NONE
    elif trust != "default":
        chosen.load_verify_locations(cafile=trust)
    urlopen(url, context=chosen, timeout=20).close()
