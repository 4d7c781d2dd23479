"""``truststore-inject export``: the system store as one PEM file, for tools outside Python."""

import argparse
import hashlib
import os
import re
import shlex
import ssl
import stat
import sys
from typing import Any

from .. import stores
from ..stores import _export, _extra
from . import _files, _influences, _windows_host
from ._failure import MISSING, USAGE, YES, Failure
from ._switches import SWITCHES
from ._terminal import Progress, complain, output, print_json, printable, say

_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="where to write it (standard output)")
    parser.add_argument("--env", action="store_true", help="print the lines that make other tools use FILE")
    parser.add_argument("--shell", choices=tuple(_LINES), default="sh", help="for which shell (sh)")
    parser.add_argument("--from-windows", action="store_true", help="in WSL: what the Windows host trusts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """0; or a `Failure` if there is no anchor or the file cannot be written."""
    report: dict[str, Any] = {"file": None, "anchors": None, "environment": {}}
    if arguments.file is not None or arguments.env:
        if arguments.file is None and arguments.from_windows:
            raise Failure("--from-windows --env: name the FILE to write it to", USAGE)
        report["file"] = _only_file() if arguments.file is None else _absolute(arguments.file)
        report["environment"] = {**dict.fromkeys(_VARIABLES, report["file"]), **SWITCHES}
    # Before anything is written: a name that cannot be printed is refused.
    lines = _lines(report["environment"], arguments.shell) if arguments.env else []
    if arguments.file is not None or not arguments.env:
        with Progress("asking Windows" if arguments.from_windows else "reading the store"):
            report["anchors"] = _described(_windows_host.anchors() if arguments.from_windows else _anchors())
    if arguments.file is not None and os.path.isdir(arguments.file) and arguments.from_windows:
        _write_each(arguments.file, report["anchors"])
    elif arguments.file is not None:
        _write(arguments.file, _pem_text(report["anchors"]))
    if arguments.json:
        print_json(report)
    elif arguments.env:
        say("\n".join(lines))
    elif arguments.file is not None:
        complain(f"{len(report['anchors'])} trust anchors written to {arguments.file}")
    else:
        with output() as stream:
            stream.write(_pem_text(report["anchors"]))
    return YES


def _only_file() -> str:
    """The store, if it is one file.  Raises `Failure`."""
    try:
        bundle = _export.machines_bundle()
    except OSError as error:
        raise Failure(f"the system store cannot be read: {error}", MISSING) from None
    if bundle is None:
        raise Failure("this store is not one file: name the FILE to write it to", MISSING)
    return bundle


def _absolute(file: str) -> str:
    try:
        return os.path.abspath(file)
    except OSError as error:
        raise Failure(f"{file}: there is no current directory any more ({error.strerror})", MISSING) from None


def _anchors() -> dict[bytes, str]:
    """Each anchor in the store once, as DER, and where it is.  Raises `Failure`."""
    anchors: dict[bytes, str] = {}
    try:
        for place, anchor in stores.listing():
            anchors.setdefault(anchor, place)
    except OSError as error:
        raise Failure(f"the system store cannot be read: {error}", MISSING) from None
    extra = _extra.current()
    if extra is not None:
        for place, bundle in extra.bundles.items():
            for anchor in bundle.certificates():
                anchors.setdefault(anchor, place)
        for place, reason in extra.left_out.items():
            complain(f"left out TRUSTSTORE_INJECT_EXTRA_CA_CERTS, {place}: {reason}")
    if not anchors:
        where = "to see where it looked: truststore-inject status"
        raise Failure(f"the system store holds no trust anchor ({where})", MISSING)
    return anchors


def _described(anchors: dict[bytes, str]) -> list[dict[str, str]]:
    """For each anchor its ``subject``, the ``place`` where it is, and its ``pem``."""
    return [
        {"subject": _influences.subject(anchor), "place": place, "pem": ssl.DER_cert_to_PEM_cert(anchor)}
        for anchor, place in anchors.items()
    ]


def _pem_text(anchors: list[dict[str, str]]) -> str:
    """With a comment line for each, escaped: some readers would find the beginning of a certificate in it."""
    blocks = []
    for anchor in anchors:
        comment = printable(f"# {anchor['subject']}, from {anchor['place']}").replace("-----", "- - -")
        blocks.append(f"{comment}\n{anchor['pem']}")
    return "\n".join(blocks)


def _write_each(folder: str, anchors: list[dict[str, str]]) -> None:
    """A file for each: update-ca-certificates makes no hash link for a file with several.

    What an earlier export wrote there and Windows no longer trusts is deleted.
    """
    names = {}
    for anchor in anchors:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(anchor["pem"])).hexdigest()
        names[f"windows-{digest[:32]}.crt"] = _pem_text([anchor])
    for name, text in names.items():
        _write(os.path.join(folder, name), text)
    try:
        for name in os.listdir(folder):
            if re.fullmatch("windows-[0-9a-f]{32}[.]crt", name) and name not in names:
                os.unlink(os.path.join(folder, name))
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}", MISSING) from None


def _write(path: str, text: str) -> None:
    """Whole or not at all: a tool that reads it meanwhile sees the old file or the new one.  Everybody may read it."""
    try:
        mode = os.lstat(path).st_mode
        is_link = stat.S_ISLNK(mode) and not os.readlink(path).startswith("/proc/")  # where /dev/stdout leads
        if not (stat.S_ISREG(mode) or is_link):
            raise Failure(f"{path}: not a regular file (without FILE it goes to standard output)", MISSING)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", MISSING) from None
    try:
        _files.replace(path, text.encode())
    except OSError as error:
        raise Failure(f"{path}: cannot be written, {error.strerror}", MISSING) from None


def _lines(environment: dict[str, str], shell: str) -> list[str]:
    """The lines for that shell.  Raises `Failure` if they cannot hold the file's name."""
    encoding = sys.stdout.encoding if sys.stdout is not None else "utf-8"
    for path in environment.values():
        try:
            path.encode(encoding)
        except UnicodeError:
            raise Failure(f"{path}: --env cannot print this name in {encoding}", MISSING) from None
        if printable(path) != path:
            raise Failure(f"{path}: --env does not print a name that holds control characters", MISSING)
    return [_LINES[shell].format(name=name, value=_QUOTED[shell](path)) for name, path in environment.items()]


def _quoted_for_fish(text: str) -> str:
    """https://fishshell.com/docs/current/language.html#quotes"""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted_for_powershell(text: str) -> str:
    """Typographic quotation marks end a string as well, and are doubled as well.

    https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.core/about/about_quoting_rules
    """
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"


_LINES = {"sh": "export {name}={value}", "fish": "set -gx {name} {value}", "powershell": "$env:{name} = {value}"}
_QUOTED = {"sh": shlex.quote, "fish": _quoted_for_fish, "powershell": _quoted_for_powershell}
