"""The ``sitecustomize.py`` of a covered base: the environments made from it start with the injection."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bases import BASE_FINDER, LOOK, Base
from harness import ASK_URLLIB, Venv, environment, run_code
from servers import Server
from test_startup import FINDER, PATCHED, STATE, difference

from truststore_inject.cli import _sitecustomize

pytestmark = pytest.mark.long


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
    urls = [servers["private"].url, servers["unknown"].url]
    result = envs["nested"].run(
        "-I", "-c", ASK_URLLIB, *urls, TRUSTSTORE_INJECT_EXTRA_CA_CERTS=str(ca_file("private")), NO_PROXY="*"
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


def test_status_knows_that_the_base_arms_it(covered: Base, envs: dict[str, Venv], tmp_path: Path) -> None:
    found = json.loads(envs["venv"].run("-m", "truststore_inject", "--json").stdout)
    assert found["active"] is True
    assert found["reason"].startswith(f"armed by {covered.file}, in every environment")
    env = covered.venv(tmp_path / "venv")
    env.install()
    found = json.loads(env.run("-m", "truststore_inject", "--json").stdout)
    assert found["reason"].endswith(f"; {covered.file} covers the base Python in {covered.folder}")
    assert str(env.site_packages) in found["reason"]
