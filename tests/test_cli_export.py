"""``truststore-inject export``: the store as a file, and the lines for a shell."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import Authorities, environment, openssl_store, write_bundle, write_directory
from machines import LAYOUTS, needs_machines

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from commands import NOT_UTF8, command, failure, unix
from cryptography import x509

from truststore_inject import stores
from truststore_inject.cli import export
from truststore_inject.cli._failure import Failure
from truststore_inject.stores import _export


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


@openssl_store
@pytest.mark.parametrize("more", ["SSL_CERT_DIR", "TRUSTSTORE_INJECT_EXTRA_CA_CERTS"])
def test_a_file_that_is_not_all_that_is_trusted(
    more: str, ca_file: Callable[[str], Path], authorities: Authorities, tmp_path: Path
) -> None:
    directory = write_directory(tmp_path / "directory", [authorities.private])
    env = environment(SSL_CERT_FILE=ca_file("system"), **{more: directory})
    assert "this store is not one file" in failure("export", "--env", env=env, code=4)


@needs_machines
def test_debians_bundle_is_named_though_openssl_reads_the_directory(authorities: Authorities, tmp_path: Path) -> None:
    machine = LAYOUTS["Debian"](tmp_path / "machine", [authorities.system])
    result = machine.run(machine.python, "-m", "truststore_inject", "export", "--env")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"


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


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("sh", "export X='/a '\"'\"'b'\"'\"' \u2018c\u2019\\d'"),
        ("fish", "set -gx X '/a \\'b\\' \u2018c\u2019\\\\d'"),
        ("powershell", "$env:X = '/a ''b'' \u2018\u2018c\u2019\u2019\\d'"),
    ],
)
def test_the_lines_of_each_shell(shell: str, line: str) -> None:
    assert export._lines({"X": "/a 'b' \u2018c\u2019\\d"}, shell) == [line]


def test_a_store_that_cannot_be_exported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", "/nonexistent/extra.pem")
    monkeypatch.setattr(stores, "listing", list)
    with pytest.raises(Failure, match="no trust anchor"):
        export._anchors()
    assert "left out TRUSTSTORE_INJECT_EXTRA_CA_CERTS, /nonexistent/extra.pem: No such file" in capsys.readouterr().err

    def unreadable() -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(stores, "listing", unreadable)
    with pytest.raises(Failure, match="the system store cannot be read: input/output error"):
        export._anchors()
    monkeypatch.setattr(_export, "machines_bundle", unreadable)
    with pytest.raises(Failure, match="the system store cannot be read: input/output error"):
        export.run(SimpleNamespace(env=True, file=None, shell="sh", from_windows=False))  # type: ignore[arg-type]


def test_a_comment_that_looks_like_a_certificate() -> None:
    anchor = {"subject": "O=a\n-----BEGIN CERTIFICATE-----", "place": "/x\x1b", "pem": "-----BEGIN CERTIFICATE-----\n"}
    text = export._pem_text([anchor])
    assert text == "# O=a\\n- - -BEGIN CERTIFICATE- - -, from /x\\x1b\n-----BEGIN CERTIFICATE-----\n"


@unix
@openssl_store
@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "fish", "pwsh"])
def test_a_shell_reads_what_was_written(shell: str, env: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    kind = {"fish": "fish", "pwsh": "powershell"}.get(shell, "sh")
    for name in (
        "it's",
        "\u2018quoted\u2019\u201a\u201b",
        "a$(touch x)`touch x`",
        'a"b\\c',
        "\u00fc; touch x",
        "-e",
        "%PATH%!",
    ):
        file = tmp_path / f"{name}.pem"
        lines = command("export", file, "--env", "--shell", kind, env=env).stdout
        say = "[Console]::Out.Write($env:AWS_CA_BUNDLE)" if shell == "pwsh" else 'printf %s "$AWS_CA_BUNDLE"'
        said = subprocess.run([shell, "-c", f"{lines}\n{say}"], env=env, capture_output=True, cwd=tmp_path, check=True)
        assert said.stdout.decode() == str(file)
    assert not (tmp_path / "x").exists()


@unix
@openssl_store
@pytest.mark.parametrize("name", [NOT_UTF8[1:], "a\nb", "a\x1b[2Jb", "a\u202eb"])
def test_a_name_that_no_line_can_say(name: str, env: dict[str, str], tmp_path: Path) -> None:
    line = failure("export", str(tmp_path / name), "--env", env={**env, "PYTHONUTF8": "1"}, code=4)
    assert "--env" in line
    assert [*tmp_path.iterdir()] == []  # it was refused before anything was written
