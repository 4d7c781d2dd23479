"""docs/libraries.md: what matrix.py found, as a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clients import CLIENTS
from machines import LAYOUTS
from matrix import NOT_ASKED, QUESTIONS

PAGE = Path(__file__).parent.parent / "docs" / "libraries.md"
MARKS = {"accepted": "✓", "refused": "✗", NOT_ASKED: "-"}
VERDICTS = {mark: verdict for verdict, mark in MARKS.items()}


class Row(NamedTuple):
    """What a client said: for each of `QUESTIONS` a verdict for each of `LAYOUTS`."""

    library: str  # and its version
    cells: dict[str, list[str]]


def follows(said: dict[str, str]) -> bool:
    return said["CA in the store"] == "accepted"


def refuses(said: dict[str, str]) -> bool:
    return all(said[column] == "refused" for column in ("unknown CA", "wrong host", "expired"))


def exact(said: dict[str, str]) -> bool:
    others = [said["pinned: CA in the store"], said["pinned: extra CA"]]
    return said["pinned: its CA"] == "accepted" and set(others) == {"refused"}


def extra(said: dict[str, str]) -> bool:
    return said["extra CA"] == said["extra CA: CA in the store"] == "accepted"


def stock(said: dict[str, str]) -> bool:
    return said["opted out: CA in the store"] == "accepted"


# The columns of the summary.  Each is a question to what was said on one machine.
SUMMARY: dict[str, Callable[[dict[str, str]], bool]] = {
    "follows the store": follows,
    "and the extra CAs": extra,
    "refuses what it should": refuses,
    "its own CA stays exact": exact,
    "stock follows the store": stock,
}

HEAD = """# Client libraries

Written by `python tests/matrix.py` on {where}; do not edit.

Real requests to servers on loopback, with throw-away CAs, on four made-up machines whose store holds one of these CAs. No
variable was set but those that are named here.

1. Debian: a hashed directory, `/etc/ssl/certs`, and Python built for it.
2. Red Hat: a bundle below `/etc/pki`, and Python built for it.
3. Red Hat, and a Python built for `/etc/ssl`, as uv's: its OpenSSL finds no CA there.
4. Debian, and a Python whose OpenSSL looks at a bundle in Python's own prefix, as conda's.

One mark: so it is on all four. Four marks: so it is on each, in this order.

## Summary

{sentence}

"""

DETAILS = """
## Details

✓ the client accepts that server, ✗ it refuses it, - it cannot be asked. *Pinned*: the client is given a CA file of its own, in the
way that its documentation has for it. *Extra CA*: `TRUSTSTORE_INJECT_EXTRA_CA_CERTS` names one. *Opted out*:
`TRUSTSTORE_INJECT=0`, which is stock Python.

"""

NOTES = """
## Notes

* {ignores}: the chain is verified, the host name is not; so it is in stock.
* {adds}: the library adds a CA that it is given to its default trust (pip since 24.2); so it does in stock.
* {directory}: given a file, the library looks into OpenSSL's directory, too; so it does in stock.
* {no_extra}: the extra CAs do not reach it, see [Libraries with a TLS stack of their own](other-stacks.md), which has more of
  that kind.
* Not everybody can be asked for no verification: some have no switch for it, or not in all their versions.
* `requests_system_bundle` is requests with `REQUESTS_CA_BUNDLE`, which names the system's bundle: that is loaded as it is named,
  and the extra CAs with it.
* mysql-connector's C extension has no row: it needs OpenSSL 3.2, and so does not load where Python's `ssl` has loaded an older
  one, as in this run; `tests/test_stacks.py` shows that it follows the store in a process that loads the extension first.
* `gsutil` is installed by itself: it needs older versions of what others here need.
* `snowflake` 5 has a TLS stack of its own that asks the system store; before that it went through pyOpenSSL and certifi.

The roots of `rnet` and `wreq` are compiled in, out of reach. A file that they are given takes their place: the path that
`truststore-inject export FILE` writes, as `rnet.Client(verify=Path(...))` and `wreq.Client(tls_verify=Path(...))`; wreq also
takes `tls_verify=wreq.tls.CertStore(default_paths=True)`, OpenSSL's own places. The columns *pinned* show the first.

`niquests` finds the machine's CA files by itself, in fixed places, and gives them to its contexts as its own choice:
it verifies with the system store with this package and without, and `SSL_CERT_FILE`, `SSL_CERT_DIR` and
`TRUSTSTORE_INJECT_EXTRA_CA_CERTS` do not reach it. It is not in the table: its urllib3-future takes the name urllib3.
"""


def render(found: dict[str, Row], where: str) -> str:
    """The page."""
    marks = {client: _summary(row) for client, row in found.items()}
    follow = sum(line[0] == line[1] == MARKS["accepted"] for line in marks.values())
    stock = sum(line[-1] == MARKS["accepted"] for line in marks.values())
    sentence = (
        f"{follow} of {len(found)} clients follow the store, and the extra CAs, on all four machines. "
        f"Without this package {stock} of them follow the store on all four."
    )
    summary = [[f"`{client}`", found[client].library, *line] for client, line in marks.items()]
    details = [
        [f"`{client}`", *(_cell(row.cells[column], MARKS) for column in QUESTIONS)] for client, row in found.items()
    ]
    return (
        HEAD.format(where=where, sentence=sentence)
        + _table(["client", "library", *SUMMARY], summary)
        + DETAILS
        + _table(["client", *QUESTIONS], details)
        + NOTES.format(
            adds=_names("adds_to_default"),
            directory=_names("adds_a_directory"),
            ignores=_names("ignores_host"),
            no_extra=_names("no_extra_ca"),
        )
    )


def _names(way: str) -> str:
    return ", ".join(f"`{name}`" for name, client in CLIENTS.items() if getattr(client, way))


def _summary(row: Row) -> list[str]:
    machines = [dict(zip(row.cells, said, strict=True)) for said in zip(*row.cells.values(), strict=True)]
    marks = {True: MARKS["accepted"], False: MARKS["refused"]}
    return [_cell([ask(said) for said in machines], marks) for ask in SUMMARY.values()]


def _cell(values: list[str] | list[bool], marks: dict[str, str] | dict[bool, str]) -> str:
    """A mark for each machine, or one for all."""
    cell = "".join(marks[value] for value in values)  # type: ignore[index]
    return cell[:1] if len(set(cell)) == 1 else cell


def _table(head: list[str], rows: list[list[str]]) -> str:
    aligned = ["---" if name in ("client", "library") else ":-:" for name in head]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, aligned, *rows])


def parse(page: str) -> tuple[dict[str, Row], str]:
    """The arguments of `render` that gave `page`."""
    where = re.search(r" on (.*); do not edit", page)
    summary, details = (
        {client.strip("`"): cells for client, *cells in _rows(part)} for part in page.partition("\n## Details")[::2]
    )
    found = {}
    for client, cells in details.items():
        said = [[VERDICTS[mark] for mark in (cell if len(cell) > 1 else cell * len(LAYOUTS))] for cell in cells]
        found[client] = Row(summary[client][0], dict(zip(QUESTIONS, said, strict=True)))
    return found, where[1] if where else ""


def _rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
