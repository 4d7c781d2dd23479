"""Databases."""

from __future__ import annotations

import asyncio
import os
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

from .registry import address, client, context
from .stacks import ready


def psycopg_options(url: str, trust: str) -> dict[str, Any]:
    host, port = address(url)
    options = {"sslrootcert": "system" if trust == "default" else trust, "sslmode": "verify-full"}
    if trust == "off":
        options = {"sslmode": "require"}
    if "PGSSLROOTCERT" in os.environ:
        del options["sslrootcert"]
    return {"host": host, "port": port, "user": "u", "connect_timeout": 5, **options}


@client("psycopg-binary")
def psycopg(url: str, trust: str) -> None:
    import psycopg

    psycopg.connect(**psycopg_options(url, trust))


@client("psycopg-binary")
def psycopg_async(url: str, trust: str) -> None:
    import psycopg

    async def connect() -> None:
        await psycopg.AsyncConnection.connect(**psycopg_options(url, trust))

    asyncio.run(connect())


@client("psycopg2-binary")
def psycopg2(url: str, trust: str) -> None:
    import psycopg2

    psycopg2.connect(**psycopg_options(url, trust), dbname="d")


@client("adbc-driver-postgresql")
def adbc_postgresql(url: str, trust: str) -> None:
    import adbc_driver_postgresql

    options = psycopg_options(url, trust)
    host, port = options.pop("host"), options.pop("port")
    adbc_driver_postgresql.connect(f"postgresql://{host}:{port}/d?{urllib.parse.urlencode(options)}").close()


@client("pg8000")
def pg8000(url: str, trust: str) -> None:
    import pg8000.dbapi

    host, port = address(url)
    chosen = context(trust) or ssl.create_default_context()  # True verifies nothing
    pg8000.dbapi.connect("u", host=host, port=port, ssl_context=chosen, timeout=5)


@client("asyncpg")
def asyncpg(url: str, trust: str) -> None:
    import asyncpg

    host, port = address(url)
    chosen = context(trust) or ssl.create_default_context()
    asyncio.run(asyncpg.connect(host=host, port=port, user="u", ssl=chosen, timeout=5))


@client("redis", adds_to_default=True)
def redis(url: str, trust: str) -> None:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    host, port = address(url)
    options: dict[str, Any] = {"default": {}, "off": {"ssl_cert_reqs": "none", "ssl_check_hostname": False}}.get(
        trust, {"ssl_ca_certs": trust}
    )
    redis.Redis(host=host, port=port, ssl=True, retry=Retry(NoBackoff(), 0), socket_timeout=5, **options).ping()


@client("pymongo")
def pymongo(url: str, trust: str) -> None:
    import pymongo

    host, port = address(url)
    options = {"default": {}, "off": {"tlsAllowInvalidCertificates": True}}.get(trust, {"tlsCAFile": trust})
    with pymongo.MongoClient(host, port, tls=True, serverSelectionTimeoutMS=700, **options) as client:
        client.admin.command("ping")


@client("elasticsearch", adds_to_default=True)
def elasticsearch(url: str, trust: str) -> None:
    from elasticsearch import Elasticsearch

    options: dict[str, Any] = {"default": {}, "off": {"verify_certs": False, "ssl_show_warn": False}}.get(
        trust, {"ca_certs": trust}
    )
    with Elasticsearch(url, max_retries=0, **options) as client:
        client.info()


@client("couchbase", ignores_host=True)
def couchbase(url: str, trust: str) -> None:
    from datetime import timedelta

    from couchbase.auth import PasswordAuthenticator
    from couchbase.cluster import Cluster
    from couchbase.options import ClusterOptions, ClusterTimeoutOptions

    options: dict[str, Any] = {"default": {}, "off": {"tls_verify": "none"}}.get(trust, {"trust_store_path": trust})
    address = url.replace("https:", "couchbases:").rstrip("/")
    limits = ClusterTimeoutOptions(bootstrap_timeout=timedelta(seconds=1))
    Cluster(address, ClusterOptions(PasswordAuthenticator("u", "p"), timeout_options=limits, **options))


@client("ydb", always_verifies=True)
def ydb(url: str, trust: str) -> None:
    import ydb

    roots = None if trust == "default" else Path(trust).read_bytes()
    endpoint = "{}:{}".format(*address(url))
    configuration = ydb.DriverConfig(f"grpcs://{endpoint}", "/local", root_certificates=roots)
    with ydb.connection.channel_factory(endpoint, configuration) as channel:
        ready(channel)


@client("snowflake-connector-python", always_verifies=True, no_extra_ca=True)
def snowflake(url: str, trust: str) -> None:
    import snowflake.connector

    host, port = address(url)
    options: dict[str, Any] = {"account": "a", "user": "u", "password": "p", "login_timeout": 1}
    if trust != "default":
        options["custom_root_store_path"] = trust  # since 5.0
        os.environ["REQUESTS_CA_BUNDLE"] = trust  # before
    snowflake.connector.connect(host=host, port=port, protocol="https", **options)
