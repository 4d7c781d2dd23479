"""The SDKs of services."""

from __future__ import annotations

import asyncio
from typing import Any

from .registry import client, context, verify
from .web import sdk_client, sdk_verify


@client("botocore")
def botocore(url: str, trust: str) -> None:
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    URLLib3Session(verify=verify(trust), timeout=20).send(AWSRequest("GET", url).prepare())


@client("google-auth")
def google_auth(url: str, trust: str) -> None:
    import requests
    from google.auth.transport.requests import Request

    session = requests.Session()
    session.verify = verify(trust)
    Request(session)(url, timeout=20)


@client("azure-core")
def azure_core(url: str, trust: str) -> None:
    from azure.core import PipelineClient
    from azure.core.rest import HttpRequest

    with PipelineClient(url, retry_total=0, connection_verify=verify(trust)) as client:
        client.send_request(HttpRequest("GET", url))


@client("kubernetes")
def kubernetes(url: str, trust: str) -> None:
    import kubernetes

    configuration = kubernetes.client.Configuration(host=url.rstrip("/"))
    configuration.retries = False
    configuration.verify_ssl = trust != "off"
    if trust not in ("default", "off"):
        configuration.ssl_ca_cert = trust
    kubernetes.client.VersionApi(kubernetes.client.ApiClient(configuration)).get_code()


@client("opentelemetry-exporter-otlp-proto-http", always_verifies=True)
def otlp_http(url: str, trust: str) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    certificate = None if trust == "default" else trust
    if (
        OTLPSpanExporter(endpoint=url, certificate_file=certificate, timeout=1).export([])
        is not SpanExportResult.SUCCESS
    ):
        raise ConnectionError("not exported; the reason was logged")


@client("stripe")
def stripe(url: str, trust: str) -> None:
    import stripe

    if trust not in ("default", "off"):
        stripe.ca_bundle_path = trust
    client = stripe.RequestsClient(verify_ssl_certs=trust != "off")
    addresses: Any = {"api": url.rstrip("/")}
    stripe.StripeClient("sk_test", http_client=client, base_addresses=addresses).v1.customers.list()


@client("slack_sdk")
def slack_sdk(url: str, trust: str) -> None:
    from slack_sdk import WebClient

    WebClient("t", base_url=url, ssl=context(trust), timeout=20).api_test()


@client("twilio")
def twilio(url: str, trust: str) -> None:
    from twilio.http.http_client import TwilioHttpClient

    client = TwilioHttpClient(timeout=20)
    if trust != "default":
        client.session.verify = verify(trust)
    client.request("GET", url)


@client("openai")
def openai(url: str, trust: str) -> None:
    import openai

    options = {} if trust == "default" else {"http_client": sdk_client(trust)}
    openai.OpenAI(api_key="k", base_url=url, max_retries=0, **options).models.list()


@client("anthropic")
def anthropic(url: str, trust: str) -> None:
    import anthropic

    options = {} if trust == "default" else {"http_client": sdk_client(trust)}
    anthropic.Anthropic(api_key="k", base_url=url, max_retries=0, **options).models.list()


@client("huggingface_hub")
def huggingface_hub(url: str, trust: str) -> None:
    import huggingface_hub

    if trust != "default":
        huggingface_hub.set_client_factory(lambda: sdk_client(trust))
    huggingface_hub.get_session().get(url)


@client("mcp")
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
