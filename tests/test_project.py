"""What the project's own files say about each other: versions, workflows, documents.  Nothing is built or fetched."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import harness
import pytest
from harness import HERE, Authorities, environment, run
from test_startup import PTH

from truststore_inject import __version__

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 and newer have it")
yaml = pytest.importorskip("yaml", reason="the packaging environment has it: tox -e packaging")

PROJECT = HERE.parent
WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))


def text(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def job(workflow: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text(f".github/workflows/{workflow}"))["jobs"][name]
    return found


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As the workflow's runner has it."""
    env = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=folder, env=env, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def versions() -> list[str]:
    """Those of the classifiers."""
    classifiers = tomllib.loads(text("pyproject.toml"))["project"]["classifiers"]
    found = [match[1] for line in classifiers if (match := re.search(r"Python :: (3\.\d+)$", line))]
    assert found[0] == "3.10"
    return found


def test_tox_knows_the_versions_of_the_classifiers(versions: list[str]) -> None:
    names = re.search(r"py\{([\d,]+)\}", text("tox.ini"))
    assert names is not None
    assert sorted(names[1].split(",")) == [version.replace(".", "") for version in versions]
    lowest = tomllib.loads(text("pyproject.toml"))["project"]["requires-python"]
    assert lowest == f">={versions[0]}"


def test_the_workflow_reads_the_versions_from_the_classifiers(versions: list[str], tmp_path: Path) -> None:
    (step,) = (step for step in job("test.yml", "build")["steps"] if step.get("id") == "pythons")
    result = shell(step["run"], PROJECT, GITHUB_OUTPUT=str(tmp_path / "output"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "output").read_text() == "list=" + str(versions).replace("'", '"') + "\n"
    for name in ("linux", "native"):
        assert job("test.yml", name)["strategy"]["matrix"]["python"] == "${{ fromJson(needs.build.outputs.pythons) }}"


FILES = (
    "truststore_inject-{}.tar.gz",
    "truststore_inject-{}-py310-none-any.whl",
    "truststore_inject-{}-py318-none-any.whl",
)


@pytest.mark.parametrize(
    ("version", "tag", "extra", "code"),
    [("1.2.3", "v1.2.3", [], 0), ("1.2.3", "v1.2.4", [], 1), ("1.2.3", "v1.2.3", ["another.whl"], 1)],
)
def test_only_the_files_of_the_tag_are_released(
    version: str, tag: str, extra: list[str], code: int, tmp_path: Path
) -> None:
    (step,) = (step for step in job("release.yml", "publish")["steps"] if step.get("id") == "files")
    (tmp_path / "dist").mkdir()
    for name in [*(name.format(version) for name in FILES), *extra]:
        (tmp_path / "dist" / name).touch()
    assert shell(step["run"], tmp_path, GITHUB_REF_NAME=tag).returncode == code


def test_what_is_released_is_what_was_tested() -> None:
    """The jobs that test and the job that publishes take the artifact of the one job that builds."""
    for name in ("linux", "native"):
        steps = job("test.yml", name)["steps"]
        assert not any("checkout" in step.get("uses", "") for step in steps)
        assert any("--installpkg dist/" in step.get("run", "") for step in steps)
    publish = job("release.yml", "publish")
    assert publish["needs"] == "test"
    assert not any("checkout" in step.get("uses", "") for step in publish["steps"])
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_permissions_are_least(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {}
    for line in re.findall(r"uses: (\S.*)", workflow.read_text(encoding="utf-8")):
        assert re.fullmatch(
            r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.github/workflows/test\.yml # zizmor.*", line
        ), line


def test_the_newest_release_is_in_the_changelog_with_its_date() -> None:
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_the_reviewers_page_has_the_line_that_runs_and_its_digest() -> None:
    page = text("docs/security-review.md")
    assert PTH.strip() in page
    assert hashlib.sha256(PTH.encode()).hexdigest() in page
    start = (PROJECT / "truststore-inject.start").read_bytes()
    assert hashlib.sha256(start).hexdigest() in page


# The blocks of the pages about deployment that follow a line ``<!-- run: NAME -->``.
PAGES = "".join(text(f"docs/deploy/{name}.md") for name in ("ci", "tools"))
SNIPPETS = dict(re.findall(r"^<!-- run: (\S+) -->\n```\w+\n(.*?)^```$", PAGES, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("service", ["github-workflows", "gitlab-ci"])
def test_the_services_schemas_take_the_snippets(service: str, tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="the packaging environment has it: tox -e packaging")
    file = tmp_path / "snippet.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{service}", file]
    file.write_text(SNIPPETS[{"github-workflows": "github-actions"}.get(service, service)])
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    file.write_text(file.read_text().replace("jobs:", "job:").replace("script:", "scripts:"))
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_the_other_snippets_can_be_read() -> None:
    assert len(SNIPPETS) == PAGES.count("<!-- run: ") == 6
    assert yaml.safe_load(SNIPPETS["kubernetes-bundle"])["kind"] == "Bundle"
    assert yaml.safe_load(SNIPPETS["kubernetes-pod"])["kind"] == "Pod"
    assert json.loads(SNIPPETS["devcontainer"])["remoteEnv"]
    assert json.loads(SNIPPETS["mcp"])["mcpServers"]


def blocks(page: str) -> list[str]:
    """Its blocks of Python."""
    return re.findall(r"^```python[^\n]*\n(.*?)^```$", text(page), re.DOTALL | re.MULTILINE)


def test_the_case_in_contributing(authorities: Authorities, urls: dict[str, str], tmp_path: Path) -> None:
    (code,) = blocks("CONTRIBUTING.md")
    names: dict[str, Any] = {**vars(harness)}
    exec(code, names)
    names["test_a_store_of_this_kind"](authorities, urls, tmp_path)


def test_the_patch_file_in_the_page_about_libraries(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    names: dict[str, Any] = {"__package__": "truststore_inject.patches"}
    exec(blocks("docs/contribute/library.md")[0], names)
    module: Any = ModuleType("examplehttp")
    assert names["patch"](module) == "it has no get"

    def get(**options: str) -> dict[str, str]:
        return options

    module.get = get
    assert names["patch"](module) is None
    assert names["patch"](module) is None
    assert Path(module.get()["ca_file"]).read_bytes().count(b"BEGIN CERTIFICATE") == 1
    assert module.get(ca_file="own.pem") == {"ca_file": "own.pem"}
    names["unpatch"](module)
    assert module.get is get


def test_the_reference_has_each_key_of_statuss_json(store: Path) -> None:
    result = run("-m", "truststore_inject", "status", "--json", env=environment(SSL_CERT_DIR=store))
    found = json.loads(result.stdout)
    page = text("docs/reference.md")
    assert {key for key in [*found, *found["store"], *found["python"]] if f"`{key}`" not in page} == set()


# What people meet; the rest is about revocation lists, DANE and proxy certificates.
MET = (
    2,
    7,
    9,
    10,
    18,
    19,
    20,
    21,
    23,
    25,
    26,
    28,
    37,
    47,
    48,
    62,
    64,
    66,
    67,
    68,
    79,
    81,
    85,
    86,
    87,
    89,
    90,
    91,
    92,
    93,
)


@pytest.mark.parametrize("code", MET)
def test_troubleshooting_has_the_words_of_openssl(code: int) -> None:
    import _ssl

    try:
        words = ctypes.CDLL(_ssl.__file__).X509_verify_cert_error_string
    except AttributeError:
        pytest.skip("this Python's OpenSSL is linked into it")
    words.restype = ctypes.c_char_p
    page = " ".join(text("docs/troubleshooting.md").split()).lower()
    assert words(code).decode().lower().partition(" (")[0] in page
    assert f"({code}" in page or f" {code})" in page


def anchors(name: str) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text(name), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [path.name for path in sorted(PROJECT.glob("*.md"))])
def test_links_of_the_pages_beside_the_code(page: str) -> None:
    """Those of docs/ are checked by ``tox -e docs``."""
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text(page)):
        name, _, anchor = target.partition("#")
        assert (PROJECT / (name or page)).exists(), target
        assert not anchor or anchor in anchors(name or page), target


def test_the_tests_that_are_named_are_there() -> None:
    pages = [
        "tox.ini",
        *(str(path.relative_to(PROJECT)) for path in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]),
    ]
    named = {
        (page, name) for page in pages for name in re.findall(r"(?<![\w/])tests/[\w/]+\.(?:py|sh|txt)", text(page))
    }
    assert len(named) > 20
    assert {(page, name) for page, name in named if not (PROJECT / name).exists()} == set()


def test_one_address_for_the_project() -> None:
    urls = tomllib.loads(text("pyproject.toml"))["project"]["urls"]
    source, documentation = urls["Source"], urls["Documentation"].split("/en/")[0].rstrip("/")
    assert yaml.safe_load(re.sub(r"!!python\S+", "", text("mkdocs.yml")))["repo_url"] == source
    config = yaml.safe_load(text(".github/ISSUE_TEMPLATE/config.yml"))
    for link in config["contact_links"]:
        assert link["url"].startswith((source + "/", documentation + "/")), link


def test_what_pre_commit_runs_is_what_tox_runs() -> None:
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    commands = text("tox.ini")
    for hook in hooks:
        assert hook["entry"].replace(" --force-exclude", "").replace(" --fix", "") in commands, hook["id"]
