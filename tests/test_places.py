"""Where the system store is, and what OpenSSL finds there: verdicts of real handshakes, beside those of stock."""

from __future__ import annotations

import itertools
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Authorities, environment, run_code, shadow_certifi, write_bundle
from places import PADDING, Places, accepted, accepts, needs_openssl, stock, subject_hash
from places import places as places

pytestmark = needs_openssl

from truststore_inject import _settings  # noqa: E402
from truststore_inject.stores import _bundle, _carried, _openssl, _places  # noqa: E402

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
RED_HATS = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"


def default() -> ssl.SSLContext:
    return ssl.create_default_context()


def left_out() -> dict[str, str]:
    return {entry["path"]: entry["reason"] for entry in _openssl.describe()["left_out"]}  # type: ignore[attr-defined]


# --- what OpenSSL reads by itself ---


def test_the_variables_mean_what_they_mean_to_openssl(places: Places, authorities: Authorities) -> None:
    """Each value of one with each of the other, where OpenSSL was built for a place that an administrator filled."""
    system, bundled, private, unknown = (
        getattr(authorities, name) for name in ("system", "bundled", "private", "unknown")
    )
    places.built_for("/usr/local/ssl")
    places.bundle("/usr/local/ssl/cert.pem", [system])
    places.directory("/usr/local/ssl/certs", [bundled])
    file, folder = places.bundle("/corp.pem", [private]), places.directory("/corp", [unknown])
    link = places.link("/link.pem", "/corp.pem")
    empty = places.directory("/empty", [])
    values = {
        "SSL_CERT_FILE": [None, "", "/nonexistent", file, link, folder, os.path.relpath(file)],
        "SSL_CERT_DIR": [None, "", "/nonexistent", folder, f"/nonexistent:{empty}:{folder}", file, f":{folder}"],
    }
    for pair in itertools.product(*values.values()):
        for name, value in zip(values, pair, strict=True):
            if value is None:
                places._monkeypatch.delenv(name, raising=False)
            else:
                places.setenv(**{name: value})
        places.built_for("/usr/local/ssl")
        everybody = (system, bundled, private, unknown)
        assert accepted(default(), *everybody) == accepted(stock(), *everybody), pair


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("value", ["", "/nonexistent"])
def test_where_a_variable_is_set_nothing_of_the_distribution_is_added(
    variable: str, value: str, places: Places, authorities: Authorities
) -> None:
    places.debian(authorities.system)
    places.bundle("/usr/lib/ssl/cert.pem", [authorities.private])
    with places.path(BUNDLE).open("ab") as bundle:
        bundle.write(authorities.unknown.cert_pem.bytes())
    both = authorities.system, authorities.private, authorities.unknown
    assert accepted(default(), *both) == [True, True, True]
    places.setenv(**{variable: value})
    assert accepted(default(), *both) == accepted(stock(), *both)
    assert sum(accepted(default(), *both)) == 1


def test_a_variable_that_names_nothing_usable_leaves_the_librarys_default(
    places: Places, authorities: Authorities
) -> None:
    places.debian(authorities.system)
    places.setenv(SSL_CERT_FILE="/nonexistent", SSL_CERT_DIR="/nonexistent")
    assert _openssl.search().store is None
    assert left_out() == {"/nonexistent": "there is no such file"}


@pytest.mark.parametrize("link", [False, True])
def test_a_variable_that_names_a_librarys_bundle_counts_as_not_set(
    link: bool, places: Places, authorities: Authorities, tmp_path: Path
) -> None:
    """Also through a link: the images of manylinux have it so (https://github.com/pypa/manylinux/issues/53)."""
    places.debian(authorities.system)
    with shadow_certifi(tmp_path / "site", authorities.bundled) as folder:
        bundle = folder / "certifi" / "cacert.pem"
    value = places.link("/opt/ssl.pem", "/../site/certifi/cacert.pem") if link else bundle
    places.setenv(SSL_CERT_FILE=value)
    assert accepted(default(), authorities.system, authorities.bundled) == [True, False]
    assert left_out()[str(value)].startswith("certifi carries it")
    assert accepts(stock(), authorities.bundled)


@pytest.mark.parametrize("name", ["cert.pem", "cacert.pem"])
def test_conda_s_activation_is_nobody_s_choice(name: str, places: Places, authorities: Authorities) -> None:
    """Also in a virtual environment of another Python (https://github.com/ContinuumIO/anaconda-issues/issues/13509)."""
    places.debian(authorities.system)
    bundle = places.bundle(f"/opt/conda/ssl/{name}", [authorities.bundled])
    directory = places.directory("/opt/conda/ssl/certs", [])
    places.setenv(SSL_CERT_FILE=bundle, SSL_CERT_DIR=directory)
    assert accepted(default(), authorities.system, authorities.bundled) == [False, True]  # a person's, so far
    places.setenv(CONDA_PREFIX=places.path("/opt/conda"))
    assert accepted(default(), authorities.system, authorities.bundled) == [True, False]
    places._monkeypatch.setattr(_settings, "_more_rights", [True])
    assert _carried.library(bundle) is None  # who calls a set-user-id program does not tell it what is conda's
    places._monkeypatch.setattr(_settings, "_more_rights", [False])
    elsewhere = places.bundle("/opt/conda/ssl/corp.pem", [authorities.private])
    places.setenv(SSL_CERT_FILE=elsewhere)
    assert accepted(default(), authorities.system, authorities.private) == [True, True]


def test_the_bundle_that_a_python_was_built_to_find_in_its_prefix_is_nobody_s_choice(
    places: Places, authorities: Authorities
) -> None:
    places.built_for("/opt/python/ssl")
    bundle = places.bundle("/opt/python/ssl/cert.pem", [authorities.bundled])
    places.debian(authorities.system)
    places.setenv(SSL_CERT_FILE=bundle)
    assert accepted(default(), authorities.system, authorities.bundled) == [True, False]


def test_a_uri_is_left_to_stock_as_a_whole(places: Places, authorities: Authorities) -> None:
    """https://docs.openssl.org/3.0/man7/openssl-env/"""
    if ssl.OPENSSL_VERSION_INFO < (3,):
        pytest.skip("before OpenSSL 3 it is no URI")
    places.debian(authorities.system)
    file = places.bundle("/corp.pem", [authorities.private])
    places.setenv(SSL_CERT_DIR=f"file:{file}")
    both = authorities.system, authorities.private
    assert accepted(default(), *both) == accepted(stock(), *both)
    assert _openssl.search().store is None
    assert "URI" in left_out()[f"file:{file}"]


def test_other_ids_for_a_while_do_not_unset_a_variable(
    places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL goes by AT_SECURE, which a process of root that lowers its effective id has not."""
    places.debian(authorities.system)
    places.setenv(SSL_CERT_FILE=places.bundle("/corp.pem", [authorities.private]), SSL_CERT_DIR="")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert accepted(default(), authorities.system, authorities.private) == [False, True]


# nixpkgs patches OpenSSL to read its own variable first (pkgs/development/libraries/openssl/nix-ssl-cert-file.patch).
NIX = r"""
#include <stdlib.h>
#include <string.h>
char *secure_getenv(const char *name) {
    char *value = strcmp(name, "SSL_CERT_FILE") ? NULL : getenv("NIX_SSL_CERT_FILE");
    return value ? value : getenv(name);
}
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or shutil.which("gcc") is None, reason="needs Linux and gcc")
def test_a_patched_openssl_with_a_variable_of_its_own(
    authorities: Authorities, store: Path, tmp_path: Path, servers: object
) -> None:
    (tmp_path / "nix.c").write_text(NIX)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "nix.so", tmp_path / "nix.c"], check=True)
    bundles = {name: write_bundle(tmp_path / name, [getattr(authorities, name)]) for name in ("private", "unknown")}
    bundles["private"].write_bytes(PADDING + bundles["private"].read_bytes())  # so that it is shared
    code = """
import json, ssl
c = ssl.create_default_context()
anchors = [dict(pair for rdn in a["subject"] for pair in rdn)["organizationName"] for a in c.get_ca_certs()]
import truststore_inject
print(json.dumps([anchors, truststore_inject.status().store["source"]]))
"""
    env = environment(SSL_CERT_DIR="/nonexistent", NIX_SSL_CERT_FILE=bundles["private"])
    patched = {"LD_PRELOAD": str(tmp_path / "nix.so")}
    private, unknown = ["private of the tests"], ["unknown of the tests"]
    for ordinary in ({}, {"SSL_CERT_FILE": str(bundles["unknown"])}):
        stock, _ = run_code(code, env={**env, **patched, **ordinary, "TRUSTSTORE_INJECT": "0"})
        anchors, source = run_code(code, env={**env, **patched, **ordinary})
        if stock != private:
            pytest.skip("this OpenSSL asks for its variables in another way")
        assert anchors == private
        assert "NIX_SSL_CERT_FILE" in source
        assert run_code(code, env={**env, **ordinary})[0] == (unknown if ordinary else [])


# --- the machine's places, and a tool's ---

MACHINES = ("/etc/ssl", "/usr/lib/ssl", "/usr/share/ssl", "/usr/local/ssl", "/var/ssl")
TOOLS = ("/opt/conda/ssl", "/home/linuxbrew/.linuxbrew/etc/openssl@3", "/nix/store/x/etc/ssl", "/usr/libexec/ssl")


@pytest.mark.parametrize("openssldir", [*MACHINES, *TOOLS])
def test_who_has_filled_the_place_that_openssl_was_built_for(
    openssldir: str, places: Places, authorities: Authorities
) -> None:
    places.built_for(openssldir)
    places.bundle(f"{openssldir}/cert.pem", [authorities.private])
    places.red_hat(authorities.system)
    of_the_machine = openssldir in MACHINES
    assert accepts(default(), authorities.private) == of_the_machine
    assert accepts(default(), authorities.system) == (not of_the_machine or openssldir == "/etc/ssl")
    own = str(places.path(f"{openssldir}/cert.pem"))
    assert (own in left_out()) == (not of_the_machine)


def test_a_python_whose_prefix_is_usr_local(places: Places, authorities: Authorities) -> None:
    """What python:3 images have: it is the machine's, unless conda was installed there."""
    places.built_for("/usr/local/ssl")
    places.bundle("/usr/local/ssl/cert.pem", [authorities.private])
    places.debian(authorities.system)
    both = authorities.private, authorities.system
    prefix = places.prefix("/usr/local")
    assert accepted(default(), *both) == [True, False]
    (prefix / "conda-meta").mkdir()
    _openssl._found = None
    assert accepted(default(), *both) == [False, True]


def test_a_tool_s_bundle_is_the_last_resort(places: Places, authorities: Authorities) -> None:
    places.built_for("/opt/tool/ssl")
    places.bundle("/opt/tool/ssl/cert.pem", [authorities.bundled])
    assert accepts(default(), authorities.bundled)
    places.debian(authorities.system)
    assert accepted(default(), authorities.bundled, authorities.system) == [False, True]


# --- the distribution's bundle belongs to it ---


@pytest.mark.parametrize("anchors", [1, 3])
def test_debians_own_concatenation_is_not_read_twice(
    anchors: int, places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.debian(*[authorities.system, authorities.private, authorities.bundled][:anchors])
    read: list[str] = []
    monkeypatch.setattr(_bundle, "read", lambda path: read.append(path) or _bundle.read_alone(path))
    context = default()
    assert accepted(context, authorities.system, authorities.unknown) == [True, False]
    assert (read, context.get_ca_certs(True), _openssl.describe()["bundles"]) == ([], context.get_ca_certs(True), [])


@pytest.mark.parametrize("how", ["appended", "appended with CRLF", "in the place of the old one", "older than it"])
def test_a_ca_that_is_in_debians_bundle_alone(how: str, places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system, authorities.private)
    bundle, added = places.path(BUNDLE), authorities.unknown.cert_pem.bytes()
    if how == "in the place of the old one":
        bundle.unlink()
        bundle.write_bytes(added)
    else:
        bundle.write_bytes(bundle.read_bytes() + (added.replace(b"\n", b"\r\n") if "CRLF" in how else added))
        if how == "older than it":
            os.utime(bundle, (0, 0))
    everybody = authorities.system, authorities.private, authorities.unknown
    assert accepted(stock(), *everybody) == [True, True, False]
    assert accepted(default(), *everybody) == [True, True, True]
    assert _openssl.describe()["bundles"] == [str(bundle)]


def test_a_place_that_an_administrator_filled_is_not_widened(places: Places, authorities: Authorities) -> None:
    places.built_for("/usr/local/ssl")
    places.debian(authorities.system)
    places.directory("/usr/local/ssl/certs", [authorities.private])
    assert accepted(default(), authorities.system, authorities.private) == [False, True]


@pytest.mark.parametrize("how", ["hashed by hand", "c_rehash linked the bundle", "nothing", "no certificate"])
def test_red_hat_and_a_python_that_was_built_for_etc_ssl(how: str, places: Places, authorities: Authorities) -> None:
    """/etc/ssl/certs leads to a directory where an administrator may have made links; the bundle is the store.

    https://github.com/theforeman/theforeman.org/issues/407, https://github.com/openssl/openssl/issues/6199
    """
    places.built_for("/etc/ssl")
    bundle = places.red_hat(authorities.system, authorities.bundled)
    directory = places.path("/etc/pki/tls/certs")
    if how == "hashed by hand":
        places.directory("/etc/pki/tls/certs", [authorities.private])
    elif how == "c_rehash linked the bundle":
        (directory / f"{subject_hash(bundle)}.0").symlink_to(bundle)
    elif how == "no certificate":
        (directory / "0badbad0.0").write_text("nothing\n")
    assert accepted(default(), authorities.system, authorities.bundled) == [True, True]
    assert accepts(default(), authorities.private) == (how == "hashed by hand")


def test_a_certificate_that_is_commented_out(places: Places, authorities: Authorities) -> None:
    """As OpenSSL has it, also where many files hold it, and on Red Hat's layout, whose directory may still have it."""
    places.built_for("/etc/pki/tls")
    bundle = places.red_hat(authorities.system)
    places.directory("/etc/pki/ca-trust/extracted/pem/directory-hash", [authorities.system, authorities.private])
    commented = b"".join(b"# " + line + b"\n" for line in authorities.private.cert_pem.bytes().splitlines())
    for padding in (b"", PADDING):
        bundle.write_bytes(authorities.system.cert_pem.bytes() + commented + padding)
        assert accepted(default(), authorities.system, authorities.private) == [True, False]


# --- the known places ---

EVERYWHERE = [*_places.BUNDLES, *_places.DIRECTORIES, *_places.ANDROID]


@pytest.mark.parametrize("place", EVERYWHERE)
def test_each_known_place_is_found(place: str, places: Places, authorities: Authorities, tmp_path: Path) -> None:
    places.built_for("/nowhere")
    if place in _bundles():
        places.bundle(place, [authorities.system])
    elif place in _directories():
        places.directory(place, [authorities.system])
    else:  # the names that OpenSSL 0.9 looked for
        authorities.system.cert_pem.write_to_path(tmp_path / "ca.pem")
        places.write(f"{place}/{subject_hash(tmp_path / 'ca.pem', md5=True)}.0", (tmp_path / "ca.pem").read_bytes())
    assert accepted(default(), authorities.system, authorities.unknown) == [True, False]
    assert _openssl.search().store.source == "the distribution's places"  # type: ignore[union-attr]


def _bundles() -> tuple[str, ...]:
    return tuple(EVERYWHERE[: len(_places.BUNDLES)])


def _directories() -> tuple[str, ...]:
    return tuple(EVERYWHERE[len(_places.BUNDLES) : -len(_places.ANDROID)])


def test_the_known_places_in_their_order(places: Places, authorities: Authorities) -> None:
    """The first that can be used, a bundle before a directory; what cannot be used is passed over."""
    places.built_for("/nowhere")
    places.directory("/var/lib/ca-certificates/pem", [authorities.private])
    assert accepted(default(), authorities.private, authorities.system) == [True, False]
    places.bundle("/etc/ssl/ca-bundle.pem", [authorities.system])
    assert accepted(default(), authorities.private, authorities.system) == [False, True]
    places.path(BUNDLE).mkdir(parents=True)  # Docker makes one where a file to mount is missing
    places.write(RED_HATS, b"")
    places.write("/etc/pki/tls/cert.pem", b"no certificate\n")
    corrupt = authorities.unknown.cert_pem.bytes() + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    places.write("/etc/pki/tls/certs/ca-bundle.crt", corrupt)
    assert accepted(default(), authorities.system, authorities.unknown) == [True, False]
    assert "line" in left_out()[str(places.path("/etc/pki/tls/certs/ca-bundle.crt"))]
