"""The store, the rights, the disk or the file descriptors of a process go away: nothing is trusted that stock refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from harness import Authorities, environment, openssl_store, run, run_code, write_bundle, write_directory
from probes import VERDICTS, Probe

pytestmark = [openssl_store, pytest.mark.long]


@pytest.mark.parametrize("kind", ["SSL_CERT_DIR", "SSL_CERT_FILE"])
def test_the_store_changes_while_the_process_runs(
    kind: str, authorities: Authorities, probe: Probe, tmp_path: Path
) -> None:
    """New contexts see it, as with stock; an old one keeps what stock's keeps."""
    stores = {"system": ["system"], "private": ["private"], "both": ["system", "private"], "empty": []}
    for name, held in stores.items():
        anchors = [getattr(authorities, authority) for authority in held]
        if kind == "SSL_CERT_DIR":
            write_directory(tmp_path / name, anchors)
        else:
            write_bundle(tmp_path / name, anchors)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "not a directory").symlink_to(tmp_path / "system" / "x" / "y")
    steps = {
        "system": ["system"],
        "private": ["private"],
        "both": ["private", "system"],
        "empty": [],
        "loop": [],
        "not a directory": [],
        "gone": [],
    }
    code = f"""{VERDICTS}
import os
def replace(name):
    os.path.lexists("live") and os.unlink("live")
    if name != "gone":
        os.symlink(name, "live")
replace("system")
old = ssl.create_default_context()
outcomes = []
for name in [*json.loads(sys.argv[3]), "system"]:
    replace(name)
    outcomes.append([name, accepted(ssl.create_default_context()), accepted(old)])
print(json.dumps(outcomes))
"""
    env = environment(**{kind: tmp_path / "live"})
    found, stock = (
        run_code(code, *probe.arguments, json.dumps(steps), env={**env, **off}, cwd=tmp_path)
        for off in ({}, {"TRUSTSTORE_INJECT": "0"})
    )
    assert {name: new for name, new, _ in found} == steps
    assert found == stock


def test_privileges_are_given_up_while_it_runs(copy: Path, probe: Probe) -> None:
    """The store, and what is not loaded yet of the package, cannot be read any more."""
    if os.getuid() != 0:
        pytest.skip("only root can give up privileges")
    code = f"""{VERDICTS}
import os
private = open(sys.argv[2]).read()
"a".encode("idna")  # a codec that the client needs, and that cannot be read any more either
os.setuid(65534)
print(json.dumps([len(replaced()), accepted(ssl.create_default_context()), accepted(ssl.create_default_context(cadata=private))]))
"""
    closed = probe.store, copy.parent
    modes = [folder.stat().st_mode for folder in closed]
    for folder in closed:
        folder.chmod(0o700)
    try:
        env = environment(SSL_CERT_DIR=probe.store, PYTHONPATH=copy.parent)
        assert run_code(code, *probe.arguments, env=env) == [3, [], ["private"]]
    finally:
        for folder, mode in zip(closed, modes, strict=True):
            folder.chmod(mode)


def test_a_full_disk(store: Path, tmp_path: Path) -> None:
    """Nothing of a file that could not be written stays, and who wanted it goes without."""
    code = """
import json, os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from truststore_inject import _record
from truststore_inject.stores import _export
print(json.dumps([_export.pem_file(), os.listdir(os.environ["TMPDIR"]), list(_record.notes)]))
"""
    path, left, notes = run_code(code, env=environment(SSL_CERT_DIR=store, TMPDIR=tmp_path))
    assert (path, left) == (None, [])
    assert any("not exported: OSError" in note for note in notes)


def test_the_command_export_on_a_full_disk(store: Path, tmp_path: Path) -> None:
    (tmp_path / "out.pem").write_text("old")
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from truststore_inject.cli import main
sys.exit(main(["export", "out.pem"]))
"""
    result = run("-c", code, env=environment(SSL_CERT_DIR=store), cwd=tmp_path)
    assert result.returncode == 4
    assert "out.pem: cannot be written, File too large" in result.stderr
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_messages_that_cannot_be_written(probe: Probe) -> None:
    code = f"import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n{VERDICTS}\nprint(json.dumps(verdicts()))"
    env = environment(SSL_CERT_DIR=probe.store, TRUSTSTORE_INJECT_DEBUG="1")
    result = run("-c", code, *probe.arguments, env=env)
    # Not the exit status: it is 120, as for each program whose standard error could not be written.
    assert result.stdout == '[3, ["system"], ["private"], []]\n'


FILES = """
import os, resource, sys
def exhaust():
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(free()), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
def free():
    first = os.open("/dev/null", os.O_RDONLY)
    os.close(first)
    return [first]
def recover():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""


@pytest.mark.parametrize(
    "meanwhile",
    [
        "ssl.create_default_context()",
        "ssl.create_default_context(); ssl.create_default_context()",
        "import truststore_inject.stores; ssl.create_default_context()",
    ],
)
def test_no_file_descriptors_are_left(meanwhile: str, probe: Probe) -> None:
    """Nothing that is done then raises; and when there are some again, everything is as ever."""
    between = f"""
{"import truststore_inject.stores" if meanwhile.startswith("import") else ""}
exhaust()
{meanwhile}
recover()
"""
    assert probe.run(FILES, between)


def test_ssl_is_imported_when_no_file_descriptors_are_left(probe: Probe) -> None:
    """That import fails, with and without us; the next one does not."""
    before = f"""{FILES}
import socket, threading
exhaust()
try:
    import ssl
except OSError:
    failed = True
recover()
assert failed
"""
    assert probe.run(before)
    assert not probe.run(before, TRUSTSTORE_INJECT="0")
