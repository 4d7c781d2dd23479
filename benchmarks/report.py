"""``python report.py``: results.json as results.md and as the table in README.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from subjects import BARE, BUNDLE, DIRECTORY, HERE, OURS, OWN, PEERS, SYSTEMS

Rows = Mapping[str, Mapping[str, Any]]
LIMIT = 1.03
# Why a row is slower than that, by its operation or by its whole label.
EXPLANATIONS = {
    "python -c pass": "site runs a line more, and two files are loaded, for which Python lists site-packages: 0.6 ms. One file"
    " instead of two was tried and saves 0.1 to 0.2 ms, but then the package and its parts would import each other. The names"
    " of the patches are written down, which was cheaper than listing the folder. `truststore-inject run` is itself a Python"
    " program that starts first, and then becomes the command",
    "import ssl": "four files more: the hook, its record, what patches share, and the patch",
    "import aiohttp": "it makes two contexts when it is imported, and the first one in a process costs what a one-shot urlopen"
    " does",
    "one-shot requests.get": "the first context in a process loads this package's modules (1.4 ms), `_ctypes` and OpenSSL's"
    " functions (1 ms), and looks for the store; with a bundle, stock reads certifi's, and the package the system's, which has"
    " more anchors",
    "one-shot urlopen": "as for requests; and from a directory stock reads nothing, while the package asks OpenSSL whether it"
    " finds a CA there, and compares each file with the bundle beside them, which Debian's OpenSSL does not read. Once in a"
    " process",
    "ssl.create_default_context()": "0.03 ms: whether anything has changed in the places of the store",
    "httpx2.Client()": "it names OpenSSL's file and directory, so each context asks twice whether that is the default",
    "httpx2.get": "the client, as above",
    "urlopen": "the context, as above",
    "requests.get, verify=False": "requests loads the default anchors even so: the context, as above",
    "handshake on a truststore.SSLContext": "truststore loads the store at each handshake, and the package looks each time whether"
    " anything has changed",
    "aiohttp, no keep-alive": "nothing that the package does: its contexts are made once, and a handshake costs what it costs in"
    " stock Python. The turns are as far apart",
    "aiohttp.ClientSession() and a request": "as for aiohttp without keep-alive",
}


def write() -> None:
    results = json.loads((HERE / "results.json").read_text())
    (HERE / "results.md").write_text(markdown(results))
    readme = HERE.parent / "README.md"
    begin, end = "<!-- benchmarks/report.py -->", "<!-- /benchmarks/report.py -->"
    between = re.compile(f"(?<={begin}\n).*(?={end})", re.DOTALL)
    readme.write_text(between.sub(lambda _: short(results), readme.read_text()))


def markdown(results: Mapping[str, Any]) -> str:
    machine, newer = results["machine"], results["newer"]
    parts = [
        "# What it costs",
        "Python {python}, {openssl}, {system}, a store of {anchors} anchors (certifi's bundle has {certifi}), {date}; {seconds} seconds for all of this. Each"
        " program ran in a made-up machine whose store is a hashed directory or a bundle, in the places where Debian and Red"
        " Hat have them; no variable was set but those that a row names. [How it is"
        " measured](https://github.com/truststore-inject/truststore-inject/tree/main/benchmarks).".format(**machine),
        "## Aims, and what was reached",
        aims(results["sections"]),
        f"## Slower than stock by more than {LIMIT - 1:.0%}",
        slower(results),
        "## All figures",
        *tables(results["sections"]),
        table("modules / system calls / files opened (strace -f)", results["traces"], counts),
        *(
            table(f"{kind} {' / '.join(first[OURS])}: resident MB, descriptors, temporary files", rows, holdings)
            for kind, rows in results["held"].items()
            for first in (next(iter(rows.values())),)
        ),
        *(
            table(f"a context and a handshake, ms: the first / the next; anchors in a {kind}", rows, growth)
            for kind, rows in results["growth"].items()
        ),
        table("verdict", results["behaviour"], str),
        "## Python {python}, {openssl}".format(**newer["machine"]),
        *tables(newer["sections"]),
    ]
    return "\n\n".join(parts) + "\n"


TABLES = {
    "starts": "CPU time of a start: ratio to bare, median in ms",
    "bases": "CPU time of a start of a base interpreter: ratio to bare, median in ms",
    "one request": "CPU time of `python -c` with one request: ratio to bare, median in ms",
    "contexts": "a context, ms: median and quartiles, and the ratio to bare turn by turn",
    "connections": "a new connection, ms: median and quartiles, and the ratio to bare turn by turn",
    "handshakes": "handshakes, ms: median and quartiles, and the ratio to bare turn by turn",
    "event loop": "longest block of the event loop, ms: median and quartiles, and the ratio to bare turn by turn",
}


def tables(sections: Mapping[str, Rows]) -> Iterable[str]:
    """A table for each set of columns: a row that was measured for fewer subjects does not go with the others."""
    for name, title in TABLES.items():
        groups: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
        for label, row in sections.get(name, {}).items():
            groups.setdefault(tuple(row), {})[label] = row
        cell = start if title.startswith("CPU") else milliseconds
        yield from (table(title, rows, cell) for rows in groups.values())


def table(title: str, rows: Rows, cell: Callable[[Any], str]) -> str:
    names = list(next(iter(rows.values())))
    lines = ((label, *(cell(row[name]) for name in names)) for label, row in rows.items())
    return grid((title, *names), lines)


def grid(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)).replace(" --- ", "---")


def start(numbers: Any) -> str:
    return f"{numbers['ratio']:.2f} ({numbers['median'] * 1000:.0f})"


def counts(numbers: Any) -> str:
    return " / ".join(str(numbers[name]) for name in ("modules", "system calls", "files opened"))


def milliseconds(numbers: Any) -> str:
    low, high = (1000 * value for value in numbers["quartiles"])
    return f"{numbers['median'] * 1000:.2f} ({low:.2f} to {high:.2f}), {numbers['ratio']:.2f}x"


def holdings(numbers: Any) -> str:
    return ", ".join(
        " / ".join(f"{one[name] / divisor:.0f}" for one in numbers.values())
        for name, divisor in (("kilobytes", 1024), ("descriptors", 1), ("files", 1))
    )


def growth(numbers: Any) -> str:
    return f"{numbers['first'] * 1000:.1f} / {numbers['median'] * 1000:.1f}"


def slower(results: Mapping[str, Any]) -> str:
    rows = [
        (
            label,
            python,
            name,
            f"{numbers['ratio']:.3f}",
            f"{row[BARE]['median'] * 1000:.2f}",
            f"{numbers['median'] * 1000:.2f}",
            EXPLANATIONS.get(label) or EXPLANATIONS.get(label.partition("; ")[0]) or "**not explained yet**",
        )
        for python, sections in (
            (results["machine"]["python"], results["sections"]),
            (results["newer"]["machine"]["python"], results["newer"]["sections"]),
        )
        for rows in sections.values()
        for label, row in rows.items()
        for name, numbers in row.items()
        if name not in (BARE, *PEERS) and numbers["ratio"] > LIMIT
    ]
    if not rows:
        return "Nothing."
    about = (
        "Each row of the tables below whose median ratio to stock is above that, with either Python. The quartiles say how"
        " far the turns were apart."
    )
    return f"{about}\n\n" + grid(("what", "Python", "with", "ratio", "stock, ms", "with it, ms", "why"), rows)


def aims(sections: Mapping[str, Rows]) -> str:
    """The figures that this package is to reach, from one run."""

    def ours(section: str, label: str) -> Any:
        return sections[section][label][OURS]

    def ratio(section: str, *labels: str) -> str:
        return f"{max(ours(section, label)['ratio'] for label in labels):.3f}"

    def faster(label: str, *names: str) -> str:
        row = sections["connections"][label]
        return f"{min(row[name]['median'] / row[OURS]['median'] for name in names):.1f}"

    def context(operation: str) -> str:
        return f"{ours('contexts', operation)['median'] * 1000:.2f} ms"

    default = f"ssl.create_default_context(); {DIRECTORY}"
    own = f"ssl.create_default_context(cafile=own); {DIRECTORY}"
    rows = [
        ("CPU time of `python -c pass`", "at most 1.06 of bare", ratio("starts", "python -c pass")),
        (
            "CPU time of `import requests`, `aiohttp`, `httpx`",
            "at most 1.03 of bare",
            ratio("starts", *(f"import {name}" for name in ("requests", "aiohttp", "httpx"))),
        ),
        (
            "a one-shot `requests.get`, in any layout",
            "at most 1.03 of stock",
            ratio("one request", *(f"one-shot requests.get; {place}" for place in (DIRECTORY, BUNDLE, SYSTEMS, OWN))),
        ),
        ("a default context from a hashed directory", "at most 0.2 ms", context(default)),
        ("a context from a file, after the first", "at most 0.6 ms", context(own)),
        (
            "a new connection, requests, directory",
            "6 times faster than stock",
            faster(f"requests.get; {DIRECTORY}", BARE),
        ),
        ("the same, bundle", "15 times faster than the peers", faster(f"requests.get; {BUNDLE}", *PEERS)),
        (
            "a handshake on a shared context",
            "at most 1.02 of stock",
            ratio("handshakes", *(f"handshake on a shared context; {place}" for place in (DIRECTORY, BUNDLE))),
        ),
    ]
    return grid(("what", "aim", "measured"), rows)


def short(results: Mapping[str, Any]) -> str:
    """README's table."""
    sections, machine = results["sections"], results["machine"]
    names = (BARE, OURS, *PEERS[:2])

    def row(title: str, section: str, label: str, *, ratio: bool = False) -> list[str]:
        numbers = [sections[section][label][name] for name in names]
        return [title, *(f"{one['ratio']:.2f}" if ratio else f"{one['median'] * 1000:.1f}" for one in numbers)]

    verdicts = results["behaviour"][next(iter(results["behaviour"]))]
    rows = [
        row("start of an interpreter, relative", "starts", "python -c pass", ratio=True),
        *(
            row(f"`{library}.get`, new connection, store a {place}, ms", "connections", f"{library}.get; {place}")
            for library in ("requests", "httpx")
            for place in (DIRECTORY, BUNDLE)
        ),
        row(
            "handshake on a shared context, store a bundle, ms",
            "handshakes",
            f"handshake on a shared context; {BUNDLE}",
        ),
        [
            "a client that is pinned to a private CA accepts a server of the store",
            *("**yes**" if verdicts[name] == "accepted" else "no" for name in names),
        ],
    ]
    about = "CPython {}, {}, Linux, a store of {} anchors, {}.".format(
        machine["python"].rpartition(".")[0],
        " ".join(machine["openssl"].split()[:2]),
        machine["anchors"],
        machine["date"],
    )
    return f"{grid(('', 'stock Python', *names[1:]), rows)}\n\n{about}\n"


if __name__ == "__main__":
    write()
