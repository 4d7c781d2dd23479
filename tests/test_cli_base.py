"""``truststore-inject base``: what it does to a base interpreter, and undoes."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from bases import BASE_FINDER, FOLDER, LOOK, Base
from harness import environment, run
from test_startup import PATCHED, STATE

from truststore_inject import __version__
from truststore_inject.cli import _sitecustomize

pytestmark = pytest.mark.long


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """One that a test may change."""
    return Base(tmp_path / "base")


def test_enable_and_disable_and_each_of_them_twice(base: Base) -> None:
    before = base.tree()
    assert base.status(code=1)["state"] == "not enabled"
    base.command("disable")
    assert base.tree() == before
    umask = os.umask(0o077)
    try:
        assert "enabled" in base.command("enable").stdout
    finally:
        os.umask(umask)
    after, inode = base.tree(), base.file.stat().st_ino
    assert {path for path in after if path not in before and "/truststore-inject-" not in path} == {
        str(base.file.relative_to(base.folder))
    }
    for path, (mode, content) in after.items():
        if path not in before:
            assert mode & 0o777 == (0o755 if content is None else 0o644), path
    base.command("enable")
    assert (base.tree(), base.file.stat().st_ino) == (after, inode)
    assert base.status() == {
        "state": "enabled",
        "covered": True,
        "reason": "",
        "python": {"version": sys.version.split()[0], "executable": str(base.python), "prefix": str(base.folder)},
        "file": str(base.file),
        "version": __version__,
        "current": True,
        "packages": str(base.packages()[0]),
    }
    for _ in range(2):
        base.command("disable")
        assert base.tree() == before
    assert not list(base.stdlib.glob("__pycache__/sitecustomize*"))


def test_a_file_that_is_there_gets_a_block_and_a_link_stays_a_link(base: Base, tmp_path: Path) -> None:
    etc = tmp_path / "etc" / "sitecustomize.py"  # as Debian has it
    etc.parent.mkdir()
    etc.write_bytes(b"# not ours\nran = True")
    etc.chmod(0o640)
    base.file.symlink_to(etc)
    run("-c", "pass", env=environment(), python=base.python)  # makes byte code
    before = base.tree()
    base.command("enable")
    assert (os.readlink(base.file), etc.stat().st_mode & 0o777) == (str(etc), 0o640)
    env = base.venv(tmp_path / "venv")
    assert env.json(LOOK)[1:4] == [str(base.file), str(base.file), True]
    assert env.json(PATCHED, "-I") is True
    assert env.json(PATCHED, TRUSTSTORE_INJECT="0") is False
    base.command("disable")
    assert (base.tree(), etc.read_bytes(), etc.stat().st_mode & 0o777) == (
        before,
        b"# not ours\nran = True",
        0o640,
    )
    assert env.json(PATCHED) is False  # not from byte code of before
    assert list(etc.parent.iterdir()) == [etc]


def test_a_link_to_nothing_and_an_empty_file(base: Base, tmp_path: Path) -> None:
    base.file.symlink_to(tmp_path / "missing.py")
    base.command("enable")
    base.command("disable")
    assert (base.file.is_symlink(), base.file.exists()) == (True, False)
    base.file.unlink()
    base.file.touch()
    base.command("enable")
    base.command("disable")
    assert base.file.read_bytes() == b""


def test_an_older_block_is_updated_and_its_packages_go(base: Base) -> None:
    before = base.tree()
    base.file.write_bytes(_sitecustomize.insert(None, FOLDER))
    (base.stdlib / FOLDER).mkdir()
    (base.stdlib / "truststore-inject-of-somebody").mkdir()
    assert base.status(code=1)["current"] is False
    base.command("enable")
    assert {path.name for path in base.packages()} == {
        "truststore-inject-of-somebody",
        Path(base.status()["packages"]).name,
    }
    base.command("disable")
    (base.stdlib / "truststore-inject-of-somebody").rmdir()
    assert base.tree() == before


def test_packages_that_are_gone_or_changed(base: Base, tmp_path: Path) -> None:
    base.command("enable")
    whole = base.tree()
    env = base.venv(tmp_path / "venv")
    (folder,) = base.packages()
    for damage in (
        lambda: shutil.rmtree(folder),
        lambda: (folder / "truststore_inject" / "_startup.py").write_text("raise OSError('broken')"),
    ):
        damage()
        result = env.run("-c", STATE)
        assert (result.returncode, result.stderr) == (0, "")
        assert BASE_FINDER not in json.loads(result.stdout)["finders"]
        assert base.status(code=1)["state"] == "damaged"
        base.command("enable")
        assert (base.tree(), env.json(PATCHED)) == (whole, True)


def test_an_edited_block_is_left_alone(base: Base) -> None:
    base.command("enable")
    base.file.write_text(base.file.read_text().replace("if off or", "if"))
    before = base.tree()
    for action in ("enable", "disable"):
        (line,) = base.command(action, code=4).stderr.splitlines()
        assert str(base.file) in line
        assert "edited" in line
        assert base.tree() == before
    assert base.status(code=1)["state"] == "edited"


def test_a_file_that_ends_early_is_seen(base: Base) -> None:
    base.file.write_text("raise ImportError(name='sitecustomize')\n")
    assert "not in effect" in base.command("enable", code=1).stdout
    base.command("disable")
    assert base.file.read_text() == "raise ImportError(name='sitecustomize')\n"


def refused(base: Base, python: Path, *words: str, **options: Any) -> None:
    before = base.tree()
    command = ["-m", "truststore_inject", "base", "enable", "--python", str(python)]
    result = run(*command, env=environment(), **options)
    assert (result.returncode, result.stdout) == (4, "")
    (line,) = result.stderr.splitlines()
    assert all(word in line for word in words), line
    assert base.tree() == before


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet, if another test imported it
def test_refused_without_the_permission(base: Base) -> None:
    def obey() -> None:  # root, too, is bound by the modes, without CAP_DAC_OVERRIDE
        if os.getuid() == 0:
            assert ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE; for what is run

    base.stdlib.chmod(0o555)
    refused(base, base.python, "Permission denied", f"{base.stdlib}: ", preexec_fn=obey)
    base.stdlib.chmod(0o755)
    etc = base.folder / "etc"  # where Debian's link leads
    etc.mkdir()
    (etc / "sitecustomize.py").touch()
    base.file.symlink_to(etc / "sitecustomize.py")
    etc.chmod(0o555)
    refused(base, base.python, "Permission denied", f"{etc}: ", preexec_fn=obey)
    etc.chmod(0o755)
    base.command("enable")
    base.stdlib.chmod(0o555)
    command = ["-m", "truststore_inject", "base", "disable", "--python", str(base.python)]
    result = run(*command, env=environment(), preexec_fn=obey)
    assert (result.returncode, base.status()["covered"]) == (4, True)


def test_refused_where_it_cannot_work(base: Base, tmp_path: Path) -> None:
    refused(base, tmp_path / "nothing", "No such file")
    refused(base, Path("/bin/echo"), "not run as a Python")
    base.file.write_text("this is no Python\n")
    refused(base, base.python, str(base.file), "not valid Python")
    base.file.unlink()
    base.file.with_suffix(".pyc").touch()
    refused(base, base.python, "not a source file")
    base.file.with_suffix(".pyc").unlink()
    for changes, word in ((["is_layout", False], "not a directory"), (["abi", ".cpython-39.so"], "wrapt is compiled")):
        stand_in = tmp_path / "python"  # another Python, or a frozen one, would answer like this
        stand_in.write_text(f"""#!{base.python}
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()) as said:
    exec(sys.argv[3])
print(json.dumps({{**json.loads(said.getvalue()), {changes[0]!r}: {changes[1]!r}}}))
""")
        stand_in.chmod(0o755)
        refused(base, stand_in, word)


def test_a_covered_environment_can_cover_its_base(base: Base, tmp_path: Path) -> None:
    base.command("enable")
    before = base.tree()
    env = base.venv(tmp_path / "venv")
    result = env.run("-m", "truststore_inject", "base", "enable")
    assert (result.returncode, result.stderr, base.tree()) == (0, "", before)
    assert env.run("-m", "truststore_inject", "base", "disable").returncode == 0
    assert env.json(PATCHED) is False


def test_bad_usage(base: Base) -> None:
    assert run("-m", "truststore_inject", "base", env=environment()).returncode == 2
    assert run("-m", "truststore_inject", "base", "on", env=environment()).returncode == 2
