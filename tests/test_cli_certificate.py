"""What a certificate says, also one that a server made up to be misread."""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from harness import HOSTS, Authorities, openssl_store
from servers import Server

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from certificates import DAY, NOW
from commands import command, is_printable

from truststore_inject.cli import _certificate, _diagnosis


def test_the_validity_of_an_older_cryptography() -> None:
    now = NOW.replace(tzinfo=None)
    older = SimpleNamespace(not_valid_before=now, not_valid_after=now + DAY)
    assert _certificate._utc(older, "not_valid_before") == NOW
    assert _certificate._utc(older, "not_valid_after") == NOW + DAY


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
