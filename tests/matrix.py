"""The matrix of client libraries: ``matrix.py FILE`` runs it, and writes what it found as Markdown."""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import Authorities, Server, environment, server_context, shadow_certifi, verdicts, write_bundle
from harness import write_directory as write_store

# The function of clients.py, and the distribution that it needs ("" is the standard library).
CLIENTS = {
    "urllib_request": "",
    "http_client": "",
    "asyncio_streams": "",
    "imaplib_ssl": "",
    "smtplib_ssl": "",
    "ftplib_tls": "",
    "urllib_cadata": "certifi",
    "urllib3": "urllib3",
    "urllib3_certifi": "urllib3",
    "urllib3_pyopenssl": "pyOpenSSL",
    "requests_get": "requests",
    "requests_session": "requests",
    "aiohttp": "aiohttp",
    "httpx_sync": "httpx",
    "httpx_async": "httpx",
    "botocore": "botocore",
    "websockets": "websockets",
    "tornado": "tornado",
    "trio": "trio",
    "pyopenssl": "pyOpenSSL",
    "grpc": "grpcio",
    "grpc_aio": "grpcio",
    "psycopg": "psycopg-binary",
    "pycurl": "pycurl",
    "curl_cffi": "curl_cffi",
    "curl_cffi_async": "curl_cffi",
    "stripe": "stripe",
    "httplib2": "httplib2",
    "websocket_client": "websocket-client",
    "aiosmtplib": "aiosmtplib",
    "imapclient": "imapclient",
    "paho_mqtt": "paho-mqtt",
    "kafka": "kafka-python",
    "nats": "nats-py",
    "redis": "redis",
    "pymongo": "pymongo",
    "pika": "pika",
    "ldap3": "ldap3",
    "pg8000": "pg8000",
    "asyncpg": "asyncpg",
    "elasticsearch": "elasticsearch",
    "kubernetes": "kubernetes",
    "openai": "openai",
    "anthropic": "anthropic",
    "huggingface_hub": "huggingface_hub",
    "google_auth": "google-auth",
    "azure_core": "azure-core",
    "slack_sdk": "slack_sdk",
    "twilio": "twilio",
    "dulwich": "dulwich",
    "twine": "twine",
    "poetry": "poetry",
}
ALWAYS_VERIFY = ("grpc", "grpc_aio")  # their API has no switch for it
ADDS_TO_DEFAULT = ("aiosmtplib", "elasticsearch", "redis")  # a CA that it is given; so does stock
IGNORES_HOST = ("pyopenssl",)  # verifies the chain; the host name is its caller's business

COLUMNS = (
    "CA in the store",
    "unknown CA",
    "wrong host",
    "expired",
    "pinned: its CA",
    "pinned: CA in the store",
    "no verification",
    "opted out: CA in the store",
    "opted out: unknown CA",
    "opted out, pinned: CA in the store",
)


class Matrix:
    """The servers, the store and the CA file of a run.  `folder` is empty, and stays until the run is over."""

    def __init__(self, folder: Path) -> None:
        authorities = Authorities()
        certificates = authorities.server_certificates()
        cases = ("system", "private", "unknown", "wrong_host", "expired")
        self.servers = {case: Server(server_context(certificates[case])) for case in cases}
        self._store = write_store(folder / "store", [authorities.system])
        self._private = write_bundle(folder / "private.pem", [authorities.private])
        with shadow_certifi(folder / "certifi", authorities.bundled) as self._certifi:
            pass

    def row(self, client: str) -> dict[str, str]:
        """``accepted`` or ``refused`` for each of `COLUMNS`; ``-`` where the library cannot be asked for it."""
        default = self._ask(client, "default", "system", "unknown", "wrong_host", "expired")
        pinned = self._ask(client, str(self._private), "private", "system")
        off = {"unknown": "-"} if client in ALWAYS_VERIFY else self._ask(client, "off", "unknown")
        opted_out = self._ask(client, "default", "system", "unknown", TRUSTSTORE_INJECT="0")
        opted_out_pinned = self._ask(client, str(self._private), "system", TRUSTSTORE_INJECT="0")
        answers = (default, pinned, off, opted_out, opted_out_pinned)
        found = [verdict for answer in answers for verdict in answer.values()]
        return dict(zip(COLUMNS, found, strict=True))

    def _ask(self, client: str, trust: str, *cases: str, **variables: str) -> dict[str, str]:
        # SSL_CERT_FILE names a library's own bundle, and counts as not set.  Some libraries fail if it does not exist.
        bundle = self._certifi / "certifi" / "cacert.pem"
        env = environment(SSL_CERT_DIR=self._store, SSL_CERT_FILE=bundle, PYTHONPATH=self._certifi, **variables)
        urls = {case: self.servers[case].url for case in cases}
        return verdicts(client, urls, env=env, trust=trust, servers=self.servers)

    def close(self) -> None:
        for server in self.servers.values():
            server.close()


def installed(client: str) -> bool:
    return not CLIENTS[client] or _version(CLIENTS[client]) is not None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def main(target: Path) -> None:
    lines = [
        "# Client libraries",
        "",
        f"Written by `python tests/matrix.py` on Python {sys.version.split()[0]}, {sys.platform}; do not edit.",
        "The store is a hashed directory that `SSL_CERT_DIR` names; a stock library that asks OpenSSL finds it too.",
        "",
        "| client | library | " + " | ".join(COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix(Path(folder))
        for client in filter(installed, CLIENTS):
            library = f"{CLIENTS[client]} {_version(CLIENTS[client])}" if CLIENTS[client] else "standard library"
            lines.append(f"| `{client}` | {library} | " + " | ".join(matrix.row(client).values()) + " |")
        matrix.close()
    lines += [
        "",
        "`pyopenssl` verifies the chain only: the host name is checked by its caller.",
        ", ".join(f"`{name}`" for name in ADDS_TO_DEFAULT) + ": a CA that they are given is added to default trust.",
        "",
        "The roots of `rnet` and `wreq` are compiled in, out of reach: give them the system's bundle as a file.",
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
