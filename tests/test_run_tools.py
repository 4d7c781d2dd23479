"""``truststore-inject run`` with the tools that people have, each in an environment of its own: ``tox -e run``.

The CA of the package index is only in the store of a made-up machine; nothing else names it.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Authorities
from machines import Machine, debian, needs_machines
from servers import Server, server_context
from test_pip import WHEEL

pytest.importorskip("uv", reason="the environment run has it: tox -e run")
pytestmark = needs_machines

UV = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
# From 24.2 on pip asks the store by itself, beside its own bundle.
BUNDLE_ONLY = {"PIP_USE_DEPRECATED": "legacy-certs"}


def make(folder: Path, *packages: str) -> Path:
    """The executables of a new environment with these packages, from the machine's own index."""
    subprocess.run([*UV, "venv", "--python", sys.executable, folder], check=True)
    subprocess.run([*UV, "pip", "install", "--python", folder / "bin" / "python", *packages], check=True)
    return folder / "bin"


APPLICATION = """
import json, sys
def main():
    print(json.dumps("truststore_inject._startup" in sys.modules))
"""


def application() -> bytes:
    """A wheel with a command that says whether it is reached."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", APPLICATION)
        archive.writestr("app-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: app\nVersion: 1.0\n")
        archive.writestr("app-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("app-1.0.dist-info/entry_points.txt", "[console_scripts]\napp = app:main\n")
        archive.writestr("app-1.0.dist-info/RECORD", "")
    return file.getvalue()


@pytest.fixture(scope="module")
def server(authorities: Authorities) -> Iterator[Server]:
    """A package index."""
    pages = {}
    for name, wheel in {"example": WHEEL, "app": application()}.items():
        file = f"{name}-1.0-py3-none-any.whl"
        link = f'<a href="/{file}#sha256={hashlib.sha256(wheel).hexdigest()}">{file}</a>'
        pages |= {f"/simple/{name}/": f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), f"/{file}": wheel}
    server = Server(server_context(authorities.system.issue_cert("localhost")), pages)
    yield server
    server.close()


@pytest.fixture
def index(server: Server) -> str:
    return f"{server.url}simple/"


@pytest.fixture
def machine(authorities: Authorities, tmp_path: Path) -> Machine:
    return debian(tmp_path / "machine", [authorities.system])


def under_run(
    machine: Machine, server: Server, *command: str | os.PathLike[str], **variables: str | os.PathLike[str]
) -> str:
    """What the command prints under run.  Without the injection it fails, as it does not trust the server."""
    command = (sys.executable, "-m", "truststore_inject", "run", "--", *command)
    trusted = len(server.completed)
    stock = machine.run(*command, **variables, TRUSTSTORE_INJECT="0")
    assert stock.returncode != 0, stock.stdout + stock.stderr
    assert len(server.completed) == trusted, stock.stdout + stock.stderr
    result = machine.run(*command, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(server.completed) > trusted
    return result.stdout


@pytest.mark.parametrize("version", ["22.2", "23.0.1", ""])
def test_pip(version: str, machine: Machine, server: Server, index: str, tmp_path: Path) -> None:
    pip = make(tmp_path / "env", f"pip=={version}" if version else "pip") / "pip"
    options = ["--no-cache-dir", "--retries=0", "--disable-pip-version-check", "--index-url", index, "example"]
    bundle_only = {} if version else BUNDLE_ONLY
    under_run(machine, server, pip, "install", *options, PIP_CONFIG_FILE=os.devnull, HOME=tmp_path, **bundle_only)


def test_poetry(machine: Machine, server: Server, index: str, tmp_path: Path) -> None:
    poetry = make(tmp_path / "env", "poetry") / "poetry"
    (tmp_path / "pyproject.toml").write_text(f"""
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = ">=3.10"
example = "1.0"
[[tool.poetry.source]]
name = "internal"
url = "{index}"
""")
    variables = {"HOME": tmp_path, "POETRY_VIRTUALENVS_IN_PROJECT": "1", "POETRY_REQUESTS_MAX_RETRIES": "0"}
    under_run(machine, server, poetry, "install", "-vv", "--no-interaction", "--directory", tmp_path, **variables)


HOOK_BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "hook-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        archive.writestr("hook-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hook\\nVersion: 1.0\\n")
        archive.writestr("hook-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("hook-1.0.dist-info/RECORD", "")
    return name
"""


def test_pre_commit(machine: Machine, server: Server, index: str, tmp_path: Path) -> None:
    """pip in an environment that virtualenv makes for pre-commit."""
    pre_commit = make(tmp_path / "env", "pre-commit") / "pre-commit"
    hooks, project = tmp_path / "hooks", tmp_path / "project"
    files = {
        hooks / ".pre-commit-hooks.yaml": "- {id: hook, name: hook, language: python, entry: python --version}\n",
        hooks / "backend.py": HOOK_BACKEND,
        hooks / "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        project / ".pre-commit-config.yaml": f"""
repos:
- {{repo: {hooks}, rev: v1, hooks: [{{id: hook, additional_dependencies: [example], always_run: true}}]}}
""",
    }
    for file, text in files.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example"]
    for folder in (hooks, project):
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        subprocess.run([*git, "-C", folder, "add", "."], check=True)
    subprocess.run([*git, "-C", hooks, "commit", "--quiet", "-m", "hooks"], check=True)
    subprocess.run([*git, "-C", hooks, "tag", "v1"], check=True)
    variables = {"HOME": tmp_path, "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, **BUNDLE_ONLY}
    script = f"cd {project} && {pre_commit} run"
    under_run(machine, server, "sh", "-ec", script, PIP_RETRIES="0", **variables)


def test_pipx(machine: Machine, server: Server, index: str, tmp_path: Path) -> None:
    """Its pip, and the application that it starts."""
    pipx = make(tmp_path / "env", "pipx") / "pipx"
    make(tmp_path / "shared", "pip")
    variables = {
        "HOME": tmp_path,
        "PIPX_SHARED_LIBS": tmp_path / "shared",
        "PIP_INDEX_URL": index,
        "PIP_CONFIG_FILE": os.devnull,
        **BUNDLE_ONLY,
    }
    said = under_run(machine, server, pipx, "run", "--backend", "pip", "app", PIP_RETRIES="0", **variables)
    assert said.splitlines()[-1] == "true"


def test_uv(machine: Machine, server: Server, index: str, tmp_path: Path) -> None:
    folder = tmp_path / "env"
    subprocess.run([*UV, "venv", "--python", sys.executable, folder], check=True)
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "--no-config", "--no-cache", "pip", "install", "--python", folder / "bin" / "python"]
    under_run(machine, server, *install, "--index-url", index, "example", UV_HTTP_RETRIES="0", HOME=tmp_path)


SERVER = """
import sys
import requests
from mcp.server import mcpserver
server = mcpserver.MCPServer("server")
@server.tool()
def fetch() -> str:
    try:
        return "accepted" if requests.get(sys.argv[1]).ok else "failed"
    except requests.exceptions.SSLError:
        return "refused"
server.run()
"""
CLIENT = """
import asyncio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
async def main():
    async with stdio_client(StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])) as streams:
        async with ClientSession(*streams) as session:
            await session.initialize()
            result = await session.call_tool("fetch", {})
    print(result.content[0].text)
asyncio.run(main())
"""


def test_an_mcp_server(machine: Machine, server: Server, index: str, tmp_path: Path) -> None:
    """The client starts it as an editor does, with few variables of its own."""
    python = make(tmp_path / "env", "mcp", "requests") / "python"
    (tmp_path / "server.py").write_text(SERVER)
    started = [str(python), str(tmp_path / "server.py"), f"{index}example/"]
    trusted = len(server.completed)
    assert machine.run(python, "-c", CLIENT, *started).stdout == "refused\n"
    assert len(server.completed) == trusted
    result = machine.run(python, "-c", CLIENT, sys.executable, "-m", "truststore_inject", "run", "--", *started)
    assert (result.stdout, result.stderr) == ("accepted\n", "")
    assert len(server.completed) == trusted + 1
