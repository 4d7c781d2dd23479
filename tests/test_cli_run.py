"""``truststore-inject run``: a command, and the Pythons that it starts, in environments where nothing is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bases import Base
from commands import json_under_run, other_python, under_run
from harness import ASK_URLLIB, Venv, environment, run
from servers import Server
from test_startup import FINDER, PATCHED, STATE, difference

from truststore_inject.cli._sitecustomize import START_FOLDER
from truststore_inject.cli._switches import SWITCHES

pytestmark = pytest.mark.skipif(os.name == "nt", reason="tests/windows has what can be tried there")


long = pytest.mark.long
START_FINDER = "sitecustomize.TruststoreInjectFinder"


VERSIONS = ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15", "pypy3.11")
FIRST = (3, 10)


# Also for Python 2.7.  The first entry of sys.path is that of -c.
LOOK = """
import json, os, sys
print(json.dumps({
    "armed": "truststore_inject._startup" in sys.modules,
    "path": sys.path[1:],
    "finders": [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path],
    "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
    "modules": sorted(sys.modules),
    "pythonpath": os.environ.get("PYTHONPATH"),
}))
"""


@long
@pytest.mark.parametrize("version", VERSIONS)
def test_any_python_is_armed_or_starts_as_ever(version: str, tmp_path: Path) -> None:
    python = other_python(version)
    armed = tuple(map(int, version.removeprefix("pypy").split("."))) >= FIRST
    if armed:  # an environment, as there may be a wrapt in the base
        run("-m", "venv", "--without-pip", tmp_path / "venv", env=environment(), python=python)
        python = str(tmp_path / "venv" / "bin" / "python")
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("ran = True\n")
    for variables in ({}, {"PYTHONPATH": str(own)}):
        stock = json.loads(run("-c", LOOK, env=environment(**variables), python=python).stdout)
        found = json_under_run(python, "-c", LOOK, **variables)
        assert (found["armed"], found["path"]) == (armed, [START_FOLDER, *stock["path"]])
        assert (found["sitecustomize"] or "").rstrip("c") == (stock["sitecustomize"] or "").rstrip("c")
        added = {"truststore_inject", "truststore_inject._startup"} if armed else set()
        assert set(found["modules"]) - set(stock["modules"]) - {"imp"} == added
        ours = (["PatchFinder"], ["TruststoreInjectFinder"]) if armed else ([], [])
        assert found["finders"] == [*ours[0], *stock["finders"], *ours[1]]
    if armed:  # what is compiled for another Python is written in Python, too
        code = "import json, wrapt, truststore; print(json.dumps([wrapt.__file__, truststore.__file__]))"
        packages = Path(START_FOLDER).parents[2]
        for file in json_under_run(python, "-c", code):
            assert Path(file).parents[1] == packages


def test_it_adds_two_modules_and_two_finders(bare: Venv) -> None:
    changed = difference(json_under_run(bare.python, "-c", STATE), bare.json(STATE))
    assert changed.pop("modules") == {"truststore_inject", "truststore_inject._startup"}
    assert changed.pop("finders") == {FINDER, START_FINDER}


@long
def test_the_verdict_of_a_real_handshake_and_nothing_is_left(
    servers: dict[str, Server], ca_file: Callable[[str], Path], tmp_path: Path
) -> None:
    """In a child of a child, as a tool starts another."""
    env = Venv(tmp_path / "venv", with_package=False)
    before = sorted(tmp_path.rglob("*"))
    code = f"""
import subprocess, sys
if sys.argv[1] == "again":
    sys.exit(subprocess.call([sys.executable, __file__, *sys.argv[2:]]))
{ASK_URLLIB}
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    urls = [servers["private"].url, servers["unknown"].url]
    variables = {"TRUSTSTORE_INJECT_EXTRA_CA_CERTS": str(ca_file("private")), "NO_PROXY": "*"}
    accepted, refused = json_under_run(env.python, program, "again", *urls, **variables)
    assert accepted == "ok"
    assert "CERTIFICATE_VERIFY_FAILED" in refused
    assert sorted(tmp_path.rglob("*")) == sorted([*before, program])


def test_three_names_become_importable_and_no_more(bare: Venv) -> None:
    code = """
import importlib.util, json
names = ("truststore", "truststore_inject", "wrapt", "pytest", "trustme", "email.wrapt")
print(json.dumps([name for name in names if importlib.util.find_spec(name)]))
"""
    assert json_under_run(bare.python, "-c", code) == ["truststore", "truststore_inject", "wrapt"]


@long
def test_status_says_so(bare: Venv) -> None:
    report = json_under_run(bare.python, "-m", "truststore_inject", "status", "--json")
    assert report["reason"].startswith(f"armed by {Path(START_FOLDER) / 'sitecustomize.py'}, of the command")


@long
def test_an_environment_with_the_package_uses_its_own(tmp_path: Path) -> None:
    env = Venv(tmp_path / "venv")
    code = STATE.replace("}))", '"file": __import__("truststore_inject").__file__}))')
    found = json_under_run(env.python, "-c", code)
    assert (found["finders"].count(FINDER), START_FINDER in found["finders"]) == (1, False)
    assert Path(found["file"]).is_relative_to(env.site_packages)
    for file in env.site_packages.glob("truststore-inject.*"):  # armed by the start folder, with the environment's copy
        file.unlink()
    found = json_under_run(env.python, "-c", code)
    assert (found["finders"].count(FINDER), START_FINDER in found["finders"]) == (1, True)
    assert Path(found["file"]).is_relative_to(env.site_packages)


@long
def test_it_goes_with_a_base_that_is_covered(tmp_path: Path) -> None:
    base = Base(tmp_path / "base")
    base.command("enable")
    env = base.venv(tmp_path / "venv")
    (env.site_packages / "sitecustomize.py").write_text("ran = True\n")
    found = json_under_run(env.python, "-c", STATE)
    assert (found["finders"].count(FINDER), found["finders"].count(START_FINDER)) == (1, 1)
    assert json_under_run(env.python, "-c", LOOK)["sitecustomize"] == str(env.site_packages / "sitecustomize.py")
    # What the base does, run does not decide.
    status = [sys.executable, "-m", "truststore_inject", "base", "status", "--json", "--python", base.python]
    assert json_under_run(*status)["state"] == "enabled"
    shutil.rmtree(base.packages()[0] / "truststore_inject")
    assert json.loads(under_run(*status).stdout)["state"] == "damaged"
    base.command("enable")
    # And the other way round: the command line of the base's copy.
    command = ["-m", "truststore_inject", "run", env.python, "-c", LOOK]
    found = json.loads(run(*command, env=environment(), python=env.python).stdout)
    assert found["armed"]
    assert Path(found["path"][0]).is_relative_to(base.stdlib)


@long
def test_a_run_in_a_run_is_one(bare: Venv, tmp_path: Path) -> None:
    """Also of another installation."""
    again = [sys.executable, "-m", "truststore_inject", "run"]
    assert json_under_run(*again, bare.python, "-c", LOOK)["pythonpath"] == START_FOLDER
    shutil.copytree(Path(START_FOLDER).parents[1], tmp_path / "truststore_inject")
    other = tmp_path / "truststore_inject" / "cli" / "_run"
    found = json_under_run(bare.python, "-c", STATE, PYTHONPATH=other)
    assert (found["finders"].count(FINDER), found["finders"].count(START_FINDER)) == (1, 1)
    assert json_under_run(bare.python, "-c", LOOK, PYTHONPATH=other)["sitecustomize"] is None


@long
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", START_FOLDER),
        ("/one:/two", f"{START_FOLDER}:/one:/two"),
        (":/one", f"{START_FOLDER}::/one"),
        (f"/one:{START_FOLDER}:/two", f"{START_FOLDER}:/one:/two"),
    ],
)
def test_pythonpath_is_kept(bare: Venv, given: str, wanted: str) -> None:
    found = json_under_run(bare.python, "-c", LOOK, PYTHONPATH=given)
    assert found["pythonpath"] == wanted
    stock = bare.json(LOOK, PYTHONPATH=given)
    others = [entry for entry in stock["path"] if entry != START_FOLDER]
    assert found["path"] == [START_FOLDER, *others]


@long
def test_switched_off_it_is_a_plain_start(bare: Venv) -> None:
    code = "import json, os, sys; print(json.dumps([dict(os.environ), sys.path]))"
    for value in ("0", "off", " False", "NO"):
        assert json_under_run(bare.python, "-c", code, TRUSTSTORE_INJECT=value) == bare.json(
            code, TRUSTSTORE_INJECT=value
        )
    # One child alone.
    child = f"import os, sys; os.execve(sys.executable, [sys.executable, '-c', {STATE!r}], {{**os.environ, 'TRUSTSTORE_INJECT': '0'}})"
    changed = difference(json_under_run(bare.python, "-c", child), bare.json(STATE))
    assert (changed["modules"], changed["finders"]) == (set(), set())


@long
def test_the_switches_of_other_tools() -> None:
    command = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    found = json_under_run(*command)
    assert {name: found.get(name) for name in SWITCHES} == SWITCHES
    own = {"UV_SYSTEM_CERTS": "0", "UV_NATIVE_TLS": "", "NODE_USE_SYSTEM_CA": "0", "DENO_TLS_CA_STORE": "mozilla"}
    found = json_under_run(*command, **own)
    assert {name: found.get(name) for name in SWITCHES} == own
    found = json.loads(under_run(*command, options=("--python-only",)).stdout)
    assert not SWITCHES.keys() & found.keys()


@long
@pytest.mark.parametrize("name", ["sitecustomize.py", "sitecustomize/__init__.py"])
def test_the_next_sitecustomize_runs_in_its_place(tmp_path: Path, name: str) -> None:
    env = Venv(tmp_path / "venv", with_package=False)
    file = env.site_packages / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("import sys\nran = [__name__, __file__, sys.modules[__name__].__spec__.name]\n")
    look = "import json, sitecustomize; print(json.dumps(sitecustomize.ran))"
    for variables in ({}, {"TRUSTSTORE_INJECT": "off"}):
        assert json_under_run(env.python, "-c", look, **variables) == ["sitecustomize", str(file), "sitecustomize"]
    assert json_under_run(env.python, "-c", PATCHED) is True


@long
def test_the_next_one_fails_as_it_would_by_itself(tmp_path: Path) -> None:
    for text in ("raise ValueError('its own')\n", "import does_not_exist\n", "1 +\n", "raise SystemExit(7)\n"):
        (tmp_path / "sitecustomize.py").write_text(text)
        stock = run("-c", PATCHED, env=environment(PYTHONPATH=tmp_path, TRUSTSTORE_INJECT="0"))
        found = under_run(sys.executable, "-c", PATCHED, PYTHONPATH=tmp_path)
        assert (found.returncode, found.stderr.splitlines()[-1]) == (stock.returncode, stock.stderr.splitlines()[-1])


PIPX = """
import os
def _fix_subprocess_env(env):
    env.pop("PYTHONPATH", None)
    return env
"""


@long
def test_pipx_keeps_the_start_folder_and_takes_the_rest(tmp_path: Path) -> None:
    """What pipx does, without pipx: tests/test_run_tools.py has the real one."""
    (tmp_path / "pipx").mkdir()
    (tmp_path / "pipx" / "__init__.py").touch()
    (tmp_path / "pipx" / "util.py").write_text(PIPX)
    code = """
import json, os, pipx, pipx.util, truststore_inject
kept = [pipx.util._fix_subprocess_env(dict(os.environ)).get("PYTHONPATH")]
truststore_inject.extract()
print(json.dumps([*kept, pipx.util._fix_subprocess_env(dict(os.environ)).get("PYTHONPATH")]))
"""
    assert json_under_run(sys.executable, "-c", code, PYTHONPATH=tmp_path) == [START_FOLDER, None]
    result = run("-c", code, env=environment(PYTHONPATH=tmp_path))
    assert json.loads(result.stdout) == [None, None]


@long
def test_the_exit_status_the_arguments_and_the_process_are_the_commands() -> None:
    for code in (0, 1, 7, 127, 255):
        assert under_run("sh", "-c", f"exit {code}").returncode == code
    arguments = ["--check", "--", "-x", "", "a b", "*"]
    show = ["sh", "-c", 'printf "%s|" "$0" "$@"', "zero"]
    assert under_run(*show, *arguments).stdout == "zero|--check|--|-x||a b|*|"
    command = [sys.executable, "-m", "truststore_inject", "run", "sh", "-c", "echo $$"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as child:
        assert child.communicate()[0] == f"{child.pid}\n"


@long
@pytest.mark.parametrize("name", ["PIPE", "XFSZ", "TERM", "INT"])
def test_signals_are_the_commands(name: str) -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and a program inherits what is ignored."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a job that runs in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert under_run("sh", "-c", f"kill -{name} $$; sleep 60").returncode == -getattr(signal, f"SIG{name}")


@long
def test_what_cannot_be_started_is_one_line_and_a_code_of_the_shell(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "garbage").write_bytes(b"\x7fELF")
    (tmp_path / "garbage").chmod(0o755)
    (tmp_path / "lost").write_text("#!/does/not/exist\n")
    (tmp_path / "lost").chmod(0o755)
    cases: list[tuple[list[str], int, str]] = [
        ([], 2, "no command"),
        (["does-not-exist"], 127, "does-not-exist: there is no such command"),
        ([str(tmp_path / "not" / "there")], 127, "there is no such command"),
        ([str(tmp_path)], 126, f"{tmp_path}: it is a directory"),
        (["text"], 126, f"{tmp_path / 'text'}: it is not executable"),
        (["garbage"], 126, "cannot be executed, Exec format error"),
        (["lost"], 126, "cannot be executed, No such file or directory"),
    ]
    for command, code, words in cases:
        result = under_run(*command, PATH=f"{tmp_path}:{os.environ['PATH']}")
        assert (result.returncode, result.stdout) == (code, ""), command
        assert len(result.stderr.splitlines()) == 1, command
        assert words in result.stderr, command
        if command:
            checked = under_run(*command, options=("--check",), PATH=f"{tmp_path}:{os.environ['PATH']}")
            assert checked.returncode == code or code == 126, command
    assert run("-m", "truststore_inject", "run", "--does-not-exist", "x", env=environment()).returncode == 2


@long
def test_packages_in_two_folders_are_refused(bare: Venv, tmp_path: Path) -> None:
    """The start folder's finder looks in one."""
    env = Venv(tmp_path / "venv")
    (env.site_packages / "elsewhere.pth").write_text(str(Path(START_FOLDER).parents[2]))
    result = env.run("-m", "truststore_inject", "run", bare.python, "-c", "")
    assert (result.returncode, len(result.stderr.splitlines())) == (4, 1)
    assert "run needs them in one folder" in result.stderr
    (env.site_packages / "elsewhere.pth").unlink()
    result = env.run("-m", "truststore_inject", "run", bare.python, "-c", "")
    assert (result.returncode, "is not installed beside this command" in result.stderr) == (4, True)
