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
TAGS = {"pth": "py310-none-any.whl", "start": "py318-none-any.whl"}
OURS = "start" if sys.version_info >= (3, 18) else "pth"
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


def build_wheel(source: Path, outdir: Path, kind: str) -> None:
    call(sys.executable, "-m", "build", "--wheel", "--outdir", outdir, source, TRUSTSTORE_INJECT_WHEEL=kind)


@pytest.fixture(scope="session")
def built(source: Path) -> Path:
    """The folder with the sdist, with the wheel that is built from it by itself, and with the other wheel."""
    call(sys.executable, "-m", "build", "--outdir", source / "dist", source)
    (by_itself,) = source.glob("dist/*.whl")
    build_wheel(source, source / "dist", "pth" if by_itself.name.endswith(TAGS["start"]) else "start")
    return source / "dist"


@pytest.fixture(scope="session")
def wheels(built: Path) -> dict[str, Path]:
    """The two wheels, by what starts the injection."""
    assert len(list(built.glob("*.whl"))) == 2
    return {kind: next(built.glob(f"*-{tag}")) for kind, tag in TAGS.items()}


@pytest.fixture(scope="session")
def wheel(wheels: dict[str, Path]) -> Path:
    """The one for the Python that runs the tests."""
    return wheels[OURS]


@pytest.fixture(scope="session")
def sdist(built: Path) -> Path:
    (sdist,) = built.glob("*.tar.gz")
    return sdist


@pytest.mark.parametrize("kind", TAGS)
def test_the_files_of_the_wheel(wheels: dict[str, Path], kind: str) -> None:
    sources = {
        file.relative_to(PROJECT).as_posix()
        for file in (PROJECT / "truststore_inject").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheels[kind]) as archive:
        names = set(archive.namelist())
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = {
            f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
        }
        assert names == sources | metadata | {f"truststore-inject.{kind}"}
        assert "truststore_inject/py.typed" in names
        record = archive.read(f"{info}/RECORD").decode()
        assert {line.partition(",")[0] for line in record.splitlines()} == names
        start = f"truststore-inject.{kind}"
        assert archive.read(start) == (PROJECT / start).read_bytes()
        assert f"Tag: {TAGS[kind].removesuffix('.whl')}\n" in archive.read(f"{info}/WHEEL").decode()


def test_a_build_takes_the_wheel_of_the_running_python(source: Path, sdist: Path, venv: Venv) -> None:
    call(sys.executable, "-m", "pip", "--python", venv.python, "install", "--no-deps", sdist)
    assert {path.name for path in venv.site_packages.glob("truststore-inject.*")} == {f"truststore-inject.{OURS}"}


def test_no_third_kind_of_wheel(source: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it can be pth or start"):
        build_wheel(source, tmp_path, "both")


# Python 3.19 has the tags py319, py3, py318, ...: a wheel tagged py3 would win there.
@pytest.mark.parametrize(("python", "kind"), [("3.10", "pth"), ("3.17", "pth"), ("3.18", "start"), ("3.19", "start")])
def test_installers_choose_the_wheel_for_the_python(
    wheels: dict[str, Path], python: str, kind: str, tmp_path: Path
) -> None:
    source = ["--no-deps", "--no-index", "--find-links", wheels[kind].parent, "--python-version", python]
    only = [*source, "--only-binary", ":all:", "truststore-inject"]
    call(sys.executable, "-m", "pip", "download", "--dest", tmp_path / "pip", *only)
    assert [path.name for path in (tmp_path / "pip").iterdir()] == [wheels[kind].name]
    call(sys.executable, "-m", "uv", "pip", "install", "--target", tmp_path / "uv", *only)
    assert [path.name for path in (tmp_path / "uv").glob("truststore-inject.*")] == [f"truststore-inject.{kind}"]


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


@pytest.mark.parametrize("kind", TAGS)
def test_two_builds_are_the_same_bytes(source: Path, wheels: dict[str, Path], kind: str, tmp_path: Path) -> None:
    build_wheel(source, tmp_path, kind)
    assert (tmp_path / wheels[kind].name).read_bytes() == wheels[kind].read_bytes()


def test_the_sdist_holds_the_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    starts = {"hatch_build.py", "truststore-inject.pth", "truststore-inject.start"}
    assert {*starts, "tests/harness.py", "tox.ini", "LICENSE", "README.md", "CHANGELOG.md"} <= names


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
