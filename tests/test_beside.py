"""What is trusted beside a directory: it hides nothing that OpenSSL finds there by itself, and nothing is hidden from it.

OpenSSL looks into no directory for a subject that it has in memory.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest
from harness import Authorities, environment
from places import Places, accepted, der, needs_openssl, needs_sharing, renewed_ca, stock
from places import places as places

pytestmark = needs_openssl

from truststore_inject.stores import _bundle, _openssl, _places  # noqa: E402

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
default = ssl.create_default_context


def test_what_is_added_hides_nothing_of_the_directory(places: Places) -> None:
    """OpenSSL looks into no directory for a subject that it has in memory, and a renewed CA keeps its subject."""
    old, new = renewed_ca()
    places.debian(old)
    with places.path(BUNDLE).open("ab") as bundle:
        bundle.write(new.cert_pem.bytes())
    assert accepted(default(), old, new) == [True, True]


def test_what_is_added_hides_nothing_where_the_bundle_has_the_new_one_alone(places: Places) -> None:
    old, new = renewed_ca()
    places.debian(old)
    places.bundle(BUNDLE, [new])
    assert accepted(default(), old, new) == [True, True]


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("where", ["bundle", "bundle, not a file of two", "directory"])
def test_a_reject_setting_counts_wherever_it_is(
    where: str, more: bool, places: Places, authorities: Authorities, tmp_path: Path
) -> None:
    """Also where the bundle has something more than the directory."""
    places.debian(authorities.system, authorities.private)
    pem = tmp_path / "ca.pem"
    authorities.system.cert_pem.write_to_path(pem)
    rejecting = subprocess.check_output(["openssl", "x509", "-in", pem, "-addreject", "serverAuth", "-trustout"])
    added = authorities.unknown.cert_pem.bytes() if more else b""
    if where != "directory":
        if where != "bundle":
            places.write("/etc/ssl/certs/ca-0.pem", pem.read_bytes() + authorities.bundled.cert_pem.bytes())
        places.write(BUNDLE, rejecting + authorities.private.cert_pem.bytes() + added)
    else:
        places.write("/etc/ssl/certs/ca-0.pem", rejecting)
        places.write(BUNDLE, places.path(BUNDLE).read_bytes() + added)
    everybody = authorities.system, authorities.private, authorities.unknown
    assert accepted(default(), *everybody) == [False, True, more]


def test_what_openssls_own_file_hides_stays_hidden(places: Places, authorities: Authorities) -> None:
    """What is added brings back only what it would hide itself."""
    old, new = renewed_ca()
    places.debian(old)
    places.write("/usr/lib/ssl/cert.pem", new.cert_pem.bytes())
    places.bundle(BUNDLE, [new, authorities.private])
    assert accepted(stock(), old, new, authorities.private) == [False, True, False]
    assert accepted(default(), old, new, authorities.private) == [False, True, True]


def test_a_file_of_two_in_the_directory_is_not_hidden(places: Places, authorities: Authorities) -> None:
    old, new = renewed_ca()
    places.debian(old)
    places.write("/etc/ssl/certs/ca-0.pem", old.cert_pem.bytes() + authorities.private.cert_pem.bytes())
    places.bundle(BUNDLE, [new])
    os.mkfifo(places.path("/etc/ssl/certs") / "00000000.0")
    assert accepted(default(), old, new) == [True, True]


@needs_sharing
def test_a_listing_during_which_sharing_fails(
    places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    from truststore_inject.stores import _libssl

    def fail(*_: object) -> None:
        raise ValueError("not here")

    monkeypatch.setattr(_places, "is_settled", lambda state: True)  # one search is enough
    places.debian(authorities.system)
    assert _openssl.search().store is not None
    monkeypatch.setattr(_bundle, "_obstacle", None)  # put back afterwards
    monkeypatch.setattr(_libssl, "find", fail)
    assert [anchor for _, anchor in _openssl.listing()] == [der(authorities.system)]
    assert not _bundle.can_share()


@pytest.mark.parametrize("sharing", [True, False], ids=["", "without sharing"])
def test_a_cross_signed_form_in_the_bundle_does_not_hide_the_root(
    sharing: bool, places: Places, authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL takes the first of the two, and that one's issuer is nowhere."""
    if not sharing:
        monkeypatch.setattr(_bundle, "_obstacle", "not here")
    places.debian(authorities.system)
    root, other, key = (tmp_path / name for name in ("root.pem", "other.pem", "other.key"))
    authorities.system.cert_pem.write_to_path(root)
    authorities.unknown.cert_pem.write_to_path(other)
    authorities.unknown.private_key_pem.write_to_path(key)
    command = ["openssl", "x509", "-in", root, "-CA", other, "-CAkey", key, "-set_serial", "7"]
    crossed = subprocess.check_output(command, env=environment(), stderr=subprocess.DEVNULL)
    places.write(BUNDLE, crossed + root.read_bytes() + authorities.private.cert_pem.bytes())
    everybody = authorities.system, authorities.private, authorities.unknown
    assert accepted(stock(), *everybody) == [True, False, False]
    assert accepted(default(), *everybody) == [True, True, False]
