"""A server whose CA is only in the system store, and a program that uses requests: before and after.

Run it with a Python that has truststore-inject, requests and trustme.  Nothing of the machine is changed: a throw-away
directory stands for the system store, and the server listens on a loopback port.
"""

import os
import ssl
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

PROGRAM = "import requests, sys; print(requests.get(sys.argv[1]).text.strip())"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from a server of the company's own CA\n")

    def log_message(self, *arguments: object) -> None:
        pass


def run_program(url: str, store: Path, **variables: str) -> str:
    """The last line that the program prints, in an environment without anybody's CA settings."""
    env = {"PATH": os.environ["PATH"], "SSL_CERT_DIR": str(store), **variables}
    result = subprocess.run([sys.executable, "-c", PROGRAM, url], env=env, text=True, capture_output=True)
    return (result.stdout or result.stderr).strip().splitlines()[-1]


def main() -> int:
    corporate_ca = trustme.CA(organization_name="The company")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    corporate_ca.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_port}/"
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        corporate_ca.cert_pem.write_to_path(store / "company.pem")
        subprocess.run(["openssl", "rehash", store], check=True)
        before = run_program(url, store, TRUSTSTORE_INJECT="0")
        after = run_program(url, store)
    server.shutdown()
    print(f"{PROGRAM}\n\nwithout truststore-inject: {before}\n\nwith it: {after}")
    return 0 if "CERTIFICATE_VERIFY_FAILED" in before and after.startswith("hello") else 1


if __name__ == "__main__":
    sys.exit(main())
