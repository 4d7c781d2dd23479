"""The commands of docs/deployment.md that can be run here, taken from it: what follows a line ``<!-- run: NAME -->``.

A Dockerfile is run on a copy-on-write view of this machine's own root file system (Debian's), thrown away afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_index
from harness import HERE, Authorities, environment, run
from test_deployment import BLOCKS, DOCUMENT

from truststore_inject import __version__

for module in ("ansible", "nbclient", "pre_commit", "uv"):
    pytest.importorskip(module, reason="the deployment environment has it: tox -e deployment")

index, packages, wheels = test_index.index, test_index.packages, test_index.wheels  # fixtures
pytestmark = test_index.pytestmark

TOOLS = Path(sys.executable).parent

# Debian's interpreter, as an image of Debian has it, gets wheels of the one that runs the tests.
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
OVERLAY = """
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for place in dev proc sys; do mount --rbind "/$place" "$1/root/$place"; done
exec chroot "$1/root" sh -exc "$2"
"""


def can_be_run() -> bool:
    if os.name == "nt" or not os.path.exists("/etc/debian_version") or not os.path.exists("/usr/bin/python3"):
        return False
    code = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    result = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True)
    script = ["unshare", "-m", "sh", "-ec", OVERLAY, "sh", "/mnt", "true"]
    return result.stdout.strip() == VERSION and not subprocess.run(script, capture_output=True).returncode


debian = pytest.mark.skipif(
    not can_be_run(), reason=f"needs Debian, its Python {VERSION} with venv, and an overlay in a mount namespace (root)"
)


class Image:
    """`run` starts from the machine as it is, with corp.crt and what the Dockerfile copies in `context`."""

    def __init__(self, context: Path, index: str, authorities: Authorities) -> None:
        self.context, self.index = context, index
        (context / "root").mkdir()
        authorities.system.cert_pem.write_to_path(context / "corp.crt")
        # The block debian-store without apt-get, whose every run takes a while.
        self.store = f"cp {context}/corp.crt /usr/local/share/ca-certificates/\nupdate-ca-certificates\n"

    def run(self, script: str, code: int = 0) -> str:
        # This machine's own pip.conf is not in an image.
        variables = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index, "PIP_RETRIES": "0"}
        env = environment(UV_INDEX_URL=self.index, HOME="/root", **variables)
        del env["SSL_CERT_FILE"]
        env["PATH"] = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"  # as in Debian's image, whose python3 is Debian's
        command = ["unshare", "-m", "sh", "-ec", OVERLAY, "sh", self.context / "root", script]
        result = subprocess.run(command, cwd=self.context, env=env, capture_output=True, text=True)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def dockerfile(self, *names: str) -> str:
        """A script that does what the blocks say."""
        lines = []
        for line in "".join(BLOCKS[name] for name in names).replace("\\\n", " ").splitlines():
            word, _, rest = line.partition(" ")
            if word == "COPY":
                source, target = rest.split()
                lines.append(f"cp {self.context / source} {target}")
            elif word == "ENV":
                lines.append(f"export {rest}")
            elif word == "RUN":
                lines.append(f"sh -c {shlex.quote(rest)}")
            else:
                assert word in ("", "#"), line
        return "\n".join(lines) + "\n"


@pytest.fixture
def image(tmp_path: Path, index: str, authorities: Authorities) -> Image:
    return Image(tmp_path, index, authorities)


def patched(python: str, wanted: bool = True) -> str:
    """A line of shell that fails if it is not as `wanted`."""
    return f"{python} -c 'import ssl, sys; sys.exit((\"load_verify_locations\" in vars(ssl.SSLContext)) is not {wanted})'\n"


@debian
def test_an_image_of_debian_is_made_verified_and_rolled_back(image: Image) -> None:
    (image.context / "constraints.txt").write_text(f"truststore-inject=={__version__}\n")
    script = image.dockerfile("debian-store", "debian-app") + patched("/opt/app/bin/python") + BLOCKS["verify"]
    assert "Everything is as it should be." in image.run(
        script + BLOCKS["roll-back"] + patched("/opt/app/bin/python", wanted=False)
    )


@debian
def test_the_constraint_holds(image: Image) -> None:
    (image.context / "constraints.txt").write_text("truststore-inject==0.0.1\n")
    assert "truststore-inject==0.0.1" in image.run("update-ca-certificates\n" + image.dockerfile("debian-app"), code=1)


@debian
def test_the_base_of_an_image(image: Image) -> None:
    """Debian's sitecustomize is a link into /etc."""
    file = f"/usr/lib/python{VERSION}/sitecustomize.py"
    script = f"cp {file} /root/before\n" + image.store + image.dockerfile("base")
    script += "python3 -m venv --without-pip /opt/new\n" + patched("/opt/new/bin/python") + patched("python3")
    script += patched("/opt/new/bin/python -I") + patched("TRUSTSTORE_INJECT=0 /opt/new/bin/python", wanted=False)
    script += BLOCKS["base-verify"] + BLOCKS["base-roll-back"]
    image.run(script + f"cmp {file} /root/before\n" + patched("/opt/new/bin/python", wanted=False))


@debian
def test_uv_with_the_systems_store(image: Image) -> None:
    """uv finds a Python of its own choice."""
    script = image.dockerfile("uv") + patched("/opt/uv/bin/python")
    before = (
        f"ln -s {TOOLS / 'uv'} /usr/local/sbin/uv\nexport UV_PYTHON=/usr/bin/python3 UV_NO_CONFIG=1\n" + image.store
    )
    image.run(before + script)
    assert "UnknownIssuer" in image.run(before + script.replace("--system-certs", ""), code=2)


@debian
def test_ansible(image: Image) -> None:
    (image.context / "playbook.yml").write_text(BLOCKS["ansible"])
    play = f"{TOOLS / 'ansible-playbook'} -i localhost, -c local {image.context / 'playbook.yml'}\n"
    once = image.run(play + patched("/opt/app/bin/python") + play)
    assert re.findall(r"changed=(\d)", once) == ["3", "0"]


def test_a_kernel_of_jupyter(urls: dict[str, str], store: Path, tmp_path: Path) -> None:
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "id": "a"}
    cell["source"] = f"import requests\nassert requests.get({urls['system']!r}).text == 'ok'"
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "notebook.ipynb").write_text(json.dumps(notebook))
    env = environment(SSL_CERT_DIR=store, HOME=tmp_path, IPYTHONDIR=tmp_path)
    command = [TOOLS / "jupyter-execute", tmp_path / "notebook.ipynb"]
    result = run(*command, env=env)
    assert result.returncode == 0, result.stderr
    result = run(*command, env={**env, "TRUSTSTORE_INJECT": "0"})
    assert result.returncode
    assert "CERTIFICATE_VERIFY_FAILED" in result.stderr


def test_a_hook_of_pre_commit(urls: dict[str, str], store: Path, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / ".pre-commit-config.yaml").write_text(BLOCKS["pre-commit"])
    (tmp_path / "links.py").write_text(f"import requests\nassert requests.get({urls['system']!r}).text == 'ok'")
    for command in (["git", "init", "-q"], ["git", "add", "."]):
        subprocess.run(command, cwd=tmp_path, check=True)
    found = f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}"  # the rest comes from the index of the shell
    command = [sys.executable, "-m", "pre_commit"]
    result = subprocess.run(
        [*command, "install-hooks"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PIP_FIND_LINKS": found},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    env = environment(SSL_CERT_DIR=store, HOME=tmp_path)
    result = run(*command[1:], "run", "--all-files", env=env, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    result = run(*command[1:], "run", "--all-files", env={**env, "TRUSTSTORE_INJECT": "0"}, cwd=tmp_path)
    assert result.returncode
    assert "CERTIFICATE_VERIFY_FAILED" in result.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    """It is parsed alone: no systemd runs here."""
    unit = tmp_path / "application.service"
    unit.write_text(BLOCKS["systemd"] + "ExecStart=/bin/true\n")
    command = ["systemd-analyze", "verify", "--man=no", unit]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("Environment=", "Enviroment="))
    assert "Enviroment" in subprocess.run(command, capture_output=True, text=True).stderr


def test_every_block_that_is_marked_is_run() -> None:
    assert len(BLOCKS) == DOCUMENT.count("<!-- run: ")
    code = "".join((HERE / name).read_text() for name in ("test_recipes.py", "test_deployment.py"))
    assert {name for name in BLOCKS if f'"{name}"' not in code} == set()
