"""The tools that make environments from a base interpreter: each of them is covered.

They come from the package index, and some make environments of their own with it: ``tox -e base``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bases import Base
from harness import Venv, environment, run_code
from test_startup import PATCHED

for tool in ("virtualenv", "uv", "tox", "pipx"):
    pytest.importorskip(tool, reason="the base environment has it: tox -e base")


def tool(*command: str | os.PathLike[str], cwd: Path, **variables: str | os.PathLike[str]) -> None:
    """With the shell's own environment, which the tools need to reach their index."""
    env = {**os.environ, **{name: os.fspath(value) for name, value in variables.items()}}
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "TOX_ENV_DIR", "TOX_WORK_DIR"):
        env.pop(name, None)
    result = subprocess.run([sys.executable, "-m", *command], cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def virtualenv(base: Base, folder: Path) -> Path:
    tool("virtualenv", "-p", base.python, "--without-pip", folder / "env", cwd=folder)
    return folder / "env"


def virtualenv_copies(base: Base, folder: Path) -> Path:
    tool("virtualenv", "-p", base.python, "--copies", "--no-download", folder / "env", cwd=folder)
    return folder / "env"


def virtualenv_in_a_venv(base: Base, folder: Path) -> Path:
    venv = base.venv(folder / "venv")
    tool("virtualenv", "-p", venv.python, "--without-pip", folder / "env", cwd=folder)
    return folder / "env"


def uv_venv(base: Base, folder: Path) -> Path:
    tool("uv", "venv", "--no-config", "-p", base.python, folder / "env", cwd=folder)
    return folder / "env"


def uv_venv_in_a_venv(base: Base, folder: Path) -> Path:
    tool("uv", "venv", "--no-config", "-p", base.venv(folder / "venv").python, folder / "env", cwd=folder)
    return folder / "env"


def tox(base: Base, folder: Path) -> Path:
    (folder / "tox.ini").write_text(
        textwrap.dedent(f"""\
        [tox]
        skipsdist = true
        [testenv]
        base_python = {base.python}
        commands = python -c "import ssl; assert 'load_verify_locations' in vars(ssl.SSLContext)"
        """)
    )
    tool("tox", "run", "-q", "-c", folder / "tox.ini", "-e", "py", cwd=folder)
    return folder / ".tox" / "py"


def pipx(base: Base, folder: Path) -> Path:
    wheel = folder / "an_app-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("an_app.py", "def main():\n    pass\n")
        archive.writestr("an_app-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: an-app\nVersion: 1.0\n")
        archive.writestr("an_app-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("an_app-1.0.dist-info/entry_points.txt", "[console_scripts]\nan-app = an_app:main\n")
        archive.writestr("an_app-1.0.dist-info/RECORD", "")
    homes = {"PIPX_HOME": folder / "home", "PIPX_BIN_DIR": folder / "bin", "PIPX_MAN_DIR": folder / "man"}
    tool("pipx", "install", "--python", base.python, wheel, cwd=folder, **homes)
    return folder / "home" / "venvs" / "an-app"


MAKERS = [virtualenv, virtualenv_copies, virtualenv_in_a_venv, uv_venv, uv_venv_in_a_venv, tox, pipx]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A base that is covered, until the last test."""
    base = Base(tmp_path_factory.mktemp("base"))
    base.command("enable")
    return base


@pytest.fixture(scope="module")
def made() -> dict[str, Venv]:
    return {}


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_covered(
    base: Base,
    made: dict[str, Venv],
    make: Callable[[Base, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    env = Venv.existing(make(base, tmp_path_factory.mktemp(make.__name__)))
    made[make.__name__] = env
    assert [env.json(PATCHED), env.json(PATCHED, "-I")] == [True, True]
    assert env.json(PATCHED, TRUSTSTORE_INJECT="0") is False
    code = "import json, sys; print(json.dumps(sys.base_prefix))"
    assert env.json(code) == str(base.folder)


def test_afterwards_none_is(base: Base, made: dict[str, Venv]) -> None:
    base.command("disable")
    assert made.keys() == {make.__name__ for make in MAKERS}
    assert {name for name, env in made.items() if env.json(PATCHED)} == set()
    assert run_code(PATCHED, env=environment(), python=base.python) is False
