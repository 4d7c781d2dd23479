"""Others that change TLS in the same process, before and after."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import HERE, environment, run, run_code

# What the program begins with, and the module that it needs.
PRELUDES = {
    "gevent before": ("gevent", "from gevent import monkey; monkey.patch_all()"),
    "gevent after": ("gevent", "import ssl; from gevent import monkey; monkey.patch_all()"),
    "eventlet before": ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    "eventlet after": ("eventlet", "import ssl, urllib.request; import eventlet; eventlet.monkey_patch()"),
    "truststore before": ("truststore", "import truststore; truststore.inject_into_ssl()"),
    "truststore after": ("truststore", "import requests, truststore; truststore.inject_into_ssl()"),
    "truststore, extracted": (
        "truststore",
        "import requests, truststore; truststore.inject_into_ssl(); truststore.extract_from_ssl()",
    ),
    "uvloop": ("uvloop", "import asyncio, uvloop; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())"),
    "disable_warnings": ("urllib3", "import urllib3; urllib3.disable_warnings()"),
    "an APM agent": (
        "wrapt",
        "import ssl, wrapt\n"
        "for name in ('load_default_certs', 'load_verify_locations', 'wrap_socket'):\n"
        "    wrapt.wrap_function_wrapper('ssl', 'SSLContext.' + name, lambda f, i, a, k: f(*a, **k))",
    ),
    "extract and inject": ("ssl", "import ssl, truststore_inject as t; t.extract(); t.inject()"),
}
CASES = ("system", "private", "unknown", "wrong_host", "expired")
JUDGE = """
import json, sys
sys.path.insert(0, {here!r})
import clients
client, urls, trust = {client!r}, {urls!r}, {trust!r}
print(json.dumps([case for case in urls if clients.judge(client, urls[case], trust) == "accepted"]))
"""


def accepted(prelude: str, client: str, urls: dict[str, str], env: dict[str, str], trust: str = "default") -> list[str]:
    judged = JUDGE.format(here=str(HERE), client=client, urls={case: urls[case] for case in CASES}, trust=trust)
    result = run("-W", "ignore", "-c", prelude + "\n" + judged, env=env)
    assert result.returncode == 0, result.stderr
    assert "truststore-inject" not in result.stderr
    said: list[str] = json.loads(result.stdout)
    return said


@pytest.mark.parametrize("client", ["urllib_request", "requests_get", "aiohttp"])
@pytest.mark.parametrize("neighbour", PRELUDES)
def test_together(
    neighbour: str, client: str, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    module, prelude = PRELUDES[neighbour]
    pytest.importorskip(module)
    if client == "aiohttp" and module in ("gevent", "eventlet"):
        pytest.skip("no asyncio event loop runs on a patched selector")
    if client != "aiohttp" and module == "uvloop":
        pytest.skip("no event loop")
    # eventlet's own resolver imports dnspython, which imports trio, which fails on eventlet's sockets.
    env = environment(SSL_CERT_DIR=store, EVENTLET_NO_GREENDNS="yes")
    assert accepted(prelude, client, urls, env) == ["system"]
    if neighbour not in (
        "truststore before",
        "truststore after",
    ):  # its contexts add the system's roots to what is pinned
        assert accepted(prelude, client, urls, env, str(ca_file("private"))) == ["private"]


AGENT = """
import wrapt
def through(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)
def instrument(module):
    wrapt.wrap_function_wrapper(module, "SSL.Context.load_verify_locations", through)
    wrapt.wrap_function_wrapper(module, "SSL.Context.set_default_verify_paths", through)
"""
# Ours is below the agent's wrapper or above it; the agent's stays.
AGAIN = """
import OpenSSL, truststore_inject
truststore_inject.extract()
assert isinstance(vars(OpenSSL.SSL.Context)["load_verify_locations"], wrapt.FunctionWrapper)
truststore_inject.inject()
"""


@pytest.mark.parametrize(
    "how", ["wrapt.register_post_import_hook(instrument, 'OpenSSL')", "import OpenSSL; instrument(OpenSSL)"]
)
def test_an_agent_that_wraps_the_functions_that_we_wrap(
    how: str, urls: dict[str, str], store: Path, ca_file: Callable[[str], Path]
) -> None:
    pytest.importorskip("OpenSSL")
    for prelude in (AGENT + how, f"{AGENT}{how}\n{AGAIN}"):
        env = environment(SSL_CERT_DIR=store)
        assert accepted(prelude, "urllib3_pyopenssl", urls, env) == ["system"]
        assert accepted(prelude, "urllib3_pyopenssl", urls, env, str(ca_file("private"))) == ["private"]


def test_who_verifies_nothing_goes_on_so(urls: dict[str, str], store: Path) -> None:
    prelude = "import ssl; ssl._create_default_https_context = ssl._create_unverified_context"
    assert accepted(prelude, "urllib_request", urls, environment(SSL_CERT_DIR=store)) == list(CASES)


def may_start(method: str) -> bool:
    """The libraries of macOS, which verify, do not survive a fork: spawn is the default there."""
    return method in multiprocessing.get_all_start_methods() and not (method == "fork" and sys.platform == "darwin")


@pytest.mark.parametrize("pool", ["context.Pool(1)", "concurrent.futures.ProcessPoolExecutor(1, context)"])
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=pytest.mark.skipif(not may_start(method), reason=f"no {method} here that is safe"))
        for method in ("fork", "spawn", "forkserver")
    ],
)
def test_worker_processes(method: str, pool: str, urls: dict[str, str], store: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import concurrent.futures, json, multiprocessing, ssl, sys
sys.path.insert(0, {str(HERE)!r})
import clients

def judge(item):
    return clients.judge("requests_get", item[1], "default")

if __name__ == "__main__":
    urls = json.loads(sys.argv[1])
    context = multiprocessing.get_context({method!r})
    with {pool} as pool:
        print(json.dumps(list(pool.map(judge, urls.items()))))
"""
    )
    given = {case: urls[case] for case in CASES}
    result = run(program, json.dumps(given), env=environment(SSL_CERT_DIR=store))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == ["accepted"] + ["refused"] * (len(CASES) - 1)


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy has no sub-interpreters")
def test_a_sub_interpreter(urls: dict[str, str], store: Path) -> None:
    inner = f"""
import ssl, sys
sys.path.insert(0, {str(HERE)!r})
import clients, truststore_inject
assert truststore_inject.status().active
urls = {urls!r}
assert clients.judge("urllib_request", urls["system"], "default") == "accepted"
assert clients.judge("urllib_request", urls["unknown"], "default") == "refused"
print("done", flush=True)
"""
    code = f"""
import sys
try:
    import _interpreters as interpreters
    create = lambda: interpreters.create("legacy")
    execute = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    create, execute = interpreters.create, interpreters.run_string
error = execute(create(), {inner!r})
assert error is None, error
"""
    result = run("-W", "ignore", "-c", code, env=environment(SSL_CERT_DIR=store))
    # Not the exit status: CPython 3.12.1 aborts when such a process ends, without this package too.
    assert result.stdout.strip() == "done", result.stderr


@pytest.mark.parametrize(
    ("before", "said"), [("import ssl", False), ("import truststore; truststore.inject_into_ssl()", True)]
)
def test_the_record_says_who_replaced_the_class(before: str, said: bool, store: Path) -> None:
    pytest.importorskip("truststore")
    code = f"{before}\nimport json, truststore_inject\nprint(json.dumps(truststore_inject.status().as_dict()['notes']))"
    notes = run_code(code, env=environment(SSL_CERT_DIR=store))
    assert any("replaced by truststore" in note for note in notes) == said
