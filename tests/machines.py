"""Made-up machines: a child sees stores of our making in the machine's own places, in a private mount namespace.

Nothing of the machine changes, and no variable is set: a program runs there as people run it.

    machine = LAYOUTS["Red Hat"](tmp_path, [authorities.system])
    machine.run(machine.python, "-c", "import ssl; ...", TRUSTSTORE_INJECT="0")
    machine.write("/etc/pki/tls/certs/own.pem", b"...")  # also while a child runs

It takes Linux, ``unshare`` and either root or user namespaces: tests that use it are marked `needs_machines`.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import trustme
from harness import environment, rehash, write_bundle

# Where programs look for anchors.  What the machine has there is not seen.
STORES = (
    "/etc/ca-certificates",
    "/etc/pki",
    "/etc/ssl",
    "/usr/lib/ssl",
    "/usr/local/share/certs",
    "/usr/local/ssl",
    "/usr/share/ssl",
    "/var/lib/ca-certificates",
)
# Where this Python's OpenSSL looks by default.
OPENSSLDIR = os.path.dirname(ssl.get_default_verify_paths().openssl_cafile)


class Unavailable(Exception):
    """This machine, or this Python, cannot be made into that one."""


class Machine:
    """A machine without a store, as seen by a child of `run`.

    `folder` is a new one of the machine's, and has to stay until the last child has ended.  `openssldir` is the directory
    that Python's OpenSSL is built for: where it is not `OPENSSLDIR`, a copy of the library that has that path in it is put
    over the library.  `python` is the executable to run.  Raises `Unavailable`.
    """

    def __init__(self, folder: Path, *, openssldir: str = OPENSSLDIR, python: str | Path = sys.executable) -> None:
        self.openssldir, self.python = openssldir, str(python)
        self._folder = folder
        self._mounts: list[tuple[str | Path, str | Path]] = []  # what, and where, in this order
        self._made: dict[str, Path] = {}  # the directories in whose place others are seen, and those
        self._show("/etc")
        for place in STORES:
            if os.path.isdir(place) and not place.startswith("/etc/"):
                self._hide(place)
        if openssldir != OPENSSLDIR:
            self._mounts.append(_rebuilt(folder / "library", openssldir))
        elif os.path.isdir(openssldir) and openssldir not in STORES:
            self._hide(openssldir)
        # It says nothing about trust.
        if os.path.isfile(settings := f"{OPENSSLDIR}/openssl.cnf"):
            self.write(f"{openssldir}/openssl.cnf", Path(settings).read_bytes())

    def _hide(self, place: str) -> Path:
        """An empty directory is seen in its place: that one."""
        made = self._made[place] = self._folder / "made" / place[1:]
        made.mkdir(parents=True)
        self._mounts.append((made, place))
        return made

    def _show(self, place: str) -> None:
        """What is in it is seen, except for stores, and what the test adds."""
        real = self._folder / "real" / place[1:]
        real.mkdir(parents=True)
        self._mounts.append((place, real))
        made = self._hide(place)
        for entry in os.scandir(place):
            if entry.path not in STORES:
                (made / entry.name).symlink_to(os.readlink(entry.path) if entry.is_symlink() else real / entry.name)

    def path(self, path: str) -> Path:
        """Where the file lies that is seen as `path`.  The directory that it is in is made."""
        parents = [str(parent) for parent in (Path(path), *Path(path).parents)]
        if not any(parent in self._made for parent in parents):
            place = next(parent for parent in parents[1:] if os.path.isdir(parent))
            if place == "/":
                raise Unavailable(f"{path}: there is no directory to put over it")
            self._show(place)
        place = next(parent for parent in parents if parent in self._made)
        made = self._made[place] / Path(path).relative_to(place)
        made.parent.mkdir(parents=True, exist_ok=True)
        return made

    def write(self, path: str, data: bytes) -> Path:
        """Make or replace that file; where it lies."""
        file = self.path(path)
        file.write_bytes(data)
        return file

    def link(self, path: str, to: str) -> None:
        self.path(path).symlink_to(to)

    def bundle(self, path: str, anchors: Iterable[trustme.CA]) -> Path:
        return write_bundle(self.path(path), anchors)

    def directory(self, path: str, anchors: Iterable[trustme.CA]) -> Path:
        """Make that a hashed directory, as ``update-ca-certificates`` does."""
        folder = self.path(path)
        folder.mkdir(exist_ok=True)
        for number, anchor in enumerate(anchors):
            anchor.cert_pem.write_to_path(folder / f"ca-{number}.pem")
        rehash(folder)
        return folder

    def command(self, *command: str | os.PathLike[str]) -> list[str]:
        """The arguments that run `command` there, for `subprocess`."""
        places = [os.fspath(place) for mount in self._mounts for place in mount]
        script = 'mount --rbind "$1" "$2"; shift 2\n' * len(self._mounts) + 'exec "$@"'
        return [*_UNSHARE, "sh", "-ec", script, "sh", *places, *map(os.fspath, command)]

    def run(
        self, *command: str | os.PathLike[str], **variables: str | os.PathLike[str]
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` there with these variables; the result has `stdout`, `stderr` and `returncode`."""
        env = environment(**variables)
        if "SSL_CERT_FILE" not in variables:
            del env["SSL_CERT_FILE"]
        return subprocess.run(self.command(*command), env=env, cwd="/", capture_output=True, text=True, timeout=900)


def _rebuilt(folder: Path, openssldir: str) -> tuple[Path, str]:
    """A copy of the file that this Python's OpenSSL is in, as if built for `openssldir`; and that file."""
    code = "import _ssl; print(open('/proc/self/maps').read())"
    maps = subprocess.check_output([sys.executable, "-I", "-c", code], text=True)
    for library in dict.fromkeys(re.findall(r" (/.*)$", maps, re.MULTILINE)):
        if os.path.isfile(library) and f'OPENSSLDIR: "{OPENSSLDIR}"\0'.encode() in (data := Path(library).read_bytes()):
            break
    else:
        raise Unavailable(f"no file of this Python is OpenSSL, built for {OPENSSLDIR}")
    if len(openssldir) > len(OPENSSLDIR):
        raise Unavailable(f"this Python's OpenSSL has no room for {openssldir} in the place of {OPENSSLDIR}")
    folder.mkdir()
    copy = folder / Path(library).name
    names = re.compile(re.escape(OPENSSLDIR.encode()) + rb"([\w./]*)(?=\0)")
    copy.write_bytes(names.sub(lambda name: (openssldir.encode() + name[1]).ljust(len(name[0]), b"\0"), data))
    return copy, library


class Here(Machine):
    """This machine as it is, for what can be tried where there are no made-up ones."""

    def __init__(self) -> None:
        self.openssldir, self.python = OPENSSLDIR, sys.executable

    def command(self, *command: str | os.PathLike[str]) -> list[str]:
        return [*map(os.fspath, command)]


def debian(
    folder: Path, anchors: Iterable[trustme.CA], *, openssldir: str | None = None, python: str = sys.executable
) -> Machine:
    """A hashed directory, and beside it a bundle that OpenSSL does not look at."""
    openssldir = openssldir or (OPENSSLDIR if OPENSSLDIR in ("/usr/lib/ssl", "/etc/ssl") else "/etc/ssl")
    machine, anchors = Machine(folder, openssldir=openssldir, python=python), [*anchors]
    machine.directory("/etc/ssl/certs", anchors)
    machine.bundle("/etc/ssl/certs/ca-certificates.crt", anchors)
    if os.path.isdir("/usr/lib/ssl"):
        machine.link("/usr/lib/ssl/certs", "/etc/ssl/certs")
    return machine


def red_hat(
    folder: Path, anchors: Iterable[trustme.CA], *, openssldir: str = "/etc/pki/tls", python: str = sys.executable
) -> Machine:
    """A bundle, and links to it.  /etc/ssl/certs leads to a directory that is not hashed."""
    machine = Machine(folder, openssldir=openssldir, python=python)
    bundle = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
    machine.bundle(bundle, anchors)
    machine.link("/etc/pki/tls/cert.pem", bundle)
    machine.link("/etc/pki/tls/certs/ca-bundle.crt", bundle)
    machine.link("/etc/ssl/certs", "../pki/tls/certs")
    return machine


def built_for_etc_ssl(folder: Path, anchors: Iterable[trustme.CA], *, python: str = sys.executable) -> Machine:
    """Red Hat, and a Python that uv or a container brought along: it finds no anchors."""
    return red_hat(folder, anchors, openssldir="/etc/ssl", python=python)


def own_prefix(
    folder: Path,
    anchors: Iterable[trustme.CA],
    *,
    carried: Iterable[trustme.CA] | None = None,
    python: str = sys.executable,
) -> Machine:
    """Debian, and a Python like conda's: its OpenSSL looks at a bundle in Python's own prefix, with the CAs `carried`.

    By default that is a CA that nobody knows.
    """
    prefix = Path(python).parent.parent
    machine = debian(folder, anchors, openssldir="/srv/ssl", python=f"/srv/bin/{Path(python).name}")
    for entry in os.scandir(prefix):
        machine.link(f"/srv/{entry.name}", entry.path)
    machine.bundle("/srv/ssl/cert.pem", [trustme.CA()] if carried is None else carried)
    return machine


LAYOUTS = {
    "Debian": debian,
    "Red Hat": red_hat,
    "Red Hat, Python built for /etc/ssl": built_for_etc_ssl,
    "Debian, Python with a bundle of its own": own_prefix,
}

_UNSHARE = ["unshare", "--mount"]
if hasattr(os, "geteuid") and os.geteuid() != 0:
    _UNSHARE.append("--map-root-user")


@functools.cache
def unavailable() -> str | None:
    """Why there are no made-up machines here."""
    if not sys.platform.startswith("linux"):
        return "made-up machines are Linux's"
    if shutil.which("unshare") is None:
        return "made-up machines need unshare"
    if subprocess.run([*_UNSHARE, "mount", "--rbind", "/etc", "/etc"], capture_output=True).returncode:
        return "a private mount namespace is not allowed here (needs root, or user namespaces)"
    return None


needs_machines = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
