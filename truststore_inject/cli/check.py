"""``truststore-inject check``: prove it on this machine, or explain what happens with a server."""

import argparse

from ._failure import NO, USAGE, YES, Failure
from ._terminal import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="*", metavar="URL or HOST[:PORT]", help="without one: a proof that needs no network"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for each connection (10)")
    parser.add_argument(
        "--starttls", choices=("smtp", "imap", "postgres"), help="the protocol, where the port does not say"
    )
    parser.add_argument(
        "--ca-file", metavar="FILE", help="judge as if the CAs in this PEM file were in the store as well"
    )
    parser.add_argument(
        "--save-ca", metavar="FILE", help="write the CA that is missing to FILE, if the server sends it"
    )


def run(arguments: argparse.Namespace) -> int:
    """The proof: 0 if every cell is right, else 1.  Servers: 0 if Python and every client here accept, else 1."""
    if arguments.save_ca is not None:
        _check_saving(arguments)
    if not arguments.target:
        from . import _proof

        report, code = _proof.prove()
        if arguments.json:
            print_json(report)
        else:
            _proof.show(report)
        return code
    from . import _diagnosis, _target

    targets = [_target.parse(text, arguments.starttls) for text in arguments.target]
    reports, codes = [], [YES]
    for number, target in enumerate(targets):
        try:
            report = _diagnosis.diagnose(target, arguments.timeout, arguments.ca_file, arguments.save_ca)
        except Failure as failure:
            if len(targets) == 1:
                raise
            report = {"target": str(target), "error": str(failure)}
            codes.append(failure.code)
        else:
            codes.append(YES if report["accepted"] else NO)
        reports.append(report)
        if not arguments.json:
            _diagnosis.show(report, separate=number > 0)
    if arguments.json:
        print_json(reports)
    return max(codes)


def _check_saving(arguments: argparse.Namespace) -> None:
    from . import _saving

    if len(arguments.target) != 1:
        raise Failure("--save-ca takes one URL", USAGE)
    _saving.check_free(arguments.save_ca)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError("must be a number of seconds, more than 0 and less than 3600")
    return value
