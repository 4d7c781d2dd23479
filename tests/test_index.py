"""A private package index (pypiserver) behind TLS of an internal CA: used, and this package installed from it at first.

Directly, through proxies whose certificates the internal CA signed, and in environments that uv made.

The ways to install are those of docs/deployment.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import os
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import trustme
from harness import Authorities, Venv, environment, run, write_bundle
from servers import Acceptor, server_context
from test_pip import BUNDLE_ONLY, VERSION, pip

pypiserver = pytest.importorskip("pypiserver", reason="the environments pip22 to pip24 and deployment have it")

# What it leaves open, when uv asks for a range of a file.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file <_io.BufferedReader:ResourceWarning")

PATCHED = "import json, ssl; print(json.dumps('load_verify_locations' in vars(ssl.SSLContext)))"
PACKAGES = ("truststore-inject", "truststore", "wrapt")
# What docs/deployment.md installs to verify an image: pip, and what the extra `check` needs.
EXTRA = ("pip", "trustme", "attrs", "cryptography", "cffi", "pycparser", "idna")
QUIET = ["--no-cache-dir", "--retries=0", "--disable-pip-version-check"]
BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "example-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        archive.writestr("example-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: example\\nVersion: 1.0\\n")
        archive.writestr("example-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("example-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = '[build-system]\nrequires = ["internal-backend"]\nbuild-backend = "internal_backend"\n'


def repack(name: str, folder: Path) -> Path:
    """The wheel that `name` was installed from, more or less."""
    distribution = importlib.metadata.distribution(name)
    tag = next(line[5:] for line in (distribution.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: "))
    wheel = folder / f"{name.replace('-', '_')}-{distribution.version}-{tag}.whl"
    made_here = {"..", "__pycache__", "INSTALLER", "direct_url.json"}
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in distribution.files or []:
            if file.suffix != ".pyc" and not made_here.intersection(file.parts):
                archive.write(file.locate(), file.as_posix())
    return wheel


def own_packages(folder: Path) -> None:
    """An sdist, and the build backend that it needs."""
    with zipfile.ZipFile(folder / "internal_backend-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("internal_backend.py", BACKEND)
        info = "internal_backend-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: internal-backend\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    with tarfile.open(folder / "example-1.0.tar.gz", "w:gz") as archive:
        metadata = "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n"
        for name, text in (("pyproject.toml", PYPROJECT), ("PKG-INFO", metadata)):
            entry = tarfile.TarInfo(f"example-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


class Silent(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for name in (*PACKAGES, *EXTRA):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # not each trustme needs all of them
            repack(name, folder)
    return folder


@contextlib.contextmanager
def serve(folder: Path, signer: trustme.CA) -> Iterator[str]:
    app = pypiserver.app(roots=[folder], authenticate=[], password_file=".", disable_fallback=True)
    server = make_server("127.0.0.1", 0, app, handler_class=Silent)
    server.socket = server_context(signer.issue_cert("localhost")).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}/simple/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def packages(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    shutil.copytree(wheels, folder, dirs_exist_ok=True)
    own_packages(folder)
    return folder


@pytest.fixture(scope="module")
def index(authorities: Authorities, packages: Path) -> Iterator[str]:
    with serve(packages, authorities.system) as url:
        yield url


@pytest.fixture(scope="module")
def foreign_index(authorities: Authorities, packages: Path) -> Iterator[str]:
    """One whose CA nobody here trusts."""
    with serve(packages, authorities.unknown) as url:
        yield url


@pytest.fixture
def bare(authorities: Authorities, tmp_path: Path) -> tuple[Venv, dict[str, str]]:
    """An environment without this package, and the variables that give it a pip whose bundle lacks the internal CA."""
    shutil.copytree(Path(pip.__file__).parent, tmp_path / "lib" / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    write_bundle(tmp_path / "lib" / "pip" / "_vendor" / "certifi" / "cacert.pem", [authorities.bundled])
    return (
        Venv(tmp_path / "venv", with_package=False),
        {"PYTHONPATH": str(tmp_path / "lib"), "PIP_CONFIG_FILE": os.devnull},
    )


def installs(bare: tuple[Venv, dict[str, str]], *arguments: str | Path, **variables: str | Path) -> bool:
    venv, own = bare
    env = environment(**own, **variables)
    result = run("-m", "pip", "install", *QUIET, *arguments, env=env, python=venv.python)
    if result.returncode:
        output = result.stdout + result.stderr
        assert any(reason in output for reason in ("CERTIFICATE_VERIFY_FAILED", "DO NOT MATCH THE HASHES")), output
        return False
    return venv.json(PATCHED) is True


def test_without_help_an_old_pip_refuses_the_index(bare: tuple[Venv, dict[str, str]], index: str, store: Path) -> None:
    assert not installs(bare, *BUNDLE_ONLY, "--index-url", index, "truststore-inject", SSL_CERT_DIR=store)


def test_by_hash_from_a_host_that_is_not_verified(
    bare: tuple[Venv, dict[str, str]], index: str, wheels: Path, tmp_path: Path
) -> None:
    lines = []
    for name in PACKAGES:
        (file,) = wheels.glob(f"{name.replace('-', '_')}-[0-9]*")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        lines.append(f"{name}=={importlib.metadata.version(name)} --hash=sha256:{digest}\n")
    requirements = tmp_path / "requirements.txt"
    options = ["--index-url", index, "--trusted-host", "localhost", "--require-hashes", "-r", requirements]
    requirements.write_text("".join(lines)[:-2] + "x\n".replace("x", "0" if lines[-1][-2] != "0" else "1"))
    assert not installs(bare, *BUNDLE_ONLY, *options)
    requirements.write_text("".join(lines))
    assert installs(bare, *BUNDLE_ONLY, *options)


def test_with_the_systems_bundle(
    bare: tuple[Venv, dict[str, str]], index: str, authorities: Authorities, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "ca-certificates.crt", [authorities.system])
    assert installs(bare, *BUNDLE_ONLY, "--cert", bundle, "--index-url", index, "truststore-inject")


def test_a_newer_pip_trusts_the_store_by_itself(bare: tuple[Venv, dict[str, str]], index: str, store: Path) -> None:
    assert installs(bare, "--index-url", index, "truststore-inject", SSL_CERT_DIR=store) is (VERSION >= (24, 2))


def test_from_a_folder(bare: tuple[Venv, dict[str, str]], wheels: Path) -> None:
    assert installs(bare, "--no-index", "--find-links", wheels, "truststore-inject")


@pytest.mark.parametrize("command", ["install", "wheel", "download"])
def test_build_isolation(command: str, index: str, store: Path, tmp_path: Path) -> None:
    """The sdist and, in pip's own child process, its build backend are on the index alone."""
    folder = {"install": ["--target", tmp_path], "wheel": ["--wheel-dir", tmp_path], "download": ["--dest", tmp_path]}
    options = [*QUIET, *BUNDLE_ONLY, *folder[command], "--index-url", index, "example"]
    env = environment(PIP_CONFIG_FILE=os.devnull, SSL_CERT_DIR=store, HOME=tmp_path)
    result = run("-m", "pip", command, *options, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert result.returncode
    assert "CERTIFICATE_VERIFY_FAILED" in result.stdout + result.stderr
    result = run("-m", "pip", command, *options, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(tmp_path.glob("example*"))


# Proxies.


class Proxy:
    """An HTTP proxy that knows CONNECT alone, on a free loopback port, until it is closed.

    With `outer` one speaks TLS to the proxy itself.  With `inner` it inspects: it answers for the server, in TLS of its
    own, and does not verify the server.
    """

    def __init__(self, outer: ssl.SSLContext | None = None, inner: ssl.SSLContext | None = None) -> None:
        self._outer, self._inner = outer, inner
        self.asked: list[bytes] = []  # the request lines
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if outer else ''}://localhost:{listener.getsockname()[1]}"
        self.close = Acceptor(listener, self._answer).close

    def _answer(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            client.settimeout(20)
            if self._outer:
                client = self._outer.wrap_socket(client, server_side=True)
            stack.enter_context(client)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += client.recv(1) or b"\r\n\r\n"
            self.asked.append(request.splitlines()[0])
            host, _, port = request.split()[1].decode().partition(":")
            server = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            if self._inner:
                client = stack.enter_context(self._inner.wrap_socket(client, server_side=True))
                server = stack.enter_context(ssl._create_unverified_context().wrap_socket(server))
            relay(client, server)


def relay(*ends: socket.socket) -> None:
    """Until one of the two hangs up."""
    while True:
        buffered = [end for end in ends if isinstance(end, ssl.SSLSocket) and end.pending()]
        for end in buffered or select.select(ends, [], [], 60)[0]:
            end.settimeout(0)
            try:
                data = end.recv(65536)
            except ssl.SSLWantReadError:  # a session ticket
                continue
            if not data:
                return
            end.settimeout(20)
            other = ends[0] if end is ends[1] else ends[1]
            other.settimeout(20)
            other.sendall(data)


def download(index: str, folder: Path, proxy: Proxy, **variables: str | Path) -> bool:
    options = ["-vv", *QUIET, *BUNDLE_ONLY, "--proxy", proxy.url, "--index-url", index, "--dest", folder]
    env = environment(PIP_CONFIG_FILE=os.devnull, HOME=folder, **variables)
    result = run("-m", "pip", "download", *options, "internal-backend", env=env)
    if result.returncode:
        assert "CERTIFICATE_VERIFY_FAILED" in result.stdout + result.stderr, result.stdout + result.stderr
    return result.returncode == 0


@pytest.mark.parametrize("signer", ["system", "unknown"])
def test_a_proxy_that_is_spoken_to_in_tls(
    signer: str, index: str, authorities: Authorities, store: Path, tmp_path: Path
) -> None:
    proxy = Proxy(outer=server_context(getattr(authorities, signer).issue_cert("localhost")))
    assert download(index, tmp_path, proxy, SSL_CERT_DIR=store) is (signer == "system")
    assert len(proxy.asked) == (2 if signer == "system" else 0)  # the page and the file
    asked = len(proxy.asked)
    assert not download(index, tmp_path, proxy, SSL_CERT_DIR=store, TRUSTSTORE_INJECT="0")
    assert len(proxy.asked) == asked  # refused is the proxy, not the index
    proxy.close()


@pytest.mark.parametrize("signer", ["system", "unknown"])
def test_a_proxy_that_inspects(
    signer: str, foreign_index: str, authorities: Authorities, store: Path, tmp_path: Path
) -> None:
    proxy = Proxy(inner=server_context(getattr(authorities, signer).issue_cert("localhost")))
    assert download(foreign_index, tmp_path, proxy, SSL_CERT_DIR=store) is (signer == "system")
    assert not download(foreign_index, tmp_path, proxy, SSL_CERT_DIR=store, TRUSTSTORE_INJECT="0")
    assert proxy.asked
    proxy.close()


# uv.


@pytest.fixture
def uv_venv(tmp_path: Path) -> Venv:
    pytest.importorskip("uv", reason="the environment deployment has it")
    command = [sys.executable, "-m", "uv", "venv", "--no-config", "-p", sys.executable, tmp_path / "env"]
    subprocess.run(command, check=True, capture_output=True, env=environment(HOME=tmp_path))
    return Venv.existing(tmp_path / "env")


def uv(*arguments: str | Path, **variables: str | Path) -> bool:
    """Whether it could.  It keeps no index waiting, and reads nothing of who runs the tests."""
    result = run("-m", "uv", "--no-config", "--no-cache", *arguments, env=environment(UV_HTTP_RETRIES="0", **variables))
    if result.returncode:
        assert "UnknownIssuer" in result.stderr, result.stderr
    return result.returncode == 0


def test_pip_in_an_environment_that_uv_made(
    uv_venv: Venv, bare: tuple[Venv, dict[str, str]], wheels: Path, index: str, store: Path
) -> None:
    assert uv("pip", "install", "--python", uv_venv.python, "--no-index", "--find-links", wheels, "truststore-inject")
    options = [*BUNDLE_ONLY, "--index-url", index, "internal-backend"]
    assert not installs((uv_venv, bare[1]), *options, SSL_CERT_DIR=store, TRUSTSTORE_INJECT="0")
    assert installs((uv_venv, bare[1]), *options, SSL_CERT_DIR=store)
    assert uv_venv.run("-c", "import internal_backend").returncode == 0


def test_uv_itself_wants_to_be_told(
    uv_venv: Venv, index: str, authorities: Authorities, store: Path, tmp_path: Path
) -> None:
    """The system's own places: test_recipes.py."""
    bundle = write_bundle(tmp_path / "bundle.pem", [authorities.system])
    options = ["--python", uv_venv.python, "--reinstall", "--index-url", index, "internal-backend"]
    assert not uv("pip", "install", *options)
    assert uv("pip", "install", *options, SSL_CERT_FILE=bundle)
    assert uv("pip", "install", *options, SSL_CERT_DIR=store)


def test_uv_makes_the_environment_of_a_project(uv_venv: Venv, index: str, store: Path, tmp_path: Path) -> None:
    """uv holds the tag of the wheel, py310, against what the project requires."""
    requires = f"requires-python = '>={sys.version_info[0]}.{sys.version_info[1]}'"
    (tmp_path / "pyproject.toml").write_text(
        f"[project]\nname = 'project'\nversion = '1'\n{requires}\ndependencies = ['truststore-inject']\n"
    )
    options = ["--project", tmp_path, "--index-url", index]
    variables = {"UV_PROJECT_ENVIRONMENT": uv_venv.python.parent.parent, "HOME": tmp_path}
    assert not uv("sync", *options, **variables)
    assert uv("sync", *options, **variables, SSL_CERT_DIR=store)
    assert uv_venv.json(PATCHED) is True
