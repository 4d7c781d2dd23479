"""Measure this package beside a bare environment, the same opted out, and its peers, in one run.

``python3 benchmarks/run.py [--quick]`` makes an environment for each of them in a temporary folder (with pip, from the
package index), measures them in turn, and writes benchmarks/results.json, results.md, costs.svg and growth.svg.  It needs
Linux, openssl and strace; on a quiet machine with two cores it takes about 10 minutes.

The server's CA is a throw-away one.  Where nothing else is said, ``SSL_CERT_DIR`` is a copy of this machine's hashed
directory with that CA added, and ``SSL_CERT_FILE`` the environment's own certifi bundle, so that OpenSSL's default includes
a bundle, as on RHEL, on Alpine and in many containers.  Everybody but this package needs the CA in certifi's bundle too,
and gets it there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
from subjects import BARE, BY_HAND, HERE, LIBRARIES, OFF, OURS, SUBJECTS, Subject, Worker, make_environment

STARTS = {
    "python -c pass": "pass",
    "import ssl": "import ssl",
    "import requests": "import requests",
    "import aiohttp": "import aiohttp",
    "import httpx": "import httpx",
}
# The sections of the table, the operations of operations.py in each, and how many repetitions and turns they get.
SECTIONS = {
    "contexts": {
        "ssl.create_default_context()": (5, 50),
        "httpx.Client()": (5, 50),
        "requests.Session(), first request": (5, 50),
    },
    "connections": {
        "requests.get": (5, 50),
        "httpx.get": (5, 50),
        # What a connection costs that nobody verifies: less cannot be reached.  (requests loads the default anchors even so.)
        "requests.get, verify=False": (5, 50),
        "httpx.get, verify=False": (5, 50),
        "urlopen": (5, 50),
        "aiohttp, no keep-alive": (5, 50),
    },
    "handshakes": {
        "handshake on a shared context": (10, 300),  # two percent have to be told from none
        "16 handshakes at once on a shared context": (1, 63),  # 1,000 handshakes
    },
    "event loop": {
        "httpx.AsyncClient() and a request": (3, 50),
        "aiohttp.ClientSession() and a request": (3, 50),
    },
}
Numbers = dict[str, Any]


@dataclass
class Effort:
    """How much is measured."""

    pairs: int = 40  # interpreter starts of each kind
    turns: int = 300  # at most, for each operation
    budget: float = 3  # seconds for each operation of each subject: then its turns end
    sizes: tuple[int, ...] = (10, 150, 1000, 10000)  # anchors
    clients: tuple[int, ...] = (1, 100, 1000)


QUICK = Effort(pairs=4, turns=4, budget=2, sizes=(10, 150, 1000), clients=(1, 20))


def spread(values: list[float], bare: list[float] | None = None) -> Numbers:
    """The median and the quartiles, in the unit of `values`; the ratio to `bare`, turn by turn.

    Turn by turn, so that a drift of the machine cancels out.
    """
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    found: Numbers = {"median": median, "quartiles": [low, high], "n": len(values)}
    if bare is not None:
        found["ratio"] = statistics.median(a / b for a, b in zip(values, bare, strict=False))
    return found


def turns(subjects: Iterable[Subject], number: int) -> Iterable[tuple[int, list[Subject]]]:
    """Each time in the opposite order."""
    subjects = list(subjects)
    for turn in range(number):
        yield turn, subjects if turn % 2 else subjects[::-1]


def measure_starts(subjects: list[Subject], effort: Effort, folder: Path) -> dict[str, dict[str, Numbers]]:
    results: dict[str, dict[str, Numbers]] = {}
    warm_up = 2
    for title, code in STARTS.items():
        times: dict[str, list[tuple[float, float]]] = {subject.name: [] for subject in subjects}
        for turn, order in turns(subjects, effort.pairs + warm_up):
            for subject in order:
                seconds = subject.start(code)
                if turn >= warm_up:
                    times[subject.name].append(seconds)
        cpu, wall = ({name: [pair[i] for pair in values] for name, values in times.items()} for i in (0, 1))
        results[title] = {
            subject.name: {
                "cpu": spread(cpu[subject.name], cpu[BARE]),
                "wall": spread(wall[subject.name], wall[BARE]),
                **subject.trace(code, folder / "strace.log"),
            }
            for subject in subjects
        }
    return results


def measure_turns(
    subjects: list[Subject], title: str, url: str, repetitions: int, number: int, budget: float
) -> dict[str, Numbers]:
    """Each subject has a process, which is asked in turn; a turn gives one value, the median of its repetitions."""
    workers = [Worker(subject, title, url) for subject in subjects]
    by_subject = {worker.subject.name: worker for worker in workers}
    times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    spent = dict.fromkeys(times, 0.0)
    for worker in workers:
        worker.ask(2)  # warm-up
    for _, order in turns(subjects, number):
        for subject in order:
            if spent[subject.name] < budget:
                began = time.perf_counter()
                times[subject.name].append(statistics.median(by_subject[subject.name].ask(repetitions)))
                spent[subject.name] += time.perf_counter() - began
    for worker in workers:
        worker.close()
    return {name: spread(values, times[BARE]) for name, values in times.items()}


def measure_operations(subjects: list[Subject], url: str, effort: Effort) -> dict[str, dict[str, dict[str, Numbers]]]:
    return {
        section: {
            title: measure_turns(subjects, title, url, repetitions, min(number, effort.turns), effort.budget)
            for title, (repetitions, number) in operations.items()
        }
        for section, operations in SECTIONS.items()
    }


def measure_memory(subjects: list[Subject], url: str, effort: Effort) -> dict[str, dict[str, Numbers]]:
    """Kilobytes that are resident with so many clients.  Two subjects at a time: this is no time."""

    def resident(subject: Subject, title: str) -> Numbers:
        worker = Worker(subject, title, url)
        before = 0
        found = {}
        for count in effort.clients:
            found[str(count)] = worker.ask(count - before)
            before = count
        worker.close()
        return found

    results = {}
    with ThreadPoolExecutor(2) as pool:
        for title in ("httpx.Client", "requests.Session"):
            found = pool.map(lambda subject, title=title: resident(subject, title), subjects)  # type: ignore[misc]
            results[title] = dict(zip((subject.name for subject in subjects), found, strict=True))
    return results


def measure_growth(subjects: list[Subject], url: str, folder: Path, effort: Effort) -> dict[str, dict[str, Any]]:
    """A context and a handshake, in seconds: the first in a process, and the median of those that follow.

    With stores of several sizes, as directory and as bundle.  And the kilobytes that a further context holds.
    """
    blocks = (folder / "others.pem").read_text().split("-----END CERTIFICATE-----\n")
    others = [block + "-----END CERTIFICATE-----\n" for block in blocks[:-1]]
    results: dict[str, dict[str, Any]] = {"directory": {}, "bundle": {}}
    for size in effort.sizes:
        anchors = [*others[: size - 1], (folder / "ca.pem").read_text()]
        directory, bundle = folder / f"directory-{size}", folder / f"bundle-{size}.pem"
        make_directory(directory, anchors)
        bundle.write_text("".join(anchors))
        stores = {
            "directory": {"SSL_CERT_DIR": str(directory), "SSL_CERT_FILE": "/nonexistent"},
            "bundle": {"SSL_CERT_DIR": "/nonexistent", "SSL_CERT_FILE": str(bundle)},
        }
        for kind, store in stores.items():
            large = kind == "bundle" and size > 1000  # some 10 seconds for each context
            repetitions = 1 if large else 10
            results[kind][str(size)] = {}
            for subject in subjects:
                worker = Worker(subject, "context and handshake", url, store=store)
                first = worker.ask(1)[0]
                after = spread(worker.ask(repetitions))
                worker.close()
                results[kind][str(size)][subject.name] = {"first": first, **after}
                if not large:
                    worker = Worker(subject, "context", url, store=store)
                    before = worker.ask(1)
                    kilobytes = (worker.ask(repetitions) - before) / repetitions
                    worker.close()
                    results[kind][str(size)][subject.name]["kilobytes"] = kilobytes
    return results


def make_directory(folder: Path, anchors: Iterable[str]) -> None:
    folder.mkdir()
    for number, anchor in enumerate(anchors):
        (folder / f"{number}.pem").write_text(anchor)
    subprocess.run(["openssl", "rehash", folder], check=True)


# Each prints "accepted" or "refused".  argv: the address of a server whose CA is in the store, its certificate and key,
# and the file of a private CA that is not in the store.
PINNED = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[3])
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1].rsplit(":", 1)[1].strip("/")))) as connection:
        context.wrap_socket(connection, server_hostname="localhost").close()
    print("accepted")
except ssl.SSLCertVerificationError:
    print("refused")
"""
MUTUAL = """
import socket, ssl, sys, threading
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[2])
server.verify_mode = ssl.CERT_REQUIRED
server.load_verify_locations(sys.argv[3])
client = ssl._create_unverified_context()
client.load_cert_chain(sys.argv[2])
a, b = socket.socketpair()
def connect():
    try:
        client.wrap_socket(b).recv(1)
    except OSError:
        pass
thread = threading.Thread(target=connect)
thread.start()
try:
    server.wrap_socket(a, server_side=True).close()
    print("accepted")
except ssl.SSLError:
    a.close()
    print("refused")
thread.join()
"""
BEHAVIOUR = {
    "client pinned to a private CA, server certificate from a CA of the store": PINNED,
    "mTLS server that trusts a private CA only, client certificate from a CA of the store": MUTUAL,
}


def look_at_behaviour(subjects: list[Subject], url: str, folder: Path) -> dict[str, dict[str, str]]:
    files = folder / "server.pem", folder / "private.pem"
    return {
        title: {subject.name: subject.output(code, url, *files) for subject in subjects}
        for title, code in BEHAVIOUR.items()
    }


def machine(directory: str, effort: Effort, began: float) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "anchors": sum(1 for path in Path(directory).iterdir() if path.suffix[1:].isdigit()),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - began),
        "effort": vars(effort),
    }


def run(folder: Path, effort: Effort) -> dict[str, Any]:
    """Everything."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr)

    say("environments")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda name: make_environment(folder / name, *LIBRARIES, *SUBJECTS[name]), SUBJECTS)
        tools = make_environment(folder / "tools", "trustme", "cryptography", "matplotlib")
        subjects = [Subject(name, python) for name, python in zip(SUBJECTS, made, strict=True)]
    subprocess.run([tools, HERE / "certificates.py", folder, str(max(effort.sizes))], check=True)
    directory, store = ssl.get_default_verify_paths().openssl_capath, folder / "store"
    shutil.copytree(directory, store)
    shutil.copy(folder / "ca.pem", store)
    subprocess.run(["openssl", "rehash", store], check=True, stderr=subprocess.DEVNULL)  # warns of the bundle
    for subject in subjects:
        subject.store = {"SSL_CERT_DIR": str(store), "SSL_CERT_FILE": str(subject.bundle)}
    server = subprocess.Popen(
        [sys.executable, HERE / "server.py", folder / "server.pem"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = f"https://localhost:{int(server.stdout.readline())}/"
        results: dict[str, Any] = {"machine": {}}
        say("interpreter starts")
        results["starts"] = measure_starts(subjects, effort, folder)
        for subject in subjects:
            if subject.name != OURS:
                with subject.bundle.open("ab") as bundle:
                    bundle.write((folder / "ca.pem").read_bytes())
        results["behaviour"] = look_at_behaviour(subjects, url, folder)
        say("contexts, connections, handshakes")
        results["operations"] = measure_operations(subjects, url, effort)
        say("memory")
        results["memory"] = measure_memory([s for s in subjects if s.name != OFF], url, effort)
        say("growth with the store")
        results["growth"] = measure_growth(
            [subject for subject in subjects if subject.name in (BARE, OURS, BY_HAND)], url, folder, effort
        )
    finally:
        server.terminate()
        server.wait()
    results["machine"] = machine(directory, effort, began)
    say("tables and plots")
    write(results, tools)
    return results


def write(results: Mapping[str, Any], plotter: Path) -> None:
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(report.markdown(results))
    subprocess.run([plotter, HERE / "plots.py"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="little of everything, in 3 minutes: to see that it runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), QUICK if arguments.quick else Effort())
    print((HERE / "results.md").read_text())


if __name__ == "__main__":
    main()
