"""What the commands write: colours and progress on a terminal, nothing that a terminal would obey."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from harness import HOSTS, openssl_store

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from commands import NOT_UTF8, command, failure, is_printable, on_a_terminal, speaking, unix

from truststore_inject.cli import _terminal


def test_no_color_and_colours(env: dict[str, str]) -> None:
    code, coloured, _ = on_a_terminal(env=env)
    assert code == 0
    assert b"\033[32m" in coloured
    assert b"\033" not in on_a_terminal(env={**env, "NO_COLOR": "1"})[1]


def test_what_takes_longer_than_a_second_shows_its_progress(env: dict[str, str]) -> None:
    """On standard error of a terminal, and gone when it is over; nothing where standard error is read by a program."""
    with speaking(lambda connection: connection.recv(65536) and connection.recv(65536) and None) as port:
        arguments = ("check", f"localhost:{port}", "--timeout", "3")
        code, output, progress = on_a_terminal(*arguments, env=env)
        line = failure(*arguments, env=env, code=3)
    assert (code, output) == (3, b"")
    shown, _, last = progress.rstrip().rpartition(b"\r")
    assert b"\rconnecting to localhost:%d (" % port in shown
    assert last.decode().strip() == line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_cut_to_the_terminal_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda _: os.terminal_size((50, 24)))
    progress = _terminal.Progress()
    answers = iter([False, False, True])  # the first second, one line, the end
    progress._end = SimpleNamespace(wait=lambda _: next(answers))  # type: ignore[assignment]
    progress.text = "x" * 99
    progress._show()
    line, wiped = screen.getvalue()[1:].split("\r")[:2]
    assert (line, wiped) == ("x" * 49, " " * 49)
    with _terminal.Progress():  # over within a second: nothing is shown
        pass
    assert screen.getvalue().count("\r") == 3


def test_a_name_that_a_terminal_would_obey(env: dict[str, str], serving: Callable[..., str]) -> None:
    authority = trustme.CA(organization_name="Evil\033[2J \u00e9")
    result = command("check", serving(authority.issue_cert(*HOSTS)), env={**env, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 1, result.stderr
    assert "\033" not in result.stdout
    assert "Evil\\x1b[2J \\xe9" in result.stdout


ESCAPES = "\033]0;PWN\007\033[31m\x9b2J\u202e"


@unix
@pytest.mark.parametrize("value", [f"/x{ESCAPES}\nnext: line", NOT_UTF8], ids=["escapes", "not UTF-8"])
def test_nothing_raw_is_printed(value: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(f"[global\033[2J]\ncert = {value.splitlines()[0]}\n", errors="surrogateescape")
    names = ("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", "TRUSTSTORE_INJECT_DEBUG", "TRUSTSTORE_INJECT", "SSL_CERT_FILE")
    hostile = {**env, **dict.fromkeys((*names, "REQUESTS_CA_BUNDLE", "PIP_CERT"), value)}
    hostile["PIP_CONFIG_FILE"] = str(tmp_path / "pip.conf")
    for arguments in (
        ["status"],
        ["status", "--json"],
        ["status", value],
        ["export"],
        ["export", "--json"],
        ["export", f"/nonexistent{value}"],
        ["export", f"{tmp_path}/{value.replace('/', '')}", "--env"],
        ["export", f"{tmp_path}/{value.replace('/', '')}"],
        ["export", "--shell", value],
        ["check", f"127.0.0.1{value}"],
        ["check", "127.0.0.1:1", "--ca-file", value],
        ["check", "127.0.0.1:1", "--timeout", value],
        ["base", "status", "--python", value],
        ["base", value],
        [value],
    ):
        line = [sys.executable, "-m", "truststore_inject", *arguments]
        result = subprocess.run(line, env=hostile, capture_output=True, cwd="/")
        for stream in (result.stdout, result.stderr):
            assert is_printable(stream.decode("utf-8")), (arguments, stream)
        assert b"Traceback" not in result.stderr, (arguments, result.stderr)
        if result.returncode > 1:
            lines = [line for line in result.stderr.splitlines() if b": left out TRUSTSTORE" not in line]
            assert len(lines) == 1, (arguments, result.stderr)
        if "--json" in arguments:
            text = json.dumps(json.loads(result.stdout), ensure_ascii=False)
            assert text.encode("utf-8").decode("utf-8") == text


def test_json_without_lone_surrogates(capsys: pytest.CaptureFixture[str]) -> None:
    from truststore_inject.cli._terminal import print_json

    print_json({"a\udcff": ["\ud800x", "\U0001f600", 1, None]})
    assert json.loads(capsys.readouterr().out) == {"a\\udcff": ["\\ud800x", "\U0001f600", 1, None]}


@unix
@openssl_store
def test_a_name_that_the_output_cannot_hold(env: dict[str, str], tmp_path: Path) -> None:
    ascii_only = {**env, "PYTHONIOENCODING": "ascii"}
    assert "in ascii" in failure("export", str(tmp_path / "\u00fc.pem"), "--env", env=ascii_only, code=4)
