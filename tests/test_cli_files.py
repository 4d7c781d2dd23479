"""Writing a file in a folder that others can write to."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness import openssl_store

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from commands import command, failure, unix

from truststore_inject.cli import _files

root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")


@unix
@openssl_store
@pytest.mark.parametrize("where", ["victim", "nowhere"])
def test_export_replaces_a_link(where: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("somebody's")
    (tmp_path / "ca.pem").symlink_to(tmp_path / where)
    assert command("export", tmp_path / "ca.pem", env=env).returncode == 0
    assert (tmp_path / "victim").read_text() == "somebody's"
    assert not (tmp_path / "nowhere").exists()
    assert "BEGIN CERTIFICATE" in (tmp_path / "ca.pem").read_text()
    assert not (tmp_path / "ca.pem").is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ca.pem", "victim"]


@unix
@openssl_store
def test_export_takes_no_notice_of_the_file_that_was_there(env: dict[str, str], tmp_path: Path) -> None:
    """Its mode and its other names are somebody else's."""
    file = tmp_path / "ca.pem"
    file.write_text("old")
    file.chmod(0o4666)
    os.link(file, tmp_path / "other")
    assert command("export", file, env=env, umask=0o077).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert (tmp_path / "other").read_text() == "old"


@unix
@openssl_store
def test_export_writes_over_nothing_but_files(env: dict[str, str], tmp_path: Path) -> None:
    """/dev/stdout is a link into /proc; as root it could be replaced."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    for name in ("folder", "pipe", "stdout"):
        assert "not a regular file" in failure("export", str(tmp_path / name), env=env, code=4)
    assert (tmp_path / "stdout").is_symlink()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@unix
@openssl_store
@root
def test_export_by_root_in_a_folder_like_tmp(env: dict[str, str]) -> None:
    """Another user has left a link there, and a file."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with tempfile.TemporaryDirectory() as name:
        sticky, victim = Path(name) / "tmp", Path(name) / "victim"
        sticky.mkdir()
        sticky.chmod(0o1777)
        sticky.parent.chmod(0o755)
        victim.write_text("root's")
        victim.chmod(0o600)
        subprocess.run([*nobody, "ln", "-s", victim, sticky / "link.pem"], check=True)
        subprocess.run([*nobody, "touch", sticky / "file.pem"], check=True)
        for name in ("link.pem", "file.pem"):
            assert command("export", sticky / name, env=env).returncode == 0
            status = (sticky / name).lstat()
            assert (stat.S_ISREG(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid) == (True, 0o644, 0)
        assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("root's", 0o600)


@unix
def test_a_file_is_written_where_its_folder_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may rename the folder meanwhile, and puts a link in its place, sends the file nowhere else."""
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()

    def swap(descriptor: int) -> None:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(elsewhere)

    monkeypatch.setattr(os, "fsync", swap)
    _files.replace(str(folder / "ca.pem"), b"data")
    assert [*elsewhere.iterdir()] == []
    assert (tmp_path / "moved" / "ca.pem").read_bytes() == b"data"


@unix
def test_a_file_that_took_the_place_of_the_new_one_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(descriptor: int) -> None:
        (new,) = tmp_path.glob(f"{_files.PREFIX}*")
        new.unlink()
        new.write_bytes(b"another")

    monkeypatch.setattr(os, "fsync", swap)
    with pytest.raises(_files.Swapped):
        _files.replace(str(tmp_path / "ca.pem"), b"data")


@unix
@root
def test_mode_and_owner_like_those_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "old").touch(0o640)
    os.chown(tmp_path / "old", 65534, 65534)
    _files.replace(str(tmp_path / "new"), b"data", like=(tmp_path / "old").stat())
    status = (tmp_path / "new").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 65534, 65534)
