"""``truststore-inject check`` without an argument: the proof."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="`check` needs it, and not every PyPy has it")

from commands import command, failure, report


@pytest.mark.long
def test_the_proof(env: dict[str, str]) -> None:
    result = command("check", env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Everything is as it should be." in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    rows = {row["client"]: row for row in report("check", env=env)["clients"]}
    assert {"urllib.request", "asyncio", "requests", "httpx", "aiohttp", "urllib3"} <= rows.keys()
    right = {"in store": "yes", "unknown": "no", "bad name": "no", "expired": "no", "pinned": "yes"}
    for row in rows.values():
        assert row["injected"] == right
    assert rows["requests"]["stock"] == {**right, "in store": "no"}


@pytest.mark.long
def test_the_proof_of_a_pip_that_its_distributor_has_changed(env: dict[str, str], tmp_path: Path) -> None:
    """Debian's names the system's bundle: that cannot be replaced by a throw-away one, and is not wrong."""
    import certifi

    shutil.copytree(Path(certifi.__file__).parent, tmp_path / "certifi", ignore=shutil.ignore_patterns("__pycache__"))
    bundle = shutil.copyfile(certifi.where(), tmp_path / "ca-certificates.crt")
    (tmp_path / "certifi" / "core.py").write_text(f"def where(): return {str(bundle)!r}\ndef contents(): return ''\n")
    env = {**env, "PYTHONPATH": str(tmp_path)}
    rows = {row["client"]: row for row in report("check", env=env)["clients"]}
    assert (rows["requests"]["bundle"], rows["requests"]["wrong"]) == (str(bundle), {})
    assert rows["requests"]["injected"]["in store"] == "no"
    assert rows["requests"]["injected"]["pinned"] == "yes"
    assert rows["aiohttp"]["bundle"] is None
    assert f"requests trusts {bundle}" in " ".join(command("check", env=env).stdout.split())


@pytest.mark.long
def test_the_proof_fails_where_it_is_switched_off(env: dict[str, str]) -> None:
    result = command("check", env={**env, "TRUSTSTORE_INJECT": "0"})
    assert result.returncode == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    wrong = {line.partition(": should")[0] for line in lines if line.startswith("WRONG")}
    assert "WRONG: requests, in store" in wrong
    assert not [line for line in wrong if not line.endswith(", in store")]


def test_without_the_extra(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "trustme.py").write_text("raise ImportError")
    (tmp_path / "cryptography.py").write_text("raise ImportError")
    env = {**env, "PYTHONPATH": str(tmp_path)}
    assert "pip install 'truststore-inject[check]'" in failure("check", env=env, code=4)
    assert "pip install 'truststore-inject[check]'" in failure("check", "localhost:1", env=env, code=4)
