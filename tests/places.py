"""The places of a machine, played in this process: below a folder of the test's, without a mount namespace.

    places = Places(tmp_path, monkeypatch)          # Debian's OpenSSL, and nothing there yet
    places.bundle("/etc/ssl/certs/ca-certificates.crt", [authorities.system])
    assert accepts(ssl.create_default_context(), authorities.system)

OpenSSL really looks there by itself: its variables are set for it alone, behind the back of `os.environ`.  machines.py
makes whole machines, for children.
"""

from __future__ import annotations

import _ssl
import functools
import os
import ssl
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import trustme
from harness import OS_VERIFIES, rehash, write_bundle
from servers import server_context

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NIX_SSL_CERT_FILE", "CONDA_PREFIX", "TRUSTSTORE_INJECT_EXTRA_CA_CERTS")
needs_openssl = pytest.mark.skipif(
    OS_VERIFIES or sys.implementation.name == "pypy",
    reason="about the store that OpenSSL reads; PyPy looks at the distributions' places by itself",
)
needs_sharing = pytest.mark.skipif(
    OS_VERIFIES or sys.implementation.name != "cpython" or getattr(_ssl, "__file__", None) is None,
    reason="this Python's _ssl is not known to share certificates",
)
# A file is shared from a certain size on.
PADDING = b"# nothing but a comment\n" * 800


class Places:
    """`folder` is the root of the file system, for this package and for OpenSSL; paths are given as seen from there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, openssldir: str = "/usr/lib/ssl") -> None:
        from truststore_inject import _record
        from truststore_inject.stores import _carried, _extra, _openssl, _places

        self.root = folder
        self._monkeypatch = monkeypatch
        for name in ("BUNDLES", "DIRECTORIES", "ANDROID", "_MACHINE"):
            monkeypatch.setattr(_places, name, tuple(f"{folder}{place}" for place in getattr(_places, name)))
        monkeypatch.setattr(_openssl, "_found", None)
        monkeypatch.setattr(_extra, "_read", None)
        monkeypatch.setattr(_record, "notes", {})
        for name in ("_gained", "_installed_files"):
            monkeypatch.setattr(_carried, name, {})
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        self.built_for(openssldir)

    def built_for(self, openssldir: str) -> None:
        """The directory that OpenSSL was built for."""
        from truststore_inject.stores import _openssl, _places

        self.openssldir = openssldir
        file, directory = f"{self.root}{openssldir}/cert.pem", f"{self.root}{openssldir}/certs"
        for module in (_places, _openssl):
            self._monkeypatch.setattr(module, "built_in", lambda: ("SSL_CERT_FILE", file, "SSL_CERT_DIR", directory))
        for name, place in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", directory)):
            if name not in os.environ:
                os.putenv(name, place)

    def setenv(self, **variables: object) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, str(value))

    def prefix(self, place: str, *, conda: bool = False) -> Path:
        """Python's own prefix."""
        folder = self.path(place)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("prefix", "base_prefix"):
            self._monkeypatch.setattr(sys, name, str(folder))
        if conda:
            (folder / "conda-meta").mkdir()
        return folder

    def path(self, place: str) -> Path:
        return self.root / place.lstrip("/")

    def write(self, place: str, data: bytes) -> Path:
        file = self.path(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def link(self, place: str, to: str) -> Path:
        file = self.path(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(self.path(to))
        return file

    def bundle(self, place: str, anchors: Iterable[trustme.CA]) -> Path:
        return write_bundle(self.path(place), anchors)

    def directory(self, place: str, anchors: Iterable[trustme.CA]) -> Path:
        """A hashed one."""
        folder = self.path(place)
        folder.mkdir(parents=True, exist_ok=True)
        for number, anchor in enumerate(anchors):
            anchor.cert_pem.write_to_path(folder / f"ca-{number}.pem")
        rehash(folder)
        return folder

    def debian(self, *anchors: trustme.CA) -> None:
        """As ``update-ca-certificates`` leaves it."""
        self.directory("/etc/ssl/certs", anchors)
        self.bundle("/etc/ssl/certs/ca-certificates.crt", anchors)
        self.link("/usr/lib/ssl/certs", "/etc/ssl/certs")

    def red_hat(self, *anchors: trustme.CA) -> Path:
        """As ``update-ca-trust`` leaves it; the bundle."""
        bundle = self.bundle("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", anchors)
        for link in ("/etc/pki/tls/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt"):
            self.link(link, "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")
        self.link("/etc/ssl/certs", "/etc/pki/tls/certs")
        return bundle


def restore_environment() -> None:
    """For OpenSSL too."""
    for name in VARIABLES:
        if name in os.environ:
            os.putenv(name, os.environ[name])
        else:
            os.unsetenv(name)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    with monkeypatch.context() as patched:
        yield Places(tmp_path / "root", patched)
    restore_environment()


def stock() -> ssl.SSLContext:
    """A default context of stock Python, in this process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _ssl._SSLContext.set_default_verify_paths(context)
    return context


@functools.cache
def _server(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("localhost"))


def accepts(context: ssl.SSLContext, authority: trustme.CA) -> bool:
    """Whether `context` completes a handshake with a server of `authority`."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = _server(authority).wrap_bio(to_server, to_client, server_side=True)
    client = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(8):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            return False
        else:
            return True
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            pass
    raise AssertionError("the handshake does not end")


def accepted(context: ssl.SSLContext, *authorities: trustme.CA) -> list[bool]:
    return [accepts(context, authority) for authority in authorities]


def renewed_ca() -> tuple[trustme.CA, trustme.CA]:
    """Two with the same subject, and keys of their own."""
    names = {"organization_name": "corp of the tests", "organization_unit_name": "one and the same"}
    return trustme.CA(**names), trustme.CA(**names)


def der(authority: trustme.CA) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())


def subject_hash(pem: Path, *, md5: bool = False) -> str:
    import subprocess

    option = "-subject_hash_old" if md5 else "-subject_hash"
    return subprocess.check_output(["openssl", "x509", option, "-noout", "-in", pem], text=True).strip()
