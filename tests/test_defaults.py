"""Does what a program loads mean default trust?  The rows of the trust rule, each beside what stock does.

`private` is what the program has of its own, `unknown` is what TRUSTSTORE_INJECT_EXTRA_CA_CERTS adds.
"""

from __future__ import annotations

import _ssl
import os
import ssl
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Authorities, shadow_certifi, write_bundle, write_directory
from places import PADDING, Places, accepted, accepts, der, needs_openssl, renewed_ca, stock
from places import places as places

pytestmark = needs_openssl

from truststore_inject.stores import _carried, _defaults, _openssl, _places  # noqa: E402

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Machine:
    """Debian with `system`, a certifi with `bundled`, an extra CA `unknown`, and a CA `private` of the program's own."""

    def __init__(self, folder: Path, places: Places, authorities: Authorities) -> None:
        self.places, self._authorities = places, authorities
        places.debian(authorities.system)
        with shadow_certifi(folder / "site", authorities.bundled) as site:
            self.certifi = site / "certifi" / "cacert.pem"
        self.own = write_bundle(folder / "own.pem", [authorities.private])
        self.own_directory = write_directory(folder / "own", [authorities.private])
        self.extra = write_bundle(folder / "extra.pem", [authorities.unknown])
        places.setenv(TRUSTSTORE_INJECT_EXTRA_CA_CERTS=self.extra)

    def accepted(self, context: ssl.SSLContext) -> set[str]:
        names = ("system", "bundled", "private", "unknown")
        return {name for name in names if accepts(context, getattr(self._authorities, name))}


@pytest.fixture
def machine(tmp_path: Path, places: Places, authorities: Authorities) -> Machine:
    return Machine(tmp_path, places, authorities)


def client() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def loading(*args: object, **kwargs: object) -> ssl.SSLContext:
    context = client()
    context.load_verify_locations(*args, **kwargs)  # type: ignore[arg-type]
    return context


DEFAULT: dict[str, Callable[[Machine], ssl.SSLContext]] = {
    "create_default_context": lambda machine: ssl.create_default_context(),
    "load_default_certs": lambda machine: _after(ssl.SSLContext.load_default_certs),
    "set_default_verify_paths": lambda machine: _after(ssl.SSLContext.set_default_verify_paths),
    "a library's file": lambda machine: loading(machine.certifi),
    "a library's file, linked": lambda machine: loading(
        machine.places.link("/opt/ca.pem", "/../site/certifi/cacert.pem")
    ),
    "a library's file, twice": lambda machine: _after(lambda context: None, loading(machine.certifi)),
    "the stand-in for it": lambda machine: loading(_defaults.PLACEHOLDER),
    "the distribution's bundle": lambda machine: loading(machine.places.path(BUNDLE)),
    "the distribution's bundle, linked": lambda machine: loading(machine.places.link("/srv/ca.pem", BUNDLE)),
    "the distribution's directory": lambda machine: loading(capath=machine.places.path("/etc/ssl/certs")),
    "OpenSSL's own directory": lambda machine: loading(capath=machine.places.path("/usr/lib/ssl/certs")),
}


def _after(method: Callable[[ssl.SSLContext], None], context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    context = context or client()
    method(context)
    return context


@pytest.mark.parametrize("way", DEFAULT)
def test_default_trust_has_what_the_settings_add(way: str, machine: Machine) -> None:
    machine.places.setenv(TRUSTSTORE_INJECT_X509_STRICT="0")
    context = DEFAULT[way](machine)
    assert machine.accepted(context) == {"system", "unknown"}
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    machine.places.setenv(TRUSTSTORE_INJECT_EXTRA_CA_CERTS="")
    assert machine.accepted(DEFAULT["create_default_context"](machine)) == {"system"}


@pytest.mark.parametrize("way", [way for way in DEFAULT if "directory" in way])
def test_the_machines_directory_brings_the_bundle_beside_it(
    way: str, machine: Machine, authorities: Authorities
) -> None:
    with machine.places.path(BUNDLE).open("ab") as file:
        file.write(authorities.bundled.cert_pem.bytes())
    assert machine.accepted(DEFAULT[way](machine)) == {"system", "bundled", "unknown"}


@pytest.mark.parametrize("way", [way for way in DEFAULT if "'s " in way])
def test_the_machines_default_brings_what_the_variables_name(way: str, machine: Machine) -> None:
    machine.places.setenv(SSL_CERT_FILE=machine.own)
    assert machine.accepted(DEFAULT[way](machine)) == {"system", "private", "unknown"}


def test_what_the_machines_bundle_holds_is_loaded_as_stock_loads_it(machine: Machine, authorities: Authorities) -> None:
    """First, and in its order."""
    bundle = machine.places.path(BUNDLE)
    bundle.write_bytes(PADDING + authorities.private.cert_pem.bytes() + authorities.system.cert_pem.bytes())
    machine.places.setenv(TRUSTSTORE_INJECT_EXTRA_CA_CERTS="")
    context = client()
    _ssl._SSLContext.load_verify_locations(context, bundle)
    assert loading(bundle).get_ca_certs(True) == context.get_ca_certs(True)
    with pytest.raises(FileNotFoundError):
        loading("/etc/pki/no-such-bundle.pem")


OWN: dict[str, Callable[[Machine], ssl.SSLContext]] = {
    "cafile": lambda machine: loading(machine.own),
    "create_default_context": lambda machine: ssl.create_default_context(cafile=machine.own),
    "capath": lambda machine: loading(capath=machine.own_directory),
    "cafile and capath": lambda machine: loading(machine.own, machine.own_directory),
    "cadata": lambda machine: loading(cadata=machine.own.read_text()),
    "cadata in DER": lambda machine: loading(cadata=ssl.PEM_cert_to_DER_cert(machine.own.read_text())),
}


@pytest.mark.parametrize("way", OWN)
def test_a_programs_own_choice_is_exact(way: str, machine: Machine) -> None:
    machine.places.setenv(TRUSTSTORE_INJECT_X509_STRICT="0")
    context = client()
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert machine.accepted(OWN[way](machine)) == {"private"}
    context.load_verify_locations(machine.own)
    assert context.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_copy_of_the_machines_bundle_is_a_programs_own(machine: Machine) -> None:
    copy = machine.own.with_name("copy.pem")
    copy.write_bytes(machine.places.path(BUNDLE).read_bytes())
    assert machine.accepted(loading(copy)) == {"system"}


@pytest.mark.parametrize("folder", ["certifi", "requests", "stripe/data"])
def test_a_folder_that_happens_to_have_a_librarys_name(folder: str, machine: Machine, tmp_path: Path) -> None:
    for name in ("cacert.pem", "ca-certificates.crt"):
        path = tmp_path / "application" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_bytes(machine.own.read_bytes())
        assert machine.accepted(loading(path)) == {"private"}


def test_a_certifi_that_was_pointed_elsewhere_is_the_users_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = types.ModuleType("application.certifi.core")
    vars(core).update(__file__=str(machine.certifi.with_name("core.py")), _CACERT_PATH=str(machine.own))
    monkeypatch.setitem(sys.modules, core.__name__, core)
    assert machine.accepted(loading(machine.own)) == {"private"}
    assert machine.accepted(loading(cadata=machine.own.read_text())) == {"private"}
    core._CACERT_PATH = str(machine.certifi)  # type: ignore[attr-defined]
    assert machine.accepted(loading(cadata=machine.certifi.read_text())) == {"system", "unknown"}
    more = machine.certifi.read_text() + machine.own.read_text()
    assert machine.accepted(loading(cadata=more)) == {"bundled", "private"}


@pytest.mark.parametrize("default", ["create_default_context", "a library's file", "the distribution's bundle"])
def test_both_on_one_context_in_either_order(default: str, machine: Machine) -> None:
    context = DEFAULT[default](machine)
    context.load_verify_locations(machine.own)
    assert machine.accepted(context) == {"system", "private", "unknown"}
    context = loading(machine.own)
    paths = {"a library's file": machine.certifi, "the distribution's bundle": machine.places.path(BUNDLE)}
    context.load_verify_locations(paths[default]) if default in paths else context.load_default_certs()
    assert machine.accepted(context) == {"system", "private", "unknown"}


def test_both_in_one_call(machine: Machine, authorities: Authorities) -> None:
    own = der(authorities.private)
    for arguments in (
        {"cafile": machine.certifi, "capath": machine.own_directory},
        {"cafile": machine.certifi, "cadata": own},
        {"cafile": machine.own, "capath": machine.places.path("/etc/ssl/certs")},
        {"cafile": machine.places.path(BUNDLE), "capath": machine.own_directory},
        {"cafile": machine.places.path(BUNDLE), "cadata": own},
    ):
        assert machine.accepted(loading(**arguments)) == {"system", "private", "unknown"}, arguments


@pytest.mark.parametrize("kind", ["directory", "bundle"])
@pytest.mark.parametrize("order", ["default first", "own first"])
def test_a_ca_of_its_own_with_the_name_of_one_in_the_store(
    kind: str, order: str, places: Places, tmp_path: Path
) -> None:
    """What OpenSSL has in memory hides what is in a directory; what it has twice in memory, it finds both of."""
    old, new = renewed_ca()
    if kind == "directory":
        places.debian(old)
    else:
        places.built_for("/etc/pki/tls")
        places.red_hat(old)
    own = write_bundle(tmp_path / "own.pem", [new])
    stock_load = _ssl._SSLContext.load_verify_locations
    if order == "default first":
        context, expected = ssl.create_default_context(), stock()
        context.load_verify_locations(own)
        stock_load(expected, own)
    else:
        context, expected = loading(own), client()
        context.load_default_certs()
        stock_load(expected, own)
        _ssl._SSLContext.set_default_verify_paths(expected)
    assert accepted(context, old, new) == accepted(expected, old, new)
    assert accepts(context, new)


def test_nothing_is_nothing(machine: Machine) -> None:
    assert machine.accepted(client()) == set()


def test_servers_and_another_purpose_are_stocks(machine: Machine, authorities: Authorities) -> None:
    bundle = machine.places.path(BUNDLE)
    bundle.write_bytes(bundle.read_bytes() + authorities.private.cert_pem.bytes())
    for path in (machine.certifi, bundle, machine.places.path("/etc/ssl/certs"), machine.own):
        server, expected = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        name = "capath" if path.is_dir() else "cafile"
        server.load_verify_locations(**{name: path})
        _ssl._SSLContext.load_verify_locations(expected, **{name: path})
        assert server.get_ca_certs(True) == expected.get_ca_certs(True)
    for context in (client(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)):
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        assert context.get_ca_certs(True) == stock().get_ca_certs(True) == []


def test_without_a_usable_store_the_librarys_default_stays(machine: Machine) -> None:
    machine.places.setenv(SSL_CERT_FILE="/nonexistent", SSL_CERT_DIR="/nonexistent")
    assert machine.accepted(loading(machine.certifi)) == {"bundled", "unknown"}
    assert machine.accepted(ssl.create_default_context()) == {"unknown"}
    machine.places.setenv(TRUSTSTORE_INJECT_EXTRA_CA_CERTS="")
    assert machine.accepted(loading(machine.certifi)) == {"bundled"}


def test_a_tools_bundle_that_its_openssl_names(machine: Machine, authorities: Authorities) -> None:
    """httpx2 and gpustack load ``ssl.get_default_verify_paths().cafile``; conda's, for example, is a tool's."""
    places = machine.places
    places.built_for("/opt/tool/ssl")
    file = places.bundle("/opt/tool/ssl/cert.pem", [authorities.bundled])
    directory = places.directory("/opt/tool/ssl/certs", [authorities.bundled])
    assert machine.accepted(loading(file)) == {"system", "unknown"}
    assert machine.accepted(loading(capath=directory)) == {"system", "unknown"}
    places.path(BUNDLE).unlink()
    for each in places.path("/etc/ssl/certs").iterdir():
        each.unlink()
    _openssl._found = None
    assert machine.accepted(loading(file)) == {"bundled", "unknown"}  # the last resort


def test_openssls_own_file_where_it_is_the_machines(places: Places, authorities: Authorities, ca_file: object) -> None:
    """An administrator's, which no distribution has."""
    places.built_for("/usr/local/ssl")
    file = places.bundle("/usr/local/ssl/cert.pem", [authorities.system])
    places.setenv(TRUSTSTORE_INJECT_EXTRA_CA_CERTS=places.bundle("/extra.pem", [authorities.unknown]))
    both = authorities.system, authorities.unknown, authorities.private
    assert accepted(loading(file), *both) == [True, True, False]


def test_the_machines_default_is_told_by_what_lies_there(places: Places, authorities: Authorities) -> None:
    places.debian(authorities.system)
    link = places.link("/srv/ca.pem", BUNDLE)
    for path in (link, places.path(BUNDLE), places.path("/etc/ssl/certs"), places.path("/usr/lib/ssl/certs")):
        assert _places.is_default(path), path
        assert _places.is_default(os.fsencode(path)), path
    copy = places.bundle("/srv/copy.pem", [authorities.system])
    for other in (copy, Path("/nonexistent"), write_directory(places.root / "srv" / "certs", [authorities.system])):
        assert not _places.is_default(other), other
    assert _carried.library(link) is None
