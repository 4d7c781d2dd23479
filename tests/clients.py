"""The programs under test: ``clients.py CLIENT TRUST JSON-OF-URLS`` prints what CLIENT says of each server, as JSON.

TRUST is ``default``, ``off`` (no verification) or the path of a CA file, given to the library in the way that its
documentation has for it.  One function for each client; it makes one request, and raises what the library raises.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import urllib.parse
from typing import Any


def context(trust: str) -> ssl.SSLContext | None:
    if trust == "default":
        return None
    if trust == "off":
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=trust)


def verify(trust: str) -> str | bool:
    return {"default": True, "off": False}.get(trust, trust)


def urllib_request(url: str, trust: str) -> None:
    from urllib.request import urlopen

    urlopen(url, context=context(trust), timeout=20).close()


def http_client(url: str, trust: str) -> None:
    from http.client import HTTPSConnection

    connection = HTTPSConnection(urllib.parse.urlsplit(url).netloc, context=context(trust), timeout=20)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def asyncio_streams(url: str, trust: str) -> None:
    async def connect() -> None:
        parts = urllib.parse.urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context(trust) or True)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert await reader.read()
        writer.close()

    asyncio.run(connect())


def urllib3(url: str, trust: str) -> None:
    import urllib3

    if trust == "off":
        urllib3.disable_warnings()
    options: dict[str, Any] = {"default": {}, "off": {"cert_reqs": "CERT_NONE"}}.get(trust, {"ca_certs": trust})
    with urllib3.PoolManager(retries=False, timeout=20, **options) as pool:
        pool.request("GET", url)


def urllib3_certifi(url: str, trust: str) -> None:
    import certifi

    urllib3(url, certifi.where() if trust == "default" else trust)


def requests_get(url: str, trust: str) -> None:
    import requests
    import urllib3

    urllib3.disable_warnings()
    options = {} if trust == "default" else {"verify": verify(trust)}
    requests.get(url, timeout=20, **options)


def requests_session(url: str, trust: str) -> None:
    import requests
    import urllib3

    urllib3.disable_warnings()
    with requests.Session() as session:
        if trust != "default":
            session.verify = verify(trust)
        session.get(url, timeout=20)


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


def httpx_sync(url: str, trust: str) -> None:
    import httpx

    with httpx.Client(verify=context(trust) or True if trust != "off" else False, timeout=20) as client:
        client.get(url)


def httpx_async(url: str, trust: str) -> None:
    import httpx

    async def connect() -> None:
        chosen = context(trust) or True if trust != "off" else False
        async with httpx.AsyncClient(verify=chosen, timeout=20) as client:
            await client.get(url)

    asyncio.run(connect())


def botocore(url: str, trust: str) -> None:
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    URLLib3Session(verify=verify(trust), timeout=20).send(AWSRequest("GET", url).prepare())


def websockets(url: str, trust: str) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    options = {} if trust == "default" else {"ssl": context(trust)}
    try:
        connect(url.replace("https:", "wss:"), open_timeout=20, **options).close()
    except InvalidStatus:
        pass  # the server speaks HTTP only; the handshake was accepted


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


def urllib3_pyopenssl(url: str, trust: str) -> None:
    from urllib3.contrib.pyopenssl import extract_from_urllib3, inject_into_urllib3

    inject_into_urllib3()
    try:
        urllib3(url, trust)
    finally:
        extract_from_urllib3()


# In the text of exceptions that say it in words only; the second is urllib3's own check of the host name.
REFUSALS = ("CERTIFICATE_VERIFY_FAILED", "doesn't match", "certificate verify failed")


def refusal(error: BaseException | None) -> bool:
    """Whether the certificate was refused: libraries wrap the reason in exceptions of their own."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError) or any(reason in str(error) for reason in REFUSALS):
            return True
        inner = [argument for argument in error.args if isinstance(argument, BaseException)]
        if any(refusal(argument) for argument in inner):
            return True
        error = error.__cause__ or error.__context__
    return False


def judge(client: str, url: str, trust: str) -> str:
    try:
        globals()[client](url, trust)
    except Exception as error:
        if not refusal(error):
            raise
        return "refused"
    return "accepted"


if __name__ == "__main__":
    _, client, trust, urls = sys.argv
    print(json.dumps({case: judge(client, url, trust) for case, url in json.loads(urls).items()}))
