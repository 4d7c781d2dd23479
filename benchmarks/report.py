"""results.json as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from subjects import BARE, OURS, PEERS, SUBJECTS

Rows = Mapping[str, Mapping[str, Any]]


def markdown(results: Mapping[str, Any]) -> str:
    machine, operations = results["machine"], results["operations"]
    about = (
        "Python {python}, {openssl}, {system}, a store of {anchors} anchors, {date}; {effort[pairs]} starts of each kind, "
        "at most {effort[turns]} turns of each operation, {seconds} seconds in all.".format(**machine)
    )
    seconds = "median and quartiles, and the ratio to bare turn by turn"
    return (
        "\n\n".join(
            [
                about,
                "Aims, and what was reached:\n\n" + aims(results),
                table("CPU time of a start: ratio to bare, median in ms", results["starts"], lambda n: start(n["cpu"])),
                table(
                    "wall time of a start: ratio to bare, median in ms", results["starts"], lambda n: start(n["wall"])
                ),
                table("modules / system calls / files opened (strace -f)", results["starts"], counts),
                table(f"a context, ms: {seconds}", operations["contexts"], milliseconds),
                table(f"a new connection, ms: {seconds}", operations["connections"], milliseconds),
                table(f"handshakes, ms: {seconds}", operations["handshakes"], milliseconds),
                table("longest block of the event loop, ms", operations["event loop"], milliseconds),
                *(
                    table(f"resident memory, MB, with {' / '.join(rows[BARE])}", {title: rows}, megabytes)
                    for title, rows in results["memory"].items()
                ),
                *(
                    table(f"a context and a handshake, ms: the first / the next; anchors in a {kind}", rows, growth)
                    for kind, rows in results["growth"].items()
                ),
                *(
                    table(f"kB for each further context; anchors in a {kind}", rows, further)
                    for kind, rows in results["growth"].items()
                ),
                table("verdict", results["behaviour"], str),
            ]
        ).replace("`\n\n`", "`\n`")
        + "\n"
    )


def table(title: str, rows: Rows, cell: Callable[[Any], str]) -> str:
    names = [name for name in SUBJECTS if name in next(iter(rows.values()))]
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {label} | {' | '.join(cell(row[name]) for name in names)} |" for label, row in rows.items()]
    return "\n".join(lines)


def start(numbers: Any) -> str:
    return f"{numbers['ratio']:.2f} ({numbers['median'] * 1000:.0f})"


def counts(numbers: Any) -> str:
    return " / ".join(str(numbers[name]) for name in ("modules", "system calls", "files opened"))


def milliseconds(numbers: Any) -> str:
    low, high = (1000 * value for value in numbers["quartiles"])
    return f"{numbers['median'] * 1000:.2f} ({low:.2f} to {high:.2f}), {numbers['ratio']:.2f}x"


def megabytes(numbers: Any) -> str:
    return " / ".join(f"{kilobytes / 1024:.0f}" for kilobytes in numbers.values())


def growth(numbers: Any) -> str:
    return f"{numbers['first'] * 1000:.1f} / {numbers['median'] * 1000:.1f}"


def further(numbers: Any) -> str:
    return f"{numbers['kilobytes']:.0f}" if "kilobytes" in numbers else "-"


def aims(results: Mapping[str, Any]) -> str:
    """The figures that this package is to reach, from one run."""
    starts, operations = results["starts"], results["operations"]
    connections = operations["connections"]

    def faster(names: Iterable[str], than: str = OURS, options: str = "") -> float:
        return min(
            connections[get][name]["median"] / connections[get + options][than]["median"]
            for get in ("requests.get", "httpx.get")
            for name in names
        )

    imports = max(starts[f"import {name}"][OURS]["cpu"]["ratio"] for name in ("requests", "aiohttp", "httpx"))
    rows = [
        (
            "CPU time of `python -c pass`",
            "at most 1.10 of bare",
            f"{starts['python -c pass'][OURS]['cpu']['ratio']:.3f}",
        ),
        ("CPU time of `import requests`, `aiohttp`, `httpx`", "at most 1.03 of bare", f"{imports:.3f}"),
        ("a new connection, requests and httpx", "5 times faster than stock (OpenSSL 3.0)", f"{faster([BARE]):.1f}"),
        (
            "the same",
            "15 times faster than the peers",
            f"{faster(PEERS):.1f} (if it did not verify at all: {faster(PEERS, OURS, ', verify=False'):.1f})",
        ),
        (
            "a handshake on a shared context",
            "at most 1.02 of stock",
            f"{operations['handshakes']['handshake on a shared context'][OURS]['ratio']:.3f}",
        ),
    ]
    return "\n".join(["| what | aim | measured |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])
