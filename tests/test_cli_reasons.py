"""Why a server is accepted or refused, in words, and what to do about it."""

from __future__ import annotations

import dataclasses
import datetime
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from harness import HOSTS, Authorities, openssl_store

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from certificates import DAY, HERE, NOW, PUBLIC, leaf_of, load, made
from commands import diagnosis
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier
from lax import certificate, lax

from truststore_inject.cli import _reasons
from truststore_inject.cli._certificate import Certificate
from truststore_inject.cli._target import Target


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


def located(method: ObjectIdentifier) -> x509.AuthorityInformationAccess:
    location = x509.UniformResourceIdentifier("http://ca.example/ca.crt")
    return x509.AuthorityInformationAccess([x509.AccessDescription(method, location)])


def explain(
    chain: list[Certificate], code: int, *, verdict: str = "refused", target: Target = HERE, **more: Any
) -> tuple[str, list[str]]:
    report = {
        "store": {"verdict": verdict, "code": code, "words": "OpenSSL's words"},
        "clients": more.get("clients", {}),
    }
    return _reasons.explain(target, report, chain, more.get("relaxed"))


def test_each_reason_has_its_words(authorities: Authorities) -> None:
    good = leaf_of(authorities.system)
    old = leaf_of(authorities.system, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    coming = leaf_of(authorities.system, not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    nameless = made()
    assert explain([good], 0, verdict="error") == ("There was no verdict: OpenSSL's words.", [])
    assert explain([good], 79)[0] == "Refused: OpenSSL's words (code 79)."
    assert "no name at all" in explain([nameless], 62)[0]
    assert explain([old], 10)[0].startswith("Expired: The server's certificate was valid until ")
    assert explain([good, old], 10)[0].startswith("Expired: The CA certificate OU=Testing cert")
    assert explain([good], 10)[0].startswith("This chain ends at a CA certificate in the store that has expired")
    for code in (9, 0x800B0101):  # Windows has one code for both ends
        assert explain([coming], code)[0].startswith("Not yet valid: ")
    assert explain([good], 9)[0].startswith("Not yet valid: ")  # by a clock that was set meanwhile
    self_signed = made(subject="box", issuer="box")
    assert explain([self_signed], 18)[0] == "The server's certificate CN=box is self-signed and not in the store."
    assert explain([made(located(AuthorityInformationAccessOID.CA_ISSUERS))], 20)[0].startswith(
        "Missing intermediate: "
    )
    unknown = explain([good], 20)
    assert unknown[0].startswith("Unknown issuer: ")
    assert "inspecting" not in unknown[0]
    assert "inspecting" in explain([good], 20, target=PUBLIC)[0]


@pytest.mark.parametrize(
    ("fault", "lack"),
    [
        ("basicConstraints not critical", "CN=lax CA lacks a basicConstraints that is critical."),
        ("no authority key identifier", "CN=localhost lacks an authority key identifier."),
    ],
)
def test_what_x509_strict_minds_is_named(fault: str, lack: str) -> None:
    ca, leaf = lax(fault)
    chain = [load(leaf.cert_chain_pems[0]), load(ca)]
    reason, fix = explain(chain, 89, relaxed={"verdict": "accepted"})
    assert reason.startswith("Refused only because of VERIFY_X509_STRICT")
    assert reason.endswith(f": OpenSSL's words. {lack}")
    assert "TRUSTSTORE_INJECT_X509_STRICT=0" in fix[1]
    assert "X509_STRICT" not in explain(chain, 89, relaxed={"verdict": "refused"})[0]


def test_a_ca_that_lacks_all_of_it(authorities: Authorities) -> None:
    bare = made(x509.BasicConstraints(ca=True, path_length=None), subject="CA", issuer="CA")
    everything = "a basicConstraints that is critical, keyUsage, a subject key identifier"
    assert ", ".join(bare.lacks) == everything
    assert load(authorities.system.cert_pem).lacks == []
    unreadable = made(x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.19"), b"\x04\x00"))
    assert explain([unreadable, bare], 89, relaxed={"verdict": "accepted"})[0].endswith(
        f": OpenSSL's words. CN=CA lacks {everything}."
    )


def test_who_refuses_though_the_store_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    clients = {"requests": {"verdict": "refused"}, "httpx": {"verdict": "accepted"}}
    reason, fix = explain([made()], 0, verdict="accepted", clients=clients)
    assert reason == "The system store accepts this server, but not requests."
    assert fix == ["To see what else decides about trust here: truststore-inject status"]


def test_when_it_looks_like_an_inspecting_proxy() -> None:
    to_the_issuer = made(located(AuthorityInformationAccessOID.CA_ISSUERS))
    ocsp_only = made(located(AuthorityInformationAccessOID.OCSP))
    assert _reasons.inspects(PUBLIC, [made()])
    assert _reasons.inspects(PUBLIC, [ocsp_only])
    assert not _reasons.inspects(PUBLIC, [to_the_issuer])
    assert _reasons.inspects(HERE, [made(issuer="Netskope CA")])
    for host in ("server", "server.internal", "10.0.0.1", "::1"):
        assert not _reasons.inspects(Target(host, 443, None), [made()]), host
    assert not _reasons.inspects(PUBLIC, [dataclasses.replace(made(), has_timestamps=True)])


def test_a_certificate_whose_names_cannot_be_read() -> None:
    reason, _ = _reasons._wrong_name(HERE, SimpleNamespace(names=None))  # type: ignore[arg-type]
    assert "names that cannot be read" in reason
