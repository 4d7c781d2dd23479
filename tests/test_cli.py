"""The command line, as a user has it: child processes, their output and their exit codes."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import HOSTS, Authorities, Server, Venv, environment, openssl_store, run, server_context, write_bundle

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from lax import certificate, lax

NO_PROXY = {"NO_PROXY": "*"}


def command(
    *arguments: str | os.PathLike[str], env: dict[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    return run("-m", "truststore_inject", *arguments, env=env, **options)


def failure(*arguments: str, env: dict[str, str], code: int) -> str:
    """The one line on standard error."""
    result = command(*arguments, env=env)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def report(*arguments: str | os.PathLike[str], env: dict[str, str], code: int = 0) -> Any:
    result = command(*arguments, "--json", env=env)
    assert (result.returncode, result.stderr) == (code, ""), result.stderr
    return json.loads(result.stdout)


def diagnosis(url: str, *arguments: str, env: dict[str, str], code: int = 0) -> Any:
    (found,) = report("check", url, *arguments, env=env, code=code)
    return found


@contextlib.contextmanager
def speaking(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that answers each connection with that function."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def env(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(SSL_CERT_DIR=store, HOME=tmp_path_factory.mktemp("home"), **NO_PROXY)


# The ordinary.


def test_no_command_is_status(env: dict[str, str]) -> None:
    assert command(env=env).stdout == command("status", env=env).stdout


def test_the_console_script(env: dict[str, str]) -> None:
    script = shutil.which("truststore-inject", path=sysconfig.get_path("scripts"))
    assert script is not None
    result = subprocess.run([script, "--version"], env=env, capture_output=True, text=True, check=True)
    assert result.stdout == command("--version", env=env).stdout != ""


def test_a_wrong_command_is_bad_usage(env: dict[str, str]) -> None:
    result = command("nonsense", env=env)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_start_imports_nothing_heavy(env: dict[str, str]) -> None:
    code = """
import sys, truststore_inject.cli
print(*{"ssl", "cryptography", "trustme", "asyncio"} & set(sys.modules))
"""
    assert run("-c", code, env=env).stdout == "\n"


def test_nothing_imports_the_command_line(env: dict[str, str]) -> None:
    code = """
import sys, requests, ssl, truststore_inject
ssl.create_default_context()
truststore_inject.status()
print("truststore_inject.cli" in sys.modules)
"""
    assert run("-c", code, env=env).stdout == "False\n"


# status


@openssl_store
def test_status(env: dict[str, str], store: Path) -> None:
    found = report("status", env=env)
    assert found["active"]
    assert found["store"]["directories"] == [str(store)]
    assert found["store"]["anchors"] == 1
    changed = datetime.datetime.fromisoformat(found["store"]["changed"])
    assert abs(changed.timestamp() - store.stat().st_mtime) < 60
    assert found["patches"]["ssl"]["state"] == "applied"
    assert found["reason"].startswith("armed by ")
    text = command("status", env=env).stdout
    assert "active" in text
    assert str(store) in text
    assert "\033" not in text


@pytest.mark.parametrize(
    ("options", "variables", "reason"),
    [
        ([], {"TRUSTSTORE_INJECT": "off"}, "switched off by TRUSTSTORE_INJECT=off"),
        (["-S"], {}, "python -S"),
    ],
)
def test_status_says_why_not(options: list[str], variables: dict[str, str], reason: str, env: dict[str, str]) -> None:
    import truststore_inject

    path = str(Path(truststore_inject.__file__).parents[1])
    result = run(*options, "-m", "truststore_inject", "status", env={**env, "PYTHONPATH": path, **variables})
    assert result.returncode == 1
    assert "NOT active" in result.stdout
    assert reason in result.stdout.replace("\n", " ")


def test_status_from_another_site(env: dict[str, str], tmp_path: Path) -> None:
    """A folder on PYTHONPATH (``pip install --target``) is no site directory: its .pth file is not run."""
    import truststore_inject

    shutil.copytree(Path(truststore_inject.__file__).parent, tmp_path / "site" / "truststore_inject")
    (tmp_path / "site" / "truststore-inject.pth").write_text("")
    python = Venv(tmp_path / "venv", with_package=False).python
    env = {**env, "PYTHONPATH": str(tmp_path / "site")}
    result = command("status", "--json", env=env, python=python, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert f"it is installed in {tmp_path / 'site'}, another site" in json.loads(result.stdout)["reason"]


def test_status_without_a_pth_file(env: dict[str, str], tmp_path: Path) -> None:
    venv = Venv(tmp_path / "venv")
    (venv.site_packages / "truststore-inject.pth").unlink()
    result = run("-m", "truststore_inject", "--json", env=env, python=venv.python)
    assert result.returncode == 1, result.stderr
    reason = json.loads(result.stdout)["reason"]
    first = f"{venv.python.parents[1]}, " if sys.platform == "win32" else ""  # there site looks in two places
    assert reason.startswith(f"there is no truststore-inject.pth in {first}{venv.site_packages}")
    assert "pip install truststore-inject" in reason


def test_status_tells_what_else_decides(env: dict[str, str], tmp_path: Path, ca_file: Callable[[str], Path]) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\ncert = /somewhere/ca.pem\n")
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "AWS_CA_BUNDLE")
    variables = {**dict.fromkeys(names, str(ca_file("private"))), "PIP_CONFIG_FILE": str(config)}
    found = {entry["name"]: entry for entry in report("status", env={**env, **variables})["influences"]}
    for name in names:
        assert found[name]["value"] == str(ca_file("private"))
        assert found[name]["effect"]
        assert found[name]["fix"]
    assert found[f"global.cert in {config}"]["value"] == "/somewhere/ca.pem"


def test_status_names_the_cas_that_were_added_to_certifi(
    env: dict[str, str], authorities: Authorities, tmp_path: Path
) -> None:
    import certifi

    folder = tmp_path / "site"
    package = Path(certifi.__file__).parent
    shutil.copytree(package, folder / "certifi", ignore=shutil.ignore_patterns("__pycache__"))
    (info,) = package.parent.glob("certifi-*.dist-info")
    shutil.copytree(info, folder / info.name)
    before = [e["name"] for e in report("status", env={**env, "PYTHONPATH": str(folder)})["influences"]]
    assert "changed certifi" not in before
    with open(folder / "certifi" / "cacert.pem", "ab") as bundle:
        bundle.write(authorities.private.cert_pem.bytes())
    found = {e["name"]: e for e in report("status", env={**env, "PYTHONPATH": str(folder)})["influences"]}
    assert "O=private of the tests" in found["changed certifi"]["effect"]
    assert found["changed certifi"]["effect"].count("O=") == 1


def test_status_names_other_injectors(env: dict[str, str], tmp_path: Path) -> None:
    """Each with its effect and what to do; by what pip knows of them, as their modules may be armed or not."""
    names = ("pip-system-certs", "auto-truststore", "certifi-linux", "python-certifi-win32")
    assert not {entry["name"] for entry in report("status", env=env)["influences"]}.intersection(names)
    for name in names:
        info = tmp_path / f"{name.replace('-', '_')}-5.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 5.3\n")
    found = {e["name"]: e for e in report("status", env={**env, "PYTHONPATH": str(tmp_path)})["influences"]}
    for name in names:
        assert found[name]["value"] == "5.3"
        assert found[name]["effect"]
        assert found[name]["fix"].startswith(f"pip uninstall {name}")


def on_a_terminal(*arguments: str, env: dict[str, str]) -> tuple[int, bytes, bytes]:
    """The exit code, and what a terminal shows of standard output and of standard error."""
    pty = pytest.importorskip("pty", reason="there is no pty on Windows")
    screens = [pty.openpty(), pty.openpty()]
    (_, stdout), (_, stderr) = screens
    command = [sys.executable, "-m", "truststore_inject", *arguments]
    process = subprocess.Popen(command, env={**env, "TERM": "xterm"}, stdout=stdout, stderr=stderr)
    for _, child in screens:  # before anything is read: macOS closes the last one only when all was read
        os.close(child)
    shown = []
    for parent, _ in screens:
        shown.append(b"")
        with contextlib.suppress(OSError):  # the end of a pty
            while chunk := os.read(parent, 65536):
                shown[-1] += chunk
        os.close(parent)
    return process.wait(60), shown[0], shown[1]


def test_no_color_and_colours(env: dict[str, str]) -> None:
    code, coloured, _ = on_a_terminal(env=env)
    assert code == 0
    assert b"\033[32m" in coloured
    assert b"\033" not in on_a_terminal(env={**env, "NO_COLOR": "1"})[1]


def test_what_takes_longer_than_a_second_shows_its_progress(env: dict[str, str]) -> None:
    """On standard error of a terminal, and gone when it is over; nothing where standard error is read by a program."""
    with speaking(lambda connection: connection.recv(65536) and connection.recv(65536) and None) as port:
        arguments = ("check", f"localhost:{port}", "--timeout", "3")
        code, output, progress = on_a_terminal(*arguments, env=env)
        line = failure(*arguments, env=env, code=3)
    assert (code, output) == (3, b"")
    shown, _, last = progress.rstrip().rpartition(b"\r")
    assert b"\rconnecting to localhost:%d (" % port in shown
    assert last.decode().strip() == line


# check, the proof


@pytest.mark.long
def test_the_proof(env: dict[str, str]) -> None:
    result = command("check", env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Everything is as it should be." in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    rows = {row["client"]: row for row in report("check", env=env)["clients"]}
    assert {"urllib.request", "asyncio", "requests", "httpx", "aiohttp", "urllib3"} <= rows.keys()
    right = {"in store": "yes", "unknown": "no", "bad name": "no", "expired": "no", "pinned": "yes"}
    for row in rows.values():
        assert row["injected"] == right
    assert rows["requests"]["stock"] == {**right, "in store": "no"}


@pytest.mark.long
def test_the_proof_of_a_pip_that_its_distributor_has_changed(env: dict[str, str], tmp_path: Path) -> None:
    """Debian's names the system's bundle: that cannot be replaced by a throw-away one, and is not wrong."""
    import certifi

    shutil.copytree(Path(certifi.__file__).parent, tmp_path / "certifi", ignore=shutil.ignore_patterns("__pycache__"))
    bundle = shutil.copyfile(certifi.where(), tmp_path / "ca-certificates.crt")
    (tmp_path / "certifi" / "core.py").write_text(f"def where(): return {str(bundle)!r}\ndef contents(): return ''\n")
    env = {**env, "PYTHONPATH": str(tmp_path)}
    rows = {row["client"]: row for row in report("check", env=env)["clients"]}
    assert (rows["requests"]["bundle"], rows["requests"]["wrong"]) == (str(bundle), {})
    assert rows["requests"]["injected"]["in store"] == "no"
    assert rows["requests"]["injected"]["pinned"] == "yes"
    assert rows["aiohttp"]["bundle"] is None
    assert f"requests trusts {bundle}" in " ".join(command("check", env=env).stdout.split())


@pytest.mark.long
def test_the_proof_fails_where_it_is_switched_off(env: dict[str, str]) -> None:
    result = command("check", env={**env, "TRUSTSTORE_INJECT": "0"})
    assert result.returncode == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    wrong = {line.partition(": should")[0] for line in lines if line.startswith("WRONG")}
    assert "WRONG: requests, in store" in wrong
    assert not [line for line in wrong if not line.endswith(", in store")]


def test_without_the_extra(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "trustme.py").write_text("raise ImportError")
    (tmp_path / "cryptography.py").write_text("raise ImportError")
    env = {**env, "PYTHONPATH": str(tmp_path)}
    assert "pip install 'truststore-inject[check]'" in failure("check", env=env, code=4)
    assert "pip install 'truststore-inject[check]'" in failure("check", "localhost:1", env=env, code=4)


# check URL


@openssl_store
def test_an_accepted_server(env: dict[str, str], urls: dict[str, str], store: Path, authorities: Authorities) -> None:
    found = diagnosis(urls["intermediate"], env=env)
    assert found["accepted"]
    assert len(found["chain"]) == 2
    assert found["chain"][0]["names"] == list(HOSTS)
    assert found["chain"][0]["key"].startswith("EC ")
    assert found["anchor"]["subject"] == trust_name(authorities.system)
    assert Path(found["anchor"]["place"]) == next(store.glob("ca-*.pem"))
    assert found["stock"]["verdict"] == found["store"]["verdict"] == "accepted"
    assert found["clients"]["requests"]["verdict"] == "accepted"
    text = command("check", urls["intermediate"], env=env).stdout
    assert "The system store accepts this server." in text
    assert max(map(len, text.splitlines())) <= 80


@openssl_store
def test_a_file_that_openssl_gives_up_is_named(urls: dict[str, str], authorities: Authorities, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    anchor = authorities.system.cert_pem.bytes()
    bundle.write_bytes(anchor + anchor.replace(b"MII", b"AAA", 1))
    (tmp_path / "empty").mkdir()
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR=tmp_path / "empty")
    line = anchor.count(b"\n") + 1
    found = diagnosis(urls["system"], env=env, code=1)
    (left_out,) = (entry for entry in found["left_out"] if entry["path"] == str(bundle))
    assert f"line {line}: a corrupt certificate" in left_out["reason"]
    text = " ".join(command("check", urls["system"], env=env).stdout.split())
    assert f"Not used: {bundle}: line {line}: a corrupt certificate" in text


def trust_name(authority: trustme.CA) -> str:
    return x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject.rfc4514_string()


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown", "Unknown issuer: the CA "),
        ("wrong_host", "Wrong name: you asked for localhost, but the certificate is for other.example."),
        ("expired", "Expired: The server's certificate was valid until "),
    ],
)
@pytest.mark.long
def test_the_reason(case: str, words: str, env: dict[str, str], urls: dict[str, str]) -> None:
    found = diagnosis(urls[case], env=env, code=1)
    assert found["reason"].startswith(words)
    assert found["fix"]
    assert found["store"]["verdict"] == "refused"
    if case == "unknown":
        assert "unknown of the tests" in found["reason"]
        assert any("TRUSTSTORE_INJECT_EXTRA_CA_CERTS" in line for line in found["fix"])


@pytest.fixture
def serving() -> Iterator[Callable[[trustme.LeafCert], str]]:
    servers: list[Server] = []

    def start(certificate: trustme.LeafCert) -> str:
        servers.append(Server(server_context(certificate)))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("platform_", "release", "words"),
    [
        ("linux", {"ID": "debian"}, "/usr/local/share/ca-certificates/ca.crt && update-ca-certificates"),
        ("linux", {"ID": "alpine"}, "/usr/local/share/ca-certificates/ca.crt && update-ca-certificates"),
        ("linux", {"ID": "almalinux", "ID_LIKE": "rhel centos fedora"}, "/etc/pki/ca-trust/source/anchors/"),
        ("linux", {"ID": "azurelinux"}, "update-ca-trust"),
        ("linux", {"ID": "amzn", "ID_LIKE": "fedora"}, "update-ca-trust"),
        ("linux", {"ID": "openEuler"}, "update-ca-trust"),
        ("linux", {"ID": "photon"}, "rehash_ca_certificates.sh"),
        ("linux", {"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "/etc/pki/trust/anchors/"),
        ("linux", {"ID": "manjaro", "ID_LIKE": "arch"}, "trust anchor --store"),
        ("linux", {"ID": "nixos"}, "security.pki.certificateFiles"),
        ("linux", None, "update-ca-certificates"),
        ("freebsd14", None, "certctl rehash"),
        ("win32", None, "certutil -addstore"),
        ("darwin", None, "security add-trusted-cert"),
    ],
)
def test_how_to_add_a_ca_where_no_tool_is_installed(
    platform_: str, release: dict[str, str] | None, words: str, machine: Callable[..., str]
) -> None:
    """The commands are those of the systems' own documentation; here only the choice among them is tested."""
    assert words in machine(platform_, release)


@pytest.mark.parametrize(
    ("tools", "folders", "words"),
    [
        (["update-ca-trust", "trust"], ["/etc/pki/ca-trust/source/anchors"], "/etc/pki/ca-trust/source/anchors/ &&"),
        (["update-ca-trust", "trust"], ["/etc/ca-certificates/trust-source"], "trust anchor --store ca.pem"),
        (["update-ca-certificates", "trust"], ["/usr/local/share/ca-certificates"], "ca-certificates/ca.crt &&"),
        (["update-ca-certificates"], ["/etc/pki/trust/anchors"], "cp ca.pem /etc/pki/trust/anchors/ &&"),
        (["update-ca-certificates"], [], "/usr/local/share/ca-certificates/ca.crt && update-ca-certificates"),
        (["rehash_ca_certificates.sh"], ["/etc/ssl/certs"], "/etc/ssl/certs/ && rehash_ca_certificates.sh"),
        (["update-ca-trust"], [], "update-ca-trust"),
        (["trust"], [], "update-ca-certificates  # of the package ca-certificates"),  # p11-kit alone
    ],
)
@pytest.mark.parametrize("path", [None, "/usr/sbin"])
def test_how_to_add_a_ca_with_what_is_installed(
    tools: list[str], folders: list[str], words: str, path: str | None, machine: Callable[..., str]
) -> None:
    """Whatever the distribution calls itself, and also if the tool is on the PATH of administrators alone."""
    assert words in machine("linux", {"ID": "of-my-own"}, tools, folders, path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The commands for a machine with that ``os-release``, those tools (on that path) and those folders."""
    from truststore_inject.cli import _adding

    def commands(
        platform_: str,
        release: dict[str, str] | None,
        tools: Sequence[str] = (),
        folders: Sequence[str] = (),
        where: str | None = None,
    ) -> str:
        def os_release() -> dict[str, str]:
            if release is None:
                raise OSError("no such file")
            return release

        def which(tool: str, path: str) -> bool:
            return tool in tools and (where is None or where in path.split(":"))

        monkeypatch.setenv("PATH", "/usr/bin")
        monkeypatch.setattr(_adding.sys, "platform", platform_)
        monkeypatch.setattr(_adding.platform, "freedesktop_os_release", os_release)
        monkeypatch.setattr(_adding.shutil, "which", which)
        monkeypatch.setattr(_adding.os.path, "isdir", folders.__contains__)
        command, without_root = _adding.how_to_add()
        assert "TRUSTSTORE_INJECT_EXTRA_CA_CERTS" in without_root
        return command

    return commands


@pytest.mark.long
def test_not_yet_valid(env: dict[str, str], authorities: Authorities, serving: Callable[..., str]) -> None:
    start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)
    leaf = authorities.system.issue_cert(*HOSTS, not_before=start, not_after=start + datetime.timedelta(days=9))
    found = diagnosis(serving(leaf), env=env, code=1)
    assert found["reason"].startswith("Not yet valid: ")
    assert "clock" in found["fix"][0]


@pytest.mark.long
def test_a_forgotten_intermediate(env: dict[str, str], serving: Callable[..., str]) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, ca_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    location = x509.UniformResourceIdentifier("http://ca.example/intermediate.crt")
    access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, location)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([x509.DNSName("localhost")]), False),
        (x509.AuthorityInformationAccess([access]), False),
    ]
    leaf = certificate("localhost", key, extensions, "Some Intermediate", ca_key)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    found = diagnosis(serving(trustme.LeafCert(pem, leaf, [])), env=env, code=1)
    assert found["reason"].startswith("Missing intermediate: ")
    assert "CN=Some Intermediate" in found["reason"]
    assert any("http://ca.example/intermediate.crt" in line for line in found["fix"])


def test_an_inspecting_proxy(env: dict[str, str], serving: Callable[..., str]) -> None:
    authority = trustme.CA(organization_name="Zscaler Inc.")
    found = diagnosis(serving(authority.issue_cert(*HOSTS)), env=env, code=1)
    assert "TLS-inspecting proxy" in found["reason"]


@openssl_store
@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python sets VERIFY_X509_STRICT since 3.13")
@pytest.mark.parametrize(
    ("fault", "lack"),
    [
        ("basicConstraints not critical", "a basicConstraints that is critical"),
        ("no authority key identifier", "an authority key identifier"),
    ],
)
def test_refused_by_x509_strict_only(
    fault: str, lack: str, env: dict[str, str], tmp_path: Path, serving: Callable[..., str]
) -> None:
    ca, leaf = lax(fault)
    leaf = trustme.LeafCert(leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes(), [ca])
    (tmp_path / "ca.pem").write_bytes(ca)
    found = diagnosis(serving(leaf), "--ca-file", str(tmp_path / "ca.pem"), env=env, code=1)
    assert found["reason"].startswith("Refused only because of VERIFY_X509_STRICT")
    assert lack in found["reason"]
    assert any("TRUSTSTORE_INJECT_X509_STRICT=0" in line for line in found["fix"])


def test_judged_with_a_further_ca(env: dict[str, str], urls: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    found = diagnosis(urls["private"], "--ca-file", str(ca_file("private")), env=env)
    assert found["store"]["verdict"] == "accepted"
    assert found["anchor"]["place"] == str(ca_file("private"))


def test_a_name_that_a_terminal_would_obey(env: dict[str, str], serving: Callable[..., str]) -> None:
    authority = trustme.CA(organization_name="Evil\033[2J \u00e9")
    result = command("check", serving(authority.issue_cert(*HOSTS)), env={**env, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 1, result.stderr
    assert "\033" not in result.stdout
    assert "Evil\\x1b[2J \\xe9" in result.stdout


def test_a_variable_that_makes_requests_refuse(
    env: dict[str, str], urls: dict[str, str], ca_file: Callable[[str], Path]
) -> None:
    env = {**env, "REQUESTS_CA_BUNDLE": str(ca_file("private"))}
    found = diagnosis(urls["system"], env=env, code=1)
    assert found["store"]["verdict"] == "accepted"
    assert found["clients"]["requests"]["verdict"] == "refused"
    assert any(line.startswith("REQUESTS_CA_BUNDLE=") for line in found["fix"])


@pytest.mark.long
def test_through_a_proxy(env: dict[str, str], urls: dict[str, str]) -> None:
    asked = []

    def answer(client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        asked.append(head.decode())
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    with speaking(answer) as port:
        proxied = {name: value for name, value in env.items() if name != "NO_PROXY"}
        proxied["HTTPS_PROXY"] = f"http://user:secret@127.0.0.1:{port}"
        result = command("check", urls["system"], "--json", env=proxied)
        without = diagnosis(urls["system"], env={**proxied, "HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert without["accepted"]
    assert any("Proxy-Authorization" not in head for head in asked)
    assert "secret" not in result.stdout + result.stderr
    (found,) = json.loads(result.stdout)
    assert result.returncode == 0, found
    assert found["proxy"] == f"127.0.0.1:{port}"
    assert found["clients"]["requests"]["verdict"] == "accepted"
    credentials = base64.b64encode(b"user:secret").decode()
    assert any(f"Proxy-Authorization: Basic {credentials}" in head for head in asked)


def _smtp(connection: socket.socket) -> None:
    connection.sendall(b"220-hello\r\n220 ready\r\n")
    assert connection.recv(1024).startswith(b"EHLO ")
    connection.sendall(b"250-here\r\n250 STARTTLS\r\n")
    assert connection.recv(1024) == b"STARTTLS\r\n"
    connection.sendall(b"220 go\r\n")


def _imap(connection: socket.socket) -> None:
    connection.sendall(b"* OK ready\r\n")
    assert connection.recv(1024) == b"a STARTTLS\r\n"
    connection.sendall(b"* note\r\na OK go\r\n")


def _postgres(connection: socket.socket) -> None:
    assert connection.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
    connection.sendall(b"S")


@pytest.mark.parametrize(("protocol", "greet"), [("smtp", _smtp), ("imap", _imap), ("postgres", _postgres)])
@pytest.mark.long
def test_starttls(
    protocol: str, greet: Callable[[socket.socket], None], env: dict[str, str], authorities: Authorities
) -> None:
    context = server_context(authorities.system.issue_cert(*HOSTS))

    def answer(connection: socket.socket) -> None:
        greet(connection)
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    with speaking(answer) as port:
        found = diagnosis(f"{protocol}://localhost:{port}", env=env)
        assert found["store"]["verdict"] == "accepted"
        assert found["clients"] == {}
        assert diagnosis(f"localhost:{port}", "--starttls", protocol, env=env)["accepted"]


# Bad input


def test_an_unresolvable_host(env: dict[str, str]) -> None:
    assert "cannot be resolved" in failure("check", "https://host.invalid/", env=env, code=3)


def test_a_closed_port(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "connection refused" in failure("check", f"127.0.0.1:{port}", env=env, code=3)


def test_several_servers(env: dict[str, str], urls: dict[str, str]) -> None:
    """One that does not answer does not hide the others; the exit code is the highest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    closed, accepted = report("check", f"127.0.0.1:{port}", urls["system"], env=env, code=3)
    assert "connection refused" in closed["error"]
    assert accepted["accepted"]


def test_plain_http(env: dict[str, str]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with speaking(answer) as port:
        assert "speaks plain HTTP" in failure("check", f"localhost:{port}", env=env, code=3)


def test_something_else(env: dict[str, str]) -> None:
    with speaking(lambda connection: connection.sendall(b"HELLO\r\n")) as port:
        assert "does not speak TLS" in failure("check", f"localhost:{port}", env=env, code=3)
        assert "does not speak SMTP" in failure("check", f"smtp://localhost:{port}", env=env, code=3)
        assert "does not speak IMAP" in failure("check", f"imap://localhost:{port}", env=env, code=3)
        assert "does not speak PostgreSQL" in failure("check", f"postgres://localhost:{port}", env=env, code=3)


def test_a_timeout(env: dict[str, str]) -> None:
    with speaking(lambda connection: connection.recv(65536) and connection.recv(65536) and None) as port:
        line = failure("check", f"localhost:{port}", "--timeout", "0.3", env=env, code=3)
    assert "no answer within 0.3 seconds" in line


def test_a_timeout_that_is_none(env: dict[str, str]) -> None:
    result = command("check", "localhost:1", "--timeout", "0", env=env)
    assert result.returncode == 2
    assert "more than 0 and less than 3600" in result.stderr


@pytest.mark.parametrize(
    "url", ["https://user:secret@/", "https://user:secret@host:port/", "gopher://user:secret@host"]
)
def test_a_password_is_never_printed(url: str, env: dict[str, str]) -> None:
    assert "secret" not in failure("check", url, env=env, code=2)


def test_a_password_is_never_printed_of_a_url_that_works(env: dict[str, str], urls: dict[str, str]) -> None:
    result = command("check", urls["system"].replace("://", "://somebody:secret@"), env=env)
    assert result.returncode == 0
    assert "secret" not in result.stdout + result.stderr
    assert "somebody" not in result.stdout + result.stderr


@pytest.mark.parametrize("content", ["not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_not_pem(content: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(content)
    assert "ca.pem" in failure("check", "localhost:1", "--ca-file", str(tmp_path / "ca.pem"), env=env, code=4)
    assert "No such file" in failure("check", "localhost:1", "--ca-file", str(tmp_path / "none"), env=env, code=4)


# export


@openssl_store
def test_export(env: dict[str, str], tmp_path: Path, authorities: Authorities) -> None:
    bundle = write_bundle(tmp_path / "both.pem", [authorities.system, authorities.private, authorities.private])
    env = {**env, "SSL_CERT_FILE": str(bundle)}
    file = tmp_path / "out.pem"
    result = command("export", file, env=env)
    assert (result.returncode, result.stdout) == (0, "")
    text = file.read_text()
    assert text.count("BEGIN CERTIFICATE") == 2
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(comments) == 2
    assert any("O=private of the tests" in comment and str(bundle) in comment for comment in comments)
    found = {certificate.public_bytes for certificate in x509.load_pem_x509_certificates(file.read_bytes())}
    assert len(found) == 2
    assert file.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert command("export", env=env).stdout == text


def test_the_exported_file_is_the_same_trust(env: dict[str, str], tmp_path: Path, urls: dict[str, str]) -> None:
    from harness import verdicts

    file = tmp_path / "out.pem"
    assert command("export", file, env=env).returncode == 0
    stock = environment(SSL_CERT_FILE=file, TRUSTSTORE_INJECT="0")
    assert verdicts("urllib_request", {case: urls[case] for case in ("system", "unknown")}, env=stock) == {
        "system": "accepted",
        "unknown": "refused",
    }


def test_export_includes_the_extra_ca(env: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    result = command("export", env={**env, "TRUSTSTORE_INJECT_EXTRA_CA_CERTS": str(ca_file("private"))})
    assert "O=private of the tests" in result.stdout


@openssl_store
def test_export_keeps_the_old_file_where_it_fails(env: dict[str, str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "out.pem"
    file.write_text("old")
    line = failure("export", str(file), env=environment(SSL_CERT_DIR=empty), code=4)
    assert "no trust anchor" in line
    assert file.read_text() == "old"
    assert "cannot be written" in failure("export", str(tmp_path / "none" / "out.pem"), env=env, code=4)


@openssl_store
def test_env_lines(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "it's a file.pem"
    lines = command("export", file, "--env", env=env).stdout
    script = lines + 'printf %s "$SSL_CERT_FILE|$CURL_CA_BUNDLE|$NODE_EXTRA_CA_CERTS|$GIT_SSL_CAINFO|$AWS_CA_BUNDLE"'
    script += ' "|$GRPC_DEFAULT_SSL_ROOTS_FILE_PATH|$CARGO_HTTP_CAINFO"'
    result = subprocess.run(["sh", "-c", script], env={"PATH": env["PATH"]}, capture_output=True, text=True, check=True)
    assert result.stdout == "|".join([str(file)] * 7)
    script = lines + 'printf %s "$UV_SYSTEM_CERTS|$UV_NATIVE_TLS|$NODE_USE_SYSTEM_CA|$DENO_TLS_CA_STORE"'
    result = subprocess.run(["sh", "-c", script], env={"PATH": env["PATH"]}, capture_output=True, text=True, check=True)
    assert result.stdout == "1|1|1|system"
    fish = command("export", file, "--env", "--shell", "fish", env=env).stdout.splitlines()
    assert fish[0] == "set -gx SSL_CERT_FILE '" + str(file).replace("'", "\\'") + "'"
    powershell = command("export", file, "--env", "--shell", "powershell", env=env).stdout.splitlines()
    assert powershell[0] == "$env:SSL_CERT_FILE = '" + str(file).replace("'", "''") + "'"
    assert "name the FILE" in failure("export", "--env", env=env, code=4)


@openssl_store
def test_env_lines_of_a_store_that_is_one_file(ca_file: Callable[[str], Path]) -> None:
    result = command("export", "--env", env=environment(SSL_CERT_FILE=ca_file("system"), SSL_CERT_DIR="/nonexistent"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"export SSL_CERT_FILE={ca_file('system')}"


def test_a_closed_pipe(env: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "truststore_inject", "export"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.parametrize(
    ("system", "closed", "code"), [("win32", "pipe", 141), ("linux", "pipe", 4), ("win32", "something else", 1)]
)
def test_a_closed_pipe_in_the_words_of_windows(system: str, closed: str, code: int, env: dict[str, str]) -> None:
    program = f"""
import errno, io, sys
from truststore_inject.cli import _terminal, main, status
def fail(*arguments):
    raise OSError(errno.EINVAL, "Invalid argument")
class Closed(io.TextIOWrapper):
    write = fail
if {closed!r} == "pipe":
    sys.stdout = Closed(sys.stdout.buffer)
    status.run = lambda arguments: _terminal.say("active")
else:
    status.run = fail
sys.platform = {system!r}
sys.exit(main(["status"]))
"""
    result = run("-c", program, env=env)
    assert (result.returncode, result.stdout, "Traceback" in result.stderr) == (code, "", code == 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">/dev/full", "standard output cannot be written: No space left on device"),
        (">&-", "standard output is closed"),
    ],
)
def test_an_output_that_takes_nothing(redirection: str, words: str, env: dict[str, str]) -> None:
    for arguments in ("status", "status --json", "export"):
        line = ["sh", "-c", f'"$0" -m truststore_inject {arguments} {redirection}', sys.executable]
        result = subprocess.run(line, env=env, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (4, f"truststore-inject: {words}\n"), arguments
        silent = subprocess.run([*line[:2], f"{line[2]} 2>&-", *line[3:]], env=env, capture_output=True)
        assert (silent.returncode, silent.stdout) == (4, b"")


@openssl_store
def test_export_reads_trusted_certificates_too(env: dict[str, str], tmp_path: Path, authorities: Authorities) -> None:
    """A bundle with trust settings (``openssl x509 -trustout``), which only OpenSSL can read."""
    write_bundle(tmp_path / "plain.pem", [authorities.private])
    convert = ["openssl", "x509", "-in", tmp_path / "plain.pem", "-trustout", "-addtrust", "serverAuth"]
    trusted = subprocess.run(convert, check=True, capture_output=True).stdout
    assert b"TRUSTED CERTIFICATE" in trusted
    (tmp_path / "bundle.pem").write_bytes(trusted)
    text = command("export", env={**env, "SSL_CERT_FILE": str(tmp_path / "bundle.pem")}).stdout
    assert "O=private of the tests" in text
    assert "O=system of the tests" in text
