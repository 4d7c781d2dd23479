"""``truststore-inject export``: the system store as one PEM file, for tools outside Python."""

import argparse
import base64
import contextlib
import os
import shlex
import sys
import tempfile
import textwrap

from .. import _settings, stores
from ..stores import _pem
from . import _influences
from ._failure import MISSING, YES, Failure
from ._terminal import Progress, output, plain, say

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
    parser.add_argument("file", nargs="?", metavar="FILE", help="where to; without, standard output")
    parser.add_argument("--env", action="store_true", help="print the lines that make other tools use FILE")
    parser.add_argument("--shell", choices=("sh", "fish", "powershell"), default="sh", help="for which shell (sh)")


def run(arguments: argparse.Namespace) -> int:
    """0; or a `Failure` if there is no anchor or the file cannot be written."""
    if arguments.env and arguments.file is None:
        bundle = stores.describe()["bundle"]
        if not isinstance(bundle, str) or stores.interpositions is not None:  # there it is trusted in addition
            raise Failure("this store is not one file: name the FILE to write it to", MISSING)
        _print_lines(bundle, arguments.shell)
        return YES
    with Progress() as progress:
        progress.text = "reading the store"
        text, count = _pem_text()
    if not count:
        raise Failure(
            "there is no trust anchor in the system store (truststore-inject status says where it looked)", MISSING
        )
    if arguments.file is None:
        with output() as stream:
            stream.write(text)
        return YES
    _write(arguments.file, text)
    if arguments.env:
        _print_lines(os.path.abspath(arguments.file), arguments.shell)
    else:
        sys.stderr.write(f"{count} trust anchors written to {arguments.file}\n")
    return YES


def _pem_text() -> tuple[str, int]:
    """The anchors, each once, with a comment line: whose it is and where it lies."""
    anchors: dict[bytes, str] = {}
    try:
        for place, anchor in stores.listing():
            anchors.setdefault(anchor, place)
    except OSError as error:
        raise Failure(f"the system store cannot be read: {error}", MISSING) from None
    extra = _settings.extra_ca_certs()
    if extra is not None:
        try:
            for anchor in _pem.certificates(extra):
                anchors.setdefault(anchor, extra)
        except OSError as error:
            sys.stderr.write(
                f"truststore-inject: left out TRUSTSTORE_INJECT_EXTRA_CA_CERTS, {extra}: {error.strerror}\n"
            )
    blocks = []
    for anchor, place in anchors.items():
        comment = plain(f"{_influences.subject(anchor)}, from {place}")
        body = "\n".join(textwrap.wrap(base64.b64encode(anchor).decode(), 64))
        blocks.append(f"# {comment}\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    return "\n".join(blocks), len(anchors)


def _write(path: str, text: str) -> None:
    """Whole or not at all: a tool that reads meanwhile sees the old file or the new one.  Everybody may read it."""
    target = os.path.realpath(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".truststore-inject-", dir=os.path.dirname(target))
        try:
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise Failure(f"{path}: cannot be written, {error.strerror}", MISSING) from None


def _print_lines(path: str, shell: str) -> None:
    for name in _VARIABLES:
        if shell == "sh":
            say(f"export {name}={shlex.quote(path)}")
        elif shell == "fish":
            quoted = path.replace("\\", "\\\\").replace("'", "\\'")
            say(f"set -gx {name} '{quoted}'")
        else:
            quoted = path.replace("'", "''")
            say(f"$env:{name} = '{quoted}'")
