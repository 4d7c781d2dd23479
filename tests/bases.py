"""Throw-away base interpreters for ``truststore-inject base``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from harness import Venv, environment, make_base, run

FOLDER = "truststore-inject-0.0.1-0123456789ab"
BASE_FINDER = "sitecustomize.TruststoreInjectFinder"
LOOK = """
import json, sys
module = sys.modules.get("sitecustomize")
print(json.dumps(module and [module.__name__, module.__file__, module.__spec__.origin, module.ran, module.__spec__.cached]))
"""


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
