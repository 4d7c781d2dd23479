"""macOS: the real truststore on a stand-in for Security and CoreFoundation, compiled from macos/security.c.

Nothing here is a proof about macOS; it is one about the package: what it hands to the frameworks, what it makes of their
answers, and that none of these can end the process.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Authorities
from native import SYSTEM, Macos, child, linux
from servers import Server

pytestmark = linux

# The stand-in knows no dates.
CASES = {case: verdict for case, verdict in SYSTEM.items() if case != "expired"}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    """``serve(pem)``: the port of a server with the key and the certificates in it."""
    servers = []

    def start(pem: bytes) -> int:
        file = tmp_path / f"server-{len(servers)}.pem"
        file.write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        servers.append(Server(context))
        return int(servers[-1].url.rstrip("/").rpartition(":")[2])

    yield start
    for server in servers:
        server.close()


VERDICTS = """
import truststore_inject
def verdicts(ports, context=None):
    return {case: judge(lambda: wrapped(port, context).close()) for case, port in ports.items() if case != "expired"}
def refusal(*arguments, **options):
    try:
        wrapped(*arguments, **options)
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
def notes(): return [note for note in truststore_inject.status().notes if "macOS" in note]
"""


def test_the_frameworks_are_asked(ports: dict[str, int], macos: Macos) -> None:
    code = f"""{VERDICTS}
ports = json.loads(sys.argv[1])
print(json.dumps([verdicts(ports), type(wrapped(ports["system"])._sslobj).__name__, notes(), str(truststore_inject.status())]))
"""
    found, kind, notes, status = child(code, ports, env=macos())
    assert (found, kind, notes) == (CASES, "Connection", [])
    assert "from macOS, which verifies by itself" in status


def test_a_context_asks_nothing_before_a_fork(ports: dict[str, int], macos: Macos) -> None:
    """A child may use the frameworks only if its parent has not."""
    code = f"""{VERDICTS}
import ctypes, warnings
warnings.simplefilter("ignore")
ports = json.loads(sys.argv[1])
calls = ctypes.CDLL(os.environ["STANDIN_LIBRARY"]).standin_calls
def in_a_child(context):
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(0 if judge(lambda: wrapped(ports["system"], context).close()) == "accepted" else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
context, unverified = ssl.create_default_context(), ssl.create_default_context()
unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
wrapped(ports["unknown"], unverified).close()
before = calls(), in_a_child(context)
wrapped(ports["system"], context).close()
print(json.dumps([before, calls() > 0, in_a_child(context)]))
"""
    before, used, after = child(code, ports, env=macos(COVERAGE_PROCESS_CONFIG=""))
    assert before == [0, 0]
    assert used
    assert after == -6, "the stand-in ends such a child, as CoreFoundation does"


def test_the_host_name_is_checked_where_the_system_does_not(ports: dict[str, int], macos: Macos) -> None:
    code = f"""{VERDICTS}
ports = json.loads(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname = False
print(json.dumps([verdicts(ports), refusal(ports["wrong_host"]), verdicts(ports, context)]))
"""
    found, refusal, unchecked = child(code, ports, env=macos(STANDIN_LAX="1"))
    assert found == CASES
    assert refusal == [62, "Hostname mismatch, certificate is not valid for 'localhost'."]
    assert unchecked == {**CASES, "wrong_host": "accepted"}


@pytest.mark.parametrize(
    ("variable", "reason"),
    [("STANDIN_NO_POLICY", "SecPolicyCreateSSL gave NULL"), ("STANDIN_NO_TRUSTD", "OSStatus error -26276")],
)
def test_a_system_that_cannot_be_asked(
    variable: str, reason: str, ports: dict[str, int], store: Path, macos: Macos
) -> None:
    """At the first use stock verification stays; later it is a refusal, and not for an unknown CA."""
    code = f"""{VERDICTS}
ports = json.loads(sys.argv[1])
context = ssl.create_default_context()
print(json.dumps([verdicts(ports), type(wrapped(ports["system"], context)._sslobj).__name__, notes(), str(truststore_inject.status())]))
"""
    env = macos(**{variable: "1"}, SSL_CERT_DIR=store)
    found, kind, notes, status = child(code, ports, env=env)
    assert (found, kind) == (CASES, "_SSLSocket")
    assert any("stock verification stays" in note and "could not be asked" in note and reason in note for note in notes)
    assert "each library keeps its own default" in status
    code = f"""{VERDICTS}
port = json.loads(sys.argv[1])["system"]
context = ssl.create_default_context()
wrapped(port, context).close()
os.environ[{variable!r}] = "1"
print(json.dumps(refusal(port, context)))
"""
    number, message = child(code, ports, env=macos())
    assert number == -26276
    assert message.startswith("macOS could not be asked: ")
    assert reason in message


def test_a_certificate_that_the_system_cannot_read_ends_no_process(
    authorities: Authorities, macos: Macos, ca_file: Callable[[str], Path], serve: Callable[[bytes], int]
) -> None:
    """Also among the anchors that were added: a refusal, with what is wrong."""
    leaf = authorities.system.issue_cert("localhost")
    sent = leaf.private_key_and_cert_chain_pem.bytes()
    plain, odd = serve(sent), serve(sent + authorities.private.cert_pem.bytes())
    code = f"""{VERDICTS}
plain, odd, private = json.loads(sys.argv[1])
extended = ssl.create_default_context()
extended.load_verify_locations(private)
print(json.dumps([refusal(plain), refusal(odd), refusal(plain, extended), judge(lambda: wrapped(plain).close())]))
"""
    arguments = plain, odd, str(ca_file("private"))
    accepted, *refused, again = child(code, arguments, env=macos(STANDIN_UNREADABLE="private of the tests"))
    assert (accepted, again) == (None, "accepted")
    assert all("trusted in addition, cannot be read" in message for _, message in refused)
    *accepted, _ = child(code, arguments, env=macos())
    assert accepted == [None] * 3


def test_anchors_of_the_context(
    authorities: Authorities, macos: Macos, tmp_path: Path, serve: Callable[[bytes], int], ports: dict[str, int]
) -> None:
    """Beside the system's; an intermediate ends a chain only where OpenSSL would let it, and helps to build one."""
    inside, outside = authorities.system.create_child_ca(), authorities.unknown.create_child_ca()
    (tmp_path / "inside.pem").write_bytes(inside.cert_pem.bytes())
    (tmp_path / "outside.pem").write_bytes(outside.cert_pem.bytes())
    (tmp_path / "root.pem").write_bytes(authorities.unknown.cert_pem.bytes())
    alone = []  # servers that send their own certificate and no more
    for issuer in (inside, outside):
        leaf = issuer.issue_cert("localhost")
        alone.append(serve(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()))
    code = f"""{VERDICTS}
inside, outside, system, folder = json.loads(sys.argv[1])
def found(partial, *files):
    context = ssl.create_default_context()
    context.verify_flags = context.verify_flags & ~0x80000 | (0x80000 if partial else 0)  # VERIFY_X509_PARTIAL_CHAIN
    for file in files:
        context.load_verify_locations(f"{{folder}}/{{file}}.pem")
    kind = type(wrapped(system, context)._sslobj).__name__
    return [kind] + [judge(lambda: wrapped(port, context).close()) for port in (inside, outside)]
ours = {{"inside", "outside", "root", "outside root"}}
print(json.dumps({{f"{{files}} {{partial}}": found(partial, *files.split()) for files in ours | {{""}} for partial in (0, 1)}}))
"""
    found = child(code, (*alone, ports["system"], str(tmp_path)), env=macos())
    yes, no = "accepted", "refused"
    assert found == {
        " 0": ["Connection", no, no],
        " 1": ["Connection", no, no],
        "inside 0": ["Connection", yes, no],
        "inside 1": ["Connection", yes, no],
        "outside 0": ["Connection", no, no],
        "outside 1": ["Connection", no, yes],
        "root 0": ["Connection", no, no],
        "root 1": ["Connection", no, no],
        "outside root 0": ["Connection", no, yes],
        "outside root 1": ["Connection", no, yes],
    }
