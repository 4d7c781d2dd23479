"""Mail, message queues and directories."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from .registry import address, client, context


@client("aiosmtplib", adds_to_default=True)
def aiosmtplib(url: str, trust: str) -> None:
    import aiosmtplib

    host, port = address(url)
    options = {"default": {}, "off": {"validate_certs": False}}.get(trust, {"cert_bundle": trust})
    asyncio.run(aiosmtplib.SMTP(hostname=host, port=port, use_tls=True, timeout=2, **options).connect())


@client("imapclient")
def imapclient(url: str, trust: str) -> None:
    import imapclient

    host, port = address(url)
    imapclient.IMAPClient(host, port, ssl_context=context(trust), timeout=2)


@client("paho-mqtt")
def paho_mqtt(url: str, trust: str) -> None:
    import paho.mqtt.client as mqtt

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.tls_set(ca_certs=None if trust in ("default", "off") else trust)
    if trust == "off":
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.tls_set_context(context(trust))
    client.connect(*address(url))
    client.disconnect()


@client("kafka-python")
def kafka(url: str, trust: str) -> None:
    from kafka import KafkaAdminClient

    host, port = address(url)
    options: dict[str, Any] = {"default": {}, "off": {"ssl_context": context(trust)}}.get(trust, {"ssl_cafile": trust})
    KafkaAdminClient(
        bootstrap_servers=f"{host}:{port}", security_protocol="SSL", bootstrap_timeout_ms=700, **options
    ).close()


@client("nats-py")
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


@client("pika")
def pika(url: str, trust: str) -> None:
    import pika

    host, port = address(url)
    options = pika.SSLOptions(context(trust) or ssl.create_default_context(), host)
    pika.BlockingConnection(
        pika.ConnectionParameters(host, port, ssl_options=options, socket_timeout=5, connection_attempts=1)
    )


@client("pulsar-client")
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


@client("ldap3")
def ldap3(url: str, trust: str) -> None:
    import ldap3

    options = {
        "default": {"validate": ssl.CERT_REQUIRED},
        "off": {"validate": ssl.CERT_NONE},
    }.get(trust, {"validate": ssl.CERT_REQUIRED, "ca_certs_file": trust})
    host, port = address(url)
    server = ldap3.Server(host, port, use_ssl=True, tls=ldap3.Tls(**options), connect_timeout=5)
    ldap3.Connection(server, receive_timeout=2).bind()
