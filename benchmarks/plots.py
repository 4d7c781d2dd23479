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


def plot_costs(results: dict) -> None:  # type: ignore[type-arg]
    """Left what a start costs, right what a new connection and a handshake cost."""
    operations = results["operations"]
    connections = {**operations["connections"], **operations["handshakes"]}
    del connections["16 handshakes at once on a shared context"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    bars(
        left,
        {title: {n: 1000 * v["cpu"]["median"] for n, v in row.items()} for title, row in results["starts"].items()},
    )
    left.set_title("Interpreter start: CPU time")
    bars(right, {title: {n: 1000 * v["median"] for n, v in row.items()} for title, row in connections.items()})
    right.set_title("New connections, and a handshake on a shared context")
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=len(COLOURS), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    save(figure, "costs.svg")


def bars(axes: plt.Axes, rows: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(rows.values())))
    width = 0.8 / len(names)
    for position, name in enumerate(names):
        places = [row + (position - (len(names) - 1) / 2) * width for row in range(len(rows))]
        axes.bar(places, [values[name] for values in rows.values()], width, label=name, color=COLOURS[name])
    labels = [title.replace(" ", "\n", 1).replace(" shared", "\nshared") for title in rows]
    axes.set_xticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylabel("milliseconds")
    axes.set_yscale("log")
    axes.set_ylim(bottom=min(min(values.values()) for values in rows.values()) / 2)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))


def plot_growth(results: dict) -> None:  # type: ignore[type-arg]
    """A context and a handshake, with more and more anchors in the store."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), sharey=True)
    for side, (kind, rows) in zip(axes, results["growth"].items(), strict=True):
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
    plot_costs(results)
    plot_growth(results)
