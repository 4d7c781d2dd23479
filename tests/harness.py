"""Throw-away certificate authorities, stores and TLS servers, and child processes with an environment of their own."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from servers import Server, decide

HERE = Path(__file__).parent
# The clients of tests/clients, by what the library trusts when nobody tells it: the bundle that certifi carries, or
# OpenSSL's own places.
CERTIFI = ("urllib3_certifi", "requests_get", "requests_session", "httpx_sync", "httpx_async", "botocore")
OPENSSL = ("urllib_request", "http_client", "asyncio_streams", "urllib3", "aiohttp", "websockets")
HOSTS = ("localhost", "127.0.0.1")

# What `environment` names is the store there; on Windows and macOS it is trusted in addition to the machine's own.
OS_VERIFIES = sys.platform in ("win32", "darwin")
openssl_store = pytest.mark.skipif(
    OS_VERIFIES, reason="about the store that OpenSSL reads: here the operating system verifies"
)


class Authorities:
    """`system` is in the store, `bundled` in the libraries' bundles, `private` is pinned, `unknown` is nowhere."""

    def __init__(self) -> None:
        self.system, self.bundled, self.private, self.unknown = (
            trustme.CA(organization_name=f"{name} of the tests") for name in ("system", "bundled", "private", "unknown")
        )

    def server_certificates(self) -> dict[str, trustme.LeafCert]:
        """A server certificate for each case that a client has to judge."""
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        return {
            "system": self.system.issue_cert(*HOSTS),
            "intermediate": self.system.create_child_ca().issue_cert(*HOSTS),
            "bundled": self.bundled.issue_cert(*HOSTS),
            "private": self.private.issue_cert(*HOSTS),
            "unknown": self.unknown.issue_cert(*HOSTS),
            "wrong_host": self.system.issue_cert("other.example"),
            "expired": self.system.issue_cert(*HOSTS, not_before=now - 20 * day, not_after=now - 10 * day),
        }


def write_directory(folder: Path, authorities: Iterable[trustme.CA]) -> Path:
    """Make `folder` a hashed directory, as ``update-ca-certificates`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, authority in enumerate(authorities):
        authority.cert_pem.write_to_path(folder / f"ca-{number}.pem")
    rehash(folder)
    return folder


def rehash(folder: Path) -> None:
    """``openssl rehash``, which macOS' LibreSSL does not have; Windows may have no such program at all."""
    if not OS_VERIFIES:
        subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
        return
    from truststore_inject.cli._proof import _subject_hash

    for file in folder.glob("*.pem"):
        digest = _subject_hash(file.read_bytes())
        shutil.copyfile(file, folder / f"{digest}.{len([*folder.glob(f'{digest}.*')])}")


def write_bundle(file: Path, authorities: Iterable[trustme.CA]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))
    return file


def environment(**variables: str | os.PathLike[str]) -> dict[str, str]:
    """What a child gets: nothing of the shell that runs the tests, whose ``SSL_CERT_FILE`` alone changes each verdict.

    ``SSL_CERT_FILE`` names a file that does not exist, so that no test reads the machine's own bundle.  Give a child
    that forks while it has threads an empty ``COVERAGE_PROCESS_CONFIG``: the fork may find a lock of coverage's held
    (<https://github.com/coveragepy/coveragepy/issues/1310>).
    """
    base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SSL_CERT_FILE": "/nonexistent/bundle.pem"}
    for name in ("SYSTEMROOT", "COVERAGE_PROCESS_CONFIG"):  # Windows needs the one; tox -e coverage sets the other
        if name in os.environ:
            base[name] = os.environ[name]
    return {**base, **{name: os.fspath(value) for name, value in variables.items()}}


_MEASURE = "try:\n    import coverage\n    coverage.process_startup()\nexcept ImportError:\n    pass\n"


def run(
    *arguments: str | os.PathLike[str], env: dict[str, str], python: Path | str = sys.executable, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python` (default: this one); the result has `stdout`, `stderr` and `returncode`."""
    options = {"timeout": 300, "cwd": HERE.anchor, **options}
    if "COVERAGE_PROCESS_CONFIG" in env and {"-S", "-c"} <= set(arguments):  # no .pth file starts the measurement
        place = arguments.index("-c") + 1
        arguments = (*arguments[:place], f"{_MEASURE}{arguments[place]}", *arguments[place + 1 :])
    return subprocess.run([python, *arguments], env=env, capture_output=True, text=True, **options)


# A program that asks the URLs among its arguments with urllib and prints, as JSON, the body of each answer or the error.
ASK_URLLIB = """
import json, sys, urllib.request
def verdict(url):
    try:
        return urllib.request.urlopen(url, timeout=60).read().decode()
    except OSError as error:
        return str(error)
print(json.dumps([verdict(url) for url in sys.argv[1:]]))
"""


def run_code(code: str, *arguments: str, env: dict[str, str], **options: Any) -> Any:
    """Run `code`, which prints one JSON value; that value.  Anything on standard error is a failure."""
    result = run("-c", code, *arguments, env=env, **options)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return json.loads(result.stdout)


def verdicts(
    client: str,
    urls: dict[str, str],
    *,
    env: dict[str, str],
    trust: str = "default",
    servers: dict[str, Server] | None = None,
) -> dict[str, str]:
    """What `client` (one of tests/clients) says of each server, in a child process: ``accepted`` or ``refused``.

    Where the client fails in words that say nothing about the certificate, because the server does not speak its
    protocol, `servers` decide: it said something after the handshake, or waited for us, or it did not.
    """
    before = {case: server.believed for case, server in (servers or {}).items()}
    result = run(HERE / "clients", client, trust, json.dumps(urls), env=env)
    assert result.returncode == 0, result.stderr
    said: dict[str, str] = json.loads(result.stdout.splitlines()[-1])
    for case, verdict in said.items():
        if verdict not in ("accepted", "refused"):
            assert servers is not None, (case, verdict)
            said[case] = decide(servers[case], before[case], verdict)
    return said


@contextlib.contextmanager
def shadow_certifi(folder: Path, authority: trustme.CA) -> Iterator[Path]:
    """A copy of certifi for PYTHONPATH whose bundle holds just `authority`, as an installer lays it down."""
    import certifi

    shutil.copytree(Path(certifi.__file__).parent, folder / "certifi", ignore=shutil.ignore_patterns("__pycache__"))
    write_bundle(folder / "certifi" / "cacert.pem", [authority])
    write_record(folder, "certifi/cacert.pem")
    yield folder


def write_record(folder: Path, file: str, project: str = "certifi-2026.1.1") -> Path:
    """What an installer writes down about `file` in the site-packages `folder`."""
    data = (folder / file).read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    record = folder / f"{project}.dist-info" / "RECORD"
    record.parent.mkdir(exist_ok=True)
    record.write_text(f"{file},sha256={digest},{len(data)}\n{record.parent.name}/RECORD,,\n")
    return record


def make_base(folder: Path) -> Path:
    """The executable of a throw-away base interpreter: this one's base, without what is installed in it.

    It is externally managed (PEP 668), and has no sitecustomize.
    """
    prefix, stdlib = Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))
    target = folder / stdlib.relative_to(prefix)
    target.mkdir(parents=True)
    left_out = {"__pycache__", "site-packages", "dist-packages", "sitecustomize.py", "EXTERNALLY-MANAGED"}
    for entry in stdlib.iterdir():
        if entry.name not in left_out and "truststore-inject" not in entry.name:
            (target / entry.name).symlink_to(entry)
    (target / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=by the tests\n")
    executable = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    python = folder / executable.relative_to(Path(os.path.realpath(prefix)))
    python.parent.mkdir()
    shutil.copy(executable, python)
    return python


class Venv:
    """A virtual environment made of the installed package, with truststore where that verifies, or of nothing at all."""

    def __init__(self, folder: Path, *, with_package: bool = True) -> None:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        self._look(folder)
        if with_package:
            self.install()
        if "COVERAGE_PROCESS_CONFIG" in os.environ:  # what starts in it is measured too
            import coverage

            place = Path(coverage.__file__).parent
            (self.site_packages / "coverage").symlink_to(place)
            shutil.copyfile(place.parent / "a1_coverage.pth", self.site_packages / "a1_coverage.pth")

    @classmethod
    def existing(cls, folder: Path) -> Venv:
        """One that somebody else made."""
        self = cls.__new__(cls)
        self._look(folder)
        return self

    def _look(self, folder: Path) -> None:
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site_packages = Path(subprocess.check_output([self.python, "-c", code], text=True).strip())

    def install(self) -> None:
        """Copy the package into it."""
        for name in ("truststore-inject", *(["truststore"] if OS_VERIFIES else [])):
            for file in importlib.metadata.files(name) or []:
                if ".." not in file.parts and "__pycache__" not in file.parts:  # not the console script
                    target = self.site_packages / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file.locate(), target)

    def run(self, *arguments: str | os.PathLike[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, env=environment(**variables), python=self.python)

    def json(self, code: str, *options: str, **variables: str) -> Any:
        """What `code`, which prints one JSON value, prints; anything on standard error is a failure."""
        result = self.run(*options, "-c", code, **variables)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return json.loads(result.stdout)
