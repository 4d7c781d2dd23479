"""results.json as costs.svg and growth.svg, with matplotlib."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "truststore-inject"  # the same results give the same file
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text

import matplotlib.pyplot as plt  # noqa: E402

HERE = Path(__file__).resolve().parent
COLOURS = {
    "bare": "#555555",
    "truststore-inject": "#0a7d4f",
    "opted out": "#a0a0a0",
    "auto-truststore": "#d98c21",
    "pip-system-certs": "#c0392b",
    "truststore by hand": "#7d4fa8",
}


CONNECTIONS = {
    "requests.get; directory": "requests.get,\ndirectory",
    "requests.get; bundle": "requests.get,\nbundle",
    "httpx.get; bundle": "httpx.get,\nbundle",
    "httpx2.get; bundle": "httpx2.get,\nbundle",
    "urlopen; bundle": "urlopen,\nbundle",
    "aiohttp, no keep-alive; bundle": "aiohttp, no\nkeep-alive, bundle",
    "handshake on a shared context; bundle": "handshake on a shared\ncontext, bundle",
}


def plot_costs(sections: dict) -> None:  # type: ignore[type-arg]
    """Above what a start costs, below what a new connection and a handshake cost."""
    measured = {**sections["connections"], **sections["handshakes"]}
    figure, (above, below) = plt.subplots(2, 1, figsize=(11, 8))
    bars(above, sections["starts"])
    above.set_title("Start of an interpreter: CPU time")
    bars(below, {title: measured[label] for label, title in CONNECTIONS.items()})
    below.set_title("New connections, and a handshake: time")
    figure.legend(*above.get_legend_handles_labels(), loc="lower center", ncols=len(COLOURS), frameon=False)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    save(figure, "costs.svg")


def bars(axes: plt.Axes, rows: dict) -> None:  # type: ignore[type-arg]
    names = list(next(iter(rows.values())))
    width = 0.8 / len(names)
    for position, name in enumerate(names):
        places = [row + (position - (len(names) - 1) / 2) * width for row in range(len(rows))]
        times = [1000 * row[name]["median"] for row in rows.values()]
        axes.bar(places, times, width, label=name, color=COLOURS[name])
    axes.set_xticks(range(len(rows)), list(rows), fontsize=9)
    axes.set_ylabel("milliseconds")
    axes.set_yscale("log")
    axes.set_ylim(bottom=min(1000 * one["median"] for row in rows.values() for one in row.values()) / 2)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))


def plot_growth(growth: dict) -> None:  # type: ignore[type-arg]
    """A context and a handshake, with more and more anchors in the store."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), sharey=True)
    for side, (kind, rows) in zip(axes, growth.items(), strict=True):
        sizes = [int(size) for size in rows]
        for name in next(iter(rows.values())):
            times = [1000 * row[name]["median"] for row in rows.values()]
            side.plot(sizes, times, marker="o", color=COLOURS[name], label=name)
        side.set(xscale="log", yscale="log", xlabel="anchors in the store", title=f"The store is a {kind}")
        side.set_xticks(sizes, [f"{size:,}" for size in sizes])
        side.minorticks_off()
        side.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        side.grid(alpha=0.3)
    axes[0].set_ylabel("a context and a handshake, milliseconds")
    axes[0].legend(frameon=False)
    figure.tight_layout()
    save(figure, "growth.svg")


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(HERE / name, metadata={"Date": None})


if __name__ == "__main__":
    results = json.loads((HERE / "results.json").read_text())
    plot_costs(results["sections"])
    plot_growth(results["growth"])
