"""``truststore-inject run --check``: can that command be reached?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from commands import other_python, under_run
from harness import Venv, environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="tests/windows has what can be tried there")


def check(*command: str | os.PathLike[str], **variables: str | os.PathLike[str]) -> Any:
    result = under_run(*command, options=("--check", "--json"), **variables)
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert result.returncode == (1 if report["reached"] is False else 0)
    return report


def script(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "reached"),
    [
        ([], True),
        (["-c", "pass", "-I"], True),
        (["-m", "pip", "-E"], True),
        (["-W", "error", "-X", "dev", "-Wd", "-u", "x.py", "-I"], True),
        (["-I", "x.py"], False),
        (["-Im", "azure.cli"], False),
        (["-W", "error", "-E", "x.py"], False),
        (["-uS"], False),
    ],
)
def test_a_python_is_asked(bare: Venv, options: list[str], reached: bool) -> None:
    found = check(bare.python, *options)
    assert (found["reached"], found["python"]["executable"]) == (reached, str(bare.python))


@pytest.mark.long
def test_a_script_is_what_its_interpreter_is(bare: Venv, tmp_path: Path) -> None:
    far = tmp_path / "a folder" / "bin"
    venv.create(far.parent, with_pip=False)
    for text in (
        f"#!{bare.python}\n",
        f"#!/usr/bin/env {bare.python}\n",
        f"#!/usr/bin/env -S A=b {bare.python} -u\n",
        f"#!/bin/sh\n'''exec' '{far / 'python'}' \"$0\" \"$@\"\n' '''\n",
    ):
        assert check(script(tmp_path / "tool", text))["reached"] is True, text
    for text in (f"#!{bare.python} -I\n", f"#!/usr/bin/env -S {bare.python} -sE\n"):
        assert check(script(tmp_path / "tool", text))["reached"] is False, text
    found = check(script(tmp_path / "az", '#!/bin/sh\n/opt/az/bin/python3 -Im azure.cli "$@"\n'))
    assert (found["reached"], "python -Im" in found["reason"]) == (False, True)
    assert check(script(tmp_path / "shim", "#!/bin/sh\nexec python3 -m tool\n"))["reached"] is None
    assert check(script(tmp_path / "python3", f'#!/bin/sh\nexec {bare.python} "$@"\n'), "-I")["reached"] is False
    assert check(script(tmp_path / "python3", f'#!/bin/sh\nexec {bare.python} "$@"\n'))["reached"] is True
    assert check(script(tmp_path / "python3", "#!/bin/sh\necho no\n"))["reached"] is False


@pytest.mark.long
def test_what_is_not_python(tmp_path: Path) -> None:
    assert check("sh")["reached"] is False
    frozen = tmp_path / "aws"
    frozen.write_bytes(b"\x7fELF" + bytes(200_000) + b"MEI\014\013\012\013\016" + bytes(80))
    frozen.chmod(0o755)
    found = check(frozen)
    assert (found["reached"], "frozen" in found["reason"]) == (False, True)
    npm = script(tmp_path / "npm", "#!/usr/bin/env node\n")
    assert check(npm)["reached"] is True
    assert check(npm, NODE_USE_SYSTEM_CA="0")["reached"] is False
    uv = script(tmp_path / "uv", "\x7fELF")
    assert check(uv)["reached"] is True
    assert json.loads(under_run(uv, options=("--python-only", "--check", "--json")).stdout)["reached"] is False


@pytest.mark.long
def test_the_others_are_not_reached(bare: Venv, tmp_path: Path) -> None:
    found = check(bare.python, TRUSTSTORE_INJECT="0")
    assert (found["reached"], "TRUSTSTORE_INJECT=0" in found["reason"]) == (False, True)
    python = other_python("3.9")
    assert "too old" in check(python)["reason"]
    (tmp_path / "json.py").write_text("raise SystemExit('the current directory is not asked')")
    command = [Path(sys.executable).with_name("truststore-inject"), "run", "--check", bare.python]
    assert subprocess.run(command, env=environment(), cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.long
def test_in_words(bare: Venv) -> None:
    result = under_run(bare.python, "-I", options=("--check",))
    assert result.returncode == 1
    assert result.stdout.startswith(f"{bare.python} -I: NOT reached\nwhy       python -I")
