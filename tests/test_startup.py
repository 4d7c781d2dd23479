"""What the ``.pth`` file does to an interpreter, each time in a child process."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import zipapp
from pathlib import Path
from typing import Any

import pytest
from harness import HERE, Venv, environment, run

import truststore_inject

PTH = (
    'import os, sys; os.environ.get("TRUSTSTORE_INJECT") == "0" or "truststore_inject._startup" in sys.modules or '
    'exec("try:\\n from truststore_inject._startup import run; run()\\nexcept Exception: pass")\n'
)

# What a program can see of an interpreter that has just started.  On Windows the folder of a venv is on its path too.
STATE = """
import json, sys
print(json.dumps({
    "modules": sorted(sys.modules),
    "path": [entry for entry in sys.path if "site-packages" not in entry and entry != sys.prefix],
    "finders": [f"{type(finder).__module__}.{type(finder).__name__}" for finder in sys.meta_path],
}))
"""
FINDER = "truststore_inject._startup.PatchFinder"
ARMED = f"import json, sys; print(json.dumps(type(sys.meta_path[0]).__qualname__ == '{FINDER.rpartition('.')[2]}'))"
PATCHED = "import json, ssl; print(json.dumps('load_verify_locations' in vars(ssl.SSLContext)))"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    venv = Venv(tmp_path_factory.mktemp("bare"), with_package=False)
    (venv.site_packages / "other.pth").write_text("# from Python 3.13 on, site loads a codec for any .pth file\n")
    return venv


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """Do not change it."""
    return Venv(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def broken(tmp_path: Path) -> Venv:
    """One that a test may break."""
    return Venv(tmp_path / "venv")


def difference(installed: dict[str, Any], bare: dict[str, Any]) -> dict[str, set[str]]:
    return {key: set(installed[key]) ^ set(bare[key]) for key in bare}


def test_the_pth_file_is_what_an_auditor_reads(installed: Venv) -> None:
    assert (installed.site_packages / "truststore-inject.pth").read_bytes() == PTH.encode("ascii")


@pytest.mark.skipif(sys.version_info < (3, 15), reason="PEP 829 came with Python 3.15")
def test_a_start_file_does_what_the_line_does(broken: Venv, bare: Venv) -> None:
    (broken.site_packages / "truststore-inject.pth").unlink(missing_ok=True)
    shutil.copy(HERE.parent / "truststore-inject.start", broken.site_packages)
    started, stock = broken.json(STATE), bare.json(STATE)
    assert difference(started, stock)["finders"] == {FINDER}
    assert started["finders"].count(FINDER) == 1
    assert [broken.json(PATCHED, "-I"), broken.json(PATCHED, TRUSTSTORE_INJECT="0")] == [True, False]


def test_start_loads_two_modules_and_adds_one_finder(installed: Venv, bare: Venv) -> None:
    assert difference(installed.json(STATE), bare.json(STATE)) == {
        "modules": {"truststore_inject", "truststore_inject._startup"},
        "path": set(),
        "finders": {FINDER},
    }


def test_site_runs_the_line_twice_and_it_counts_once(installed: Venv) -> None:
    code = f"import site; site.addsitedir({str(installed.site_packages)!r}); {STATE}"
    assert installed.json(code)["finders"].count(FINDER) == 1
    code = f"import truststore_inject as t; t.inject(); t.inject(); {STATE}"
    assert installed.json(code)["finders"].count(FINDER) == 1


def test_opted_out_with_0_not_a_module_is_loaded(installed: Venv, bare: Venv) -> None:
    assert installed.json(STATE, TRUSTSTORE_INJECT="0") == bare.json(STATE)


@pytest.mark.parametrize("value", ["0", "off", "OFF", "False", "no", " No "])
def test_opted_out_is_an_interpreter_without_the_package(installed: Venv, bare: Venv, value: str) -> None:
    look = (
        f"import ssl; own = sorted(vars(ssl.SSLContext)); import truststore_inject; truststore_inject.inject(); {STATE}"
    )
    off, stock = installed.json(look, TRUSTSTORE_INJECT=value), bare.json(STATE.replace("\n", "\nimport ssl\n", 1))
    changed = difference(off, stock)
    assert {name for name in changed.pop("modules") if not name.startswith("truststore_inject")} == set()
    assert changed == {"path": set(), "finders": set()}
    assert installed.json(PATCHED, TRUSTSTORE_INJECT=value) is False


@pytest.mark.parametrize("value", ["", "1", "on", "yes", "maybe"])
def test_other_values_are_on(installed: Venv, value: str) -> None:
    assert installed.json(PATCHED, TRUSTSTORE_INJECT=value) is True


def test_an_unknown_value_is_recorded(installed: Venv) -> None:
    notes = "import json, truststore_inject; print(json.dumps(truststore_inject.status().notes))"
    (note,) = (note for note in installed.json(notes, TRUSTSTORE_INJECT="maybe") if "TRUSTSTORE_INJECT=" in note)
    assert "'maybe'" in note
    assert not any("TRUSTSTORE_INJECT=" in note for note in installed.json(notes, TRUSTSTORE_INJECT="on"))


@pytest.mark.parametrize(
    "option", ["-I", "-E", "-s", "-B", "-O", "-X utf8", *(["-P"] if sys.version_info > (3, 11) else [])]
)
def test_options_that_do_not_switch_it_off(installed: Venv, option: str) -> None:
    assert installed.json(PATCHED, *option.split()) is True


def test_without_site_nothing_happens(installed: Venv) -> None:
    assert installed.json(PATCHED, "-S") is False


def test_without_a_home_or_a_path(installed: Venv) -> None:
    result = run("-c", PATCHED, env={"SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}, python=installed.python)
    assert (result.stdout, result.stderr) == ("true\n", "")


@pytest.mark.parametrize(
    "damage",
    ["gone", "no __init__", "no _startup", "no _hook", "no _record", "no patches", "no stores", "not Python", "raises"],
)
def test_a_damaged_package_harms_nobody(broken: Venv, damage: str) -> None:
    package = broken.site_packages / "truststore_inject"
    if damage == "gone":
        shutil.rmtree(package)
    elif damage == "not Python":
        (package / "_startup.py").write_text("this is not Python\n")
    elif damage == "raises":
        (package / "_startup.py").write_text("raise RuntimeError('broken')\n")
    else:
        target = package / damage.removeprefix("no ")
        shutil.rmtree(target) if target.is_dir() else target.with_suffix(".py").unlink()
    code = "import json, ssl; print(json.dumps(ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED))"
    assert broken.json(code) is True


def test_corrupt_byte_code_harms_nobody(broken: Venv) -> None:
    assert broken.json(PATCHED) is True
    compiled = list((broken.site_packages / "truststore_inject").rglob("*.pyc"))
    if not compiled:
        pytest.skip("this Python writes no byte code")
    for file in compiled:
        file.write_bytes(file.read_bytes()[:40])
    assert broken.json(PATCHED) is False


def test_the_package_is_removed_while_a_process_runs(broken: Venv) -> None:
    package = broken.site_packages / "truststore_inject"
    remove = f"import shutil; shutil.rmtree({str(package)!r}, ignore_errors=True)\n"
    context = "import json, ssl; c = ssl.create_default_context(); print(json.dumps(c.verify_mode == 2))"
    shutil.copytree(package, package.with_name("spare"))
    assert broken.json(remove + context) is True  # before ssl was imported
    shutil.copytree(package.with_name("spare"), package)
    assert broken.json("import ssl\n" + remove + context) is True  # before the first context was made


def test_ssl_imported_by_another_pth_before_us(broken: Venv) -> None:
    (broken.site_packages / "aaa.pth").write_text("import ssl\n")
    assert broken.json(PATCHED) is True


def test_nothing_is_printed(installed: Venv) -> None:
    code = "import ssl; ssl.create_default_context()"
    quiet = installed.run("-c", code)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    told = installed.run("-c", code, TRUSTSTORE_INJECT_DEBUG="1")
    assert told.stdout == ""
    assert "truststore-inject: ssl: applied\n" in told.stderr


@pytest.mark.parametrize("close", ["sys.stderr = None", "sys.stderr.close()"])
def test_debug_without_a_standard_error(installed: Venv, close: str) -> None:
    result = installed.run("-c", f"import sys; {close}; import ssl; print(1)", TRUSTSTORE_INJECT_DEBUG="1")
    assert (result.returncode, result.stdout) == (0, "1\n")


def test_a_zipapp_gets_it_too(installed: Venv, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(PATCHED)
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    assert installed.run(tmp_path / "app.pyz").stdout == "true\n"


def test_inside_a_zip_file_inject_does_it(installed: Venv, bare: Venv, tmp_path: Path) -> None:
    shutil.copytree(installed.site_packages / "truststore_inject", tmp_path / "app" / "truststore_inject")
    (tmp_path / "app" / "__main__.py").write_text(f"import truststore_inject; truststore_inject.inject()\n{PATCHED}")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    result = bare.run(tmp_path / "app.pyz")
    assert (result.stdout, result.stderr) == ("true\n", "")


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy has no sub-interpreters")
def test_sub_interpreters_have_it(installed: Venv) -> None:
    code = """
import json
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
interpreter = interpreters.create()
interpreters.run_string(interpreter, CODE)
interpreters.destroy(interpreter)
"""
    # coverage has no tracer for a second interpreter
    assert installed.json(code.replace("CODE", repr(ARMED)), COVERAGE_PROCESS_CONFIG="") is True


def test_audit_events(installed: Venv) -> None:
    code = """
import json, sys
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith("truststore_inject.") else None)
import ssl, truststore_inject
truststore_inject.extract(); truststore_inject.inject(); truststore_inject.inject()
print(json.dumps(seen))
"""
    assert installed.json(code) == [f"truststore_inject.{event}" for event in ("patch", "extract", "inject", "patch")]


PACKAGE = Path(truststore_inject.__file__).parent


def imported_files(file: Path) -> set[Path]:
    """The files of the package that `file` imports when it runs; not what only a type checker reads."""
    found = set()
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            module = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = [place for name in node.names if (place := _source(module / name.name))]
            found |= {*names} or {_source(module)}
        waiting += ast.iter_child_nodes(node)
    return found


def _source(module: Path) -> Path | None:
    return next((file for file in (module.with_suffix(".py"), module / "__init__.py") if file.exists()), None)


def test_the_names_of_the_patches_are_those_of_their_files() -> None:
    """And those that applications are frozen with."""
    from truststore_inject import _hook, _startup

    files = [*(PACKAGE / "patches").glob("_[!_]*.py")]
    tree = ast.parse(Path(_hook.__file__).read_text(encoding="utf-8"))
    (import_all,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "import_all")
    imports = [node for node in ast.walk(import_all) if isinstance(node, ast.ImportFrom) and node.module == "patches"]
    assert sorted(name.name for node in imports for name in node.names) == sorted(file.stem for file in files)
    assert {f"_{name}" for name in _startup.PATCHES} == {file.stem for file in files}


def test_what_is_imported_by_a_string_is_seen_by_those_who_freeze() -> None:
    """Nuitka follows what runs: neither a string, nor what only a type checker reads."""
    reached: set[Path] = set()
    waiting = [PACKAGE / "__init__.py"]
    while waiting:
        file = waiting.pop()
        if file not in reached:
            reached.add(file)
            waiting += imported_files(file)
    for file in PACKAGE.rglob("*.py"):
        for name in re.findall(r"""\bown\("([\w.]+)"\)""", file.read_text(encoding="utf-8")):
            assert _source(PACKAGE.joinpath(*name.split("."))) in reached, name


def test_data_flows_one_way() -> None:
    """Start-up, hook, patch, store: nothing is imported from the left, and nothing imports the command line."""
    order = ("_startup", "_hook", "patches", "stores")
    for part in order:
        left = {*order[: order.index(part)], "cli", "_status"}
        for file in [*PACKAGE.glob(f"{part}.py"), *(PACKAGE / part).glob("*.py")]:
            imported = {other.relative_to(PACKAGE).parts[0].removesuffix(".py") for other in imported_files(file)}
            assert not imported & left, file


def test_no_two_files_import_each_other() -> None:
    """Nor do more of them, in a circle."""
    imports = {file: imported_files(file) for file in PACKAGE.rglob("*.py")}
    while leaves := {file for file, others in imports.items() if not others & imports.keys()}:
        imports = {file: others for file, others in imports.items() if file not in leaves}
    assert not imports


def test_the_source_is_not_on_the_path() -> None:
    """The suite tests what is installed, the built wheel under tox."""
    if os.environ.get("TOX_ENV_NAME"):
        assert HERE.parent not in PACKAGE.parents or "site-packages" in PACKAGE.parts


def test_the_environment_of_the_children_is_clean() -> None:
    assert not {"SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PYTHONDONTWRITEBYTECODE"} & environment().keys()
