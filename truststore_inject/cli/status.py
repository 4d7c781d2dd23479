"""``truststore-inject status``: is it active in this interpreter, and what does it do?"""

import argparse
import json

from .._status import status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """0 if the injection is active, 1 if it is not."""
    found = status()
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
    return 0 if found.active else 1
