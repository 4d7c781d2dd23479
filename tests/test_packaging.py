"""Built, installed in each of the ways there are, and taken away again.

The build needs the package index, so this file runs in a tox environment of its own: ``tox -e packaging``.
"""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from harness import HERE, Venv

pytest.importorskip("build", reason="the packaging environment has it: tox -e packaging")

PROJECT = HERE.parent
PATCHED = "import json, ssl; print(json.dumps('load_verify_locations' in vars(ssl.SSLContext)))"


def call(*command: str | os.PathLike[str], cwd: Path = PROJECT, **variables: str) -> str:
    """With the shell's own environment, which installers need to reach their index."""
    result = subprocess.run(command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that no build leaves anything in it."""
    folder = tmp_path_factory.mktemp("source") / "truststore-inject"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".git", ".tox", "__pycache__", "dist", ".*_cache"))
    return folder


@pytest.fixture(scope="session")
def built(source: Path) -> Path:
    """The folder with the sdist, and with the wheel that is built from it."""
    call(sys.executable, "-m", "build", "--outdir", source / "dist", source)
    return source / "dist"


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def sdist(built: Path) -> Path:
    (sdist,) = built.glob("*.tar.gz")
    return sdist


def test_the_files_of_the_wheel(wheel: Path) -> None:
    sources = {
        file.relative_to(PROJECT).as_posix()
        for file in (PROJECT / "truststore_inject").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = {
            f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
        }
        assert names == sources | metadata | {"truststore-inject.pth"}
        assert "truststore_inject/py.typed" in names
        record = archive.read(f"{info}/RECORD").decode()
        assert {line.partition(",")[0] for line in record.splitlines()} == names
        assert archive.read("truststore-inject.pth") == (PROJECT / "truststore-inject.pth").read_bytes()


def test_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Requires-Python"] == ">=3.10"
    requirements = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert [requirement.split(">=")[0] for requirement in requirements] == ["truststore", "wrapt"]
    assert not any("<" in requirement or "==" in requirement for requirement in requirements)


def test_twine_has_no_objection(built: Path) -> None:
    call(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir())


def test_two_builds_are_the_same_bytes(source: Path, wheel: Path, tmp_path: Path) -> None:
    call(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, source)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_sdist_holds_the_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"truststore-inject.pth", "tests/harness.py", "tox.ini", "LICENSE", "README.md", "CHANGELOG.md"} <= names


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    return Venv(tmp_path / "venv", with_package=False)


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("what", ["wheel", "sdist", "folder", "editable"])
def test_install_and_uninstall(what: str, installer: str, venv: Venv, source: Path, wheel: Path, sdist: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(venv.python)]
    uv = [sys.executable, "-m", "uv", "pip"]
    install = [*pip, "install"] if installer == "pip" else [*uv, "install", "--python", str(venv.python)]
    remove = [*pip, "uninstall", "-y"] if installer == "pip" else [*uv, "uninstall", "--python", str(venv.python)]
    target = {"wheel": [wheel], "sdist": [sdist], "folder": [source], "editable": ["--editable", source]}[what]
    before = tree(venv.site_packages.parents[2])
    call(*install, *target)
    assert venv.json(PATCHED) is True
    script = venv.python.with_name("truststore-inject")
    assert "active" in call(script, cwd=Path(HERE.anchor))
    call(*remove, "truststore-inject", "truststore", "wrapt")
    assert venv.json(PATCHED) is False
    left = tree(venv.site_packages.parents[2]) - before
    assert not {name for name in left if "truststore" in name}
