"""Applications in one file or folder, as docs/deployment.md has them: built for real, run against the internal server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import HERE, environment

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
    print("active" if truststore_inject.status().active else "not active")

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
# The blocks of docs/deployment.md that follow a line ``<!-- run: NAME -->``.
DOCUMENT = (HERE.parent / "docs" / "deployment.md").read_text()
BLOCKS = dict(re.findall(r"^<!-- run: (\S+) -->\n```\w+\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE))
# How that is started which each command makes.
STARTS = {
    "pyinstaller": ["dist/application/application"],
    "cx_Freeze": ["build/application/application"],
    "Nuitka": ["application.dist/application.bin"],
    "zipapp": [sys.executable, "application.pyz"],
    "shiv": [sys.executable, "-S", "application.pyz"],
    "pex": [sys.executable, "application.pex"],
}


def build(bundler: str, folder: Path) -> None:
    """With the shell's own environment, which installers need to reach their index."""
    site_packages = os.path.dirname(os.path.dirname(pytest.__file__))
    command = BLOCKS[bundler].replace("/opt/app/lib/python3.11/site-packages", site_packages)
    command = command.replace("/opt/app", sys.prefix)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(["sh", "-ec", command], cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("bundler", STARTS)
def test_an_application(bundler: str, urls: dict[str, str], store: Path, tmp_path: Path) -> None:
    if bundler == "Nuitka" and not (shutil.which("gcc") and shutil.which("patchelf")):
        pytest.skip("Nuitka needs a C compiler, and patchelf")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "application.py").write_text(APPLICATION)
    if bundler == "shiv":
        (folder / "pyproject.toml").write_text(PROJECT)
    build(bundler, folder)
    command = [*STARTS[bundler], urls["system"], urls["unknown"], urls["wrong_host"]]
    env = environment(SSL_CERT_DIR=store, HOME=tmp_path)
    said = subprocess.check_output(command, env=env, cwd=folder, text=True).splitlines()
    assert said == ["accepted", "refused", "refused", "active"]
    said = subprocess.check_output(command, env={**env, "TRUSTSTORE_INJECT": "0"}, cwd=folder, text=True).splitlines()
    assert said == [*["refused"] * 3, "not active"]
