"""``truststore-inject status``."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Authorities, Venv, openssl_store, run

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from commands import command, report

from truststore_inject import _status
from truststore_inject.cli import _sitecustomize, status


@openssl_store
def test_status(env: dict[str, str], store: Path) -> None:
    found = report("status", env=env)
    assert found["active"]
    assert found["store"]["directories"] == [str(store)]
    assert found["store"]["anchors"] == 1
    changed = datetime.datetime.fromisoformat(found["store"]["changed"])
    assert abs(changed.timestamp() - store.stat().st_mtime) < 60
    assert found["patches"]["ssl"]["state"] == "applied"
    assert found["reason"].startswith("armed by ")
    text = command("status", env=env).stdout
    assert "active" in text
    assert str(store) in text
    assert "\033" not in text


@pytest.mark.parametrize(
    ("options", "variables", "reason"),
    [
        ([], {"TRUSTSTORE_INJECT": "off"}, "switched off by TRUSTSTORE_INJECT=off"),
        (["-S"], {}, "python -S"),
    ],
)
def test_status_says_why_not(options: list[str], variables: dict[str, str], reason: str, env: dict[str, str]) -> None:
    import truststore_inject

    path = str(Path(truststore_inject.__file__).parents[1])
    result = run(*options, "-m", "truststore_inject", "status", env={**env, "PYTHONPATH": path, **variables})
    assert result.returncode == 1
    assert "NOT active" in result.stdout
    assert reason in result.stdout.replace("\n", " ")


def test_status_from_another_site(env: dict[str, str], tmp_path: Path) -> None:
    """A folder on PYTHONPATH (``pip install --target``) is no site directory: its .pth file is not run."""
    import truststore_inject

    shutil.copytree(Path(truststore_inject.__file__).parent, tmp_path / "site" / "truststore_inject")
    (tmp_path / "site" / "truststore-inject.pth").write_text("")
    python = Venv(tmp_path / "venv", with_package=False).python
    env = {**env, "PYTHONPATH": str(tmp_path / "site")}
    result = command("status", "--json", env=env, python=python, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert f"it is installed in {tmp_path / 'site'}, another site" in json.loads(result.stdout)["reason"]


def test_status_without_a_pth_file(env: dict[str, str], tmp_path: Path) -> None:
    venv = Venv(tmp_path / "venv")
    (venv.site_packages / "truststore-inject.pth").unlink()
    result = run("-m", "truststore_inject", "--json", env=env, python=venv.python)
    assert result.returncode == 1, result.stderr
    reason = json.loads(result.stdout)["reason"]
    first = f"{venv.python.parents[1]}, " if sys.platform == "win32" else ""  # there site looks in two places
    assert reason.startswith(f"there is no truststore-inject.pth in {first}{venv.site_packages}")
    assert "pip install truststore-inject" in reason


def test_status_tells_what_else_decides(env: dict[str, str], tmp_path: Path, ca_file: Callable[[str], Path]) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\ncert = /somewhere/ca.pem\n")
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "AWS_CA_BUNDLE")
    variables = {**dict.fromkeys(names, str(ca_file("private"))), "PIP_CONFIG_FILE": str(config)}
    found = {entry["name"]: entry for entry in report("status", env={**env, **variables})["influences"]}
    for name in names:
        assert found[name]["value"] == str(ca_file("private"))
        assert found[name]["effect"]
        assert found[name]["fix"]
    assert found[f"global.cert in {config}"]["value"] == "/somewhere/ca.pem"


def test_status_names_the_cas_that_were_added_to_certifi(
    env: dict[str, str], authorities: Authorities, tmp_path: Path
) -> None:
    import certifi

    folder = tmp_path / "site"
    package = Path(certifi.__file__).parent
    shutil.copytree(package, folder / "certifi", ignore=shutil.ignore_patterns("__pycache__"))
    (info,) = package.parent.glob("certifi-*.dist-info")
    shutil.copytree(info, folder / info.name)
    before = [e["name"] for e in report("status", env={**env, "PYTHONPATH": str(folder)})["influences"]]
    assert "changed certifi" not in before
    with open(folder / "certifi" / "cacert.pem", "ab") as bundle:
        bundle.write(authorities.private.cert_pem.bytes())
    found = {e["name"]: e for e in report("status", env={**env, "PYTHONPATH": str(folder)})["influences"]}
    assert "O=private of the tests" in found["changed certifi"]["effect"]
    assert found["changed certifi"]["effect"].count("O=") == 1


def test_status_names_other_injectors(env: dict[str, str], tmp_path: Path) -> None:
    """Each with its effect and what to do; by what pip knows of them, as their modules may be armed or not."""
    names = ("pip-system-certs", "auto-truststore", "certifi-linux", "python-certifi-win32")
    assert not {entry["name"] for entry in report("status", env=env)["influences"]}.intersection(names)
    for name in names:
        info = tmp_path / f"{name.replace('-', '_')}-5.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 5.3\n")
    found = {e["name"]: e for e in report("status", env={**env, "PYTHONPATH": str(tmp_path)})["influences"]}
    for name in names:
        assert found[name]["value"] == "5.3"
        assert found[name]["effect"]
        assert found[name]["fix"].startswith(f"pip uninstall {name}")


def test_why_it_is_active_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ("/base/sitecustomize.py", "/base/folder")
    here = str(Path(status.__file__).parents[2])

    def reason(active: bool, **facts: Any) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", facts.get("environ", {}))
            patch.setattr(_sitecustomize, "covering", lambda: facts.get("base"))
            patch.setattr(_sitecustomize, "hidden_by", lambda: facts.get("hidden"))
            patch.setattr(status, "_start_files", facts.get("files", lambda places=None: ["/armed.pth"]))
            patch.setattr(status, "_site_directories", lambda: facts.get("site", [here]))
            patch.setattr(sys, "prefix", facts.get("prefix", sys.base_prefix))
            return status._reason(_status.Status(**{**vars(_status.status()), "active": active}))

    def nothing(_: object = None) -> list[str]:
        return []

    assert reason(True) == "armed by /armed.pth"
    assert reason(True, files=nothing) == "armed by a call to truststore_inject.inject()"
    assert reason(True, prefix="/venv").endswith("is not covered")
    assert reason(True, base=base).startswith("armed by /armed.pth; /base/sitecustomize.py covers the base Python in ")
    assert reason(True, base=(base[0], here)).startswith("armed by /base/sitecustomize.py, in every environment")
    assert reason(False, base=base, hidden="/x.py") == (
        "/base/sitecustomize.py would arm it, but /x.py runs in its place (PYTHONPATH)"
    )
    assert reason(False, files=nothing).startswith(f"there is no truststore-inject.pth in {here}: ")
    elsewhere = reason(False, files=lambda places=None: places or [], site=["/site"])
    assert elsewhere == f"it is installed in {here}, another site; this interpreter runs the .pth files in /site"
    assert reason(False).startswith("its .pth file did not run to the end")
    assert reason(False, environ={"TRUSTSTORE_INJECT": "off"}) == "switched off by TRUSTSTORE_INJECT=off"


def test_status_of_a_machine_without_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [{"path": "/x", "reason": "empty"}]
    empty = {"source": None, "directories": [], "bundles": [], "anchors": None, "changed": None, "left_out": left_out}
    python = {"version": "3", "executable": "python"}
    patches = {
        "ssl": {"state": "applied", "reason": ""},
        "x": {"state": "waiting", "reason": "not installed"},
        "y": {"state": "waiting", "reason": ""},
    }
    report = {
        "version": "1",
        "active": False,
        "reason": "",
        "python": python,
        "store": empty,
        "patches": patches,
        "clients": {"asyncio": "", "psycopg2": "2"},
        "settings": {"TRUSTSTORE_INJECT_DEBUG": "1"},
        "notes": ["a note"],
        "warnings": [{"name": "n", "value": "v", "effect": "It hurts.", "fix": "Mend it."}],
        "influences": [],
    }
    status._show(report)
    status._show({**report, "store": {**empty, "source": "Windows"}, "active": True})
    without, native = capsys.readouterr().out.split("truststore-inject 1: active")
    assert "none usable" in without
    assert "TRUSTSTORE_INJECT_DEBUG=1" in without
    assert "notes     a note" in without
    assert "left out /x: empty" in without
    assert "Warnings:\n  n, v\n    It hurts. Mend it.\n" in without
    assert without.index("Warnings:") < without.index("patches   ssl: applied\n          not installed: x\n")
    assert "clients   asyncio, psycopg2 2" in without
    assert "the trust anchors in Windows" in native
    assert status._changed({"directories": ["/nonexistent"], "bundles": []}) is None
    for active, words in (
        (True, "patched when it is imported"),
        (False, "not patched: the injection is not active"),
    ):
        assert status._patch("json", {"state": "waiting", "reason": ""}, active)["reason"] == words
