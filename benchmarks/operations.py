"""What is measured, in the Python of each environment: ``operations.py NAME URL BUNDLE [COMMAND ...]``.

For each line on standard input, a number, the operation is repeated that often; the answer is a line of JSON: the seconds
that each repetition took, and what the process holds afterwards.  What an operation of `KEPT` makes stays alive.  With a
COMMAND that is what is done, and its CPU time, user and system, is what counts.
"""

import asyncio
import atexit
import importlib
import json
import os
import resource
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

NAME, URL, BUNDLE, *COMMAND = sys.argv[2:]  # runpy has left its own name
ADDRESS = ("127.0.0.1", int(URL.rsplit(":", 1)[1].strip("/")))
THREADS = 16
Once = Callable[[], object]


def handshake(context: ssl.SSLContext) -> None:
    with socket.create_connection(ADDRESS) as connection:
        context.wrap_socket(connection, server_hostname="localhost").close()


def default_context() -> Once:
    return ssl.create_default_context


def context_from_own_bundle() -> Once:
    return partial(ssl.create_default_context, cafile=BUNDLE)


def context_and_handshake() -> Once:
    return lambda: handshake(ssl.create_default_context())


def shared_handshake() -> Once:
    return partial(handshake, ssl.create_default_context())


def truststore_handshake() -> Once:
    import truststore

    return partial(handshake, truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def threaded_handshakes() -> Once:
    """One operation is a handshake for each of 16 threads, which share the context."""
    context, pool = ssl.create_default_context(), ThreadPoolExecutor(THREADS)
    return lambda: list(pool.map(handshake, [context] * THREADS))


def client(library: str) -> Once:
    module = importlib.import_module(library)
    return lambda: module.Client().close()


def get(library: str, **options: Any) -> Once:
    import urllib3

    urllib3.disable_warnings()
    module = importlib.import_module(library)
    return lambda: module.get(URL, **options)


def requests_session() -> Once:
    import requests

    def once() -> None:
        with requests.Session() as session:
            session.get(URL)

    return once


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


def kept(library: str, name: str) -> Once:
    """A client or session that has made a request, and stays."""
    make = getattr(importlib.import_module(library), name)

    def once() -> object:
        client = make()
        client.get(URL)
        return client

    return once


def started() -> float:
    """What `COMMAND` costs."""
    process = os.posix_spawn(COMMAND[0], COMMAND, os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"{COMMAND} ended with status {status}")
    return usage.ru_utime + usage.ru_stime


OPERATIONS: dict[str, Callable[[], Once]] = {
    "ssl.create_default_context()": default_context,
    "ssl.create_default_context(cafile=own)": context_from_own_bundle,
    "httpx.Client()": partial(client, "httpx"),
    "httpx2.Client()": partial(client, "httpx2"),
    "requests.Session(), first request": requests_session,
    "requests.get": partial(get, "requests"),
    "httpx.get": partial(get, "httpx"),
    "httpx2.get": partial(get, "httpx2"),
    "requests.get, verify=False": partial(get, "requests", verify=False),
    "httpx.get, verify=False": partial(get, "httpx", verify=False),
    "urlopen": urlopen,
    "aiohttp, no keep-alive": aiohttp_get,
    "handshake on a shared context": shared_handshake,
    "16 handshakes at once on a shared context": threaded_handshakes,
    "handshake on a truststore.SSLContext": truststore_handshake,
    "httpx.AsyncClient() and a request": httpx_block,
    "aiohttp.ClientSession() and a request": aiohttp_block,
    "context and handshake": context_and_handshake,
    "context": default_context,
    "httpx.Client": partial(kept, "httpx", "Client"),
    "requests.Session": partial(kept, "requests", "Session"),
}
KEPT = ("context", "httpx.Client", "requests.Session")


def held() -> dict[str, int]:
    """By this process, and what it has left in the temporary folder."""
    with open("/proc/self/statm") as file:
        kilobytes = int(file.read().split()[1]) * resource.getpagesize() // 1024
    descriptors = len(os.listdir("/proc/self/fd")) - 1  # that of the list itself
    return {"kilobytes": kilobytes, "descriptors": descriptors, "files": len(os.listdir(tempfile.gettempdir()))}


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # 1,000 clients keep 1,000 connections
    once = started if COMMAND else OPERATIONS[NAME]()
    alive = []
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            began = time.perf_counter()
            made = once()
            seconds.append(made if isinstance(made, float) else time.perf_counter() - began)
            if NAME in KEPT:
                alive.append(made)
        print(json.dumps({"seconds": seconds, **held()}), flush=True)


if __name__ == "__main__":
    main()
