"""How a server is named, and the proxy that leads to it."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from certificates import PUBLIC

from truststore_inject.cli import _target
from truststore_inject.cli._failure import Failure
from truststore_inject.cli._target import Target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::1", "[::1]:443"),
        ("[::1]:8443", "[::1]:8443"),
        ("server.test:587", "server.test:587 (STARTTLS, smtp)"),
        ("imap://server.test", "server.test:143 (STARTTLS, imap)"),
        ("LDAPS://server.test", "server.test:636"),
        ("gopher://server.test", None),
        ("https://server.test:port", None),
        ("https://user:secret@" + "x" * 70, None),
        ("https://", None),
        ("two words", None),
    ],
)
def test_how_a_server_is_named(text: str, expected: str | None) -> None:
    if expected is not None:
        assert str(_target.parse(text, None)) == expected
        return
    with pytest.raises(Failure) as raised:
        _target.parse(text, None)
    assert raised.value.code == 2
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", None),
        ("proxy.test", ("proxy.test", 8080, None)),
        ("http://me:p%40ss@proxy.test:3128", ("proxy.test", 3128, base64.b64encode(b"me:p@ss").decode())),
        ("http://me@proxy.test", ("proxy.test", 8080, base64.b64encode(b"me:").decode())),
        ("socks5://proxy.test", Failure),
        ("http://proxy.test:none", Failure),
        ("http://", Failure),
    ],
)
def test_the_proxy_of_the_environment(url: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"https_proxy": url} if url else {})
    if expected is Failure:
        with pytest.raises(Failure, match="HTTPS_PROXY"):
            _target.proxy(PUBLIC)
    else:
        assert _target.proxy(PUBLIC) == expected
        assert _target.proxy(Target(PUBLIC.host, 25, "smtp")) is None
