"""The programs under test: ``clients.py CLIENT TRUST JSON-OF-URLS`` prints what CLIENT says of each server, as JSON.

There may be several pairs of TRUST and JSON: it prints a line for each.  TRUST is ``default``, ``off`` (no verification) or the path of a CA file, given to the library in the way that its
documentation has for it.  One function for each client; it makes one request, and raises what the library raises.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import urllib.parse
from pathlib import Path
from typing import Any


def context(trust: str) -> ssl.SSLContext | None:
    if trust == "default":
        return None
    if trust == "off":
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=trust)


def verify(trust: str) -> str | bool:
    return {"default": True, "off": False}.get(trust, trust)


def address(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


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


def requests_system_bundle(url: str, trust: str) -> None:
    """With the variable that many Dockerfiles set."""
    bundles = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
    os.environ["REQUESTS_CA_BUNDLE"] = next((bundle for bundle in bundles if os.path.exists(bundle)), bundles[0])
    requests_get(url, trust)


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


def pip(url: str, trust: str) -> None:
    import subprocess
    import tempfile

    options = {"default": [], "off": ["--trusted-host=localhost"]}.get(trust, [f"--cert={trust}"])
    with tempfile.TemporaryDirectory() as folder:
        download = ["download", "example", "--no-deps", "--no-cache-dir", "--retries=0", f"--dest={folder}"]
        command = [
            sys.executable,
            "-m",
            "pip",
            *download,
            "--disable-pip-version-check",
            f"--index-url={url}",
            *options,
        ]
        result = subprocess.run(
            command, env=os.environ | {"PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True
        )
    raise ConnectionError(result.stdout + result.stderr)  # there is no such package


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


def httpx2_sync(url: str, trust: str) -> None:
    with sdk_client(trust) as client:
        client.get(url)


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


def botocore(url: str, trust: str) -> None:
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    URLLib3Session(verify=verify(trust), timeout=20).send(AWSRequest("GET", url).prepare())


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


def urllib_cadata(url: str, trust: str) -> None:
    from urllib.request import urlopen

    import certifi

    chosen = ssl.create_default_context(cadata=certifi.contents()) if trust == "default" else context(trust)
    urlopen(url, context=chosen, timeout=20).close()


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


def grpc(url: str, trust: str) -> None:
    import grpc

    roots = None if trust == "default" else Path(trust).read_bytes()
    with grpc.secure_channel(urllib.parse.urlsplit(url).netloc, grpc.ssl_channel_credentials(roots)) as channel:
        ready(channel)


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


def psycopg_options(url: str, trust: str) -> dict[str, Any]:
    host, port = address(url)
    options = {"sslrootcert": "system" if trust == "default" else trust, "sslmode": "verify-full"}
    if trust == "off":
        options = {"sslmode": "require"}
    if "PGSSLROOTCERT" in os.environ:
        del options["sslrootcert"]
    return {"host": host, "port": port, "user": "u", "connect_timeout": 5, **options}


def psycopg(url: str, trust: str) -> None:
    import psycopg

    psycopg.connect(**psycopg_options(url, trust))


def psycopg_async(url: str, trust: str) -> None:
    import psycopg

    async def connect() -> None:
        await psycopg.AsyncConnection.connect(**psycopg_options(url, trust))

    asyncio.run(connect())


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


def curl_cffi(url: str, trust: str) -> None:
    from curl_cffi import requests

    requests.get(url, timeout=20, verify=verify(trust))


def curl_cffi_async(url: str, trust: str) -> None:
    from curl_cffi.requests import AsyncSession

    async def connect() -> None:
        async with AsyncSession() as session:
            await session.get(url, timeout=20, verify=verify(trust))

    asyncio.run(connect())


def otlp_grpc(url: str, trust: str) -> None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    credentials = None if trust == "default" else grpc.ssl_channel_credentials(Path(trust).read_bytes())
    exporter = OTLPSpanExporter(endpoint=url, credentials=credentials)
    # Not by an export, which only logs; and a gRPC client looks at the host name after the server's handshake is over.
    ready(exporter._channel)
    exporter.shutdown()


def otlp_http(url: str, trust: str) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    certificate = None if trust == "default" else trust
    if (
        OTLPSpanExporter(endpoint=url, certificate_file=certificate, timeout=1).export([])
        is not SpanExportResult.SUCCESS
    ):
        raise ConnectionError("not exported; the reason was logged")


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


def treq(url: str, trust: str) -> None:
    from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates

    roots = [] if trust == "default" else [Certificate.loadPEM(Path(trust).read_bytes())]
    treq_get(url, trustRootFromCertificates(roots) if roots else platformTrust())


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


def snowflake(url: str, trust: str) -> None:
    import snowflake.connector

    host, port = address(url)
    options: dict[str, Any] = {"account": "a", "user": "u", "password": "p", "login_timeout": 1}
    if trust != "default":
        options["custom_root_store_path"] = trust  # since 5.0
        os.environ["REQUESTS_CA_BUNDLE"] = trust  # before
    snowflake.connector.connect(host=host, port=port, protocol="https", **options)


def rnet(url: str, trust: str) -> None:
    import rnet

    rnet.BlockingClient(verify=True if trust == "default" else trust != "off" and Path(trust)).get(url)


def wreq(url: str, trust: str) -> None:
    from wreq import blocking

    blocking.Client(tls_verify=True if trust == "default" else trust != "off" and Path(trust)).get(url)


def stripe(url: str, trust: str) -> None:
    import stripe

    if trust not in ("default", "off"):
        stripe.ca_bundle_path = trust
    client = stripe.RequestsClient(verify_ssl_certs=trust != "off")
    addresses: Any = {"api": url.rstrip("/")}
    stripe.StripeClient("sk_test", http_client=client, base_addresses=addresses).v1.customers.list()


def httplib2(url: str, trust: str) -> None:
    import httplib2

    options = {"default": {}, "off": {"disable_ssl_certificate_validation": True}}.get(trust, {"ca_certs": trust})
    httplib2.Http(timeout=20, **options).request(url)


def websocket_client(url: str, trust: str) -> None:
    import websocket

    options: dict[str, Any] = {"default": {}, "off": {"cert_reqs": ssl.CERT_NONE}}.get(trust, {"ca_certs": trust})
    websocket.create_connection(url.replace("https:", "wss:"), timeout=20, sslopt=options).close()


def aiosmtplib(url: str, trust: str) -> None:
    import aiosmtplib

    host, port = address(url)
    options = {"default": {}, "off": {"validate_certs": False}}.get(trust, {"cert_bundle": trust})
    asyncio.run(aiosmtplib.SMTP(hostname=host, port=port, use_tls=True, timeout=2, **options).connect())


def imaplib_ssl(url: str, trust: str) -> None:
    import imaplib

    chosen = context(trust) or ssl.create_default_context()
    imaplib.IMAP4_SSL(*address(url), ssl_context=chosen, timeout=2)


def smtplib_ssl(url: str, trust: str) -> None:
    import smtplib

    smtplib.SMTP_SSL(*address(url), context=context(trust) or ssl.create_default_context(), timeout=2)


def ftplib_tls(url: str, trust: str) -> None:
    import ftplib
    import socket

    client = ftplib.FTP_TLS(context=context(trust) or ssl.create_default_context())
    host, port = address(url)
    with socket.create_connection((host, port), timeout=5) as plain:
        client.context.wrap_socket(plain, server_hostname=host).close()


def paho_mqtt(url: str, trust: str) -> None:
    import paho.mqtt.client as mqtt

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.tls_set(ca_certs=None if trust in ("default", "off") else trust)
    if trust == "off":
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.tls_set_context(context(trust))
    client.connect(*address(url))
    client.disconnect()


def redis(url: str, trust: str) -> None:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    host, port = address(url)
    options: dict[str, Any] = {"default": {}, "off": {"ssl_cert_reqs": "none", "ssl_check_hostname": False}}.get(
        trust, {"ssl_ca_certs": trust}
    )
    redis.Redis(host=host, port=port, ssl=True, retry=Retry(NoBackoff(), 0), socket_timeout=5, **options).ping()


def pymongo(url: str, trust: str) -> None:
    import pymongo

    host, port = address(url)
    options = {"default": {}, "off": {"tlsAllowInvalidCertificates": True}}.get(trust, {"tlsCAFile": trust})
    with pymongo.MongoClient(host, port, tls=True, serverSelectionTimeoutMS=700, **options) as client:
        client.admin.command("ping")


def pika(url: str, trust: str) -> None:
    import pika

    host, port = address(url)
    options = pika.SSLOptions(context(trust) or ssl.create_default_context(), host)
    pika.BlockingConnection(
        pika.ConnectionParameters(host, port, ssl_options=options, socket_timeout=5, connection_attempts=1)
    )


def kafka(url: str, trust: str) -> None:
    from kafka import KafkaAdminClient

    host, port = address(url)
    options: dict[str, Any] = {"default": {}, "off": {"ssl_context": context(trust)}}.get(trust, {"ssl_cafile": trust})
    KafkaAdminClient(
        bootstrap_servers=f"{host}:{port}", security_protocol="SSL", bootstrap_timeout_ms=700, **options
    ).close()


def elasticsearch(url: str, trust: str) -> None:
    from elasticsearch import Elasticsearch

    options: dict[str, Any] = {"default": {}, "off": {"verify_certs": False, "ssl_show_warn": False}}.get(
        trust, {"ca_certs": trust}
    )
    with Elasticsearch(url, max_retries=0, **options) as client:
        client.info()


def kubernetes(url: str, trust: str) -> None:
    import kubernetes

    configuration = kubernetes.client.Configuration(host=url.rstrip("/"))
    configuration.retries = False
    configuration.verify_ssl = trust != "off"
    if trust not in ("default", "off"):
        configuration.ssl_ca_cert = trust
    kubernetes.client.VersionApi(kubernetes.client.ApiClient(configuration)).get_code()


def openai(url: str, trust: str) -> None:
    import openai

    options = {} if trust == "default" else {"http_client": sdk_client(trust)}
    openai.OpenAI(api_key="k", base_url=url, max_retries=0, **options).models.list()


def anthropic(url: str, trust: str) -> None:
    import anthropic

    options = {} if trust == "default" else {"http_client": sdk_client(trust)}
    anthropic.Anthropic(api_key="k", base_url=url, max_retries=0, **options).models.list()


def huggingface_hub(url: str, trust: str) -> None:
    import huggingface_hub

    if trust != "default":
        huggingface_hub.set_client_factory(lambda: sdk_client(trust))
    huggingface_hub.get_session().get(url)


def mcp(url: str, trust: str) -> None:
    import anyio
    import httpx2
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def connect() -> None:
        options = {} if trust == "default" else {"http_client": httpx2.AsyncClient(verify=sdk_verify(trust))}
        with anyio.fail_after(20):
            async with (
                streamable_http_client(f"{url}mcp", **options) as streams,
                ClientSession(*streams[:2]) as session,
            ):
                await session.initialize()

    asyncio.run(connect())


def google_auth(url: str, trust: str) -> None:
    import requests
    from google.auth.transport.requests import Request

    session = requests.Session()
    session.verify = verify(trust)
    Request(session)(url, timeout=20)


def azure_core(url: str, trust: str) -> None:
    from azure.core import PipelineClient
    from azure.core.rest import HttpRequest

    with PipelineClient(url, retry_total=0, connection_verify=verify(trust)) as client:
        client.send_request(HttpRequest("GET", url))


def slack_sdk(url: str, trust: str) -> None:
    from slack_sdk import WebClient

    WebClient("t", base_url=url, ssl=context(trust), timeout=20).api_test()


def twilio(url: str, trust: str) -> None:
    from twilio.http.http_client import TwilioHttpClient

    client = TwilioHttpClient(timeout=20)
    if trust != "default":
        client.session.verify = verify(trust)
    client.request("GET", url)


def dulwich(url: str, trust: str) -> None:
    from dulwich.client import HttpGitClient
    from dulwich.config import ConfigDict

    settings = ConfigDict()
    if trust == "off":
        settings.set((b"http",), b"sslVerify", False)
    elif trust != "default":
        settings.set((b"http",), b"sslCAInfo", trust.encode())
    HttpGitClient(url, config=settings).get_refs(b"repository")


def twine(url: str, trust: str) -> None:
    from twine.repository import Repository

    repository = Repository(url, "u", "p")
    if trust != "default":
        repository.session.verify = verify(trust)
    repository.session.get(url)


def poetry(url: str, trust: str) -> None:
    import time

    from poetry.utils.authenticator import Authenticator

    time.sleep = lambda seconds: None  # between its five attempts
    options = {} if trust == "default" else {"verify": verify(trust)}
    Authenticator().request("get", url, **options)


def pg8000(url: str, trust: str) -> None:
    import pg8000.dbapi

    host, port = address(url)
    chosen = context(trust) or ssl.create_default_context()  # True verifies nothing
    pg8000.dbapi.connect("u", host=host, port=port, ssl_context=chosen, timeout=5)


def asyncpg(url: str, trust: str) -> None:
    import asyncpg

    host, port = address(url)
    chosen = context(trust) or ssl.create_default_context()
    asyncio.run(asyncpg.connect(host=host, port=port, user="u", ssl=chosen, timeout=5))


def ldap3(url: str, trust: str) -> None:
    import ldap3

    options = {
        "default": {"validate": ssl.CERT_REQUIRED},
        "off": {"validate": ssl.CERT_NONE},
    }.get(trust, {"validate": ssl.CERT_REQUIRED, "ca_certs_file": trust})
    host, port = address(url)
    server = ldap3.Server(host, port, use_ssl=True, tls=ldap3.Tls(**options), connect_timeout=5)
    ldap3.Connection(server, receive_timeout=2).bind()


def imapclient(url: str, trust: str) -> None:
    import imapclient

    host, port = address(url)
    imapclient.IMAPClient(host, port, ssl_context=context(trust), timeout=2)


def nats(url: str, trust: str) -> None:
    import nats

    host, port = address(url)

    async def connect() -> None:
        await nats.connect(
            f"tls://{host}:{port}",
            tls=context(trust) or ssl.create_default_context(),
            tls_handshake_first=True,
            connect_timeout=2,
            allow_reconnect=False,
            max_reconnect_attempts=0,
        )

    asyncio.run(connect())


def trio(url: str, trust: str) -> None:
    import trio

    async def connect() -> None:
        host, port = address(url)
        stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context(trust))
        await stream.do_handshake()

    trio.run(connect)


def psycopg2(url: str, trust: str) -> None:
    import psycopg2

    psycopg2.connect(**psycopg_options(url, trust), dbname="d")


def adbc_postgresql(url: str, trust: str) -> None:
    import adbc_driver_postgresql

    options = psycopg_options(url, trust)
    host, port = options.pop("host"), options.pop("port")
    adbc_driver_postgresql.connect(f"postgresql://{host}:{port}/d?{urllib.parse.urlencode(options)}").close()


def ydb(url: str, trust: str) -> None:
    import ydb

    roots = None if trust == "default" else Path(trust).read_bytes()
    endpoint = "{}:{}".format(*address(url))
    configuration = ydb.DriverConfig(f"grpcs://{endpoint}", "/local", root_certificates=roots)
    with ydb.connection.channel_factory(endpoint, configuration) as channel:
        ready(channel)


def gdal_options(trust: str) -> dict[str, str]:
    return {"default": {}, "off": {"GDAL_HTTP_UNSAFESSL": "YES"}}.get(trust, {"GDAL_CURL_CA_BUNDLE": trust})


def pyogrio(url: str, trust: str) -> None:
    import pyogrio

    pyogrio.set_gdal_config_options(gdal_options(trust))
    pyogrio.read_info(f"/vsicurl/{url}x.gpkg")


def fiona(url: str, trust: str) -> None:
    import fiona

    with fiona.Env(**gdal_options(trust)):
        fiona.open(f"/vsicurl/{url}x.gpkg")


def rasterio(url: str, trust: str) -> None:
    import rasterio

    with rasterio.Env(**gdal_options(trust)):
        rasterio.open(f"/vsicurl/{url}x.tif")


def pyproj(url: str, trust: str) -> None:
    child = os.fork()  # PROJ reads the address once, and pyproj gives a CA file to the thread only that names it
    if not child:
        try:
            os.environ["PROJ_NETWORK_ENDPOINT"] = url
            if trust == "off":
                os.environ["PROJ_UNSAFE_SSL"] = "ON"
            import pyproj.network

            pyproj.network.set_network_enabled(True)
            if trust not in ("default", "off"):
                pyproj.network.set_ca_bundle_path(trust)
            pyproj.Transformer.from_pipeline("+proj=hgridshift +grids=ca_nrc_ntv2_0.tif").transform(0, 0)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    raise ConnectionError("there is no such grid")


def netcdf4(url: str, trust: str) -> None:
    import netCDF4

    if trust != "default":
        netCDF4.rc_set("HTTP.SSL.CAINFO", trust)
    netCDF4.Dataset(f"{url}x.nc#mode=bytes")  # else it speaks DAP, and is killed by what is none


def pyarrow_s3(url: str, trust: str) -> None:
    from pyarrow import fs

    host, port = address(url)
    fs.S3FileSystem(
        endpoint_override=f"{host}:{port}",
        access_key="a",
        secret_key="s",
        region="us-east-1",
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        **({} if trust == "default" else {"tls_ca_file_path": trust}),
    ).get_file_info("bucket/key")


def pygit2(url: str, trust: str) -> None:
    import tempfile

    import pygit2

    class Unverified(pygit2.RemoteCallbacks):
        def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
            return True

    if trust not in ("default", "off"):
        pygit2.settings.set_ssl_cert_locations(trust, None)
    callbacks = Unverified() if trust == "off" else None
    with tempfile.TemporaryDirectory() as folder:
        remote = pygit2.init_repository(folder).remotes.create_anonymous(url)
        (remote.list_heads if hasattr(remote, "list_heads") else remote.ls_remotes)(callbacks=callbacks)


def pyav(url: str, trust: str) -> None:
    import av

    options = {"tls_verify": "0" if trust == "off" else "1"}  # the default, since av 19
    if trust not in ("default", "off"):
        options["ca_file"] = trust
    try:
        av.open(f"{url}x.mp4", options=options)
    except av.error.InvalidDataError:  # it is no film, but it was sent
        pass


def httpr(url: str, trust: str) -> None:
    import httpr

    options: dict[str, Any] = {"default": {}, "off": {"verify": False}}.get(trust, {"ca_cert_file": trust})
    httpr.Client(**options).get(url)


def pulsar(url: str, trust: str) -> None:
    import pulsar

    options: dict[str, Any] = {"default": {}, "off": {"tls_allow_insecure_connection": True}}.get(
        trust, {"tls_trust_certs_file_path": trust}
    )
    client = pulsar.Client(
        url.replace("https:", "pulsar+ssl:").rstrip("/"),
        operation_timeout_seconds=1,
        connection_timeout_ms=1000,
        tls_validate_hostname=trust != "off",
        logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error),
        **options,
    )
    try:
        client.create_producer("topic")
    finally:
        client.close()


def couchbase(url: str, trust: str) -> None:
    from datetime import timedelta

    from couchbase.auth import PasswordAuthenticator
    from couchbase.cluster import Cluster
    from couchbase.options import ClusterOptions, ClusterTimeoutOptions

    options: dict[str, Any] = {"default": {}, "off": {"tls_verify": "none"}}.get(trust, {"trust_store_path": trust})
    address = url.replace("https:", "couchbases:").rstrip("/")
    limits = ClusterTimeoutOptions(bootstrap_timeout=timedelta(seconds=1))
    Cluster(address, ClusterOptions(PasswordAuthenticator("u", "p"), timeout_options=limits, **options))


# In the text of exceptions that say it in words only; the second is urllib3's own check of the host name.
REFUSALS = (
    "CERTIFICATE_VERIFY_FAILED",
    "certificate verify failed",
    "doesn't match",
    "does not match host name",  # libpq
    "SSL certificate",  # libcurl
    "no alternative certificate subject name",  # libcurl
    "DNSMismatch",  # service_identity
)


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
        return "refused" if refusal(error) else f"{type(error).__name__}: {error}"
    return "accepted"


if __name__ == "__main__":
    _, client, *questions = sys.argv
    for trust, urls in zip(questions[::2], questions[1::2], strict=True):
        print(json.dumps({case: judge(client, url, trust) for case, url in json.loads(urls).items()}))
