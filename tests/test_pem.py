"""What is wrong with a file that OpenSSL refused: the line, for people.  Nothing here decides about trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from harness import Authorities

from truststore_inject.stores import _pem


@pytest.fixture
def anchor(authorities: Authorities) -> bytes:
    return authorities.system.cert_pem.bytes()


def test_each_fault_has_its_line(anchor: bytes, tmp_path: Path) -> None:
    lines = anchor.count(b"\n")
    end = b"-----END CERTIFICATE-----\n"
    faults = {
        anchor + anchor.replace(b"MII", b"AAA", 1): f"line {lines + 1}: a corrupt certificate",
        anchor + anchor.replace(b"MII", b"M", 1): f"line {lines + 1}: a corrupt certificate",
        anchor + b"-----BEGIN CERTIFICATE-----\nMAA=\n" + end: f"line {lines + 1}: a corrupt certificate",
        anchor.rstrip() + anchor: f"line {lines}: two certificates without a line break",
        anchor + anchor.replace(end, b"") + anchor: f"line {lines + 1}: a certificate without an end",
        anchor + anchor.replace(end, b""): f"line {lines + 1}: a certificate without an end",
        ssl.PEM_cert_to_DER_cert(anchor.decode()): "it is in DER",
        b"nothing": "there is no certificate in it",
    }
    for content, words in faults.items():
        (tmp_path / "bundle.pem").write_bytes(content)
        assert words in str(_pem.fault(str(tmp_path / "bundle.pem"))), words


def test_what_is_not_seen_here(anchor: bytes, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join(b"# " + line for line in anchor.splitlines(True)) + anchor)
    assert _pem.fault(str(bundle)) is None
    assert "No such file" in str(_pem.fault(str(tmp_path / "none.pem")))


def test_lists_leave_out_what_is_not_base64(anchor: bytes) -> None:
    text = anchor + b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"
    assert _pem.decode(text) == [ssl.PEM_cert_to_DER_cert(anchor.decode())]


def test_blocks_are_compared_only_where_all_is_plain(anchor: bytes) -> None:
    assert len(_pem.plain_blocks(anchor) or ()) == 1
    assert _pem.plain_blocks(anchor.replace(b"\n", b"\r\n")) == _pem.plain_blocks(b"# a comment\n" + anchor)
    assert _pem.plain_blocks(b"") == set()
    unusual = [
        b"# " + anchor,
        anchor.rstrip() + anchor,
        anchor.replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-"),
        anchor + b"-----BEGIN X509 CRL-----\n",
        anchor.replace(b"-----BEGIN CERTIFICATE-----", b""),
    ]
    for text in unusual:
        assert _pem.plain_blocks(text) is None, text
