"""Who judges a server, each in a child process: `ssl.create_default_context`, stock or injected, and the clients."""

import contextlib
import importlib.util
import json
import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from . import _children, _clients, _handshake
from ._secrets import without_credentials
from ._target import Target

# The package may be importable only here (python -m in a source tree, or a covered base), but not in stock Python.
_HANDSHAKE = "sys.path.append(sys.argv.pop(1)); from truststore_inject.cli._handshake import main; main()"
_CLIENT = "import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def installed() -> dict[str, str]:
    """The clients of _clients.py that can be imported here, with their versions."""
    return {name: _version(module) for name, (module, _) in _clients.CLIENTS.items() if _find(module)}


def of_protocol(protocol: str | None) -> list[str]:
    """Those of `installed` that speak that protocol, as `Target.starttls` names it."""
    return [name for name in installed() if _clients.PROTOCOLS.get(name) == protocol]


def known() -> dict[str, str]:
    """As `installed`, but nothing is imported, so some may turn out to be broken."""
    packages = {name: module.partition(".")[0] for name, (module, _) in _clients.CLIENTS.items() if " " not in name}
    return {name: _version(package) for name, package in packages.items() if _find(package)}


def _find(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # not there, or broken: the package that holds the module is imported
        return False


def _version(module: str) -> str:
    package = module.partition(".")[0]
    for distribution in (package, f"{package}-binary"):  # psycopg2
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return ""


def client(
    name: str, questions: list[tuple[str, str, float]], env: Mapping[str, str], cwd: str | None = None
) -> list[tuple[str, str]]:
    """What that client says, ``(verdict, words)`` for each ``(url, trust, timeout)``."""
    limit = sum(timeout for *_, timeout in questions) + 30
    try:
        answers = _children.ask(_CLIENT, _clients.__file__, name, json.dumps(questions), env=env, limit=limit, cwd=cwd)
    except (_children.NoAnswer, OSError) as error:
        answers = [("error", str(error))] * len(questions)
    return [(verdict, without_credentials(words, env)) for verdict, words in answers]


def handshake(target: Target, timeout: float, env: Mapping[str, str]) -> dict[str, Any]:
    """What `ssl.create_default_context` says in an interpreter with that environment."""
    question = _handshake.question(target, timeout)
    try:
        answer: dict[str, Any] = _children.ask(_HANDSHAKE, _HERE, question, env=env, limit=timeout * 2 + 30)
    except (_children.NoAnswer, OSError) as error:
        answer = _handshake.no_verdict(str(error))
    return {**answer, "words": without_credentials(answer["words"], env)}
