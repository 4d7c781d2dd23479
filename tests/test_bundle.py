"""A CA file is read by OpenSSL once in a process, whoever names it, and every context holds what stock would give it."""

from __future__ import annotations

import _ssl
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Authorities, environment, run_code, write_bundle, write_directory
from places import PADDING, Places, accepted, accepts, der, needs_openssl, needs_sharing, stock
from places import places as places

pytestmark = needs_openssl

from truststore_inject import _record  # noqa: E402
from truststore_inject.stores import _bundle, _files  # noqa: E402

NOTE = "each context parses its bundle anew"


@pytest.fixture
def bundle(tmp_path: Path, authorities: Authorities) -> Path:
    """Large enough to be shared, and settled."""
    file = write_bundle(tmp_path / "bundle.pem", [authorities.system, authorities.private])
    file.write_bytes(file.read_bytes() + PADDING)
    settle(file)
    return file


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has read nothing yet."""
    monkeypatch.setattr(_bundle, "_read", {})
    monkeypatch.setattr(_bundle, "_obstacle", None)
    monkeypatch.setattr(_record, "notes", {})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What OpenSSL was asked to read for us."""
    done: list[Any] = []
    stock_load = _bundle.load_verify_locations

    def load(context: Any, *args: Any, **kwargs: Any) -> None:
        done.append(args[0] if args else kwargs)
        stock_load(context, *args, **kwargs)

    monkeypatch.setattr(_bundle, "load_verify_locations", load)
    return done


def settle(*files: Path) -> None:
    """Until a change of `files` would change what identifies them."""
    while not all(_bundle.is_settled(_bundle.identity(file)) for file in files):
        time.sleep(0.01)


def as_stock(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _ssl._SSLContext.load_verify_locations(context, path)
    return context


def loading(path: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)  # type: ignore[arg-type]
    return context


@needs_sharing
def test_it_is_read_once_whoever_names_it(bundle: Path, places: Places, reads: list[Any]) -> None:
    """A program, by any path, and the machine's own store: it is the file that counts."""
    os.link(bundle, bundle.with_name("another.pem"))
    bundle.with_name("link.pem").symlink_to(bundle)
    settle(bundle)
    places.setenv(SSL_CERT_FILE=bundle, SSL_CERT_DIR="")
    contexts = [ssl.create_default_context() for _ in range(3)]
    contexts += [loading(bundle.with_name(name)) for name in ("bundle.pem", "another.pem", "link.pem")]
    contexts += [loading(os.fsencode(bundle)), loading(str(bundle)), ssl.create_default_context(cafile=str(bundle))]
    assert len(reads) == 1
    anchors = as_stock(bundle).get_ca_certs(True)
    assert all(context.get_ca_certs(True) == anchors for context in contexts)


@needs_sharing
def test_with_a_directory_in_the_same_call(
    bundle: Path, authorities: Authorities, tmp_path: Path, reads: list[Any]
) -> None:
    directory = write_directory(tmp_path / "directory", [authorities.unknown])
    for _ in range(2):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(bundle, directory)
        assert accepted(context, authorities.system, authorities.unknown, authorities.bundled) == [True, True, False]
    assert reads.count(bundle) == 1


def test_a_small_file_is_left_to_stock(authorities: Authorities, tmp_path: Path, reads: list[Any]) -> None:
    file = write_bundle(tmp_path / "small.pem", [authorities.system])
    assert accepts(loading(file), authorities.system)
    assert reads == []


def contents(authorities: Authorities, folder: Path) -> dict[str, bytes]:
    """Files of all kinds."""
    one, two = authorities.system.cert_pem.bytes(), authorities.private.cert_pem.bytes()
    write_bundle(folder / "one.pem", [authorities.system])
    openssl = ["openssl", "x509", "-in", folder / "one.pem", "-trustout"]
    trusted, rejected = (
        subprocess.check_output([*openssl, option, "serverAuth"]) for option in ("-addtrust", "-addreject")
    )
    leaf = trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes()
    corrupt = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    return {
        "plain": one + two,
        "in this order": two + one,
        "twice": one + two + one,
        "no CA": one + leaf,
        "trusted": trusted + two,
        "rejected": rejected + two,
        "rejected and plain": rejected + two + one,
        "plain and rejected": one + two + rejected,
        "a revocation list": one + revocation_list() + two,
        "comments": b"Subject: something\n" + one + b"# more\n" + two,
        "commented out": one + b"".join(b"# " + line + b"\n" for line in two.splitlines()),
        "indented": one + b"".join(b"  " + line + b"\n" for line in two.splitlines()),
        "CRLF": (one + two).replace(b"\n", b"\r\n"),
        "byte order mark": b"\xef\xbb\xbf" + one + two,
        "corrupt": one + corrupt + two,
        "no line break between": one.rstrip() + two,
        "cut off": one + two[:300],
        "nothing": b"",
        "no certificate": b"nothing\n",
        "DER": der(authorities.system),
    }


def revocation_list() -> bytes:
    x509 = pytest.importorskip("cryptography.x509", reason="makes the revocation list")
    import datetime

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "who revokes")])
    builder = x509.CertificateRevocationListBuilder(name, now, now + datetime.timedelta(days=1))
    made: bytes = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    return made


def outcome(load: Callable[[Path], ssl.SSLContext], path: Path, *authorities: trustme.CA) -> Any:
    try:
        context = load(path)
    except OSError as error:
        return type(error), error.errno, getattr(error, "reason", None), getattr(error, "library", None)
    stats = context.cert_store_stats()
    return stats, context.get_ca_certs(True), context.get_ca_certs(), accepted(context, *authorities)


def test_what_a_context_holds_is_what_stock_gives_it(authorities: Authorities, tmp_path: Path) -> None:
    """The anchors, their order and their settings, the numbers, the errors."""
    file = tmp_path / "bundle.pem"
    for kind, content in contents(authorities, tmp_path).items():
        both = authorities.system, authorities.private
        file.write_bytes(PADDING + content if kind not in ("nothing", "byte order mark", "DER") else content + PADDING)
        expected = outcome(as_stock, file, *both)
        assert [outcome(loading, file, *both) for _ in range(3)] == [expected] * 3, kind


@needs_sharing
@pytest.mark.parametrize("how", ["appended", "in place", "replaced", "its time set back"])
def test_a_file_that_has_changed_is_read_again(
    how: str, bundle: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert accepted(loading(bundle), authorities.system, authorities.unknown) == [True, False]
    assert accepted(loading(bundle), authorities.system, authorities.unknown) == [True, False]
    data, before = bundle.read_bytes(), bundle.stat()
    new = authorities.unknown.cert_pem.bytes()
    if how == "appended":
        bundle.write_bytes(data + new)
    else:
        if how == "replaced":
            bundle.unlink()
        bundle.write_bytes((new + PADDING).ljust(len(data), b"\n")[: len(data)])
    if how == "its time set back":
        os.utime(bundle, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (bundle.stat().st_size, bundle.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert accepts(loading(bundle), authorities.unknown)
    assert accepts(loading(bundle), authorities.system) == (how == "appended")


@needs_sharing
@pytest.mark.parametrize("number", range(5))
def test_each_number_of_the_identity_counts(number: int, bundle: Path, reads: list[Any], monkeypatch: Any) -> None:
    loading(bundle)
    loading(bundle)
    assert len(reads) == 1
    state = list(_bundle.identity(bundle))
    state[number] -= 1
    monkeypatch.setattr(_bundle, "identity", lambda path: tuple(state))
    loading(bundle)
    assert len(reads) == 2


@needs_sharing
def test_a_file_that_was_changed_just_now_is_not_kept(bundle: Path, reads: list[Any], monkeypatch: Any) -> None:
    """Another change may come in the same tick of the clock, and leave the same identity."""
    monkeypatch.setattr(_bundle, "is_settled", lambda state: False)
    loading(bundle)
    loading(bundle)
    assert (len(reads), _bundle._read) == (2, {})


def test_a_change_is_over_when_the_clock_has_ticked(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    assert not _files.is_settled(_files.identity(file))
    old = time.time_ns() - 10**9
    assert not _files.is_settled((1, 2, 3, old, time.time_ns()))  # its time was set back
    assert _files.is_settled((1, 2, 3, old, old))
    assert _files.is_settled(_files.identity(tmp_path / "nothing"))


@needs_sharing
def test_a_file_that_is_replaced_while_it_is_read_is_not_kept(
    bundle: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = write_bundle(bundle.with_name("new.pem"), [authorities.unknown])
    new.write_bytes(new.read_bytes() + PADDING)
    settle(new)
    stock_load = _bundle.load_verify_locations

    def load(context: Any, path: Any) -> None:
        stock_load(context, path)
        if new.exists():
            new.replace(bundle)

    monkeypatch.setattr(_bundle, "load_verify_locations", load)
    assert accepted(loading(bundle), authorities.system, authorities.unknown) == [True, False]
    assert _bundle._read == {}
    assert accepted(loading(bundle), authorities.system, authorities.unknown) == [False, True]


def test_no_more_than_a_few_are_kept(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bundle, "is_settled", lambda state: True)
    for number in range(2 * _bundle._KEPT):
        copy = tmp_path / f"{number}.pem"
        copy.write_bytes(bundle.read_bytes())
        loading(copy)
    assert len(_bundle._read) <= _bundle._KEPT


@needs_sharing
def test_what_is_added_to_one_context_is_in_no_other(bundle: Path, authorities: Authorities, ca_file: Any) -> None:
    before, one = loading(bundle), loading(bundle)
    one.load_verify_locations(ca_file("unknown"))
    assert accepts(one, authorities.unknown)
    assert not any(accepts(other, authorities.unknown) for other in (before, loading(bundle)))


@needs_sharing
def test_contexts_outlive_the_file_and_what_was_kept_of_it(bundle: Path, authorities: Authorities) -> None:
    context = loading(bundle)
    _bundle._read.clear()
    bundle.unlink()
    assert accepts(context, authorities.system)
    with pytest.raises(FileNotFoundError):
        loading(bundle)


# --- where nothing can be shared ---


def test_what_is_added_hides_nothing_without_sharing_either(
    places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the directory's anchors are loaded then; a pipe in it has no end."""
    monkeypatch.setattr(_bundle, "_obstacle", "not here")
    places.debian(authorities.system)
    os.mkfifo(places.path("/etc/ssl/certs") / "00000000.0")
    with places.path("/etc/ssl/certs/ca-certificates.crt").open("ab") as file:
        file.write(authorities.private.cert_pem.bytes())
    context = ssl.create_default_context()
    assert accepted(context, authorities.system, authorities.private, authorities.unknown) == [True, True, False]
    assert accepted(stock(), authorities.system, authorities.private) == [True, False]


@needs_sharing
def test_sharing_is_given_up_while_the_process_runs(
    places: Places, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the directory has of the same subject is not lost."""
    from places import renewed_ca

    old, new = renewed_ca()
    places.debian(old, authorities.system)
    os.mkfifo(places.path("/etc/ssl/certs") / "00000000.0")  # which has no end
    with places.path("/etc/ssl/certs/ca-certificates.crt").open("ab") as file:
        file.write(new.cert_pem.bytes())
    monkeypatch.setattr("truststore_inject.stores._places.is_settled", lambda state: True)
    assert accepted(ssl.create_default_context(), old, new) == [True, True]
    monkeypatch.setattr(_bundle, "_obstacle", "from now on")
    assert accepted(ssl.create_default_context(), old, new, authorities.unknown) == [True, True, False]


# --- threads, forks, signals ---

MANY = """
import ssl, threading, os, sys, json, time, signal
bundle, one, other = sys.argv[1:4]
texts = [open(path, "rb").read() for path in (one, other)]
known = [{ssl.PEM_cert_to_DER_cert(text[text.index(b"-----BEGIN"):].decode())} for text in texts]
stop, wrong, made = threading.Event(), [], [0] * 50
def make(index):
    while not made[index] or not stop.is_set():
        context = ssl.create_default_context() if index % 2 else ssl.create_default_context(cafile=bundle)
        if set(context.get_ca_certs(True)) not in known:
            wrong.append(len(context.get_ca_certs(True)))
        made[index] += 1
signal.signal(signal.SIGALRM, lambda *arguments: None)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
ssl.create_default_context()
descriptors = len(os.listdir("/proc/self/fd"))
threads = [threading.Thread(target=make, args=(index,)) for index in range(50)]
for thread in threads: thread.start()
sys.stdin.read()  # until whoever replaces the file is done
stop.set()
for thread in threads: thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
child = os.fork()
if child == 0:
    os._exit(set(ssl.create_default_context().get_ca_certs(True)) not in known)
status = os.waitpid(child, 0)[1]
print(json.dumps([wrong, min(made) > 0, len(os.listdir("/proc/self/fd")) - descriptors, status]))
"""


@pytest.mark.long
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_many_threads_while_the_file_is_replaced_thousands_of_times(authorities: Authorities, tmp_path: Path) -> None:
    """Under a rain of signals, and in a forked child after it: no crash, no wrong anchor, no descriptor left."""
    one, other = (write_bundle(tmp_path / name, [getattr(authorities, name)]) for name in ("system", "private"))
    for file in (one, other):
        file.write_bytes(PADDING + file.read_bytes())
    live = tmp_path / "live.pem"
    live.write_bytes(one.read_bytes())
    env = environment(SSL_CERT_FILE=live, SSL_CERT_DIR="/nonexistent", COVERAGE_PROCESS_CONFIG="")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", MANY, live, one, other]  # fork on purpose
    child = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for number in range(10_000):
        new = tmp_path / "new.pem"
        new.write_bytes([one, other][number % 2].read_bytes())
        new.replace(live)
    said, errors = child.communicate(timeout=300)
    assert (child.returncode, errors) == (0, b"")
    assert json.loads(said) == [[], True, 0, 0]


SUB_INTERPRETER = """
import json, ssl, sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = "import ssl; c = ssl.create_default_context(); assert len(c.get_ca_certs()) == 2, c.get_ca_certs()"
here = len(ssl.create_default_context().get_ca_certs())
ids = [interpreters.create() for _ in range(3)]
failed = []
for each in ids:
    try:
        failed.append(interpreters.run_string(each, code))
    except Exception as error:
        failed.append(str(error))
    interpreters.destroy(each)
print(json.dumps([here, len(ssl.create_default_context().get_ca_certs()), failed]))
"""


def test_sub_interpreters(bundle: Path) -> None:
    """Each is as stock: where ssl itself cannot be imported in one, that is what is said."""
    env = environment(SSL_CERT_FILE=bundle, SSL_CERT_DIR="/nonexistent")
    try:
        expected = run_code(SUB_INTERPRETER, env={**env, "TRUSTSTORE_INJECT": "0"})
    except AssertionError:
        pytest.skip("this Python has no sub-interpreters to try it with")
    assert run_code(SUB_INTERPRETER, env=env) == expected
    assert expected[:2] == [2, 2]
