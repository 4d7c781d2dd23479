"""The matrix of client libraries: ``matrix.py`` runs it, and writes what it found as Markdown."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
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
    "otlp_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_http": "opentelemetry-exporter-otlp-proto-http",
    "aioquic": "aioquic",
    "treq": "treq",
    "treq_certifi": "treq",
    "snowflake": "snowflake-connector-python",
    "psycopg": "psycopg-binary",
    "psycopg_async": "psycopg-binary",
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
    "rnet": "rnet",
    "wreq": "wreq",
}
# Their API has no switch for it, or not in all versions.
ALWAYS_VERIFY = ("grpc", "grpc_aio", "otlp_grpc", "otlp_http", "treq", "treq_certifi", "snowflake")
COMPILED_IN = ("rnet", "wreq")  # their roots, which are out of reach
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
        self._rows: dict[str, dict[str, str]] = {}
        authorities = Authorities()
        certificates = authorities.server_certificates()
        cases = ("system", "private", "unknown", "wrong_host", "expired")
        self.servers = {case: Server(server_context(certificates[case]), patience=1) for case in cases}
        self._store = write_store(folder / "store", [authorities.system])
        self._private = write_bundle(folder / "private.pem", [authorities.private])
        self._quic = {} if _version("aioquic") is None else {case: QuicServer(certificates[case]) for case in cases}
        with shadow_certifi(folder / "certifi", authorities.bundled) as self._certifi:
            pass

    def row(self, client: str) -> dict[str, str]:
        """``accepted`` or ``refused`` for each of `COLUMNS`; ``-`` where the library cannot be asked for it."""
        if client not in self._rows:
            self._rows[client] = self._find(client)
        return self._rows[client]

    def _find(self, client: str) -> dict[str, str]:
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
        servers = self._quic if client == "aioquic" else self.servers
        urls = {case: servers[case].url for case in cases}
        return verdicts(client, urls, env=env, trust=trust, servers=servers)

    def close(self) -> None:
        for server in [*self.servers.values(), *self._quic.values()]:
            server.close()


class QuicServer:
    """A `Server` that completes handshakes over QUIC, and no more."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        from aioquic.asyncio import QuicConnectionProtocol, serve
        from aioquic.quic.configuration import QuicConfiguration
        from aioquic.quic.events import HandshakeCompleted

        self.completed: list[object] = []
        self.pending: list[object] = []

        class Protocol(QuicConnectionProtocol):
            def quic_event_received(_, event: object) -> None:
                if isinstance(event, HandshakeCompleted):
                    self.completed.append(event)

        configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
        configuration.certificate = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
        configuration.private_key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = serve("127.0.0.1", 0, configuration=configuration, create_protocol=Protocol)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        port = self._server._transport.get_extra_info("sockname")[1]
        self.url = f"https://localhost:{port}/"

    @property
    def believed(self) -> int:
        """As a `Server` has it; a client of QUIC that refuses does so before its handshake is complete."""
        return len(self.completed)

    def close(self) -> None:
        """To the last socket: one that is collected later is a ResourceWarning, in whatever test runs then."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.1, self._loop.stop)
        self._thread.join()
        self._loop.close()


def installed(client: str) -> bool:
    return not CLIENTS[client] or _version(CLIENTS[client]) is not None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


PAGE = Path(__file__).parent.parent / "docs" / "libraries.md"
NOTES = f"""
`pyopenssl` verifies the chain only: the host name is checked by its caller.
{", ".join(f"`{name}`" for name in ADDS_TO_DEFAULT)}: a CA that they are given is added to default trust.
`-`: the library has no switch for that, or not in all its versions.

The roots of `rnet` and `wreq` are compiled in, out of reach.  A file that they are given takes their place: the path that
`truststore-inject export FILE` writes, as `rnet.Client(verify=Path(...))` and `wreq.Client(tls_verify=Path(...))`; wreq also
takes `tls_verify=wreq.tls.CertStore(default_paths=True)`, OpenSSL's own places.  The columns `pinned` show the first.

`snowflake` 5 has a TLS stack of its own that asks the system store; before that it went through pyOpenSSL and certifi.
`niquests` finds the machine's CA files by itself, in fixed places, and gives them to its contexts as its own choice:
it verifies with the system store with this package and without, and `SSL_CERT_FILE`, `SSL_CERT_DIR` and
`TRUSTSTORE_INJECT_EXTRA_CA_CERTS` do not reach it.  It is not in the table: its urllib3-future takes the name urllib3.
"""


def render(found: dict[str, list[str]], where: str) -> str:
    """The page: the cells of each row after its client, and the Python and system `where` that was found."""
    rows = [["client", "library", *COLUMNS], ["---"] * (len(COLUMNS) + 2)]
    rows += [[f"`{client}`", *cells] for client, cells in found.items()]
    lines = [
        "# Client libraries",
        "",
        f"Written by `python tests/matrix.py` on {where}; do not edit.",
        "The store is a hashed directory that `SSL_CERT_DIR` names; a stock library that asks OpenSSL finds it too.",
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n" + NOTES


def parse(page: str) -> tuple[dict[str, list[str]], str]:
    """The arguments of `render` that gave `page`."""
    where = re.search(r" on (.*); do not edit", page)
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {client.strip("`"): cells for client, *cells in rows}, where[1] if where else ""


def main() -> None:
    """Run it, and write the page.  Every library of libraries.txt has to be there."""
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix(Path(folder))
        found = {
            client: [f"{library} {_version(library)}" if library else "standard library", *matrix.row(client).values()]
            for client, library in CLIENTS.items()
        }
        matrix.close()
    PAGE.write_text(render(found, f"Python {sys.version.split()[0]}, {sys.platform}"), encoding="utf-8")


if __name__ == "__main__":
    main()
