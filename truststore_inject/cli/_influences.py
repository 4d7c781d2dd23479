"""What else decides about trust in this interpreter, each with one sentence on its effect and what to do."""

import configparser
import os
import shlex
import ssl
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from .. import _advice, stores
from ..stores import _carried, _defaults

# Each variable, who obeys it, and whether it names the store itself.
_VARIABLES = {
    "SSL_CERT_FILE": "OpenSSL takes this file (and SSL_CERT_DIR) as its default, so it is the system store here.",
    "SSL_CERT_DIR": "OpenSSL takes this directory (and SSL_CERT_FILE) as its default, so it is the system store here.",
    "REQUESTS_CA_BUNDLE": "requests trusts this file alone, not the system store.",
    "CURL_CA_BUNDLE": "requests trusts this file alone where REQUESTS_CA_BUNDLE is not set.",
    "PIP_CERT": "pip trusts this file alone.",
    "AWS_CA_BUNDLE": "boto3, botocore and the AWS CLI trust this file alone.",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "grpcio trusts this file alone.",
    "HTTPLIB2_CA_CERTS": "httplib2 trusts this file alone.",
    "WEBSOCKET_CLIENT_CA_BUNDLE": "websocket-client trusts this file alone.",
}
_OF_THE_CORE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"  # gRPC's core reads it, not Python
_INJECTORS = {
    "pip-system-certs": "Replaces the class ssl.SSLContext; contexts that were pinned also get the system's CAs.",
    "auto-truststore": "Replaces the class ssl.SSLContext; contexts that were pinned also get the system's CAs.",
    "certifi-linux": "Makes certifi.where() name the system's bundle, which is parsed as a whole for each context.",
    "python-certifi-win32": "Rewrites certifi's file with the Windows store when certifi is imported.",
}


def found(store: dict[str, Any]) -> list[dict[str, str]]:
    """Each with ``name``, ``value``, ``effect`` and ``fix``.  `store`: what ``stores.describe()`` says."""
    return [*variables(store), *_pip_config(), *_changed_certifi(), *_injectors(), *_replaced_class()]


def variables(store: dict[str, Any]) -> list[dict[str, str]]:
    """The environment variables that are set; `store` as for `found`."""
    system = {os.path.realpath(place) for place in [*store["directories"], *store["bundles"]]}
    given = {name: value for name in _VARIABLES if (value := os.environ.get(name))}
    return [_variable(name, value, _VARIABLES[name], system) for name, value in given.items()]


def _variable(name: str, value: str, effect: str, system: set[str]) -> dict[str, str]:
    if name != _OF_THE_CORE and _defaults.library(value) is not None:
        effect = "It names a library's own bundle: it is ignored here, and the system store is used instead."
        return _entry(name, value, effect, "Unset it.")
    if not all(os.path.exists(path) for path in value.split(os.pathsep)):
        return _entry(name, value, effect, "It does not exist: unset it.")
    if name.startswith("SSL_"):
        return _entry(name, value, effect, "Nothing to do if that is intended.")
    if not system.isdisjoint([os.path.realpath(value), os.path.realpath(os.path.dirname(value))]):
        return _entry(name, value, effect, "It is the system's own. Unset it: that is faster and sees new CAs at once.")
    return _entry(name, value, effect, "Unset it, or leave it if that is intended.")


def _entry(name: str, value: str, effect: str, fix: str) -> dict[str, str]:
    return {"name": name, "value": value, "effect": effect, "fix": fix}


def _pip_config() -> Iterator[dict[str, str]]:
    """https://pip.pypa.io/en/stable/topics/configuration/"""
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    home = os.path.expanduser("~")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    if sys.platform == "win32":
        folders = [os.environ.get("PROGRAMDATA", ""), os.environ.get("APPDATA", "")]
        places = [os.path.join(folder, "pip", name) for folder in folders if folder]
    else:
        places = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf", os.path.join(config, "pip", name)]
    if sys.platform == "darwin":
        support = os.path.join("Library", "Application Support", "pip", name)
        places += [os.path.join("/", support), os.path.join(home, support)]
    own = os.environ.get("PIP_CONFIG_FILE", "")
    places += [
        os.path.join(home, ".pip" if sys.platform != "win32" else "pip", name),
        os.path.join(sys.prefix, name),
        own,
    ]
    for place in dict.fromkeys(places):
        parser = configparser.RawConfigParser()
        if not os.path.isfile(place):  # a pipe or a device may have no end
            continue
        try:
            parser.read(place, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in parser.sections():
            if parser.has_option(section, "cert"):
                fix = f"pip config unset {shlex.quote(f'{section}.cert')}, or leave it if that is intended."
                yield _entry(
                    f"{section}.cert in {place}", parser.get(section, "cert"), "pip trusts this file alone.", fix
                )


def _changed_certifi() -> Iterator[dict[str, str]]:
    """certifi's bundle, if somebody added to it after it was installed."""
    try:
        files = metadata.files("certifi") or ()
    except metadata.PackageNotFoundError:
        return
    if "+" in metadata.version("certifi"):
        return  # a company's own build was not changed
    for path in [str(installed.locate()) for installed in files if installed.name == "cacert.pem"]:
        gained = [anchor for bundle in _carried.gained(path) for anchor in bundle.certificates()]
        held = {anchor for _, anchor in stores.listing()} if gained else set()
        names = [subject(anchor) for anchor in gained if anchor not in held]
        if names:
            yield _entry(
                "changed certifi",
                path,
                "CAs were added to certifi's bundle and are trusted in addition to the system store:"
                f" {'; '.join(names)}.",
                "Add them to the system store instead: the next update of certifi will drop them.",
            )


def subject(anchor: bytes) -> str:
    """The subject of a DER certificate, as OpenSSL gives it: for CAs only, since it lists no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=anchor)
        names = [_advice.name(certificate["subject"]) for certificate in context.get_ca_certs()]
    except (ssl.SSLError, ValueError):
        return "(a certificate that OpenSSL cannot read)"
    return names[0] if names else "(a certificate that is not a CA)"


def _injectors() -> Iterator[dict[str, str]]:
    for name, effect in _INJECTORS.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        yield _entry(name, version, effect, f"pip uninstall {name}: this package takes its place.")


def _replaced_class() -> Iterator[dict[str, str]]:
    if ssl.SSLContext.__module__ != "ssl":
        effect = "Something has replaced the class ssl.SSLContext in this interpreter."
        yield _entry("ssl.SSLContext", ssl.SSLContext.__module__, effect, "Remove the call to inject_into_ssl().")
