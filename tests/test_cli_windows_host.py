"""``truststore-inject export --from-windows`` in a WSL, with a stand-in for ``powershell.exe``."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from harness import environment, run

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="WSL is a Linux"), pytest.mark.long]

SERVERS, CODE = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3"

# It answers as Windows does, in lines that end with CR LF, if it is asked for both stores.
POWERSHELL = """\
#!{python}
import base64, sys
script = base64.b64decode(sys.argv[sys.argv.index("-EncodedCommand") + 1]).decode("utf-16-le")
assert all(words in script for words in ("LocalMachine", "CurrentUser", "Root", "Disallowed", "RawData")), script
sys.stdout.buffer.write({output!r})
sys.stderr.write({error!r})
sys.exit({code})
"""


def windows(folder: Path, *lines: tuple[str, str, trustme.CA], code: int = 0, error: str = "") -> dict[str, str]:
    """An environment whose powershell.exe prints these certificates: the store, the uses, whose."""
    output = "".join(f"{store} [{uses}] {base64.b64encode(der(ca)).decode()}\r\n" for store, uses, ca in lines)
    file = folder / "bin" / "powershell.exe"
    file.parent.mkdir(exist_ok=True)
    text = POWERSHELL.format(python=sys.executable, output=b"Welcome!\r\n" + output.encode(), error=error, code=code)
    file.write_text(text)
    file.chmod(0o755)
    return environment(PATH=f"{file.parent}{os.pathsep}{os.environ['PATH']}", WSL_DISTRO_NAME="Debian")


def der(ca: trustme.CA) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode())


def export(*arguments: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run("-m", "truststore_inject", "export", "--from-windows", *arguments, env=env)


def anchors(text: str) -> set[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=text)
    return set(context.get_ca_certs(binary_form=True))


@pytest.fixture(scope="module")
def cas() -> list[trustme.CA]:
    return [trustme.CA(organization_name=f"CA {number}") for number in range(5)]


def test_it_writes_what_windows_trusts_for_servers(cas: list[trustme.CA], tmp_path: Path) -> None:
    of_machine, of_user, signs_code, banned, for_both = cas
    env = windows(
        tmp_path,
        ("LocalMachine\\Root", "", of_machine),
        ("LocalMachine\\Root", CODE, signs_code),
        ("LocalMachine\\Root", f"{CODE},{SERVERS}", for_both),
        ("LocalMachine\\Root", "", banned),
        ("CurrentUser\\Root", "", of_machine),  # it shows those of the machine, too
        ("CurrentUser\\Root", "", of_user),
        ("CurrentUser\\Disallowed", "", banned),
    )
    file = tmp_path / "windows.pem"
    result = export(file, env=env)
    assert (result.returncode, result.stdout) == (0, "")
    assert "3 trust anchors written" in result.stderr
    assert anchors(file.read_text()) == {der(of_machine), der(of_user), der(for_both)}
    assert "from Windows, Cert:\\LocalMachine\\Root" in file.read_text()
    assert anchors(export(env=env).stdout) == anchors(file.read_text())
    report = json.loads(export(file, "--json", env=env).stdout)
    assert (report["file"], len(report["anchors"])) == (str(file), 3)


def test_a_directory_gets_a_file_for_each(cas: list[trustme.CA], tmp_path: Path) -> None:
    folder = tmp_path / "ca-certificates"
    folder.mkdir()
    (folder / "mine.crt").write_text("mine")
    for chosen in (cas[:3], cas[2:4]):  # the second time some are gone
        env = windows(tmp_path, *[("LocalMachine\\Root", "", ca) for ca in chosen])
        assert export(folder, env=env).returncode == 0
        files = sorted(folder.glob("windows-*.crt"))
        assert {frozenset(anchors(file.read_text())) for file in files} == {frozenset({der(ca)}) for ca in chosen}
    assert (folder / "mine.crt").read_text() == "mine"


def test_what_cannot_be_had_is_one_line(cas: list[trustme.CA], tmp_path: Path) -> None:
    trusted = ("LocalMachine\\Root", "", cas[0])

    def folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    working = windows(folder("working"), trusted)
    denied = "\033[31mAccess is denied.\r\nAt line:1"
    cases = [
        ({name: value for name, value in working.items() if name != "WSL_DISTRO_NAME"}, "this is not WSL"),
        ({**working, "PATH": os.environ["PATH"]}, "powershell.exe is not found"),
        (windows(folder("denied"), trusted, code=5, error=denied), "Access is denied."),
        (windows(folder("empty")), "Windows named no CA"),
        (windows(folder("code"), ("LocalMachine\\Root", CODE, cas[0])), "Windows named no CA"),
    ]
    for env, words in cases:
        result = export(tmp_path / "out.pem", env=env)
        assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (4, "", 1)
        assert words in result.stderr
        assert "\033" not in result.stderr
    assert not (tmp_path / "out.pem").exists()
    assert export("--env", env=working).returncode == 2
