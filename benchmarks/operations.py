"""What is measured, in the Python of each environment; the last two arguments are the operation's name and the URL.

For each line on standard input, a number, the operation is repeated that often; the answer is a line of JSON.  For an
operation of `TIMED` a list of seconds; for one of `KEPT` the kilobytes that the process holds, with all that was made
so far alive.
"""

import asyncio
import atexit
import json
import resource
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

NAME, URL = sys.argv[-2:]
ADDRESS = ("127.0.0.1", int(URL.rsplit(":", 1)[1].strip("/")))
THREADS = 16
Once = Callable[[], object]


def handshake(context: ssl.SSLContext) -> None:
    with socket.create_connection(ADDRESS) as connection:
        context.wrap_socket(connection, server_hostname="localhost").close()


def default_context() -> Once:
    return ssl.create_default_context


def context_and_handshake() -> Once:
    return lambda: handshake(ssl.create_default_context())


def shared_handshake() -> Once:
    return partial(handshake, ssl.create_default_context())


def threaded_handshakes() -> Once:
    """One operation is a handshake for each of 16 threads, which share the context."""
    context, pool = ssl.create_default_context(), ThreadPoolExecutor(THREADS)
    return lambda: list(pool.map(handshake, [context] * THREADS))


def httpx_client() -> Once:
    import httpx

    return lambda: httpx.Client().close()


def requests_session() -> Once:
    import requests

    def once() -> None:
        with requests.Session() as session:
            session.get(URL)

    return once


def requests_get(**options: Any) -> Once:
    import requests
    import urllib3

    urllib3.disable_warnings()
    return lambda: requests.get(URL, **options)


def httpx_get(**options: Any) -> Once:
    import httpx

    return lambda: httpx.get(URL, **options)


def urlopen() -> Once:
    from urllib.request import urlopen

    return lambda: urlopen(URL).close()


def in_loop(make: Callable[[], Awaitable[Once]]) -> Once:
    """What `make` gives, in a loop that stays."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    once: Any = loop.run_until_complete(make())  # type: ignore[arg-type]
    return lambda: loop.run_until_complete(once())


def aiohttp_get() -> Once:
    async def make() -> Once:
        import aiohttp

        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        atexit.register(lambda: asyncio.get_event_loop().run_until_complete(session.close()))

        async def once() -> None:
            async with session.get(URL) as response:
                await response.read()

        return once

    return in_loop(make)


async def longest_block(work: Callable[[], Awaitable[None]]) -> float:
    """Seconds: the longest time that nothing else in the loop runs while `work` does."""
    longest = 0.0
    task = asyncio.ensure_future(work())
    last = time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest


def httpx_block() -> Once:
    async def work() -> None:
        import httpx

        async with httpx.AsyncClient() as client:
            await client.get(URL)

    async def make() -> Once:
        return partial(longest_block, work)

    return in_loop(make)


def aiohttp_block() -> Once:
    async def work() -> None:
        import aiohttp

        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            await response.read()

    async def make() -> Once:
        return partial(longest_block, work)

    return in_loop(make)


def keep_httpx_client() -> object:
    import httpx

    client = httpx.Client()
    client.get(URL)
    return client


def keep_requests_session() -> object:
    import requests

    session = requests.Session()
    session.get(URL)
    return session


TIMED: dict[str, Callable[[], Once]] = {
    "ssl.create_default_context()": default_context,
    "httpx.Client()": httpx_client,
    "requests.Session(), first request": requests_session,
    "requests.get": requests_get,
    "httpx.get": httpx_get,
    "requests.get, verify=False": partial(requests_get, verify=False),
    "httpx.get, verify=False": partial(httpx_get, verify=False),
    "urlopen": urlopen,
    "aiohttp, no keep-alive": aiohttp_get,
    "handshake on a shared context": shared_handshake,
    "16 handshakes at once on a shared context": threaded_handshakes,
    "httpx.AsyncClient() and a request": httpx_block,
    "aiohttp.ClientSession() and a request": aiohttp_block,
    "context and handshake": context_and_handshake,
}
KEPT: dict[str, Callable[[], object]] = {
    "httpx.Client": keep_httpx_client,
    "requests.Session": keep_requests_session,
    "context": ssl.create_default_context,
}


def resident() -> int:
    """Kilobytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # 1,000 clients keep 1,000 connections
    kept = []
    once = TIMED[NAME]() if NAME in TIMED else None
    for line in sys.stdin:
        if once is None:
            kept += [KEPT[NAME]() for _ in range(int(line))]
            print(resident(), flush=True)
            continue
        seconds = []
        for _ in range(int(line)):
            began = time.perf_counter()
            own = once()
            seconds.append(own if isinstance(own, float) else time.perf_counter() - began)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
