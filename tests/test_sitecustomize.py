"""``truststore-inject base``: a throw-away base interpreter, and virtual environments made from it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Server, Venv, environment, make_base, run, run_code
from test_startup import FINDER, PATCHED, STATE, difference

from truststore_inject import __version__, _settings
from truststore_inject.cli import _sitecustomize

pytestmark = pytest.mark.long

BASE_FINDER = "sitecustomize.TruststoreInjectFinder"
FOLDER = "truststore-inject-0.0.1-0123456789ab"


# The block, as bytes.

ORIGINALS = [
    b"",
    b"x = 1",
    b"x = 1\n",
    b"x = 1\n\n\n",
    b"x = 1\r\ny = 2\r\n",
    b"x = 1\r\ny = 2",
    b"x = 1\ry = 2\r",
    b"if True:\n    x = 1",
    b"# only a comment",
    b"\xef\xbb\xbfx = '\xc3\xa9'\n",
    b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
    b'"""Words."""\n\nfrom __future__ import annotations\n\nimport os\n',
]


@pytest.mark.parametrize("original", ORIGINALS)
def test_what_is_inserted_can_be_taken_away_exactly(original: bytes) -> None:
    data = _sitecustomize.insert(original, FOLDER)
    block = _sitecustomize.parse(data)
    assert block is not None
    assert (block.version, block.folder, block.created, block.rest) == (__version__, FOLDER, False, original)
    assert _sitecustomize.insert(data, FOLDER) == data
    assert data.count(b"\r\n") in ((0, 1) if b"\r\n" not in original else (data.count(b"\n"),))
    code = compile(data, "sitecustomize.py", "exec", dont_inherit=True)
    assert "_truststore_inject" in code.co_names


@pytest.mark.parametrize("original", [None, *ORIGINALS])
def test_an_update_is_the_same_as_a_new_block(original: bytes | None) -> None:
    old = _sitecustomize.insert(original, FOLDER)
    assert _sitecustomize.insert(old, "truststore-inject-9-0") == _sitecustomize.insert(
        original, "truststore-inject-9-0"
    )


def test_what_somebody_writes_around_the_block_stays() -> None:
    for original in (b"x = 1", b"x = 1\n"):
        data = _sitecustomize.insert(original, FOLDER) + b"y = 2\n"
        assert _sitecustomize.insert(data, FOLDER) == data
        block = _sitecustomize.parse(b"w = 0\n" + data)
        assert block is not None
        assert block.rest == b"w = 0\nx = 1\ny = 2\n"


@pytest.mark.parametrize("original", [None, b"x = 1"])
def test_an_edited_block_is_seen(original: bytes | None) -> None:
    lines = _sitecustomize.insert(original, FOLDER).splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(b"# >>>"))
    for number in range(first, len(lines)):
        with pytest.raises(_sitecustomize.Edited):
            _sitecustomize.parse(b"".join(lines[:number] + lines[number + 1 :]))
    with pytest.raises(_sitecustomize.Edited):
        _sitecustomize.parse(b"".join(lines * 2))


def test_the_block_and_the_package_agree_what_off_is() -> None:
    data = _sitecustomize.insert(b"", FOLDER).decode()
    (line,) = (line for line in data.splitlines() if "TRUSTSTORE_INJECT" in line)
    assert set(eval(line.partition(" in ")[2])) == _settings.OFF


# A base, and what is made from it.


class Base:
    def __init__(self, folder: Path) -> None:
        if os.name == "nt" or sysconfig.get_config_var("PYTHONFRAMEWORK"):  # as the one of python.org for macOS
            pytest.skip("no base interpreter can be made of links here")
        self.folder = folder
        self.python = make_base(folder)
        self.stdlib = folder / Path(sysconfig.get_path("stdlib")).relative_to(sys.base_prefix)
        self.file = self.stdlib / "sitecustomize.py"

    def command(
        self, action: str, *options: str, code: int = 0, **variables: str | os.PathLike[str]
    ) -> subprocess.CompletedProcess[str]:
        env = environment(**variables)
        result = run("-m", "truststore_inject", "base", action, "--python", self.python, *options, env=env)
        assert result.returncode == code, result.stdout + result.stderr
        return result

    def status(self, code: int = 0, **variables: str | os.PathLike[str]) -> Any:
        return json.loads(self.command("status", "--json", code=code, **variables).stdout)

    def venv(self, folder: Path, *options: str, python: Path | None = None) -> Venv:
        """Made from this base, with nothing in it."""
        command = [python or self.python, "-m", "venv", "--without-pip", *options, folder]
        subprocess.run(command, env=environment(), check=True, capture_output=True)
        return Venv.existing(folder)

    def packages(self) -> list[Path]:
        return list(self.stdlib.glob("truststore-inject-*"))

    def tree(self) -> dict[str, Any]:
        """All that is no byte code: kind, mode, content."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if "__pycache__" not in path.parts:
                content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
                found[str(path.relative_to(self.folder))] = (path.lstat().st_mode, content)
        return found


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A base that is covered.  Do not change it."""
    base = Base(tmp_path_factory.mktemp("covered"))
    base.command("enable")
    return base


@pytest.fixture(scope="module")
def envs(covered: Base, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Venv]:
    """Environments made from the covered base.  Do not change them."""
    folder = tmp_path_factory.mktemp("envs")
    venv = covered.venv(folder / "venv")
    return {
        "venv": venv,
        "nested": covered.venv(folder / "nested", python=venv.python),
        "copies": covered.venv(folder / "copies", "--copies"),
        "system": covered.venv(folder / "system", "--system-site-packages"),
    }


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """An environment of a base that is not covered."""
    return Base(tmp_path_factory.mktemp("stock")).venv(tmp_path_factory.mktemp("plain") / "venv")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """One that a test may change."""
    return Base(tmp_path / "base")


def test_every_environment_is_covered(covered: Base, envs: dict[str, Venv]) -> None:
    for name, env in envs.items():
        assert [env.json(PATCHED, *options) for options in ([], ["-I"], ["-E"], ["-s"])] == [True] * 4, name
        assert [env.json(PATCHED, TRUSTSTORE_INJECT="0"), env.json(PATCHED, "-S")] == [False, False], name
    assert run_code(PATCHED, env=environment(), python=covered.python) is True


def test_it_adds_two_modules_and_two_finders(envs: dict[str, Venv], stock: Venv) -> None:
    changed = difference(envs["venv"].json(STATE), stock.json(STATE))
    assert changed.pop("modules") == {"truststore_inject", "truststore_inject._startup"}
    assert changed.pop("finders") == {FINDER, BASE_FINDER}
    code = "import json, sys; print(json.dumps([len(sys.path), sys.path[-1]]))"
    assert envs["venv"].json(code) == [stock.json(code)[0], str(envs["venv"].site_packages)]


def test_opted_out_is_an_interpreter_without_it(envs: dict[str, Venv], stock: Venv) -> None:
    for value in ("0", "off", " False", "NO"):
        changed = difference(envs["venv"].json(STATE, TRUSTSTORE_INJECT=value), stock.json(STATE))
        assert (changed["modules"], changed["finders"]) == (set(), set()), value
    assert envs["venv"].json(PATCHED, TRUSTSTORE_INJECT="on") is True


def test_the_verdict_of_a_real_handshake(
    envs: dict[str, Venv], servers: dict[str, Server], ca_file: Callable[[str], Path]
) -> None:
    code = """
import json, sys, urllib.request
def verdict(url):
    try:
        return urllib.request.urlopen(url, timeout=60).read().decode()
    except OSError as error:
        return str(error)
print(json.dumps([verdict(url) for url in sys.argv[1:]]))
"""
    urls = [servers["private"].url, servers["unknown"].url]
    result = envs["nested"].run(
        "-I", "-c", code, *urls, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=str(ca_file("private")), NO_PROXY="*"
    )
    accepted, refused = json.loads(result.stdout)
    assert accepted == "ok"
    assert "CERTIFICATE_VERIFY_FAILED" in refused


def test_three_names_become_importable_and_no_more(covered: Base, envs: dict[str, Venv]) -> None:
    code = "import json, sysconfig; print(json.dumps(sysconfig.get_path('purelib')))"
    purelib = Path(run_code(code, env=environment(), python=covered.python))
    purelib.mkdir(parents=True, exist_ok=True)
    (purelib / "of_the_base.py").touch()
    code = """
import importlib, importlib.metadata, importlib.util, json, pkgutil, wrapt
importlib.invalidate_caches()
found = {name: importlib.util.find_spec(name) for name in ("truststore", "truststore_inject", "wrapt", "of_the_base", "pip")}
found["of somebody else"] = importlib.util.find_spec("email.wrapt")
try:
    version = importlib.metadata.version("wrapt")
except importlib.metadata.PackageNotFoundError:
    version = None
print(json.dumps({
    "found": {name: spec.origin for name, spec in found.items() if spec},
    "distributions": sorted({d.metadata["Name"] for d in importlib.metadata.distributions()} & {"wrapt", "truststore"}),
    "version": version,
    "compiled": wrapt.ObjectProxy.__init__.__class__.__name__,
    "listed": [m.name for m in pkgutil.iter_modules() if "truststore" in m.name or m.name == "wrapt"],
}))
"""
    (folder,) = covered.packages()
    found = envs["venv"].json(code)
    compiled = found.pop("compiled")
    assert found == {
        "found": {name: str(folder / name / "__init__.py") for name in ("truststore", "truststore_inject", "wrapt")},
        "distributions": [],
        "version": None,
        "listed": [],
    }
    if sys.implementation.name == "cpython":
        assert compiled == "wrapper_descriptor"  # of the C extension
    assert {path.name.partition("-")[0] for path in folder.glob("*.dist-info")} == set(_sitecustomize.NAMES)


def test_an_environment_with_the_package_has_one_injection_and_its_own_copy(covered: Base, tmp_path: Path) -> None:
    env = covered.venv(tmp_path / "venv")
    env.install()
    code = STATE.replace("}))", '"file": __import__("truststore_inject").__file__}))')
    found = env.json(code)
    assert (found["finders"].count(FINDER), BASE_FINDER in found["finders"]) == (1, False)
    assert Path(found["file"]).is_relative_to(env.site_packages)
    (env.site_packages / "truststore-inject.pth").unlink()  # armed by the base, with the copy of the environment
    found = env.json(code)
    assert (found["finders"].count(FINDER), BASE_FINDER in found["finders"]) == (1, True)
    assert Path(found["file"]).is_relative_to(env.site_packages)


# The sitecustomize that ours would hide.

LOOK = """
import json, sys
module = sys.modules.get("sitecustomize")
print(json.dumps(module and [module.__name__, module.__file__, module.__spec__.origin, module.ran, module.__spec__.cached]))
"""


@pytest.mark.parametrize("name", ["sitecustomize.py", "sitecustomize/__init__.py"])
def test_the_next_sitecustomize_runs_in_its_place(covered: Base, tmp_path: Path, name: str) -> None:
    env = covered.venv(tmp_path / "venv")
    file = env.site_packages / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("import sys\nran = [__name__, __file__, sys.modules[__name__].__spec__.name]\n")
    for _ in range(2):  # the second time from its byte code
        found = env.json(LOOK)
        assert found[:4] == ["sitecustomize", str(file), str(file), ["sitecustomize", str(file), "sitecustomize"]]
        assert Path(found[4]).parent.parent == file.parent
    assert env.json(PATCHED) is True
    assert env.json(LOOK, TRUSTSTORE_INJECT="0") == found


def test_the_next_one_fails_as_it_would_by_itself(covered: Base, stock: Venv, tmp_path: Path) -> None:
    env = covered.venv(tmp_path / "venv")
    for text in ("raise ValueError('its own')\n", "import does_not_exist\n", "1 +\n", "raise SystemExit(7)\n"):
        results = []
        for each in (env, stock):
            (each.site_packages / "sitecustomize.py").write_text(text)
            result = each.run("-c", PATCHED)
            results.append((result.returncode, result.stderr.replace(str(each.site_packages), "").splitlines()[-1]))
            (each.site_packages / "sitecustomize.py").unlink()
        assert results[0] == results[1]
        assert results[0] != (0, "")


def test_the_next_one_of_an_editable_finder(covered: Base, tmp_path: Path) -> None:
    env = covered.venv(tmp_path / "venv")
    (tmp_path / "elsewhere.py").write_text("ran = True\n")
    (env.site_packages / "finder.py").write_text(f"""
import sys
from importlib.util import spec_from_file_location
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return spec_from_file_location(name, {str(tmp_path / "elsewhere.py")!r}) if name == "sitecustomize" else None
sys.meta_path.append(Finder)
""")
    (env.site_packages / "editable.pth").write_text("import finder\n")
    assert env.json(LOOK)[1] == str(tmp_path / "elsewhere.py")


def test_it_does_not_go_on_with_itself(covered: Base, tmp_path: Path) -> None:
    env = covered.venv(tmp_path / "venv")
    (tmp_path / "link").symlink_to(covered.stdlib)
    entries = [str(tmp_path / "link"), str(covered.stdlib)]
    (env.site_packages / "again.py").write_text(f"""
import sys
ran = []
sys.addaudithook(lambda event, details: ran.append(details[0].co_filename) if event == "exec" else None)
sys.path += {entries!r}
""")
    (env.site_packages / "again.pth").write_text("import again\n")
    ran = env.json("import again, json; print(json.dumps(again.ran))")
    assert [file for file in ran if file.endswith("sitecustomize.py")] == [str(covered.file)]
    assert env.json(PATCHED) is True


def test_a_sitecustomize_that_hides_ours_is_named(covered: Base, envs: dict[str, Venv], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").touch()
    found = covered.status(code=1, PYTHONPATH=tmp_path)
    assert found["state"] == "hidden"
    assert str(tmp_path / "sitecustomize.py") in found["reason"]
    assert envs["venv"].json(PATCHED, PYTHONPATH=str(tmp_path)) is False
    text = covered.command("status", code=1, PYTHONPATH=tmp_path).stdout
    assert "hidden by" in " ".join(text.split())
    (tmp_path / "sitecustomize.py").write_text("""
import os, sys
sys.path.remove(os.path.dirname(__file__))
del sys.modules["sitecustomize"]
try:
    import sitecustomize
except ImportError:
    pass
sys.path.insert(0, os.path.dirname(__file__))
""")
    assert covered.status(PYTHONPATH=tmp_path)["state"] == "enabled"  # one that goes on with ours hides nothing


# What the commands do to the files.


def test_enable_and_disable_and_each_of_them_twice(base: Base) -> None:
    before = base.tree()
    assert base.status(code=1)["state"] == "not enabled"
    base.command("disable")
    assert base.tree() == before
    umask = os.umask(0o077)
    try:
        assert "enabled" in base.command("enable").stdout
    finally:
        os.umask(umask)
    after, inode = base.tree(), base.file.stat().st_ino
    assert {path for path in after if path not in before and "/truststore-inject-" not in path} == {
        str(base.file.relative_to(base.folder))
    }
    for path, (mode, content) in after.items():
        if path not in before:
            assert mode & 0o777 == (0o755 if content is None else 0o644), path
    base.command("enable")
    assert (base.tree(), base.file.stat().st_ino) == (after, inode)
    assert base.status() == {
        "state": "enabled",
        "covered": True,
        "reason": "",
        "python": {"version": sys.version.split()[0], "executable": str(base.python), "prefix": str(base.folder)},
        "file": str(base.file),
        "version": __version__,
        "current": True,
        "packages": str(base.packages()[0]),
    }
    for _ in range(2):
        base.command("disable")
        assert base.tree() == before
    assert not list(base.stdlib.glob("__pycache__/sitecustomize*"))


def test_a_file_that_is_there_gets_a_block_and_a_link_stays_a_link(base: Base, tmp_path: Path) -> None:
    etc = tmp_path / "etc" / "sitecustomize.py"  # as Debian has it
    etc.parent.mkdir()
    etc.write_bytes(b"# not ours\nran = True")
    etc.chmod(0o640)
    base.file.symlink_to(etc)
    run("-c", "pass", env=environment(), python=base.python)  # makes byte code
    before = base.tree()
    base.command("enable")
    assert (os.readlink(base.file), etc.stat().st_mode & 0o777) == (str(etc), 0o640)
    env = base.venv(tmp_path / "venv")
    assert env.json(LOOK)[1:4] == [str(base.file), str(base.file), True]
    assert env.json(PATCHED, "-I") is True
    assert env.json(PATCHED, TRUSTSTORE_INJECT="0") is False
    base.command("disable")
    assert (base.tree(), etc.read_bytes(), etc.stat().st_mode & 0o777) == (
        before,
        b"# not ours\nran = True",
        0o640,
    )
    assert env.json(PATCHED) is False  # not from byte code of before
    assert list(etc.parent.iterdir()) == [etc]


def test_a_link_to_nothing_and_an_empty_file(base: Base, tmp_path: Path) -> None:
    base.file.symlink_to(tmp_path / "missing.py")
    base.command("enable")
    base.command("disable")
    assert (base.file.is_symlink(), base.file.exists()) == (True, False)
    base.file.unlink()
    base.file.touch()
    base.command("enable")
    base.command("disable")
    assert base.file.read_bytes() == b""


def test_an_older_block_is_updated_and_its_packages_go(base: Base) -> None:
    before = base.tree()
    base.file.write_bytes(_sitecustomize.insert(None, FOLDER))
    (base.stdlib / FOLDER).mkdir()
    (base.stdlib / "truststore-inject-of-somebody").mkdir()
    assert base.status(code=1)["current"] is False
    base.command("enable")
    assert {path.name for path in base.packages()} == {
        "truststore-inject-of-somebody",
        Path(base.status()["packages"]).name,
    }
    base.command("disable")
    (base.stdlib / "truststore-inject-of-somebody").rmdir()
    assert base.tree() == before


def test_packages_that_are_gone_or_changed(base: Base, tmp_path: Path) -> None:
    base.command("enable")
    whole = base.tree()
    env = base.venv(tmp_path / "venv")
    (folder,) = base.packages()
    for damage in (
        lambda: shutil.rmtree(folder),
        lambda: (folder / "truststore_inject" / "_startup.py").write_text("raise OSError('broken')"),
    ):
        damage()
        result = env.run("-c", STATE)
        assert (result.returncode, result.stderr) == (0, "")
        assert BASE_FINDER not in json.loads(result.stdout)["finders"]
        assert base.status(code=1)["state"] == "damaged"
        base.command("enable")
        assert (base.tree(), env.json(PATCHED)) == (whole, True)


def test_an_edited_block_is_left_alone(base: Base) -> None:
    base.command("enable")
    base.file.write_text(base.file.read_text().replace("if off or", "if"))
    before = base.tree()
    for action in ("enable", "disable"):
        (line,) = base.command(action, code=4).stderr.splitlines()
        assert str(base.file) in line
        assert "edited" in line
        assert base.tree() == before
    assert base.status(code=1)["state"] == "edited"


def test_a_file_that_ends_early_is_seen(base: Base) -> None:
    base.file.write_text("raise ImportError(name='sitecustomize')\n")
    assert "not in effect" in base.command("enable", code=1).stdout
    base.command("disable")
    assert base.file.read_text() == "raise ImportError(name='sitecustomize')\n"


def refused(base: Base, python: Path, *words: str, **options: Any) -> None:
    before = base.tree()
    command = ["-m", "truststore_inject", "base", "enable", "--python", str(python)]
    result = run(*command, env=environment(), **options)
    assert (result.returncode, result.stdout) == (4, "")
    (line,) = result.stderr.splitlines()
    assert all(word in line for word in words), line
    assert base.tree() == before


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet, if another test imported it
def test_refused_without_the_permission(base: Base) -> None:
    def obey() -> None:  # root, too, is bound by the modes, without CAP_DAC_OVERRIDE
        if os.getuid() == 0:
            assert ctypes.CDLL(None).prctl(24, 1, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE; for what is run

    base.stdlib.chmod(0o555)
    refused(base, base.python, "Permission denied", f"{base.stdlib}: ", preexec_fn=obey)
    base.stdlib.chmod(0o755)
    etc = base.folder / "etc"  # where Debian's link leads
    etc.mkdir()
    (etc / "sitecustomize.py").touch()
    base.file.symlink_to(etc / "sitecustomize.py")
    etc.chmod(0o555)
    refused(base, base.python, "Permission denied", f"{etc}: ", preexec_fn=obey)
    etc.chmod(0o755)
    base.command("enable")
    base.stdlib.chmod(0o555)
    command = ["-m", "truststore_inject", "base", "disable", "--python", str(base.python)]
    result = run(*command, env=environment(), preexec_fn=obey)
    assert (result.returncode, base.status()["covered"]) == (4, True)


def test_refused_where_it_cannot_work(base: Base, tmp_path: Path) -> None:
    refused(base, tmp_path / "nothing", "No such file")
    refused(base, Path("/bin/echo"), "not run as a Python")
    base.file.write_text("this is no Python\n")
    refused(base, base.python, str(base.file), "not valid Python")
    base.file.unlink()
    base.file.with_suffix(".pyc").touch()
    refused(base, base.python, "not a source file")
    base.file.with_suffix(".pyc").unlink()
    for changes, word in ((["is_layout", False], "not a directory"), (["abi", ".cpython-39.so"], "wrapt is compiled")):
        stand_in = tmp_path / "python"  # another Python, or a frozen one, would answer like this
        stand_in.write_text(f"""#!{base.python}
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()) as said:
    exec(sys.argv[3])
print(json.dumps({{**json.loads(said.getvalue()), {changes[0]!r}: {changes[1]!r}}}))
""")
        stand_in.chmod(0o755)
        refused(base, stand_in, word)


# truststore-inject status, in an environment of a base that is covered.


def test_status_knows_that_the_base_arms_it(covered: Base, envs: dict[str, Venv], tmp_path: Path) -> None:
    found = json.loads(envs["venv"].run("-m", "truststore_inject", "--json").stdout)
    assert found["active"] is True
    assert found["reason"].startswith(f"armed by {covered.file}, in every environment")
    env = covered.venv(tmp_path / "venv")
    env.install()
    found = json.loads(env.run("-m", "truststore_inject", "--json").stdout)
    assert found["reason"].endswith(f"; {covered.file} covers the base Python in {covered.folder}")
    assert str(env.site_packages) in found["reason"]


def test_a_covered_environment_can_cover_its_base(base: Base, tmp_path: Path) -> None:
    base.command("enable")
    before = base.tree()
    env = base.venv(tmp_path / "venv")
    result = env.run("-m", "truststore_inject", "base", "enable")
    assert (result.returncode, result.stderr, base.tree()) == (0, "", before)
    assert env.run("-m", "truststore_inject", "base", "disable").returncode == 0
    assert env.json(PATCHED) is False


def test_bad_usage(base: Base) -> None:
    assert run("-m", "truststore_inject", "base", env=environment()).returncode == 2
    assert run("-m", "truststore_inject", "base", "on", env=environment()).returncode == 2
