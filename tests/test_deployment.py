"""Applications in one file or folder, as docs/deployment.md has them: built for real, run against the internal server."""

from __future__ import annotations

import os
import subprocess
import sys
import zipapp
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import environment

pytest.importorskip("PyInstaller", reason="the deployment environment has it: tox -e deployment")

# Stock requests trusts certifi's bundle alone, so that only the injection accepts the internal CA.
APPLICATION = """
import sys
import truststore_inject

truststore_inject.inject()

import requests

def main():
    for url in sys.argv[1:]:
        try:
            requests.get(url)
            print("accepted")
        except requests.exceptions.SSLError:
            print("refused")

if __name__ == "__main__":
    main()
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "application"
version = "1.0"
[tool.setuptools]
py-modules = ["application"]
"""
SITE_PACKAGES = os.path.dirname(os.path.dirname(pytest.__file__))


def build(*command: str | os.PathLike[str], cwd: Path) -> None:
    """With the shell's own environment, which installers need to reach their index."""
    result = subprocess.run(command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def pyinstaller(folder: Path) -> list[str]:
    build(sys.executable, "-m", "PyInstaller", "--log-level=ERROR", "--onedir", "application.py", cwd=folder)
    return [str(folder / "dist" / "application" / "application")]


def plain_zipapp(folder: Path) -> list[str]:
    """The dependencies are where `python` finds them; the application calls inject()."""
    (folder / "source").mkdir()
    (folder / "application.py").rename(folder / "source" / "__main__.py")
    zipapp.create_archive(folder / "source", folder / "application.pyz")
    return [sys.executable, str(folder / "application.pyz")]


def shiv(folder: Path) -> list[str]:
    (folder / "pyproject.toml").write_text(PROJECT)
    options = ["--site-packages", SITE_PACKAGES, "-e", "application:main", "-o", "application.pyz"]
    build(sys.executable, "-m", "shiv.cli", *options, "--no-deps", ".", cwd=folder)
    return [sys.executable, "-S", str(folder / "application.pyz")]


def pex(folder: Path) -> list[str]:
    options = ["requests", "truststore-inject", "--venv-repository", sys.prefix, "-D", ".", "-m", "application"]
    build(sys.executable, "-m", "pex", *options, "-o", "application.pex", cwd=folder)
    return [sys.executable, str(folder / "application.pex")]


@pytest.mark.parametrize("bundler", [pyinstaller, plain_zipapp, shiv, pex])
def test_an_application(
    bundler: Callable[[Path], list[str]], urls: dict[str, str], store: Path, tmp_path: Path
) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    command = [*bundler(tmp_path), urls["system"], urls["unknown"], urls["wrong_host"]]
    env = environment(SSL_CERT_DIR=store, HOME=tmp_path)
    said = subprocess.check_output(command, env=env, cwd=tmp_path, text=True).split()
    assert said == ["accepted", "refused", "refused"]
    said = subprocess.check_output(command, env={**env, "TRUSTSTORE_INJECT": "0"}, cwd=tmp_path, text=True).split()
    assert said == ["refused"] * 3
