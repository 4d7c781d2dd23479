"""The pip of this environment, and the same as a zipapp, against a private index over HTTPS.  tox pins its versions."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Authorities, environment, run, server_context

pip = pytest.importorskip("pip")

WHEEL = "demo-1.0-py3-none-any.whl"


def wheel() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("demo.py", "")
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr(
            "demo-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return file.getvalue()


@pytest.fixture(scope="module")
def indexes(authorities: Authorities) -> Iterator[dict[str, str]]:
    """The address of an index with a certificate from the `system`, and one from the `private` authority."""
    data = wheel()
    page = f'<a href="/{WHEEL}#sha256={hashlib.sha256(data).hexdigest()}">{WHEEL}</a>'.encode()

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = (data, "application/zip") if self.path.endswith(".whl") else (page, "text/html")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that refuses us

    certificates = authorities.server_certificates()
    servers = {}
    for name in ("system", "private", "unknown"):
        servers[name] = server = Server(("127.0.0.1", 0), Index)
        server.socket = server_context(certificates[name]).wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {name: f"https://localhost:{server.server_address[1]}/simple" for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zipapp")
    shutil.copytree(Path(pip.__file__).parent, folder / "app" / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "app" / "__main__.py").write_text("import runpy\nrunpy.run_module('pip', run_name='__main__')\n")
    return Path(shutil.make_archive(str(folder / "pip"), "zip", folder / "app"))


Download = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["installed", "zipapp"])
def download(request: pytest.FixtureRequest, tmp_path: Path, store: Path) -> Download:
    how = ["-m", "pip"] if request.param == "installed" else [str(request.getfixturevalue("zipapp"))]

    def download(index: str, *options: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
        env = environment(SSL_CERT_DIR=store, HOME=tmp_path, PIP_CONFIG_FILE="/dev/null", **variables)
        fixed = ("--no-deps", "--no-cache-dir", "--retries=0", "--disable-pip-version-check", "--dest", tmp_path / "to")
        return run("-W", "ignore", *how, "download", "demo", "--index-url", index, *fixed, *options, env=env)

    return download


def succeeded(result: subprocess.CompletedProcess[str]) -> bool:
    assert (result.returncode == 0) == ("Successfully downloaded demo" in result.stdout), result.stderr
    if result.returncode != 0:
        said = result.stdout + result.stderr
        assert "CERTIFICATE_VERIFY_FAILED" in said or "certificate verify failed" in said or "SSL" in said, said
    return result.returncode == 0


def test_an_index_whose_ca_is_in_the_store(download: Download, indexes: dict[str, str]) -> None:
    assert succeeded(download(indexes["system"]))
    assert not succeeded(download(indexes["unknown"]))


def test_a_ca_of_the_user_wins(download: Download, indexes: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    given = ca_file("private")
    assert succeeded(download(indexes["private"], "--cert", given))
    assert succeeded(download(indexes["private"], PIP_CERT=given))
    if not uses_truststore():
        assert not succeeded(download(indexes["system"], "--cert", given))


def uses_truststore() -> bool:
    """pip 24.2 and newer add a CA that is given to the contexts of the truststore that they carry."""
    return tuple(map(int, pip.__version__.split(".")[:2])) >= (24, 2)


def test_a_trusted_host_is_trusted(download: Download, indexes: dict[str, str]) -> None:
    host = indexes["unknown"].split("/")[2]
    assert succeeded(download(indexes["unknown"], "--trusted-host", host))
