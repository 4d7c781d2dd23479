"""Each row of SECURITY.md: what somebody can do, and that the package adds nothing to it that is not written there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mutations
import pytest
from harness import OS_VERIFIES, Authorities, Venv, environment, run, run_code, verdicts, write_directory

from truststore_inject import _settings

# What somebody may leave lying about: the names that this package imports, at start or later.
PLANTED = ("truststore_inject", "patches", "stores", "_hook", "wrapt", "truststore", "certifi", "sitecustomize")
USE = """
import json, ssl, sys, truststore_inject
ssl.create_default_context()
truststore_inject.status()
print(json.dumps(sorted(name for name in sys.modules if getattr(sys.modules[name], "PLANTED", False))))
"""
unix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such ids and modes")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """Do not change it."""
    return Venv(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    return Venv(tmp_path_factory.mktemp("bare"), with_package=False)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with a module of each name, and with a ``truststore-inject.pth`` that is not the installed one."""
    for name in PLANTED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("PLANTED = True\n")
    (tmp_path / "truststore-inject.pth").write_text(
        "import sys; sys.modules['pth'] = type('pth', (), {'PLANTED': True})\n"
    )
    return tmp_path


# ------------------------------------------------------------------ the current directory, PYTHONPATH, site-packages


@pytest.mark.parametrize("options", [[], ["-I"], *([["-P"]] if sys.version_info >= (3, 11) else [])])
def test_nothing_is_looked_for_in_the_current_directory(installed: Venv, planted: Path, options: list[str]) -> None:
    """Even with ``-c``, for which Python itself looks there: truststore is found as an import of the program's is."""
    result = run(*options, "-c", USE, env=environment(), python=installed.python, cwd=planted)
    found = ["truststore"] if OS_VERIFIES and not options else []
    assert (json.loads(result.stdout), result.stderr) == (found, "")


def test_a_pth_file_that_is_read_would_be_seen(installed: Venv, planted: Path) -> None:
    """In the place where one is read."""
    code = USE.replace("import json", f"import site; site.addsitedir({str(planted)!r}); import json")
    assert "pth" in installed.json(code, "-I")


def test_nothing_is_looked_for_there_by_a_script_of_another_folder(
    installed: Venv, planted: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("program") / "program.py"
    script.write_text(USE)
    result = run(script, env=environment(), python=installed.python, cwd=planted)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_python_path_decides_what_is_imported_as_it_does_without_the_package(
    installed: Venv, bare: Venv, planted: Path
) -> None:
    look = USE.replace(", truststore_inject", "").replace("truststore_inject.status()", "")
    assert bare.json(look, PYTHONPATH=str(planted)) == ["sitecustomize"]
    assert set(installed.json(look, PYTHONPATH=str(planted))) == {"sitecustomize", "truststore_inject"}
    for python in bare, installed:
        assert python.json(look, "-I", PYTHONPATH=str(planted)) == []


def test_site_packages_run_code_as_they_do_without_the_package(tmp_path: Path) -> None:
    for with_package in (False, True):
        venv = Venv(tmp_path / str(with_package), with_package=with_package)
        (venv.site_packages / "aaa.pth").write_text("import sys; sys.modules['ran'] = 1\n")
        assert venv.json("import sys; print(sys.modules.get('ran', 0))", "-I") == 1


# --------------------------------------------------------------------------------------------- environment variables


root = pytest.mark.skipif(
    not hasattr(os, "setresuid") or os.geteuid() != 0, reason="needs root, and setresuid, which macOS has not"
)
JUDGE = """
import json, os, ssl, sys, urllib.request
if sys.argv[1] == "more rights":
    os.setresuid(65534, 0, 0)  # what a set-user-id program has
elif sys.argv[1] == "more rights of a group":
    os.setresgid(65534, 0, 0)
elif sys.argv[1] == "ids made equal":
    os.setresuid(0, 0, 0)
try:
    verdict = urllib.request.urlopen(sys.argv[2], timeout=60).read().decode()
except OSError as error:
    verdict = getattr(error, "reason", error).__class__.__name__
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
context.load_default_certs()
active = "load_verify_locations" in vars(ssl.SSLContext)
print(json.dumps([verdict, bool(context.verify_flags & ssl.VERIFY_X509_STRICT), active]))
"""


@pytest.mark.parametrize(
    ("variable", "stock", "here"),
    [
        # With a library's own bundle, which has neither of the CAs.
        ("SSL_CERT_FILE", [], ["private"]),
        ("SSL_CERT_DIR", [], ["private"]),
        ("REQUESTS_CA_BUNDLE", ["private"], ["private"]),
        ("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", [], ["system", "private"]),
    ],
)
def test_a_variable_names_whom_to_trust(
    variable: str,
    stock: list[str],
    here: list[str],
    authorities: Authorities,
    urls: dict[str, str],
    store: Path,
    ca_file: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    directory = write_directory(tmp_path / "private", [authorities.private])
    env = environment(SSL_CERT_DIR=store) if "SSL" not in variable else environment(SSL_CERT_DIR="/nonexistent")
    env[variable] = str(directory if variable == "SSL_CERT_DIR" else ca_file("private"))
    asked = {case: urls[case] for case in ("system", "private", "unknown")}
    for switch, accepted in (("0", stock), ("1", here)):
        said = verdicts("requests_get", asked, env={**env, "TRUSTSTORE_INJECT": switch})
        assert [case for case in asked if said[case] == "accepted"] == accepted, switch


def test_two_variables_take_something_away(urls: dict[str, str], store: Path) -> None:
    """Strict checks, or all that this package does."""
    env = environment(SSL_CERT_DIR=store)
    assert run_code(JUDGE, "", urls["system"], env=env) == ["ok", True, True]
    env["TRUSTSTORE_INJECT_X509_STRICT"] = "0"
    assert run_code(JUDGE, "", urls["system"], env=env) == ["ok", False, True]
    assert run_code(JUDGE, "", urls["system"], env={**env, "TRUSTSTORE_INJECT": "0"})[1:] == [True, False]


@pytest.fixture
def widening(
    authorities: Authorities, ca_file: Callable[[str], Path], store: Path, tmp_path: Path
) -> list[dict[str, str]]:
    """The environments that let a process trust `private`, and do without strict checks."""
    variables: list[dict[str, str | os.PathLike[str]]] = [
        {"TRUSTSTORE_INJECT_EXTRA_CA_CERTS": ca_file("private"), "SSL_CERT_DIR": store},
        {"SSL_CERT_FILE": ca_file("private")},
        {"SSL_CERT_DIR": write_directory(tmp_path / "private", [authorities.private])},
    ]
    return [environment(**given, TRUSTSTORE_INJECT_X509_STRICT="0") for given in variables]


@unix
@root
def test_the_caller_of_a_process_with_more_rights_does_not_widen_what_it_trusts(
    urls: dict[str, str], widening: list[dict[str, str]]
) -> None:
    """OpenSSL goes by AT_SECURE alone, which a process that changes its ids by itself has not: so do its own variables."""
    for env in widening:
        assert run_code(JUDGE, "", urls["private"], env=env) == ["ok", False, True], env
        for rights in ("more rights", "more rights of a group"):
            stock, *_ = run_code(JUDGE, rights, urls["private"], env={**env, "TRUSTSTORE_INJECT": "0"})
            assert run_code(JUDGE, rights, urls["private"], env=env) == [stock, True, True], (env, rights)
            assert stock == ("ok" if "TRUSTSTORE_INJECT_EXTRA_CA_CERTS" not in env else "SSLCertVerificationError")


@unix
def test_rights_that_nobody_can_tell_are_more_rights(
    monkeypatch: pytest.MonkeyPatch, ca_file: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("TRUSTSTORE_INJECT_EXTRA_CA_CERTS", str(ca_file("private")))
    monkeypatch.setenv("TRUSTSTORE_INJECT_X509_STRICT", "0")
    for known, widened in ((False, True), (None, False), (True, False)):
        monkeypatch.setattr(_settings, "_more_rights", [known])
        assert (_settings.extra_ca_certs() is not None, not _settings.x509_strict()) == (widened, widened)


@pytest.fixture(scope="module")
def for_everybody() -> Iterator[Venv]:
    """An environment in a folder that everybody may enter, with an executable of its own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        venv = Venv(Path(name) / "venv")
        executable = os.path.realpath(venv.python)
        venv.python.unlink()
        shutil.copy(executable, venv.python)
        yield venv


@unix
@root
@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy finds its library beside the link that it is")
@pytest.mark.parametrize("how", ["set-user-id", "set-group-id", "file capabilities", "ids made equal"])
def test_a_program_that_the_kernel_gives_more_rights(
    how: str, for_everybody: Venv, urls: dict[str, str], widening: list[dict[str, str]]
) -> None:
    """Stock OpenSSL goes by what the kernel says (AT_SECURE), not by the ids; so the verdicts are those of stock."""
    python = for_everybody.python
    if shutil.which("setpriv") is None or os.statvfs(python).f_flag & os.ST_NOSUID:
        pytest.skip("needs setpriv, and a temporary folder without nosuid")
    caller = ["--reuid=65534", "--regid=65534", "--clear-groups", python]
    python.chmod(0o755)  # which takes the capabilities away as well
    if how == "set-group-id":
        python.chmod(0o2755)
        caller.pop(0)  # the user stays one who can read the certificates of the tests
    elif how != "file capabilities":
        python.chmod(0o4755)
    elif shutil.which("setcap") is None:
        pytest.skip("needs setcap")
    else:  # what it takes to read the certificates of the tests
        subprocess.run(["setcap", "cap_dac_read_search+ep", python], check=True)
    for env in widening:
        for switch, active in (("1", True), ("0", False)):
            env |= {"TRUSTSTORE_INJECT": switch, "COVERAGE_PROCESS_CONFIG": ""}
            result = run(*caller, "-c", JUDGE, how, urls["private"], env=env, python="setpriv")
            assert result.stderr == ""
            assert json.loads(result.stdout) == ["SSLCertVerificationError", True, active], env


def test_isolated_mode_ignores_python_s_variables_only(urls: dict[str, str], ca_file: Callable[[str], Path]) -> None:
    code = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
    env = environment(SSL_CERT_FILE=ca_file("private"))
    assert run("-I", "-c", code, urls["private"], env=env).stdout == "ok\n"


ODD = {
    "very long": "x" * (20_000 if sys.platform == "win32" else 100_000),  # Windows has room for 32,767 characters
    "lines": "a\nb\r\nc",
    "not UTF-8": b"\xff\xfe/\x80.pem".decode(errors="surrogateescape"),  # on Windows: no UTF-16
    "a terminal's commands": "\x1b]0;title\x07\x1b[2J",
    "a folder": os.path.dirname(os.path.abspath(__file__)),
    "a device": os.devnull,
    "percent and braces": "%s%n{0}{0.__class__}",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_value_that_makes_no_sense_harms_nobody(installed: Venv, store: Path, value: str) -> None:
    """And what status prints of it can be printed."""
    code = """
import json, ssl, truststore_inject
context = ssl.create_default_context()
status = truststore_inject.status()
print(status)
print(json.dumps([int(context.verify_mode), context.check_hostname, *status.notes]))
"""
    names = ("TRUSTSTORE_INJECT", "TRUSTSTORE_INJECT_DEBUG", "TRUSTSTORE_INJECT_EXTRA_CA_CERTS")
    for name in (*names, "TRUSTSTORE_INJECT_X509_STRICT", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        env = {**environment(SSL_CERT_DIR=store, PYTHONIOENCODING="utf-8:strict"), name: value}
        result = run("-c", code, env=env, python=installed.python, encoding="utf-8")
        assert (result.returncode, result.stderr) == (0, ""), (name, result.stderr)
        *shown, last = result.stdout.splitlines()
        assert json.loads(last)[:2] == [2, True], name
        assert all(line.isprintable() for line in shown), name
    told = run("-c", code, env={**env, "TRUSTSTORE_INJECT_DEBUG": "1"}, python=installed.python).stderr
    assert all(line.startswith("truststore-inject: ") and line.isprintable() for line in told.splitlines()), told


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_value_that_makes_no_sense_leaves_the_store_alone(value: str, urls: dict[str, str], store: Path) -> None:
    asked = {case: urls[case] for case in ("system", "private")}
    for name in ("TRUSTSTORE_INJECT", "TRUSTSTORE_INJECT_EXTRA_CA_CERTS", "TRUSTSTORE_INJECT_X509_STRICT"):
        env = {**environment(SSL_CERT_DIR=store), name: value}
        assert verdicts("urllib_request", asked, env=env) == {"system": "accepted", "private": "refused"}, name
        lines = run("-m", "truststore_inject", "status", env=env, encoding="utf-8").stdout.splitlines()
        assert any(name in line for line in lines), name
        assert all(line.isprintable() for line in lines), name


# ------------------------------------------------------------------------------------------------ the tests themselves


def test_each_change_of_the_mutation_run_can_be_made() -> None:
    """What it replaces stands in the package once: see mutations.py."""
    counts = {
        mutation.what: (mutations.PACKAGE / mutation.file).read_text(encoding="utf-8").count(mutation.old)
        for mutation in mutations.MUTATIONS
    }
    assert {what: count for what, count in counts.items() if count != 1} == {}
    assert all((mutations.TESTS / file).exists() for mutation in mutations.MUTATIONS for file in mutation.tests)


# ------------------------------------------------------------------------------------------------------- audit events


def test_an_audit_hook_sees_it_from_the_start_in_this_order(tmp_path: Path) -> None:
    venv = Venv(tmp_path / "venv")
    hook = "sys.addaudithook(lambda event, args: event[:11] == 'truststore_' and sys.seen.append([event[18:], *args]))"
    (venv.site_packages / "aaa.pth").write_text(
        f"import sys; hasattr(sys, 'seen') or (setattr(sys, 'seen', []), {hook})\n"
    )
    code = """
import json, sys
start = sys.seen[:]
import ssl, truststore_inject
truststore_inject.inject()
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PatchFinder"]
truststore_inject.extract()
truststore_inject.inject()
print(json.dumps([start, sys.seen[len(start):]]))
"""
    assert venv.json(code) == [[["inject"]], [["patch", "ssl"], ["extract"], ["inject"], ["patch", "ssl"]]]
    assert venv.json(code.replace("import ssl,", "import"), TRUSTSTORE_INJECT="0") == [[], [["extract"]]]


@pytest.mark.parametrize("event", ["inject", "patch"])
def test_an_audit_hook_may_forbid_it_and_stock_stays(tmp_path: Path, event: str) -> None:
    venv = Venv(tmp_path / "venv")
    (venv.site_packages / "forbid.py").write_text(
        f"import sys\ndef hook(event, args):\n    if event == 'truststore_inject.{event}': raise RuntimeError('no')\n"
        "sys.addaudithook(hook)\n"
    )
    (venv.site_packages / "aaa.pth").write_text("import forbid\n")
    code = "import ssl, json, truststore_inject as t; s = t.status()\n"
    code += "print(json.dumps(['load_default_certs' in vars(ssl.SSLContext) and ssl.SSLContext.load_default_certs.__code__.co_filename, str(s)]))"
    file, text = venv.json(code)
    assert str(file).endswith(("ssl.py", "False"))
    assert "RuntimeError: no" in text
