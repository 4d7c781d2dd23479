"""For a Windows or macOS machine: ``native_machine.py write FOLDER`` makes CAs, ``check FOLDER`` uses them.

Between the two, the machine is told to trust FOLDER/system.pem (.github/workflows/test.yml).
"""

from __future__ import annotations

import datetime
import json
import ssl
import sys
from pathlib import Path

from harness import HERE, HOSTS, Authorities, environment, run
from servers import Server
from test_clients import CERTIFI, OPENSSL, REFUSED


def write(folder: Path) -> None:
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    year = {
        "not_before": now - day,
        "not_after": now + 300 * day,
    }  # macOS refuses what is valid for longer than 825 days
    authorities = Authorities()
    system, private, unknown = authorities.system, authorities.private, authorities.unknown
    leaves = {
        "system": system.issue_cert(*HOSTS, **year),
        "intermediate": system.create_child_ca().issue_cert(*HOSTS, **year),
        "private": private.issue_cert(*HOSTS, **year),
        "unknown": unknown.issue_cert(*HOSTS, **year),
        "wrong_host": system.issue_cert("other.example", **year),
        "expired": system.issue_cert(*HOSTS, not_before=now - 20 * day, not_after=now - 10 * day),
    }
    folder.mkdir(parents=True, exist_ok=True)
    system.cert_pem.write_to_path(folder / "system.pem")
    private.cert_pem.write_to_path(folder / "private.pem")
    for case, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(folder / f"server-{case}.pem")


def check(folder: Path) -> None:
    """Every client library, with default trust and pinned.  Raises `AssertionError`."""
    urls = {}
    for file in folder.glob("server-*.pem"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        urls[file.stem.partition("-")[2]] = Server(context).url
    assert urls
    env = environment()
    del env["SSL_CERT_FILE"]  # httpx would insist on it
    system = {**REFUSED, "system": "accepted", "intermediate": "accepted"}
    pinned = {**dict.fromkeys(urls, "refused"), "private": "accepted"}
    for client in [*CERTIFI, *OPENSSL]:
        for trust, expected in (("default", system), (str(folder / "private.pem"), pinned)):
            result = run(HERE / "clients", client, trust, json.dumps(urls), env=env)
            assert result.returncode == 0, result.stderr
            found = json.loads(result.stdout)
            assert found == {case: expected[case] for case in urls}, (client, trust, found)
            print(client, "default trust" if trust == "default" else "pinned", "as expected")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]))
