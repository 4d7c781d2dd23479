"""How a CA is added to the store of this machine, depending on what is installed."""

import os
import platform
import shlex
import shutil
import subprocess
import sys

_WITHOUT_ROOT = "Without root: TRUSTSTORE_INJECT_EXTRA_CA_CERTS=/path/of/ca.pem in the environment (Python only)."

# The tool, the folder that it makes the store from, and the commands.  The first entry whose tool and folder are both
# here is used; for a tool with none of its folders it is the last, the tool's own default.
_TOOLS = (
    ("trust", "/etc/ca-certificates/trust-source", "trust anchor --store ca.pem"),  # Arch
    ("update-ca-trust", "/etc/pki/ca-trust/source/anchors", "cp ca.pem {folder}/ && update-ca-trust"),
    ("update-ca-certificates", "/etc/pki/trust/anchors", "cp ca.pem {folder}/ && update-ca-certificates"),  # SUSE
    (
        "update-ca-certificates",
        "/usr/local/share/ca-certificates",
        "cp ca.pem {folder}/ca.crt && update-ca-certificates",
    ),
    ("rehash_ca_certificates.sh", "/etc/ssl/certs", "cp ca.pem {folder}/ && rehash_ca_certificates.sh"),  # Photon OS
)
# If none is found: what the distribution's package ca-certificates contains, by ID and ID_LIKE in os-release.
_FAMILIES = {
    "update-ca-trust": {"fedora", "rhel", "centos", "amzn", "azurelinux", "mariner", "openeuler"},
    "trust": {"arch"},
    "rehash_ca_certificates.sh": {"photon"},
}
_SUSE = {"suse", "opensuse", "sles"}
# Where an administrator's tools are, even if they are not on the PATH of other users.
_ADMINISTRATORS = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"))


def how_to_add(file: str | None = None) -> list[str]:
    """The commands that add `file` (``ca.pem``) to the store of this system, and what works without root."""
    commands, without_root = f"  {_commands()}", _WITHOUT_ROOT
    if file is not None:
        name = subprocess.list2cmdline([file]) if sys.platform == "win32" else shlex.quote(file)
        commands = commands.replace("./ca.pem", name).replace("ca.pem", name)
        without_root = without_root.replace("/path/of/ca.pem", name)
    return [commands, without_root]


def _commands() -> str:
    if sys.platform == "win32":
        return "certutil -addstore -f Root ca.pem"
    if sys.platform == "darwin":
        keychain = "/Library/Keychains/System.keychain"
        return f"sudo security add-trusted-cert -d -r trustRoot -k {keychain} ca.pem"
    if "freebsd" in sys.platform:
        return "cp ca.pem /usr/local/share/certs/ && certctl rehash"
    family = _family()
    if "nixos" in family:
        return "security.pki.certificateFiles = [ ./ca.pem ];  # in configuration.nix"
    for path in (os.environ.get("PATH"), _ADMINISTRATORS):
        here = [entry for entry in _TOOLS if shutil.which(entry[0], path=path)]
        with_folder = [entry for entry in here if os.path.isdir(entry[1])]
        without = [entry for entry in here if entry[0] != "trust"]  # p11-kit has it on systems with another store
        if with_folder or without:
            _, folder, commands = (with_folder or without[-1:])[0]
            return commands.format(folder=folder)
    tool = next((tool for tool, names in _FAMILIES.items() if names & family), "update-ca-certificates")
    entries = [entry for entry in _TOOLS if entry[0] == tool]
    _, folder, commands = entries[0 if family & _SUSE else -1]
    return f"{commands.format(folder=folder)}  # of the package ca-certificates"


def _family() -> set[str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return set()
    return {name.lower() for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split())}
