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
from test_startup import PTH

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


# Kept by hand: what goes into every process of a company is not what happens to lie in a folder.
FILES = """
truststore_inject/__init__.py
truststore_inject/__main__.py
truststore_inject/_advice.py
truststore_inject/_hook.py
truststore_inject/_record.py
truststore_inject/_settings.py
truststore_inject/_startup.py
truststore_inject/_status.py
truststore_inject/cli/__init__.py
truststore_inject/cli/_children.py
truststore_inject/cli/_clients.py
truststore_inject/cli/_diagnosis.py
truststore_inject/cli/_failure.py
truststore_inject/cli/_influences.py
truststore_inject/cli/_proof.py
truststore_inject/cli/_target.py
truststore_inject/cli/_terminal.py
truststore_inject/cli/check.py
truststore_inject/cli/export.py
truststore_inject/cli/status.py
truststore_inject/patches/_OpenSSL.py
truststore_inject/patches/__init__.py
truststore_inject/patches/_aiohttp.py
truststore_inject/patches/_curl_cffi.py
truststore_inject/patches/_grpc.py
truststore_inject/patches/_httpcore.py
truststore_inject/patches/_psycopg.py
truststore_inject/patches/_pycurl.py
truststore_inject/patches/_requests.py
truststore_inject/patches/_ssl.py
truststore_inject/patches/_tornado.py
truststore_inject/patches/_urllib3.py
truststore_inject/patches/contexts.py
truststore_inject/patches/wrapping.py
truststore_inject/py.typed
truststore_inject/stores/__init__.py
truststore_inject/stores/_bundled.py
truststore_inject/stores/_export.py
truststore_inject/stores/_native.py
truststore_inject/stores/_openssl.py
truststore_inject/stores/_os_anchors.py
truststore_inject/stores/_pem.py
truststore_inject/stores/system.pem
"""
METADATA = {
    "Name": ["truststore-inject"],
    "License-Expression": ["MIT"],  # what an inventory (SBOM) takes: PEP 639
    "License-File": ["LICENSE"],
    "Requires-Python": [">=3.10"],
    "Requires-Dist": [
        "truststore>=0.10",
        "wrapt>=1.14",
        "cryptography>=40; extra == 'check'",
        "trustme>=1.0; extra == 'check'",
    ],
    "Provides-Extra": ["check"],
    "License": None,
    "Dynamic": None,
}


def test_the_wheel_holds_just_these_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        of_every_wheel = [
            f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
        ]
        assert sorted(names) == sorted([*FILES.split(), *of_every_wheel, "truststore-inject.pth"])
        record = archive.read(f"{info}/RECORD").decode()
        assert {line.partition(",")[0] for line in record.splitlines()} == set(names)
        assert archive.read("truststore-inject.pth") == PTH.encode("ascii")
        assert archive.read(f"{info}/entry_points.txt").split() == [
            b"[console_scripts]",
            b"truststore-inject",
            b"=",
            b"truststore_inject.cli:main",
        ]


def test_the_metadata_is_what_an_inventory_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert {key: metadata.get_all(key) for key in METADATA} == METADATA


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
