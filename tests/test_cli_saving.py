"""``truststore-inject check URL --save-ca FILE``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Authorities, openssl_store, run
from servers import Server, server_context

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID
from lax import KEY_USAGE, certificate

pytestmark = [openssl_store, pytest.mark.long]


# The verdicts of the client libraries are test_cli_judges.py's, and cost a process each.
CHECK = "from truststore_inject.cli import _judges, main; _judges.installed = dict; raise SystemExit(main())"


def diagnosis(url: str, *arguments: str, env: dict[str, str], code: int = 0) -> Any:
    result = run("-c", CHECK, "check", url, *arguments, "--json", env=env)
    assert (result.returncode, result.stderr) == (code, ""), result.stderr
    (found,) = json.loads(result.stdout)
    return found


def failure(*arguments: str, env: dict[str, str], code: int) -> str:
    """The one line on standard error."""
    result = run("-c", CHECK, "check", *arguments, env=env)
    assert (result.returncode, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    return line


@contextlib.contextmanager
def sending(*chain: trustme.Blob, key: trustme.Blob) -> Iterator[str]:
    """The address of a server that sends these certificates."""
    leaf, *others = (blob.bytes() for blob in chain)
    server = Server(server_context(trustme.LeafCert(key.bytes(), leaf, others)))
    yield server.url
    server.close()


def der(blob: trustme.Blob) -> bytes:
    text = blob.bytes().decode()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN ") :])


def fingerprint(blob: trustme.Blob) -> str:
    return hashlib.sha256(der(blob)).digest().hex(":").upper()


def comments(file: Path) -> str:
    return "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))


def test_the_root_is_saved_in_whatever_order_it_is_sent(env: dict[str, str], tmp_path: Path) -> None:
    root = trustme.CA(organization_name="Inspection Ltd")
    intermediate = root.create_child_ca()
    leaf = intermediate.issue_cert("localhost")
    end, middle = leaf.cert_chain_pems[:2]
    other = trustme.CA(organization_name="not of this chain")
    for number, chain in enumerate([(end, middle, root.cert_pem), (end, root.cert_pem, middle, other.cert_pem)]):
        file = tmp_path / f"ca {number}.pem"
        with sending(*chain, key=leaf.private_key_pem) as url:
            found = diagnosis(url, "--save-ca", str(file), env=env, code=1)
            # Nothing trusts it yet; told to, everything does.
            assert diagnosis(url, env=env, code=1)["store"]["verdict"] == "refused"
            assert diagnosis(url, "--ca-file", str(file), env=env)["store"]["verdict"] == "accepted"
        assert der(trustme.Blob(file.read_bytes())) == der(root.cert_pem)
        assert (found["saved"]["file"], found["saved"]["sha256"]) == (str(file), fingerprint(root.cert_pem))
        assert f"'{file}'" in found["fix"][-2]
        text = comments(file)
        for words in ("NOT verified", "Inspection Ltd", fingerprint(root.cert_pem), "Valid "):
            assert words in text
        assert "intermediate" not in text


def test_an_intermediate_that_ends_the_chain(env: dict[str, str], tmp_path: Path) -> None:
    leaf = trustme.CA().create_child_ca().issue_cert("localhost")
    with sending(*leaf.cert_chain_pems, key=leaf.private_key_pem) as url:
        found = diagnosis(url, "--save-ca", str(tmp_path / "ca.pem"), env=env, code=1)
    assert found["saved"]["root"] is False
    assert found["saved"]["sha256"] == fingerprint(leaf.cert_chain_pems[1])
    assert "This is an intermediate" in comments(tmp_path / "ca.pem")
    assert any("This is an intermediate" in line for line in found["fix"])


def test_what_is_not_sent_is_not_saved(env: dict[str, str], authorities: Authorities, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    leaf = trustme.CA().issue_cert("localhost")
    with sending(leaf.cert_chain_pems[0], key=leaf.private_key_pem) as url:
        found = diagnosis(url, "--save-ca", str(file), env=env, code=1)
    assert (found["saved"], "the server does not send the CA" in found["fix"][0]) == (None, True)
    # Its address is in the certificate.
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    where = x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example/ca.crt")
    )
    extensions: list[tuple[Any, bool]] = [
        (x509.SubjectAlternativeName([x509.DNSName("localhost")]), False),
        (x509.AuthorityInformationAccess([where]), False),
    ]
    pem = trustme.Blob(certificate("localhost", key, extensions, "far CA", ca_key))
    with sending(pem, key=private(key)) as url:
        found = diagnosis(url, "--save-ca", str(file), env=env, code=1)
    assert (found["saved"], "http://ca.example/ca.crt" in found["fix"][0]) == (None, True)
    # Nothing is missing: the store has the CA, or it is something else that is wrong.
    for name, code in (("localhost", 0), ("other.example", 1)):
        leaf = authorities.system.issue_cert(name)
        with sending(*leaf.cert_chain_pems, authorities.system.cert_pem, key=leaf.private_key_pem) as url:
            found = diagnosis(url, "--save-ca", str(file), env=env, code=code)
        assert (found["saved"], "no CA is missing" in found["fix"][0]) == (None, True)
    assert not file.exists()


def private(key: ec.EllipticCurvePrivateKey) -> trustme.Blob:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8
    return trustme.Blob(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def test_a_name_in_a_comment_is_no_certificate(env: dict[str, str], tmp_path: Path) -> None:
    """Some readers of PEM look for the line anywhere; a terminal obeys what it is sent."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "-----BEGIN CERTIFICATE-----\nAAAA\033[31m ü"
    extensions: list[tuple[Any, bool]] = [
        (x509.SubjectAlternativeName([x509.DNSName("localhost")]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        KEY_USAGE,
    ]
    pem = trustme.Blob(certificate(name, key, extensions, name, key))
    file = tmp_path / "ca.pem"
    with sending(pem, key=private(key)) as url:
        result = run("-c", CHECK, "check", url, "--save-ca", file, env=env)
    assert (result.returncode, "\033" in result.stdout) == (1, False)
    assert file.read_bytes().count(b"BEGIN CERTIFICATE-----") == 1
    assert file.read_bytes().isascii()
    assert b"\033" not in file.read_bytes()
    assert f"Saved in {file}, nothing trusts it yet" in " ".join(result.stdout.split())
    assert fingerprint(pem) in result.stdout
    assert "Compare the fingerprint with your IT department." in result.stdout


def test_bad_usage(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.pem").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    new = str(tmp_path / "new.pem")
    for file in ("mine.pem", "dangling"):
        assert "already exists" in failure("localhost:1", "--save-ca", str(tmp_path / file), env=env, code=4)
    assert (tmp_path / "mine.pem").read_text() == "mine"
    missing = str(tmp_path / "not" / "there.pem")
    assert "no such directory" in failure("localhost:1", "--save-ca", missing, env=env, code=4)
    for targets in ([], ["localhost:1", "localhost:2"]):
        assert "takes one URL" in failure(*targets, "--save-ca", new, env=env, code=2)
    assert not Path(new).exists()
