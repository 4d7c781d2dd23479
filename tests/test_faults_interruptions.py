"""Somebody rearranges the finders, raises, presses Ctrl-C, or the interpreter ends: the program sees what it would in stock."""

from __future__ import annotations

import pytest
from harness import environment, openssl_store, run, run_code
from probes import VERDICTS, Probe
from test_trust import HANDSHAKE

pytestmark = [openssl_store, pytest.mark.long]
REARRANGED = {
    "reversed": "sys.meta_path.reverse()",
    "another list": "sys.meta_path = list(sys.meta_path)",
    "ours last": "sys.meta_path.append(sys.meta_path.pop(0))",
    "ours twice": "sys.meta_path.append(sys.meta_path[0])",
    "ours removed": "sys.meta_path.pop(0)",
    "ours alone for a while": "ours, *rest = sys.meta_path[:]; sys.meta_path[:] = [ours]\n"
    "try: import ssl\nexcept ImportError: sys.meta_path[:] = [ours, *rest]",
    "emptied for a while": "rest = sys.meta_path[:]; sys.meta_path.clear()\n"
    "try: import ssl\nexcept ImportError: sys.meta_path[:] = rest",
    "behind a proxy": "class Proxy:\n def __init__(self, finder): self.find_spec = finder.find_spec\n"
    "sys.meta_path[:] = [Proxy(finder) for finder in sys.meta_path]",
}


@pytest.mark.parametrize("how", REARRANGED)
def test_finders_are_rearranged(how: str, probe: Probe) -> None:
    before = "import sys\n" + REARRANGED[how]
    assert probe.run(before) == (how not in ("reversed", "ours last", "ours removed"))


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("error", ["ImportError", "RuntimeError", "KeyError", "OSError", "KeyboardInterrupt"])
def test_another_finder_raises(error: str, position: int, probe: Probe) -> None:
    """For ssl the program hears it, as ever.  For a part of this package it has no say."""
    before = f"""
import sys
class Other:
    def find_spec(self, name, path=None, target=None):
        if name == victim or name.startswith(victim + "."):
            raise {error}("from another finder")
sys.meta_path.insert({position}, Other())
victim = "ssl"
try:
    import ssl
except {error} as heard:
    assert "from another finder" in str(heard)
else:
    raise AssertionError("not heard")
victim = {"'truststore_inject'" if error != "KeyboardInterrupt" else "'nothing'"}
"""
    assert probe.run(before)


@pytest.mark.parametrize("moment", ["import", "inject", "context", "refusal", "extract"])
def test_an_interrupt_at_any_moment(moment: str, probe: Probe) -> None:
    """Ctrl-C comes, in turn, wherever Python looks for it: when a function begins, and when one in C has ended."""
    code = f"""{VERDICTS}
import contextlib, os, truststore_inject
from truststore_inject import _startup
package = os.path.dirname(_startup.__file__)
def interrupted(moment, action):
    "Whether there was a moment of that number."
    count = 0
    def profile(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename.startswith(package) and event in ("call", "c_return"):
            count += 1
            if count == moment:
                sys.setprofile(None)
                raise KeyboardInterrupt
    try:
        sys.setprofile(profile)
        action()
    except (KeyboardInterrupt, ssl.SSLError):
        pass
    finally:
        sys.setprofile(None)
    return count == moment
def state():
    return replaced() + [cls.__name__ for cls in (ssl.SSLSocket, ssl.SSLObject) if hasattr(cls.do_handshake, "__wrapped__")]
def fresh():
    "As after the start of the interpreter."
    _startup.extract()
    for name in [name for name in sys.modules if name == "ssl" or name.startswith("truststore_inject.")]:
        if name != _startup.__name__:
            del sys.modules[name]
            vars(truststore_inject).pop(name.rpartition(".")[2], None)
    _startup.finder.targets = frozenset()
def armed():
    global ssl
    fresh()
    _startup.inject()
    import ssl
def unarmed():
    global ssl
    fresh()
    import ssl
def load():
    global ssl
    import ssl
def unloaded():
    fresh()
    _startup.inject()
def refused():
    context = ssl.create_default_context()
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    handshake(context, json.loads(sys.argv[1])["unknown"])
sys.unraisablehook = lambda unraisable: None  # one that struck while a generator was closed
prepare, action = {{
    "import": (unloaded, load), "inject": (unarmed, _startup.inject), "extract": (armed, _startup.extract),
    "context": (armed, lambda: ssl.create_default_context()), "refusal": (armed, refused),
}}[{moment!r}]
whole = state()
assert len(whole) == (5 if sys.version_info >= (3, 11) else 3)
_startup.extract()
stock = {{name: value for name, value in vars(ssl.SSLContext).items()}}
number = 0
while True:
    number += 1
    prepare()
    if not interrupted(number, action):
        break
    load()
    assert state() in ([], whole), (number, state())
    _startup.extract()
    assert state() == [] and vars(ssl.SSLContext).keys() == stock.keys(), (number, state())
    _startup.inject()
    assert state() == whole, (number, state())
    default = ssl.create_default_context()
    from truststore_inject import stores
    assert stores.loaded(default), number
    if number % 10 == 1:
        assert verdicts() == [3, ["system"], ["private"], []], number
print(json.dumps(number))
"""
    env = environment(SSL_CERT_DIR=probe.store)
    assert run_code(code, *probe.arguments, env=env) > 10


LAST_WORDS = f"""{HANDSHAKE}
import atexit, os
def say(who):
    try:
        context = ssl.create_default_context()
        os.write(1, f"{{who}}: {{judge(context)}}\\n".encode())
    except BaseException as error:
        os.write(1, f"{{who}}: {{type(error).__name__}}\\n".encode())
class Finalized:
    def __init__(self, who): self.who = who
    def __del__(self, say=say): say(self.who)
module = Finalized("module")
cycle = Finalized("cycle"); cycle.self = cycle
sys.finalized = Finalized("sys")
ssl.SSLContext.finalized = Finalized("class")
atexit.register(say, "atexit")
threading.Thread(target=lambda: (threading.main_thread().join(), say("thread"))).start()
"""


def test_connections_while_the_interpreter_ends(probe: Probe) -> None:
    """For the first time in this process, or not: what is said is what stock says."""
    for before in ("", "ssl.create_default_context()"):
        code = f"{LAST_WORDS}\n{before}"
        env = environment(SSL_CERT_DIR=probe.store)
        ours = run("-c", code, *probe.arguments, env=env)
        stock = run("-c", code, *probe.arguments, env={**env, "TRUSTSTORE_INJECT": "0"})
        assert (ours.returncode, ours.stdout, ours.stderr) == (0, stock.stdout, stock.stderr)
        assert "atexit: {'system': 'accepted', 'private': 'refused'" in stock.stdout
