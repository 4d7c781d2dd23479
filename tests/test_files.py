"""What lies at a path, by the operating system's own functions."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from harness import openssl_store

from truststore_inject.stores import _files

pytestmark = openssl_store


def test_a_path_is_what_it_resolves_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "absolute").symlink_to(tmp_path / "a")
    (tmp_path / "relative").symlink_to("absolute/b")
    monkeypatch.chdir(tmp_path)
    for path in ("relative/file", "absolute/../a/./b//file", str(tmp_path / "relative" / "file"), b"relative/file"):
        assert _files.resolve(path) == os.path.realpath(path if isinstance(path, str) else os.fsdecode(path))
    assert _files.resolve("relative/none") == f"{os.path.realpath('a/b')}/none"
    assert _files.resolve("/..") == "/"


def test_links_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links") as raised:
        _files.resolve(tmp_path / "one")
    assert raised.value.errno == errno.ELOOP


def test_only_regular_files_have_a_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"content")
    assert [_files.read(tmp_path / name) for name in ("pipe", "file")] == [b"", b"content"]
    assert [_files.size(tmp_path / name) for name in ("pipe", "file", "none", "a\0b")] == [0, 7, 0, 0]
    assert _files.identity("a\0b") == ()


def test_names_that_openssl_may_ask_for(tmp_path: Path) -> None:
    for name in ("0123abcd.0", "0123ABCD.12", "0123abcd.r0", "0123abc.0", "0123abcg.0", "ca.pem"):
        (tmp_path / name).touch()
    assert [Path(path).name for path in _files.hashed(str(tmp_path))] == ["0123ABCD.12", "0123abcd.0"]
    assert list(_files.hashed(str(tmp_path / "none"))) == []
