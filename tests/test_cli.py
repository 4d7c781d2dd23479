"""The command line as a whole: how it starts, what it imports, and what a wrong command says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from harness import environment, run

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from bases import Base
from commands import command


def test_no_command_is_status(env: dict[str, str]) -> None:
    assert command(env=env).stdout == command("status", env=env).stdout


def test_the_console_script(env: dict[str, str]) -> None:
    script = shutil.which("truststore-inject", path=sysconfig.get_path("scripts"))
    assert script is not None
    result = subprocess.run([script, "--version"], env=env, capture_output=True, text=True, check=True)
    assert result.stdout == command("--version", env=env).stdout != ""


def test_a_wrong_command_is_bad_usage(env: dict[str, str]) -> None:
    result = command("nonsense", env=env)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_start_imports_nothing_heavy(env: dict[str, str]) -> None:
    code = """
import sys, truststore_inject.cli
print(*{"ssl", "cryptography", "trustme", "asyncio"} & set(sys.modules))
"""
    assert run("-c", code, env=env).stdout == "\n"


def test_nothing_imports_the_command_line(env: dict[str, str]) -> None:
    code = """
import sys, requests, ssl, truststore_inject
ssl.create_default_context()
truststore_inject.status()
print("truststore_inject.cli" in sys.modules)
"""
    assert run("-c", code, env=env).stdout == "False\n"


# What else commands and their children could import.
OTHERS = ("cryptography", "wrapt", "truststore", "certifi", "aiohttp", "botocore", "httpx", "requests", "urllib3")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder whose modules say that they were run: all but those that Python itself imports before it runs anything."""
    before = run("-c", "import runpy, sys; print(*sys.modules)", env=environment()).stdout.split()
    for name in {*sys.stdlib_module_names, *OTHERS} - {name.partition(".")[0] for name in before}:
        code = f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\nraise ImportError\n"
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


SCRIPT = "import sys; sys.path.pop(0); from truststore_inject.cli import main; sys.exit(main())"  # as pip writes it


@pytest.mark.parametrize("empty_entry", [False, True], ids=["", "an empty entry of PYTHONPATH"])
@pytest.mark.parametrize(
    "arguments",
    [
        "status",
        pytest.param("check URL", marks=pytest.mark.long),
        pytest.param("check UNKNOWN --save-ca FILE", marks=pytest.mark.long),
        "export",
        "export FILE --env",
        "base status",
        pytest.param("base enable --python BASE", marks=pytest.mark.long),
        pytest.param("base disable --python BASE", marks=pytest.mark.long),
        "run --check PYTHON",
    ],
)
def test_nothing_of_the_current_directory_runs(
    arguments: str,
    empty_entry: bool,
    env: dict[str, str],
    urls: dict[str, str],
    trap: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    values = {"URL": urls["system"], "UNKNOWN": urls["unknown"], "FILE": folder / "ca.pem", "PYTHON": sys.executable}
    if "BASE" in arguments:
        values["BASE"] = Base(folder / "base").python
    words = [values.get(word, word) for word in arguments.split()]
    variables = {"COVERAGE_PROCESS_CONFIG": ""}  # whose .pth file would import from there
    if empty_entry:
        variables["PYTHONPATH"] = f"{os.pathsep}/nonexistent"
    start = ["-c", SCRIPT] if empty_entry else ["-m", "truststore_inject"]  # with -m Python itself would look there
    result = run(*start, *words, env={**env, **variables}, cwd=trap)
    assert "Traceback" not in result.stderr, result.stderr
    assert result.returncode in (0, 1)
    assert not (trap / "ran").exists(), (trap / "ran").read_text()


def test_a_closed_pipe(env: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "truststore_inject", "export"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.parametrize(
    ("system", "closed", "code"), [("win32", "pipe", 141), ("linux", "pipe", 4), ("win32", "something else", 1)]
)
def test_a_closed_pipe_in_the_words_of_windows(system: str, closed: str, code: int, env: dict[str, str]) -> None:
    program = f"""
import errno, io, sys
from truststore_inject.cli import _terminal, main, status
def fail(*arguments):
    raise OSError(errno.EINVAL, "Invalid argument")
class Closed(io.TextIOWrapper):
    write = fail
if {closed!r} == "pipe":
    sys.stdout = Closed(sys.stdout.buffer)
    status.run = lambda arguments: _terminal.say("active")
else:
    status.run = fail
sys.platform = {system!r}
sys.exit(main(["status"]))
"""
    result = run("-c", program, env=env)
    assert (result.returncode, result.stdout, "Traceback" in result.stderr) == (code, "", code == 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">/dev/full", "standard output cannot be written: No space left on device"),
        (">&-", "standard output is closed"),
    ],
)
def test_an_output_that_takes_nothing(redirection: str, words: str, env: dict[str, str]) -> None:
    for arguments in ("status", "status --json", "export"):
        line = ["sh", "-c", f'"$0" -m truststore_inject {arguments} {redirection}', sys.executable]
        result = subprocess.run(line, env=env, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (4, f"truststore-inject: {words}\n"), arguments
        silent = subprocess.run([*line[:2], f"{line[2]} 2>&-", *line[3:]], env=env, capture_output=True)
        assert (silent.returncode, silent.stdout) == (4, b"")
