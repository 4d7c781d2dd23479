"""On Windows or macOS, with the package: what default contexts and pinned handshakes cost, as ratios to stock, in one run.

``python native_contexts.py CA.pem HOST PORT``: a TLS server whose certificate CA.pem has signed.  Prints JSON.
"""

import json
import socket
import ssl
import sys
import time
from collections.abc import Callable
from statistics import median

import truststore_inject


def seconds(function: Callable[[], object], rounds: int) -> float:
    started = time.perf_counter()
    for _ in range(rounds):
        function()
    return time.perf_counter() - started


def main(cafile: str, host: str, port: str) -> None:
    pinned = ssl.create_default_context(cafile=cafile)

    def handshake() -> None:
        with socket.create_connection((host, int(port))) as connection:
            pinned.wrap_socket(connection, server_hostname=host).close()

    measured: dict[str, list[list[float]]] = {"100 contexts": [[], []], "50 pinned handshakes": [[], []]}
    for _ in range(5):
        for side, switch in enumerate((truststore_inject.inject, truststore_inject.extract)):
            switch()
            ssl.create_default_context()
            measured["100 contexts"][side].append(seconds(ssl.create_default_context, 100))
            measured["50 pinned handshakes"][side].append(seconds(handshake, 50))
    ratios = {name: round(median(ours) / median(stock), 3) for name, (ours, stock) in measured.items()}
    sys.stdout.write(json.dumps({"ratio": ratios, "seconds": measured}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
