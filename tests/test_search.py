"""A search for the store: what can be used, and when it is made again."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path

import pytest
import trustme
from harness import Authorities
from places import Places, accepted, accepts, needs_openssl, stock, subject_hash
from places import places as places

pytestmark = needs_openssl

from truststore_inject.stores import _openssl, _places  # noqa: E402

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
default = ssl.create_default_context


# --- what can be used ---


def test_a_directory_in_which_openssl_finds_no_ca_is_no_store(
    places: Places, authorities: Authorities, tmp_path: Path
) -> None:
    directory = places.path("/etc/ssl/certs")
    directory.mkdir(parents=True)
    places.link("/usr/lib/ssl/certs", "/etc/ssl/certs")
    pem = tmp_path / "ca.pem"
    authorities.system.cert_pem.write_to_path(pem)
    right, old = subject_hash(pem), subject_hash(pem, md5=True)

    def snakeoil(path: Path) -> None:  # what Debian's ssl-cert makes
        certificate = trustme.CA().issue_cert("vm.local")
        path.write_bytes(certificate.cert_chain_pems[0].bytes())
        path.rename(path.with_name(f"{subject_hash(path)}.0"))

    kinds = {
        "nothing": lambda: None,
        "not hashed": lambda: shutil.copy(pem, directory / "ca.pem"),
        "dangling": lambda: (directory / f"{right}.0").symlink_to("/nonexistent"),
        "a gap": lambda: shutil.copy(pem, directory / f"{right}.1"),
        "named by MD5": lambda: shutil.copy(pem, directory / f"{old}.0"),
        "another name": lambda: shutil.copy(pem, directory / "00000000.0"),
        "empty": lambda: (directory / f"{right}.0").touch(),
        "a directory": lambda: (directory / f"{right}.0").mkdir(),
        "a pipe": lambda: os.mkfifo(directory / "00000000.0"),  # one of the right name holds up stock, too
        "corrupt": lambda: (directory / f"{right}.0").write_bytes(pem.read_bytes()[:200]),
        "no CA": lambda: snakeoil(directory / "ssl-cert-snakeoil.pem"),
    }
    for kind, make in kinds.items():
        shutil.rmtree(directory)
        directory.mkdir()
        make()
        _openssl._found = None
        found = accepts(stock(), authorities.system)
        assert not found or kind == "a gap", kind  # some versions of OpenSSL 3 take any number
        assert (_openssl.search().store is not None) == (_openssl.describe()["source"] is not None) == found, kind
    shutil.copy(pem, directory / f"{right}.0")
    _openssl._found = None
    assert _openssl.search().store is not None


def test_one_that_can_be_used_among_many_that_cannot(places: Places, authorities: Authorities) -> None:
    directory = places.directory("/etc/ssl/certs", [authorities.system])
    places.link("/usr/lib/ssl/certs", "/etc/ssl/certs")
    for number in range(5):
        (directory / f"0000000{number}.0").symlink_to("/nonexistent")
    os.mkfifo(directory / "00000009.0")
    assert accepts(default(), authorities.system)


# --- looked at once ---


def test_a_program_that_names_the_bundle_needs_no_search(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    assert accepts(default(cafile=places.path(BUNDLE)), authorities.system)
    assert _openssl._found is None
    assert accepts(default(), authorities.system)
    assert _openssl._found is not None


def test_the_search_is_made_once_and_again_when_something_has_changed(
    places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.debian(authorities.system)
    monkeypatch.setattr(_places, "is_settled", lambda state: True)
    first = _openssl.search()
    assert all(_openssl.search() is first for _ in range(3))
    places.setenv(SSL_CERT_DIR=places.directory("/other", [authorities.private]))
    assert _openssl.search() is not first
    assert accepted(default(), authorities.system, authorities.private) == [False, True]
    places._monkeypatch.delenv("SSL_CERT_DIR")
    places.built_for("/usr/lib/ssl")
    second = _openssl.search()
    (places.path("/etc/ssl/certs") / "00000000.0").symlink_to("/nonexistent")
    third = _openssl.search()
    assert third is not second
    with places.path(BUNDLE).open("ab") as bundle:
        bundle.write(authorities.unknown.cert_pem.bytes())
    assert _openssl.search() is not third
    assert accepts(default(), authorities.unknown)


@pytest.mark.parametrize("place", [*_places.DIRECTORIES, *_places.ANDROID])
def test_a_directory_that_gains_or_loses_all_is_looked_at_again(
    place: str, places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_places, "is_settled", lambda state: True)
    places.built_for("/nowhere")
    folder = places.directory(place, [authorities.system])
    assert accepts(default(), authorities.system)
    for file in folder.iterdir():
        file.unlink()
    assert _openssl.search().store is None
