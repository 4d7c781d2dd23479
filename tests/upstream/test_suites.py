"""The tests that the libraries and CPython publish, with the package active and switched off: each ends alike.

``tox -e upstream``.  What is compared is the outcome of each test, so a test that fails in both, because this machine
lacks something, says nothing.  What cannot be run:

- websockets: its source package (17.4) has no tests.
- What needs the internet, or an address that never answers; and those of httpx that listen on a fixed port.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from harness import environment

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60", "--junit-xml")
REGRTEST = ("-m", "test", "--junit-xml")
RUNS = 3  # a test that is not sure of itself does not differ three times in the same way


@dataclass(frozen=True)
class Suite:
    """The part of `source` (a distribution, or CPython) that has to do with TLS and needs no network."""

    source: str
    arguments: str  # of pytest or of regrtest, with blanks between them
    passed: int  # at least so many pass without the package: a suite that collects nothing compares nothing
    choice: str = ""  # pytest's -k
    explained: dict[str, str] = field(default_factory=dict)  # the tests that end otherwise with the package, and why


CPYTHON_ASYNCIO = ["test_ssl"] * (sys.version_info >= (3, 11)) + ["test_sslproto", "test_streams"]
SUITES = [
    Suite("CPython", "test_ssl test_httplib test_urllib2_localnet", passed=270),
    Suite("CPython", "test_ftplib test_imaplib test_poplib", passed=200),
    Suite("CPython", " ".join(f"test_asyncio.{name}" for name in CPYTHON_ASYNCIO), passed=70),
    Suite(
        "urllib3",
        "test/test_ssl.py test/test_ssltransport.py test/with_dummyserver/test_https.py"
        " test/with_dummyserver/test_socketlevel.py test/contrib",
        passed=500,
        choice="not http2_probe_blocked",
    ),
    Suite(
        "requests",
        "tests/test_requests.py tests/test_adapters.py tests/test_utils.py",
        passed=25,
        choice="tls or ssl or https or cert or verify or bundle or pool",
    ),
    Suite(
        "aiohttp",
        "tests/test_client_fingerprint.py tests/test_connector.py tests/test_proxy.py tests/test_client_functional.py",
        passed=70,
        choice="ssl or tls or https or fingerprint or cert or proxy",
    ),
    Suite(
        "httpx", "-m not+network tests/test_config.py tests/client/test_proxies.py", passed=50, choice="not get_request"
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Suite], Path]:
    """Where a suite is run: its tests without the library itself, so that they import the installed one."""
    top = tmp_path_factory.mktemp("upstream")

    def make(suite: Suite) -> Path:
        target = top / suite.source
        if suite.source == "CPython":
            target.mkdir(exist_ok=True)
            assert importlib.util.find_spec("test.test_ssl"), "Debian's Python needs libpython3-testsuite"
            return target
        version = importlib.metadata.version(suite.source)
        # With the shell's environment, which pip needs to reach its index.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", suite.source]
        subprocess.run([*pip, "--dest", target, f"{suite.source}=={version}"], check=True)
        (sdist,) = target.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            for member in archive.getmembers():
                _, _, member.name = member.name.partition("/")
                if member.name.partition("/")[0] in ("test", "tests", "dummyserver", "pyproject.toml"):
                    archive.extract(member, target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        return target

    return make


def outcomes(suite: Suite, folder: Path, result: Path, env: dict[str, str]) -> dict[str, str]:
    """How each test of `suite` ended: ``passed``, ``failed`` or ``skipped``."""
    runner = REGRTEST if suite.source == "CPython" else PYTEST
    choice = ["-k", suite.choice] if suite.choice else []
    arguments = [argument.replace("+", " ") for argument in suite.arguments.split()]
    command = [sys.executable, *runner, os.fspath(result), *choice, *arguments]
    ended = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )
    assert result.exists(), ended.stdout
    found = {}
    for case in xml.etree.ElementTree.parse(result).iter("testcase"):
        marks = {mark.tag for mark in case}
        outcome = "failed" if marks & {"failure", "error"} else "skipped" if "skipped" in marks else "passed"
        found[f"{case.get('classname', '')}.{case.get('name')}".removeprefix(".")] = outcome
    return found


def differing(
    suite: Suite, folder: Path, tmp_path: Path, environments: Iterable[dict[str, str]]
) -> tuple[set[str], dict[str, str]]:
    """The tests of `suite` that do not end alike in the two environments, and how all end in the first."""
    with ThreadPoolExecutor() as pool:  # side by side: most of the time they sleep
        runs = [
            pool.submit(outcomes, suite, folder, tmp_path / f"{number}.xml", env)
            for number, env in enumerate(environments)
        ]
        stock, other = (run.result() for run in runs)
    return {name for name in stock.keys() | other.keys() if stock.get(name) != other.get(name)}, stock


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.source}: {suite.arguments.split()[0]}")
def test_each_test_ends_as_without_the_package(
    suite: Suite, folder: Callable[[Suite], Path], store: Path, tmp_path: Path
) -> None:
    place = folder(suite)
    off, on = (environment(SSL_CERT_DIR=store, HOME=tmp_path, TRUSTSTORE_INJECT=switch) for switch in "01")
    unexpected: set[str] | None = None
    for _ in range(RUNS):
        found, stock = differing(suite, place, tmp_path, (off, on))
        wrong = found ^ suite.explained.keys()
        unexpected = wrong if unexpected is None else unexpected & wrong
        if not unexpected:
            break
    passed = list(stock.values()).count("passed")
    print(f"{suite.source}: {len(stock)} tests, {passed} pass without the package; differ: {sorted(found)}")
    assert passed >= suite.passed, stock
    assert not unexpected


def test_an_injector_that_replaces_the_class_is_seen(
    folder: Callable[[Suite], Path], store: Path, tmp_path: Path
) -> None:
    """That the comparison can fail: with `truststore.inject_into_ssl`, tests of CPython do."""
    (tmp_path / "sitecustomize.py").write_text("import truststore\ntruststore.inject_into_ssl()\n")
    off = environment(SSL_CERT_DIR=store, HOME=tmp_path, TRUSTSTORE_INJECT="0")
    suite = Suite("CPython", "test_ssl --match ContextTests", passed=1)
    found, _ = differing(suite, folder(suite), tmp_path, (off, {**off, "PYTHONPATH": os.fspath(tmp_path)}))
    assert found
