"""The machine's real places, in a mount namespace of the test's own: nothing of the machine is changed.

Debian's layout, with its own ``update-ca-certificates``.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from harness import CERTIFI, HERE, OPENSSL, Authorities, environment, write_bundle


def can_unshare() -> bool:
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode
    )


pytestmark = [
    pytest.mark.skipif(
        not can_unshare(), reason="a private mount namespace is not allowed here (needs unshare and root)"
    ),
    pytest.mark.skipif(
        shutil.which("update-ca-certificates", path="/usr/sbin") is None, reason="not Debian: no update-ca-certificates"
    ),
]

# PyPy's own set_default_verify_paths() looks at the distributions' places where its OpenSSL finds nothing.
SEARCHES = sys.implementation.name == "pypy"
STOCK = dict.fromkeys(("system", "unknown", "wrong_host", "expired"), "refused")
SYSTEM = {**STOCK, "system": "accepted"}


class Machine:
    """Copies of /etc/ssl and of the folder for local CAs; `run` mounts them over the real ones."""

    def __init__(self, folder: Path) -> None:
        self.ssl = folder / "ssl"
        self.local = folder / "local"
        self.built_in = folder / "built-in"
        shutil.copytree("/etc/ssl", self.ssl, symlinks=True, ignore=shutil.ignore_patterns("private"))
        self.local.mkdir()
        self.built_in.mkdir()
        (self.built_in / "certs").symlink_to("/etc/ssl/certs")  # without cert.pem, as Debian has it

    def run(self, *command: str | os.PathLike[str], **variables: str) -> str:
        mounts = {
            self.ssl: "/etc/ssl",
            self.local: "/usr/local/share/ca-certificates",
            self.built_in: os.path.dirname(ssl.get_default_verify_paths().openssl_cafile),
        }
        script = [f"mount --bind {copy} {place}" for copy, place in mounts.items()]
        script.append('exec "$@"')
        env = environment(**variables)
        del env["SSL_CERT_FILE"]
        env["PATH"] += os.pathsep + "/usr/sbin"
        result = subprocess.run(
            ["unshare", "-m", "sh", "-ec", "\n".join(script), "sh", *command], env=env, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def verdicts(self, client: str, urls: dict[str, str], **variables: str) -> dict[str, str]:
        cases = json.dumps({case: urls[case] for case in STOCK})
        return dict(json.loads(self.run(sys.executable, HERE / "clients", client, "default", cases, **variables)))

    def update(self) -> None:
        self.run("update-ca-certificates")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if not os.path.realpath(ssl.get_default_verify_paths().openssl_cafile).startswith(("/usr/lib/ssl", "/etc/ssl")):
        pytest.skip("this Python's OpenSSL was not built for Debian")
    return Machine(tmp_path_factory.mktemp("machine"))


CLIENTS = ["urllib_request", "requests_get", "httpx_sync", "aiohttp"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_ca_that_the_administrator_adds_and_removes(
    client: str, machine: Machine, urls: dict[str, str], authorities: Authorities
) -> None:
    assert machine.verdicts(client, urls) == STOCK
    authorities.system.cert_pem.write_to_path(machine.local / "corp.crt")
    machine.update()
    assert machine.verdicts(client, urls) == SYSTEM
    if client in ("requests_get", "httpx_sync"):
        assert machine.verdicts(client, urls, TRUSTSTORE_INJECT="0") == STOCK
    (machine.local / "corp.crt").unlink()
    machine.update()
    assert machine.verdicts(client, urls) == STOCK


def test_plain_debian_is_read_lazily(machine: Machine) -> None:
    code = """
import json, ssl, truststore_inject
c = ssl.create_default_context()
store = truststore_inject.status().store
print(json.dumps([c.get_ca_certs(), store["directories"], store["anchors"] > 100]))
"""
    directory = "/etc/ssl/certs" if SEARCHES else ssl.get_default_verify_paths().openssl_capath
    anchors, *described = json.loads(machine.run(sys.executable, "-c", code))
    assert described == [[directory], True]
    assert anchors == [] or SEARCHES  # PyPy's own method loads the bundle


@pytest.mark.parametrize("client", CLIENTS)
def test_a_ca_appended_to_the_bundle_by_hand(
    client: str, machine: Machine, urls: dict[str, str], authorities: Authorities
) -> None:
    """What many Dockerfiles do; stock Python does not look at this file."""
    bundle = machine.ssl / "certs" / "ca-certificates.crt"
    before = bundle.read_bytes()
    bundle.write_bytes(before + authorities.system.cert_pem.bytes())
    try:
        assert machine.verdicts(client, urls) == SYSTEM
        if client not in OPENSSL or not SEARCHES:
            assert machine.verdicts(client, urls, TRUSTSTORE_INJECT="0") == STOCK
    finally:
        bundle.write_bytes(before)


@pytest.mark.parametrize("client", [*CERTIFI, *OPENSSL])
def test_a_python_whose_openssl_looks_where_nothing_is(
    client: str, machine: Machine, urls: dict[str, str], authorities: Authorities, tmp_path: Path
) -> None:
    """The CA is in the store's place alone: neither a library's bundle nor OpenSSL's default has it."""
    authorities.system.cert_pem.write_to_path(machine.local / "corp.crt")
    machine.update()
    relocated = Machine.__new__(Machine)
    relocated.ssl, relocated.local, relocated.built_in = machine.ssl, machine.local, tmp_path
    assert relocated.verdicts(client, urls) == SYSTEM
    if client not in OPENSSL or not SEARCHES:
        assert relocated.verdicts(client, urls, TRUSTSTORE_INJECT="0") == STOCK
    (machine.local / "corp.crt").unlink()
    machine.update()


@pytest.mark.skipif(SEARCHES, reason="PyPy's own search finds the distribution's store too")
@pytest.mark.parametrize("client", OPENSSL)
def test_a_python_that_carries_a_bundle_in_its_prefix(
    client: str, machine: Machine, urls: dict[str, str], authorities: Authorities, tmp_path: Path
) -> None:
    """As conda's: its OpenSSL looks there, and the machine's store is not asked.  The stand-in moves the prefix."""
    authorities.system.cert_pem.write_to_path(machine.local / "corp.crt")
    machine.update()
    conda = Machine.__new__(Machine)
    conda.ssl, conda.local, conda.built_in = machine.ssl, machine.local, tmp_path / "built-in"
    write_bundle(conda.built_in / "cert.pem", [authorities.bundled])
    (conda.built_in / "conda-meta").mkdir()
    prefix = os.path.dirname(ssl.get_default_verify_paths().openssl_cafile)
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.base_prefix = {prefix!r}\n")
    cases = {**urls, "unknown": urls["bundled"]}
    assert conda.verdicts(client, cases, PYTHONPATH=str(tmp_path)) == SYSTEM
    off = conda.verdicts(client, cases, PYTHONPATH=str(tmp_path), TRUSTSTORE_INJECT="0")
    assert off == {**STOCK, "unknown": "accepted"}  # the bundle's CA
    (machine.local / "corp.crt").unlink()
    machine.update()


def test_a_child_with_an_empty_environment(machine: Machine, urls: dict[str, str], authorities: Authorities) -> None:
    authorities.system.cert_pem.write_to_path(machine.local / "corp.crt")
    machine.update()
    code = """
import subprocess, sys
print(subprocess.check_output([sys.executable, *sys.argv[1:]], env={}, text=True))
"""
    cases = json.dumps({case: urls[case] for case in STOCK})
    said = machine.run(sys.executable, "-c", code, HERE / "clients", "requests_get", "default", cases)
    assert json.loads(said) == SYSTEM
    (machine.local / "corp.crt").unlink()
    machine.update()


def test_a_read_only_file_system(machine: Machine, urls: dict[str, str]) -> None:
    code = f"""
mount --bind {sys.prefix} {sys.prefix} && mount -o remount,bind,ro {sys.prefix}
exec {sys.executable} -c 'import ssl, sys; ssl.create_default_context(); print("truststore_inject" in sys.modules)'
"""
    assert machine.run("sh", "-ec", code) == "True\n"
