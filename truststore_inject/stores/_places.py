"""Where the system store is, on systems where OpenSSL verifies: Linux, BSD and other Unix systems.

What OpenSSL reads by itself comes first, and OpenSSL is asked what that is.  The distribution's store is added where
OpenSSL looks somewhere else, or at only a part of it.  A place counts only if OpenSSL finds a CA there.
"""

import _ssl
import os
import sys

from .. import _settings
from . import _bundle
from ._bundle import Bundle
from ._files import hashed, identity, is_below, is_directory, is_settled, names, resolve, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._files import Path

# Where distributions put their store; also the links that lead there, for programs that name those.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL and relatives
    "/etc/pki/tls/cert.pem",  # before Fedora 43
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/var/lib/ca-certificates/ca-bundle.pem",  # SUSE
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",  # Alpine, BSD
    "/usr/local/share/certs/ca-root-nss.crt",  # FreeBSD
    "/etc/ssl/certs/ca-bundle.crt",  # NixOS
    "/data/data/com.termux/files/usr/etc/tls/cert.pem",  # Termux on Android
)
DIRECTORIES = (
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted/pem/directory-hash",
    "/var/lib/ca-certificates/pem",
)
# Named by MD5, as before OpenSSL 1.0: OpenSSL no longer finds them, so the files themselves are loaded.
ANDROID = ("/apex/com.android.conscrypt/cacerts", "/system/etc/security/cacerts")
# What is below these is the machine's.  Elsewhere (conda, Homebrew, Spack, /nix/store, a relocatable Python) OpenSSL
# has a bundle that a tool carries, as a library carries one.
_MACHINE = ("/etc", "/usr/lib/ssl", "/usr/share", "/usr/local", "/var", "/data/data/com.termux/files/usr")
# Patched into the OpenSSL of nixpkgs, which reads it before SSL_CERT_FILE.
_NIX = "NIX_SSL_CERT_FILE"


def built_in() -> tuple[str, str, str, str]:
    """What this Python's OpenSSL was built to read: a variable and the file, a variable and the directory."""
    file_variable, file, directory_variable, directory = _ssl.get_default_verify_paths()
    return file_variable, file, directory_variable, directory


def is_a_variable_set() -> bool:
    """Whether a variable names a place.  A tool may have set it."""
    file_variable, _, directory_variable, _ = built_in()
    return any(_settings.openssl(name) is not None for name in (file_variable, directory_variable, _NIX))


def is_one_of(path: "Path", *places: "Path | None") -> bool:
    """Whether `path` is the same file or directory as one of `places`."""
    file = identity(path)[:2]
    return bool(file) and any(place is not None and identity(place)[:2] == file for place in places)


def is_a_tools() -> bool:
    """Whether what this OpenSSL was built to read is a bundle that a tool carries, and not the machine's."""
    _, file, _, directory = built_in()
    if is_one_of(file, *BUNDLES) or is_one_of(directory, *DIRECTORIES):
        return False
    folder = resolve(os.path.dirname(file))
    condas = [resolve(prefix) for prefix in (sys.prefix, sys.base_prefix) if is_directory(f"{prefix}/conda-meta")]
    # conda may be installed below /usr/local.
    return not any(is_below(folder, place) for place in _MACHINE) or any(is_below(folder, conda) for conda in condas)


def is_default(path: "Path") -> bool:
    """Whether `path` is the machine's default: the distribution's file or directory, or OpenSSL's own.

    OpenSSL's own may be a tool's: this is asked only about what the distribution's does not replace.
    """
    _, file, _, directory = built_in()
    return is_one_of(path, file, directory, *BUNDLES, *DIRECTORIES)


class Store:
    """A system store that holds at least one trust anchor."""

    def __init__(self, source: str, file: str | None, directories: "Iterable[str]", by_itself: bool) -> None:
        self.source = source  # what says that it is there
        self.by_itself = by_itself  # OpenSSL reads the file and the directories without being told where they are
        self.file = file  # what OpenSSL loads into memory
        self.in_memory: Bundle | None = None  # what is in it
        self.directories = tuple(directories)  # where it looks when a chain needs an anchor
        self.added: dict[str, Bundle] = {}  # by path, what is trusted too and OpenSSL does not look at
        self.beside: Bundle | None = None  # what that would hide in the directories
        self.addition: Bundle | None = None  # both, as one
        self.others: dict[tuple[int, ...], tuple[list[Bundle], Bundle | None]] = {}  # the same for what settings add

    def bundles(self) -> list[str]:
        """The files that are in memory."""
        return list(dict.fromkeys([*([] if self.file is None else [self.file]), *self.added]))


class Search:
    """One look at the machine: the store, or None, and what is not in it, with the reasons."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        self.file_variable, self.file, self.directory_variable, self.directory = built_in()
        self._environment = self._read_environment()
        self._looked_at: dict[str, tuple[int, ...]] = {}
        self.carried = is_a_tools()
        # In the variables that OpenSSL reads: what tools have set, and what a person chose; None where nothing is set.
        self._tools = self._read_tools()
        values = [_settings.openssl(name) for name in (self.file_variable, self.directory_variable)]
        self.chosen = [None if value in self._tools else value for value in values]
        for value, owner in self._tools.items():
            self.left_out[value] = f"{owner} carries it, so the variable that names it is ignored"
        self._nix = self._is_nix()
        if self._nix:
            self.chosen[0] = _settings.openssl(_NIX)
        self.is_chosen = self.chosen != [None, None]
        self.store = self._named() if self.is_chosen else self._found()
        if self.store is not None:
            beside = [] if self.store.beside is None else [self.store.beside]
            self.store.addition = _bundle.together([*beside, *self.store.added.values()])
        self._settled = all(map(is_settled, self._looked_at.values()))

    def is_current(self) -> bool:
        """Whether another search would find the same."""
        return (
            self._settled
            and self._environment == self._read_environment()
            and self._tools == self._read_tools()
            and all(state == identity(place) for place, state in self._looked_at.items())
        )

    def is_carried(self, path: "Path") -> bool:
        """Whether `path` is what a tool carries for this OpenSSL, and the system store is used instead of it."""
        used = self.store is not None and self.store.file == self.file
        return self.carried and not used and is_one_of(path, self.file, self.directory)

    def _read_environment(self) -> list[str | None]:
        return [os.environ.get(name) for name in (self.file_variable, self.directory_variable, _NIX, "CONDA_PREFIX")]

    def _read_tools(self) -> dict[str, str]:
        """The values that no person chose: bundles that a library or a tool carries, and which one does."""
        found = {}
        for value in map(_settings.openssl, (self.file_variable, self.directory_variable)):
            if not value:
                continue
            from . import _carried  # here: in the ordinary case neither is set

            owner = _carried.library(value)
            if owner is None and self.carried and is_one_of(value, self.file, self.directory):
                owner = "this Python"
            if owner is not None:
                found[value] = owner
        return found

    def _is_nix(self) -> bool:
        """Whether this OpenSSL obeys the variable of nixpkgs: it is asked what it reads by itself."""
        value = _settings.openssl(_NIX)
        if not value:
            return False
        from . import _carried

        if _carried.library(value) is not None:
            return False
        ordinary = _settings.openssl(self.file_variable)
        bundle, other = self._bundle(value), self._bundle(self.file if ordinary is None else ordinary)
        held = [None if one is None else one.context.get_ca_certs(True) for one in (bundle, other)]
        if not held[0] or held[0] == held[1]:
            return False  # where both hold the same, it does not matter
        context = _bundle.new_context()
        _ssl._SSLContext.set_default_verify_paths(context)
        return bool(context.get_ca_certs(True) == held[0])

    def _named(self) -> Store | None:
        """What the variables name: each on its own, as in OpenSSL, and nothing else."""
        file, directory = self.chosen
        names = [_NIX if self._nix else self.file_variable, self.directory_variable]
        source = " and ".join(name for name, value in zip(names, self.chosen, strict=True) if value is not None)
        if directory and ":" in directory.partition("/")[0] and not is_directory(directory.partition(":")[0]):
            self.left_out[directory] = "a URI, which is left to OpenSSL"  # OpenSSL 3 takes one there
            return None
        if file and not size(file):
            self.left_out[file] = "it is empty, or not a file" if identity(file) else "there is no such file"
        directories = (self.directory if directory is None else directory).split(os.pathsep)
        store = Store(source, self.file if file is None else file, filter(None, directories), not self._tools)
        if self._is_usable(store):
            return store
        for value in filter(None, self.chosen):
            self.left_out.setdefault(value, f"{source}: OpenSSL finds no CA there")
        return None

    def _found(self) -> Store | None:
        """The store, where nobody chose a place."""
        own = Store(
            "the places that this Python's OpenSSL was built with", self.file, [self.directory], not self._tools
        )
        usable = self._is_usable(own)
        distributions = is_one_of(self.file, *BUNDLES) or is_one_of(self.directory, *DIRECTORIES)
        if self.carried:
            store = self._distribution()
            if store is not None and usable:
                self.left_out[self.file] = "this Python carries it; the machine's own store is used"
        elif not usable:
            store = self._distribution()
            if store is not None and store.added:  # what is not a CA in OpenSSL's own place is for OpenSSL to judge
                store.by_itself, store.file, store.directories = own.by_itself, own.file, own.directories
                store.in_memory = own.in_memory
        else:
            store = self._completed(own) if distributions else own  # else an administrator's, such as /usr/local/ssl
        if store is None:
            store = own if usable else None
        elif store is not own or self._tools:
            self._add_gained(store)
        return store

    def _distribution(self) -> Store | None:
        """The distribution's store alone: its first bundle that can be used, else its first directory."""
        store = Store("the distribution's places", None, [], False)
        for place in BUNDLES:
            bundle = self._bundle(place)
            if bundle is not None and bundle.has_a_ca():
                store.added[place] = bundle
                return store
        for place in DIRECTORIES:
            store.directories = (place,)
            if self._is_usable(store):
                return store
        store.directories = ()
        for place in ANDROID:
            self._look_at(place)
            bundle = _bundle.read_all(f"{place}/{name}" for name in names(place))
            if bundle is not None:
                store.added[place] = bundle
                return store
        return None

    def _completed(self, own: Store) -> Store:
        """`own`, which is the distribution's, with the distribution's bundle, unless that adds nothing to it."""
        from . import _pem  # here: a store that is one file does not need it

        for place in BUNDLES:
            if is_one_of(place, own.file):
                break
            self._look_at(place)
            texts = _pem.plain_blocks_of(place)
            if texts == set():
                continue  # empty, or a directory
            files = {path: _pem.single_block(path) for directory in own.directories for path in hashed(directory)}
            if texts is not None and texts <= set().union(*files.values()):
                break  # as on Debian: there is no need to parse it
            bundle = self._bundle(place)
            if bundle is not None and bundle.has_a_ca():
                # In order: a cross-signed form that it has would hide the root that is in the directory, too.
                own.added[place] = _bundle.in_order([bundle])
                uncovered = _bundle.read_all(
                    path for path, text in files.items() if not _is_covered(path, text, texts, bundle)
                )
                if uncovered is not None or not _bundle.can_share():  # without sharing, the order is that of the files
                    own.beside = _bundle.beside(
                        [bundle], own.directories, own.by_itself, in_memory=own.in_memory, lacks=uncovered
                    )
                break
        return own

    def _add_gained(self, store: Store) -> None:
        """Add what somebody added to the tools' bundles that were passed over."""
        from . import _carried

        for place in {*self._tools, *([self.file] if self.carried else [])}:
            for bundle in _carried.gained(place):
                store.added[place] = bundle

    # --- asking OpenSSL ---

    def _look_at(self, place: "Path") -> None:
        self._looked_at.setdefault(os.fsdecode(place), identity(place))

    def _bundle(self, path: str) -> Bundle | None:
        """What OpenSSL reads from the file `path`; None if it reads nothing, or refuses it: then with the reason."""
        self._look_at(path)
        if not size(path):
            return None
        try:
            return _bundle.read(path)
        except OSError as error:  # ssl.SSLError is one
            from . import _pem

            self.left_out[path] = _pem.fault(path) or str(error)
            return None

    def _is_usable(self, store: Store) -> bool:
        """Whether OpenSSL finds a CA there."""
        store.in_memory = None if store.file is None else self._bundle(store.file)
        for directory in store.directories:
            self._look_at(directory)
        if store.in_memory is not None and store.in_memory.has_a_ca():
            return True
        return any(self._finds(store, directory) for directory in store.directories)

    def _finds(self, store: Store, directory: str) -> bool:
        for path in hashed(directory):
            if not size(path):
                continue  # a dangling link, for example
            try:
                anchor = _bundle.read_alone(path)
            except OSError:
                continue
            if anchor.has_a_ca():
                held = _bundle.beside([anchor], store.directories, store.by_itself) if _bundle.can_share() else anchor
                if held is not None and held.has_a_ca():
                    return True
        return False


def _is_covered(path: str, text: set[bytes], texts: set[bytes] | None, bundle: Bundle) -> bool:
    """Whether `bundle`, with these texts, has everything in the file `path`, so that it hides nothing of it.

    Not if the file is more than one plain certificate: it may reject what the bundle has.  A bundle that is more than
    plain certificates (`texts` is None) may reject what is in the file, and that counts.
    """
    if not text or texts is not None:
        return bool(text) and texts is not None and text <= texts
    try:
        return set(_bundle.read_alone(path).context.get_ca_certs(True)) <= set(bundle.context.get_ca_certs(True))
    except OSError:  # ssl.SSLError is one
        return True
