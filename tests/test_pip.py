"""pip of this environment, with a package index behind TLS."""

from __future__ import annotations

import io
import os
import shutil
import sys
import zipapp
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import OS_VERIFIES, Authorities, environment, run, write_bundle
from servers import Server, server_context

pip = pytest.importorskip("pip", reason="no pip in this environment")
pytestmark = pytest.mark.long
VERSION = tuple(int(part) for part in pip.__version__.split(".")[:2])
# From 24.2 on pip asks the store by itself, beside its own bundle.
BUNDLE_ONLY = ["--use-deprecated=legacy-certs"] if VERSION >= (24, 2) else []
REASONS = ["CERTIFICATE_VERIFY_FAILED", "doesn't match", "mismatch"]
if OS_VERIFIES:  # then it refuses in the words of the operating system, in the language of whoever uses it
    REASONS.append("There was a problem confirming the ssl certificate")


def wheel() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        folder = "example-1.0.dist-info"
        archive.writestr(f"{folder}/METADATA", "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", "")
    return file.getvalue()


WHEEL = wheel()


@pytest.fixture(scope="module")
def indexes(authorities: Authorities) -> Iterator[dict[str, str]]:
    """The address of an index for each kind of server certificate."""
    name = "example-1.0-py3-none-any.whl"
    link = f'<!DOCTYPE html><html><body><a href="/{name}">{name}</a></body></html>'.encode()
    pages = {"/simple/example/": link, f"/{name}": WHEEL}
    servers = {
        case: Server(server_context(certificate), pages)
        for case, certificate in authorities.server_certificates().items()
    }
    yield {case: f"{server.url}simple" for case, server in servers.items()}
    for server in servers.values():
        server.close()


def download(
    index: str,
    folder: Path,
    *options: str,
    pip: tuple[str | Path, ...] = ("-m", "pip"),
    **variables: str | Path,
) -> str:
    """Let pip fetch the package: ``accepted``, or ``refused`` for its certificate."""
    env = environment(PIP_CONFIG_FILE=os.devnull, HOME=folder, **variables)
    command = ["download", "example", "--no-deps", "--no-cache-dir", "--retries=0", "--disable-pip-version-check"]
    result = run(*pip, *command, "--index-url", index, "--dest", folder, *options, env=env)
    if result.returncode == 0:
        file = folder / "example-1.0-py3-none-any.whl"
        assert file.read_bytes() == WHEEL
        file.unlink()
        return "accepted"
    output = result.stdout + result.stderr
    assert any(reason in output for reason in REASONS), output
    return "refused"


@pytest.fixture(scope="module")
def other_pip(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For PYTHONPATH: a pip whose bundle holds another CA than the store."""
    folder = tmp_path_factory.mktemp("pip")
    shutil.copytree(Path(pip.__file__).parent, folder / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    write_bundle(folder / "pip" / "_vendor" / "certifi" / "cacert.pem", [authorities.bundled])
    return folder


def test_pip_as_a_zipapp(indexes: dict[str, str], store: Path, other_pip: Path, tmp_path: Path) -> None:
    """Its certifi copies the bundle to a temporary file."""
    (other_pip / "__main__.py").write_text("import runpy\nrunpy.run_module('pip', run_name='__main__')\n")
    zipapp.create_archive(other_pip, tmp_path / "pip.pyz")
    pip = (tmp_path / "pip.pyz",)
    assert download(indexes["system"], tmp_path, *BUNDLE_ONLY, pip=pip, SSL_CERT_DIR=store) == "accepted"
    assert download(indexes["bundled"], tmp_path, *BUNDLE_ONLY, pip=pip, SSL_CERT_DIR=store) == "refused"
    off = {"SSL_CERT_DIR": store, "TRUSTSTORE_INJECT": "0"}
    assert download(indexes["bundled"], tmp_path, *BUNDLE_ONLY, pip=pip, **off) == "accepted"


@pytest.mark.parametrize("options", [[], BUNDLE_ONLY] if BUNDLE_ONLY else [[]])
def test_pip_trusts_the_store(
    options: list[str], indexes: dict[str, str], store: Path, other_pip: Path, tmp_path: Path
) -> None:
    for case, index in indexes.items():
        verdict = download(index, tmp_path, *options, SSL_CERT_DIR=store, PYTHONPATH=other_pip)
        assert (case, verdict) == (case, "accepted" if case in ("system", "intermediate") else "refused")


def test_opted_out_it_trusts_its_bundle(indexes: dict[str, str], store: Path, other_pip: Path, tmp_path: Path) -> None:
    variables = {"SSL_CERT_DIR": store, "PYTHONPATH": other_pip, "TRUSTSTORE_INJECT": "0"}
    assert download(indexes["system"], tmp_path, *BUNDLE_ONLY, **variables) == "refused"
    assert download(indexes["bundled"], tmp_path, *BUNDLE_ONLY, **variables) == "accepted"


@pytest.mark.parametrize("how", ["--cert", "PIP_CERT"])
def test_a_ca_of_the_users_own_wins(
    how: str, indexes: dict[str, str], store: Path, ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    private = str(ca_file("private"))
    options, variables = ([how, private], {}) if how == "--cert" else ([], {how: private})
    options += BUNDLE_ONLY
    assert download(indexes["private"], tmp_path, *options, SSL_CERT_DIR=store, **variables) == "accepted"
    assert download(indexes["system"], tmp_path, *options, SSL_CERT_DIR=store, **variables) == "refused"


def test_a_trusted_host_is_not_verified(indexes: dict[str, str], store: Path, tmp_path: Path) -> None:
    assert download(indexes["unknown"], tmp_path, "--trusted-host", "localhost", SSL_CERT_DIR=store) == "accepted"


def test_python_is_the_one_that_is_tested() -> None:
    assert Path(pip.__file__).is_relative_to(sys.prefix)
