"""What may go wrong in the asking of the operating system: stock verification or a refusal, never an acceptance."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import environment, run_code
from native import SYSTEM, child, linux, native

pytest.importorskip("cryptography", reason="the stand-in for the operating system is its verifier")
pytestmark = [linux, pytest.mark.long]

# What truststore's function may become one day.  `verify` is the stand-in's, which does as truststore does today.
CHANGED = {
    "it verifies nothing": ("def ask(*arguments, **options): pass", "accepts a certificate that nobody has signed"),
    "another signature": ("def ask(context): verify(context, [])", "TypeError"),
    "another order": ("def ask(chain, settings, server_hostname): verify(settings, chain)", "TypeError"),
    "a result": (
        "def ask(*arguments, **options):\n try: verify(*arguments, **options)\n except ssl.SSLError: return False\n return True",
        "truststore answers with bool",
    ),
    "asynchronous": ("async def ask(*arguments, **options): verify(*arguments, **options)", "answers with coroutine"),
    "an error of its own": (
        "class TruststoreError(Exception): pass\n"
        "def ask(*arguments, **options):\n try: verify(*arguments, **options)\n except ssl.SSLError: raise TruststoreError",
        "TruststoreError",
    ),
    "the SSL object": (
        "def ask(sslobj, chain, server_hostname): verify(sslobj._sslobj.context, chain, server_hostname)",
        "AttributeError",
    ),
    "a bug": ("def ask(*arguments, **options): {}[1]", "KeyError"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_where_truststore_has_changed_stock_verification_stays(
    change: str, ports: dict[str, int], root: Path, store: Path
) -> None:
    inside, reason = CHANGED[change]
    code = f"""
from sitecustomize import verify
{inside}
_native._native_function = lambda: ask
import truststore_inject
ports = json.loads(sys.argv[1])
print(json.dumps([{{case: judge(lambda: wrapped(port).close()) for case, port in ports.items()}},
    type(wrapped(ports["system"])._sslobj).__module__, truststore_inject.status().notes, str(truststore_inject.status())]))
"""
    env = native(root, SSL_CERT_DIR=store)
    found, module, notes, text = child(code, ports, env=env)
    assert (found, module) == (SYSTEM, "_ssl")
    assert any("stock verification stays" in note and reason in note for note in notes)
    assert "each library keeps its own default" in text


@pytest.mark.parametrize(
    ("inside", "verdict"),
    [
        # It asks for what nobody has thought of: that is as the context has it.
        (
            "assert settings.minimum_version and settings.protocol and settings.options; verify(settings, chain, host)",
            {},
        ),
        # It has stopped to look at names.
        ("settings.check_hostname = False; verify(settings, chain, host)", {}),
        # It refuses with an exception, but accepts with a result, or later.
        ("verify(settings, chain, host); return True", dict.fromkeys(SYSTEM, "refused")),
        (
            "settings.seen = True; verify(settings, chain, host); return asyncio.sleep(0)",
            dict.fromkeys(SYSTEM, "refused"),
        ),
    ],
)
def test_where_it_has_changed_a_little(inside: str, verdict: dict[str, str], ports: dict[str, int], root: Path) -> None:
    code = f"""
from sitecustomize import verify
import asyncio, warnings
warnings.simplefilter("ignore")
def ask(settings, chain, server_hostname):
    host = server_hostname
    {inside}
_native._native_function = lambda: ask
ports = json.loads(sys.argv[1])
print(json.dumps({{case: judge(lambda: wrapped(port).close()) for case, port in ports.items()}}))
"""
    assert child(code, ports, env=native(root)) == (verdict or SYSTEM)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("pass", "truststore._openssl"),  # its own for Linux, which does nothing at all
        ("del sys.modules['truststore._api']._verify_peercerts_impl", "AttributeError"),
        ("del truststore._api; sys.modules['truststore._api'] = None", "ModuleNotFoundError"),
        ("truststore._api._verify_peercerts_impl.__module__ = 'truststore._chain'", "truststore._chain"),
        ("sys.modules['truststore'] = None", "ModuleNotFoundError"),
    ],
)
def test_where_its_function_is_not_what_it_was(change: str, reason: str) -> None:
    code = f"""
import json, sys, truststore
sys.modules["truststore"]._api = sys.modules["truststore._api"]
{change}
from truststore_inject.stores import _native
print(json.dumps([_native._system(), list(_native._record.notes)]))
"""
    system, notes = run_code(code, env=environment())
    assert system is None
    assert any(reason in note and "stock verification stays" in note for note in notes), notes


# A truststore whose back end for Windows keeps who it was asked about, and refuses nobody but the probe.
TRUSTSTORE = {
    "__init__.py": "from . import _api\n__version__ = {version!r}\n",
    "_api.py": "import platform\nassert platform.system() == 'Windows'\nfrom ._windows import _verify_peercerts_impl\n",
    "_windows.py": """import ssl
asked = []
def _verify_peercerts_impl(settings, chain, server_hostname=None):
    asked.append(server_hostname)
    if server_hostname.endswith(".invalid"): raise ssl.SSLCertVerificationError("not trusted")
""",
}
WINDOWS = """
import json, platform, socket, ssl, sys, types
uname = []
platform.uname = lambda: uname.append(1) or platform.uname_result("Windows", "node", "11", "10.0", "AMD64")
class Sys(types.ModuleType):
    platform = "win32"
    def __getattr__(self, name): return getattr(sys, name)
from truststore_inject import stores
from truststore_inject.stores import _native, _verifier
_native.sys = _verifier.sys = Sys("sys")
stores._platform = _native
for name in ("interpositions", "keep_stock", "release"): setattr(stores, name, getattr(_native, name))
"""


@pytest.mark.parametrize(
    ("version", "probes"), [("0.10.0", 0), ("0.10.5", 0), ("0.10.6", 1), ("0.11.0", 1), ("None", 1)]
)
def test_windows_is_asked_only_about_servers(version: str, probes: int, ports: dict[str, int], tmp_path: Path) -> None:
    """The probe's chain ends in an unknown root, which takes seconds where the network is silent; WMI may take for ever."""
    package = tmp_path / "truststore"
    package.mkdir()
    for name, text in TRUSTSTORE.items():
        (package / name).write_text(text.format(version=version) if name == "__init__.py" else text)
    code = f"""{WINDOWS}
port = int(sys.argv[1])
system = platform.system
contexts = [ssl.create_default_context() for _ in range(2)]
from truststore import _windows
before = list(_windows.asked)
for context in contexts:
    with socket.create_connection(("127.0.0.1", port)) as raw:
        context.wrap_socket(raw, server_hostname="localhost").close()
print(json.dumps([uname, before, _windows.asked, platform.system is system]))
"""
    env = environment(PYTHONPATH=tmp_path)
    expected = ["truststore-inject.invalid"] * probes + ["localhost"] * 2
    assert run_code(code, str(ports["system"]), env=env) == [[], [], expected, True]


def test_a_refusal_reaches_a_terminal_without_what_it_would_obey(ports: dict[str, int], root: Path) -> None:
    """The operating system quotes the server's certificate."""
    code = """
from sitecustomize import verify
def ask(settings, chain, server_hostname):
    try:
        verify(settings, chain, server_hostname)
    except ssl.SSLCertVerificationError as error:
        error.verify_message = "\\x1b]0;title\\x07\\nis not trusted"
        raise
_native._native_function = lambda: ask
try:
    wrapped(json.loads(sys.argv[1]))
except ssl.SSLCertVerificationError as error:
    print(json.dumps([str(error), error.verify_message]))
"""
    for text in child(code, ports["unknown"], env=native(root)):
        assert text.isprintable()
        assert "is not trusted" in text


@pytest.mark.parametrize("answer", [True, False, object()], ids=["true", "false", "something"])
def test_an_answer_that_is_none_of_those_that_are_known_is_no_agreement(answer: object) -> None:
    """A later truststore may give a coroutine, or say no without raising."""
    from truststore_inject.stores import _verifier

    verifier = _verifier.Verifier(lambda settings, chain, server_hostname: answer)
    settings = _verifier.Settings(_verifier.new_context(), False, False)
    with pytest.raises(_verifier.CouldNotBeAsked):
        verifier.verify(settings, [b""], "localhost", dict)
