"""Who judges a server, each in a child process: the clients that are installed."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from harness import environment, run_code

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from truststore_inject.cli import _children, _clients, _judges


def test_a_child_that_says_nothing() -> None:
    for code, limit, words in (
        ("raise SystemExit(7)", 60, "it ended with code 7"),
        ("1 / 0", 60, "ZeroDivisionError: division by zero"),
        ("import time; time.sleep(60)", 0.1, "no answer within 0.1 seconds"),
    ):
        with pytest.raises(_children.NoAnswer, match=words):
            _children.ask(code, env=os.environ, limit=limit)
    with pytest.raises(FileNotFoundError):
        _children.ask("", env=os.environ, limit=60, python="/nonexistent/python")


def test_which_clients_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    clients = {
        "of Python": ("ssl", None),
        "gone": ("no_such", None),
        "half": ("no.x", None),
        "broken": ("broken.x", None),
    }
    monkeypatch.setattr(_clients, "CLIENTS", clients)
    assert _judges.installed() == {"of Python": ""}


def test_who_speaks_which_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"httpx2": ("ssl", None), "psycopg2": ("ssl", None)}
    monkeypatch.setattr(_clients, "CLIENTS", clients)
    assert [_judges.of_protocol(protocol) for protocol in (None, "postgres", "smtp")] == [["httpx2"], ["psycopg2"], []]


def test_known_clients_are_not_imported() -> None:
    """``status`` would change what it describes."""
    code = """
import json, sys
from truststore_inject.cli import _judges
before = {*sys.modules}
known = _judges.known()
print(json.dumps([[name for name in ("urllib.request", "asyncio") if name not in known], sorted({*sys.modules} - before)]))
"""
    left_out, imported = run_code(code, env=environment())
    assert not left_out
    assert not [name for name in imported if name.partition(".")[0] in {"botocore", "mcp", "pip", "tornado", "httpx2"}]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (TimeoutError("timed out while waiting for handshake response"), "accepted"),  # of the WebSocket
        (TimeoutError("timed out during handshake"), "accepted"),  # the same, before websockets 15
        (EOFError("connection closed while reading HTTP status line"), "accepted"),
        (TimeoutError("The handshake operation timed out"), "error"),  # of TLS
        (ssl.SSLCertVerificationError("unable to get local issuer certificate"), "refused"),
    ],
)
def test_who_speaks_tls_need_not_speak_websocket(
    error: Exception, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="check needs it, for this row")

    def connect(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(client, "connect", connect)
    assert _clients.judge("websockets", "https://localhost/", "default", 1)[0] == verdict
