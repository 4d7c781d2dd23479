"""What stands between a mistake and trust: which file it is, whose memory is read, whose variables count."""

from __future__ import annotations

import os
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from harness import Authorities, openssl_store, write_bundle

from truststore_inject import _settings
from truststore_inject.stores import _bundle, _files

pytestmark = openssl_store
needs_cpython = pytest.mark.skipif(sys.implementation.name != "cpython", reason="about the memory of CPython's objects")


# --- the same file ---


def test_another_file_of_the_same_size_and_times_is_another(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for file in first, second:
        file.write_bytes(b"x")
        os.utime(file, ns=(0, 0))
    status = os.stat(first)
    with mock.patch.object(_files, "stat", lambda path: with_times(os.stat(path), status)):
        assert _files.identity(first) != _files.identity(second)


def test_a_file_of_another_size_is_another(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    status, before = os.stat(file), _files.identity(file)
    file.write_bytes(b"xx")
    with mock.patch.object(_files, "stat", lambda path: with_times(os.stat(path), status)):
        assert _files.identity(file) != before


def with_times(status: os.stat_result, times: os.stat_result) -> Any:
    """As if the clock had stood still."""
    names = ("st_dev", "st_ino", "st_size")
    same = {name: getattr(times, name) for name in ("st_mtime_ns", "st_ctime_ns")}
    return SimpleNamespace(**{name: getattr(status, name) for name in names}, **same)


def test_a_file_whose_time_was_set_back_is_another(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    before, status = _files.identity(file), os.stat(file)
    time.sleep(0.02)
    file.write_bytes(b"new")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(file).st_mtime_ns == status.st_mtime_ns
    assert _files.identity(file) != before


def test_a_file_is_kept_only_when_its_last_change_is_over(authorities: Authorities, tmp_path: Path) -> None:
    file = write_bundle(tmp_path / "bundle.pem", [authorities.system])
    assert _bundle.read(file) is not _bundle.read(file)
    time.sleep(0.2)
    assert _bundle.read(file) is _bundle.read(file)


def test_a_file_that_is_changed_while_it_is_read_is_not_kept(
    authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_bundle(tmp_path / "bundle.pem", [authorities.system])
    time.sleep(0.2)

    def load(context: Any, path: Path) -> None:
        stock(context, path)
        write_bundle(path, [authorities.private])

    stock = _bundle.load_verify_locations
    monkeypatch.setattr(_bundle, "load_verify_locations", load)
    before = dict(_bundle._read)
    _bundle.read(file)
    assert before == _bundle._read


# --- whose memory ---


@pytest.fixture
def libssl() -> Any:
    if not _bundle.can_share():
        pytest.skip("this Python's objects cannot be shared")
    from truststore_inject.stores import _libssl

    return _libssl


@needs_cpython
def test_what_only_says_that_it_is_a_context_is_none(libssl: Any) -> None:
    pretender = mock.Mock(spec=ssl.SSLContext)
    assert isinstance(pretender, ssl.SSLContext)
    with pytest.raises(ValueError, match="this is not CPython's context"):
        libssl._ssl_ctx(pretender)


@needs_cpython
@pytest.mark.parametrize("change", ["protocol", "check_hostname", "ctx"])
def test_memory_that_does_not_say_what_the_context_says_is_left_alone(
    change: str, libssl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    view = libssl._Context.from_address(id(context))
    says = {name: getattr(view, name) for name in ("ctx", "check_hostname")}
    says["following"] = list(view.following)
    if change == "protocol":
        says["following"] = [1234, 4321]
    else:
        says[change] = 0
    assert libssl._ssl_ctx(context)
    monkeypatch.setattr(libssl, "_Context", SimpleNamespace(from_address=lambda _: SimpleNamespace(**says)))
    monkeypatch.setattr(libssl.ctypes, "sizeof", lambda _: 1)
    with pytest.raises(ValueError, match="not laid out"):
        libssl._ssl_ctx(context)


@needs_cpython
def test_nothing_is_called_in_a_second_version_of_openssl(libssl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert libssl._load()
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_NUMBER", ssl.OPENSSL_VERSION_NUMBER + 1)
    with pytest.raises(ValueError, match="two versions"):
        libssl._load()


@needs_cpython
def test_nothing_is_called_from_a_python_that_is_not_known(libssl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libssl, "_KNOWN", False)
    with pytest.raises(ValueError, match="not known well enough"):
        libssl._load()


# --- whose variables ---


def test_rights_that_nobody_can_tell_are_more_rights(
    monkeypatch: pytest.MonkeyPatch, ca_file: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", str(ca_file("private")))
    monkeypatch.setenv("TRUSTSTORE_INJECT_X509_STRICT", "0")
    for known, widened in ((False, True), (None, False), (True, False)):
        monkeypatch.setattr(_settings, "_more_rights", [known])
        assert (_settings.extra_ca_certs() is not None, not _settings.x509_strict()) == (widened, widened)
