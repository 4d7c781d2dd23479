"""One-line changes that weaken the package, each of which its tests have to notice: ``tox -e mutation``.

Each is made in what is installed, never in the checkout, and taken back.  A change that no test notices is a test that
is missing.  ``python tests/mutations.py WORD`` tries those with WORD in their description.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import truststore_inject

PACKAGE = Path(truststore_inject.__file__).parent
TESTS = Path(__file__).parent


class Mutation(NamedTuple):
    """`old` stands once in `file`; `tests` are the files of tests that notice when `new` takes its place."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = [
    # Contexts: who gets the store, and what else is touched.
    Mutation(
        "all verify flags are cleared",
        "stores/__init__.py",
        "context.verify_flags &= ~ssl.VERIFY_X509_STRICT",
        "context.verify_flags = ssl.VerifyFlags.VERIFY_DEFAULT",
        ("test_settings.py",),
    ),
    Mutation(
        "a server gets the store",
        "patches/_ssl.py",
        "return bool(context.protocol != module.PROTOCOL_TLS_SERVER)",
        "return True",
        ("test_trust.py",),
    ),
    Mutation(
        "any purpose gets the store",
        "patches/_ssl.py",
        "if purpose is not server_auth:",
        "if False:",
        ("test_trust.py",),
    ),
    Mutation("a program's own CA is widened", "patches/_ssl.py", "if asked.carried:", "if True:", ("test_trust.py",)),
    Mutation(
        "a renewed context may have another minimum_version",
        "patches/contexts.py",
        '"options", "minimum_version", "maximum_version"',
        '"options"',
        ("test_contexts.py",),
    ),
    Mutation(
        "a renewed context loses the program's own anchors",
        "patches/contexts.py",
        "own = set(old.get_ca_certs(binary_form=True)).difference(known)",
        "own = set()",
        ("test_contexts.py",),
    ),
    # The caller of a process with more rights.
    Mutation(
        "unknown rights are taken for none",
        "_settings.py",
        "_started_with_more_rights() is not False",
        "_started_with_more_rights() is True",
        ("test_security.py",),
    ),
    Mutation(
        "the extra CAs of a caller with fewer rights are trusted",
        "_settings.py",
        "return value if value and not _has_more_rights() else None",
        "return value or None",
        ("test_security.py",),
    ),
    Mutation(
        "a caller with fewer rights takes strict checks away",
        "_settings.py",
        'return _switch("TRUSTSTORE_INJECT_X509_STRICT") or _has_more_rights()',
        'return _switch("TRUSTSTORE_INJECT_X509_STRICT")',
        ("test_security.py",),
    ),
    Mutation(
        "only the ids tell who has more rights",
        "_settings.py",
        "return ids_differ or",
        "return ids_differ and",
        ("test_security.py",),
    ),
    # Files: the same one, and which bundle is a library's.
    Mutation(
        "a file is the same without its inode",
        "stores/_files.py",
        "status.st_dev, status.st_ino, status.st_size,",
        "status.st_dev, status.st_size,",
        ("test_bundle.py",),
    ),
    Mutation(
        "a file is the same without its size",
        "stores/_files.py",
        "status.st_ino, status.st_size, status.st_mtime_ns",
        "status.st_ino, status.st_mtime_ns",
        ("test_bundle.py",),
    ),
    Mutation(
        "a file is the same without the time of its last change",
        "stores/_files.py",
        "status.st_mtime_ns, status.st_ctime_ns",
        "status.st_mtime_ns, 0",
        ("test_bundle.py",),
    ),
    Mutation(
        "a file that has just been changed is kept",
        "stores/_files.py",
        "abs(time_ns() - state[-1]) > 100_000_000",
        "True",
        ("test_bundle.py",),
    ),
    Mutation(
        "a file that changes while it is read is kept",
        "stores/_bundle.py",
        "if before and before == identity(path) and",
        "if before and",
        ("test_bundle.py",),
    ),
    Mutation(
        "a folder of a library's name makes a pin default trust",
        "stores/_carried.py",
        "and (_is_loaded(package, folder, known) or _is_installed(package, folder, file))",
        "and True",
        ("test_carried.py",),
    ),
    Mutation(
        "where a variable is set the distribution's store is added",
        "stores/_places.py",
        "self.store = self._named() if self.is_chosen else self._found()",
        "self.store = (self._named() if self.is_chosen else None) or self._found()",
        ("test_places.py",),
    ),
    Mutation(
        "a place that an administrator filled is widened",
        "stores/_places.py",
        "store = self._completed(own) if distributions else own",
        "store = self._completed(own)",
        ("test_places.py",),
    ),
    Mutation(
        "what is added hides what is in the directory",
        "stores/_openssl.py",
        "_bundle.together(bundles if hidden is None else [hidden, *bundles])",
        "_bundle.together(bundles)",
        ("test_extra.py", "test_carried.py"),
    ),
    Mutation(
        "what OpenSSL's own file hides is trusted",
        "stores/_bundle.py",
        "if in_memory is not None:",
        "if False:",
        ("test_beside.py",),
    ),
    Mutation(
        "a rejection counts only where it comes first",
        "stores/_libssl.py",
        "return 0 if _is_rejected(entry[1]) else 1 +",
        "return 1 +",
        ("test_beside.py",),
    ),
    Mutation(
        "a cross-signed form that is added hides the root",
        "stores/_places.py",
        "own.added[place] = _bundle.in_order([bundle])",
        "own.added[place] = bundle",
        ("test_beside.py",),
    ),
    # The memory of OpenSSL's objects.
    Mutation(
        "what says that it is a context is taken for one",
        "stores/_libssl.py",
        "if not issubclass(type(context), _ssl._SSLContext) or",
        "if not isinstance(context, _ssl._SSLContext) or",
        ("test_libssl.py",),
    ),
    Mutation(
        "the memory of a context is not compared with what it says",
        "stores/_libssl.py",
        "or not as_expected:",
        "or False:",
        ("test_libssl.py",),
    ),
    Mutation(
        "a second version of OpenSSL is called",
        "stores/_libssl.py",
        'if self.function("OpenSSL_version_num", _UnsignedLong)() != ssl.OPENSSL_VERSION_NUMBER:',
        "if False:",
        ("test_libssl.py",),
    ),
    Mutation(
        "an unknown Python's memory is read",
        "stores/_libssl.py",
        "if not _KNOWN or file is None:",
        "if file is None:",
        ("test_libssl.py",),
    ),
    # The store as bytes and as a file.
    Mutation(
        "the exported store is kept under a name without the extra CAs",
        "stores/_export.py",
        "_settings.extra_ca_certs(), kept\n",
        "None, kept\n",
        ("test_export.py",),
    ),
    Mutation(
        "an anchor that trust settings reject is handed on",
        "stores/_libssl.py",
        "if add_to is _add_certificate and not _is_rejected(entry):",
        "if add_to is _add_certificate:",
        ("test_export.py",),
    ),
    Mutation(
        "another file that has the path of ours is trusted",
        "stores/_export.py",
        "if path is None or _identity(path) != file:",
        "if path is None:",
        ("test_export_file.py",),
    ),
    Mutation(
        "the exported store can be written to",
        "stores/_export.py",
        "fcntl.fcntl(descriptor, _F_ADD_SEALS, _ALL_SEALS)",
        "fcntl.fcntl(descriptor, _F_ADD_SEALS, 0)",
        ("test_export_file.py",),
    ),
    Mutation(
        "the exported store lies where others can write",
        "stores/_export.py",
        "or status.st_mode & 0o022:",
        "or False:",
        ("test_export_file.py",),
    ),
    Mutation(
        "grpc answers any .pem with the store",
        "patches/_grpc.py",
        ".endswith(os.sep + _TAIL)",
        '.endswith(".pem")',
        ("test_patches.py",),
    ),
    Mutation(
        "a pycurl handle's own CA is widened",
        "patches/_pycurl.py",
        "                if path_option in chosen:\n                    stock.unsetopt(handle, bytes_option)\n",
        "                if path_option in chosen:\n                    pass\n",
        ("test_export.py",),
    ),
    # Where the operating system verifies.
    Mutation(
        "bytes are written before the system has agreed",
        "stores/_connection.py",
        "        self._ready()\n        written:",
        "        written:",
        ("test_connection.py",),
    ),
    Mutation(
        "the host name is left to the system alone",
        "stores/_verifier.py",
        "        if check_hostname and server_hostname:\n",
        "        if False:\n",
        ("test_connection.py", "test_macos.py"),
    ),
    Mutation(
        "a wildcard stands for a part of a label",
        "stores/_verifier.py",
        'if star != "*" or parent',
        'if "*" not in star or parent',
        ("test_host_names.py",),
    ),
    Mutation(
        "a coroutine of a newer truststore counts as an agreement",
        "stores/_verifier.py",
        "        if answer is not None:\n            raise CouldNotBeAsked",
        "        if False:\n            raise CouldNotBeAsked",
        ("test_verifier.py", "test_connection.py"),
    ),
]


def pytest(files: list[str]) -> subprocess.CompletedProcess[str]:
    """The tests in `files`, until one fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *(str(TESTS / file) for file in files)], capture_output=True, text=True)


def try_one(mutation: Mutation) -> str | None:
    """None if the tests notice it, else why they did not."""
    file = PACKAGE / mutation.file
    stock = file.read_text(encoding="utf-8")
    if stock.count(mutation.old) != 1:
        return f"{mutation.file} has its text {stock.count(mutation.old)} times"
    try:
        write(file, stock.replace(mutation.old, mutation.new))
        result = pytest(list(mutation.tests))
    finally:
        write(file, stock)
    if result.returncode == 1:
        return None
    return "no test failed" if result.returncode == 0 else f"pytest ended with {result.returncode}:\n{result.stdout}"


def write(file: Path, text: str) -> None:
    """And no byte code of what was there: it is recognised by its size and the second in which it was written."""
    file.write_text(text, encoding="utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def main(words: list[str]) -> int:
    if TESTS.parent in PACKAGE.parents and "site-packages" not in PACKAGE.parts:
        sys.exit("the package is imported from the checkout, which is not to be changed: tox -e mutation")
    chosen = [mutation for mutation in MUTATIONS if all(word in mutation.what for word in words)]
    files = sorted({file for mutation in chosen for file in mutation.tests})
    unchanged = pytest(files)
    if unchanged.returncode:
        sys.exit(f"the tests fail without any change:\n{unchanged.stdout}")
    survivors = 0
    for mutation in chosen:
        start = time.monotonic()
        reason = try_one(mutation)
        survivors += reason is not None
        said = "noticed" if reason is None else f"SURVIVES ({reason})"
        print(f"{time.monotonic() - start:5.1f} s  {mutation.what}: {said}", flush=True)
    print(f"{len(chosen)} changes, {survivors} that no test noticed")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
