"""A private package index (pypiserver) behind TLS of an internal CA: used, and this package installed from it at first.

The ways to install are those of docs/deployment.md.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import shutil
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from harness import Authorities, Venv, environment, run, server_context, write_bundle
from test_pip import BUNDLE_ONLY, VERSION, pip

pypiserver = pytest.importorskip("pypiserver", reason="the environments pip22 to pip24 and deployment have it")

PATCHED = "import json, ssl; print(json.dumps('load_verify_locations' in vars(ssl.SSLContext)))"
PACKAGES = ("truststore-inject", "truststore", "wrapt")
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
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in distribution.files or []:
            if not {"..", "__pycache__", "INSTALLER", "direct_url.json"} & set(file.parts):
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
    for name in PACKAGES:
        repack(name, folder)
    return folder


@pytest.fixture(scope="module")
def index(authorities: Authorities, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("index")
    shutil.copytree(wheels, folder, dirs_exist_ok=True)
    own_packages(folder)
    app = pypiserver.app(roots=[folder], authenticate=[], password_file=".", disable_fallback=True)
    server = make_server("127.0.0.1", 0, app, handler_class=Silent)
    context: ssl.SSLContext = server_context(authorities.system.issue_cert("localhost"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}/simple/"
    server.shutdown()
    server.server_close()


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
