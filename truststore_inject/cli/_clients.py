"""The client libraries that ``check`` tries, each in a child process that runs this file: ``_clients.py NAME JSON``.

The JSON is a list of ``[url, trust, timeout]``; it prints a list of ``[verdict, words]``: ``accepted``, ``refused``,
``error``.  Trust is ``default`` or the path of a CA file.  Nothing of this package is imported in the child, so that it
can be compared with stock Python.  No client follows a redirect to a server that nobody asked about, and none reads the
body of a response, which may never end.
"""

import asyncio
import contextlib
import importlib
import json
import os
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any


def _context(trust: str) -> ssl.SSLContext | None:
    return None if trust == "default" else ssl.create_default_context(cafile=trust)


def _verify(trust: str) -> "str | bool":
    return True if trust == "default" else trust


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def urllib_request(url: str, trust: str, timeout: float) -> None:
    handler = urllib.request.HTTPSHandler(context=_context(trust))
    try:
        urllib.request.build_opener(handler, _NoRedirect).open(url, timeout=timeout).close()
    except urllib.error.HTTPError as error:  # 404 and others: the server was spoken to
        error.close()


def asyncio_streams(url: str, trust: str, timeout: float) -> None:
    async def connect() -> None:
        parts = urllib.parse.urlsplit(url)
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(parts.hostname, parts.port, ssl=_context(trust) or True), timeout
        )
        writer.close()

    asyncio.run(connect())


def urllib3(url: str, trust: str, timeout: float) -> None:
    import urllib3

    options: dict[str, Any] = {} if trust == "default" else {"ca_certs": trust}
    options.update(retries=False, timeout=timeout)
    proxy = _proxy(url)
    with urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options) as pool:
        pool.request("GET", url, redirect=False, preload_content=False).close()


def requests(url: str, trust: str, timeout: float) -> None:
    import requests

    options = {} if trust == "default" else {"verify": trust}
    requests.get(url, timeout=timeout, allow_redirects=False, stream=True, **options).close()


def pip_requests(url: str, trust: str, timeout: float) -> None:
    from pip._vendor import requests

    options = {} if trust == "default" else {"verify": trust}
    requests.get(url, timeout=timeout, allow_redirects=False, stream=True, **options).close()


def httpx(url: str, trust: str, timeout: float) -> None:
    import httpx

    with httpx.Client(verify=_context(trust) or True, timeout=timeout) as client, client.stream("GET", url):
        pass


def httpx_async(url: str, trust: str, timeout: float) -> None:
    import httpx

    async def connect() -> None:
        async with (
            httpx.AsyncClient(verify=_context(trust) or True, timeout=timeout) as client,
            client.stream("GET", url),
        ):
            pass

    asyncio.run(connect())


def httpx2(url: str, trust: str, timeout: float) -> None:
    import httpx2

    with httpx2.Client(verify=_context(trust) or True, timeout=timeout) as client, client.stream("GET", url):
        pass


def mcp(url: str, trust: str, timeout: float) -> None:
    from mcp.shared._httpx_utils import create_mcp_http_client as create

    async def connect() -> None:
        client = create() if trust == "default" else type(create())(verify=_context(trust))
        async with client, client.stream("GET", url, follow_redirects=False, timeout=timeout):
            pass

    asyncio.run(connect())


def aiohttp(url: str, trust: str, timeout: float) -> None:
    import aiohttp

    async def connect() -> None:
        limit = aiohttp.ClientTimeout(total=timeout)
        options = {} if trust == "default" else {"ssl": _context(trust)}
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
            session.get(url, allow_redirects=False, **options),
        ):
            pass

    asyncio.run(connect())


def botocore(url: str, trust: str, timeout: float) -> None:
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    request = AWSRequest("GET", url, stream_output=True)
    URLLib3Session(verify=_verify(trust), timeout=timeout).send(request.prepare())


def httplib2(url: str, trust: str, timeout: float) -> None:
    import httplib2

    client = httplib2.Http(timeout=timeout, ca_certs=None if trust == "default" else trust)
    client.follow_redirects = False
    client.request(url, "HEAD")


def tornado(url: str, trust: str, timeout: float) -> None:
    from tornado.httpclient import AsyncHTTPClient, HTTPClientError

    async def fetch() -> None:
        try:
            await AsyncHTTPClient().fetch(
                url,
                method="HEAD",
                ca_certs=None if trust == "default" else trust,
                request_timeout=timeout,
                follow_redirects=False,
            )
        except HTTPClientError as error:
            if error.response is None:  # else: 404 and others, the server was spoken to
                raise

    asyncio.run(fetch())


def websockets(url: str, trust: str, timeout: float) -> None:
    from websockets.exceptions import InvalidHandshake
    from websockets.sync.client import connect

    options = {} if trust == "default" else {"ssl": _context(trust)}
    try:
        connect(url.replace("https:", "wss:", 1), open_timeout=timeout, **options).close()
    except (InvalidHandshake, EOFError):  # the server speaks HTTP only, or not even that: TLS was accepted
        return
    except TimeoutError as error:
        # The WebSocket's handshake, after that of TLS; up to version 14, and since.
        if str(error) not in ("timed out during handshake", "timed out while waiting for handshake response"):
            raise


def psycopg(url: str, trust: str, timeout: float) -> None:
    import psycopg

    _postgres(psycopg.connect, url, trust, timeout)


def psycopg2(url: str, trust: str, timeout: float) -> None:
    import psycopg2

    _postgres(psycopg2.connect, url, trust, timeout)


def _postgres(connect: Callable[..., Any], url: str, trust: str, timeout: float) -> None:
    """Nobody is logged in: the user does not exist, and no password of this machine's user is sent."""
    parts = urllib.parse.urlsplit(url)
    options: dict[str, Any] = {"host": parts.hostname, "port": parts.port, "sslmode": "verify-full"}
    options |= {"gssencmode": "disable", "passfile": os.devnull, "connect_timeout": max(2, round(timeout))}
    if trust != "default" or "PGSSLROOTCERT" not in os.environ:
        options["sslrootcert"] = "system" if trust == "default" else trust
    try:
        connect(user="truststore-inject", dbname="truststore-inject", **options).close()
    except Exception as error:
        # The server's word that there is no such user, or the library's that it has no password for it.
        if "FATAL" not in str(error) and "no password" not in str(error):
            raise


def _proxy(url: str) -> str | None:
    host = urllib.parse.urlsplit(url).hostname or ""
    return None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https")


# For each name: the module that has to be installed, and the function.
CLIENTS = {
    "urllib.request": ("urllib.request", urllib_request),
    "asyncio": ("asyncio", asyncio_streams),
    "urllib3": ("urllib3", urllib3),
    "requests": ("requests", requests),
    "pip": ("pip._vendor.requests", pip_requests),
    "httpx": ("httpx", httpx),
    "httpx (async)": ("httpx", httpx_async),
    "httpx2": ("httpx2", httpx2),
    "mcp": ("mcp", mcp),
    "aiohttp": ("aiohttp", aiohttp),
    "botocore": ("botocore.httpsession", botocore),
    "httplib2": ("httplib2", httplib2),
    "tornado": ("tornado.httpclient", tornado),
    "websockets": ("websockets.sync.client", websockets),
    "psycopg": ("psycopg", psycopg),
    "psycopg2": ("psycopg2", psycopg2),
}
# Those that speak a protocol other than HTTP, as `Target.starttls` names it.
PROTOCOLS = {"psycopg": "postgres", "psycopg2": "postgres"}

# In the text of exceptions that tell it in no other way.
_REFUSALS = (
    "CERTIFICATE_VERIFY_FAILED",
    "doesn't match",  # urllib3's own check of the host name
    "certificate verify failed",  # libpq
    "does not match host name",  # libpq
)


def _refusal(error: BaseException | None) -> bool:
    """Whether the certificate was refused: libraries wrap the reason in exceptions of their own."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError) or any(words in str(error) for words in _REFUSALS):
            return True
        if any(_refusal(inner) for inner in error.args if isinstance(inner, BaseException)):
            return True
        error = error.__cause__ or error.__context__
    return False


def judge(name: str, url: str, trust: str, timeout: float) -> "tuple[str, str]":
    """In a thread: a server that sends a little now and then can hold a client beyond any timeout of its own."""
    module, ask = CLIENTS[name]
    with contextlib.suppress(ImportError):  # which must not count as the server's time; `ask` raises it again
        importlib.import_module(module)
    verdicts = []

    def run() -> None:
        try:
            ask(url, trust, timeout)
        except Exception as error:
            words = f"{type(error).__name__}: {error}".partition("\n")[0]
            verdicts.append(("refused" if _refusal(error) else "error", words[:5000]))
        else:
            verdicts.append(("accepted", ""))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout + 1)  # the client's own timeout comes first: its message says more
    return verdicts[0] if verdicts else ("error", f"it did not finish within {timeout:g} seconds")


if __name__ == "__main__":
    print(json.dumps([judge(sys.argv[1], *question) for question in json.loads(sys.argv[2])]), flush=True)
    os._exit(0)  # a thread may still be busy
