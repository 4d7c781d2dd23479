"""How a CA is added to the store of a machine, by what is installed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")


@pytest.mark.parametrize(
    ("platform_", "release", "words"),
    [
        ("linux", {"ID": "debian"}, "/usr/local/share/ca-certificates/ca.crt && update-ca-certificates"),
        ("linux", {"ID": "alpine"}, "/usr/local/share/ca-certificates/ca.crt && update-ca-certificates"),
        ("linux", {"ID": "almalinux", "ID_LIKE": "rhel centos fedora"}, "/etc/pki/ca-trust/source/anchors/"),
        ("linux", {"ID": "azurelinux"}, "update-ca-trust"),
        ("linux", {"ID": "amzn", "ID_LIKE": "fedora"}, "update-ca-trust"),
        ("linux", {"ID": "openEuler"}, "update-ca-trust"),
        ("linux", {"ID": "photon"}, "rehash_ca_certificates.sh"),
        ("linux", {"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "/etc/pki/trust/anchors/"),
        ("linux", {"ID": "manjaro", "ID_LIKE": "arch"}, "trust anchor --store"),
        ("linux", {"ID": "nixos"}, "security.pki.certificateFiles"),
        ("linux", None, "update-ca-certificates"),
        ("freebsd14", None, "certctl rehash"),
        ("win32", None, "certutil -addstore"),
        ("darwin", None, "security add-trusted-cert"),
    ],
)
def test_how_to_add_a_ca_where_no_tool_is_installed(
    platform_: str, release: dict[str, str] | None, words: str, machine: Callable[..., str]
) -> None:
    """The commands are those of the systems' own documentation; here only the choice among them is tested."""
    assert words in machine(platform_, release)


@pytest.mark.parametrize(
    ("tools", "folders", "words"),
    [
        (["update-ca-trust", "trust"], ["/etc/pki/ca-trust/source/anchors"], "/etc/pki/ca-trust/source/anchors/ &&"),
        (["update-ca-trust", "trust"], ["/etc/ca-certificates/trust-source"], "trust anchor --store ca.pem"),
        (["update-ca-certificates", "trust"], ["/usr/local/share/ca-certificates"], "ca-certificates/ca.crt &&"),
        (["update-ca-certificates"], ["/etc/pki/trust/anchors"], "cp ca.pem /etc/pki/trust/anchors/ &&"),
        (["update-ca-certificates"], [], "/usr/local/share/ca-certificates/ca.crt && update-ca-certificates"),
        (["rehash_ca_certificates.sh"], ["/etc/ssl/certs"], "/etc/ssl/certs/ && rehash_ca_certificates.sh"),
        (["update-ca-trust"], [], "update-ca-trust"),
        (["trust"], [], "update-ca-certificates  # of the package ca-certificates"),  # p11-kit alone
    ],
)
@pytest.mark.parametrize("path", [None, "/usr/sbin"])
def test_how_to_add_a_ca_with_what_is_installed(
    tools: list[str], folders: list[str], words: str, path: str | None, machine: Callable[..., str]
) -> None:
    """Whatever the distribution calls itself, and also if the tool is on the PATH of administrators alone."""
    assert words in machine("linux", {"ID": "of-my-own"}, tools, folders, path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The commands for a machine with that ``os-release``, those tools (on that path) and those folders."""
    from truststore_inject.cli import _adding

    def commands(
        platform_: str,
        release: dict[str, str] | None,
        tools: Sequence[str] = (),
        folders: Sequence[str] = (),
        where: str | None = None,
    ) -> str:
        def os_release() -> dict[str, str]:
            if release is None:
                raise OSError("no such file")
            return release

        def which(tool: str, path: str) -> bool:
            return tool in tools and (where is None or where in path.split(":"))

        monkeypatch.setenv("PATH", "/usr/bin")
        monkeypatch.setattr(_adding.sys, "platform", platform_)
        monkeypatch.setattr(_adding.platform, "freedesktop_os_release", os_release)
        monkeypatch.setattr(_adding.shutil, "which", which)
        monkeypatch.setattr(_adding.os.path, "isdir", folders.__contains__)
        command, without_root = _adding.how_to_add()
        assert "TRUSTSTORE_INJECT_EXTRA_CA_CERTS" in without_root
        return command

    return commands
