"""TRUSTSTORE_INJECT_EXTRA_CA_CERTS: what it names is read by OpenSSL, and what is left out is said with the reason."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from harness import Authorities, write_bundle, write_directory
from places import Places, accepted, der, needs_openssl, renewed_ca
from places import places as places

pytestmark = needs_openssl

from truststore_inject import _settings, stores  # noqa: E402
from truststore_inject.stores import _extra  # noqa: E402

CORRUPT = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def debian(places: Places, authorities: Authorities) -> Places:
    places.debian(authorities.system)
    return places


def named(places: Places, *paths: object) -> ssl.SSLContext:
    places.setenv(TRUSTSTORE_INJECT_EXTRA_CA_CERTS=os.pathsep.join(map(str, paths)))
    return ssl.create_default_context()


def reasons() -> dict[str, str]:
    prefix = "TRUSTSTORE_INJECT_EXTRA_CA_CERTS: "
    left_out: list[dict[str, str]] = stores.describe()["left_out"]
    return {entry["path"]: entry["reason"].removeprefix(prefix) for entry in left_out if prefix in entry["reason"]}


@pytest.mark.parametrize(
    "kind", ["PEM", "DER", "several in PEM", "a directory", "a directory of DER", "hashed", "link"]
)
def test_what_it_may_name(kind: str, debian: Places, authorities: Authorities, tmp_path: Path) -> None:
    private, unknown = authorities.private, authorities.unknown
    several = kind in ("several in PEM", "a directory", "a directory of DER", "hashed")
    place = tmp_path / "extra"
    if kind == "DER":
        place.write_bytes(der(private))
    elif kind == "hashed":
        write_directory(place, [private, unknown])
    elif kind.startswith("a directory"):
        place.mkdir()
        for number, authority in enumerate([private, unknown]):
            text = der(authority) if "DER" in kind else authority.cert_pem.bytes()
            (place / f"{number}.crt").write_bytes(text)
    elif kind == "link":
        place.symlink_to(write_bundle(tmp_path / "real", [private]))
    else:
        write_bundle(place, [private, unknown] if several else [private])
    context = named(debian, place)
    found = accepted(context, authorities.system, private, unknown, authorities.bundled)
    assert found == [True, True, several, False]
    assert reasons() == {}


def test_several_places_and_empty_entries(debian: Places, authorities: Authorities, tmp_path: Path) -> None:
    one = write_bundle(tmp_path / "one.pem", [authorities.private])
    two = write_directory(tmp_path / "two", [authorities.unknown])
    everybody = authorities.system, authorities.private, authorities.unknown
    assert accepted(named(debian, "", one, "", two, ""), *everybody) == [True, True, True]
    assert reasons() == {}
    assert accepted(named(debian, "", ""), *everybody) == [True, False, False]


def test_a_config_map_of_kubernetes(debian: Places, authorities: Authorities, tmp_path: Path) -> None:
    """Its files are links through ..data, which is replaced to change all of them at once."""
    folder = tmp_path / "extra"
    for number, authority in enumerate([authorities.private, authorities.unknown]):
        write_bundle(folder / f"..2026_{number}" / "ca.crt", [authority])
    (folder / "..data").symlink_to("..2026_0")
    (folder / "ca.crt").symlink_to("..data/ca.crt")
    both = authorities.private, authorities.unknown
    assert accepted(named(debian, folder), *both) == [True, False]
    assert reasons() == {}
    (folder / "..new").symlink_to("..2026_1")
    (folder / "..new").rename(folder / "..data")
    assert accepted(named(debian, folder), *both) == [False, True]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "no certificate"),
        (b"nothing here\n", "no certificate"),
        (CORRUPT, "line 1: a corrupt certificate"),
        (b"\n\n" + CORRUPT, "line 3: a corrupt certificate"),
        (b"\x30\x82\x01\x00", "DER"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "line 1: a certificate without an end"),
        ("a pipe", "no certificate"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_its_reason(
    content: Any, reason: str, debian: Places, authorities: Authorities, tmp_path: Path
) -> None:
    """The rest is trusted: the store, and the other files."""
    bad, good = tmp_path / "bad.pem", write_bundle(tmp_path / "good.pem", [authorities.private])
    if content == "a pipe":
        os.mkfifo(bad)
    elif content is not None:
        bad.write_bytes(content)
    for paths in ((bad, good), (good, bad)):
        context = named(debian, *paths)
        assert accepted(context, authorities.system, authorities.private, authorities.unknown) == [True, True, False]
        assert list(reasons()) == [str(bad)]
        assert reason in reasons()[str(bad)]


@pytest.mark.parametrize("how", ["corrupt block", "no line break"])
def test_one_that_is_wrong_in_part_is_left_out_whole(
    how: str, debian: Places, authorities: Authorities, tmp_path: Path
) -> None:
    """As OpenSSL has it; its line is the reason."""
    good, bad = authorities.private.cert_pem.bytes(), tmp_path / "bad.pem"
    bad.write_bytes(good + CORRUPT if how == "corrupt block" else good.rstrip() + good)
    assert accepted(named(debian, bad), authorities.system, authorities.private) == [True, False]
    line = good.count(b"\n") + (how == "corrupt block")
    assert reasons()[str(bad)].startswith(f"line {line}: ")


def test_a_file_in_a_directory_that_is_wrong(debian: Places, authorities: Authorities, tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "extra", [authorities.private])
    (folder / "README").write_text("who put this here\n")
    (folder / "folder").mkdir()
    write_bundle(folder / ".ca-0.pem.swp", [authorities.unknown])  # an editor's
    assert accepted(named(debian, folder), authorities.private, authorities.unknown) == [True, False]
    assert list(reasons()) == [str(folder / "README")]
    empty = tmp_path / "empty"
    empty.mkdir()
    named(debian, empty)
    assert list(reasons()) == [str(empty)]


def test_it_hides_nothing_in_a_hashed_directory(debian: Places, places: Places, tmp_path: Path) -> None:
    old, new = renewed_ca()
    places.directory("/etc/ssl/certs", [old])
    extra = write_bundle(tmp_path / "extra.pem", [new])
    for _ in range(2):
        assert accepted(named(places, extra), old, new) == [True, True]


def test_commented_out_is_not_there(debian: Places, authorities: Authorities, tmp_path: Path) -> None:
    text = b"".join(b"# " + line + b"\n" for line in authorities.unknown.cert_pem.bytes().splitlines())
    extra = tmp_path / "extra.pem"
    extra.write_bytes(authorities.private.cert_pem.bytes() + text)
    assert accepted(named(debian, extra), authorities.private, authorities.unknown) == [True, False]


def test_a_change_is_seen_by_the_next_context(debian: Places, authorities: Authorities, tmp_path: Path) -> None:
    extra = write_bundle(tmp_path / "extra.pem", [authorities.private])
    both = authorities.private, authorities.unknown
    assert accepted(named(debian, extra), *both) == [True, False]
    write_bundle(extra, [authorities.unknown])
    assert accepted(ssl.create_default_context(), *both) == [False, True]
    extra.unlink()
    assert accepted(ssl.create_default_context(), *both) == [False, False]
    write_bundle(extra, [authorities.private])
    assert accepted(ssl.create_default_context(), *both) == [True, False]


def test_it_is_read_once(
    debian: Places, authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_extra, "is_settled", lambda state: True)
    named(debian, write_bundle(tmp_path / "extra.pem", [authorities.private]))
    first = _extra.current()
    assert first is not None
    assert all(_extra.current() is first for _ in range(3))


def test_a_process_with_more_rights_does_without(
    debian: Places, authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = write_bundle(tmp_path / "extra.pem", [authorities.private])
    monkeypatch.setattr(_settings, "_has_more_rights", lambda: True)
    assert accepted(named(debian, extra), authorities.system, authorities.private) == [True, False]
