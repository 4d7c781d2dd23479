"""The tests that the libraries and CPython publish, with the package active and switched off: each ends alike.

``tox -e upstream``.  As a program, with tests/ in PYTHONPATH, it prints the table of docs/upstream.md.  What is compared is
the outcome of each test, so a test that fails in both, because this machine lacks something, says nothing.  What cannot be run:

- httpx2, httpcore2 and pip: their source packages have no tests, and Debian's of pip neither.
- websockets: that of PyPI has none of those that connect.  Debian's has: ``apt-get source --download-only
  python-websockets``, then WEBSOCKETS_SOURCE names the ``.orig.tar.gz``, with that version of websockets installed.
- What needs the internet, or an address that never answers; those of httpx and truststore that listen on a fixed port, and
  those of truststore that put a CA into the machine's store.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trustme
from harness import environment, write_directory

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--timeout=60", "--junit-xml")
REGRTEST = ("-m", "test", "--junit-xml")
WEBSOCKETS = os.environ.get("WEBSOCKETS_SOURCE")
INSTALLED = ("CPython", "tornado")  # with their tests
RUNS = 3  # a test that is not sure of itself does not differ three times in the same way


@dataclass(frozen=True)
class Suite:
    """The part of `source` (a distribution, or CPython) that has to do with TLS and needs no network."""

    source: str
    arguments: str  # of pytest or of regrtest, with blanks between them
    passed: int  # at least so many pass without the package: a suite that collects nothing compares nothing
    choice: str = ""  # pytest's -k
    plugin: str = ""  # code that the library's own runner has, too
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
    Suite(
        "httpcore",
        " ".join(
            f"tests/_{kind}/test_{name}.py"
            for kind in ("sync", "async")
            for name in ("connection", "connection_pool", "http_proxy", "integration", "socks_proxy")
        ),
        passed=60,
    ),
    Suite(
        "tornado",
        "-p plugin --pyargs tornado.test.httpclient_test tornado.test.httpserver_test tornado.test.iostream_test"
        " tornado.test.netutil_test tornado.test.simple_httpclient_test tornado.test.tcpclient_test",
        passed=150,
        choice="ssl or tls or https",
        plugin="import logging\nlogging.getLogger('tornado.access').setLevel(logging.CRITICAL)\n",
    ),
    Suite(
        "truststore",
        "-p asyncio -m not+internet tests/test_api.py tests/test_inject.py tests/test_sslcontext.py",
        passed=10,
        choice="not works_with_inject",
    ),
]
if WEBSOCKETS:
    SUITES.append(
        Suite(
            "websockets",
            "tests/sync tests/asyncio tests/legacy",
            passed=100,
            choice="ssl or tls or secure or proxy or unix or https",
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Suite], Path]:
    return partial(unpack, tmp_path_factory.mktemp("upstream"))


def unpack(top: Path, suite: Suite) -> Path:
    """Where `suite` is run: its tests without the library itself, so that they import the installed one."""
    target = top / suite.source
    target.mkdir(exist_ok=True)
    (target / "plugin.py").write_text(suite.plugin)
    if suite.source in INSTALLED:
        assert importlib.util.find_spec("test.test_ssl"), "Debian's Python needs libpython3-testsuite"
        return target
    if suite.source == "websockets":
        source = Path(str(WEBSOCKETS))
    else:
        version = importlib.metadata.version(suite.source)
        # With the shell's environment, which pip needs to reach its index.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", suite.source]
        subprocess.run([*pip, "--dest", target, f"{suite.source}=={version}"], check=True)
        (source,) = target.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        for member in archive.getmembers():
            _, _, member.name = member.name.partition("/")
            if member.name.partition("/")[0] in ("test", "tests", "dummyserver", "pyproject.toml"):
                archive.extract(member, target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return target


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


def injected(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """`env` with an injector that replaces the class."""
    (folder / "sitecustomize.py").write_text("import truststore\ntruststore.inject_into_ssl()\n")
    return {**env, "PYTHONPATH": os.fspath(folder)}


def test_an_injector_that_replaces_the_class_is_seen(
    folder: Callable[[Suite], Path], store: Path, tmp_path: Path
) -> None:
    """That the comparison can fail: with `truststore.inject_into_ssl`, tests of CPython do."""
    off = environment(SSL_CERT_DIR=store, HOME=tmp_path, TRUSTSTORE_INJECT="0")
    suite = Suite("CPython", "test_ssl --match ContextTests", passed=1)
    found, _ = differing(suite, folder(suite), tmp_path, (off, injected(tmp_path, off)))
    assert found


def main() -> None:
    """The table of docs/upstream.md, each suite run once."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        store = write_directory(top / "store", [trustme.CA()])
        off, on = (environment(SSL_CERT_DIR=store, HOME=top, TRUSTSTORE_INJECT=switch) for switch in "01")
        for suite in SUITES:
            place = unpack(top, suite)
            ours, stock = differing(suite, place, top, (off, on))
            theirs, _ = differing(suite, place, top, (off, injected(top, off)))
            what = "" if suite.source == "CPython" else importlib.metadata.version(suite.source)
            print(
                f"| {suite.source} {what}: {suite.arguments} | {len(stock)} | {len(ours)} | {len(theirs)} |", flush=True
            )


if __name__ == "__main__":
    main()
