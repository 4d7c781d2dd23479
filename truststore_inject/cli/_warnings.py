"""What ``status`` warns of before it hurts, each with one sentence on its effect and what to do."""

import glob
import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from .. import _settings, stores
from ..stores import _extra, _pem
from . import _influences, _strict

# What a distribution's package ca-certificates contains, as PEM or in p11-kit's format, which has PEM in it.
_PACKAGED = (
    "/usr/share/ca-certificates/**/*",  # Debian, Ubuntu, Alpine, Gentoo; Arch
    "/usr/share/pki/ca-trust-source/**/*",  # Fedora, RHEL
    "/usr/share/pki/trust/**/*",  # SUSE
)


def found() -> list[dict[str, str]]:
    """Each with ``name``, ``value``, ``effect`` and ``fix``."""
    anchors = {anchor: place for place, anchor in stores.listing()}
    return [*_refused_by_strict_checks(anchors), *_rebuilt_certifi(anchors)]


def _refused_by_strict_checks(anchors: dict[bytes, str]) -> Iterator[dict[str, str]]:
    """The anchors that were added here and that Python 3.13 refuses; where the OS verifies, it has its own rules."""
    if stores.interpositions is not None or not _settings.x509_strict():
        return
    try:
        for place, anchor in _added(anchors):
            lacks = _strict.faults(anchor)
            if lacks:
                yield {
                    "name": _influences.subject(anchor),
                    "value": place,
                    "effect": f"{_refuses()} every chain that ends there: {'; '.join(lacks)}.",
                    "fix": (
                        "Have whoever runs that CA issue one that follows RFC 5280; until then set"
                        " TRUSTSTORE_INJECT_X509_STRICT=0."
                    ),
                }
    except _strict.Unavailable:
        return


def _refuses() -> str:
    return "This Python refuses" if sys.version_info >= (3, 13) else "Python 3.13 and newer refuse"


def _added(anchors: dict[bytes, str]) -> Iterator[tuple[str, bytes]]:
    """The anchors that are not the distribution's own, and the extra CAs; only these if its own are not known."""
    packaged = _packaged()
    if packaged:
        yield from ((place, anchor) for anchor, place in anchors.items() if anchor not in packaged)
    extra = _extra.current()
    for path, bundle in (extra.bundles if extra is not None else {}).items():
        yield from ((path, anchor) for anchor in bundle.certificates() if anchor not in anchors)


def _packaged() -> set[bytes]:
    found: set[bytes] = set()
    for pattern in _PACKAGED:
        for path in glob.iglob(pattern, recursive=True):
            if os.path.isfile(path):
                try:
                    found.update(_pem.certificates(path))
                except OSError:
                    continue
    return found


def _rebuilt_certifi(anchors: dict[bytes, str]) -> Iterator[dict[str, str]]:
    """A company's own build of certifi, with its CA in the bundle: the RECORD of the build says that it belongs there.

    The local label of its version tells (PEP 440).  Without one, certifi's own comments do: each certificate has one,
    except what a build appended.  https://github.com/certifi/python-certifi/blob/master/certifi/cacert.pem
    """
    try:
        version, files = metadata.version("certifi"), metadata.files("certifi") or ()
    except metadata.PackageNotFoundError:
        return
    for installed in files:
        path = str(installed.locate())
        if installed.name != "cacert.pem" or installed.size is None or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            data = file.read()
        if len(data) != installed.size:  # changed after it was installed: _influences has it
            continue
        names = [_influences.subject(anchor) for anchor in _unnamed(data) if anchor not in anchors]
        if "+" in version:
            yield {
                "name": f"certifi {version}",
                "value": path,
                "effect": "It is a custom build: its bundle is trusted in addition to the system store.",
                "fix": f"Better to have its CAs in the system store{_which(names)}.",
            }
        elif names:
            yield {
                "name": f"certifi {version}",
                "value": path,
                "effect": (
                    "It looks like a custom build, but no local label in its version says so: what it adds"
                    f" to certifi's bundle is not trusted here{_which(names)}."
                ),
                "fix": "Add them to the system store, or give the build a label (2026.1.1+company.1).",
            }


def _which(names: list[str]) -> str:
    return f": {'; '.join(names)}" if names else ""


def _unnamed(data: bytes) -> list[bytes]:
    """The certificates in certifi's bundle that are without its comment."""
    blocks = re.split(rb"(?<=-----END CERTIFICATE-----)", data)
    return [anchor for block in blocks if b"# Label: " not in block for anchor in _pem.decode(block)]
