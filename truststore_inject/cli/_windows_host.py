"""``export --from-windows``: what the Windows host of this WSL trusts, through ``powershell.exe``."""

import base64
import binascii
import os
import platform
import shutil
import subprocess

from . import _influences
from ._failure import MISSING, Failure

# Its usual location: interop may leave Windows' folders out of the PATH.
_POWERSHELL = "/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"
_SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1"

# One certificate per line: the store, the uses that Windows allows it (none listed: any), DER in base64.
# https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.security/about/about_certificate_provider
_SCRIPT = r"""
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
foreach ($location in 'LocalMachine', 'CurrentUser') {
    foreach ($store in 'Root', 'Disallowed') {
        foreach ($certificate in Get-ChildItem -Path "Cert:\$location\$store") {
            $uses = @($certificate.EnhancedKeyUsageList | ForEach-Object { $_.ObjectId }) -join ','
            "$location\$store [$uses] " + [Convert]::ToBase64String($certificate.RawData)
        }
    }
}
"""


def anchors() -> dict[bytes, str]:
    """DER, and the store on Windows: ROOT of the machine and of the user, less what is in Disallowed.

    Raises `Failure`: this is no WSL, or Windows does not answer.
    """
    if not os.environ.get("WSL_DISTRO_NAME") and "microsoft" not in platform.release().lower():
        raise Failure("--from-windows: this is not WSL, there is no Windows to ask", MISSING)
    found: dict[bytes, str] = {}
    disallowed = set()
    for line in _ask().splitlines():
        place, uses, certificate = (line.split() + [""] * 3)[:3]
        try:
            der = base64.b64decode(certificate, validate=True)
        except binascii.Error:
            continue
        if place.endswith("\\Disallowed"):
            disallowed.add(der)
        elif place.endswith("\\Root") and (uses == "[]" or _SERVER_AUTHENTICATION in uses.strip("[]").split(",")):
            found.setdefault(der, f"Windows, Cert:\\{place}")
    found = {der: place for der, place in found.items() if der not in disallowed and _is_ca(der)}
    if not found:
        raise Failure("--from-windows: Windows named no CA that it trusts for servers", MISSING)
    return found


def _ask() -> str:
    powershell = shutil.which("powershell.exe") or shutil.which(_POWERSHELL)
    if powershell is None:
        raise Failure(
            "--from-windows: powershell.exe is not found (is interop switched off in /etc/wsl.conf?)", MISSING
        )
    encoded = base64.b64encode(_SCRIPT.encode("utf-16-le")).decode()
    command = [powershell, "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded]
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("--from-windows: powershell.exe did not answer within 120 seconds", MISSING) from None
    except OSError as error:
        raise Failure(f"--from-windows: {powershell}: {error.strerror}", MISSING) from None
    if child.returncode:
        words = child.stderr.decode(errors="replace").split("\n")[0].strip()
        raise Failure(f"--from-windows: powershell.exe ended with code {child.returncode}: {words}", MISSING)
    return child.stdout.decode(errors="replace")


def _is_ca(der: bytes) -> bool:
    """Whether OpenSSL takes it for a CA: ROOT holds whatever somebody put there."""
    return not _influences.subject(der).startswith("(")
