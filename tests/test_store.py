"""Where the system store is found, on the layouts of the distributions, and what is loaded of it.

The functions are called in this process, with places of the test's own.
"""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from harness import Authorities, openssl_store, write_bundle, write_directory

pytestmark = openssl_store

from truststore_inject import _record  # noqa: E402
from truststore_inject.stores import _openssl, _pem  # noqa: E402


class Places:
    """A machine: what OpenSSL was built with, the environment and the distribution's places, all below `root`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.directory = root / "etc" / "ssl" / "certs"
        self.bundle = self.directory / "ca-certificates.crt"
        self.built_in_bundle = root / "usr" / "lib" / "ssl" / "cert.pem"
        self.built_in_directory = root / "usr" / "lib" / "ssl" / "certs"
        built_in = SimpleNamespace(
            openssl_cafile_env="SSL_CERT_FILE",
            openssl_capath_env="SSL_CERT_DIR",
            openssl_cafile=str(self.built_in_bundle),
            openssl_capath=str(self.built_in_directory),
        )
        pairs = (
            (str(self.directory), str(self.bundle)),
            (str(root / "fedora" / "hash"), str(root / "fedora" / "tls.pem")),
        )
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: built_in)
        monkeypatch.setattr(_openssl, "_PAIRS", pairs)
        monkeypatch.setattr(_openssl, "_DIRECTORIES", tuple(directory for directory, _ in pairs))
        monkeypatch.setattr(_openssl, "_BUNDLES", (*(bundle for _, bundle in pairs), str(root / "etc" / "cert.pem")))
        monkeypatch.setattr(_openssl, "_found", None)
        monkeypatch.setattr(_record, "notes", {})
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        self._monkeypatch = monkeypatch

    def setenv(self, **variables: object) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, str(value))

    def prefix(self, folder: Path) -> None:
        self._monkeypatch.setattr(sys, "prefix", str(folder))
        self._monkeypatch.setattr(sys, "base_prefix", str(folder))

    def debian(self, *authorities: trustme.CA) -> None:
        """As ``update-ca-certificates`` leaves it: a hashed directory, the same as a bundle, and OpenSSL's link to it."""
        write_directory(self.directory, authorities)
        write_bundle(self.bundle, authorities)
        self.built_in_directory.parent.mkdir(parents=True, exist_ok=True)
        self.built_in_directory.symlink_to(self.directory)
        older(self.bundle, self.directory)


def older(one: Path, other: Path) -> None:
    """Make `one` older than `other`, as a bundle is that was renamed into its directory."""
    status = other.stat()
    os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))


def newer(one: Path, other: Path) -> None:
    status = other.stat()
    os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(tmp_path, monkeypatch)


class Loaded:
    """What ``load`` asked OpenSSL to load."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.calls: list[dict[str, Any]] = []
        self.usable = _openssl.load(context, self._load_verify_locations)
        self.anchors = len(context.get_ca_certs())

    def _load_verify_locations(self, context: ssl.SSLContext, **arguments: Any) -> None:
        self.calls.append(arguments)
        # The C method: the one of the class is patched in this process too.
        super(ssl.SSLContext, context).load_verify_locations(**arguments)

    @property
    def directories(self) -> list[str]:
        return [path for call in self.calls if "capath" in call for path in call["capath"].split(os.pathsep)]


def test_plain_debian_reads_the_directory_alone(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system, authorities.private)
    loaded = Loaded()
    assert loaded.calls == [{"capath": str(places.built_in_directory)}]
    assert _openssl.describe() == {
        "source": "the places that this Python's OpenSSL was built with",
        "directories": [str(places.built_in_directory)],
        "bundle": str(places.bundle),
        "anchors": 2,
    }


def renewed_ca() -> tuple[trustme.CA, trustme.CA]:
    """Two with the same subject, and keys of their own."""
    names = {"organization_name": "corp of the tests", "organization_unit_name": "one and the same"}
    return trustme.CA(**names), trustme.CA(**names)


@pytest.mark.parametrize("spelling", ["the same", "another kind of string", "another case"])
def test_a_renewed_ca_appended_by_hand_does_not_hide_the_old_one(
    places: Places, authorities: Authorities, spelling: str
) -> None:
    """OpenSSL looks into no directory for a subject that it has in memory."""
    old, new = renewed_ca()
    places.debian(old, authorities.private)
    der = ssl.PEM_cert_to_DER_cert(new.cert_pem.bytes().decode())
    utf8 = b"\x0c\x11corp of the tests"
    other = {"another kind of string": b"\x13\x11corp of the tests", "another case": b"\x0c\x11CORP of the tests"}
    assert utf8 in der
    with places.bundle.open("a") as bundle:
        bundle.write(ssl.DER_cert_to_PEM_cert(der.replace(utf8, other.get(spelling, utf8))))
    assert Loaded().anchors == 2


def test_a_renewed_ca_in_another_directory_is_found(places: Places, authorities: Authorities) -> None:
    """OpenSSL looks into the next directory only for a subject that the one before lacks."""
    old, new = renewed_ca()
    one = write_directory(places.root / "one", [old, authorities.private])
    two = write_directory(places.root / "two", [new, authorities.system])
    places.setenv(SSL_CERT_DIR=f"{one}{os.pathsep}{two}")
    assert Loaded().anchors == 2


def test_a_corrupt_certificate_with_the_subject_of_a_renewed_ca_is_left_out(
    places: Places, authorities: Authorities
) -> None:
    old, new = renewed_ca()
    places.debian(old, authorities.private)
    der = ssl.PEM_cert_to_DER_cert(old.cert_pem.bytes().decode())
    algorithm = b"*\x86H\xce=\x04\x03\x02"
    assert b"\x06\x08" + algorithm in der
    corrupt = der.replace(b"\x06\x08" + algorithm, b"\x07\x08" + algorithm)
    (places.directory / "0badbad0.0").write_text(ssl.DER_cert_to_PEM_cert(corrupt))
    with places.bundle.open("ab") as bundle:
        bundle.write(new.cert_pem.bytes())
    newer(places.bundle, places.directory)  # the files may be as large as the bundle, by chance
    assert Loaded().anchors == 2


@pytest.mark.parametrize("how", ["appended", "renamed", "mounted", "appended to the built-in bundle"])
def test_a_ca_added_to_the_bundle_by_hand_is_not_lost(places: Places, authorities: Authorities, how: str) -> None:
    """Just what the directory lacks is loaded; the rest stays lazy."""
    places.debian(authorities.system, authorities.private)
    if how == "appended":
        with places.bundle.open("ab") as bundle:
            bundle.write(authorities.unknown.cert_pem.bytes())
    elif how == "renamed":
        write_bundle(places.root / "new", [authorities.unknown])
        (places.root / "new").rename(places.bundle)
    elif how == "mounted":  # a bundle that is older than the directory
        write_bundle(places.bundle, [authorities.private, authorities.system, authorities.unknown])
        older(places.bundle, places.directory)
    else:
        places.built_in_bundle.symlink_to(places.bundle)
        with places.bundle.open("ab") as bundle:
            bundle.write(authorities.unknown.cert_pem.bytes())
    loaded = Loaded()
    assert loaded.directories == [str(places.built_in_directory)]
    assert loaded.calls[0]["cadata"] == ssl.PEM_cert_to_DER_cert(authorities.unknown.cert_pem.bytes().decode())
    assert loaded.anchors == 1


def test_a_bundle_of_the_same_size_but_newer_is_compared(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    anchor, other = places.bundle.read_bytes(), authorities.unknown.cert_pem.bytes()
    places.bundle.write_bytes(other.ljust(len(anchor), b"\n"))
    (places.directory / "ca-0.pem").write_bytes(anchor.ljust(len(other), b"\n"))
    newer(places.bundle, places.directory)
    assert Loaded().anchors == 1
    older(places.bundle, places.directory)  # the one case that is missed, and it only trusts less
    assert Loaded().anchors == 0


def test_only_a_bundle(places: Places, authorities: Authorities) -> None:
    write_bundle(places.root / "etc" / "cert.pem", [authorities.system, authorities.private])
    loaded = Loaded()
    assert (loaded.usable, loaded.anchors, loaded.directories) == (True, 2, [])


def test_fedora_reads_the_directory_beside_the_bundle(places: Places, authorities: Authorities) -> None:
    write_directory(places.root / "fedora" / "hash", [authorities.system])
    bundle = write_bundle(places.root / "fedora" / "tls.pem", [authorities.system])
    bundle.write_bytes(b"# Subject: a comment that the directory lacks\n" + bundle.read_bytes())
    places.built_in_bundle.parent.mkdir(parents=True)
    places.built_in_bundle.symlink_to(bundle)
    loaded = Loaded()
    assert loaded.calls == [{"capath": str(places.root / "fedora" / "hash")}]


def test_a_directory_that_holds_more_does_not_stand_for_the_bundle(places: Places, authorities: Authorities) -> None:
    """Whoever sets SSL_CERT_FILE trusts what is in the file."""
    write_directory(places.directory, [authorities.system, authorities.unknown])
    write_bundle(places.bundle, [authorities.system])
    places.setenv(SSL_CERT_FILE=places.bundle)
    loaded = Loaded()
    assert (loaded.directories, loaded.anchors) == ([], 1)


def test_ssl_cert_file_that_names_the_distributions_bundle(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    places.built_in_directory.unlink()
    places.setenv(SSL_CERT_FILE=places.bundle)
    assert Loaded().calls == [{"capath": str(places.directory)}]


def test_each_variable_on_its_own(places: Places, authorities: Authorities) -> None:
    """As OpenSSL has it: the one that is not set is what OpenSSL was built with, and no other place is searched."""
    places.debian(authorities.system)
    own = write_bundle(places.root / "corp.pem", [authorities.private])
    places.setenv(SSL_CERT_FILE=own)
    loaded = Loaded()
    assert (loaded.directories, loaded.anchors) == ([str(places.built_in_directory)], 1)
    places.built_in_directory.unlink()
    loaded = Loaded()
    assert (loaded.directories, loaded.anchors) == ([], 1)
    places.setenv(SSL_CERT_FILE="/nonexistent", SSL_CERT_DIR="/nonexistent")
    assert Loaded().usable is False
    assert any("SSL_CERT_FILE and SSL_CERT_DIR" in note for note in _record.notes)


def test_a_variable_that_names_a_librarys_bundle_counts_as_not_set(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    bundled = write_bundle(places.root / "certifi" / "cacert.pem", [authorities.bundled])
    (bundled.parent / "__init__.py").touch()
    places.setenv(SSL_CERT_FILE=bundled)
    assert Loaded().calls == [{"capath": str(places.built_in_directory)}]
    assert any("counts as not set" in note for note in _record.notes)


def test_several_directories(places: Places, authorities: Authorities) -> None:
    one = write_directory(places.root / "one", [authorities.system])
    two = write_directory(places.root / "two", [authorities.private])
    places.setenv(SSL_CERT_DIR=os.pathsep.join(map(str, (one, "/nonexistent", two))))
    loaded = Loaded()
    assert loaded.directories == [str(one), str(two)]
    assert _openssl.describe()["anchors"] == 2


def test_a_relocatable_python_uses_the_distributions_places(places: Places, authorities: Authorities) -> None:
    """Its OpenSSL looks where nothing is."""
    write_directory(places.directory, [authorities.system])
    loaded = Loaded()
    assert loaded.directories == [str(places.directory)]
    assert _openssl.describe()["source"] == "the distribution's places"


def test_a_bundle_inside_the_prefix_is_not_the_systems(places: Places, authorities: Authorities) -> None:
    """Conda's OpenSSL looks there."""
    write_bundle(places.built_in_bundle, [authorities.bundled])
    places.prefix(places.root / "usr")
    assert Loaded().anchors == 1  # where there is nothing else
    write_directory(places.directory, [authorities.system])
    _openssl._found = None
    loaded = Loaded()
    assert (loaded.directories, loaded.anchors) == ([str(places.directory)], 0)


def test_debians_own_prefix_is_the_systems(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    places.prefix(Path("/usr"))
    assert Loaded().directories == [str(places.built_in_directory)]
    assert _openssl._belongs_to_system("/usr/lib/a-real-directory/certs")


def test_a_directory_that_may_not_be_read(
    places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.debian(authorities.system)

    def scandir(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)
    loaded = Loaded()
    assert (loaded.usable, loaded.directories, loaded.anchors) == (True, [str(places.built_in_directory)], 1)
    assert any("Permission denied" in note for note in _record.notes)


@pytest.mark.parametrize("what", ["nothing", "an empty directory", "an empty bundle", "no certificate", "unhashed"])
def test_no_usable_store(places: Places, authorities: Authorities, what: str) -> None:
    places.directory.mkdir(parents=True)
    if what == "an empty bundle":
        places.bundle.touch()
    elif what == "no certificate":
        places.bundle.write_text("nothing here\n")
    elif what == "unhashed":
        authorities.system.cert_pem.write_to_path(places.directory / "ca.pem")
    elif what == "nothing":
        shutil.rmtree(places.directory)
    loaded = Loaded()
    assert (loaded.usable, loaded.calls) == (False, [])
    assert _openssl.describe() == {"source": None, "directories": [], "bundle": None, "anchors": 0}


def test_a_corrupt_certificate_among_good_ones(places: Places, authorities: Authorities) -> None:
    """OpenSSL gives up on the whole bundle."""
    good = authorities.system.cert_pem.bytes(), authorities.private.cert_pem.bytes()
    corrupt = good[0][:200] + b"AAAA" + good[0][204:]
    not_base64 = b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"
    bundle = places.root / "etc" / "cert.pem"
    bundle.parent.mkdir()
    bundle.write_bytes(good[0] + corrupt.replace(b"MII", b"AAA", 1) + not_base64 + good[1])
    with pytest.raises(ssl.SSLError):
        super(ssl.SSLContext, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).load_verify_locations(bundle)
    assert Loaded().anchors == 2
    assert any("corrupt" in note for note in _record.notes)
    again = Loaded()
    assert (again.anchors, len(again.calls)) == (2, 1)


CORRUPT = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OPAQUE = CORRUPT.replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-")


@pytest.mark.parametrize("content", [CORRUPT, CORRUPT + OPAQUE])
@pytest.mark.parametrize("filled", [False, True])
def test_a_bundle_that_is_wholly_corrupt(
    content: bytes, filled: bool, places: Places, authorities: Authorities
) -> None:
    """An empty directory beside it is no store: the library's own default stays.  One with anchors is, by itself."""
    directory = write_directory(places.root / "hashed", [authorities.system] if filled else [])
    bundle = places.root / "corp.pem"
    bundle.write_bytes(content)
    places.setenv(SSL_CERT_FILE=bundle, SSL_CERT_DIR=directory)
    for _ in range(2):
        loaded = Loaded()
        assert (loaded.usable, loaded.directories) == (filled, [str(directory)] if filled else [])
    assert any(str(bundle) in note for note in _record.notes)
    assert len(list(_openssl.listing())) == filled


def test_a_bundle_of_more_than_certificates_is_left_to_openssl(places: Places, authorities: Authorities) -> None:
    bundle = write_bundle(places.root / "etc" / "cert.pem", [authorities.system])
    text = bundle.read_bytes()
    bundle.write_bytes(text + text.replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-"))
    assert Loaded().calls == [{"cafile": str(bundle)}]


def test_a_file_where_the_directory_should_be(places: Places, authorities: Authorities) -> None:
    places.setenv(SSL_CERT_DIR=write_bundle(places.root / "file", [authorities.system]))
    assert Loaded().usable is False


def test_a_directory_where_the_bundle_should_be(places: Places) -> None:
    places.setenv(SSL_CERT_FILE=places.root)
    assert Loaded().usable is False
    assert any("not read" in note for note in _record.notes)


def test_the_search_is_made_once(places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> None:
    places.debian(authorities.system)
    searches: list[int] = []
    search = _openssl._search
    monkeypatch.setattr(_openssl, "_search", lambda: (searches.append(1), search())[1])
    for _ in range(10):
        assert Loaded().usable
    assert len(searches) == 1
    places.setenv(SSL_CERT_DIR=write_directory(places.root / "other", [authorities.private]))
    for _ in range(10):
        assert Loaded().directories == [str(places.root / "other")]
    assert len(searches) == 2


def test_a_store_that_changes_while_the_process_runs(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    assert Loaded().anchors == 0
    with places.bundle.open("ab") as bundle:
        bundle.write(authorities.unknown.cert_pem.bytes())
    assert Loaded().anchors == 1
    write_directory(places.root / "new", [authorities.unknown])
    for entry in (places.root / "new").iterdir():
        shutil.copy(entry, places.directory / entry.name.replace("ca-0", "added"), follow_symlinks=True)
    assert Loaded().anchors == 0
    shutil.rmtree(places.directory)
    assert Loaded().usable is False
    write_directory(places.directory, [authorities.system])
    assert Loaded().usable is True


def test_a_process_with_more_rights_than_its_caller(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL ignores the variables there, since the caller sets them."""
    places.setenv(SSL_CERT_FILE=places.root / "attacker.pem")
    (places.root / "attacker.pem").write_bytes(trustme.CA().cert_pem.bytes())
    assert Loaded().anchors == 1
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    _openssl._found = None
    assert Loaded().usable is False


def test_pem_reading(tmp_path: Path, authorities: Authorities) -> None:
    bundle = write_bundle(tmp_path / "bundle", [authorities.system, authorities.private])
    ders = [
        ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
        for authority in (authorities.system, authorities.private)
    ]
    assert _pem.certificates(str(bundle)) == _pem.plain_certificates(str(bundle)) == ders
    bundle.write_bytes(bundle.read_bytes().replace(b"\n", b"\r\n"))
    assert _pem.certificates(str(bundle)) == ders
    with pytest.raises(FileNotFoundError):
        _pem.certificates(str(tmp_path / "nothing"))
