"""The file of our own that holds the store: it is safe to be left behind, swept, forked over, or looked for by others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from harness import OS_VERIFIES, Authorities, environment, run_code
from test_export import exported

unix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such ids and modes")
root = pytest.mark.skipif(
    not hasattr(os, "setresuid") or os.geteuid() != 0, reason="needs root, and setresuid, which macOS has not"
)


@pytest.mark.skipif(sys.platform == "linux", reason="there it has no name")
def test_a_directory_becomes_a_private_file_that_is_removed(
    store: Path, authorities: Authorities, tmp_path: Path
) -> None:
    path, mode, again, text = exported(environment(SSL_CERT_DIR=store, TMPDIR=tmp_path))
    private = "0o666" if sys.platform == "win32" else "0o600"  # Windows has no such modes: the folder is the user's own
    assert (mode, again, Path(str(path)).parent) == (private, True, tmp_path)
    exported_, system = ("".join(pem.split()) for pem in (str(text), authorities.system.cert_pem.bytes().decode()))
    assert system in exported_ if OS_VERIFIES else system == exported_
    assert list(tmp_path.iterdir()) == []


# How a process ends, or what it does, after it has had the file; each prints what the file holds then.
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="about Linux' files without a name")
AFTER = {
    "nothing": "",
    "a fork": "child = os.fork()\nif child: os.waitpid(child, 0); os._exit(0)",
    "a fork by a worker that is killed": (
        "child = os.fork()\nif not child: os.kill(os.getpid(), signal.SIGKILL)\nos.waitpid(child, 0)"
    ),
    "a clean temporary folder": "for name in os.listdir(sys.argv[1]): os.unlink(os.path.join(sys.argv[1], name))",
    "another user": "os.setgid(65534); os.setuid(65534)",
}


@LINUX_ONLY
@pytest.mark.parametrize("without", [False, True], ids=["", "without memfd_create"])
@pytest.mark.parametrize("after", AFTER)
def test_a_directory_becomes_a_file_without_a_name(
    after: str, without: bool, store: Path, authorities: Authorities, tmp_path: Path
) -> None:
    if "user" in after and os.getuid() != 0:
        pytest.skip("only root can become another user")
    code = f"""
import json, os, signal, sys
if {without}: del os.memfd_create
from truststore_inject.stores import _export
path = _export.pem_file()
{AFTER[after]}
same = path == _export.pem_file()
try:
    with open(path, "r+b", buffering=0) as file: file.write(b"#")
    writable = True
except OSError:
    writable = False
sys.stdout.write(json.dumps([open(path).read(), same, writable]))
sys.stdout.flush()
os._exit(0)
"""
    text, same, writable = run_code(code, str(tmp_path), env=environment(SSL_CERT_DIR=store, TMPDIR=tmp_path))
    assert text == authorities.system.cert_pem.bytes().decode()
    assert (same, writable, os.listdir(tmp_path)) == (True, False, [])


@LINUX_ONLY
def test_another_file_that_has_the_descriptor_now_is_not_trusted(store: Path, authorities: Authorities) -> None:
    code = """
import json, os
from truststore_inject.stores import _export
path = _export.pem_file()
number = int(path.rpartition("/")[2])
os.closerange(3, number + 1)  # what becomes a daemon does
os.dup2(os.open(os.devnull, os.O_RDONLY), number)
print(json.dumps([number, open(path).read(), open(_export.pem_file()).read()]))
"""
    number, theirs, ours = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert (theirs, ours) == ("", authorities.system.cert_pem.bytes().decode())
    assert number >= 1000


@pytest.mark.skipif(OS_VERIFIES, reason="Windows has no fork, and macOS' libraries, which verify, do not survive it")
def test_a_forked_child_leaves_the_file_to_its_parent(store: Path) -> None:
    rest = "child = os.fork()\nif not child: sys.exit(0)\nos.waitpid(child, 0)\ntext = os.path.exists(path)"
    assert exported(environment(SSL_CERT_DIR=store), rest)[3] is True


def test_where_nothing_can_be_written_the_librarys_own_default_stays(store: Path) -> None:
    code = """
import json, os, tempfile
from truststore_inject import _record
from truststore_inject.stores import _export
def full(*arguments):
    raise OSError(28, "No space left on device")
os.memfd_create = tempfile.mkstemp = full
print(json.dumps([_export.pem_file(), *_record.notes]))
"""
    path, *notes = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert path is None
    assert any("not exported: OSError" in note for note in notes)


# With the name of another system, what is done there.
ELSEWHERE = """
import json, os, sys, tempfile
from truststore_inject import _record
from truststore_inject.stores import _export
sys.platform = sys.argv[1]
os.umask(0)
planted = os.path.join(tempfile.gettempdir(), "truststore-inject-planted.pem")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about Linux' files without a name")
@root
def test_a_temporary_folder_of_another_user_has_no_say(store: Path, authorities: Authorities, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    code = f"""{ELSEWHERE}
os.setresuid(65534, 0, 0)  # what a set-user-id program has
path = _export.pem_file()
print(json.dumps([path.startswith("/proc/self/fd/"), open(path).read(), os.listdir(tempfile.gettempdir())]))
"""
    # What a process with more rights is told of the store is not believed: the store is one that nobody names.
    code = code.replace("from truststore_inject import _record", "from truststore_inject import _record, _settings")
    code = code.replace("path = _export", "_settings._has_more_rights = lambda: False\npath = _export")
    said = run_code(code, "linux", env=environment(SSL_CERT_DIR=store, TMPDIR=theirs))
    assert said == [True, authorities.system.cert_pem.bytes().decode(), []]


@unix
def test_a_temporary_folder_that_others_can_write_to_is_not_used(store: Path, tmp_path: Path) -> None:
    code = f"{ELSEWHERE}print(json.dumps([_export.pem_file(), os.listdir(tempfile.gettempdir()), *_record.notes]))"
    for mode in (0o1777, 0o770):
        tmp_path.chmod(mode)
        path, left, *notes = run_code(code, "freebsd14", env=environment(SSL_CERT_DIR=store, TMPDIR=tmp_path))
        assert (path, left) == (None, [])
        assert any("is not this user's own" in note for note in notes), notes


@unix
def test_the_exported_store_is_not_written_through_a_link_that_somebody_planted(store: Path, tmp_path: Path) -> None:
    code = f"""{ELSEWHERE}
tempfile._get_candidate_names = lambda: iter(["planted", "free"])
os.symlink("victim", planted)
path = _export.pem_file()
print(json.dumps([os.path.basename(path), oct(os.stat(path).st_mode & 0o777), os.path.exists("victim")]))
"""
    env = environment(SSL_CERT_DIR=store, TMPDIR=tmp_path)
    assert run_code(code, "freebsd14", env=env, cwd=tmp_path) == ["truststore-inject-free.pem", "0o600", False]
    assert os.listdir(tmp_path) == ["truststore-inject-planted.pem"]


@unix
def test_an_exported_store_that_somebody_replaced_is_not_used(store: Path, tmp_path: Path) -> None:
    """A sweeper of old files deletes it; who then takes its name, and its time, does not decide what is trusted."""
    code = f"""{ELSEWHERE}
path = _export.pem_file()
before = os.stat(path)
content = open(path, "rb").read()
os.unlink(path)
with open(path, "wb") as file:
    file.write(content[::-1])
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
again = _export.pem_file()
print(json.dumps([again == path, open(again, "rb").read() == content, _export.pem_file() == again]))
"""
    env = environment(SSL_CERT_DIR=store, TMPDIR=tmp_path)
    assert run_code(code, "freebsd14", env=env) == [False, True, True]
