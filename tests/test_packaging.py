"""Built, installed in each of the ways there are, and taken away again.

The build needs the package index, so this file runs in a tox environment of its own: ``tox -e packaging``.
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
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
START = {"pth": PTH, "start": "truststore_inject._startup:run\n"}
TAGS = {"pth": "py310-none-any.whl", "start": "py318-none-any.whl"}
OURS = "start" if sys.version_info >= (3, 18) else "pth"
PATCHED = "import json, ssl; print(json.dumps('load_verify_locations' in vars(ssl.SSLContext)))"


def call(*command: str | os.PathLike[str], cwd: Path = PROJECT, **variables: str) -> str:
    """With the shell's own environment, which installers need to reach their index; a tox is not within another."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TOX_")}
    result = subprocess.run(command, cwd=cwd, env={**env, **variables}, capture_output=True, text=True)
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
    """The folder with the sdist and both wheels, as a release makes it."""
    (source / "dist").mkdir()
    (source / "dist" / "of_another_version.whl").touch()
    call(sys.executable, "-m", "tox", "-e", "dist", cwd=source)
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
truststore_inject/cli/_adding.py
truststore_inject/cli/_base.py
truststore_inject/cli/_certificate.py
truststore_inject/cli/_children.py
truststore_inject/cli/_clients.py
truststore_inject/cli/_diagnosis.py
truststore_inject/cli/_failure.py
truststore_inject/cli/_files.py
truststore_inject/cli/_handshake.py
truststore_inject/cli/_influences.py
truststore_inject/cli/_judges.py
truststore_inject/cli/_main.py
truststore_inject/cli/_proof.py
truststore_inject/cli/_reach.py
truststore_inject/cli/_reasons.py
truststore_inject/cli/_run/sitecustomize.py
truststore_inject/cli/_saving.py
truststore_inject/cli/_secrets.py
truststore_inject/cli/_sitecustomize.py
truststore_inject/cli/_strict.py
truststore_inject/cli/_switches.py
truststore_inject/cli/_target.py
truststore_inject/cli/_terminal.py
truststore_inject/cli/_warnings.py
truststore_inject/cli/_windows_host.py
truststore_inject/cli/base.py
truststore_inject/cli/check.py
truststore_inject/cli/export.py
truststore_inject/cli/run.py
truststore_inject/cli/status.py
truststore_inject/patches/_OpenSSL.py
truststore_inject/patches/__init__.py
truststore_inject/patches/_adbc_driver_postgresql.py
truststore_inject/patches/_aiohttp.py
truststore_inject/patches/_av.py
truststore_inject/patches/_couchbase.py
truststore_inject/patches/_curl_cffi.py
truststore_inject/patches/_fiona.py
truststore_inject/patches/_grpc.py
truststore_inject/patches/_httpcore.py
truststore_inject/patches/_httpr.py
truststore_inject/patches/_mysql.py
truststore_inject/patches/_netCDF4.py
truststore_inject/patches/_pipx.py
truststore_inject/patches/_psycopg.py
truststore_inject/patches/_psycopg2.py
truststore_inject/patches/_pulsar.py
truststore_inject/patches/_pycurl.py
truststore_inject/patches/_pyogrio.py
truststore_inject/patches/_pyproj.py
truststore_inject/patches/_rasterio.py
truststore_inject/patches/_requests.py
truststore_inject/patches/_ssl.py
truststore_inject/patches/_tornado.py
truststore_inject/patches/_urllib3.py
truststore_inject/patches/_ydb.py
truststore_inject/patches/contexts.py
truststore_inject/patches/gdal.py
truststore_inject/patches/libpq.py
truststore_inject/patches/wrapping.py
truststore_inject/py.typed
truststore_inject/stores/__init__.py
truststore_inject/stores/_bundle.py
truststore_inject/stores/_carried.py
truststore_inject/stores/_connection.py
truststore_inject/stores/_defaults.py
truststore_inject/stores/_export.py
truststore_inject/stores/_extra.py
truststore_inject/stores/_files.py
truststore_inject/stores/_libssl.py
truststore_inject/stores/_native.py
truststore_inject/stores/_openssl.py
truststore_inject/stores/_os_anchors.py
truststore_inject/stores/_pem.py
truststore_inject/stores/_places.py
truststore_inject/stores/_verifier.py
truststore_inject/stores/system.pem
"""
OF_EVERY_WHEEL = (
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "licenses/LICENSE",
    "sboms/truststore-inject.cdx.json",
)
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


@pytest.mark.parametrize("kind", TAGS)
def test_the_wheel_holds_just_these_files(wheels: dict[str, Path], kind: str) -> None:
    start = f"truststore-inject.{kind}"
    with zipfile.ZipFile(wheels[kind]) as archive:
        names = archive.namelist()
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        of_every_wheel = [f"{info}/{name}" for name in OF_EVERY_WHEEL]
        assert sorted(names) == sorted([*FILES.split(), *of_every_wheel, start])
        record = archive.read(f"{info}/RECORD").decode()
        assert {line.partition(",")[0] for line in record.splitlines()} == set(names)
        assert archive.read(start) == START[kind].encode("ascii")
        assert f"Tag: {TAGS[kind].removesuffix('.whl')}\n" in archive.read(f"{info}/WHEEL").decode()
        assert archive.read(f"{info}/entry_points.txt").split() == [
            b"[console_scripts]",
            b"truststore-inject",
            b"=",
            b"truststore_inject.cli:main",
        ]


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


def test_the_metadata_is_what_an_inventory_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert {key: metadata.get_all(key) for key in METADATA} == METADATA


@pytest.mark.parametrize("kind", TAGS)
def test_the_bill_of_materials_is_valid_and_says_what_starts(wheels: dict[str, Path], kind: str) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    with zipfile.ZipFile(wheels[kind]) as archive:
        (name,) = (name for name in archive.namelist() if "/sboms/" in name)
        text = archive.read(name).decode()
        start = archive.read(f"truststore-inject.{kind}")
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        version = email.message_from_bytes(archive.read(metadata))["Version"]
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    component = json.loads(text)["metadata"]["component"]
    assert component["purl"] == f"pkg:pypi/truststore-inject@{version}"
    (file,) = component["components"]
    assert file["name"] == f"truststore-inject.{kind}"
    assert file["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(start).hexdigest()}]


def test_a_release_is_the_same_bytes_again(source: Path, built: Path, tmp_path: Path) -> None:
    """Another clone, with a stricter umask, later, and in another time zone."""
    again = tmp_path / "truststore-inject"
    shutil.copytree(source, again, ignore=shutil.ignore_patterns("dist", ".tox"), copy_function=shutil.copy)
    call("chmod", "-R", "go-rwx", again)
    command = [sys.executable, "-m", "tox", "-e", "dist", "--workdir", source / ".tox"]
    call("sh", "-c", 'umask 077; exec "$@"', "sh", *command, cwd=again, TZ="Asia/Tokyo")
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (built, again / "dist"))
    assert len(first) == 3
    assert first == second


def test_the_sdist_holds_the_tests_and_the_documents(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    starts = {"hatch_build.py", "truststore-inject.pth", "truststore-inject.start"}
    documents = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "mkdocs.yml",
        "docs/index.md",
    }
    assert {*starts, *documents, "tests/harness.py", "tox.ini", ".github/workflows/test.yml"} <= names


def test_links_and_pictures_of_the_readme_work_on_the_package_index(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        message = email.message_from_bytes(archive.read(name))
    page, readme = message.get_payload(), (PROJECT / "README.md").read_text(encoding="utf-8")
    relative = re.findall(r"\]\((?!https?://|#)([^)]+)\)", readme)
    assert relative
    assert not re.findall(r"\]\((?!https?://|#)([^)]+)\)", page)
    for target in relative:
        assert (PROJECT / target.partition("#")[0]).exists(), target
        assert f"/v{message['Version']}/{target})" in page


def test_what_was_installed_can_be_verified(wheel: Path, venv: Venv) -> None:
    """As docs/security-review.md has it."""
    page = (PROJECT / "docs/security-review.md").read_text(encoding="utf-8")
    code = page.partition("<!-- run: verify-installed -->\n```python\n")[2].partition("```")[0]
    call(sys.executable, "-m", "pip", "--python", venv.python, "install", "--no-deps", wheel)
    lines = venv.run("-c", code).stdout.splitlines()
    assert f"ok      truststore-inject.{OURS}" in lines
    assert {line.split()[0] for line in lines} == {"ok"}
    with open(venv.site_packages / f"truststore-inject.{OURS}", "ab") as file:
        file.write(b"\n")
    lines = venv.run("-c", code).stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == [f"CHANGED truststore-inject.{OURS}"]


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
