"""Measure this package beside a bare environment, the same opted out, and its peers, in one run.

``python3 benchmarks/run.py [--quick]`` makes an environment for each of them in a temporary folder (with pip, from the
package index), measures them in turn, and writes results.json, results.md, the plots and README's table.  It needs Linux,
openssl, strace, a hashed store, and root or user namespaces; on a quiet machine with two cores it takes 20 minutes.  A
newer Python comes from tests/pythons.sh (Debian only), or is named with ``--newer``.

The server's CA is a throw-away one.  All runs in made-up machines (tests/machines.py) whose store has it, so that no
variable is set where the row does not say so.  Everybody but this package needs the CA in certifi's bundle too, and gets it
there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import report
from subjects import (
    BARE,
    BUNDLE,
    BY_HAND,
    DIRECTORY,
    HERE,
    OURS,
    OWN,
    PEERS,
    STARTS,
    SUBJECTS,
    SYSTEMS,
    Bench,
    Subject,
    Worker,
    bench,
)

Numbers = dict[str, Any]
FEW = (BARE, OURS, BY_HAND)


@dataclass(frozen=True)
class Row:
    """An operation in a place, how often it is done in a turn, and its turns at most."""

    operation: str
    place: str = DIRECTORY
    repetitions: int = 5
    turns: int = 50
    budget: float = 1.5  # seconds for each subject, half of it for a peer: then its turns end
    names: Iterable[str] = tuple(SUBJECTS)
    short: bool = False  # measured with the newer Python, too

    @property
    def label(self) -> str:
        if self.operation in STARTS and "one-shot" not in self.operation:  # no store is read
            return self.operation
        return f"{self.operation}; {self.place}"


def starts(operation: str, place: str = DIRECTORY, turns: int = 120, **options: Any) -> Row:
    return Row(operation, place, repetitions=1, turns=turns, budget=5, **options)


# The tables, and their rows.
SECTIONS = {
    "starts": [
        starts("python -c pass", short=True),
        starts("import ssl"),
        starts("import requests", short=True),
        starts("import aiohttp"),
        starts("import httpx"),
        starts("import httpx2"),
    ],
    "one request": [
        starts("one-shot requests.get", place, names=SUBJECTS if place in (DIRECTORY, BUNDLE) else FEW, short=True)
        for place in (DIRECTORY, BUNDLE, SYSTEMS, OWN)
    ]
    # Without certifi's bundle: what requests and httpx save there does not hide what the first context costs.
    + [starts("one-shot urlopen", place, names=FEW, short=True) for place in (DIRECTORY, BUNDLE)],
    "contexts": [
        Row("ssl.create_default_context()", short=True),
        Row("ssl.create_default_context()", BUNDLE, short=True),
        Row("ssl.create_default_context(cafile=own)", short=True),
        Row("httpx.Client()"),
        Row("httpx2.Client()"),
        Row("httpx2.Client()", BUNDLE),
        Row("requests.Session(), first request"),
    ],
    "connections": [
        Row("requests.get", short=True),
        Row("requests.get", BUNDLE, short=True),
        Row("requests.get", SYSTEMS, names=FEW),
        Row("requests.get", OWN, names=FEW),
        Row("httpx.get", short=True),
        Row("httpx.get", BUNDLE),
        Row("httpx2.get", short=True),
        Row("httpx2.get", BUNDLE),
        Row("urlopen"),
        Row("urlopen", BUNDLE),
        Row("aiohttp, no keep-alive"),
        Row("aiohttp, no keep-alive", BUNDLE),
        # What a connection costs that nobody verifies: less cannot be reached.  (requests loads the default anchors even so.)
        Row("requests.get, verify=False"),
        Row("httpx.get, verify=False"),
    ],
    "handshakes": [
        # Two percent have to be told from none.
        Row("handshake on a shared context", repetitions=10, turns=300, budget=4, short=True),
        Row("handshake on a shared context", BUNDLE, repetitions=10, turns=300, budget=3),
        Row("16 handshakes at once on a shared context", repetitions=1, turns=63),  # 1,000 handshakes
        Row("handshake on a truststore.SSLContext", short=True),
        Row("handshake on a truststore.SSLContext", BUNDLE),
    ],
    "event loop": [
        Row("httpx.AsyncClient() and a request", repetitions=3),
        Row("aiohttp.ClientSession() and a request", repetitions=3),
    ],
}
CONNECTIONS = ("requests.get", "httpx.get", "httpx2.get", "aiohttp, no keep-alive")
KEPT = (("context", DIRECTORY), ("context", BUNDLE), ("httpx.Client", DIRECTORY), ("requests.Session", DIRECTORY))


@dataclass
class Effort:
    """How much is measured."""

    turns: int = 300  # at most, of each row
    sizes: tuple[int, ...] = (10, 150, 1000, 10000)  # anchors
    clients: tuple[int, ...] = (1, 100, 1000)
    connections: tuple[int, ...] = (100, 1000, 10000)  # stock Python makes all but the last


QUICK = Effort(turns=3, sizes=(10, 150), clients=(1, 20), connections=(10, 20, 30))


def spread(values: list[float], bare: list[float] | None = None) -> Numbers:
    """The median and the quartiles, in the unit of `values`; the ratio to `bare`, turn by turn.

    Turn by turn, so that a drift of the machine cancels out.
    """
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    found: Numbers = {"median": median, "quartiles": [low, high], "n": len(values)}
    if bare is not None:
        found["ratio"] = statistics.median(a / b for a, b in zip(values, bare, strict=False))
    return found


def measure(bench: Bench, subjects: Iterable[Subject], row: Row) -> dict[str, Numbers]:
    """Each subject has a process, which is asked in turn; a turn gives one value, the median of its repetitions."""
    workers = [Worker(bench, subject, row.operation, row.place) for subject in subjects]
    times: dict[str, list[float]] = {worker.subject.name: [] for worker in workers}
    spent = dict.fromkeys(times, 0.0)
    for worker in workers:
        worker.ask(2)  # warm-up
    for turn in range(row.turns):
        for worker in workers if turn % 2 else workers[::-1]:
            name = worker.subject.name
            if spent[name] < (row.budget / 2 if name in PEERS else row.budget):
                began = time.perf_counter()
                times[name].append(statistics.median(worker.ask(row.repetitions)["seconds"]))
                spent[name] += time.perf_counter() - began
    for worker in workers:
        worker.close()
    return {name: spread(values, times[BARE]) for name, values in times.items()}


def measure_sections(bench: Bench, effort: Effort, *, short: bool = False) -> dict[str, dict[str, dict[str, Numbers]]]:
    return {
        section: {
            row.label: measure(
                bench,
                [subject for subject in bench.subjects if subject.name in row.names],
                replace(row, turns=min(row.turns, effort.turns)),
            )
            for row in rows
            if row.short or not short
        }
        for section, rows in SECTIONS.items()
        if not short or any(row.short for row in rows)
    }


def measure_holdings(bench: Bench, effort: Effort) -> dict[str, dict[str, dict[str, Numbers]]]:
    """What a process holds with so many contexts or clients, and after so many connections.

    Two processes at a time: this is no time.
    """

    def held(subject: Subject, operation: str, place: str, counts: Iterable[int]) -> Numbers:
        worker, before, found = Worker(bench, subject, operation, place), 0, {}
        for count in counts:
            answer = worker.ask(count - before)
            found[str(count)] = {name: answer[name] for name in ("kilobytes", "descriptors", "files")}
            before = count
        worker.close()
        return found

    pair = [subject for subject in bench.subjects if subject.name in (BARE, OURS)]
    asked = [("with", one, Row(*what), effort.clients) for what in KEPT for one in pair] + [
        ("after", one, Row(what), effort.connections if one.name == OURS else effort.connections[:-1])
        for what in CONNECTIONS
        for one in pair
    ]
    results: dict[str, dict[str, dict[str, Numbers]]] = {"with": {}, "after": {}}
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda one: held(one[1], one[2].operation, one[2].place, one[3]), asked)
        for (kind, subject, row, _), numbers in zip(asked, found, strict=True):
            results[kind].setdefault(row.label, {})[subject.name] = numbers
    return results


def measure_growth(bench: Bench, effort: Effort) -> dict[str, dict[str, Any]]:
    """A context and a handshake, in seconds: the first in a process, and the median of those that follow."""
    results: dict[str, dict[str, Any]] = {"directory": {}, "bundle": {}}
    for kind, rows in results.items():
        for size in effort.sizes:
            large = kind == "bundle" and size > 1000  # some 10 seconds for each context
            rows[str(size)] = {}
            for subject in (one for one in bench.subjects if one.name in FEW):
                worker = Worker(bench, subject, "context and handshake", f"{kind}-{size}")
                (first,) = worker.ask(1)["seconds"]
                rows[str(size)][subject.name] = {"first": first, **spread(worker.ask(1 if large else 10)["seconds"])}
                worker.close()
    return results


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


def look_at_behaviour(bench: Bench) -> dict[str, dict[str, str]]:
    arguments = bench.url, bench.folder / "server.pem", bench.folder / "private.pem"
    return {
        title: {subject.name: bench.output(subject, code, *arguments) for subject in bench.subjects}
        for title, code in BEHAVIOUR.items()
    }


ABOUT = """
import certifi, json, platform, ssl
anchors = certifi.contents().count("BEGIN CERTIFICATE")
print(json.dumps({"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION, "certifi": anchors}))
"""


def about(bench: Bench) -> dict[str, Any]:
    return {**json.loads(bench.output(bench.subjects[0], ABOUT)), "anchors": bench.anchors}


def newer_python() -> str:
    """Fetched once, into the folder that CI has too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "truststore-inject-pythons"
    command, env = [HERE.parent / "tests" / "pythons.sh", cache], {**os.environ, "WANTED": "python3.14"}
    return f"{subprocess.check_output(command, env=env, text=True).strip()}/python3.14"


def run(folder: Path, effort: Effort, newer: str) -> None:
    """Everything."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr)

    results: dict[str, Any] = {}
    say("environments")
    with bench(sys.executable, folder / "main", SUBJECTS, effort.sizes) as main:
        results["machine"] = {
            **about(main),
            "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "date": time.strftime("%Y-%m-%d"),
        }
        results["behaviour"] = look_at_behaviour(main)
        say("system calls")
        results["traces"] = {
            title: {subject.name: subject.trace(code, folder / "strace.log") for subject in main.subjects}
            for title, code in STARTS.items()
            if "one-shot" not in title
        }
        say("starts, contexts, connections, handshakes")
        results["sections"] = measure_sections(main, effort)
        say("base and run")
        results["sections"]["bases"] = {
            row.label: measure(main, main.bases, replace(row, turns=min(row.turns, effort.turns)))
            for row in SECTIONS["starts"][:2]
        }
        say("what is held")
        results["held"] = measure_holdings(main, effort)
        say("growth with the store")
        results["growth"] = measure_growth(main, effort)
        say("the newer Python")
        with bench(newer, folder / "newer", (BARE, OURS)) as other:
            results["newer"] = {"machine": about(other), "sections": measure_sections(other, effort, short=True)}
        results["machine"]["seconds"] = round(time.monotonic() - began)
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        report.write()
        subprocess.run([main.tools, HERE / "plots.py"], check=True)
    say("done")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="little of everything, in 5 minutes: to see that it runs")
    parser.add_argument("--connections", type=int, help="how many are made to see what grows (default: 10,000)")
    parser.add_argument("--newer", metavar="PYTHON", help="a Python with a newer OpenSSL")
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else Effort()
    if arguments.connections:
        effort = replace(effort, connections=(*effort.connections[:-1], arguments.connections))
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), effort, arguments.newer or newer_python())


if __name__ == "__main__":
    main()
