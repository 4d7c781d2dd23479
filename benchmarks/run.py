"""Measure this package beside a bare environment, the same opted out, and its peers, in one run.

``python3 benchmarks/run.py [--pairs 40]`` makes an environment for each of them in a temporary folder (with pip, from the
package index), measures them in turn, and writes benchmarks/results.json and benchmarks/results.md.  Byte code is cached.

The server's CA is a throw-away one.  ``SSL_CERT_DIR`` is a copy of this machine's hashed directory with that CA added, and
``SSL_CERT_FILE`` the environment's own certifi bundle, so that OpenSSL's default includes a bundle, as on RHEL, on Alpine
and in many containers.  Everybody but this package needs the CA in certifi's bundle too, and gets it there.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
LIBRARIES = ["requests", "httpx", "aiohttp"]
SUBJECTS = {
    "bare": [],
    "truststore-inject": [str(PROJECT)],
    "opted out": [str(PROJECT)],
    "auto-truststore": ["auto-truststore"],
    "pip-system-certs": ["pip-system-certs"],
}
STARTS = {
    "python -c pass": "pass",
    "import ssl": "import ssl",
    "import requests": "import requests",
    "import aiohttp": "import aiohttp",
    "import httpx": "import httpx",
}
# Each prints the median of its own repetitions in seconds, after a warm-up; URL is the server's.
TIMED = {
    "ssl.create_default_context()": "import ssl\ndef once(): ssl.create_default_context()",
    "requests.get, new connection": "import requests\ndef once(): requests.get(URL)",
    "httpx.get, new connection": "import httpx\ndef once(): httpx.get(URL)",
    "urlopen, new connection": "from urllib.request import urlopen\ndef once(): urlopen(URL).close()",
    "handshake on a shared context": """
import socket, ssl
context = ssl.create_default_context()
address = ("127.0.0.1", int(URL.rsplit(":", 1)[1].strip("/")))
def once():
    with socket.create_connection(address) as connection:
        context.wrap_socket(connection, server_hostname="localhost").close()
""",
}
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
LOOP = """
import statistics, sys, time
URL = sys.argv[1]
{code}
for _ in range(3): once()
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter(); once(); times.append(time.perf_counter() - start)
print(statistics.median(times))
"""


class Subject:
    """One environment, and the variables that it is run with."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.python = folder / name.replace(" ", "-") / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", self.python.parent.parent], check=True)
        command = [self.python, "-m", "pip", "install", "-q", *LIBRARIES, *SUBJECTS[name]]
        subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"})
        self.variables = {"TRUSTSTORE_INJECT": "0"} if name == "opted out" else {}

    def cpu(self, code: str) -> float:
        """Seconds of user and system time of ``python -c code``."""
        env = {"PATH": os.defpath, **self.variables}
        child = os.posix_spawn(self.python, [str(self.python), "-c", code], env)
        _, status, usage = os.wait4(child, 0)
        if status:
            raise RuntimeError(f"{self.name}: {code!r} ended with status {status}")
        return usage.ru_utime + usage.ru_stime

    @property
    def bundle(self) -> Path:
        """That of its certifi."""
        (bundle,) = self.python.parent.parent.glob("lib/python*/site-packages/certifi/cacert.pem")
        return bundle

    def output(self, store: Path, code: str, *arguments: object) -> str:
        env = {"PATH": os.defpath, "SSL_CERT_DIR": str(store), "SSL_CERT_FILE": str(self.bundle), **self.variables}
        command = [self.python, "-c", code, *map(str, arguments)]
        return subprocess.run(command, check=True, env=env, capture_output=True, text=True).stdout.strip()


def spread(values: list[float]) -> dict[str, float]:
    """In the unit of the values."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "n": len(values)}


def measure_starts(subjects: list[Subject], pairs: int) -> dict[str, dict[str, dict[str, float]]]:
    """CPU time as a ratio to the bare environment, pair by pair, so that a drift of the machine cancels out."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for title, code in STARTS.items():
        times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(pairs + 2):
            for subject in subjects if turn % 2 else subjects[::-1]:
                seconds = subject.cpu(code)
                if turn >= 2:
                    times[subject.name].append(seconds)
        bare = times["bare"]
        results[title] = {
            name: {"ratio": statistics.median(a / b for a, b in zip(values, bare, strict=True)), **spread(values)}
            for name, values in times.items()
        }
    return results


def measure_connections(
    subjects: list[Subject], url: str, rounds: int, store: Path
) -> dict[str, dict[str, dict[str, float]]]:
    results: dict[str, dict[str, dict[str, float]]] = {}
    for title, code in TIMED.items():
        times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(rounds):
            for subject in subjects if turn % 2 else subjects[::-1]:
                times[subject.name].append(float(subject.output(store, LOOP.format(code=code), url, 20)))
        results[title] = {name: spread(values) for name, values in times.items()}
    return results


SERVER = """
import ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *arguments): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
"""
CERTIFICATE = """
import sys, trustme
ca = trustme.CA()
ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(sys.argv[1])
ca.cert_pem.write_to_path(sys.argv[2])
trustme.CA().cert_pem.write_to_path(sys.argv[3])
"""


def start_server(python: Path, store: Path, server_pem: Path, private_ca: Path) -> tuple[subprocess.Popen[str], str]:
    """A server whose CA is in `store`, in a process of its own."""
    subprocess.run([python, "-m", "pip", "install", "-q", "trustme"], check=True)
    subprocess.run([python, "-c", CERTIFICATE, server_pem, store / "throw-away.pem", private_ca], check=True)
    subprocess.run(["openssl", "rehash", store], check=True)
    process = subprocess.Popen([sys.executable, "-c", SERVER, server_pem], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, f"https://localhost:{int(process.stdout.readline())}/"


def look_at_behaviour(
    subjects: list[Subject], url: str, store: Path, server_pem: Path, private_ca: Path
) -> dict[str, dict[str, str]]:
    return {
        title: {subject.name: subject.output(store, code, url, server_pem, private_ca) for subject in subjects}
        for title, code in BEHAVIOUR.items()
    }


def table(title: str, rows: dict[str, dict[str, Any]], cell: Callable[[Any], str]) -> str:
    lines = [f"| {title} | {' | '.join(SUBJECTS)} |", "|---" * (len(SUBJECTS) + 1) + "|"]
    lines += [f"| {label} | {' | '.join(cell(row[name]) for name in SUBJECTS)} |" for label, row in rows.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="interpreter starts of each kind (default: 40)")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each timed operation (default: 5)")
    arguments = parser.parse_args()
    directory = ssl.get_default_verify_paths().openssl_capath
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store"
        shutil.copytree(directory, store)
        subjects = [Subject(folder, name) for name in SUBJECTS]
        server_pem, private_ca = folder / "server.pem", folder / "private.pem"
        process, url = start_server(subjects[0].python, store, server_pem, private_ca)
        try:
            starts = measure_starts(subjects, arguments.pairs)
            for subject in subjects:
                if subject.name != "truststore-inject":
                    with subject.bundle.open("ab") as bundle:
                        bundle.write((store / "throw-away.pem").read_bytes())
            behaviour = look_at_behaviour(subjects, url, store, server_pem, private_ca)
            connections = measure_connections(subjects, url, arguments.rounds, store)
        finally:
            process.terminate()
            process.wait()
    machine = {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "anchors": sum(1 for path in Path(directory).iterdir() if path.suffix[1:].isdigit()),
        "date": time.strftime("%Y-%m-%d"),
    }
    results = {"machine": machine, "starts": starts, "connections": connections, "behaviour": behaviour}
    here = Path(__file__).parent
    (here / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = "\n\n".join(
        (
            "Python {python}, {openssl}, {system}, a store of {anchors} anchors, {date}.".format(**machine),
            table(
                f"CPU time of a start, as a ratio to bare ({arguments.pairs} pairs)",
                starts,
                lambda found: f"{found['ratio']:.2f}",
            ),
            table(
                f"Milliseconds, median of {arguments.rounds} processes with 20 repetitions",
                connections,
                lambda found: f"{found['median'] * 1000:.2f}",
            ),
            table("Verdict", behaviour, str),
        )
    )
    (here / "results.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
