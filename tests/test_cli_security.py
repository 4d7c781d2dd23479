"""What somebody else controls while a command runs: the current directory, a folder, a server, a variable, a name."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import HOSTS, Authorities, Server, environment, openssl_store, run, server_context

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from test_cli import NO_PROXY, command, failure, speaking

from truststore_inject.cli import _certificate, _diagnosis, _files, _judges, _secrets, export

unix = pytest.mark.skipif(os.name == "nt", reason="there are no such links and modes")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def env(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(SSL_CERT_DIR=store, HOME=tmp_path_factory.mktemp("home"), **NO_PROXY)


# ----------------------------------------------------------------------------------------------- the current directory


# What commands and their children import.  Not runpy, which Python 3.10 itself takes from there with -m.
IMPORTED = "argparse asyncio base64 glob hashlib json secrets shlex shutil ssl subprocess tempfile urllib"


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder whose modules say that they were run."""
    for name in IMPORTED.split():
        code = f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\nraise ImportError\n"
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


SCRIPT = "import sys; sys.path.pop(0); from truststore_inject.cli import main; sys.exit(main())"  # as pip writes it


@pytest.mark.parametrize("empty_entry", [False, True], ids=["", "an empty entry of PYTHONPATH"])
@pytest.mark.parametrize(
    "arguments",
    ["status", pytest.param("check URL", marks=pytest.mark.long), "export", "base status", "run --check python"],
)
def test_nothing_of_the_current_directory_runs(
    arguments: str, empty_entry: bool, env: dict[str, str], urls: dict[str, str], trap: Path
) -> None:
    words = [
        urls["system"] if word == "URL" else sys.executable if word == "python" else word for word in arguments.split()
    ]
    variables = {"COVERAGE_PROCESS_CONFIG": ""}  # whose .pth file would import from there
    if empty_entry:
        variables["PYTHONPATH"] = f"{os.pathsep}/nonexistent"
    start = ["-c", SCRIPT] if empty_entry else ["-m", "truststore_inject"]  # with -m Python itself would look there
    result = run(*start, *words, env={**env, **variables}, cwd=trap)
    assert "Traceback" not in result.stderr, result.stderr
    assert result.returncode in (0, 1)
    assert not (trap / "ran").exists(), (trap / "ran").read_text()


# --------------------------------------------------------------------------------------- a file, and who shares its folder


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


def test_a_comment_that_looks_like_a_certificate() -> None:
    anchor = {"subject": "O=a\n-----BEGIN CERTIFICATE-----", "place": "/x\x1b", "pem": "-----BEGIN CERTIFICATE-----\n"}
    text = export._pem_text([anchor])
    assert text == "# O=a\\n- - -BEGIN CERTIFICATE- - -, from /x\\x1b\n-----BEGIN CERTIFICATE-----\n"


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


# -------------------------------------------------------------------------------------------------- a hostile server


LOCALHOST = "subjectAltName=DNS:localhost"
CURVE = ("-algorithm", "EC", "-pkeyopt")
# The extensions of each, and what else: OpenSSL makes them, and takes them for certificates.
HOSTILE: dict[str, dict[str, Any]] = {
    "an ediPartyName": {"extensions": "subjectAltName=DER:30:0f:82:09:6c:6f:63:61:6c:68:6f:73:74:a5:02:81:00"},
    "an x400Address": {"extensions": "subjectAltName=DER:30:0d:82:09:6c:6f:63:61:6c:68:6f:73:74:a3:00"},
    "an extension twice": {"extensions": f"{LOCALHOST}\n2.5.29.17=DER:30:0b:82:09:6c:6f:63:61:6c:68:6f:73:74"},
    "an address of three bytes": {"extensions": "subjectAltName=DER:30:05:87:03:01:02:03"},
    "a name that is not ASCII": {"extensions": "subjectAltName=DER:30:06:82:04:ff:fe:00:41"},
    "a URI that is not ASCII": {"extensions": "subjectAltName=DER:30:04:86:02:ff:fe"},
    "no names at all": {"extensions": "subjectAltName=DER:30:00"},
    "a constraint that is none": {"extensions": f"{LOCALHOST}\n2.5.29.19=DER:04:00"},
    "an issuer's address that is none": {"extensions": f"{LOCALHOST}\n1.3.6.1.5.5.7.1.1=DER:ff:ff"},
    "an issuer's address with a terminal's commands": {
        "extensions": f"{LOCALHOST}\n1.3.6.1.5.5.7.1.1=DER:30:13:30:11:06:08:2b:06:01:05:05:07:30:02:86:05:1b:5b:32:4a:0a"
    },
    "a negative serial number": {"extensions": LOCALHOST, "more": ["-set_serial", "-5"]},
    "an SM2 key": {"extensions": LOCALHOST, "key": ["-algorithm", "SM2"]},
    "a small curve": {"extensions": LOCALHOST, "key": [*CURVE, "ec_paramgen_curve:secp128r1"]},
    "a curve by its parameters": {
        "extensions": LOCALHOST,
        "key": [*CURVE, "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
    },
    "a terminal's commands": {"extensions": LOCALHOST, "subject": "O=a\x1b]0;PWN\x07\x9b2J\u202e"},
    "a thousand names": {
        "extensions": "subjectAltName=" + ",".join(f"DNS:n{number}.example" for number in range(1000))
    },
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    """The certificate and its key, as PEM, of each kind that this ``openssl`` makes."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("hostile")

    def openssl(*arguments: str) -> bool:
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True)
        return done.returncode == 0

    made = {}
    for what, kind in HOSTILE.items():
        config = [
            "[req]",
            "prompt=no",
            "string_mask=utf8only",
            "utf8=yes",
            "distinguished_name=dn",
            "x509_extensions=v3",
        ]
        config += ["[dn]", kind.get("subject", "CN=localhost"), "[v3]", kind["extensions"], ""]
        (folder / "config").write_text("\n".join(config), encoding="utf-8")
        request = ["-x509", "-new", "-key", "key.pem", "-config", "config", "-days", "9", "-out", "made.pem"]
        key = kind.get("key", [*CURVE, "ec_paramgen_curve:P-256"])
        if openssl("genpkey", *key, "-out", "key.pem") and openssl("req", *request, *kind.get("more", [])):
            made[what] = (folder / "made.pem").read_bytes(), (folder / "key.pem").read_bytes()
    assert len(made) > len(HOSTILE) / 2, sorted(HOSTILE.keys() - made.keys())
    return made


def is_printable(text: str) -> bool:
    """A terminal obeys nothing in it but the ends of its lines."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.long
@openssl_store
def test_certificates_that_are_odd(
    env: dict[str, str],
    hostile: dict[str, tuple[bytes, bytes]],
    authorities: Authorities,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All of them behind a good one, as OpenSSL would not take each of them for a server's own."""
    good = authorities.system.issue_cert(*HOSTS)
    chain = [good.cert_chain_pems[0].bytes(), *(certificate for certificate, _ in hostile.values())]
    leaf = trustme.LeafCert(good.private_key_pem.bytes(), chain[0], chain[1:])
    with contextlib.closing(Server(careless(leaf))) as server:
        result = command("check", f"localhost:{server.port}", "--json", env=env)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert is_printable(result.stdout)
    (report,) = json.loads(result.stdout)
    certificates = dict(zip(hostile, report["chain"][1:], strict=True))
    assert certificates["an ediPartyName"]["names"] is None
    assert certificates["an ediPartyName"]["subject"] == "CN=localhost"
    assert certificates["no names at all"]["names"] == []
    assert len(certificates["a thousand names"]["names"]) == 1000
    assert "\x1b" in certificates["a terminal's commands"]["subject"]
    _diagnosis.show(report, separate=False)
    shown = capsys.readouterr().out
    assert is_printable(shown)
    assert "and 980 more" in " ".join(shown.split())
    assert len(shown) < 20_000


@pytest.mark.long
def test_an_odd_certificate_of_the_server_itself(env: dict[str, str], hostile: dict[str, tuple[bytes, bytes]]) -> None:
    certificate, key = hostile["no names at all"]
    with contextlib.closing(Server(careless(trustme.LeafCert(key, certificate, [])))) as server:
        result = command("check", f"localhost:{server.port}", env=env)
    assert (result.returncode, result.stderr) == (1, "")
    assert "is self-signed and not in the store" in " ".join(result.stdout.split())


def careless(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context that does not mind what it sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    certificate.configure_cert(context)
    return context


def test_what_is_no_certificate_at_all() -> None:
    nothing = _certificate.read(b"nothing")
    assert nothing.subject == nothing.issuer == _certificate.UNREADABLE
    assert (nothing.names, nothing.not_after, nothing.lacks) == (None, None, [])
    json.dumps(nothing.as_dict())


def test_a_panic_is_no_exception() -> None:
    """That of cryptography's Rust; but who interrupts a command is obeyed."""

    class Panic(BaseException):
        pass

    def fail(error: type[BaseException]) -> None:
        raise error

    assert _certificate._or(7, lambda: fail(Panic)) == 7
    with pytest.raises(KeyboardInterrupt):
        _certificate._or(7, lambda: fail(KeyboardInterrupt))


def _for_ever(connection: socket.socket, beginning: bytes, again: bytes, pause: float) -> None:
    connection.sendall(beginning)
    while True:
        connection.sendall(again)
        time.sleep(pause)


TALKERS = {
    "smtp": (b"", b"220-hello\r\n"),
    "imap": (b"* OK\r\n", b"* still here\r\n"),
    "a line without an end": (b"", b"220 "),
    "a proxy": (b"HTTP/1.1 200 OK\r\n", b"Via: me\r\n"),
    "TLS": (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", b"x"),
}


@pytest.mark.parametrize("pause", [0.0, 0.2], ids=["fast", "slow"])
@pytest.mark.parametrize("who", TALKERS)
def test_a_server_that_does_not_stop_talking(who: str, pause: float, env: dict[str, str]) -> None:
    """If nothing else ends it, the limit of the tests' own `run` does, and fails them."""
    with speaking(lambda connection: _for_ever(connection, *TALKERS[who], pause)) as port:
        if who == "a proxy":
            env = {name: value for name, value in env.items() if name != "NO_PROXY"}
            env["HTTPS_PROXY"] = f"127.0.0.1:{port}"
        options = ["--starttls", "imap" if who == "imap" else "smtp"] if who not in ("a proxy", "TLS") else []
        timeout = "1" if pause else "60"
        line = failure("check", f"127.0.0.1:{port}", "--timeout", timeout, *options, env=env, code=3)
    if pause:
        assert "no answer within 1 seconds" in line
    else:
        assert ("does not speak TLS" if who == "TLS" else "does not stop talking") in line


@pytest.mark.long
def test_a_client_that_is_kept_by_a_server_that_does_not_stop_talking(
    env: dict[str, str], authorities: Authorities
) -> None:
    """Over TLS; with a head, which ends as little as a body."""
    context = server_context(authorities.system.issue_cert(*HOSTS))

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            if tls.recv(65536):
                _for_ever(tls, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1)

    with speaking(answer) as port:
        (found,) = json.loads(command("check", f"localhost:{port}", "--timeout", "1", "--json", env=env).stdout)
    assert found["store"]["verdict"] == "accepted"
    assert found["clients"]["asyncio"]["verdict"] == "accepted"
    assert found["clients"]["urllib.request"] == {"verdict": "error", "words": "it does not end within 1 seconds"}


@pytest.mark.long
def test_a_body_without_an_end_is_not_read(env: dict[str, str], authorities: Authorities) -> None:
    context = server_context(authorities.system.issue_cert(*HOSTS))

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            if tls.recv(65536):
                _for_ever(tls, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 16384, 0.0)

    import certifi

    env = {**env, "SSL_CERT_FILE": certifi.where()}  # httpx fails if it does not exist
    with speaking(answer) as port:
        (found,) = json.loads(command("check", f"localhost:{port}", "--timeout", "5", "--json", env=env).stdout)
    said = {name: client for name, client in found["clients"].items() if client["verdict"] != "accepted"}
    assert said == {}


def test_a_name_whose_look_up_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from truststore_inject.cli import _handshake
    from truststore_inject.cli._failure import Failure
    from truststore_inject.cli._target import Target

    monkeypatch.setattr(os, "environ", NO_PROXY)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(60))
    with pytest.raises(Failure, match=r"no answer within 0\.2 seconds"):
        _handshake.speaks_http(Target("slow.test", 443, None), 0.2)
    # Nor is there more time because it has many addresses.
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 1000)
    tried = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(self.gettimeout())
        time.sleep(0.1)
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Failure, match=r"no answer within 0\.2 seconds"):
        _handshake.speaks_http(Target("many.test", 443, None), 0.2)
    assert 0 < len(tried) < 5


# --------------------------------------------------------------------------- what is printed of variables, files and names

ESCAPES = "\033]0;PWN\007\033[31m\x9b2J\u202e"
NOT_UTF8 = b"/\xff\xfe.pem".decode("utf-8", "surrogateescape")


@unix
@pytest.mark.parametrize("value", [f"/x{ESCAPES}\nnext: line", NOT_UTF8], ids=["escapes", "not UTF-8"])
def test_nothing_raw_is_printed(value: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(f"[global\033[2J]\ncert = {value.splitlines()[0]}\n", errors="surrogateescape")
    names = ("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", "TRUSTSTORE_INJECT_DEBUG", "TRUSTSTORE_INJECT", "SSL_CERT_FILE")
    hostile = {**env, **dict.fromkeys((*names, "REQUESTS_CA_BUNDLE", "PIP_CERT"), value)}
    hostile["PIP_CONFIG_FILE"] = str(tmp_path / "pip.conf")
    for arguments in (
        ["status"],
        ["status", "--json"],
        ["status", value],
        ["export"],
        ["export", "--json"],
        ["export", f"/nonexistent{value}"],
        ["export", f"{tmp_path}/{value.replace('/', '')}", "--env"],
        ["export", f"{tmp_path}/{value.replace('/', '')}"],
        ["export", "--shell", value],
        ["check", f"127.0.0.1{value}"],
        ["check", "127.0.0.1:1", "--ca-file", value],
        ["check", "127.0.0.1:1", "--timeout", value],
        ["base", "status", "--python", value],
        ["base", value],
        [value],
    ):
        line = [sys.executable, "-m", "truststore_inject", *arguments]
        result = subprocess.run(line, env=hostile, capture_output=True, cwd="/")
        for stream in (result.stdout, result.stderr):
            assert is_printable(stream.decode("utf-8")), (arguments, stream)
        assert b"Traceback" not in result.stderr, (arguments, result.stderr)
        if result.returncode > 1:
            lines = [line for line in result.stderr.splitlines() if b": left out TRUSTSTORE" not in line]
            assert len(lines) == 1, (arguments, result.stderr)
        if "--json" in arguments:
            text = json.dumps(json.loads(result.stdout), ensure_ascii=False)
            assert text.encode("utf-8").decode("utf-8") == text


def test_json_without_lone_surrogates(capsys: pytest.CaptureFixture[str]) -> None:
    from truststore_inject.cli._terminal import print_json

    print_json({"a\udcff": ["\ud800x", "\U0001f600", 1, None]})
    assert json.loads(capsys.readouterr().out) == {"a\\udcff": ["\\ud800x", "\U0001f600", 1, None]}


# ------------------------------------------------------------------------------------------------------- credentials

PROXIES = [
    "http://us%40er:hunter2%21@127.0.0.1:{port}",
    "http://user:hunter2@127.0.0.1:notaport",
    "http://user:hunter2@[::1",
    "user:hunter2@127.0.0.1:1",
    "http:/user:hunter2@127.0.0.1:{port}",
    "http://user:hun/ter2@127.0.0.1:{port}",
    "http://user:hunter2#@127.0.0.1:{port}",
    "http://hunter2/x@127.0.0.1:{port}",
    "http://hunter2@127.0.0.1:{port}",
    "http://user:hunter2@127.0.0.1 :{port}",
    "socks5://user:hunter2@127.0.0.1:{port}",
    "ftp://user:hunter2@127.0.0.1:{port}",
    "://user:hunter2@127.0.0.1:{port}",
]


@pytest.fixture
def asked_through(env: dict[str, str]) -> Iterator[Callable[[str, str], dict[str, str]]]:
    """The environment with that variable for a proxy, which refuses, and repeats what it was told."""

    def answer(connection: socket.socket) -> None:
        head = connection.recv(65536).decode("latin-1")
        echo = head.partition("Authorization: ")[2].partition("\r\n")[0]
        connection.sendall(f"HTTP/1.1 407 Not {echo}\r\nContent-Length: 0\r\n\r\n".encode())

    with speaking(answer) as port:
        without = {name: value for name, value in env.items() if name != "NO_PROXY"}
        yield lambda variable, proxy: {**without, variable: proxy.format(port=port)}


def assert_without_password(said: str, proxy: str) -> None:
    for secret in ("hunter2", "hun", "ter2", "aHVudGVy", "VyMi"):  # the last two: in base64
        assert secret not in said, (proxy, secret, said)


@pytest.mark.parametrize("proxy", PROXIES)
def test_no_password_of_a_proxy_is_printed(proxy: str, asked_through: Callable[..., Any], urls: dict[str, str]) -> None:
    result = command("check", urls["system"], "--timeout", "5", env=asked_through("HTTPS_PROXY", proxy))
    assert result.returncode in (2, 3), result.stdout
    assert len(result.stderr.splitlines()) == 1
    assert_without_password(result.stdout + result.stderr, proxy)


@pytest.mark.long
@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_no_client_quotes_the_password_of_a_proxy(
    client: str, asked_through: Callable[..., Any], urls: dict[str, str]
) -> None:
    """Whatever it makes of a URL that is none; that these libraries do quote it is the reason."""
    words = []
    for proxy in PROXIES:
        ((_, said),) = _judges.client(client, [(urls["system"], "default", 2)], asked_through("ALL_PROXY", proxy))
        assert_without_password(said, proxy)
        words.append(said)
    assert any("(not shown: it holds credentials of the proxy)" in said for said in words), words


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("ProxyError: 407 Proxy Authentication Required", True),
        ("InvalidURL: Failed to parse: http://me:s3cret!@host", False),
        ("ValueError: Port could not be cast to integer value as 's3cret'", False),
        ("Error: s3cret%21", False),
        ("Error: bWU6czNjcmV0IQ==", False),
    ],
)
def test_words_with_a_piece_of_the_credentials_are_not_shown(words: str, shown: bool) -> None:
    said = _secrets.without_credentials(words, {"https_proxy": "http://me:s3cret%21@host:1"})
    assert said == (words if shown else f"{words.partition(':')[0]}: (not shown: it holds credentials of the proxy)")
    assert _secrets.without_credentials(words, {"HTTPS_PROXY": "http://host:1"}) == words


@pytest.mark.parametrize(
    "arguments",
    [
        ["https://user:hunter2@host/"],
        ["check", "user:hunter2@host://x"],
        ["check", "hunter2://user@host"],
        ["check", "localhost", "https://user:hunter2@host:port"],
        ["check", "--starttls", "https://user:hunter2@host/"],
        ["check", "--timeout", "https://user:hunter2@host/"],
        ["status", "https://us er:hunter2@host/"],
    ],
)
def test_no_password_of_a_url_in_the_wrong_place_is_printed(arguments: list[str], env: dict[str, str]) -> None:
    assert "hunter2" not in failure(*arguments, env=env, code=2)


# ----------------------------------------------------------------------------------------- the lines for a shell, and a note


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


@unix
@openssl_store
def test_a_name_that_the_output_cannot_hold(env: dict[str, str], tmp_path: Path) -> None:
    ascii_only = {**env, "PYTHONIOENCODING": "ascii"}
    assert "in ascii" in failure("export", str(tmp_path / "\u00fc.pem"), "--env", env=ascii_only, code=4)
