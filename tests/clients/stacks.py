"""Libraries with a TLS stack of their own: pyOpenSSL, gRPC, QUIC, libcurl, rustls."""

from __future__ import annotations

import asyncio
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

from .registry import address, client, verify
from .web import urllib3


@client("pyOpenSSL")
def urllib3_pyopenssl(url: str, trust: str) -> None:
    from urllib3.contrib.pyopenssl import extract_from_urllib3, inject_into_urllib3

    inject_into_urllib3()
    try:
        urllib3(url, trust)
    finally:
        extract_from_urllib3()


@client("pyOpenSSL", ignores_host=True)
def pyopenssl(url: str, trust: str) -> None:
    import socket

    import certifi
    from OpenSSL import SSL

    parts = urllib.parse.urlsplit(url)
    chosen = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if trust != "off":
        chosen.load_verify_locations(certifi.where() if trust == "default" else trust)
        chosen.set_verify(SSL.VERIFY_PEER, lambda connection, certificate, error, depth, good: bool(good))
    with socket.create_connection((parts.hostname, parts.port)) as plain:
        connection = SSL.Connection(chosen, plain)
        if trust != "off":
            connection.set_verify(SSL.VERIFY_PEER, None)
            connection.set1_host(parts.hostname.encode()) if hasattr(connection, "set1_host") else None
        connection.set_tlsext_host_name(parts.hostname.encode())
        connection.set_connect_state()
        connection.do_handshake()


def ready(channel: Any) -> None:
    """A gRPC channel says no more of a certificate that it refuses than that it failed."""
    import queue

    import grpc

    states: queue.SimpleQueue[object] = queue.SimpleQueue()
    channel.subscribe(states.put, try_to_connect=True)
    while (state := states.get(timeout=20)) is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise ssl.SSLCertVerificationError("the channel is not ready")


@client("grpcio", always_verifies=True)
def grpc(url: str, trust: str) -> None:
    import grpc

    roots = None if trust == "default" else Path(trust).read_bytes()
    with grpc.secure_channel(urllib.parse.urlsplit(url).netloc, grpc.ssl_channel_credentials(roots)) as channel:
        ready(channel)


@client("grpcio", always_verifies=True)
def grpc_aio(url: str, trust: str) -> None:
    import grpc.aio

    async def connect() -> None:
        roots = None if trust == "default" else Path(trust).read_bytes()
        target = urllib.parse.urlsplit(url).netloc
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots)) as channel:
            while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    raise ssl.SSLCertVerificationError("the channel is not ready")
                await asyncio.wait_for(channel.wait_for_state_change(state), 20)

    asyncio.run(connect())


@client("opentelemetry-exporter-otlp-proto-grpc", always_verifies=True)
def otlp_grpc(url: str, trust: str) -> None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    credentials = None if trust == "default" else grpc.ssl_channel_credentials(Path(trust).read_bytes())
    exporter = OTLPSpanExporter(endpoint=url, credentials=credentials)
    # Not by an export, which only logs; and a gRPC client looks at the host name after the server's handshake is over.
    ready(exporter._channel)
    exporter.shutdown()


@client("aioquic")
def aioquic(url: str, trust: str) -> None:
    from aioquic.asyncio import connect
    from aioquic.quic.configuration import QuicConfiguration

    host, port = address(url)
    configuration = QuicConfiguration(alpn_protocols=["h3"], server_name=host)
    if trust == "off":
        configuration.verify_mode = ssl.CERT_NONE
    elif trust != "default":
        configuration.load_verify_locations(cafile=trust)

    async def handshake() -> None:
        async with connect("127.0.0.1", port, configuration=configuration) as protocol:
            await protocol.ping()  # the server's handshake is over, too

    asyncio.run(handshake())


@client("treq", always_verifies=True)
def treq(url: str, trust: str) -> None:
    from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates

    roots = [] if trust == "default" else [Certificate.loadPEM(Path(trust).read_bytes())]
    treq_get(url, trustRootFromCertificates(roots) if roots else platformTrust())


@client("treq", always_verifies=True)
def treq_certifi(url: str, trust: str) -> None:
    import certifi
    from twisted.internet._sslverify import IOpenSSLTrustRoot
    from zope.interface import implementer

    @implementer(IOpenSSLTrustRoot)
    class File:
        def _addCACertsToContext(self, context: Any) -> None:
            context.load_verify_locations(certifi.where() if trust == "default" else trust)

    treq_get(url, File())


def treq_get(url: str, trust_root: object) -> None:
    import threading

    import treq
    from twisted.internet import reactor, threads
    from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

    if not reactor.running:  # it runs once in a process
        threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True).start()
    agent = Agent(reactor, BrowserLikePolicyForHTTPS(trust_root), connectTimeout=20)
    threads.blockingCallFromThread(reactor, treq.client.HTTPClient(agent).get, url)


@client("pycurl")
def pycurl(url: str, trust: str) -> None:
    import pycurl

    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.WRITEFUNCTION, lambda data: None)
    if trust == "off":
        handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 0)
    elif trust != "default":
        handle.setopt(pycurl.CAINFO, trust)
    handle.perform()


@client("curl_cffi", adds_a_directory=True)
def curl_cffi(url: str, trust: str) -> None:
    from curl_cffi import requests

    requests.get(url, timeout=20, verify=verify(trust))


@client("curl_cffi", adds_a_directory=True)
def curl_cffi_async(url: str, trust: str) -> None:
    from curl_cffi.requests import AsyncSession

    async def connect() -> None:
        async with AsyncSession() as session:
            await session.get(url, timeout=20, verify=verify(trust))

    asyncio.run(connect())


@client("httpr")
def httpr(url: str, trust: str) -> None:
    import httpr

    options: dict[str, Any] = {"default": {}, "off": {"verify": False}}.get(trust, {"ca_cert_file": trust})
    httpr.Client(**options).get(url)


@client("rnet", compiled_in=True, no_extra_ca=True)
def rnet(url: str, trust: str) -> None:
    import rnet

    rnet.BlockingClient(verify=True if trust == "default" else trust != "off" and Path(trust)).get(url)


@client("wreq", compiled_in=True, no_extra_ca=True)
def wreq(url: str, trust: str) -> None:
    from wreq import blocking

    blocking.Client(tls_verify=True if trust == "default" else trust != "off" and Path(trust)).get(url)
