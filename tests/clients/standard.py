"""Python's own library."""

from __future__ import annotations

import asyncio
import ssl
import urllib.parse

from .registry import address, client, context


@client()
def urllib_request(url: str, trust: str) -> None:
    from urllib.request import urlopen

    urlopen(url, context=context(trust), timeout=20).close()


@client()
def http_client(url: str, trust: str) -> None:
    from http.client import HTTPSConnection

    connection = HTTPSConnection(urllib.parse.urlsplit(url).netloc, context=context(trust), timeout=20)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


@client()
def asyncio_streams(url: str, trust: str) -> None:
    async def connect() -> None:
        parts = urllib.parse.urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context(trust) or True)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert await reader.read()
        writer.close()

    asyncio.run(connect())


@client()
def imaplib_ssl(url: str, trust: str) -> None:
    import imaplib

    chosen = context(trust) or ssl.create_default_context()
    imaplib.IMAP4_SSL(*address(url), ssl_context=chosen, timeout=2)


@client()
def smtplib_ssl(url: str, trust: str) -> None:
    import smtplib

    smtplib.SMTP_SSL(*address(url), context=context(trust) or ssl.create_default_context(), timeout=2)


@client()
def ftplib_tls(url: str, trust: str) -> None:
    import ftplib
    import socket

    client = ftplib.FTP_TLS(context=context(trust) or ssl.create_default_context())
    host, port = address(url)
    with socket.create_connection((host, port), timeout=5) as plain:
        client.context.wrap_socket(plain, server_hostname=host).close()


@client("certifi")
def urllib_cadata(url: str, trust: str) -> None:
    from urllib.request import urlopen

    import certifi

    chosen = ssl.create_default_context(cadata=certifi.contents()) if trust == "default" else context(trust)
    urlopen(url, context=chosen, timeout=20).close()
